//! The adapters on a second server for each service. Where servers disagree, the documentation of
//! AWS decides, and `Options` or the test names the difference.

use super::super::s3::Keeps;
use super::super::*;
use super::audit::{ledgers_are_kept, ledgers_are_locked};
use super::{events_are_delivered, every_version_is_purged, jobs_are_kept, messages_die};
use crate::conformance::dynalite::Dynalite;
use crate::conformance::elasticmq::ElasticMq;
use crate::conformance::versitygw::Versitygw;
use crate::conformance::{event_queue, object_store};
use cadmill_core::ports::{EventQueue, PortError};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_are_kept_in_dynalite() {
    jobs_are_kept(Dynalite::shared().await.table().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_are_delivered_by_elasticmq() {
    let settings = ElasticMq::shared().await.queues(10).await;
    events_are_delivered(settings, event_queue::Options::ALL).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn elasticmq_makes_dead_letters() {
    messages_die(ElasticMq::shared().await.service()).await;
}

/// The adapter keeps to the limits of SQS, which ElasticMQ checks and moto does not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn times_and_counts_that_sqs_refuses_are_cut() {
    let queue = SqsQueue::new(ElasticMq::shared().await.queues(10).await).await;
    queue.send("hello").await.unwrap();
    let (minute, day) = (Duration::from_secs(60), Duration::from_secs(86_400));
    let message = queue.receive(100, minute, day).await.unwrap().remove(0);
    queue.change_visibility(&message, day).await.unwrap();
    assert_eq!(queue.receive(0, Duration::ZERO, minute).await, Ok(Vec::new()));
    queue.delete(&message).await.unwrap();
    // 256 KiB on ElasticMQ. SQS takes 1 MiB (Amazon SQS Developer Guide, "Message quotas").
    let refused = queue.send(&"x".repeat((1 << 20) + 1)).await;
    assert!(matches!(refused, Err(PortError::Refused { .. })), "{refused:?}");
}

/// What docs/AWS.md says of the queue: the messages before another owner's delay it, and no others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "in `make nightly`"]
async fn a_message_waits_for_those_of_a_full_quota_on_elasticmq() {
    const OWNER_JOBS: usize = 50;
    let queue = SqsQueue::new(ElasticMq::shared().await.queues(10).await).await;
    for number in 0..OWNER_JOBS {
        queue.send(&format!("of A: {number}")).await.unwrap();
    }
    queue.send("of B").await.unwrap();
    let mut receives = 0;
    loop {
        let messages = queue.receive(1, Duration::from_secs(1), Duration::from_secs(600)).await.unwrap();
        let [message] = messages.as_slice() else { panic!("{messages:?} after {receives}") };
        receives += 1;
        // As the next job of A, which its quota allows once this one has ended.
        queue.delete(message).await.unwrap();
        if message.body == "of B" {
            break;
        }
        queue.send("of A: later").await.unwrap();
    }
    println!("B is served at receive {receives}, behind {OWNER_JOBS} messages of A");
    assert!(receives <= OWNER_JOBS + 1, "{receives}");
}

const VERSITYGW: object_store::Options = object_store::Options {
    // It looks for the key, and finds the marker.
    writes_over_delete_markers: false,
    ..object_store::Options::ALL
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "in `make nightly`"]
async fn objects_are_kept_in_versitygw() {
    let server = Versitygw::start().await;
    let store = S3Store::new(server.bucket(Keeps::Objects).await).await;
    object_store::suite(&store, VERSITYGW).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "in `make nightly`"]
async fn versions_are_kept_in_versitygw() {
    let server = Versitygw::start().await;
    let store = S3Store::new(server.bucket(Keeps::Versions).await).await;
    object_store::suite(&store, VERSITYGW).await;
    every_version_is_purged(&store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "in `make nightly`"]
async fn ledgers_are_kept_and_locked_in_versitygw() {
    let server = Versitygw::start().await;
    ledgers_are_kept(server.bucket(Keeps::Objects).await).await;
    let (locked, plain) = (server.bucket(Keeps::LockedVersions).await, server.bucket(Keeps::Versions).await);
    ledgers_are_locked(locked, plain).await;
}
