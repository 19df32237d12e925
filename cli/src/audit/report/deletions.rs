//! The section of a job that says when everything of it was deleted from the object store.

use super::super::deletion::{duration, numbers, time};
use super::super::verdict::badge;
use crate::markup::escape;
use cadmill_core::domain::ledger::deletions::{Recorded, of_job};
use cadmill_core::domain::ledger::record::Purge;
use cadmill_core::domain::ledger::verify::Audit;
use std::fmt::Write;

/// Writes the section; none without a job.
pub(super) fn section<'a>(page: &mut String, audits: impl Iterator<Item = &'a Audit> + Clone) {
    let Some(job) = audits.clone().find_map(|audit| audit.ledger).map(|ledger| ledger.job) else { return };
    let recorded = of_job(job, audits);
    page.push_str("<h3>Deletion from the object store</h3>\n");
    let _ = writeln!(page, "<p>{}</p>", escape(&summary(&recorded)));
    if recorded.is_empty() {
        return;
    }
    page.push_str("<table><tr><th>Ledger<th>Verdict<th>Nothing left at<th>By<th class=n>Objects<th class=n>Delete markers<th class=n>Unfinished uploads<th class=n>Oldest existed for</tr>\n");
    for Recorded { ledger, verdict, purge } in recorded {
        let _ = writeln!(
            page,
            "<tr><td>{}-{}<td>{}<td>{}<td><code>{}</code><td class=n>{}<td class=n>{}<td class=n>{}<td class=n>{}</tr>",
            ledger.attempt,
            ledger.part,
            badge(verdict),
            time(purge.confirmed_at),
            escape(&purge.by),
            purge.objects,
            purge.marks,
            purge.uploads,
            purge.oldest_age_ms.map_or_else(|| "-".to_owned(), duration)
        );
    }
    page.push_str("</table>\n");
}

/// What is on record, in one or two sentences.
fn summary(recorded: &[Recorded<'_>]) -> String {
    let proven: Vec<&Recorded<'_>> = recorded.iter().filter(|recorded| recorded.is_proven()).collect();
    match (proven.last(), recorded.len()) {
        (None, 0) => {
            "No deletion of this job's files from the object store is on record in these ledgers. A job of \
                      `cadmill convert` has none."
                .to_owned()
        }
        (None, _) => {
            "No deletion of this job's files from the object store is proven: see the verdicts.".to_owned()
        }
        (Some(last), _) => {
            let all = [
                sum(&proven, |purge| purge.objects),
                sum(&proven, |purge| purge.marks),
                sum(&proven, |purge| purge.uploads),
            ];
            format!(
                "Everything of this job was deleted from the object store by {}, and a listing after that found \
                 nothing. The deletions on record have removed {}.",
                time(last.purge.confirmed_at),
                numbers(all)
            )
        }
    }
}

/// The sum over the deletions. One that is in two ledgers counts once.
fn sum(proven: &[&Recorded<'_>], number: impl Fn(&Purge) -> u64) -> u64 {
    let first = |place: usize| proven[..place].iter().all(|other| other.purge != proven[place].purge);
    let counted = (0..proven.len()).filter(|&place| first(place));
    counted.fold(0, |sum, place| sum.saturating_add(number(proven[place].purge)))
}
