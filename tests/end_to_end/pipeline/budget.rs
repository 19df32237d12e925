//! What one job costs on AWS: every request to S3 by class, the write units of the table, and the
//! messages, from the creation of the job to the deletion of its record.
//!
//! The table in docs/PIPELINE.md, "Requests of one job", is the budget. A change that adds a request
//! fails here until the table is changed. The counts of a small job are compared with the table, whose
//! formulas then give the sums of the standard job of 120 s.

use super::client::{Client, Signed};
use super::policies::Cloud;
use super::world::large_archive;
use crate::support::repository;
use cadmill_core::ports::JobStore;
use cadmill_stores::adapters::aws::DynamoStore;
use cadmill_stores::conformance::meter::Bill;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Lifetimes that are short enough for a test. They change no count.
const SHORT: [(&str, &str); 8] = [
    ("CADMILL_API_MULTIPART_THRESHOLD", "6M"),
    ("CADMILL_API_PART_SIZE", "5M"),
    ("CADMILL_API_UPLOAD_URL_LIFETIME", "15s"),
    ("CADMILL_API_DOWNLOAD_URL_LIFETIME", "10s"),
    ("CADMILL_JOB_RETENTION", "15s"),
    ("CADMILL_JOB_LINGER", "16s"),
    ("CADMILL_JOB_RECORD", "32s"),
    ("CADMILL_API_UPLOAD_MIN_RATE", "16M"),
];

/// What the standard job has: 1.5 GB up in parts of 16 MiB, read in ranges of 8 MiB, 3 GB down in parts
/// of 32 MiB, and twelve renewals in 120 s.
const STANDARD: Sizes = Sizes { up: 96, ranges: 192, down: 96, renewals: 12 };

#[derive(Debug, Clone, Copy)]
struct Sizes {
    /// Parts of the upload.
    up: u64,
    /// Ranges of the upload that the worker reads.
    ranges: u64,
    /// Parts of the result.
    down: u64,
    /// Renewals of the lease.
    renewals: u64,
}

impl Sizes {
    /// The value of a term of the table, such as `2`, `up` or `2 + down`.
    fn value(self, formula: &str) -> u64 {
        let term = |term: &str| match term.trim() {
            "up" => self.up,
            "ranges" => self.ranges,
            "down" => self.down,
            "renewals" => self.renewals,
            number => number.parse().unwrap_or_else(|_| panic!("{formula} is not a formula")),
        };
        formula.split('+').map(term).sum()
    }
}

/// The rows of the table below this heading: their cells without the marks of code.
fn table(heading: &str) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(repository().join("docs/PIPELINE.md")).expect("the document");
    let (_, rest) =
        text.split_once(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("{heading} is missing"));
    let rows =
        rest.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    let cells =
        |row: &str| row.trim_matches('|').split('|').map(|cell| cell.trim().replace('`', "")).collect();
    rows.skip(2).map(cells).collect()
}

