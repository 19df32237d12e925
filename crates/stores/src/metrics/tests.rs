//! Everything that is shown: its form, its size under hostile values, and that nothing of it is secret.

mod alerts;
mod backlog;
mod dashboard;

use super::*;
use crate::adapters::embedded::Database;
use crate::adapters::faulty::{Fault, FaultyJobs, Script};
use crate::adapters::metered::{MeteredJobs, MeteredQueue};
use crate::config::Program;
use crate::conformance::job_store::new_job;
use crate::readiness::Readiness;
use cadmill_core::domain::failure::FailureCode;
use cadmill_core::domain::job::{Job, JobFailure, Lease, Stage, State};
use cadmill_core::domain::state::Event;
use cadmill_core::jobs::Jobs;
use cadmill_core::metrics::label::ROUTES;
use cadmill_core::metrics::observation::Observation;
use cadmill_core::metrics::{self, Attempt, DueKind, EvidenceOutcome, Kind, METRICS, Source, Store, Wipe};
use cadmill_core::ports::{EventQueue, PortError};
use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

/// What a recorder has after `work`, of a program that is all of these.
fn recorded(sources: &[Source], work: impl FnOnce()) -> String {
    let (recorder, shown) = Metrics::recorder("test");
    ::metrics::with_local_recorder(&recorder, || {
        metrics::begin(sources);
        work();
    });
    shown.render()
}

const EVERY: &[Source] = &[Source::Api, Source::Worker, Source::Cleanup];

/// Texts that must not be on a page without authentication.
const SECRETS: [&str; 4] = ["owner-canary", "token-canary", "file-canary", "key-canary"];

fn job(number: usize) -> Job {
    let mut job = new_job(&SECRETS[0].parse().unwrap(), 1);
    job.order.file_name = format!("{}-{number}.zip", SECRETS[2]).parse().unwrap();
    job.order.format = ["dxf", "GPKG", "ESRI Shapefile", "stlb", SECRETS[3]][number % 5].to_owned();
    job
}

/// The operations that a program calls, by its code.
const API_CALLS: &[(Store, &str)] = &[
    (Store::Jobs, "create"),
    (Store::Jobs, "get"),
    (Store::Jobs, "get_many"),
    (Store::Jobs, "replace"),
    (Store::Jobs, "list"),
    (Store::Jobs, "usage"),
    (Store::Jobs, "replace_usage"),
    (Store::Jobs, "check"),
    (Store::Jobs, "crew"),
    (Store::Objects, "find"),
    (Store::Objects, "begin_multipart"),
    (Store::Objects, "parts"),
    (Store::Objects, "complete_multipart"),
    (Store::Objects, "abort_multipart"),
    (Store::Objects, "purge"),
    (Store::Objects, "check"),
    (Store::Queue, "check"),
    (Store::Audit, "begin"),
    (Store::Audit, "append"),
    (Store::Audit, "seal"),
    (Store::Audit, "sign"),
];
const CLEANUP_CALLS: &[(Store, &str)] = &[
    (Store::Jobs, "due"),
    (Store::Jobs, "get"),
    (Store::Jobs, "replace"),
    (Store::Jobs, "crew"),
    (Store::Jobs, "replace_crew"),
    (Store::Objects, "purge"),
    (Store::Objects, "find"),
    (Store::Objects, "stored"),
    (Store::Jobs, "delete"),
    (Store::Jobs, "set_aside"),
    (Store::Audit, "begin"),
    (Store::Audit, "append"),
    (Store::Audit, "seal"),
    (Store::Audit, "sign"),
    (Store::Queue, "send"),
    (Store::Queue, "depth"),
    (Store::Queue, "receive_dead"),
    (Store::Queue, "delete_dead"),
    (Store::Queue, "release_dead"),
];
const WORKER_CALLS: &[(Store, &str)] = &[
    (Store::Jobs, "get"),
    (Store::Jobs, "replace"),
    (Store::Jobs, "usage"),
    (Store::Jobs, "replace_usage"),
    (Store::Jobs, "check"),
    (Store::Jobs, "crew"),
    (Store::Objects, "head"),
    (Store::Objects, "read"),
    (Store::Objects, "checksum"),
    (Store::Objects, "begin_multipart"),
    (Store::Objects, "put_part"),
    (Store::Objects, "complete_multipart"),
    (Store::Objects, "put"),
    (Store::Objects, "delete"),
    (Store::Objects, "check"),
    (Store::Queue, "receive"),
    (Store::Queue, "change_visibility"),
    (Store::Queue, "delete"),
    (Store::Queue, "dead_letter"),
    (Store::Queue, "send"),
    (Store::Queue, "check"),
    (Store::Audit, "begin"),
    (Store::Audit, "append"),
    (Store::Audit, "sync"),
    (Store::Audit, "seal"),
    (Store::Audit, "sign"),
];

