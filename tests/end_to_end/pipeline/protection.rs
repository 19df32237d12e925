//! A worker protects its ECS task from scale-in while it has a job, and only then.

use super::world::{World, large_archive};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(120);

/// The agent of ECS, which answers with these status codes in turn and then with 200: its URI, and
/// the requests.
fn agent(mut statuses: Vec<u16>) -> (String, Receiver<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let uri = format!("http://{}/api/1", listener.local_addr().expect("an address"));
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let (mut request, mut buffer) = (String::new(), [0; 4096]);
            while !request.ends_with('}') {
                let count = stream.read(&mut buffer).expect("a request");
                request.push_str(&String::from_utf8_lossy(&buffer[..count]));
            }
            assert!(request.starts_with("PUT /api/1/task-protection/v1/state "), "{request}");
            let (_, body) = request.split_once("\r\n\r\n").expect("a body");
            let body: Value = serde_json::from_str(body).expect("JSON");
            let status = if statuses.is_empty() { 200 } else { statuses.remove(0) };
            let reply = match status {
                200 => {
                    json!({"protection": {"ProtectionEnabled": body["ProtectionEnabled"], "TaskArn": "a"}})
                }
                _ => json!({"error": {"Code": "AccessDeniedException", "Message": "no"}}),
            };
            let reply = reply.to_string();
            let head = format!("HTTP/1.1 {status} x\r\nconnection: close\r\ncontent-length: {}", reply.len());
            write!(stream, "{head}\r\n\r\n{reply}").expect("it is read");
            if sender.send(body).is_err() {
                return;
            }
        }
    });
    (uri, receiver)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_is_protected_while_it_has_a_job() {
    let (uri, requests) = agent(Vec::new());
    let mut world = World::new().await;
    world.set("ECS_AGENT_URI", uri);
    let worker = world.worker("one", Some("converting"));
    let id = world.submit(&large_archive(1000), "dxf").await;
    worker.stopped().await;
    worker.signal(rustix::process::Signal::CONT);
    let first = requests.recv_timeout(PATIENCE).expect("a request");
    assert_eq!(first, json!({"ProtectionEnabled": true, "ExpiresInMinutes": 10}));
    world.completed(id).await;
    let last = requests.recv_timeout(PATIENCE).expect("another request");
    assert_eq!(last, json!({"ProtectionEnabled": false}));
    assert_eq!(worker.terminate(), Some(0));
    assert!(requests.try_recv().is_err(), "nothing more is asked for");
}

/// Without the permission the jobs are done all the same, and the operator is told once.
#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_may_not_protect_itself_works_and_says_so() {
    let (uri, requests) = agent(vec![403; 100]);
    let mut world = World::new().await;
    world.set("ECS_AGENT_URI", uri);
    let worker = world.worker("one", None);
    for _ in 0..2 {
        let id = world.submit(&large_archive(1000), "dxf").await;
        world.completed(id).await;
    }
    requests.recv_timeout(PATIENCE).expect("a request");
    world.wait_until_said("the task role needs ecs:UpdateTaskProtection").await;
    assert_eq!(worker.terminate(), Some(0));
    assert_eq!(world.said("the task role needs ecs:UpdateTaskProtection"), 1);
    assert_eq!(world.said("AccessDeniedException"), 1);
}
