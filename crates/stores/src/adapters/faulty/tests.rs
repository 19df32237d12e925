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

#[tokio::test]
async fn the_last_call_of_a_process_takes_effect_and_does_not_return() {
    let directory = tempfile::tempdir().unwrap();
    let inner = Arc::new(database(&directory).jobs());
    // Counted over all operations.
    let script = Script::new().at(2, Fault::Die);
    let jobs = FaultyJobs::new(inner.clone(), script.clone());
    let job = new_job(&new_owner(), 1);
    let life = async {
        assert_eq!(jobs.get(job.id).await, Ok(None));
        jobs.create(&job).await
    };
    tokio::select! {
        created = life => panic!("{created:?}"),
        () = script.died() => {}
    }
    assert_eq!(inner.get(job.id).await, Ok(Some(job)), "it happened");
    assert_eq!(script.made(), ["get", "create"]);
}

/// Lets as many calls pass as it has permits.
struct Permits(tokio::sync::Semaphore);

#[async_trait::async_trait]
impl Gate for Permits {
    async fn enter(&self, program: usize, operation: &'static str) {
        assert_eq!((program, operation), (7, "get"));
        self.0.acquire().await.unwrap().forget();
    }

    fn leave(&self, program: usize) {
        assert_eq!(program, 7);
    }
}

#[tokio::test]
async fn a_call_is_made_when_the_gate_lets_it() {
    let directory = tempfile::tempdir().unwrap();
    let gate = Arc::new(Permits(tokio::sync::Semaphore::new(0)));
    let script = Script::new().behind(gate.clone(), 7);
    let jobs = FaultyJobs::new(Arc::new(database(&directory).jobs()), script.clone());
    let early = tokio::time::timeout(Duration::from_millis(100), jobs.get(JobId::random())).await;
    assert!(early.is_err() && script.made().is_empty(), "it waits for the gate");
    gate.0.add_permits(1);
    assert_eq!(jobs.get(JobId::random()).await, Ok(None));
    assert_eq!(script.calls("get"), 1);
}
