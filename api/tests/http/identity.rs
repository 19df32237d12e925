//! Tokens of an identity provider whose keys are published by a server on loopback.

use crate::support::{Answer, World, header, snapshot, world_with};
use cadmill_api::auth::{Auth, Oidc};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

const RSA: &[u8] = include_bytes!("../fixtures/test_only_rsa.pem");
const EC: &[u8] = include_bytes!("../fixtures/test_only_ec.pem");
const ED: &[u8] = include_bytes!("../fixtures/test_only_ed.pem");
const AUDIENCE: &str = "cadmill";

/// An identity provider. Its thread ends with the test process.
struct Provider {
    issuer: String,
    keys: Arc<Mutex<Value>>,
    requests: Arc<AtomicU32>,
}

fn keys() -> [(&'static str, Algorithm, EncodingKey); 3] {
    [
        ("rsa", Algorithm::RS256, EncodingKey::from_rsa_pem(RSA).unwrap()),
        ("ec", Algorithm::ES256, EncodingKey::from_ec_pem(EC).unwrap()),
        ("ed", Algorithm::EdDSA, EncodingKey::from_ed_pem(ED).unwrap()),
    ]
}

fn public(kid: &str, algorithm: Algorithm, key: &EncodingKey) -> Value {
    let mut jwk = Jwk::from_encoding_key(key, algorithm).unwrap();
    jwk.common.key_id = Some(kid.to_owned());
    serde_json::to_value(jwk).unwrap()
}

fn provider() -> Provider {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let issuer = format!("http://{}", listener.local_addr().unwrap());
    // A key of an unknown type must not hide the others.
    let mut set = vec![json!({"kty": "NEW", "kid": "x"})];
    set.extend(keys().iter().map(|(kid, algorithm, key)| public(kid, *algorithm, key)));
    let keys = Arc::new(Mutex::new(json!({"keys": set})));
    let requests = Arc::new(AtomicU32::new(0));
    let (served, base, counted) = (keys.clone(), issuer.clone(), requests.clone());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let first = lines.next().unwrap().unwrap();
            while lines.next().is_some_and(|line| !line.unwrap().is_empty()) {}
            counted.fetch_add(1, Ordering::SeqCst);
            let body = if first.contains("/.well-known/openid-configuration") {
                json!({"issuer": base, "jwks_uri": format!("{base}/keys")})
            } else {
                served.lock().unwrap().clone()
            };
            let body = body.to_string();
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n";
            write!(stream, "{head}content-length: {}\r\n\r\n{body}", body.len()).unwrap();
        }
    });
    Provider { issuer, keys, requests }
}

fn server(provider: &Provider) -> World {
    let settings = cadmill_stores::config::Oidc {
        issuer: provider.issuer.clone(),
        audience: AUDIENCE.to_owned(),
        jwks_url: None,
        owner_claim: "sub".to_owned(),
        role_claim: Some("roles".to_owned()),
    };
    world_with(|api| api.auth = Auth::Oidc(Oidc::new(settings).unwrap()))
}

fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

impl Provider {
    fn claims(&self) -> Value {
        json!({"iss": self.issuer, "aud": AUDIENCE, "sub": "auth0|ann", "exp": now() + 600, "nbf": now() - 5})
    }

    fn with(&self, claim: &str, value: Value) -> Value {
        let mut claims = self.claims();
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(claim)),
            value => claims[claim] = value,
        }
        claims
    }
}

fn signed(kid: Option<&str>, algorithm: Algorithm, key: &EncodingKey, claims: &Value) -> String {
    let mut header = Header::new(algorithm);
    header.kid = kid.map(str::to_owned);
    encode(&header, claims, key).unwrap()
}

fn rsa(claims: &Value) -> String {
    signed(Some("rsa"), Algorithm::RS256, &EncodingKey::from_rsa_pem(RSA).unwrap(), claims)
}

async fn call(world: &World, token: &str) -> Answer {
    world.call(token, "GET", "/api/jobs", None).await
}

