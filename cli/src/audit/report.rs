//! The audit report: one self-contained HTML page, with a diagram of each ledger.
//!
//! Everything from a ledger is escaped: its author is not trusted. The Content-Security-Policy of
//! the page forbids scripts and all external resources.

mod deletions;
mod timeline;

use super::proof::{Checked, Proof};
use super::verdict::{badge, exit, worst};
use crate::args::ReportArgs;
use crate::markup::escape;
use crate::output;
use cadmill_core::domain::failure::{Failure, FailureCode};
use cadmill_core::domain::ledger::record::posture_digest;
use cadmill_core::domain::ledger::verify::Audit;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

/// Files in the table of a ledger; the diagram shows as many.
const MAX_ROWS: usize = 500;

pub(super) fn run(args: &ReportArgs) -> Result<ExitCode, Failure> {
    let checked = Proof::read(&args.proof)?.check_all(&args.files)?;
    std::fs::write(&args.output, page(&checked)).map_err(|error| {
        let message = format!("cannot write {}: {error}", args.output.display());
        Failure::new(FailureCode::OutputNotWritable, message)
    })?;
    output::note(&format!(
        "{}: {} ledgers, {}",
        args.output.display(),
        checked.len(),
        worst(&checked).as_str()
    ));
    Ok(exit(worst(&checked)))
}

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem;color:#1b1f24}\
    h1{font-size:1.5rem}h2{font-size:1.15rem;margin:2.5rem 0 .5rem;border-top:1px solid #d0d7de;padding-top:1rem}\
    h3{font-size:1rem;margin:1.2rem 0 .3rem}table{border-collapse:collapse;font-size:13px}\
    td,th{padding:.15rem .7rem .15rem 0;text-align:left;vertical-align:top}td.n,th.n{text-align:right}\
    code{font-size:12px;overflow-wrap:anywhere}.v{display:inline-block;padding:0 .5rem;border-radius:3px;color:#fff}\
    .VALID{background:#1a7f37}.UNCLEAN,.UNSIGNED{background:#9a6700}.INCOMPLETE,.UNKNOWN{background:#bc4c00}.TAMPERED{background:#a40e26}\
    svg{max-width:100%;height:auto}svg text{font:11px system-ui,sans-serif;fill:#1b1f24}.note{color:#57606a;font-size:13px}";

fn page(checked: &[Checked]) -> String {
    let mut page = String::from("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n");
    page.push_str("<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n");
    let _ = writeln!(page, "<title>Ledgers of temporary files</title><style>{STYLE}</style></head><body>");
    page.push_str("<h1>Ledgers of temporary files</h1>\n");
    let made = humantime::format_rfc3339_seconds(SystemTime::now());
    let _ = writeln!(page, "<p class=\"note\">Made {made} by cadmill {}.</p>", escape(cadmill_core::BUILD));
    summary(&mut page, checked);
    let mut jobs: BTreeMap<String, Vec<&Checked>> = BTreeMap::new();
    for one in checked {
        let job = one.audit.ledger.map_or_else(|| "no ledger".to_owned(), |ledger| ledger.job.to_string());
        jobs.entry(job).or_default().push(one);
    }
    for (job, mut ledgers) in jobs {
        let _ = writeln!(page, "<h2>Job <code>{}</code></h2>", escape(&job));
        ledgers.sort_by_key(|one| one.audit.ledger);
        deletions::section(&mut page, ledgers.iter().map(|one| &one.audit));
        ledgers.iter().for_each(|one| ledger(&mut page, one));
    }
    page.push_str("<h2>How to read this</h2>\n<p>Solid bars are files with plaintext, hatched ones files that are \
        overwritten and not yet removed. Times are milliseconds since the ledger was opened, by a clock that cannot \
        be set. Names are not recorded, only keyed digests of them. What is claimed is a logical overwrite of the \
        file's bytes, read back, then its removal. A deletion from the object store is claimed when a listing \
        after it found nothing: no object, version or unfinished upload of the job. Nothing is claimed on what \
        memory modules, hypervisors or the object store's media keep.</p>\n</body></html>\n");
    page
}

fn summary(page: &mut String, checked: &[Checked]) {
    page.push_str("<table><tr><th>Verdict<th>Attempt<th>Job<th class=n>Created<th class=n>Destroyed<th>Outcome<th>File</tr>\n");
    for Checked { file, audit } in checked {
        let counts = audit.story.counts();
        let (attempt, job) = match audit.ledger {
            Some(id) if id.is_of_deletions() => (format!("deletion {}", id.part), id.job.to_string()),
            Some(id) if id.part == 0 => (id.attempt.to_string(), id.job.to_string()),
            Some(id) => (format!("{}, sweep {}", id.attempt, id.part), id.job.to_string()),
            None => ("-".to_owned(), "-".to_owned()),
        };
        let outcome = audit.story.outcome.as_deref().unwrap_or("none");
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let _ = writeln!(
            page,
            "<tr><td>{}<td>{attempt}<td><code>{job}</code><td class=n>{}<td class=n>{}<td>{}<td><code>{}</code></tr>",
            badge(audit.verdict),
            counts.created,
            counts.destroyed,
            escape(outcome),
            escape(&name)
        );
    }
    page.push_str("</table>\n");
}

fn ledger(page: &mut String, Checked { audit, .. }: &Checked) {
    let title = match audit.ledger {
        Some(id) if id.is_of_deletions() => format!("Deletion {}", id.part),
        Some(id) if id.part == 0 => format!("Attempt {}", id.attempt),
        Some(id) => format!("Attempt {}, sweep {}", id.attempt, id.part),
        None => "Not a ledger".to_owned(),
    };
    let _ = writeln!(page, "<h3>{} {}</h3>", escape(&title), badge(audit.verdict));
    facts(page, audit);
    for finding in &audit.findings {
        let _ =
            writeln!(page, "<p><b>{}</b> <code>{}</code></p>", escape(&finding.to_string()), finding.code());
    }
    if !audit.remarks.is_empty() {
        page.push_str("<ul>");
        for remark in &audit.remarks {
            let _ = write!(page, "<li>{}", escape(remark));
        }
        page.push_str("</ul>\n");
    }
    timeline::draw(page, &audit.story, MAX_ROWS);
    files(page, audit);
}

fn facts(page: &mut String, audit: &Audit) {
    let story = &audit.story;
    let opened = SystemTime::UNIX_EPOCH + Duration::from_millis(story.opened_at.min(253_402_300_799_999));
    let signed = audit.signed_by.as_deref().unwrap_or("not verified");
    let is_of_deletions = audit.ledger.is_some_and(|ledger| ledger.is_of_deletions());
    let writer = if is_of_deletions { "Recorded by" } else { "Worker" };
    let mut rows = vec![
        (writer.to_owned(), story.worker.clone()),
        ("Program".to_owned(), format!("cadmill {}", story.build)),
        ("Opened".to_owned(), humantime::format_rfc3339_millis(opened).to_string()),
        ("Length".to_owned(), format!("{} ms, {} records", story.length, audit.records)),
        ("Signed by".to_owned(), signed.to_owned()),
    ];
    for sweep in &story.sweeps {
        rows.push((
            "Ends ledger".to_owned(),
            format!("{} at record {}, {}", sweep.ledger, sweep.last_seq, sweep.last_hash),
        ));
    }
    if !is_of_deletions {
        rows.push(("Posture".to_owned(), format!("digest {}", posture_digest(&story.posture))));
    }
    rows.extend(story.posture.iter().map(|(name, value)| (format!("\u{2003}{name}"), value.clone())));
    page.push_str("<table>");
    for (name, value) in rows {
        let _ = write!(page, "<tr><td>{}<td><code>{}</code>", escape(&name), escape(&value));
    }
    page.push_str("</table>\n");
}

fn files(page: &mut String, audit: &Audit) {
    let count = audit.story.made().count();
    if count == 0 {
        return;
    }
    let _ = write!(page, "<details><summary>{count} files and directories</summary><table>");
    page.push_str("<tr><th class=n>File<th>Kind<th>Role<th class=n>Bytes<th class=n>Created<th class=n>Wiped<th class=n>Gone<th class=n>Lifetime, ms<th>Method<th>Name (HMAC)</tr>\n");
    let text = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
    for (file, life) in audit.story.made().take(MAX_ROWS) {
        let made = if life.found { " (found)" } else { "" };
        let _ = writeln!(
            page,
            "<tr><td class=n>{file}<td>{}<td>{}{made}<td class=n>{}<td class=n>{}<td class=n>{}<td class=n>{}<td class=n>{}<td>{}<td><code>{}</code></tr>",
            life.birth.kind.as_str(),
            life.birth.role.as_str(),
            text(life.bytes),
            life.created,
            text(life.wiped),
            text(life.gone),
            text(life.lifetime()),
            escape(&life.method),
            &life.birth.name[..16]
        );
    }
    if count > MAX_ROWS {
        let _ = writeln!(page, "<tr><td colspan=10>and {} more</tr>", count - MAX_ROWS);
    }
    page.push_str("</table></details>\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_ledger_becomes_markup() {
        let escaped = escape("<script>alert(\"1\")</script>&'\u{202e}\n");
        assert_eq!(escaped, "&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&amp;&#39;\u{fffd}\u{fffd}");
    }
}