fn call(calls: &[(Store, &str)], number: usize) {
    for (store, operation) in calls {
        metrics::store_called(*store, operation, None, Some(Duration::from_millis(number as u64)));
    }
    // Some calls fail, each with one of two errors.
    let (store, operation) = calls[number % calls.len()];
    let error = match number % 2 {
        0 => PortError::NotFound("a key-canary"),
        _ => PortError::Unavailable { operation: "x", reason: SECRETS[3].to_owned() },
    };
    metrics::store_called(store, operation, Some(&error), Some(Duration::from_secs(9)));
}

/// What a thousand jobs and a thousand strangers do to the API.
fn api(number: usize) {
    let job = job(number);
    metrics::job_created(&job.order.format);
    for (route, methods) in ROUTES {
        metrics::http_request(route, methods[0], "200", Duration::from_millis(number as u64));
    }
    let hostile = ["GET", "PUT", "BREW", "token-canary", ""][number % 5];
    let routes = ["/api/jobs", "/api/jobs/{job_id}", "/nowhere/file-canary", "none"];
    let status = ["401", "404", "405", "418", "429", "503", "999"][number % 7];
    metrics::http_request(routes[number % 4], hostile, status, Duration::from_secs(1));
    metrics::polled([State::Pending, State::Processing, State::Completed, State::Failed][number % 4]);
    metrics::client_gave_up();
    metrics::streams(number);
    metrics::cleanup_attended(true);
    call(API_CALLS, number);
}

fn ended(job: &Job, number: usize) -> Job {
    let code = FailureCode::ALL[number % FailureCode::ALL.len()];
    let failure = JobFailure { code, message: SECRETS[2].to_owned(), at: None };
    let state = [State::Completed, State::Failed, State::Cancelled, State::Expired][number % 4];
    let mut job = Job { state, failure: (state == State::Failed).then_some(failure), ..job.clone() };
    job.stage_millis = Stage::ALL.iter().map(|stage| (*stage, number as u64)).collect();
    job
}

fn worker(number: usize) {
    let lease = Lease { worker: SECRETS[3].to_owned(), revision: 2, unchanged: 0 };
    let before = Job { lease: Some(lease), ..job(number) };
    let claimed = Event::Claimed { worker: SECRETS[3].to_owned(), revision: 1, dead: Some(2) };
    let after = Job { attempt: 1, state: State::Processing, ..before.clone() };
    Observation::of(&before, &claimed, &after).record(&after);
    let ended = ended(&after, number);
    Observation::of(&after, &Event::Cancelled, &ended).record(&ended);
    for attempt in
        [Attempt::Completed, Attempt::Failed, Attempt::Retried, Attempt::Stopped, Attempt::Superseded]
    {
        metrics::attempt_ended(attempt);
    }
    let engine =
        ["gdal", "occt", "assimp", "assimp-jvm", SECRETS[3], &format!("e{number}")][number % 6].to_owned();
    metrics::engine_ended(&engine, (number as u64) << 22);
    metrics::engine_crashed(&engine, i32::try_from(number % 70).unwrap());
    metrics::worker_jobs(number);
    metrics::worker_memory(1 << 34, (number as u64) << 20);
    metrics::wiped(Wipe::Done, 1);
    metrics::swept();
    metrics::cleanup_attended(false);
    call(WORKER_CALLS, number);
}

fn cleanup(number: usize) {
    let before = job(number);
    let expired = Job { state: State::Expired, ..before.clone() };
    Observation::of(&before, &Event::Expired, &expired).record(&expired);
    metrics::purged(number as u64 * 10);
    metrics::purge_failed();
    for outcome in [EvidenceOutcome::Written, EvidenceOutcome::Failed, EvidenceOutcome::Lost] {
        metrics::evidence(outcome);
    }
    metrics::oldest_due(DueKind::Delete, number as u64);
    metrics::oldest_due(DueKind::Wake, 0);
    metrics::unconfirmed_purges(1);
    metrics::orphans_deleted(1);
    metrics::queue_messages(1, 2);
    metrics::dead_letters(3);
    metrics::dead_letter_deleted();
    call(CLEANUP_CALLS, number);
}