/// What changed between two versions of a record.
fn kind(before: Option<&Value>, after: &Value) -> &'static str {
    let Some(before) = before else { return "created" };
    let differs = |name: &str| before[name] != after[name];
    let times = |name: &str| before["times"][name] != after["times"][name];
    match (before["state"].as_str(), after["state"].as_str()) {
        (Some("PENDING"), Some("PROCESSING")) => "claimed",
        (_, Some("COMPLETED")) if differs("state") => "ended",
        _ if differs("counted") => "no longer counted",
        _ if differs("state") => "another change of state",
        _ if differs("multipart") => "upload begun",
        _ if differs("input") => "upload arrived",
        _ if differs("stage_millis") => "reported",
        _ if differs("purges") => "deleted",
        _ if times("dismissed") => "downloaded",
        _ if differs("polls") => "polls counted",
        _ if differs("lease") || differs("stage") || differs("progress") => "sign of life",
        _ => "nothing",
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_costs_what_the_table_says() {
    let cloud = Cloud::new().await;
    let mut cleaner = cloud.cleanup(&SHORT);
    cleaner.wait_for("cleaning up every");
    let mut api = cloud.api(&SHORT);
    let client = Client { url: api.wait_for("listening on ") };
    client.is_ready().await;
    let mut worker = cloud.worker(&[]);
    worker.wait_for("ready");
    // 17 MB, and a result of two parts.
    let archive = large_archive(500_000);
    let before = cloud.proxy.bill();

    let order = json!({"file_name": "plan.zip", "size_bytes": archive.len(), "target_format": "dxf"});
    let (status, job) = client.call("POST", "/api/jobs", Some(order)).await;
    assert_eq!(status, 201, "{job}");
    let id = job["job_id"].as_str().expect("an id").to_owned();
    let parts = job["upload"]["parts"].as_array().expect("parts").clone();
    for (part, bytes) in parts.iter().zip(archive.chunks(5 << 20)) {
        assert_eq!(Signed::of(part).put(bytes).await.status, 200);
    }
    let (status, body) = client.call("POST", &format!("/api/jobs/{id}/uploads/complete"), None).await;
    assert_eq!(status, 200, "{body}");
    let services = [&api, &worker];
    let since_uploaded = Instant::now();
    let ended = client.wait(&id, "COMPLETED", &services).await;
    let working = since_uploaded.elapsed();
    let size = ended["download"]["size_bytes"].as_u64().expect("a size");
    let url = ended["download"]["url"].as_str().expect("a URL");
    let reply = cadmill_stores::conformance::http::send("GET", url, &[], Vec::new()).await;
    assert_eq!((reply.status, reply.body.len() as u64), (200, size));
    let (status, _) = client.call("POST", &format!("/api/jobs/{id}/downloaded"), None).await;
    assert_eq!(status, 204);
    // Until the record itself is deleted.
    let since = Instant::now();
    let records = DynamoStore::new(cloud.world.jobs.clone()).await;
    let job = id.parse().expect("an id");
    while records.get(job).await.expect("an answer").is_some() {
        assert!(since.elapsed() < super::client::PATIENCE * 2, "the record stays\n{}", cleaner.log());
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let bill = cloud.proxy.bill().since(&before);

    let sizes = Sizes {
        up: parts.len() as u64,
        ranges: (archive.len() as u64).div_ceil(8 << 20),
        down: size.div_ceil(8 << 20),
        renewals: 0,
    };
    assert!(sizes.up > 2 && sizes.down > 1, "{sizes:?}");
    requests_are_those_of_the_table(&bill.requests, sizes);
    writes_are_those_of_the_table(&bill, working);
    the_sums_are_right();
}

/// Requests to S3, and messages that are sent. Reads of the table and the queue depend on time, and the
/// emulator sends the event of an object in parts twice: these are not compared.
fn requests_are_those_of_the_table(requests: &BTreeMap<(String, String), u64>, sizes: Sizes) {
    let counted = |action: &str| action.starts_with("s3:") || action == "sqs:SendMessage";
    let measured: BTreeMap<_, _> = requests
        .iter()
        .filter(|((_, action), _)| counted(action))
        .map(|(key, count)| (key.clone(), *count))
        .collect();
    let rows = table("### Requests to S3 and SQS");
    let expected: BTreeMap<_, _> =
        rows.iter().map(|row| ((row[0].clone(), row[1].clone()), sizes.value(&row[2]))).collect();
    assert_eq!(measured, expected, "what was counted, and what the table says for {sizes:?}");
}

/// The writes that took effect. One that another writer was faster than is made again, and costs two
/// units more; that depends on the moment.
fn writes_are_those_of_the_table(bill: &Bill, working: Duration) {
    let mut measured: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    let mut before = None;
    let mut jobs_in_flight = 0;
    // The leases of the cleanup programs belong to no job.
    for (record, units) in bill.records.iter().filter(|(record, _)| record["members"].is_null()) {
        // The usage of the owner.
        if let Some(jobs) = record["jobs"].as_u64() {
            let name = if jobs > jobs_in_flight { "place reserved" } else { "place released" };
            measured.entry(name).or_default().push(*units);
            jobs_in_flight = jobs;
            continue;
        }
        measured.entry(kind(before, record)).or_default().push(*units);
        before = Some(record);
    }
    let rows = table("### Writes to the table");
    measured.entry("record deleted").or_default().push(bill.deleted_units);
    for row in &rows {
        let (name, count, each) = (&row[0], &row[1], row[2].parse::<u64>().expect("units"));
        let found = measured.remove(name.as_str()).unwrap_or_default();
        let dearest = found.iter().max().copied().unwrap_or_default();
        assert!(dearest <= each, "{name}: {found:?} units, the table says {each}");
        // How often a worker writes while it works depends on how long that takes.
        if name == "sign of life" {
            let most = 4 + working.as_secs() / 10;
            assert!(found.len() as u64 <= most, "{name}: {found:?} in {working:?}");
        } else {
            assert_eq!(found.len() as u64, STANDARD.value(count), "{name}: {found:?}");
        }
    }
    assert!(measured.is_empty(), "not in the table: {measured:?}");
}

/// The sums of the standard job, and the limits that they must keep.
fn the_sums_are_right() {
    let requests = table("### Requests to S3 and SQS");
    let sum = |is: &dyn Fn(&[String]) -> bool| -> u64 {
        requests.iter().filter(|row| is(row)).map(|row| STANDARD.value(&row[2])).sum()
    };
    let class = |name: &str| sum(&|row| row[3] == name);
    let writes: u64 = table("### Writes to the table")
        .iter()
        .map(|row| STANDARD.value(&row[1]) * row[2].parse::<u64>().expect("units"))
        .sum();
    let told: BTreeMap<String, u64> = table("### One job of 120 s")
        .iter()
        .map(|row| (row[0].clone(), row[1].replace(',', "").parse().expect("a number")))
        .collect();
    let expected: BTreeMap<String, u64> = [
        ("S3, class of PUT, POST and LIST", class("PUT")),
        ("S3, class of GET and HEAD", class("GET")),
        ("DynamoDB, write units", writes),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    assert_eq!(told, expected, "the sums of the document");
    assert!(class("PUT") <= 260 && writes <= 100, "{expected:?}");
}
