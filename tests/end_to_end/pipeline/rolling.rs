//! A rolling update: programs of this version and of the next one work on the same stores, and each is
//! replaced by the other, forwards and back. The next version is an imitation, which has a field more in every
//! record and message and two states that this version does not know (`cadmill_core::domain::stored::next`).

use super::processes::Service;
use super::world::World;
use crate::support::{Bench, real, zipped};
use cadmill_core::domain::ids::JobId;
use cadmill_core::domain::job::State;
use cadmill_core::domain::stored::next;
use cadmill_core::ports::PortError;
use rustix::process::Signal;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use zip::CompressionMethod::Stored;

const PATIENCE: Duration = Duration::from_secs(120);

/// Jobs that are submitted while a program is replaced.
const AT_ONCE: usize = 3;

/// The records of all jobs as they are stored.
fn records(database: &Path) -> Vec<Value> {
    let connection = rusqlite::Connection::open(database).expect("the database");
    connection.busy_timeout(Duration::from_secs(30)).expect("a timeout");
    let mut statement = connection.prepare("SELECT record FROM jobs").expect("a query");
    let texts = statement.query_map([], |row| row.get::<_, String>(0)).expect("rows");
    texts.map(|text| serde_json::from_str(&text.expect("a row")).expect("JSON")).collect()
}

fn text<'a>(record: &'a Value, name: &str) -> &'a str {
    record[name].as_str().unwrap_or_default()
}

/// What was seen of a job.
#[derive(Debug, Default)]
struct Seen {
    version: u64,
    /// The field of the next version.
    field: Option<u64>,
    end: Option<String>,
}

