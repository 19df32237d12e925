//! Metrics as log lines in the Embedded Metric Format of CloudWatch, for tasks that nothing scrapes.
//! Once a minute each metric that an alarm depends on is a line on standard output, from which
//! CloudWatch Logs makes a metric in the namespace `cadmill`. Counters are what they grew by since the
//! line before, and histograms are the mean of what was observed since; a histogram that observed
//! nothing has no line. Labels are dimensions, beside `program`.
//!
//! (Amazon CloudWatch User Guide, "Specification: Embedded metric format")

use super::Metrics;
use super::text::{self, Sample};
use cadmill_core::metrics::{Kind, METRICS, Metric};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::time::{Duration, SystemTime};

/// Time between two lines of a metric.
const INTERVAL: Duration = Duration::from_secs(60);

/// Prints until it is dropped.
pub(super) async fn print(metrics: Metrics, program: &'static str) {
    let mut before = Before::default();
    before.lines(&metrics.render(), program, 0);
    loop {
        tokio::time::sleep(INTERVAL).await;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let millis = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        let lines = before.lines(&metrics.render(), program, millis);
        // A reader that is gone must not end the program.
        let _ = std::io::stdout().lock().write_all(lines.as_bytes());
    }
}

/// The values of the lines before, by series.
#[derive(Default)]
struct Before(HashMap<String, f64>);

impl Before {
    /// The lines for what `text` shows, each with its LF.
    fn lines(&mut self, text: &str, program: &str, millis: u64) -> String {
        let alarmed: HashMap<&str, &'static Metric> =
            METRICS.iter().filter(|metric| metric.alarmed).map(|metric| (metric.name, *metric)).collect();
        // By labels: a line can have several metrics with the same dimensions.
        let mut lines: BTreeMap<&str, Vec<(&'static Metric, f64)>> = BTreeMap::new();
        let mut sums = HashMap::new();
        for sample in text::samples(text) {
            let histogram = |suffix| sample.name.strip_suffix(suffix).and_then(|name| alarmed.get(name));
            if let Some(metric) = alarmed.get(sample.name) {
                let value = match metric.kind {
                    Kind::Counter => self.growth(&sample),
                    Kind::Gauge | Kind::Histogram(_) => sample.value,
                };
                lines.entry(sample.labels).or_default().push((*metric, value));
            } else if let Some(metric) = histogram("_sum") {
                sums.insert((metric.name, sample.labels), self.growth(&sample));
            } else if let Some(metric) = histogram("_count") {
                let count = self.growth(&sample);
                if let Some(sum) = sums.get(&(metric.name, sample.labels)).filter(|_| count > 0.0) {
                    lines.entry(sample.labels).or_default().push((*metric, sum / count));
                }
            }
        }
        lines.into_iter().map(|(labels, values)| line(labels, &values, program, millis)).collect()
    }

    fn growth(&mut self, sample: &Sample<'_>) -> f64 {
        let series = format!("{}{{{}}}", sample.name, sample.labels);
        sample.value - self.0.insert(series, sample.value).unwrap_or_default()
    }
}

fn line(labels: &str, values: &[(&'static Metric, f64)], program: &str, millis: u64) -> String {
    let mut fields: Map<String, Value> =
        text::labels(labels).map(|(name, value)| (name.to_owned(), json!(value))).collect();
    fields.insert("program".to_owned(), json!(program));
    let dimensions: Vec<String> = fields.keys().cloned().collect();
    let unit = |metric: &Metric| match metric.name {
        name if name.ends_with("_seconds") => "Seconds",
        name if name.contains("_bytes") => "Bytes",
        _ => "Count",
    };
    let names: Vec<Value> =
        values.iter().map(|(metric, _)| json!({ "Name": metric.name, "Unit": unit(metric) })).collect();
    for (metric, value) in values {
        fields.insert(metric.name.to_owned(), json!(value));
    }
    let directive = json!({ "Namespace": "cadmill", "Dimensions": [dimensions], "Metrics": names });
    fields.insert("_aws".to_owned(), json!({ "Timestamp": millis, "CloudWatchMetrics": [directive] }));
    format!("{}\n", Value::Object(fields))
}
