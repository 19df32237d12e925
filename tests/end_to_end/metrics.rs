//! Metrics, health checks and traces of `cadmill serve` and its worker, from a job to its deletion.

mod faults;
mod load;
mod prometheus;
mod relay;
mod site;

use crate::serve::{Installation, Served};
use crate::support::{real, repository, unique};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const TOKEN: &str = "canary-token-0123456789abcdef0123456789abcdef";
const OWNER: &str = "canary-owner";
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// Begins as an archive.
const BROKEN: &[u8] = b"PK\x03\x04, and no more";

/// A client with a token.
struct Client {
    agent: ureq::Agent,
    url: String,
}

impl Client {
    fn new(served: &Served) -> Self {
        let agent = ureq::Agent::config_builder().http_status_as_error(false).proxy(None).build().into();
        Self { agent, url: served.url.clone() }
    }

    /// The status and the body of an answer.
    fn call(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url))
            .header("authorization", format!("Bearer {TOKEN}"))
            .header("content-type", "application/json")
            .header("traceparent", format!("00-{TRACE}-b7ad6b7169203331-01"))
            .body(body.map(Value::to_string).unwrap_or_default())
            .unwrap();
        let mut answer = self.agent.run(request).unwrap();
        let text = answer.body_mut().read_to_string().unwrap();
        (answer.status().as_u16(), serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    /// Creates a job, uploads its file and returns its id.
    fn submit(&self, name: &str, content: &[u8]) -> String {
        self.submit_to(name, content, "geojson")
    }

    fn submit_to(&self, name: &str, content: &[u8], format: &str) -> String {
        let order = json!({ "file_name": name, "size_bytes": content.len(), "target_format": format });
        let (status, made) = self.call("POST", "/api/jobs", Some(&order));
        assert_eq!(status, 201, "{made}");
        let upload = &made["upload"];
        let mut put = self.agent.put(upload["url"].as_str().unwrap());
        for (name, value) in upload["headers"].as_object().unwrap() {
            put = put.header(name, value.as_str().unwrap());
        }
        assert_eq!(put.send(content).unwrap().status(), 200);
        made["job_id"].as_str().unwrap().to_owned()
    }

    /// Polls until the job has ended; returns its state.
    fn ended(&self, id: &str) -> String {
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            let (_, status) = self.call("GET", &format!("/api/jobs/{id}/status"), None);
            let state = status["state"].as_str().unwrap().to_owned();
            if !["PENDING", "PROCESSING"].contains(&state.as_str()) {
                return state;
            }
            assert!(Instant::now() < until, "{status}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

fn get(url: &str) -> String {
    let agent: ureq::Agent = ureq::Agent::config_builder().proxy(None).build().into();
    agent.get(url).call().unwrap().body_mut().read_to_string().unwrap()
}

fn promtool(arguments: &[&str], input: &str) -> (bool, String) {
    let mut child = Command::new(repository().join("target/prometheus/usr/bin/promtool"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool, which `make setup` puts into target/prometheus");
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    (output.status.success(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

/// The exit code and the message of a health check.
fn check(program: &str, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(Path::new(env!("CARGO_BIN_EXE_cadmill")).with_file_name(program));
    let output = command.env_clear().args(arguments).output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_job_is_counted_and_traced_to_its_deletion_and_never_named() {
    let installation = Installation::whole();
    let digest: String = Sha256::digest(TOKEN).iter().map(|byte| format!("{byte:02x}")).collect();
    let served = installation.serve(&[
        "--api-auth",
        "tokens",
        "--api-tokens",
        &format!("{OWNER}:{digest}"),
        "--metrics-listen",
        "0",
        "--log-format",
        "json",
    ]);
    let own = served.said("metrics of cadmill serve on ");
    let worker = served.said("metrics of cadmill-converter on ");
    let client = Client::new(&served);
    let file = format!("canary-file-{}.kml", unique());
    let content = std::fs::read(real("gis/cities.kml")).unwrap();
    let id = client.submit(&file, &content);
    assert_eq!(client.ended(&id), "COMPLETED");
    // Its directory does not open.
    let broken = client.submit("canary-file-broken.zip", BROKEN);
    assert_eq!(client.ended(&broken), "FAILED");
    assert_eq!(client.call("POST", &format!("/api/jobs/{id}/downloaded"), None).0, 204);
    assert_eq!(client.call("GET", "/canary-path", None).0, 404);
    served.said("deleted everything of an ended job");

    let (api, worked) = (get(&own), get(&worker));
    let has =
        |text: &str, line: &str| assert!(text.lines().any(|other| other.starts_with(line)), "{line}\n{text}");
    for line in [
        "cadmill_jobs_created_total{format=\"geojson\"} 2",
        "cadmill_http_requests_total{route=\"/api/jobs\",method=\"POST\",status=\"201\"} 2",
        "cadmill_http_requests_total{route=\"none\",method=\"other\",status=\"404\"} 1",
        "cadmill_http_request_seconds_count{route=\"/api/jobs/{job_id}/status\"} ",
        "cadmill_polls_total{state=\"COMPLETED\"} 1",
        "cadmill_store_calls_total{store=\"jobs\",operation=\"create\",outcome=\"ok\"} 2",
        "cadmill_store_call_seconds_bucket{store=\"jobs\",operation=\"due\",le=\"0.05\"} ",
        "cadmill_purges_total{outcome=\"done\"} ",
        "cadmill_purge_delay_seconds_count ",
        "cadmill_oldest_due_seconds{kind=\"delete\"} ",
        "cadmill_unconfirmed_purges 0",
        "cadmill_queue_messages{queue=\"events\",state=\"ready\"} ",
        "cadmill_queue_messages{queue=\"dead\",state=\"ready\"} 0",
        "cadmill_orphans_total 0",
        "cadmill_build_info{version=",
    ] {
        has(&api, line);
    }
    for line in [
        "cadmill_jobs_ended_total{state=\"COMPLETED\",code=\"none\"} 1",
        "cadmill_jobs_ended_total{state=\"FAILED\",code=\"input.archive.",
        "cadmill_attempts_total{outcome=\"completed\"} 1",
        "cadmill_attempts_total{outcome=\"failed\"} 1",
        "cadmill_job_seconds_count{stage=\"convert\"} 1",
        "cadmill_job_seconds_count{stage=\"total\"} 1",
        "cadmill_job_wait_seconds_count 2",
        "cadmill_leases_lapsed_total 0",
        &format!("cadmill_input_bytes_total {}", content.len() + BROKEN.len()),
        "cadmill_engine_peak_memory_bytes_count{engine=\"gdal\"} 1",
        "cadmill_worker_jobs 0",
        "cadmill_worker_memory_bytes{kind=\"reserved\"} 0",
        "cadmill_wipes_total{outcome=\"done\"} 1",
        "cadmill_sweeps_total ",
        "cadmill_store_calls_total{store=\"audit\",operation=\"seal\",outcome=\"ok\"} 2",
        "cadmill_store_calls_total{store=\"objects\",operation=\"head\",outcome=\"ok\"} ",
    ] {
        has(&worked, line);
    }
    for text in [&api, &worked] {
        for secret in [TOKEN, OWNER, "canary", &id, &broken, "4bf9", TRACE, "signature", "Signature"] {
            assert!(!text.contains(secret), "{secret}\n{text}");
        }
        assert_eq!(promtool(&["check", "metrics"], text), (true, String::new()));
    }

    // Every line about the job names the trace of the request that created it.
    let lines = served.lines();
    let of_job: Vec<Value> = lines
        .iter()
        .filter_map(|line| serde_json::from_str(line).ok())
        .filter(|line: &Value| line["job.id"] == *id)
        .collect();
    for message in [
        "request",
        "poll",
        "claimed",
        "the engine has finished",
        "completed",
        "deleted everything of an ended job",
    ] {
        let found = of_job.iter().find(|line| line["message"] == message);
        let found = found.unwrap_or_else(|| panic!("no line '{message}': {of_job:#?}"));
        assert_eq!(found["trace_id"], TRACE, "{message}");
    }

    // Health checks, of each program on its own listener.
    let address = |url: &str| url.trim_start_matches("http://").trim_end_matches("/metrics").to_owned();
    let (own, worker, api) = (address(&own), address(&worker), address(&served.url));
    for ready in [&[][..], &["--ready"]] {
        for (program, mode, address) in [
            ("cadmill", Some("serve"), &api),
            ("cadmill", Some("serve"), &own),
            ("cadmill-converter", None, &worker),
            ("cadmill-api", None, &own),
        ] {
            let arguments: Vec<&str> = mode
                .into_iter()
                .chain(["healthcheck", "--address", address])
                .chain(ready.iter().copied())
                .collect();
            assert_eq!(check(program, &arguments), (Some(0), String::new()), "{program} {arguments:?}");
        }
    }
    assert_eq!(served.stop(Signal::TERM), Some(0));
    for (program, arguments) in [
        ("cadmill", &["serve", "healthcheck", "--address", &api][..]),
        ("cadmill-converter", &["healthcheck", "--address", &worker]),
        ("cadmill-converter", &["healthcheck", "--backend", "aws"]),
        ("cadmill-converter", &["healthcheck", "--unknown"]),
        ("cadmill", &["serve", "healthcheck", "--unknown"]),
    ] {
        let (code, said) = check(program, arguments);
        assert!(code == Some(1) && !said.is_empty(), "{program} {arguments:?}: {code:?} {said}");
    }
}

/// Each program prints when it ends, too: a task may end within the minute.
#[test]
fn cloudwatch_gets_lines_of_both_programs() {
    let installation = Installation::whole();
    let arguments = ["--listen", "127.0.0.1:0", "--data", "data", "--metrics-emf", "true"];
    let mut command = installation.command(&arguments);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(
        lines.any(|line| line.ends_with("\"ready\"") || line.contains(" ready ")),
        "the worker is not ready"
    );
    let draining = std::thread::spawn(move || lines.for_each(drop));
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let output = child.wait_with_output().unwrap();
    draining.join().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (program, metric) in
        [("cadmill serve", "cadmill_orphans_total"), ("cadmill-converter", "cadmill_leases_lapsed_total")]
    {
        let line = lines.iter().find(|line| line["program"] == program && line.get(metric).is_some());
        let line = line.unwrap_or_else(|| panic!("no {metric} of {program}: {text}"));
        let directive = &line["_aws"]["CloudWatchMetrics"][0];
        assert!(line["_aws"]["Timestamp"].as_u64().unwrap() > 1_700_000_000_000, "{line}");
        assert_eq!((&directive["Namespace"], &line[metric]), (&json!("cadmill"), &json!(0.0)), "{line}");
    }
}