fn series(text: &str) -> usize {
    text::samples(text).count()
}

#[test]
fn a_thousand_jobs_of_all_kinds_make_fewer_than_500_series() {
    let thousand = |work: fn(usize)| move || (0..1000).for_each(work);
    let api_and_cleanup = || {
        (0..1000).for_each(api);
        (0..1000).for_each(cleanup);
    };
    for (name, text) in [
        ("worker", recorded(&[Source::Worker], thousand(worker))),
        ("API", recorded(&[Source::Api], thousand(api))),
        ("cleanup", recorded(&[Source::Cleanup], thousand(cleanup))),
        ("serve", recorded(&[Source::Api, Source::Cleanup], api_and_cleanup)),
    ] {
        println!("{name}: {} series, {} bytes", series(&text), text.len());
        assert!((20..500).contains(&series(&text)), "{name}: {}\n{text}", series(&text));
        for secret in SECRETS.into_iter().chain(["BREW", "nowhere", "e17"]) {
            assert!(!text.contains(secret), "{name} shows {secret}");
        }
    }
}

/// Each metric is shown once something records it, with no other labels than those of the list.
#[test]
fn what_is_shown_is_the_list() {
    let text = recorded(EVERY, || {
        for number in 0..1000 {
            api(number);
            worker(number);
            cleanup(number);
        }
    });
    let families: BTreeSet<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    assert_eq!(families, METRICS.iter().map(|metric| metric.name).collect());
    for sample in text::samples(&text) {
        let metric = METRICS
            .iter()
            .filter(|metric| sample.name.starts_with(metric.name))
            .max_by_key(|metric| metric.name.len())
            .unwrap();
        let labels: Vec<_> = text::labels(sample.labels).filter(|(name, _)| *name != "le").collect();
        let names: Vec<&str> = labels.iter().map(|(name, _)| *name).collect();
        assert_eq!(
            names,
            metric.labels.iter().map(|label| label.name).collect::<Vec<_>>(),
            "{}",
            metric.name
        );
        for (label, (_, value)) in metric.labels.iter().zip(labels) {
            assert!(label.values().contains(&value), "{}: {value}", metric.name);
        }
    }
    let checked = promtool(&["check", "metrics"], &text);
    assert_eq!(checked, "", "promtool check metrics");
}

/// Runs Debian's promtool; returns what it says.
fn promtool(arguments: &[&str], input: &str) -> String {
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/prometheus/usr/bin/promtool");
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool, which `make setup` puts into target/prometheus");
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    String::from_utf8(said).unwrap() + if output.status.success() { "" } else { "failed" }
}

#[test]
fn small_counters_begin_at_zero_so_that_the_first_event_is_an_increase() {
    let text = recorded(&[Source::Worker], || {});
    let value = |name: &str, labels: &str| {
        text::samples(&text)
            .find(|sample| (sample.name, sample.labels) == (name, labels))
            .map(|sample| sample.value)
    };
    assert_eq!(value("cadmill_leases_lapsed_total", ""), Some(0.0));
    assert_eq!(value("cadmill_attempts_total", "outcome=\"retried\""), Some(0.0));
    assert_eq!(value("cadmill_jobs_ended_total", "state=\"FAILED\",code=\"infra.worker_lost\""), Some(0.0));
    assert_eq!(value("cadmill_job_wait_seconds_count", ""), Some(0.0));
    assert_eq!(value("cadmill_job_wait_seconds_bucket", "le=\"+Inf\""), Some(0.0));
    // Too many for what no alarm needs.
    assert_eq!(value("cadmill_jobs_ended_total", "state=\"FAILED\",code=\"engine.crashed\""), None);
    assert_eq!(value("cadmill_job_seconds_count", "stage=\"total\""), None);
    // Another program's.
    assert_eq!(value("cadmill_orphans_total", ""), None);
    assert_eq!(text::samples(&text).filter(|sample| sample.name == "cadmill_build_info").count(), 1);
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
    let age = now - value("cadmill_start_time_seconds", "").unwrap();
    assert!((0.0..60.0).contains(&age), "{age}");
}

