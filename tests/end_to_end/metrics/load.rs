//! `cadmill serve` under load: no query of the dashboard and of the alerts is empty, and no alert fires. Then
//! it breaks, in the ways of which it is a part.

use super::Client;
use super::prometheus::{Prometheus, rules, two_ports};
use crate::misbehaviour::double;
use crate::serve::Installation;
use crate::support::{children_of, repository};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

/// The alerts that fire here.
pub(super) const FAULTS: &[&str] = &[
    "CadmillEngineCrashes",
    "CadmillForbiddenCall",
    "CadmillLeasesLapse",
    "CadmillNoCleanup",
    "CadmillTargetDown",
];

/// Series that are not there as long as all is well.
const OF_FAULTS: [&str; 2] = ["status=~\"5..\"", "outcome=~\"unavailable|"];

/// Every query of the dashboard.
fn queries_of_the_dashboard() -> Vec<String> {
    let text = std::fs::read_to_string(repository().join("docs/grafana/cadmill.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let shown = panels.iter().filter(|panel| panel["type"] != "row");
    let targets: Vec<&Value> = shown
        .flat_map(|panel| {
            let targets = panel["targets"].as_array().unwrap();
            assert!(!targets.is_empty(), "{panel}");
            targets
        })
        .collect();
    targets.iter().map(|target| target["expr"].as_str().unwrap().replace("$__rate_interval", "20s")).collect()
}

/// What the alerts ask: each expression without what its comparisons leave out, and each selector alone.
fn queries_of_the_alerts() -> Vec<String> {
    let rules = rules();
    let expressions: Vec<&str> =
        rules.lines().filter_map(|line| line.trim().strip_prefix("expr: ")).collect();
    let mut queries = BTreeSet::new();
    for expression in &expressions {
        // A comparison with `bool` is 0 where it does not hold, instead of nothing.
        let all = [" > ", " >= ", " < ", " == "]
            .iter()
            .fold((*expression).to_owned(), |text, sign| text.replace(sign, &format!("{sign}bool ")));
        // `absent` is empty where its argument is not.
        queries.insert(all.replace("absent(", "("));
        queries.extend(selectors(expression).into_iter().map(str::to_owned));
    }
    assert_eq!(expressions.len(), rules.matches("- alert: ").count());
    queries.into_iter().filter(|query| !is_of_faults(query)).collect()
}

/// A selector of what is not there. Expressions that have one say what stands for nothing.
fn is_of_faults(query: &str) -> bool {
    OF_FAULTS.iter().any(|labels| query.contains(labels)) && selectors(query) == [query]
}

/// The selectors of an expression, without their windows.
fn selectors(expression: &str) -> Vec<&str> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(start) = expression[at..].find(is_word).map(|start| at + start) {
        let end = expression[start..].find(|c| !is_word(c)).map_or(expression.len(), |end| start + end);
        let word = &expression[start..end];
        let labels = expression[end..].starts_with('{').then(|| expression[end..].find('}')).flatten();
        at = labels.map_or(end, |labels| end + labels + 1);
        if word.starts_with("cadmill_") || word == "up" {
            found.push(&expression[start..at]);
        }
    }
    found
}

#[test]
fn every_selector_of_an_expression_is_found() {
    let expression = "sum by (le) (rate(cadmill_a{b=\"c, d > 1\",e=~\"f[.].*\"}[5m])) / up{x!=\"cadmill_y\"} or cadmill_z > 1";
    let expected = ["cadmill_a{b=\"c, d > 1\",e=~\"f[.].*\"}", "up{x!=\"cadmill_y\"}", "cadmill_z"];
    assert_eq!(selectors(expression), expected);
    assert!(is_of_faults("cadmill_http_requests_total{status=~\"5..\"}"));
    assert!(!is_of_faults("sum(cadmill_http_requests_total{status=~\"5..\"})"));
}

/// Works while a URL is asked again and again; returns the statuses.
pub(super) fn polled(url: &str, work: impl FnOnce()) -> BTreeSet<u16> {
    let agent: ureq::Agent =
        ureq::Agent::config_builder().http_status_as_error(false).proxy(None).build().into();
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let mut statuses = BTreeSet::new();
            while !ended.load(Ordering::Relaxed) {
                statuses.extend(agent.get(url).call().map(|answer| answer.status().as_u16()));
                std::thread::sleep(Duration::from_millis(500));
            }
            statuses
        });
        // The thread ends also if the work fails.
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        ended.store(true, Ordering::Relaxed);
        let statuses = asking.join().unwrap();
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        statuses
    })
}

