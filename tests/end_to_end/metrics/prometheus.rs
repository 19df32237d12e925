//! Debian's Prometheus scrapes `cadmill serve` under load: no query of the dashboard and of the alerts is
//! empty, and the alerts fire for real faults, and no others.
//!
//! All alerts, with made values, are in `crates/stores/src/metrics/tests/alerts.rs`.

use super::{Client, get};
use crate::misbehaviour::double;
use crate::serve::Installation;
use crate::support::{children_of, repository};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A running Prometheus; killed at the end.
struct Prometheus {
    child: Child,
    url: String,
    agent: ureq::Agent,
    _directory: TempDir,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The rules with windows of seconds instead of minutes.
fn quick(rules: &str) -> String {
    let times = [
        ("[1h]", "[60s]"),
        ("[15m]", "[30s]"),
        ("[10m]", "[30s]"),
        ("[5m]", "[30s]"),
        ("[2m]", "[20s]"),
        ("offset 15m", "offset 30s"),
        ("for: 5m", "for: 3s"),
        ("for: 2m", "for: 12s"),
    ];
    times.iter().fold(rules.to_owned(), |text, (slow, fast)| text.replace(slow, fast))
}

fn rules() -> String {
    quick(&std::fs::read_to_string(repository().join("docs/alerts.yaml")).unwrap())
}

/// A free port whose next one is free too.
fn two_ports() -> u16 {
    loop {
        let first = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = first.local_addr().unwrap().port();
        if port < u16::MAX && TcpListener::bind(("127.0.0.1", port + 1)).is_ok() {
            return port;
        }
    }
}

impl Prometheus {
    /// Scrapes the server at this port and its worker at the next, once a second.
    fn start(metrics: u16) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        std::fs::write(path("alerts.yaml"), rules()).unwrap();
        let config = format!(
            "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\n\
             rule_files: [alerts.yaml]\n\
             scrape_configs:\n\
             - job_name: cadmill-api\n  static_configs: [{{ targets: ['127.0.0.1:{metrics}'] }}]\n\
             - job_name: cadmill-worker\n  static_configs: [{{ targets: ['127.0.0.1:{}'] }}]\n",
            metrics + 1
        );
        std::fs::write(path("prometheus.yml"), config).unwrap();
        let port = two_ports();
        let child = Command::new(repository().join("target/prometheus/usr/bin/prometheus"))
            .arg(format!("--config.file={}", path("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", path("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg("--log.level=error")
            .stdin(Stdio::null())
            .spawn()
            .expect("prometheus, which `make setup` puts into target/prometheus");
        let agent = ureq::Agent::config_builder().http_status_as_error(false).proxy(None).build().into();
        Self { child, url: format!("http://127.0.0.1:{port}"), agent, _directory: directory }
    }

    /// The results of a query; none while it cannot be asked.
    fn query(&self, expression: &str) -> Vec<Value> {
        let asked = self.agent.get(format!("{}/api/v1/query", self.url)).query("query", expression).call();
        let Ok(mut answer) = asked else { return Vec::new() };
        let text = answer.body_mut().read_to_string().unwrap();
        let answer: Value = serde_json::from_str(&text).unwrap_or_default();
        assert_ne!(answer["status"], "error", "{expression}: {text}");
        answer["data"]["result"].as_array().cloned().unwrap_or_default()
    }

    /// The alerts that have fired.
    fn fired(&self) -> BTreeSet<String> {
        let found = self.query("count by (alertname) (last_over_time(ALERTS{alertstate=\"firing\"}[30m]))");
        found.iter().map(|one| one["metric"]["alertname"].as_str().unwrap().to_owned()).collect()
    }

    /// How often an alert began to fire. One that is pending, and no more, does not count.
    fn times(&self, alert: &str) -> u64 {
        let firing = format!("ALERTS{{alertname=\"{alert}\",alertstate=\"firing\"}}");
        let began = format!("sum(count_over_time(({firing} unless {firing} offset 1s)[10m:1s]))");
        let found = self.query(&began);
        let times = found.first().and_then(|one| one["value"][1].as_str()?.parse::<f64>().ok());
        times.unwrap_or_default() as u64
    }

    fn wait_for(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let until = Instant::now() + Duration::from_secs(60);
        while !holds(self) {
            assert!(Instant::now() < until, "not within a minute: {what}; fired: {:?}", self.fired());
            std::thread::sleep(Duration::from_millis(500));
        }
    }
}

/// Every query of the dashboard, and what each alert compares.
fn queries() -> Vec<String> {
    let text = std::fs::read_to_string(repository().join("docs/grafana/cadmill.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    let of_dashboard =
        targets.map(|target| target["expr"].as_str().unwrap().replace("$__rate_interval", "20s"));
    let rules = rules();
    let of_alerts = rules.lines().filter_map(|line| line.trim().strip_prefix("expr: ")).map(|expression| {
        let inner = expression.strip_prefix("absent(").and_then(|inner| inner.strip_suffix(')'));
        let expression = inner.unwrap_or(expression);
        let first = expression.split(" and on ()").next().unwrap();
        let compared = first.rsplit_once(" > ").or_else(|| first.rsplit_once(" == "));
        compared.unwrap_or((first, "")).0.to_owned()
    });
    of_dashboard.chain(of_alerts).collect()
}

#[test]
#[ignore = "in `make nightly`"]
fn no_query_is_empty_and_alerts_fire_for_real_faults() {
    let installation = Installation::whole();
    let engines = tempfile::tempdir().unwrap();
    let file = engines.path().join("engines.toml");
    let text = format!("[[engine]]\nname = \"assimp\"\nkind = \"assimp\"\nlibrary = {:?}\n", double());
    std::fs::write(&file, text).unwrap();
    let metrics = two_ports();
    let served = installation.serve_with(
        &[("CADMILL_ENGINES_FILE", Path::new(&file))],
        &["--metrics-listen", &metrics.to_string(), "--job-lease", "2s", "--cleanup-every", "2s"],
    );
    served.said("metrics of cadmill-converter on ");
    let prometheus = Prometheus::start(metrics);
    let client = Client::new(&served);
    let submit = |behaviour: &str| client.submit_to("in.obj", format!("{behaviour} \n").as_bytes(), "stl");
    let run = |behaviour: &str| {
        let id = submit(behaviour);
        let state = client.ended(&id);
        assert_eq!(client.call("DELETE", &format!("/api/jobs/{id}"), None).0, 200);
        state
    };

    // Load: for as long as some query has no answer. A lost job is one of the queries, and one that
    // was abandoned by its client.
    let queries = queries();
    assert!(queries.len() > 40, "{queries:#?}");
    let until = Instant::now() + Duration::from_secs(120);
    loop {
        assert_eq!(run("ok"), "COMPLETED");
        let empty: Vec<&String> = queries
            .iter()
            // No system error is made here.
            .filter(|query| !query.contains("infra[.]") && prometheus.query(query).is_empty())
            .collect();
        if empty.is_empty() {
            break;
        }
        assert!(Instant::now() < until, "empty: {empty:#?}");
    }
    assert_eq!(prometheus.fired(), BTreeSet::new(), "health");

    // An engine that crashes, each time twice.
    for _ in 0..5 {
        assert_eq!(run("segv"), "FAILED");
    }
    prometheus.wait_for("crashes", |p| p.fired().contains("CadmillEngineCrashes"));
    // One that makes a symbolic link.
    assert_eq!(run("link"), "FAILED");
    prometheus.wait_for("a forbidden call", |p| p.fired().contains("CadmillForbiddenCall"));
    // A worker that is killed while it has a job.
    let looping = submit("loop");
    let processing =
        || client.call("GET", &format!("/api/jobs/{looping}/status"), None).1["stage"] == "convert";
    prometheus.wait_for("a job in work", |_| processing());
    for child in children_of(served.id()) {
        let name = std::fs::read_to_string(format!("/proc/{child}/comm")).unwrap_or_default();
        if name.starts_with("cadmill-convert") {
            kill_process(Pid::from_raw(i32::try_from(child).unwrap()).unwrap(), Signal::KILL).unwrap();
        }
    }
    prometheus.wait_for("a lapsed lease", |p| p.fired().contains("CadmillLeasesLapse"));
    assert_eq!(client.call("DELETE", &format!("/api/jobs/{looping}"), None).0, 200);
    assert!(get(&format!("http://127.0.0.1:{metrics}/readyz")).contains("ready"));
    let expected = ["CadmillEngineCrashes", "CadmillForbiddenCall", "CadmillLeasesLapse"];
    let fired = prometheus.fired();
    assert_eq!(fired, expected.map(str::to_owned).into());

    // Nothing answers any more.
    assert_eq!(served.stop(Signal::TERM), Some(0));
    prometheus.wait_for("no targets", |p| p.times("CadmillTargetDown") >= 2);
    prometheus.wait_for("no cleanup", |p| p.fired().contains("CadmillNoCleanup"));
    let all: BTreeSet<String> =
        expected.iter().chain(&["CadmillTargetDown", "CadmillNoCleanup"]).map(|s| (*s).to_owned()).collect();
    assert_eq!(prometheus.fired(), all);
    // Two targets.
    for (alert, times) in expected.map(|alert| (alert, 1)).into_iter().chain([("CadmillTargetDown", 2)]) {
        assert_eq!(prometheus.times(alert), times, "{alert}");
    }
}
