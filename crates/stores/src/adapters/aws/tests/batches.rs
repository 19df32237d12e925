//! Batches of reads, from a server that answers as Amazon DynamoDB does near its limits: with a part of the
//! items, and the rest as `UnprocessedKeys`.

use super::super::*;
use super::nowhere;
use crate::conformance::job_store::{new_job, new_owner};
use cadmill_core::domain::ids::JobId;
use cadmill_core::domain::job::Job;
use cadmill_core::domain::stored;
use cadmill_core::ports::JobStore;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Items of one reply.
const PART: usize = 40;

#[derive(Default)]
struct Table {
    records: BTreeMap<String, String>,
    /// How many keys each call had.
    calls: Vec<usize>,
}

impl Table {
    fn answer(&mut self, asked: &Value) -> (u16, Value) {
        let keys = asked["RequestItems"]["jobs"]["Keys"].as_array().unwrap();
        self.calls.push(keys.len());
        let ids: Vec<&str> = keys.iter().map(|key| key["id"]["S"].as_str().unwrap()).collect();
        let distinct: BTreeSet<&&str> = ids.iter().collect();
        if ids.len() > 100 || distinct.len() < ids.len() {
            return (
                400,
                json!({"__type": "com.amazon.coral.validate#ValidationException", "message": "no"}),
            );
        }
        let item = |id: &&str| {
            let record = self.records.get(*id)?;
            Some(json!({"id": {"S": id}, "version": {"N": "0"}, "record": {"S": record}}))
        };
        let (now, later) = ids.split_at(ids.len().min(PART));
        let items: Vec<Value> = now.iter().filter_map(item).collect();
        let rest: Vec<Value> = later.iter().map(|id| json!({"id": {"S": id}})).collect();
        let rest = if rest.is_empty() { json!({}) } else { json!({"jobs": {"Keys": rest}}) };
        (200, json!({"Responses": {"jobs": items}, "UnprocessedKeys": rest}))
    }
}

async fn serve(mut stream: TcpStream, table: Arc<Mutex<Table>>) {
    let mut received = Vec::new();
    while stream.read_buf(&mut received).await.is_ok_and(|bytes| bytes > 0) {
        let Some(head) = received.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let text = String::from_utf8(received[..head].to_vec()).unwrap().to_ascii_lowercase();
        let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        let end = head + 4 + length.trim().parse::<usize>().unwrap();
        if received.len() < end {
            continue;
        }
        let asked = serde_json::from_slice(&received[head + 4..end]).unwrap();
        received.drain(..end);
        let (status, body) = table.lock().unwrap().answer(&asked);
        let body = body.to_string();
        let reply = format!(
            "HTTP/1.1 {status} x\r\ncontent-type: application/x-amz-json-1.0\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        if stream.write_all(reply.as_bytes()).await.is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn keys_that_were_not_processed_are_asked_for_again() {
    let table = Arc::new(Mutex::new(Table::default()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let served = Arc::clone(&table);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, Arc::clone(&served)));
        }
    });
    let service = nowhere(&endpoint).service;
    let store = DynamoStore::new(DynamoSettings { table: "jobs".to_owned(), service }).await;

    let owner = new_owner();
    let mut jobs: Vec<Job> = (0..130).map(|number| new_job(&owner, number)).collect();
    for job in &jobs {
        table.lock().unwrap().records.insert(job.id.to_string(), stored::write(job).unwrap());
    }
    let ids = jobs.iter().map(|job| job.id).chain([JobId::random(), jobs[7].id]);
    let mut found = store.get_many(&ids.collect::<Vec<_>>()).await.unwrap();
    found.sort_by_key(|job| job.id);
    jobs.sort_by_key(|job| job.id);
    assert!(found == jobs, "{} of {}", found.len(), jobs.len());
    assert_eq!(table.lock().unwrap().calls, [100, 60, 20, 31]);
}
