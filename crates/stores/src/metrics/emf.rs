//! Metrics as log lines in the Embedded Metric Format of CloudWatch, for tasks that nothing scrapes.
//! Once a minute each metric that an alarm depends on is on a line of standard output, from which
//! CloudWatch Logs makes a metric in the namespace `cadmill`. Counters are what they grew by since the
//! line before, and histograms are the mean of what was observed since; a histogram that observed
//! nothing has no value. The labels that an alarm tells apart are dimensions, beside `program`; series
//! that differ in others are summed.
//!
//! (Amazon CloudWatch User Guide, "Specification: Embedded metric format")

use super::recorder::Metrics;
use super::text::{self, Sample};
use cadmill_core::metrics::{Kind, METRICS, Metric};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::time::{Duration, SystemTime};
use tokio::sync::oneshot;

/// Time between two lines of a metric.
const INTERVAL: Duration = Duration::from_secs(60);

/// Prints until `stop` is sent or dropped, and then once more: a task for one upload may end within the
/// minute.
pub(super) async fn print(metrics: Metrics, mut stop: oneshot::Receiver<()>) {
    let program = metrics.program();
    let mut before = Before::default();
    before.lines(&metrics.render(), program, 0);
    let mut is_last = false;
    while !is_last {
        is_last = tokio::time::timeout(INTERVAL, &mut stop).await.is_ok();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let millis = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        let lines = before.lines(&metrics.render(), program, millis);
        // A reader that is gone must not end the program.
        let _ = std::io::stdout().lock().write_all(lines.as_bytes());
    }
}

/// The values of the lines before, by series.
#[derive(Default)]
pub(super) struct Before(HashMap<String, f64>);

/// Names and values of dimensions, in order.
type Dimensions = BTreeMap<String, String>;

/// What a metric has since the line before: the value, or sum and count of a histogram.
#[derive(Debug, Clone, Copy, Default)]
struct Since {
    sum: f64,
    count: f64,
}

impl Before {
    /// The lines for what `text` shows, each with its LF.
    pub(super) fn lines(&mut self, text: &str, program: &str, millis: u64) -> String {
        // By dimensions: a line has every metric that has the same.
        let mut lines: BTreeMap<Dimensions, BTreeMap<&'static str, Since>> = BTreeMap::new();
        for sample in text::samples(text) {
            let Some((metric, kept)) = alarmed(sample.name) else { continue };
            let is_gauge = metric.kind == Kind::Gauge;
            let value = if is_gauge { sample.value } else { self.growth(&sample) };
            let labels = text::labels(sample.labels).filter(|(name, _)| kept.contains(name));
            let mut dimensions: Dimensions =
                labels.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            dimensions.insert("program".to_owned(), program.to_owned());
            let since = lines.entry(dimensions).or_default().entry(metric.name).or_default();
            if sample.name.ends_with("_count") {
                since.count += value;
            } else if !sample.name.ends_with("_bucket") {
                since.sum += value;
            }
        }
        lines.iter().map(|(dimensions, values)| line(dimensions, values, millis)).collect()
    }

    fn growth(&mut self, sample: &Sample<'_>) -> f64 {
        let series = format!("{}{{{}}}", sample.name, sample.labels);
        sample.value - self.0.insert(series, sample.value).unwrap_or_default()
    }
}

/// The metric that a sample is of, if an alarm depends on it, and the labels that it keeps.
fn alarmed(sample: &str) -> Option<(&'static Metric, &'static [&'static str])> {
    let is_of = |metric: &Metric| match metric.kind {
        Kind::Histogram(_) => {
            let suffix = sample.strip_prefix(metric.name);
            suffix.is_some_and(|suffix| ["_bucket", "_sum", "_count"].contains(&suffix))
        }
        Kind::Counter | Kind::Gauge => sample == metric.name,
    };
    let metric = METRICS.iter().find(|metric| is_of(metric))?;
    Some((metric, metric.alarmed?))
}

fn line(dimensions: &Dimensions, values: &BTreeMap<&'static str, Since>, millis: u64) -> String {
    let mut fields: Map<String, Value> =
        dimensions.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    let mut names = Vec::new();
    for (name, since) in values {
        let is_histogram =
            METRICS.iter().any(|metric| metric.name == *name && matches!(metric.kind, Kind::Histogram(_)));
        let value = match is_histogram {
            true if since.count == 0.0 => continue,
            true => since.sum / since.count,
            false => since.sum,
        };
        names.push(
            json!({ "Name": name, "Unit": if name.ends_with("_seconds") { "Seconds" } else { "Count" } }),
        );
        fields.insert((*name).to_owned(), json!(value));
    }
    if names.is_empty() {
        return String::new();
    }
    let keys: Vec<&String> = dimensions.keys().collect();
    let directive = json!({ "Namespace": "cadmill", "Dimensions": [keys], "Metrics": names });
    fields.insert("_aws".to_owned(), json!({ "Timestamp": millis, "CloudWatchMetrics": [directive] }));
    format!("{}\n", Value::Object(fields))
}
