//! A pass beside many records of which few are due: what it costs, in requests and in memory, depends on
//! those that are due alone. On SQLite, and on DynamoDB as dynalite has it.
//!
//! The pass is made in a process of its own, whose memory is measured.

use super::world::{ManualClock, POLICY, World, timeless};
use cadmill_core::cleanup::{Cleanup, upload_key};
use cadmill_core::domain::due::Part;
use cadmill_core::domain::ids::JobId;
use cadmill_core::domain::job::{Deletion, Job, Millis, Object, State};
use cadmill_core::domain::state::{Decision, Event, apply, created};
use cadmill_core::jobs::Jobs;
use cadmill_core::ports::{JobStore, ObjectStore};
use cadmill_stores::adapters::aws::{
    DynamoSettings, DynamoStore, S3Settings, S3Store, Service, StaticCredentials,
};
use cadmill_stores::adapters::embedded::Database;
use cadmill_stores::adapters::faulty::{FaultyJobs, Script};
use cadmill_stores::conformance::dynalite::Dynalite;
use cadmill_stores::conformance::iam::Resources;
use cadmill_stores::conformance::iam::proxy::Proxy;
use cadmill_stores::conformance::job_store::{new_job, new_owner};
use cadmill_stores::conformance::meter::Bill;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

/// The time of the pass.
const NOW: Millis = 100_000_000_000;

/// The variable that says to the process of a pass which stores it has.
const VARIABLE: &str = "TEST_PASS";

/// By how much the pass may raise the resident memory of its process, in KiB. The records alone have
/// more than twice as much, as they are in the smaller of the tests.
const GROWTH_KIB: u64 = 16 << 10;

/// What is due, a quarter each: a file to delete, a record to delete, a job to announce, a job to expire.
const KINDS: usize = 4;

/// Everything that a test stores.
struct Population {
    jobs: Vec<Job>,
    due: BTreeSet<JobId>,
    /// Those due whose upload is in the store.
    uploaded: Vec<Job>,
}

/// A job to which these things have happened, each so many milliseconds before the pass.
fn job(events: &[(Millis, Event)], begun: Millis) -> Job {
    let mut job = created(JobId::random(), new_job(&new_owner(), 1).order, &POLICY, NOW - begun);
    for (before, event) in events {
        let Decision::Accept(next) = apply(&job, event, &POLICY, NOW - before) else {
            panic!("{event:?} is not accepted by {job:?}")
        };
        job = *next;
    }
    job
}

fn deleted(before: u8) -> Event {
    let deletion = Deletion {
        objects: 1,
        marks: 0,
        uploads: 0,
        confirmed_at: NOW,
        oldest_age_ms: None,
        by: "test".to_owned(),
        evidence: Default::default(),
    };
    Event::Purged { before, deletion, tries: Vec::new(), head: None }
}

fn arrived(job: &Job) -> Event {
    let key = upload_key(job.id, &job.order.file_name);
    let object =
        Object { key, size_bytes: 7, etag: "\"x\"".to_owned(), version: None, sha256: None, encoded: None };
    Event::Uploaded { object, sequencer: "7".to_owned(), at: None }
}

fn with(job: Job, event: &Event, before: Millis) -> Job {
    match apply(&job, event, &POLICY, NOW - before) {
        Decision::Accept(next) => *next,
        other => panic!("{other:?}"),
    }
}

impl Population {
    fn new(total: usize, due: usize) -> Self {
        let (mut jobs, mut ids, mut uploaded) = (Vec::with_capacity(total), BTreeSet::new(), Vec::new());
        for number in 0..total {
            let is_due = number % (total / due) == 0;
            let kind = number / (total / due) % KINDS;
            let one = match (is_due, kind) {
                (true, 0) => job(&[(1_000, Event::Cancelled)], 2_000),
                (true, 1) => {
                    let end = POLICY.record + 1;
                    let events =
                        [(end, Event::Cancelled), (end, deleted(0)), (end - POLICY.linger, deleted(1))];
                    job(&events, end)
                }
                (true, 2) => {
                    let waits = job(&[], POLICY.redeliver + 10);
                    let event = arrived(&waits);
                    with(waits, &event, POLICY.redeliver + 1)
                }
                (true, _) => job(&[], POLICY.upload_window + 1),
                // Most records are of jobs that ended some time ago.
                (false, 0) => job(&[], 10),
                (false, 1) => {
                    let waits = job(&[], 20);
                    let event = arrived(&waits);
                    with(waits, &event, 10)
                }
                (false, _) => {
                    let end = POLICY.linger + 10;
                    job(&[(end, Event::Cancelled), (end, deleted(0)), (10, deleted(1))], end)
                }
            };
            assert_eq!(one.due.unwrap() <= NOW, is_due, "{one:?}");
            if is_due {
                ids.insert(one.id);
                if kind == 0 {
                    uploaded.push(one.clone());
                }
            }
            jobs.push(one);
        }
        Self { jobs, due: ids, uploaded }
    }

