//! End to end with a real object store: presigned requests are sent, parts are assembled, and
//! deleted objects are gone.

use crate::support::{ANN, World, id_of, over};
use bytes::Bytes;
use cadmill_core::domain::ids::{JobId, ObjectKey};
use cadmill_core::domain::state::Event;
use cadmill_core::ports::{EventQueue, ObjectStore};
use cadmill_stores::adapters::aws::s3::S3Store;
use cadmill_stores::adapters::embedded::Database;
use cadmill_stores::adapters::embedded::server::EmbeddedS3;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

const PART: usize = 5 << 20;

struct Real {
    world: World,
    objects: Arc<S3Store>,
    queue: Arc<dyn EventQueue>,
    _server: EmbeddedS3,
}

async fn real() -> Real {
    let directory = tempfile::tempdir().unwrap();
    let database = Database::open(&directory.path().join("jobs.db"), 5).unwrap();
    let queue: Arc<dyn EventQueue> = Arc::new(database.queue());
    let listen = "127.0.0.1:0".parse().unwrap();
    let server =
        EmbeddedS3::start(&directory.path().join("objects"), listen, queue.clone(), &[]).await.unwrap();
    let objects = Arc::new(S3Store::new(server.settings()).await);
    let world = over(directory, database, objects.clone(), |settings| {
        settings.config.multipart_threshold_bytes = PART as u64;
        settings.config.part_size_bytes = PART as u64;
    });
    Real { world, objects, queue, _server: server }
}

/// Sends a presigned request as a client would. Returns the status, 0 without a response, and the
/// body.
async fn make(request: &Value, body: Vec<u8>) -> (u16, Vec<u8>) {
    let request = request.clone();
    let made = tokio::task::spawn_blocking(move || {
        let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
        let url = request["url"].as_str().unwrap();
        let headers: Vec<(String, String)> = request["headers"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(k, v)| (k.clone(), v.as_str().unwrap().into()))
            .collect();
        let mut response = if request["method"] == "PUT" {
            let put = headers.iter().fold(agent.put(url), |put, (name, value)| put.header(name, value));
            match put.send(&body[..]) {
                Ok(response) => response,
                // The store rejected the request without reading the body.
                Err(_) => return (0, Vec::new()),
            }
        } else {
            headers.iter().fold(agent.get(url), |get, (name, value)| get.header(name, value)).call().unwrap()
        };
        let status = response.status().as_u16();
        (status, response.body_mut().with_config().limit(64 << 20).read_to_vec().unwrap())
    });
    made.await.unwrap()
}

impl Real {
    async fn call(&self, method: &str, id: JobId, rest: &str) -> (u16, Value) {
        let answer = self.world.call(ANN, method, &format!("/api/jobs/{id}{rest}"), None).await;
        (answer.status.as_u16(), answer.body)
    }

    async fn order(&self, size: usize) -> Value {
        let order = json!({"file_name": "Stadt 1:500 ü.zip", "size_bytes": size, "target_format": "dxf"});
        let made = self.world.new_job(order).await;
        assert_eq!(made.status, 201, "{}", made.body);
        made.body
    }

