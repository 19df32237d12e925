//! Compares ledgers with the names of their files, and with each other: a ledger that is replaced by a
//! copy of another, or deleted, is consistent by itself.

use super::verify::{Audit, Finding, Verdict, verify};
use super::{LedgerId, PublicKey, SignedHead};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// The ledger that a file has by its name, `JOB/ATTEMPT-PART.jsonl`. `None` for a file of another name.
pub fn named(file: &Path) -> Option<LedgerId> {
    let job = file.parent()?.file_name()?.to_str()?;
    let (attempt, part) = file.file_stem()?.to_str()?.split_once('-')?;
    format!("{job}/{attempt}/{part}").parse().ok()
}

/// The file that a ledger has in a directory of ledgers.
pub fn path(directory: &Path, ledger: LedgerId) -> PathBuf {
    let LedgerId { job, attempt, part } = ledger;
    directory.join(job.to_string()).join(format!("{attempt}-{part}.jsonl"))
}

/// Compares verified ledgers, each with the id that its file is named by. One in a file of another
/// name, and one in several files, become [`Verdict::Tampered`]. A reviewer's copy beside the file that
/// has the ledger's name is no finding.
pub fn compare(audits: &mut [(Option<LedgerId>, &mut Audit)]) {
    let is_misplaced = |named: Option<LedgerId>, audit: &Audit| {
        named.is_some() && audit.ledger.is_some() && named != audit.ledger
    };
    let mut files: HashMap<(LedgerId, bool), u64> = HashMap::new();
    for (named, audit) in audits.iter() {
        let ledger = audit.ledger.filter(|_| !is_misplaced(*named, audit));
        ledger.into_iter().for_each(|ledger| *files.entry((ledger, named.is_some())).or_default() += 1);
    }
    for (named, audit) in audits.iter_mut() {
        let same = audit.ledger.and_then(|ledger| files.get(&(ledger, named.is_some())));
        let copies = same.copied().unwrap_or(0);
        let finding = match named {
            Some(named) if is_misplaced(Some(*named), audit) => Finding::Misplaced { named: *named },
            _ if copies > 1 => Finding::Copied { files: copies },
            _ => continue,
        };
        audit.findings.push(finding);
        audit.verdict = Verdict::Tampered;
    }
}

/// The result for a ledger of which the head alone is there.
pub fn missing(head: &SignedHead, key: Option<&PublicKey>) -> Audit {
    let mut audit = verify(b"", Some(head), key);
    audit.ledger = Some(head.head.ledger);
    audit.findings.retain(|finding| *finding != Finding::Empty);
    audit.findings.push(Finding::Missing);
    audit
}