    /// Puts the uploads into the store.
    async fn upload(&self, objects: &S3Store) {
        for job in &self.uploaded {
            objects.put(&upload_key(job.id, &job.order.file_name), super::fixture::content()).await.unwrap();
        }
    }

    /// What the records of the jobs that are due must be after the pass, and that no other has changed.
    async fn is_served(&self, store: &dyn JobStore, sample: usize) {
        for job in self.jobs.iter().filter(|job| self.due.contains(&job.id)) {
            let after = store.get(job.id).await.unwrap();
            match (job.state, job.purges, &job.input) {
                (State::Cancelled, 0, _) => assert_eq!(after.map(|job| job.purges), Some(1)),
                (State::Cancelled, ..) => assert_eq!(after, None),
                (State::Pending, _, Some(_)) => assert_eq!(after.map(|job| job.announced), Some(1)),
                _ => assert_eq!(after.map(|job| job.state), Some(State::Expired)),
            }
        }
        let others = self.jobs.iter().filter(|job| !self.due.contains(&job.id));
        for job in others.step_by((self.jobs.len() / sample).max(1)) {
            assert_eq!(store.get(job.id).await.unwrap().as_ref(), Some(job));
        }
    }
}

/// What a process has made.
#[derive(Debug)]
struct Made {
    calls: BTreeMap<String, u64>,
    /// By how much its resident memory grew at most, in KiB.
    growth: u64,
    took: Duration,
    round: String,
}

/// Makes a pass in a process of its own. `everything` reads every record at once instead.
async fn pass(mut order: Value, everything: bool) -> Made {
    order["everything"] = json!(everything);
    let made = tokio::task::spawn_blocking(move || {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args([
            "--exact",
            "cleanup::many::a_pass_in_a_process_of_its_own",
            "--ignored",
            "--nocapture",
        ]);
        command.env(VARIABLE, order.to_string()).output().expect("it starts")
    });
    let output = made.await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let said = text.lines().find_map(|line| line.split_once("made: ")).map(|(_, said)| said);
    let said: Value = said
        .and_then(|said| serde_json::from_str(said).ok())
        .unwrap_or_else(|| panic!("{text}{}", String::from_utf8_lossy(&output.stderr)));
    let calls = said["calls"].as_object().expect("calls").iter();
    Made {
        calls: calls.map(|(name, count)| (name.clone(), count.as_u64().expect("a count"))).collect(),
        growth: said["growth"].as_u64().expect("KiB"),
        took: Duration::from_millis(said["took"].as_u64().expect("milliseconds")),
        round: said["round"].as_str().expect("a round").to_owned(),
    }
}

/// A line of `/proc/self/status`, in KiB.
fn status(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a line");
    line.trim_start_matches(':').split_whitespace().next().unwrap().parse().unwrap()
}

fn keys() -> StaticCredentials {
    StaticCredentials { access_key: "cleanup".to_owned(), secret_key: "secret".to_owned() }
}