/// A line for each set of labels; counters by their growth.
#[test]
fn cloudwatch_gets_what_alarms_depend_on() {
    let (recorder, shown) = Metrics::recorder("test");
    let minute = |number: usize| {
        ::metrics::with_local_recorder(&recorder, || {
            (0..number).for_each(|number| {
                worker(number);
                cleanup(number);
            })
        });
        shown.render()
    };
    let mut before = emf::Before::default();
    before.lines(&minute(2), "cadmill-converter", 0);
    let lines = before.lines(&minute(3), "cadmill-converter", 1_700_000_000_000);
    let lines: Vec<serde_json::Value> =
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let line = |name: &str, labels: &[(&str, &str)]| {
        let found = lines.iter().find(|line| {
            line.get(name).is_some() && labels.iter().all(|(label, value)| line[label] == *value)
        });
        found.unwrap_or_else(|| panic!("{name} {labels:?} in {lines:#?}"))
    };
    let lapsed = line("cadmill_leases_lapsed_total", &[]);
    assert_eq!(lapsed["cadmill_leases_lapsed_total"], 3.0);
    assert_eq!(lapsed["_aws"]["Timestamp"], 1_700_000_000_000_u64);
    let directive = &lapsed["_aws"]["CloudWatchMetrics"][0];
    assert_eq!(directive["Namespace"], "cadmill");
    assert_eq!(directive["Dimensions"], serde_json::json!([["program"]]));
    assert!(
        directive["Metrics"]
            .as_array()
            .unwrap()
            .contains(&serde_json::json!({ "Name": "cadmill_leases_lapsed_total", "Unit": "Count" }))
    );
    assert_eq!(lapsed["cadmill_unconfirmed_purges"], 1.0);
    // The mean of 0, 10 and 20 milliseconds.
    assert!((lapsed["cadmill_purge_delay_seconds"].as_f64().unwrap() - 0.01).abs() < 1e-9);
    let retried = line("cadmill_attempts_total", &[("outcome", "retried"), ("program", "cadmill-converter")]);
    assert_eq!(retried["cadmill_attempts_total"], 3.0);
    assert_eq!(
        retried["_aws"]["CloudWatchMetrics"][0]["Dimensions"],
        serde_json::json!([["outcome", "program"]])
    );
    // Its operations are summed.
    let calls = line("cadmill_store_calls_total", &[("store", "objects"), ("outcome", "ok")]);
    assert_eq!(calls["cadmill_store_calls_total"], 3.0 * 12.0);
    assert!(lines.len() < 30, "{}", lines.len());
    let text = serde_json::to_string(&lines).unwrap();
    assert!(!SECRETS.iter().any(|secret| text.contains(secret)) && !text.contains("cadmill_polls_total"));
}

/// The decorators count what the rules do, and a job's end once, also if the reply to its write is lost.
#[test]
fn calls_and_ends_are_counted_once() {
    let (recorder, shown) = Metrics::recorder("test");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    ::metrics::with_local_recorder(&recorder, || {
        runtime.block_on(async {
            let directory = tempfile::tempdir().unwrap();
            let database = Database::open(&directory.path().join("jobs.sqlite"), 10).unwrap();
            let script = Script::new().on("replace", 1, Fault::DropReply).on("create", 1, Fault::DropReply);
            let store = FaultyJobs::new(Arc::new(database.jobs()), script);
            let clock = Arc::new(cadmill_core::ports::clock::SystemClock);
            let jobs = Jobs::new(Arc::new(MeteredJobs::new(Arc::new(store))), clock, Default::default());
            let order = job(0);
            jobs.create(order.id, order.order.clone()).await.unwrap();
            jobs.send(order.id, &Event::Cancelled).await.unwrap();
            // No effect.
            jobs.send(order.id, &Event::Cancelled).await.unwrap();
            let _ = jobs.store().check().await;
            let queue = MeteredQueue::new(Arc::new(database.queue()));
            queue.send("x").await.unwrap();
            assert_eq!(queue.depth().await.unwrap().ready, 1);
        });
    });
    let text = shown.render();
    for line in [
        "cadmill_jobs_created_total{format=\"dxf\"} 1",
        "cadmill_jobs_ended_total{state=\"CANCELLED\",code=\"none\"} 1",
        "cadmill_store_calls_total{store=\"jobs\",operation=\"create\",outcome=\"unknown\"} 1",
        "cadmill_store_calls_total{store=\"jobs\",operation=\"create\",outcome=\"ok\"} 1",
        "cadmill_store_calls_total{store=\"jobs\",operation=\"replace\",outcome=\"unknown\"} 1",
        "cadmill_store_calls_total{store=\"jobs\",operation=\"check\",outcome=\"ok\"} 1",
        "cadmill_store_calls_total{store=\"queue\",operation=\"send\",outcome=\"ok\"} 1",
        "cadmill_store_call_seconds_count{store=\"queue\",operation=\"depth\"} 1",
    ] {
        assert!(text.lines().any(|other| other == line), "{line}\n{text}");
    }
}

