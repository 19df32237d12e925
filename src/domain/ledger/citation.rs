//! Compares ledgers with the sweeps that end them.
//!
//! A killed worker leaves a ledger without a head, which could be truncated or edited unnoticed.
//! The sweep cites the last record that it saw, in a ledger that is signed, and so serves as the
//! head of the incomplete ledger. Sweeps in a tampered ledger are ignored.

use super::LedgerId;
use super::chain::ZERO_HASH;
use super::verify::{Audit, Finding, Verdict};
use crate::domain::ledger::timeline::Predecessor;

/// A sweep and the ledger that it cites.
struct SweepReference {
    by: LedgerId,
    signed: bool,
    of: Predecessor,
}

/// Compares verified ledgers with the sweeps among them. If a sweep saw a different last record,
/// the ledger becomes [`Verdict::Tampered`]. Matches, and ledgers that could not be compared, are
/// added as remarks.
pub fn compare(audits: &mut [&mut Audit]) {
    let citations: Vec<SweepReference> = audits.iter().flat_map(|audit| citations(audit)).collect();
    for SweepReference { by, signed, of } in &citations {
        let mut cited = false;
        for audit in audits.iter_mut().filter(|audit| audit.ledger == Some(of.ledger)) {
            verify_citation(audit, *by, *signed, of);
            cited = true;
        }
        if !cited {
            let remark = format!("it ends the ledger {}, which is not among these", of.ledger);
            audits.iter_mut().filter(|a| a.ledger == Some(*by)).for_each(|a| a.remarks.push(remark.clone()));
        }
    }
    let ended = |audit: &Audit| citations.iter().any(|citation| Some(citation.of.ledger) == audit.ledger);
    // Nothing sweeps after a program that died while it recorded a deletion.
    let lacks = |audit: &Audit| {
        let swept = audit.ledger.is_none_or(|ledger| !ledger.is_of_deletions());
        audit.verdict == Verdict::Incomplete && swept && !ended(audit)
    };
    for audit in audits.iter_mut().filter(|audit| lacks(audit)) {
        audit.remarks.push("no sweep that ends it is among these".to_owned());
    }
}

fn citations(audit: &Audit) -> Vec<SweepReference> {
    let Some(by) = audit.ledger.filter(|_| audit.findings.is_empty()) else { return Vec::new() };
    let signed = audit.signed_by.is_some();
    audit.story.sweeps.iter().map(|of| SweepReference { by, signed, of: of.clone() }).collect()
}

fn verify_citation(audit: &mut Audit, by: LedgerId, signed: bool, of: &Predecessor) {
    if of.last_hash == ZERO_HASH {
        audit.remarks.push(format!("the sweep {by} ends it and could not read it"));
        return;
    }
    let Some((last, hash)) = &audit.last else { return };
    if (*last, hash) == (of.last_seq, &of.last_hash) {
        let proof = if signed { "" } else { "; that sweep is not signed" };
        audit.remarks.push(format!("the sweep {by} ends it, and saw the same last record, {last}{proof}"));
    } else {
        audit.findings.push(Finding::NotAsSwept { by, last: *last, seen: of.last_seq });
        audit.verdict = Verdict::Tampered;
    }
}
