//! Debian's Prometheus with the rules of docs/alerts.yaml, in less time than theirs.

use crate::support::repository;
use serde_json::{Value, json};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};
use tempfile::TempDir;

/// Windows and `for` of the rules are so many times shorter.
const FASTER: u32 = 20;

/// Bounds in seconds are so many times lower: the bounds of the buckets of a histogram stay as they are.
const LOWER: u32 = 10;

/// How long a test waits for an alert. Half an hour of the rules, and a busy machine.
const PATIENCE: Duration = Duration::from_secs(150);

/// How long no alert is active before a test goes on.
const CALM: Duration = Duration::from_secs(4);

/// The rules, with all their times shorter.
fn quick(rules: &str) -> String {
    rules.lines().map(|line| quick_line(line) + "\n").collect()
}

fn quick_line(line: &str) -> String {
    let shorter = |time: &str| {
        let time = humantime::parse_duration(time).ok()? / FASTER;
        Some(format!("{}ms", time.as_millis()))
    };
    let by = |factor: u32| move |number: &str| Some((number.parse::<u32>().ok()? / factor).to_string());
    let line = match line.trim_start().starts_with("for: ") {
        true => replaced(line, "for: ", "", shorter),
        false => replaced(line, "[", "]", shorter),
    };
    let line = replaced(&line, "cadmill_start_time_seconds < ", ")", by(FASTER));
    if ["cadmill_oldest_due_seconds", "histogram_quantile"].iter().any(|name| line.contains(name)) {
        return replaced(&line, " > ", "", by(LOWER));
    }
    line
}

/// Replaces what is between these two texts, or from the first to the end of the line.
fn replaced(line: &str, before: &str, after: &str, with: impl Fn(&str) -> Option<String>) -> String {
    let mut pieces = line.split(before);
    let mut out = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let end = if after.is_empty() { piece.len() } else { piece.find(after).unwrap_or(piece.len()) };
        let (found, rest) = piece.split_at(end);
        out += before;
        out += &with(found).unwrap_or_else(|| found.to_owned());
        out += rest;
    }
    out
}

/// The rules as this Prometheus has them.
pub(super) fn rules() -> String {
    quick(&std::fs::read_to_string(repository().join("docs/alerts.yaml")).unwrap())
}

#[test]
fn all_times_of_the_rules_are_shorter() {
    let text = "expr: rate(x{code=~\"infra[.].*\"}[10m]) > 0 or time() - cadmill_start_time_seconds < 900)\nfor: 2m\n\
                expr: max(cadmill_oldest_due_seconds) > 60\nexpr: y > 60\n";
    let expected = "expr: rate(x{code=~\"infra[.].*\"}[30000ms]) > 0 or time() - cadmill_start_time_seconds < 45)\nfor: 6000ms\n\
                    expr: max(cadmill_oldest_due_seconds) > 6\nexpr: y > 60\n";
    assert_eq!(quick(text), expected);
    for part in rules().split(['[', ' ']) {
        let time = part.trim_end().split(']').next().unwrap_or_default();
        assert!(
            !time.ends_with('m') || humantime::parse_duration(time).is_err(),
            "{time} is as long as before"
        );
    }
}

/// A free port whose next one is free too.
pub(super) fn two_ports() -> u16 {
    loop {
        let first = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = first.local_addr().unwrap().port();
        if port < u16::MAX && TcpListener::bind(("127.0.0.1", port + 1)).is_ok() {
            return port;
        }
    }
}

/// A running Prometheus; killed at the end.
pub(super) struct Prometheus {
    child: Child,
    url: String,
    agent: ureq::Agent,
    directory: TempDir,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Prometheus {
    /// Scrapes its targets, of which there are none at first, every other second, so that a machine that is
    /// busy for a few is no fault. Evaluates the rules once a second.
    pub(super) fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        std::fs::write(path("alerts.yaml"), rules()).unwrap();
        std::fs::write(path("targets.json"), "[]").unwrap();
        let config = "global: { scrape_interval: 2s, scrape_timeout: 2s, evaluation_interval: 1s }\n\
                      rule_files: [alerts.yaml]\n\
                      scrape_configs:\n\
                      - job_name: cadmill\n  file_sd_configs: [{ files: [targets.json], refresh_interval: 1s }]\n";
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
        Self { child, url: format!("http://127.0.0.1:{port}"), agent, directory }
    }

