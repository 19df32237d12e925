use super::*;
use crate::adapters::aws::S3Store;
use crate::adapters::embedded::{Database, EmbeddedS3};
use crate::conformance;
use crate::conformance::job_store::{new_job, new_owner};
use crate::conformance::object_store::Options;
use bytes::Bytes;
use cadmill_core::domain::ids::{JobId, ObjectKey};
use cadmill_core::domain::job::Job;
use cadmill_core::ports::job_store::{Created, Replaced};
use cadmill_core::ports::{EventQueue, JobStore, ObjectStore};
use tempfile::TempDir;

fn database(directory: &TempDir) -> Database {
    Database::open(&directory.path().join("jobs.sqlite"), 9).unwrap()
}

async fn server(directory: &TempDir) -> (EmbeddedS3, Arc<dyn ObjectStore>) {
    let queue = Arc::new(database(directory).queue());
    let listen = ([127, 0, 0, 1], 0).into();
    let server = EmbeddedS3::start(&directory.path().join("objects"), listen, queue, &[]).await.unwrap();
    let store = S3Store::new(server.settings()).await;
    (server, Arc::new(store))
}

#[tokio::test]
async fn nothing_goes_wrong_without_a_script() {
    let directory = tempfile::tempdir().unwrap();
    let jobs = FaultyJobs::new(Arc::new(database(&directory).jobs()), Script::new());
    conformance::job_store::suite(&jobs).await;
    let queue = FaultyQueue::new(Arc::new(database(&directory).queue()), Script::new());
    conformance::event_queue::suite(&queue, conformance::event_queue::Options::ALL).await;
    let (_server, objects) = server(&directory).await;
    let objects = FaultyObjects::new(objects, Script::new());
    let options = Options::ALL;
    conformance::object_store::suite(&objects, options).await;
}

#[tokio::test]
async fn each_fault_leaves_what_it_says() {
    let directory = tempfile::tempdir().unwrap();
    let inner = Arc::new(database(&directory).jobs());
    let script = Script::new()
        .on("create", 1, Fault::Fail)
        .on("create", 2, Fault::DropReply)
        .on("replace", 1, Fault::Twice)
        .on("get", 2, Fault::Delay(Duration::from_millis(1)));
    let jobs = FaultyJobs::new(inner.clone(), script.clone());
    let job = new_job(&new_owner(), 1);

    assert!(matches!(jobs.create(&job).await, Err(PortError::Unavailable { .. })));
    assert_eq!(inner.get(job.id).await, Ok(None), "nothing happened");
    assert!(matches!(jobs.create(&job).await, Err(PortError::Unknown { .. })));
    assert_eq!(jobs.get(job.id).await, Ok(Some(job.clone())), "it happened");
    assert!(matches!(jobs.create(&job).await, Ok(Created::Exists(_))));

    let next = Job { version: 1, ..job.clone() };
    let answer = jobs.replace(&next).await;
    assert_eq!(answer, Ok(Replaced::Conflict(Some(Box::new(next.clone())))), "the second answer");
    assert_eq!(jobs.get(job.id).await, Ok(Some(next)));
    assert_eq!((script.calls("create"), script.calls("get"), script.calls("list")), (3, 2, 0));
}

#[tokio::test]
async fn a_message_sent_twice_comes_twice() {
    let directory = tempfile::tempdir().unwrap();
    let script = Script::new().on("send", 1, Fault::Twice).on("receive", 1, Fault::DropReply);
    let queue = FaultyQueue::new(Arc::new(database(&directory).queue()), script);
    queue.send("x").await.unwrap();
    let hidden = Duration::from_millis(100);
    assert!(queue.receive(1, Duration::ZERO, hidden).await.is_err());
    let wait = Duration::from_secs(10);
    let mut deliveries = Vec::new();
    while deliveries.len() < 2 {
        for message in queue.receive(10, wait, Duration::from_secs(60)).await.unwrap() {
            deliveries.push(message.deliveries);
        }
    }
    deliveries.sort();
    assert_eq!(deliveries, [1, 2], "two messages, one of which was received before");
}

#[tokio::test]
async fn a_read_can_be_cut_short() {
    let directory = tempfile::tempdir().unwrap();
    let (_server, inner) = server(&directory).await;
    let script = Script::new().on("read", 2, Fault::Truncate(3)).on("put", 1, Fault::DropReply);
    let objects = FaultyObjects::new(inner, script);
    let key = ObjectKey::upload(JobId::random(), "a.zip".parse().unwrap());
    assert!(objects.put(&key, Bytes::from_static(b"01234")).await.is_err());
    let object = objects.head(&key).await.unwrap();
    assert_eq!(&objects.read(&object, 0..5).await.unwrap()[..], b"01234");
    assert_eq!(&objects.read(&object, 0..5).await.unwrap()[..], b"012");
    assert_eq!(&objects.read(&object, 0..5).await.unwrap()[..], b"01234");
}
