//! The dashboard is made from the list, and so are the metrics that the alerts name.

use super::promtool;
use cadmill_core::metrics::{Kind, METRICS, Metric, Source};
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn path(name: &str) -> String {
    format!("{}/../../docs/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// What says how to read the counts of a new process, and has no alarm of its own.
const START_TIME: &str = "cadmill_start_time_seconds";

/// A panel: a title, the unit of Grafana, and queries with their legends.
struct Panel {
    title: String,
    help: &'static str,
    unit: &'static str,
    queries: Vec<(String, String)>,
}

/// The labels that a panel tells apart: all of a few, else those of the alarm.
fn labels_of(metric: &Metric) -> Vec<&'static str> {
    let all: Vec<&'static str> = metric.labels.iter().map(|label| label.name).collect();
    match metric.alarmed {
        Some(alarmed) if all.len() > 2 && !alarmed.is_empty() => alarmed.to_vec(),
        _ => all,
    }
}

fn panel(metric: &'static Metric) -> Panel {
    let (name, labels) = (metric.name, labels_of(metric));
    let by = |more: &[&str]| {
        let names: Vec<&str> = labels.iter().copied().chain(more.iter().copied()).collect();
        if names.is_empty() { String::new() } else { format!(" by ({})", names.join(", ")) }
    };
    let legend: Vec<String> = labels.iter().map(|label| format!("{{{{{label}}}}}")).collect();
    let legend = legend.join(" ");
    let base = match name {
        _ if name.ends_with("_seconds") => "s",
        _ if name.contains("_bytes") => "bytes",
        _ => "short",
    };
    let (unit, queries) = match metric.kind {
        Kind::Counter => {
            let unit = if base == "bytes" { "Bps" } else { "cps" };
            (unit, vec![(format!("sum{} (rate({name}[$__rate_interval]))", by(&[])), legend)])
        }
        // How long each process has been running.
        Kind::Gauge if name == START_TIME => (
            base,
            vec![(format!("time() - max by (job, instance) ({name})"), "{{job}} {{instance}}".to_owned())],
        ),
        Kind::Gauge => (base, vec![(format!("max{} ({name})", by(&[])), legend)]),
        Kind::Histogram(_) => {
            let quantile = |part: &str| {
                let inner = format!("sum{} (rate({name}_bucket[$__rate_interval]))", by(&["le"]));
                (format!("histogram_quantile({part}, {inner})"), format!("{legend} {part}").trim().to_owned())
            };
            (base, vec![quantile("0.5"), quantile("0.99")])
        }
    };
    let title = if name == START_TIME { "uptime" } else { name };
    let title = title.trim_start_matches("cadmill_").trim_end_matches("_total").replace('_', " ");
    Panel { title, help: metric.help, unit, queries }
}

/// Grafana's dashboard, in the schema of version 10.
fn dashboard() -> Value {
    let source = json!({ "type": "prometheus", "uid": "${source}" });
    let mut panels = Vec::new();
    let mut top = 0;
    let groups = [("API", Source::Api), ("Worker", Source::Worker), ("Cleanup", Source::Cleanup)];
    for (title, group) in groups {
        panels.push(json!({
            "id": panels.len() + 1, "type": "row", "title": title, "collapsed": false,
            "gridPos": { "x": 0, "y": top, "w": 24, "h": 1 }, "panels": [],
        }));
        top += 1;
        // Each metric once, with the first program that records it.
        let of_group = METRICS.iter().filter(|metric| metric.sources[0] == group);
        for (place, metric) in of_group.enumerate() {
            let Panel { title, help, unit, queries } = panel(metric);
            let targets: Vec<Value> = queries
                .into_iter()
                .zip(["A", "B"])
                .map(|((expression, legend), id)| {
                    json!({ "refId": id, "datasource": source, "expr": expression, "legendFormat": legend })
                })
                .collect();
            panels.push(json!({
                "id": panels.len() + 1, "type": "timeseries", "title": title, "description": help,
                "datasource": source,
                "gridPos": { "x": place % 3 * 8, "y": top + place / 3 * 8, "w": 8, "h": 8 },
                "fieldConfig": { "defaults": { "unit": unit, "min": 0 }, "overrides": [] },
                "targets": targets,
            }));
        }
        top += METRICS.iter().filter(|metric| metric.sources[0] == group).count().div_ceil(3) * 8;
    }
    json!({
        "title": "cadmill",
        "uid": "cadmill",
        "description": "Made from the list of metrics; docs/OPERATING.md says what each is.",
        "schemaVersion": 38,
        "editable": true,
        "refresh": "30s",
        "time": { "from": "now-3h", "to": "now" },
        "templating": { "list": [{
            "name": "source", "type": "datasource", "query": "prometheus", "label": "Prometheus",
        }] },
        "panels": panels,
    })
}

#[test]
fn the_dashboard_is_made_from_the_list() {
    let path = path("grafana/cadmill.json");
    let expected = format!("{}\n", serde_json::to_string_pretty(&dashboard()).unwrap());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &expected).unwrap();
    }
    assert!(
        std::fs::read_to_string(&path).unwrap_or_default() == expected,
        "docs/grafana/cadmill.json is out of date: UPDATE_DOCS=1 cargo test -p cadmill-stores"
    );
    for metric in METRICS {
        assert!(expected.contains(metric.name), "{}", metric.name);
    }
}

/// Names of metrics in a text, without the suffixes of histograms.
fn named(text: &str) -> BTreeSet<&str> {
    let is_part = |c: char| c.is_ascii_lowercase() || c == '_';
    let words = text.split(|c: char| !is_part(c)).filter(|word| word.starts_with("cadmill_"));
    words
        .map(|word| {
            let cut = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| word.strip_suffix(suffix));
            cut.unwrap_or(word)
        })
        .collect()
}

#[test]
fn the_alerts_are_valid_and_explained_and_name_the_metrics_of_alarms() {
    let rules = std::fs::read_to_string(path("alerts.yaml")).unwrap();
    let said = promtool(&["check", "rules", &path("alerts.yaml")], "");
    assert!(said.contains("SUCCESS") && !said.ends_with("failed"), "{said}");
    let alarmed = METRICS.iter().filter(|metric| metric.alarmed.is_some()).map(|metric| metric.name);
    let expected: BTreeSet<&str> = alarmed.chain([START_TIME]).collect();
    assert_eq!(named(&rules), expected, "what the alerts name, and what the list calls alarmed");
    let operating = std::fs::read_to_string(path("OPERATING.md")).unwrap();
    let alerts: BTreeSet<&str> =
        rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    let explained: BTreeSet<&str> = operating
        .lines()
        .filter_map(|line| line.strip_prefix("### "))
        .filter(|title| title.starts_with("Cadmill"))
        .collect();
    assert_eq!(alerts, explained);
    assert!(alerts.len() > 10);
}