/// The table of docs/OPERATING.md: a name that changes there is a name that a dashboard misses.
#[test]
fn the_documented_list_is_the_list() {
    const HEAD: &str = "| metric | kind | labels | of | meaning |\n|---|---|---|---|---|\n";
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/OPERATING.md");
    let document = std::fs::read_to_string(path).unwrap();
    let (head, _) = document.split_once(HEAD).expect("docs/OPERATING.md has the table's head");
    let rows: String = METRICS.iter().map(|metric| row(metric)).collect();
    let expected = format!("{head}{HEAD}{rows}");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, &expected).unwrap();
    }
    assert!(
        std::fs::read_to_string(path).unwrap() == expected,
        "docs/OPERATING.md is out of date: UPDATE_DOCS=1 cargo test -p cadmill-stores"
    );
}

fn row(metric: &cadmill_core::metrics::Metric) -> String {
    let kind = match metric.kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram(_) => "histogram",
    };
    let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{}`", label.name)).collect();
    let sources: Vec<&str> = metric.sources.iter().map(|source| source.as_str()).collect();
    format!(
        "| `{}` | {kind} | {} | {} | {} |\n",
        metric.name,
        labels.join(", "),
        sources.join(", "),
        metric.help
    )
}

mod shown {
    use super::*;
    use crate::config;
    use crate::healthcheck;
    use std::io::Read;
    use std::net::{SocketAddr, TcpStream};

    fn get(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        // A request that is too long is not read to its end.
        let _ = write!(stream, "{request} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answer
    }

    /// Without a global recorder, which other tests of this process would share.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_listener_shows_metrics_and_health_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let database = Database::open(&directory.path().join("jobs.sqlite"), 10).unwrap();
        let server = crate::adapters::embedded::EmbeddedS3::start(
            &directory.path().join("data"),
            "127.0.0.1:0".parse().unwrap(),
            Arc::new(database.queue()),
            &[],
        )
        .await
        .unwrap();
        let (config, _) = config::parse("metrics.listen = 0", Program::Serve).unwrap();
        let stores = crate::bootstrap::stores::Stores::of_embedded(
            &database,
            server.endpoint(),
            server.credentials().clone(),
            &config,
            crate::bootstrap::stores::Server::Here,
        )
        .await;
        let readiness = Readiness::of_answers(stores.objects, stores.jobs, stores.queue);
        let (recorder, shown) = Metrics::recorder("test");
        ::metrics::with_local_recorder(&recorder, || metrics::begin(&[Source::Worker]));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let served = tokio::spawn(listener::serve(listener, shown, readiness));
        tokio::task::spawn_blocking(move || {
            let answer = get(address, "GET /metrics");
            assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
            assert!(
                answer.contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"),
                "{answer}"
            );
            assert!(
                answer.contains("\n# TYPE cadmill_sweeps_total counter\ncadmill_sweeps_total 0\n"),
                "{answer}"
            );
            assert!(get(address, "GET /healthz").ends_with("\r\n\r\nok\n"));
            assert!(get(address, "GET /readyz").ends_with("\r\n\r\nready\n"));
            for (request, status) in [("POST /metrics", "405"), ("GET /", "404"), ("GET /metrics/x", "404")] {
                assert!(get(address, request).starts_with(&format!("HTTP/1.1 {status}")), "{request}");
            }
            let long = format!("GET /{}", "x".repeat(64 << 10));
            assert!(!get(address, &long).contains("200 OK"));
            assert!(healthcheck::ask(address, false).is_ok() && healthcheck::ask(address, true).is_ok());
            // Health checks are answered beside connections that say nothing.
            let idle: Vec<_> = (0..40).map(|_| TcpStream::connect(address).unwrap()).collect();
            assert!(healthcheck::ask(address, false).is_ok());
            drop(idle);
        })
        .await
        .unwrap();
        server.stop().await;
        tokio::time::sleep(crate::readiness::FRESH + Duration::from_millis(2100)).await;
        let ready = tokio::task::spawn_blocking(move || {
            (healthcheck::ask(address, true), healthcheck::ask(address, false))
        });
        let (ready, alive) = ready.await.unwrap();
        assert!(ready.unwrap_err().message.contains("/readyz answered 503") && alive.is_ok());
        served.abort();
    }
}