/// Looks at the records until it is asked to stop: nothing of the next version is lost, and a job ends once.
fn watched(database: PathBuf, stop: &AtomicBool) -> BTreeMap<String, Seen> {
    let mut all: BTreeMap<String, Seen> = BTreeMap::new();
    while !stop.load(Ordering::Relaxed) {
        for record in records(&database) {
            let seen = all.entry(text(&record, "id").to_owned()).or_default();
            let version = record["version"].as_u64().expect("a version");
            assert!(version >= seen.version, "{seen:?}: {record}");
            seen.version = version;
            let field = record.get(next::FIELD).and_then(Value::as_u64);
            assert!(seen.field.is_none() || field == seen.field, "lost: {seen:?}: {record}");
            seen.field = field;
            let end = match text(&record, "state") {
                "PENDING" | "PROCESSING" | "CONVERTING" => None,
                "DELIVERED" => Some("COMPLETED".to_owned()),
                end => Some(end.to_owned()),
            };
            assert!(seen.end.is_none() || end == seen.end, "ended again: {seen:?}: {record}");
            seen.end = end;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    all
}

/// The programs, on embedded stores.
struct Site {
    variables: Vec<(&'static str, String)>,
    url: String,
}

impl Site {
    fn of(world: &World) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("its address").to_string();
        let mut variables = world.variables();
        variables.extend(
            [
                ("CADMILL_API_LISTEN", address.as_str()),
                ("CADMILL_CLEANUP_EVERY", "1s"),
                ("CADMILL_JOB_LEASE", "3s"),
                ("CADMILL_PRIVATE_WORKSPACE", "no"),
                ("CADMILL_WORKER_CONCURRENCY", "2"),
                ("CADMILL_WORKER_MEMORY", "8G"),
            ]
            .map(|(name, value)| (name, value.to_owned())),
        );
        Self { variables, url: format!("http://{address}") }
    }

    fn start(&self, program: &str, is_next: bool) -> Service {
        let mut variables = self.variables.clone();
        if is_next {
            variables.push((next::VARIABLE, "1".to_owned()));
        }
        let (arguments, ready): (&[&str], _) = match program {
            "cadmill-api" => (&[], "listening on "),
            "cadmill-cleanup" => (&[], "cleaning up every"),
            _ => (&["worker"], "ready"),
        };
        let mut service = Service::start(program, arguments, &variables);
        service.wait_for(ready);
        service
    }

    /// The result of a small job, from its submission to the confirmation of its download.
    fn submit(&self) -> Vec<u8> {
        let bench = Bench::new().with("CADMILL_SERVER", &self.url);
        let (input, output) = (real("mesh/cube_ascii.ply"), bench.path("out.stl"));
        let (input, output) = (input.to_str().expect("UTF-8"), output.to_str().expect("UTF-8"));
        bench.run(&["submit", input, "--to", "stl", "-o", output]).succeeded();
        std::fs::read(output).expect("a result")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "in `make nightly`"]
async fn nothing_is_lost_in_a_rolling_update_forwards_and_back() {
    const PROGRAMS: [&str; 3] = ["cadmill-cleanup", "cadmill-api", "cadmill-converter"];
    let world = World::new().await;
    let database = world.data().join(cadmill_stores::config::DATABASE);
    let site = Arc::new(Site::of(&world));
    let mut services: BTreeMap<&str, Service> =
        PROGRAMS.into_iter().map(|program| (program, site.start(program, false))).collect();
    let stop = Arc::new(AtomicBool::new(false));
    let watcher = {
        let (database, stop) = (database.clone(), Arc::clone(&stop));
        std::thread::spawn(move || watched(database, &stop))
    };
    let results = tokio::task::spawn_blocking({
        let (site, database) = (Arc::clone(&site), database.clone());
        move || {
            let mut results = vec![site.submit()];
            // What knows less goes first on the way back, and the cleanup last: it still knows every state.
            let forwards = PROGRAMS.map(|program| (program, true));
            let back = PROGRAMS.into_iter().rev().map(|program| (program, false));
            for (program, is_next) in forwards.into_iter().chain(back) {
                let jobs: Vec<_> = (0..AT_ONCE)
                    .map(|_| {
                        let site = Arc::clone(&site);
                        std::thread::spawn(move || site.submit())
                    })
                    .collect();
                std::thread::sleep(Duration::from_millis(300));
                let old = services.remove(program).expect("it runs");
                if program == "cadmill-api" {
                    // They have one address here; clients ask again meanwhile.
                    old.stops_well();
                    services.insert(program, site.start(program, is_next));
                } else {
                    if program == "cadmill-cleanup" && !is_next {
                        no_record_is_of_the_next_version(&database);
                    }
                    services.insert(program, site.start(program, is_next));
                    old.stops_well();
                }
                results.extend(jobs.into_iter().map(|job| job.join().expect("it comes back converted")));
            }
            (results, services)
        }
    });
    let (results, services) = results.await.expect("the update");
    assert_eq!(results.len(), 1 + 6 * AT_ONCE);
    assert!(results.iter().all(|result| *result == results[0] && !result.is_empty()));

    // The files are deleted, by whichever version.
    let since = Instant::now();
    let is_deleted = |record: &Value| record["purges"].as_u64() > Some(0);
    while !records(&database).iter().all(is_deleted) {
        let logs: String = services.values().map(Service::log).collect();
        assert!(since.elapsed() < PATIENCE, "{:?}\n{logs}", records(&database));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    world.queue_is_empty().await;
    stop.store(true, Ordering::Relaxed);
    let seen = watcher.join().expect("what was seen");
    assert_eq!(seen.len(), results.len(), "a job for each request");
    assert!(seen.values().all(|seen| seen.end.as_deref() == Some("COMPLETED")), "{seen:?}");
    let marked = seen.values().filter(|seen| seen.field.is_some()).count();
    assert!((AT_ONCE..seen.len()).contains(&marked), "jobs of both versions: {seen:?}");
    let crossed = seen.values().filter(|seen| seen.field.is_some_and(|field| field > 0)).count();
    println!("{} jobs, {marked} with fields of the next version, {crossed} made by this one", seen.len());
    for id in seen.keys() {
        let job = world.job(id.parse().expect("an id")).await;
        for object in job.input.iter().chain(&job.output) {
            let left = world.objects.head(&object.key).await;
            assert!(matches!(left, Err(PortError::NotFound(_))), "{id}: {left:?}");
        }
        let usage = world.jobs.store().usage(&job.order.owner).await.expect("read").expect("there");
        assert_eq!((usage.jobs, usage.bytes), (0, 0), "{usage:?}");
    }
    for service in services.into_values() {
        service.stops_well();
    }
}

/// Waits until no job is in a state that only the next version knows.
fn no_record_is_of_the_next_version(database: &Path) {
    let since = Instant::now();
    let is_next = |record: &Value| matches!(text(record, "state"), "CONVERTING" | "DELIVERED");
    while records(database).iter().any(is_next) {
        assert!(since.elapsed() < PATIENCE, "{:?}", records(database));
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Each program of this version meets a job in a state of the next one: it is left, and goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "in `make nightly`"]
async fn a_job_in_a_state_of_the_next_version_is_left_to_it() {
    let mut world = World::new().await;
    let database = world.data().join(cadmill_stores::config::DATABASE);
    let site = Site::of(&world);
    let (mut cleanup, _api) = (site.start("cadmill-cleanup", false), site.start("cadmill-api", false));
    world.set(next::VARIABLE, "1");
    let newer = world.worker("newer", Some("converting"));
    let point = br#"{"type":"Feature","properties":{},"geometry":{"type":"Point","coordinates":[1,2]}}"#;
    let id = world.submit(&zipped(&[("a.geojson", Stored, point)]), "dxf").await;
    newer.stopped().await;
    let record = || records(&database).into_iter().find(|record| text(record, "id") == id.to_string());
    assert_eq!(text(&record().expect("a record"), "state"), "CONVERTING");

    world.set(next::VARIABLE, "0");
    let _older = world.worker("older", None);
    world.repeat_event(id, 1).await;
    world.wait_until_said("leaving the job to a worker of another version").await;
    let answers = tokio::task::spawn_blocking({
        let url = site.url.clone();
        move || [asked(&url, id, "GET", "/status"), asked(&url, id, "DELETE", "")]
    });
    for (status, again, body) in answers.await.expect("answers") {
        assert_eq!((status, again.as_deref()), (503, Some("2")), "{body}");
        assert!(body.contains("infra.store_unavailable"), "{body}");
    }
    cleanup.wait_for("another version of cadmill wrote records of jobs");
    let left = record().expect("it is there");
    assert_eq!((text(&left, "state"), left["attempt"].as_u64()), ("CONVERTING", Some(1)));

    // Its worker was away for longer than its lease, and gives the job back. Then any worker may finish it.
    newer.signal(Signal::CONT);
    let since = Instant::now();
    while record().is_some_and(|record| text(&record, "state") != "COMPLETED") {
        assert!(since.elapsed() < PATIENCE, "{:?}\n{}", record(), world.logs());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let job = world.job(id).await;
    assert_eq!((job.state, job.attempt <= 2), (State::Completed, true), "{job:?}");
    let field = record().expect("a record").get(next::FIELD).cloned();
    assert!(field.is_some(), "what the next version has in it is kept");
    world.queue_is_empty().await;
}

/// The status, `Retry-After` and body of an answer about a job.
fn asked(url: &str, id: JobId, method: &str, path: &str) -> (u16, Option<String>, String) {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let url = format!("{url}/api/jobs/{id}{path}");
    let mut answer = match method {
        "GET" => agent.get(&url).call(),
        _ => agent.delete(&url).call(),
    }
    .expect("an answer");
    let again = answer.headers().get("retry-after").and_then(|value| value.to_str().ok()).map(str::to_owned);
    (answer.status().as_u16(), again, answer.body_mut().read_to_string().expect("a body"))
}
