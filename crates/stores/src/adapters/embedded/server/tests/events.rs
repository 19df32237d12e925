//! Each upload is reported, whatever happens to the queue or to the process.

use super::client::*;
use crate::adapters::embedded::server::*;
use async_trait::async_trait;
use cadmill_core::domain::ids::{JobId, ObjectKey};
use cadmill_core::domain::state::is_newer;
use cadmill_core::domain::upload_event::parse;
use cadmill_core::ports::event_queue::{Depth, Message};
use std::sync::atomic::{AtomicBool, Ordering};

#[tokio::test]
async fn each_upload_is_told_of_once_and_in_order() {
    let world = world().await;
    let keys: Vec<ObjectKey> = (0..5).map(|n| upload(&format!("{n} ü+%.zip"))).collect();
    for key in &keys {
        world.put(key, b"x").await.unwrap();
    }
    let result = ObjectKey::processed(JobId::random(), 1, "a.dxf".parse().unwrap());
    world.put(&result, b"x").await.unwrap();
    assert!(world.put(&keys[0], b"x").await.is_err());

    let mut notices = world.notices(5).await;
    notices.sort_by(|a, b| a.sequencer.cmp(&b.sequencer));
    let jobs: Vec<JobId> = notices.iter().map(|notice| notice.job).collect();
    assert_eq!(jobs, keys.iter().map(ObjectKey::job).collect::<Vec<_>>());
    assert!(notices.windows(2).all(|pair| is_newer(&pair[1].sequencer, &pair[0].sequencer)));
    assert!(notices.iter().all(|notice| notice.bucket == BUCKET && notice.reason == "PutObject"));
    let more = world.database.queue().receive(10, Duration::ZERO, MINUTE).await.unwrap();
    assert!(more.is_empty(), "a result is no upload, and what was refused is none either");
}

/// A queue that can be made to fail.
struct Breakable {
    queue: crate::adapters::embedded::SqliteQueue,
    broken: AtomicBool,
}

#[async_trait]
impl EventQueue for Breakable {
    async fn send_later(&self, body: &str, delay: Duration) -> PortResult<()> {
        if self.broken.load(Ordering::SeqCst) {
            let reason = "broken".to_owned();
            return Err(PortError::Unavailable { operation: "sending", reason });
        }
        self.queue.send_later(body, delay).await
    }

    async fn receive(&self, max: u32, wait: Duration, hidden: Duration) -> PortResult<Vec<Message>> {
        self.queue.receive(max, wait, hidden).await
    }

    async fn change_visibility(&self, message: &Message, hidden: Duration) -> PortResult<()> {
        self.queue.change_visibility(message, hidden).await
    }

    async fn delete(&self, message: &Message) -> PortResult<()> {
        self.queue.delete(message).await
    }

    async fn dead_letter(&self, message: &Message) -> PortResult<()> {
        self.queue.dead_letter(message).await
    }

    async fn depth(&self) -> PortResult<Depth> {
        self.queue.depth().await
    }

    async fn dead_letters(&self) -> PortResult<u64> {
        self.queue.dead_letters().await
    }

    async fn check(&self) -> PortResult<()> {
        self.queue.check().await
    }
}

#[tokio::test]
async fn an_upload_waits_for_a_queue_that_is_broken_and_for_a_restart() {
    let World { directory, database, server, .. } = world().await;
    server.stop().await;
    let queue = Arc::new(Breakable { queue: database.queue(), broken: AtomicBool::new(true) });
    let server = EmbeddedS3::start(&data(&directory), loopback(), queue.clone(), &[]).await.unwrap();
    let s3 = client(&server, &server.credentials().secret_key);
    let world = World { directory, database, server, s3 };

    let (first, second) = (upload("first.zip"), upload("second.zip"));
    world.put(&first, b"x").await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(world.database.queue().receive(1, Duration::ZERO, MINUTE).await.unwrap().is_empty());
    queue.broken.store(false, Ordering::SeqCst);
    assert_eq!(world.notices(1).await[0].job, first.job(), "told of when the queue is well again");

    queue.broken.store(true, Ordering::SeqCst);
    world.put(&second, b"x").await.unwrap();
    let world = world.again().await;
    assert_eq!(world.notices(1).await[0].job, second.job(), "told of after a restart");
}

#[tokio::test]
async fn events_have_the_form_of_eventbridge() {
    let world = world().await;
    let key = upload("a b.zip");
    world.put(&key, b"12345").await.unwrap();
    let messages = world.database.queue().receive(1, MINUTE, MINUTE).await.unwrap();
    let event: serde_json::Value = serde_json::from_str(&messages[0].body).unwrap();
    assert_eq!(event["detail-type"], "Object Created");
    assert_eq!(event["detail"]["object"]["key"], key.to_string());
    assert_eq!(event["detail"]["object"]["size"], 5);
    assert_eq!(event["detail"]["object"]["etag"], "827ccb0eea8a706c4c34a16891f84e7b");
    assert_eq!(parse(&messages[0].body).unwrap().len(), 1);
}