/// Run by the tests here, which name the stores in its environment. Without that it does nothing.
#[tokio::test]
#[ignore = "in a process of its own, which the tests beside it start"]
async fn a_pass_in_a_process_of_its_own() {
    let Ok(order) = std::env::var(VARIABLE) else { return };
    let order: Value = serde_json::from_str(&order).unwrap();
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let database = Database::open(Path::new(&text(&order["database"])), 100).unwrap();
    let store: Arc<dyn JobStore> = match order["table"].as_str() {
        None => Arc::new(database.jobs()),
        Some(table) => {
            let endpoint = Some(text(&order["endpoint"]));
            let service = Service { region: "us-east-1".to_owned(), endpoint, credentials: Some(keys()) };
            Arc::new(DynamoStore::new(DynamoSettings { table: table.to_owned(), service }).await)
        }
    };
    let credentials =
        StaticCredentials { access_key: text(&order["key"]), secret_key: text(&order["secret"]) };
    let objects = S3Store::new(S3Settings {
        bucket: text(&order["bucket"]),
        service: Service {
            region: text(&order["region"]),
            endpoint: Some(text(&order["objects"])),
            credentials: Some(credentials),
        },
        public_endpoint: None,
        path_style: true,
    });
    let objects = Arc::new(objects.await);
    // What the first call of each client takes.
    objects.can_list().await.unwrap();
    store.get(JobId::random()).await.unwrap();

    let script = Script::new();
    let jobs = Arc::new(FaultyJobs::new(Arc::clone(&store), script.clone()));
    let jobs = Jobs::new(jobs, Arc::new(ManualClock(AtomicU64::new(NOW))), POLICY);
    let queue = Arc::new(database.queue());
    let cleanup = Cleanup::new(jobs, objects, queue, text(&order["bucket"]), "test".to_owned());
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let (before, begun) = (status("VmHWM"), Instant::now());
    let round = if order["everything"] == true {
        let mut all = Vec::new();
        for part in Part::all() {
            all.push(store.due(part, 0..=Millis::MAX >> 1, 1_000_000).await.unwrap());
        }
        format!("{} jobs", all.iter().map(|due| due.jobs.len()).sum::<usize>())
    } else {
        format!("{:?}", timeless(cleanup.round().await))
    };
    let (growth, took) = (status("VmHWM").saturating_sub(before), begun.elapsed().as_millis());
    let mut calls = BTreeMap::<&str, u64>::new();
    script.made().into_iter().for_each(|call| *calls.entry(call).or_default() += 1);
    println!("made: {}", json!({"calls": calls, "growth": growth, "took": took, "round": round}));
}

/// The embedded stores of this process, for the process of a pass.
fn stores(world: &World) -> Value {
    let settings = world.server.settings();
    let keys = settings.service.credentials.expect("keys");
    json!({
        "database": world.data.path().join("jobs.sqlite"),
        "objects": settings.service.endpoint,
        "region": settings.service.region,
        "bucket": settings.bucket,
        "key": keys.access_key,
        "secret": keys.secret_key,
    })
}

/// The pass did what was due, and what it took is bounded by what was due.
fn is_bounded(made: &Made, due: usize) {
    let due = due as u64;
    let quarter = due / KINDS as u64;
    let round = format!(
        "Round {{ expired: {quarter}, announced: {quarter}, objects: {quarter}, uploads: 0, records: {quarter}, \
         failed: 0, unreadable: 0, newer: 0, unlisted: 0, overdue: [0, 0] }}"
    );
    assert_eq!(made.round, round, "{made:?}");
    assert!(made.growth <= GROWTH_KIB, "the memory grew by {} KiB: {made:?}", made.growth);
    assert!(made.took <= Duration::from_secs(60), "{made:?}");
    let count = |call: &str| made.calls.get(call).copied().unwrap_or_default();
    // One page of each part, and another of one that was full.
    assert!((128..=128 + due / 50).contains(&count("due")), "{made:?}");
    assert!(count("get") <= 4 * due && count("replace") <= 2 * due, "{made:?}");
    assert_eq!(count("delete"), quarter);
    println!("{made:?}");
}

/// Inserts the records as rows, in one transaction. The first is also written by the adapter, so that the
/// rows are known to be such as it writes.
async fn fill(world: &World, jobs: &[Job]) {
    let mut raw = rusqlite::Connection::open(world.data.path().join("jobs.sqlite")).unwrap();
    const COLUMNS: &str = "id, owner, created, state, version, due, part, record";
    let row = |connection: &rusqlite::Connection| {
        let select = format!("SELECT {COLUMNS} FROM jobs WHERE id = ?1");
        let values = |row: &rusqlite::Row<'_>| (0..8).map(|at| row.get(at)).collect();
        connection.query_row(&select, [jobs[0].id.to_string()], values)
    };
    world.database.jobs().create(&jobs[0]).await.unwrap();
    let written: Vec<rusqlite::types::Value> = row(&raw).unwrap();
    raw.execute("DELETE FROM jobs", []).unwrap();
    let transaction = raw.transaction().unwrap();
    {
        let insert = format!("INSERT INTO jobs({COLUMNS}) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)");
        let mut insert = transaction.prepare(&insert).unwrap();
        for job in jobs {
            let number = |number: u64| i64::try_from(number).unwrap();
            let values = rusqlite::params![
                job.id.to_string(),
                job.order.owner.as_str(),
                number(job.times.created),
                job.state.as_str(),
                number(job.version),
                job.due.map(number),
                Part::of(job).to_string(),
                serde_json::to_string(job).unwrap(),
            ];
            insert.execute(values).unwrap();
        }
    }
    transaction.commit().unwrap();
    assert_eq!(row(&raw).unwrap(), written, "a row as the adapter writes it");
}

