//! Ledgers in S3, and keys in KMS.

use super::super::*;
use crate::conformance::audit_sink::{head_of, new_id, signer, suite};
use crate::conformance::iam::proxy::Proxy;
use crate::conformance::moto::{Moto, keys};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use cadmill_core::domain::ledger::LedgerId;
use cadmill_core::ports::{AuditSink, PortError, Signer};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

/// The ports block, so they are called on a blocking thread, as the worker does.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("no panic")
}

fn sink(s3: S3Settings, lock: Option<ObjectLock>) -> S3Audit {
    S3Audit::new(S3AuditSettings { s3, prefix: "audit".to_owned(), lock }).expect("a sink")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ledgers_are_kept_in_s3() {
    let moto = Moto::start().await;
    ledgers_are_kept(moto.world().await.objects).await;
}

pub(super) async fn ledgers_are_kept(bucket: S3Settings) {
    let objects = bucket.clone();
    blocking(move || suite(&sink(objects, None), true)).await;
    // It can be called and dropped inside a runtime too.
    let inside = sink(bucket, None);
    let mut log = inside.begin(new_id()).expect("begun inside of a runtime");
    log.append(b"{\"a\":1}\n").expect("appended");
    log.sync().expect("synced");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn locked_ledgers_cannot_be_deleted() {
    let moto = Moto::start().await;
    ledgers_are_locked(moto.locked_bucket().await, moto.world().await.objects).await;
}

/// In a bucket with Object Lock; in a plain one no ledger is begun.
pub(super) async fn ledgers_are_locked(settings: S3Settings, plain: S3Settings) {
    let lock = Some(ObjectLock { compliance: true, retention: Duration::from_secs(86_400) });
    let (id, locked) = (new_id(), settings.clone());
    blocking(move || {
        let sink = sink(locked, lock);
        let mut log = sink.begin(id).expect("begun");
        log.append(b"{\"a\":1}\n").expect("appended");
        log.seal(&head_of(id, &["{\"a\":1}\n"])).expect("sealed");
    })
    .await;
    let store = S3Store::new(settings).await;
    for name in ["begun", "00000000.jsonl", "head.json"] {
        let key = format!("audit/{}/1-0/{name}", id.job);
        let head = store.client.head_object().bucket(&store.bucket).key(&key).send().await.expect(name);
        assert_eq!(head.object_lock_mode().map(|mode| mode.as_str()), Some("COMPLIANCE"), "{name}");
        let delete = store.client.delete_object().bucket(&store.bucket).key(&key);
        let deleted = delete.version_id(head.version_id().expect("a version")).send().await;
        assert!(deleted.is_err(), "{name}: a locked version was deleted");
    }
    // A bucket without Object Lock could refuse locked objects or store them unlocked: it must
    // refuse them.
    let refused = blocking(move || sink(plain, lock).begin(new_id()).err()).await;
    assert!(refused.is_some(), "a lock that is not there is not passed over");
}

/// The policies are enough for locked ledgers and for their signatures: the worker's for those of
/// attempts, those of the API and the cleanup for those of deletions alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_program_may_write_and_sign_its_ledgers() {
    let moto = Moto::start().await;
    let (world, admin) = (moto.world().await, S3Store::new(moto.world().await.objects).await);
    let ledgers = format!("{}-ledgers", world.objects.bucket);
    let create = admin.client.create_bucket().bucket(&ledgers).object_lock_enabled_for_bucket(true);
    create.send().await.expect("a bucket");
    let proxy = Proxy::start(moto.endpoint()).await;
    let through = |proxy: &Proxy, program: &str| {
        proxy.attach(program, vec![world.resources().policy(program)]);
        S3Settings { bucket: ledgers.clone(), ..world.through(&proxy.endpoint(), program).objects }
    };
    let lock = Some(ObjectLock { compliance: false, retention: Duration::from_secs(86_400) });
    let worker = through(&proxy, "worker");
    let others = ["api", "cleanup"].map(|program| through(&proxy, program));
    blocking(move || {
        let keep = |settings: S3Settings, id: LedgerId| {
            let sink = sink(settings, lock);
            let mut log = sink.begin(id).expect("begun");
            log.append(b"{\"a\":1}\n").expect("appended");
            log.seal(&head_of(id, &["{\"a\":1}\n"])).expect("sealed");
            sink.read_head(id).expect("a head");
        };
        keep(worker, new_id());
        for settings in others {
            keep(settings.clone(), LedgerId::of_deletions(new_id().job, 0).next_part());
            let refused = sink(settings, lock).begin(new_id()).err();
            assert!(matches!(refused, Some(PortError::Refused { .. })), "{refused:?}");
        }
    })
    .await;

    let key = Arc::new(signer());
    let public = key.public_key();
    let mut settings = kms(move |target, body| match target {
        "TrentService.GetPublicKey" => json!({"PublicKey": BASE64.encode(public.to_der())}),
        _ => {
            let message = BASE64.decode(body["Message"].as_str().unwrap()).unwrap();
            json!({"Signature": BASE64.encode(key.sign(&message).unwrap())})
        }
    });
    let proxy = Proxy::start(settings.service.endpoint.as_deref().expect("an endpoint")).await;
    settings.key = world.resources().key;
    for program in ["worker", "api", "cleanup"] {
        through(&proxy, program);
        settings.service = world.through(&proxy.endpoint(), program).queue.service;
        let settings = settings.clone();
        let stranger = KmsSettings { key: settings.key.replace("ledgers", "other"), ..settings.clone() };
        blocking(move || {
            let signer = KmsSigner::new(settings).expect("a signer");
            assert!(signer.signature(b"a head").expect("a signature").is_good(&public, b"a head"));
            let refused = KmsSigner::new(stranger).err();
            assert!(matches!(refused, Some(PortError::Refused { .. })), "another key: {refused:?}");
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_that_cannot_be_written_is_not_begun() {
    let moto = Moto::start().await;
    let mut nowhere = moto.world().await.objects;
    nowhere.bucket.push('x');
    let refused = blocking(move || sink(nowhere, None).begin(new_id()).err()).await;
    assert!(matches!(refused, Some(PortError::Refused { .. })), "{refused:?}");
}

/// A server for the KMS calls in use, with an Ed25519 key, which moto does not have.
fn kms(reply: impl Fn(&str, &Value) -> Value + Send + 'static) -> KmsSettings {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let (mut length, mut target) = (0, String::new());
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                match line.trim_end().split_once(": ") {
                    Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                        length = value.parse().unwrap();
                    }
                    Some((name, value)) if name.eq_ignore_ascii_case("x-amz-target") => {
                        target = value.to_owned()
                    }
                    None if line.trim_end().is_empty() => break,
                    _ => {}
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            let answer = reply(&target, &serde_json::from_slice(&body).unwrap()).to_string();
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.1\r\nconnection: close\r\n";
            write!(stream, "{head}content-length: {}\r\n\r\n{answer}", answer.len()).unwrap();
        }
    });
    KmsSettings {
        key: "alias/ledger".to_owned(),
        service: Service {
            region: "us-east-1".to_owned(),
            endpoint: Some(endpoint),
            credentials: Some(keys()),
        },
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kms_signs_heads_that_the_public_key_verifies() {
    let (key, seen) = (Arc::new(signer()), Arc::new(Mutex::new(Vec::new())));
    let (public, requests) = (key.public_key(), seen.clone());
    let settings = kms(move |target, body| {
        requests.lock().unwrap().push((target.to_owned(), body.clone()));
        match target {
            "TrentService.GetPublicKey" => json!({"PublicKey": BASE64.encode(public.to_der())}),
            _ => {
                let message = BASE64.decode(body["Message"].as_str().unwrap()).unwrap();
                json!({"Signature": BASE64.encode(key.sign(&message).unwrap())})
            }
        }
    });
    let signature = blocking(move || {
        let signer = KmsSigner::new(settings).expect("a signer");
        assert_eq!(signer.public_key(), public);
        signer.signature(b"a head").expect("a signature")
    })
    .await;
    assert!(signature.is_good(&public, b"a head") && !signature.is_good(&public, b"another"));
    let (target, sign) = seen.lock().unwrap().last().cloned().unwrap();
    assert_eq!(target, "TrentService.Sign");
    // `RAW` and `ED25519_SHA_512`: openssl would not verify a signature of a digest or by
    // ED25519_PH_SHA_512.
    assert_eq!((&sign["MessageType"], &sign["SigningAlgorithm"]), (&json!("RAW"), &json!("ED25519_SHA_512")));
    assert_eq!(sign["KeyId"], "alias/ledger");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kms_keys_and_signatures_of_another_kind_are_refused() {
    let public = signer().public_key();
    let lying = kms(move |target, _| match target {
        "TrentService.GetPublicKey" => json!({"PublicKey": BASE64.encode(public.to_der())}),
        _ => json!({"Signature": BASE64.encode([1; 64])}),
    });
    let other = kms(|_, _| json!({"PublicKey": BASE64.encode([0x30; 91])}));
    let nowhere = Service { endpoint: Some("http://127.0.0.1:1".to_owned()), ..other.service.clone() };
    let gone = KmsSettings { service: nowhere, ..other.clone() };
    blocking(move || {
        let refused = KmsSigner::new(lying).expect("a signer").signature(b"a head");
        assert!(matches!(refused, Err(PortError::Corrupt { .. })), "{refused:?}");
        assert!(matches!(KmsSigner::new(other).err(), Some(PortError::Corrupt { .. })));
        assert!(matches!(KmsSigner::new(gone).err(), Some(PortError::Unavailable { .. })));
    })
    .await;
}