/// Whether a query shows a number.
fn is_shown(prometheus: &Prometheus, query: &str) -> bool {
    prometheus.query(query).iter().any(|one| one["value"][1].as_str().is_some_and(|value| value != "NaN"))
}

#[test]
#[ignore = "in `make nightly`"]
fn no_query_is_empty_and_no_alert_fires_until_something_breaks() {
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
    let prometheus = Prometheus::start();
    let addresses = [0, 1].map(|more| format!("127.0.0.1:{}", metrics + more));
    prometheus.scrape([("cadmill-api", addresses[0].as_str()), ("cadmill-worker", addresses[1].as_str())]);
    prometheus.is_calm();
    let since = SystemTime::now();
    let client = Client::new(&served);
    let submit = |behaviour: &str| client.submit_to("in.obj", format!("{behaviour} \n").as_bytes(), "stl");
    let run = |behaviour: &str| {
        let id = submit(behaviour);
        let state = client.ended(&id);
        assert_eq!(client.call("DELETE", &format!("/api/jobs/{id}"), None).0, 200);
        state
    };

    // Load: for as long as some query has no answer.
    let queries = [queries_of_the_dashboard(), queries_of_the_alerts()].concat();
    assert!(queries.len() > 70, "{queries:#?}");
    let until = Instant::now() + Duration::from_secs(120);
    loop {
        assert_eq!(run("ok"), "COMPLETED");
        let empty: Vec<&String> = queries.iter().filter(|query| !is_shown(&prometheus, query)).collect();
        if empty.is_empty() {
            break;
        }
        assert!(Instant::now() < until, "empty: {empty:#?}");
    }
    assert_eq!(prometheus.fired_since(since), BTreeMap::new(), "health");

    // An engine that crashes, each time twice.
    for _ in 0..5 {
        assert_eq!(run("segv"), "FAILED");
    }
    prometheus.fires("CadmillEngineCrashes");
    // One that makes a symbolic link.
    assert_eq!(run("link"), "FAILED");
    prometheus.fires("CadmillForbiddenCall");
    // A worker that is killed while it has a job. It is started again at the same address.
    let looping = submit("stubborn");
    let processing =
        || client.call("GET", &format!("/api/jobs/{looping}/status"), None).1["stage"] == "convert";
    prometheus.wait_for("a job in work", |_| processing());
    for child in children_of(served.id()) {
        let name = std::fs::read_to_string(format!("/proc/{child}/comm")).unwrap_or_default();
        if name.starts_with("cadmill-convert") {
            kill_process(Pid::from_raw(i32::try_from(child).unwrap()).unwrap(), Signal::KILL).unwrap();
        }
    }
    prometheus.fires("CadmillLeasesLapse");
    assert_eq!(client.call("DELETE", &format!("/api/jobs/{looping}"), None).0, 200);
    assert!(super::get(&format!("http://127.0.0.1:{metrics}/readyz")).contains("ready"));
    prometheus.is_calm();

    // Nothing answers any more, of two targets.
    assert_eq!(served.stop(Signal::TERM), Some(0));
    prometheus.fires("CadmillTargetDown");
    prometheus.fires("CadmillNoCleanup");
    std::thread::sleep(Duration::from_secs(5));
    let times = |alert: &str| if alert == "CadmillTargetDown" { 2 } else { 1 };
    let expected = FAULTS.iter().map(|alert| ((*alert).to_owned(), times(alert))).collect();
    assert_eq!(prometheus.fired_since(since), expected);
}
