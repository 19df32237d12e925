//! The report of a check as one self-contained HTML page.
//!
//! What comes from a library is escaped. The Content-Security-Policy of the page forbids scripts and all
//! external resources.

use super::checked::Checked;
use crate::markup::escape;
use cadmill_core::domain::limits::display_size;
use std::fmt::Write as _;
use std::time::SystemTime;

const STYLE: &str = ":root{color-scheme:light dark}\
    body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem}\
    h1{font-size:1.5rem}h2{font-size:1.15rem;margin:2rem 0 .5rem}\
    table{border-collapse:collapse;font-size:13px}td,th{padding:.2rem .8rem .2rem 0;text-align:left;vertical-align:top}\
    td.n,th.n{text-align:right}code,pre{font-size:12px;overflow-wrap:anywhere;white-space:pre-wrap}\
    .g{display:inline-block;padding:0 .5rem;border-radius:3px;color:#fff;background:#57606a}\
    .passed{background:#1a7f37}.warning{background:#9a6700}.failed{background:#a40e26}";

/// The page.
pub(super) fn of(checked: &Checked) -> String {
    let report = &checked.report;
    let identity = report.description.as_ref().map(|description| &description.identity);
    let name = identity.map_or_else(
        || checked.stanza.name().to_owned(),
        |identity| format!("{} {}", identity.library, identity.version),
    );
    let mut page = String::from("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n");
    page.push_str("<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n");
    let name = escape(&name);
    let _ = writeln!(page, "<title>{name}: conformance</title><style>{STYLE}</style></head><body>");
    let _ = writeln!(page, "<h1>{name}: {}</h1>", escape(&checked.verdict()));
    let made = humantime::format_rfc3339_seconds(SystemTime::now());
    let _ = writeln!(page, "<p>Checked {made} by cadmill {}.</p>", escape(cadmill_core::BUILD));
    page.push_str("<h2>Findings</h2>\n<table><tr><th>Grade</th><th>Check</th><th>Finding</th></tr>\n");
    for finding in &report.findings {
        let grade = finding.grade.as_str();
        let _ = writeln!(
            page,
            "<tr><td><span class=\"g {grade}\">{grade}</span></td><td><code>{}</code></td><td>{}</td></tr>",
            finding.check,
            escape(&finding.text)
        );
    }
    page.push_str("</table>\n");
    if !report.samples.is_empty() {
        page.push_str("<h2>Samples</h2>\n<table><tr><th>Sample</th><th>Format</th><th class=\"n\">Input</th><th class=\"n\">Output</th><th class=\"n\">Time</th><th class=\"n\">Memory</th><th>Facts</th></tr>\n");
    }
    for sample in &report.samples {
        let facts: Vec<String> = sample.facts.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let _ = writeln!(
            page,
            "<tr><td>{}</td><td><code>{}</code></td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{} ms</td><td class=\"n\">{}</td><td>{}</td></tr>",
            escape(&sample.sample),
            escape(&sample.format),
            display_size(sample.input_bytes),
            display_size(sample.output_bytes),
            sample.milliseconds,
            display_size(sample.peak_memory_bytes),
            escape(&facts.join(" "))
        );
    }
    if !report.samples.is_empty() {
        page.push_str("</table>\n");
    }
    let stanza = checked.stanza.text(report.description.as_ref());
    let _ = writeln!(page, "<h2>For the engines file</h2>\n<pre>{}</pre>\n</body></html>", escape(&stanza));
    page
}
