//! The adapters against a server that speaks the services' protocols.

mod audit;
mod batches;
mod others;
mod pages;
mod permissions;
mod versions;

use super::*;
use crate::conformance::moto::{Moto, World};
use crate::conformance::{event_queue, job_store, object_store};
use aws_sdk_dynamodb::types::AttributeValue;
use bytes::Bytes;
use cadmill_core::domain::ids::{JobId, ObjectKey, Role};
use cadmill_core::domain::upload_event;
use cadmill_core::ports::object_store::MIN_PART_BYTES;
use cadmill_core::ports::{EventQueue, JobStore, ObjectStore, PortError};
use std::time::Instant;

const MOTO: object_store::Options = object_store::Options {
    verifies_signatures: false,
    verifies_checksums: false,
    overrides_headers: false,
    tells_missing_uploads: false,
    writes_over_delete_markers: true,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_are_kept_in_s3() {
    let moto = Moto::start().await;
    let world = moto.world().await;
    let store = S3Store::new(world.objects.clone()).await;
    object_store::suite(&store, MOTO).await;

    moto.keep_versions(&world).await;
    object_store::suite(&store, MOTO).await;
    every_version_is_purged(&store).await;
}

/// In a bucket with versions, the objects that another tool deleted or replaced still exist.
async fn every_version_is_purged(store: &S3Store) {
    let key = ObjectKey::upload(JobId::random(), "a.zip".parse().unwrap());
    for body in ["first", "second"] {
        let put = store.client.put_object().bucket(&store.bucket).key(key.to_string());
        put.body(body.as_bytes().to_vec().into()).send().await.unwrap();
    }
    let delete = store.client.delete_object().bucket(&store.bucket).key(key.to_string());
    delete.send().await.unwrap();
    assert!(matches!(store.head(&key).await, Err(PortError::NotFound(_))));
    let purged = store.purge(Role::Upload, key.job()).await.unwrap();
    assert_eq!((purged.objects, purged.uploads), (2, 0), "the mark of the deletion does not count");
    let list = store.client.list_object_versions().bucket(&store.bucket);
    let left = list.prefix(ObjectKey::prefix(Role::Upload, key.job())).send().await.unwrap();
    assert!(left.versions().is_empty() && left.delete_markers().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_uploaded_is_told_in_the_queue() {
    let moto = Moto::start().await;
    let world = moto.world().await;
    let (store, queue) =
        (S3Store::new(world.objects.clone()).await, SqsQueue::new(world.queue.clone()).await);
    let bystander = moto.world().await;

    let whole = ObjectKey::upload(JobId::random(), "Pläne & 1+1.zip".parse().unwrap());
    let request = store.presign_put(&whole, 5, None, Duration::from_secs(60)).await.unwrap();
    assert_eq!(crate::conformance::http::presigned(&request, b"hello".to_vec()).await.status, 200);
    let event = told_of(&queue, &world, &whole).await;
    assert_eq!(event["detail"]["object"]["size"], 5);

    let parts = ObjectKey::upload(JobId::random(), "a.zip".parse().unwrap());
    let upload = store.begin_multipart(&parts).await.unwrap();
    let first = vec![1; usize::try_from(MIN_PART_BYTES).unwrap()];
    let first = store.put_part(&parts, &upload, 1, Bytes::from(first)).await.unwrap();
    let last = store.put_part(&parts, &upload, 2, Bytes::from_static(b"end")).await.unwrap();
    store.complete_multipart(&parts, &upload, &[first, last]).await.unwrap();
    let event = told_of(&queue, &world, &parts).await;
    assert_eq!(event["detail"]["object"]["size"], MIN_PART_BYTES + 3);

    // The queue of another bucket receives nothing.
    let other = SqsQueue::new(bystander.queue).await;
    let hidden = Duration::from_secs(60);
    assert_eq!(other.receive(10, Duration::from_secs(1), hidden).await, Ok(Vec::new()));
}

/// Waits for the event of this object; returns its message in the documented form.
async fn told_of(queue: &SqsQueue, world: &World, key: &ObjectKey) -> serde_json::Value {
    let end = Instant::now() + Duration::from_secs(30);
    while Instant::now() < end {
        let hidden = Duration::from_secs(60);
        for message in queue.receive(10, Duration::from_secs(2), hidden).await.unwrap() {
            queue.delete(&message).await.unwrap();
            let notices = upload_event::parse(&message.body).unwrap();
            if notices.iter().any(|told| told.job == key.job() && told.bucket == world.objects.bucket) {
                let event: serde_json::Value = serde_json::from_str(&message.body).unwrap();
                assert_eq!(
                    (&event["source"], &event["detail-type"]),
                    (&"aws.s3".into(), &"Object Created".into())
                );
                assert_eq!(
                    event["detail"]["object"]["key"],
                    key.to_string(),
                    "the key as it is, not encoded"
                );
                return event;
            }
        }
    }
    panic!("no event came");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_are_kept_in_dynamodb() {
    let moto = Moto::start().await;
    jobs_are_kept(moto.world().await.jobs).await;
}

/// The contract, and what only the adapter can show, on an empty table.
async fn jobs_are_kept(settings: DynamoSettings) {
    let store = DynamoStore::new(settings.clone()).await;
    store.create_table().await.expect("a table that is there is made");
    job_store::suite(&store).await;
    let spoil = |id: JobId, record: &'static str| {
        let update = store.client.update_item().table_name(&settings.table);
        let update = update
            .key("id", AttributeValue::S(id.to_string()))
            .update_expression("SET #record = :record")
            .expression_attribute_names("#record", "record")
            .expression_attribute_values(":record", AttributeValue::S(record.to_owned()));
        async move { update.send().await.map(drop).unwrap() }
    };
    job_store::sets_unreadable_records_aside(&store, spoil).await;

    let mut large = job_store::new_job(&job_store::new_owner(), 1);
    large.order.root = Some("x".repeat(400 * 1024));
    let refused = store.create(&large).await;
    assert!(
        matches!(&refused, Err(PortError::Refused { reason, .. }) if reason.contains("400 KB")),
        "{refused:?}"
    );
    assert_eq!(store.get(large.id).await, Ok(None));

    let missing = DynamoStore::new(DynamoSettings { table: "no-such-table".to_owned(), ..settings }).await;
    for refused in [missing.check().await, missing.get(large.id).await.map(|_| ())] {
        assert!(matches!(refused, Err(PortError::Refused { .. })), "{refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_are_delivered_by_sqs() {
    let moto = Moto::start().await;
    // moto deletes a message by the receipt of an earlier delivery.
    let options = event_queue::Options { ignores_stale_receipts: false };
    events_are_delivered(moto.world().await.queue, options).await;
}

/// The contract, and what only the adapter can show.
async fn events_are_delivered(settings: SqsSettings, options: event_queue::Options) {
    event_queue::suite(&SqsQueue::new(settings.clone()).await, options).await;

    let missing =
        SqsQueue::new(SqsSettings { queue_url: format!("{}x", settings.queue_url), ..settings }).await;
    for refused in [missing.check().await, missing.send("hello").await] {
        assert!(matches!(refused, Err(PortError::Refused { .. })), "{refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_nobody_deletes_becomes_a_dead_letter() {
    let moto = Moto::start().await;
    messages_die(moto.service()).await;
}

/// A message becomes a dead letter by the queue's own count of its deliveries.
async fn messages_die(service: Service) {
    let name = format!("short-{}", JobId::random());
    let create = || SqsQueue::create_queues(&name, 2, service.clone());
    let settings = create().await.unwrap();
    assert_eq!(create().await, Ok(settings.clone()), "queues that are there are used");
    let queue = SqsQueue::new(settings).await;
    queue.send("hello").await.unwrap();
    let end = Instant::now() + Duration::from_secs(30);
    let mut deliveries = 0;
    while queue.dead_letters().await.unwrap() == 0 {
        assert!(Instant::now() < end, "the message does not die");
        for message in queue.receive(1, Duration::from_secs(1), Duration::from_secs(1)).await.unwrap() {
            deliveries += 1;
            assert_eq!(message.deliveries, deliveries);
        }
    }
    assert_eq!(deliveries, 2);
}

/// Settings of a store without a server.
fn nowhere(endpoint: &str) -> S3Settings {
    S3Settings {
        bucket: "drawings".to_owned(),
        service: Service {
            region: "eu-central-1".to_owned(),
            endpoint: Some(endpoint.to_owned()),
            credentials: Some(crate::conformance::moto::keys()),
        },
        public_endpoint: Some("https://files.example.org".to_owned()),
        path_style: true,
    }
}

#[tokio::test]
async fn what_an_upload_must_be_is_signed() {
    let store = S3Store::new(nowhere("http://127.0.0.1:1")).await;
    let key = ObjectKey::upload(JobId::random(), "a b.zip".parse().unwrap());
    let minute = Duration::from_secs(60);
    let digest = "00".repeat(32);
    let put = store.presign_put(&key, 5, Some(&digest), minute).await.unwrap();
    let part = store.presign_part(&key, "some upload", 7, 5, minute).await.unwrap();
    let signed = |url: &str| {
        let (_, rest) = url.split_once("X-Amz-SignedHeaders=").unwrap();
        rest.split('&').next().unwrap().replace("%3B", ";")
    };
    assert_eq!(signed(&put.url), "content-length;host;if-none-match;x-amz-checksum-sha256");
    assert_eq!(signed(&part.url), "content-length;host");
    for (request, names) in [(&put, 2), (&part, 0)] {
        assert_eq!(request.headers.len(), names, "each header that must be sent was signed");
        for (name, _) in &request.headers {
            assert!(signed(&request.url).split(';').any(|known| known == name), "{name}");
        }
        // Clients reach the store under another URL than this machine.
        let place = format!("https://files.example.org/drawings/uploads/{}/a%20b.zip?", key.job());
        assert!(request.url.starts_with(&place), "another place");
        assert!(request.url.contains("X-Amz-Expires=60"));
    }
    assert!(part.url.contains("partNumber=7") && part.url.contains("uploadId=some%20upload"));

    let object = cadmill_core::domain::job::Object {
        key: key.clone(),
        size_bytes: 5,
        etag: "\"x\"".to_owned(),
        version: Some("v/1".to_owned()),
        sha256: None,
        encoded: None,
    };
    let get = store.presign_get(&object, key.file(), minute).await.unwrap();
    assert!(get.headers.is_empty() && get.url.contains("versionId=v%2F1"));
}

#[tokio::test]
async fn a_refused_connection_says_that_nothing_was_sent() {
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let store = S3Store::new(nowhere(&format!("http://127.0.0.1:{port}"))).await;
    let key = ObjectKey::upload(JobId::random(), "secret.zip".parse().unwrap());
    for result in [store.put(&key, Bytes::from_static(b"x")).await, store.check().await] {
        let error = result.unwrap_err();
        assert!(
            matches!(&error, PortError::Unavailable { reason, .. } if reason == "no connection"),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn a_lost_reply_leaves_a_write_unknown() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    // Accepts requests and closes the connection.
    let server = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let mut start = [0; 16];
            stream.readable().await.unwrap();
            let _ = stream.try_read(&mut start);
        }
    });
    let store = S3Store::new(nowhere(&format!("http://{address}"))).await;
    let key = ObjectKey::upload(JobId::random(), "secret.zip".parse().unwrap());
    let write = store.put(&key, Bytes::from_static(b"x")).await.unwrap_err();
    let read = store.head(&key).await.unwrap_err();
    server.abort();
    assert!(matches!(write, PortError::Unknown { .. }), "{write:?}");
    assert!(matches!(read, PortError::Unavailable { .. }), "{read:?}");
    for text in [format!("{write} {write:?}"), format!("{read} {read:?}")] {
        assert!(
            !text.contains("secret") && !text.contains("drawings") && !text.contains("127.0.0.1"),
            "{text}"
        );
    }
}