async fn in_sqlite(total: usize, due: usize) {
    let world = World::new().await;
    let population = Population::new(total, due);
    fill(&world, &population.jobs).await;
    population.upload(&world.objects).await;
    // The measure can fail: who reads everything takes more than a pass may.
    let greedy = pass(stores(&world), true).await;
    assert_eq!(greedy.round, format!("{total} jobs"));
    println!("all records: {} KiB", greedy.growth);
    assert!(greedy.growth > 2 * GROWTH_KIB, "the records take {} KiB", greedy.growth);
    is_bounded(&pass(stores(&world), false).await, due);
    population.is_served(&world.database.jobs(), 500).await;
    assert_eq!(world.server.jobs()().await, Ok(Vec::new()), "no object is left");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pass_takes_what_is_due_in_sqlite() {
    in_sqlite(20_000, 200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "in `make nightly`"]
async fn a_pass_takes_a_thousand_of_a_hundred_thousand_in_sqlite() {
    in_sqlite(100_000, 1_000).await;
}

/// The requests as the server gets them: the proxy counts them before it passes them on.
async fn in_dynalite(total: usize, due: usize) {
    let world = World::new().await;
    let population = Population::new(total, due);
    let table = Dynalite::shared().await.table().await;
    let store = DynamoStore::new(table.clone()).await;
    store.load(&population.jobs).await.unwrap();
    population.upload(&world.objects).await;
    let proxy = Proxy::start(table.service.endpoint.as_deref().expect("an endpoint")).await;
    let resources = Resources::named(world.server.bucket(), &table.table, "events", "dead");
    proxy.attach(&keys().access_key, vec![resources.policy("cleanup")]);
    let mut order = stores(&world);
    order["table"] = json!(table.table);
    order["endpoint"] = json!(proxy.endpoint());

    let made = pass(order.clone(), false).await;
    is_bounded(&made, due);
    let bill = proxy.bill();
    let written: BTreeSet<JobId> =
        bill.records.iter().map(|(record, _)| record["id"].as_str().unwrap().parse().unwrap()).collect();
    assert!(written.is_subset(&population.due), "only what is due is written");
    population.is_served(&store, 500).await;
    let requests = requests(&bill);
    let count = |operation: &str| requests.get(operation).copied().unwrap_or_default();
    // One that warms the connection up.
    assert_eq!(count("GetItem"), made.calls["get"] + 1, "{requests:?}");
    assert_eq!(
        (count("Query"), count("PutItem")),
        (made.calls["due"], made.calls["replace"]),
        "{requests:?}"
    );
    assert!(count("BatchGetItem") <= 128.min(due as u64) + due as u64 / 50, "{requests:?}");
    // The consistent reads, and the keys and records of what is due: a page of 4 KB has two of the latter.
    assert!(bill.half_read_units <= 2 * (made.calls["get"] + 1) + 2 * 128 + due as u64, "{bill:?}");

    // A pass with nothing to do is a query of each part, whatever is stored beside.
    let before = proxy.bill();
    let made = pass(order, false).await;
    assert_eq!(made.calls, BTreeMap::from([("due".to_owned(), 128)]), "{made:?}");
    let again = self::requests(&proxy.bill().since(&before));
    assert_eq!(again, BTreeMap::from([("GetItem".to_owned(), 1), ("Query".to_owned(), 128)]));
    assert_eq!((proxy.refused(), proxy.unknown()), (Vec::new(), Vec::new()));
    println!("{requests:?}");
}

fn requests(bill: &Bill) -> BTreeMap<String, u64> {
    let named = |((_, action), count): (&(String, String), &u64)| {
        (action.trim_start_matches("dynamodb:").to_owned(), *count)
    };
    bill.requests.iter().map(named).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pass_takes_what_is_due_in_dynalite() {
    in_dynalite(4_000, 80).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "in `make nightly`"]
async fn a_pass_takes_a_thousand_of_a_hundred_thousand_in_dynalite() {
    in_dynalite(100_000, 1_000).await;
}
