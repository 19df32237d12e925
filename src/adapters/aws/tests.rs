//! The adapters against a server that speaks the services' protocols.

use super::*;
use crate::conformance::moto::Moto;
use crate::conformance::{event_queue, job_store, object_store};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_are_kept_in_s3() {
    let moto = Moto::start().await;
    let store = S3Store::new(moto.world().await.objects).await;
    let moto = object_store::Options {
        verifies_signatures: false,
        verifies_checksums: false,
        overrides_headers: false,
        tells_missing_uploads: false,
    };
    object_store::suite(&store, moto).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_are_kept_in_dynamodb() {
    let moto = Moto::start().await;
    let store = DynamoStore::new(moto.world().await.jobs).await;
    store.create_table().await.expect("a table that is there is made");
    job_store::suite(&store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_are_delivered_by_sqs() {
    let moto = Moto::start().await;
    let queue = SqsQueue::new(moto.world().await.queue).await;
    event_queue::suite(&queue).await;
}