    /// Scrapes these from now on: names of scrape jobs, and addresses.
    pub(super) fn scrape<'a>(&self, targets: impl IntoIterator<Item = (&'a str, &'a str)>) {
        let targets = targets.into_iter();
        let targets: Value =
            targets.map(|(job, address)| json!({ "targets": [address], "labels": { "job": job } })).collect();
        let path = self.directory.path().join("targets.json");
        let fresh = path.with_extension("fresh");
        std::fs::write(&fresh, targets.to_string()).unwrap();
        std::fs::rename(fresh, path).unwrap();
    }

    /// The results of a request; none while it cannot be asked.
    fn ask(&self, path: &str, query: &[(&str, &str)]) -> Vec<Value> {
        let request =
            self.agent.get(format!("{}/api/v1/{path}", self.url)).query_pairs(query.iter().copied());
        let Ok(mut answer) = request.call() else { return Vec::new() };
        let text = answer.body_mut().read_to_string().unwrap();
        let answer: Value = serde_json::from_str(&text).unwrap_or_default();
        assert_ne!(answer["status"], "error", "{query:?}: {text}");
        answer["data"]["result"].as_array().cloned().unwrap_or_default()
    }

    /// The results of a query now.
    pub(super) fn query(&self, expression: &str) -> Vec<Value> {
        self.ask("query", &[("query", expression)])
    }

    /// The alerts that fire, or soon may.
    pub(super) fn active(&self) -> Vec<String> {
        let name = |one: &Value, label: &str| one["metric"][label].as_str().unwrap_or_default().to_owned();
        let active = self.query("ALERTS");
        active.iter().map(|one| format!("{} {}", name(one, "alertname"), name(one, "alertstate"))).collect()
    }

    /// How often each alert has begun to fire since then. One that is pending, and no more, does not count.
    pub(super) fn fired_since(&self, since: SystemTime) -> BTreeMap<String, u32> {
        let seconds =
            |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs().to_string();
        let (start, end) = (seconds(since), seconds(SystemTime::now()));
        let query = [
            ("query", "ALERTS{alertstate=\"firing\"}"),
            ("start", start.as_str()),
            ("end", end.as_str()),
            ("step", "1"),
        ];
        let mut fired = BTreeMap::new();
        for series in self.ask("query_range", &query) {
            let alert = series["metric"]["alertname"].as_str().unwrap().to_owned();
            let times =
                series["values"].as_array().into_iter().flatten().filter_map(|value| value[0].as_f64());
            let mut last = f64::NEG_INFINITY;
            for time in times {
                if time - last > 1.5 {
                    *fired.entry(alert.clone()).or_default() += 1;
                }
                last = time;
            }
        }
        fired
    }

    /// Waits until this holds.
    pub(super) fn wait_for(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let until = Instant::now() + PATIENCE;
        while !holds(self) {
            assert!(Instant::now() < until, "never {what}; active alerts: {:?}", self.active());
            std::thread::sleep(Duration::from_millis(250));
        }
    }

    /// Waits until an alert fires.
    pub(super) fn fires(&self, alert: &str) {
        self.wait_for(alert, |this| this.active().iter().any(|active| *active == format!("{alert} firing")));
    }

    /// Waits until no alert fires and none is pending, for some evaluations of the rules.
    pub(super) fn is_calm(&self) {
        let since = Cell::new(None);
        self.wait_for("calm", |this| {
            let calm = !this.query("up").is_empty() && this.active().is_empty();
            since.set(if calm { since.get().or_else(|| Some(Instant::now())) } else { None });
            since.get().is_some_and(|since| since.elapsed() > CALM)
        });
    }
}