    /// What a worker does, as far as these tests need it.
    async fn convert(&self, id: JobId) {
        let key = ObjectKey::upload(id, self.world.read(id).await.order.file_name);
        let object = self.objects.head(&key).await.unwrap();
        let world = &self.world;
        world.happen(id, Event::Uploaded { object, sequencer: "A".to_owned(), at: None }).await;
        world.happen(id, Event::Claimed { worker: "w".to_owned(), revision: 1, dead: None }).await;
        let key = ObjectKey::processed(id, 1, "Stadt 1:500 ü.dxf".parse().unwrap());
        self.objects.put(&key, Bytes::from_static(b"0\nSECTION\n")).await.unwrap();
        let output = self.objects.head(&key).await.unwrap();
        world.happen(id, Event::Completed { attempt: 1, output }).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_file_goes_up_and_its_result_comes_down() {
    let real = real().await;
    let made = real.order(1000).await;
    let id: JobId = made["job_id"].as_str().unwrap().parse().unwrap();
    let upload = &made["upload"];
    assert_eq!(upload["kind"], "single");
    // Exactly the declared size, and only once.
    assert_ne!(make(upload, vec![7; 1001]).await.0, 200);
    assert_eq!(make(upload, vec![7; 1000]).await.0, 200);
    assert_ne!(make(upload, vec![8; 1000]).await.0, 200);
    assert_eq!(real.call("POST", id, "/uploads/complete").await.0, 200);
    let events = real.queue.receive(10, Duration::from_secs(10), Duration::from_secs(60)).await.unwrap();
    assert!(!events.is_empty() && events.iter().all(|event| event.body.contains(&id.to_string())));
    real.convert(id).await;
    let (_, status) = real.call("GET", id, "/status").await;
    let download = &status["download"];
    assert_eq!((&download["file_name"], &download["size_bytes"]), (&json!("Stadt 1:500 ü.dxf"), &json!(10)));
    assert_eq!(make(download, Vec::new()).await, (200, b"0\nSECTION\n".to_vec()));
    assert_eq!(real.call("POST", id, "/downloaded").await.0, 204);
    assert_eq!(make(download, Vec::new()).await.0, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_file_goes_up_in_parts() {
    let real = real().await;
    let made = real.order(2 * PART + 3).await;
    let id: JobId = made["job_id"].as_str().unwrap().parse().unwrap();
    let parts = made["upload"]["parts"].as_array().unwrap().clone();
    assert_eq!(parts.len(), 3);
    assert_eq!(make(&parts[2], vec![3; 3]).await.0, 200);
    assert_eq!(make(&parts[0], vec![1; PART]).await.0, 200);
    let (status, missing) = real.call("POST", id, "/uploads/complete").await;
    assert_eq!((status, &missing["missing_parts"]), (409, &json!(["2"])));
    let (_, listed) = real.call("GET", id, "/uploads/parts?from=2").await;
    assert_eq!(listed["uploaded"].as_array().unwrap().len(), 2);
    // A fresh URL for the missing part.
    assert_eq!(make(&listed["parts"][0], vec![2; PART]).await.0, 200);
    for _ in 0..2 {
        assert_eq!(real.call("POST", id, "/uploads/complete").await.0, 200);
    }
    let key = ObjectKey::upload(id, real.world.read(id).await.order.file_name);
    assert_eq!(real.objects.head(&key).await.unwrap().size_bytes, 2 * PART as u64 + 3);
    assert_eq!(real.call("DELETE", id, "").await.0, 200);
    assert!(real.objects.head(&key).await.is_err());
    assert_eq!(real.world.call("", "GET", "/readyz", None).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_given_up_is_gone_and_begins_again() {
    let real = real().await;
    let made = real.order(PART + 1).await;
    let id = made["job_id"].as_str().unwrap().parse().unwrap();
    let before = made["upload"]["parts"][0].clone();
    assert_eq!(real.call("POST", id, "/uploads/abort").await.0, 204);
    assert_ne!(make(&before, vec![1; PART]).await.0, 200);
    let (status, upload) = real.call("GET", id, "/uploads").await;
    assert_eq!((status, &upload["part_count"]), (200, &json!(2)));
    assert_eq!(make(&upload["parts"][0], vec![1; PART]).await.0, 200);
    // Repeating the request with the same id returns the same upload.
    let named = json!({"file_name": "Stadt 1:500 ü.zip", "size_bytes": PART + 1, "target_format": "dxf", "job_id": id.to_string()});
    let again = real.world.new_job(named).await;
    assert_eq!((again.status.as_u16(), id_of(&again)), (200, id));
    let (_, listed) = real.call("GET", id, "/uploads/parts").await;
    assert_eq!(listed["uploaded"].as_array().unwrap().len(), 1);
}
