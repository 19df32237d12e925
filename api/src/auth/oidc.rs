//! Tokens of an identity provider: JSON Web Tokens (RFC 7519), signed with one of the keys that the
//! provider publishes.
//!
//! - Algorithms: RS256, ES256 and EdDSA. `none` and the symmetric algorithms are rejected before a
//!   key is selected, so a public key is never used as a shared secret.
//! - The key is selected by the token's `kid` and must match the algorithm.
//! - `exp`, `iss`, `aud` and the owner claim are required; `nbf` is checked if present.
//!
//! Keys are fetched for the first token, on a thread that may block, and again when a token names
//! an unknown key, at most once a minute: made-up key names cost at most one request a minute. Keys
//! are refreshed every 15 minutes; while the provider is unreachable, the known keys remain valid.

use super::caller::{Caller, invalid};
use crate::problem::Problem;
use cadmill_core::domain::failure::FailureCode;
use cadmill_core::ports::Clock;
use cadmill_core::ports::clock::{SteadyClock, SystemClock};
use cadmill_stores::config::Oidc as Settings;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Map, Value};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

/// Clock skew tolerance, in seconds.
const LEEWAY_SECONDS: u64 = 60;
/// Minimum time between two fetches for an unknown key name.
const REFETCH: Duration = Duration::from_secs(60);
/// Minimum time between two fetches while no keys are known at all.
const RETRY: Duration = Duration::from_secs(5);
/// Keys older than this are fetched again, so that a revoked key stops being accepted.
const MAX_AGE: Duration = Duration::from_secs(15 * 60);
/// Largest document accepted from the provider, in bytes.
const MAX_DOCUMENT_BYTES: u64 = 512 << 10;
/// Time limit for one document. Two documents take less than the time limit of a request.
const FETCH_TIME: Duration = Duration::from_secs(4);

/// The claim value that makes a caller an auditor.
const AUDITOR: &str = "cadmill.auditor";

/// Validates tokens of one identity provider.
pub struct Oidc {
    settings: Settings,
    keys: RwLock<Known>,
    /// Held while keys are fetched, so that concurrent requests share one fetch.
    fetching: tokio::sync::Mutex<()>,
}

#[derive(Default, Clone)]
struct Known {
    keys: Arc<Vec<Jwk>>,
    fetched: Option<Instant>,
    attempted: Option<Instant>,
}

impl Oidc {
    /// Creates the validator. Does not fetch anything yet.
    ///
    /// # Errors
    /// A message, when a URL is neither https nor on loopback, or a value is empty.
    pub fn new(settings: Settings) -> Result<Self, String> {
        for url in [Some(&settings.issuer), settings.jwks_url.as_ref()].into_iter().flatten() {
            check_url(url)?;
        }
        if settings.audience.is_empty() || settings.owner_claim.is_empty() {
            return Err(
                "the audience and the owner claim of the identity provider must not be empty".to_owned()
            );
        }
        Ok(Self { settings, keys: RwLock::default(), fetching: tokio::sync::Mutex::new(()) })
    }

    /// The owner of this token.
    pub(super) async fn caller(&self, token: &str) -> Result<Caller, Problem> {
        let header = jsonwebtoken::decode_header(token).map_err(|_| invalid())?;
        if !matches!(header.alg, Algorithm::RS256 | Algorithm::ES256 | Algorithm::EdDSA) {
            return Err(invalid());
        }
        let key = self.key(header.kid.as_deref(), header.alg).await?;
        let claims = verify(token, &key, header.alg, &self.settings)?;
        let owner = claims.get(&self.settings.owner_claim).and_then(Value::as_str);
        let owner = owner.and_then(|text| text.parse().ok()).ok_or_else(invalid)?;
        let role = self.settings.role_claim.as_ref().and_then(|name| claims.get(name));
        Ok(Caller { owner, auditor: role.is_some_and(has_auditor) })
    }

    /// The key with this name for this algorithm. A token without a key name is accepted if the
    /// provider has a single key.
    async fn key(&self, kid: Option<&str>, algorithm: Algorithm) -> Result<Jwk, Problem> {
        let known = self.known();
        let found = find(&known.keys, kid, algorithm);
        let stale = known.fetched.is_none_or(|at| at.elapsed() > MAX_AGE);
        if let (Some(key), false) = (&found, stale) {
            return Ok(key.clone());
        }
        let known = self.refreshed(known.attempted).await;
        if known.fetched.is_none() {
            let message = "the keys of the identity provider cannot be fetched";
            return Err(Problem::new(FailureCode::AuthUnavailable, message).retry_after(RETRY.as_secs()));
        }
        find(&known.keys, kid, algorithm).ok_or_else(invalid)
    }

