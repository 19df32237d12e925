//! Tokens of an identity provider: JSON Web Tokens (RFC 7519) that it signed with one
//! of the keys it publishes.
//!
//! - Algorithms: RS256, ES256 and EdDSA. `none` and the symmetric ones are refused
//!   before any key is looked at, so that a public key is never taken for a secret.
//! - The key is chosen by the token's `kid` and must be of the algorithm's kind.
//! - `exp`, `iss`, `aud` and the owner's claim must be there; `nbf` is honoured.
//!
//! Keys are fetched when the first token comes, in a thread that may block, and again
//! when a token names a key that is not known, at most once a minute: whoever sends
//! made-up key names costs one request a minute and no more. Every quarter of an hour
//! they are fetched anew; while the provider does not answer, the known ones stay good.

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

/// Clocks may differ by so much, in seconds.
const LEEWAY_SECONDS: u64 = 60;
/// A new key name fetches the keys at most so often.
const REFETCH: Duration = Duration::from_secs(60);
/// While no keys are known at all, they are tried for so often.
const RETRY: Duration = Duration::from_secs(5);
/// Keys older than this are fetched again, so that a withdrawn one stops to be good.
const MAX_AGE: Duration = Duration::from_secs(15 * 60);
/// Largest document that the provider may send, in bytes.
const MAX_DOCUMENT_BYTES: u64 = 512 << 10;
/// Longest time for one document; two of them take less than a request may.
const FETCH_TIME: Duration = Duration::from_secs(4);

/// The word that makes a caller an auditor.
const AUDITOR: &str = "cadmill.auditor";

/// Checks tokens of one identity provider.
pub struct Oidc {
    settings: Settings,
    keys: RwLock<Known>,
    /// Held while the keys are fetched, so that one request fetches for all.
    fetching: tokio::sync::Mutex<()>,
}

#[derive(Default, Clone)]
struct Known {
    keys: Arc<Vec<Jwk>>,
    fetched: Option<Instant>,
    attempted: Option<Instant>,
}

impl Oidc {
    /// Checks tokens by these settings. Fetches nothing yet.
    ///
    /// # Errors
    /// A sentence, when a URL is neither https nor on loopback, or a text is empty.
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

    /// Whose token this is.
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

    /// The key of this name for this algorithm. A token without a key name is good
    /// for a provider that has a single key.
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

    /// The keys after a fetch, or as they are when one was tried lately.
    async fn refreshed(&self, seen: Option<Instant>) -> Known {
        let _one_at_a_time = self.fetching.lock().await;
        let mut known = self.known();
        let pause = if known.fetched.is_some() { REFETCH } else { RETRY };
        // Another fetched while this one waited, or it is too early.
        if known.attempted != seen || known.attempted.is_some_and(|at| at.elapsed() < pause) {
            return known;
        }
        // Before the fetch: a request that is given up meanwhile has tried all the same.
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

/// Whether the claim is the word, a list that has it, or words with spaces between, as
/// `scope` has them (RFC 8693, 4.2).
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

/// Whether the key is for signatures of this algorithm.
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
    // Below, by two clocks.
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
    // The machine's clock may have stepped, and may have been wrong before: a token that is
    // good by either clock is good.
    in_time(&claims, SteadyClock.now() / 1000).or_else(|_| in_time(&claims, SystemClock.now() / 1000))?;
    Ok(claims)
}

/// Whether the token is good at this time, in seconds since 1970. A NumericDate may have
/// a fraction (RFC 7519, 2).
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

/// The provider's keys. Blocks. Reasons name the step, not what was sent.
fn fetch(settings: &Settings) -> Result<Vec<Jwk>, String> {
    let agent = agent();
    let url = match &settings.jwks_url {
        Some(url) => url.clone(),
        None => {
            let issuer = settings.issuer.trim_end_matches('/');
            let document = get(&agent, &format!("{issuer}/.well-known/openid-configuration"))?;
            // OpenID Connect Discovery 1.0, 4.3: the document is the issuer's own.
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
    // Keys of kinds that are not known are somebody else's.
    Ok(keys.iter().filter_map(|key| serde_json::from_value(key.clone()).ok()).collect())
}

fn get(agent: &ureq::Agent, url: &str) -> Result<Value, String> {
    let mut response = agent.get(url).call().map_err(|error| format!("the request failed: {error}"))?;
    let body = response.body_mut().with_config().limit(MAX_DOCUMENT_BYTES).read_to_vec();
    let body = body.map_err(|error| format!("incomplete response: {error}"))?;
    serde_json::from_slice(&body).map_err(|_| "the response is not JSON".to_owned())
}

/// Follows no redirect: where the keys are is a matter of configuration.
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

/// Keys that came over an open network would be anybody's.
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