#[tokio::test]
async fn good_tokens_name_the_owner() {
    let provider = provider();
    let world = server(&provider);
    for (kid, algorithm, key) in keys() {
        let token = signed(Some(kid), algorithm, &key, &provider.claims());
        let answer = call(&world, &token).await;
        assert_eq!(answer.status, 200, "{kid}: {}", answer.body);
        let made = world.call(&token, "POST", "/api/jobs", Some(crate::support::order())).await;
        assert_eq!(made.status, 201);
        let job = world.read(crate::support::id_of(&made)).await;
        assert_eq!(job.order.owner.as_str(), "auth0|ann");
    }
    // One of several audiences, and 30 s of clock skew.
    let token = rsa(&provider.with("aud", json!(["other", AUDIENCE])));
    assert_eq!(call(&world, &token).await.status, 200);
    for (claim, value) in [("exp", now() - 30), ("nbf", now() + 30)] {
        assert_eq!(call(&world, &rsa(&provider.with(claim, json!(value)))).await.status, 200, "{claim}");
    }
    // The discovery document and the keys are fetched once for all tokens.
    assert_eq!(provider.requests.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn bad_tokens_are_refused() {
    let provider = provider();
    let world = server(&provider);
    snapshot!("jwt_of_another_audience", call(&world, &rsa(&provider.with("aud", json!("other")))).await);
    snapshot!("jwt_that_has_expired", call(&world, &rsa(&provider.with("exp", json!(now() - 3600)))).await);
    snapshot!(
        "jwt_of_another_issuer",
        call(&world, &rsa(&provider.with("iss", json!("https://evil.com")))).await
    );
    snapshot!(
        "jwt_that_is_not_good_yet",
        call(&world, &rsa(&provider.with("nbf", json!(now() + 3600)))).await
    );
    for claim in ["exp", "aud", "iss", "sub"] {
        let answer = call(&world, &rsa(&provider.with(claim, Value::Null))).await;
        assert_eq!(answer.status, 401, "without {claim}: {}", answer.body);
    }
    snapshot!("jwt_of_no_owner", call(&world, &rsa(&provider.with("sub", json!("a b/../c")))).await);
    let garbled = format!("{}x", rsa(&provider.claims()));
    snapshot!("jwt_that_is_garbled", call(&world, &garbled).await);
    assert_eq!(call(&world, "not-a-jwt-at-all").await.status, 401);
    assert_eq!(header(&call(&world, &garbled).await, "www-authenticate"), "Bearer error=\"invalid_token\"");
}

#[tokio::test]
async fn keys_are_never_taken_for_what_they_are_not() {
    let provider = provider();
    let world = server(&provider);
    let claims = provider.claims();
    // The signature of a valid token, under a header with `alg: none`.
    let good = rsa(&claims);
    let parts: Vec<&str> = good.split('.').collect();
    // {"alg":"none","typ":"JWT","kid":"rsa"}
    let none = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIiwia2lkIjoicnNhIn0";
    snapshot!("jwt_of_algorithm_none", call(&world, &format!("{none}.{}.", parts[1])).await);
    assert_eq!(call(&world, &format!("{none}.{}.{}", parts[1], parts[2])).await.status, 401);
    // The public key as the HS256 secret, in each of its encodings.
    let published = provider.keys.lock().unwrap()["keys"][1].clone();
    let modulus = published["n"].as_str().unwrap();
    let secrets = [published.to_string().into_bytes(), modulus.as_bytes().to_vec(), RSA.to_vec()];
    for (at, secret) in secrets.iter().enumerate() {
        let token = signed(Some("rsa"), Algorithm::HS256, &EncodingKey::from_secret(secret), &claims);
        let answer = call(&world, &token).await;
        assert_eq!(answer.status, 401, "{at}");
        if at == 0 {
            snapshot!("jwt_of_hs256_with_the_public_key", answer);
        }
    }
    // A key of one type under the name of another, and a different key under the right name.
    let ec = EncodingKey::from_ec_pem(EC).unwrap();
    assert_eq!(call(&world, &signed(Some("rsa"), Algorithm::ES256, &ec, &claims)).await.status, 401);
    let rs512 = signed(Some("rsa"), Algorithm::RS512, &EncodingKey::from_rsa_pem(RSA).unwrap(), &claims);
    assert_eq!(call(&world, &rs512).await.status, 401);
    // Several keys and no `kid`: the key is not guessed.
    let nameless = signed(None, Algorithm::RS256, &EncodingKey::from_rsa_pem(RSA).unwrap(), &claims);
    assert_eq!(call(&world, &nameless).await.status, 401);
}

#[tokio::test]
async fn made_up_key_names_fetch_nothing_more() {
    let provider = provider();
    let world = server(&provider);
    assert_eq!(call(&world, &rsa(&provider.claims())).await.status, 200);
    let before = provider.requests.load(Ordering::SeqCst);
    for number in 0..20 {
        let key = EncodingKey::from_rsa_pem(RSA).unwrap();
        let token = signed(Some(&format!("made-up-{number}")), Algorithm::RS256, &key, &provider.claims());
        assert_eq!(call(&world, &token).await.status, 401);
    }
    // The keys were fetched less than a minute ago.
    assert_eq!(provider.requests.load(Ordering::SeqCst), before);
}

#[tokio::test]
async fn without_keys_nobody_is_let_in() {
    let provider = provider();
    *provider.keys.lock().unwrap() = json!("no keys");
    let world = server(&provider);
    snapshot!("jwt_while_keys_cannot_be_fetched", call(&world, &rsa(&provider.claims())).await);
    // A document beyond the size limit is not read completely.
    let large = json!({"keys": [], "filler": "x".repeat(1 << 20)});
    *provider.keys.lock().unwrap() = large;
    let world = server(&provider);
    assert_eq!(call(&world, &rsa(&provider.claims())).await.status, 503);
}

#[tokio::test]
async fn a_claim_makes_an_auditor() {
    let provider = provider();
    let world = server(&provider);
    let job = world.call(&rsa(&provider.claims()), "POST", "/api/jobs", Some(crate::support::order())).await;
    let path = format!("/api/jobs/{}/audit", crate::support::id_of(&job));
    let rows = [
        (json!("cadmill.auditor"), 200),
        (json!("read cadmill.auditor"), 200),
        (json!(["read", "cadmill.auditor"]), 200),
        (json!("auditor"), 404),
        (json!("cadmill.auditors"), 404),
        (json!({"cadmill.auditor": true}), 404),
        (json!([["cadmill.auditor"]]), 404),
        (Value::Null, 404),
    ];
    for (roles, status) in rows {
        let mut claims = provider.with("sub", json!("someone.else"));
        if roles != Value::Null {
            claims["roles"] = roles.clone();
        }
        let answer = world.call(&rsa(&claims), "GET", &path, None).await;
        assert_eq!(answer.status.as_u16(), status, "{roles}");
    }
}