    fn known(&self) -> Known {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The keys after a fetch, or the current ones if a fetch was attempted recently.
    async fn refreshed(&self, seen: Option<Instant>) -> Known {
        let _one_at_a_time = self.fetching.lock().await;
        let mut known = self.known();
        let pause = if known.fetched.is_some() { REFETCH } else { RETRY };
        // Another request fetched the keys while this one waited, or it is too early.
        if known.attempted != seen || known.attempted.is_some_and(|at| at.elapsed() < pause) {
            return known;
        }
        // Recorded before the fetch: a request that is abandoned meanwhile still counts as an
        // attempt.
        known.attempted = Some(Instant::now());
        self.remember(known.clone());
        let settings = self.settings.clone();
        let answer = tokio::task::spawn_blocking(move || fetch(&settings)).await;
        match answer.unwrap_or_else(|_| Err("the fetching thread ended".to_owned())) {
            Ok(keys) => {
                tracing::info!(keys = keys.len(), "fetched the keys of the identity provider");
                known.keys = Arc::new(keys);
                known.fetched = known.attempted;
            }
            Err(reason) => tracing::warn!(reason, "cannot fetch the keys of the identity provider"),
        }
        self.remember(known.clone());
        known
    }

    fn remember(&self, known: Known) {
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = known;
    }
}

/// Whether the claim equals the word, is a list that contains it, or is a space-separated string
/// that contains it, as in `scope` (RFC 8693, 4.2).
fn has_auditor(claim: &Value) -> bool {
    match claim {
        Value::String(words) => words.split(' ').any(|word| word == AUDITOR),
        Value::Array(items) => items.iter().any(|item| item == AUDITOR),
        _ => false,
    }
}

fn find(keys: &[Jwk], kid: Option<&str>, algorithm: Algorithm) -> Option<Jwk> {
    let mut fitting = keys.iter().filter(|key| fits(key, algorithm));
    match kid {
        Some(kid) => fitting.find(|key| key.common.key_id.as_deref() == Some(kid)).cloned(),
        None => fitting.next().filter(|_| keys.len() == 1).cloned(),
    }
}

/// Whether the key is intended for signatures with this algorithm.
fn fits(key: &Jwk, algorithm: Algorithm) -> bool {
    let kind = match &key.algorithm {
        AlgorithmParameters::RSA(_) => algorithm == Algorithm::RS256,
        AlgorithmParameters::EllipticCurve(curve) => {
            algorithm == Algorithm::ES256 && curve.curve == EllipticCurve::P256
        }
        AlgorithmParameters::OctetKeyPair(pair) => {
            algorithm == Algorithm::EdDSA && pair.curve == EllipticCurve::Ed25519
        }
        _ => false,
    };
    let named = key.common.key_algorithm.is_none_or(|named| named == KeyAlgorithm::from(algorithm));
    let signs = matches!(key.common.public_key_use, None | Some(PublicKeyUse::Signature));
    kind && named && signs
}

fn verify(
    token: &str,
    key: &Jwk,
    algorithm: Algorithm,
    settings: &Settings,
) -> Result<Map<String, Value>, Problem> {
    let key = DecodingKey::from_jwk(key).map_err(|_| invalid())?;
    let mut validation = Validation::new(algorithm);
    // Checked below, against two clocks.
    validation.validate_exp = false;
    validation.set_issuer(&[&settings.issuer]);
    validation.set_audience(&[&settings.audience]);
    validation.set_required_spec_claims(&["exp", "iss", "aud"]);
    let refused = |error: jsonwebtoken::errors::Error| match error.kind() {
        ErrorKind::InvalidAudience => {
            Problem::new(FailureCode::AuthAudience, "the token was made for another service")
        }
        _ => invalid(),
    };
    let claims: Map<String, Value> =
        jsonwebtoken::decode(token, &key, &validation).map(|data| data.claims).map_err(refused)?;
    // The system clock may have stepped, and may have been wrong before the step: a token is
    // accepted if either clock accepts it.
    in_time(&claims, SteadyClock.now() / 1000).or_else(|_| in_time(&claims, SystemClock.now() / 1000))?;
    Ok(claims)
}

/// Whether the token is valid at this time, in seconds since 1970. A NumericDate may have a
/// fraction (RFC 7519, 2).
fn in_time(claims: &Map<String, Value>, now: u64) -> Result<(), Problem> {
    let now = now as f64;
    let leeway = LEEWAY_SECONDS as f64;
    let date = |name: &str| claims.get(name).map(|value| value.as_f64().ok_or_else(invalid)).transpose();
    let expires = date("exp")?.ok_or_else(invalid)?;
    if expires + leeway < now {
        return Err(Problem::new(FailureCode::AuthExpired, "the token has expired"));
    }
    match date("nbf")? {
        Some(begins) if begins - leeway > now => Err(invalid()),
        _ => Ok(()),
    }
}

/// Fetches the provider's keys. Blocks. Error texts name the step, not the content received.
fn fetch(settings: &Settings) -> Result<Vec<Jwk>, String> {
    let agent = agent();
    let url = match &settings.jwks_url {
        Some(url) => url.clone(),
        None => {
            let issuer = settings.issuer.trim_end_matches('/');
            let document = get(&agent, &format!("{issuer}/.well-known/openid-configuration"))?;
            // OpenID Connect Discovery 1.0, 4.3: `issuer` must match the configured issuer.
            if document["issuer"].as_str() != Some(&settings.issuer) {
                return Err("the discovery document belongs to another issuer".to_owned());
            }
            let url = document["jwks_uri"].as_str().ok_or("the discovery document has no jwks_uri")?;
            check_url(url)?;
            url.to_owned()
        }
    };
    let document = get(&agent, &url)?;
    let keys = document["keys"].as_array().ok_or("the key document has no keys")?;
    // Unknown key types are ignored: they are for other clients.
    Ok(keys.iter().filter_map(|key| serde_json::from_value(key.clone()).ok()).collect())
}

fn get(agent: &ureq::Agent, url: &str) -> Result<Value, String> {
    let mut response = agent.get(url).call().map_err(|error| format!("the request failed: {error}"))?;
    let body = response.body_mut().with_config().limit(MAX_DOCUMENT_BYTES).read_to_vec();
    let body = body.map_err(|error| format!("incomplete response: {error}"))?;
    serde_json::from_slice(&body).map_err(|_| "the response is not JSON".to_owned())
}

/// Does not follow redirects: the location of the keys is set by the configuration.
fn agent() -> ureq::Agent {
    let crypto = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = ureq::tls::TlsConfig::builder().unversioned_rustls_crypto_provider(crypto).build();
    ureq::Agent::config_builder()
        .tls_config(tls)
        .timeout_global(Some(FETCH_TIME))
        .max_redirects(0)
        .max_idle_connections(0)
        .build()
        .new_agent()
}

/// Keys must not be fetched over an unprotected network: an attacker could replace them.
fn check_url(url: &str) -> Result<(), String> {
    let loopback = ["http://127.0.0.1", "http://localhost", "http://[::1]"];
    let local = loopback.iter().any(|start| {
        url.strip_prefix(start).is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '/']))
    });
    // A user name could make another host look like loopback.
    if (url.starts_with("https://") || local) && !url.contains('@') {
        Ok(())
    } else {
        Err("the URLs of the identity provider must begin with https://, unless they are on loopback"
            .to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_its_time() {
        let verdict = |text: &str| in_time(&serde_json::from_str(text).unwrap(), 1000).is_ok();
        let late = 1000 - LEEWAY_SECONDS;
        let early = 1000 + LEEWAY_SECONDS;
        for good in ["{\"exp\":1001}".to_owned(), format!("{{\"exp\":{late}.5,\"nbf\":{early}}}")] {
            assert!(verdict(&good), "{good}");
        }
        let past = late - 1;
        let future = early + 1;
        for bad in [
            "{}".to_owned(),
            "{\"exp\":\"soon\"}".to_owned(),
            format!("{{\"exp\":{past}}}"),
            format!("{{\"exp\":1001,\"nbf\":{future}}}"),
            "{\"exp\":1001,\"nbf\":null}".to_owned(),
        ] {
            assert!(!verdict(&bad), "{bad}");
        }
    }

    #[test]
    fn keys_come_over_https_or_from_this_machine() {
        for good in [
            "https://login.example.com/x",
            "http://127.0.0.1:4000/jwks",
            "http://[::1]:1",
            "http://localhost",
        ] {
            assert_eq!(check_url(good), Ok(()), "{good}");
        }
        for bad in [
            "http://login.example.com",
            "http://localhost.evil.com",
            "http://127.0.0.1:1@evil.com",
            "ftp://x",
        ] {
            assert!(check_url(bad).is_err(), "{bad}");
        }
    }
}
