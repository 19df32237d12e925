//! Many connections, and slow clients.

use super::client::*;
use crate::adapters::aws::S3Store;
use crate::adapters::embedded::Database;
use crate::adapters::embedded::server::*;
use cadmill_core::ports::ObjectStore;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

async fn crowded(per_client: usize, times: Times) -> World {
    let directory = tempfile::tempdir().unwrap();
    let database = Database::open(&directory.path().join("jobs.sqlite"), 5).unwrap();
    let limits = Limits { total: 1000, per_client, proxies: Networks::default() };
    let capacity = Capacity { limits, times };
    let queue = Arc::new(database.queue());
    let server = EmbeddedS3::start_with(&data(&directory), loopback(), queue, &[], capacity).await.unwrap();
    let s3 = client(&server, &server.credentials().secret_key);
    World { directory, database, server, s3 }
}

async fn open(world: &World, expected: usize) {
    let settled = async {
        while world.server.door().gate().open() != expected {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let settled = tokio::time::timeout(MINUTE, settled).await;
    assert!(settled.is_ok(), "{} are open, not {expected}", world.server.door().gate().open());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_does_not_keep_the_installation_itself_out() {
    let world = crowded(20, Times { head: MINUTE, ..Capacity::default().times }).await;
    let key = upload("part.zip");
    world.put(&key, b"0123456789").await.unwrap();
    let request = world.presigned(&upload("b.zip"), 5).await;
    let address = world.server.endpoint().replace("http://", "");
    let mut crowd = Vec::new();
    for _ in 0..200 {
        crowd.push(TcpStream::connect(&address).await.unwrap());
    }
    open(&world, 20).await;
    // Signed with the secret key: the API and the workers, from the same address.
    let store = S3Store::new(world.server.settings()).await;
    for _ in 0..30 {
        store.check().await.unwrap();
        let object = store.head(&key).await.unwrap();
        assert_eq!(store.read(&object, 0..10).await.unwrap().len(), 10);
    }
    let answers = (0..40).map(|_| world.get(&key, None));
    assert!(futures_util::future::join_all(answers).await.iter().all(Result::is_ok));
    // A client from that address must retry later.
    let answer = send(request.uri(), "PUT", &signed(&request), b"12345").await;
    assert_eq!(answer.status, 503, "{}", answer.head);
    assert!(answer.head.contains("retry-after"), "{}", answer.head);
    // A header without a valid signature is not enough.
    for header in ["AWS4-HMAC-SHA256 Credential=x", "Bearer x", ""] {
        let answer = send(request.uri(), "PUT", &[("authorization", header)], b"12345").await;
        assert!((400..=503).contains(&answer.status), "{}", answer.head);
    }
    // A presigned request with an additional header is not one of the installation either.
    let get = world.s3.get_object().bucket(BUCKET).key(key.to_string());
    let get =
        get.presigned(aws_sdk_s3::presigning::PresigningConfig::expires_in(MINUTE).unwrap()).await.unwrap();
    for url in [get.uri().to_owned(), get.uri().replace("X-Amz-Signature", "X-Amz-Signatur%65")] {
        let answer = send(&url, "GET", &[("authorization", "AWS4-HMAC-SHA256 Credential=x")], b"").await;
        assert_eq!(answer.status, 503, "{}", answer.head);
    }
    let keys = &world.server.credentials().access_key;
    let forged = format!(
        "AWS4-HMAC-SHA256 Credential={keys}/20261128/us-east-1/s3/aws4_request, SignedHeaders=host, Signature={}",
        "0".repeat(64)
    );
    let url = format!("{}/{BUCKET}/{key}", world.server.endpoint());
    let headers = [
        ("authorization", &*forged),
        ("x-amz-date", "20261128T000000Z"),
        ("x-amz-content-sha256", "UNSIGNED-PAYLOAD"),
    ];
    assert!(send(&url, "GET", &headers, b"").await.status >= 400);
    drop(crowd);
    open(&world, 0).await;
    let answer = send(request.uri(), "PUT", &signed(&request), b"12345").await;
    assert_eq!(answer.status, 200, "{}", answer.head);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transfers_may_be_slow_and_must_not_rest() {
    let times = Times { head: MINUTE, idle: MINUTE, rest: Duration::from_secs(2), bytes_per_second: 1 << 10 };
    let world = crowded(20, times).await;
    // 40 KiB in at least 4 s: longer than the allowed pause, but faster than the minimum rate.
    let body = vec![b'x'; 40 << 10];
    let key = upload("slow.zip");
    let request = world.presigned(&key, body.len()).await;
    let rest = request.uri().strip_prefix("http://").unwrap().to_owned();
    let (host, path) = rest.split_at(rest.find('/').unwrap());
    let mut head = format!("PUT {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n");
    for (name, value) in signed(&request) {
        head += &format!("{name}: {value}\r\n");
    }
    let mut stream = TcpStream::connect(host).await.unwrap();
    stream.write_all(format!("{head}\r\n").as_bytes()).await.unwrap();
    for piece in body.chunks(1 << 10) {
        stream.write_all(piece).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");

    // A transfer that stops half-way is ended, and nothing of it is left.
    let (other, files) = (upload("stalled.zip"), world.files());
    let request = world.presigned(&other, body.len()).await;
    let path = request.uri().strip_prefix("http://").unwrap().strip_prefix(host).unwrap().to_owned();
    let mut head = format!("PUT {path} HTTP/1.1\r\nhost: {host}\r\n");
    for (name, value) in signed(&request) {
        head += &format!("{name}: {value}\r\n");
    }
    let mut stalled = TcpStream::connect(host).await.unwrap();
    stalled.write_all(format!("{head}\r\n").as_bytes()).await.unwrap();
    stalled.write_all(&body[..100]).await.unwrap();
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(MINUTE, stalled.read_to_end(&mut rest)).await;
    assert!(ended.is_ok(), "it waits for ever");
    open(&world, 0).await;
    assert_eq!(world.files(), files);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_cannot_write_says_so() {
    let world = world().await;
    let store = S3Store::new(world.server.settings()).await;
    store.can_write().await.unwrap();
    assert_eq!(world.files(), 0, "nothing is left of the question");
    let (blobs, aside) = (data(&world.directory).join("blobs"), data(&world.directory).join("aside"));
    std::fs::rename(&blobs, &aside).unwrap();
    let refused = store.can_write().await;
    assert!(refused.as_ref().is_err_and(|error| error.is_transient()), "{refused:?}");
    store.check().await.expect("it answers all the same");
    std::fs::rename(&aside, &blobs).unwrap();
    store.can_write().await.unwrap();
}
