//! Verified ledgers in the form that the comparison reads: records by number.

use cadmill_core::domain::ledger::verify::{Audit, verify};
use cadmill_core::domain::ledger::{LedgerId, PublicKey};
use cadmill_core::ports::AuditSink;
use cadmill_stores::adapters::ledger::FileAudit;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A ledger.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub(crate) id: LedgerId,
    pub(crate) audit: Audit,
    /// The lines of the file, LF included.
    pub(crate) lines: Vec<String>,
    pub(crate) records: Vec<Value>,
}

impl Told {
    /// Whether it is the ledger of a sweep.
    pub(crate) fn is_sweep(&self) -> bool {
        self.id.part > 0
    }
}

/// Every ledger below a directory, by path.
pub(crate) fn ledgers(directory: &Path, sink: &FileAudit, key: &PublicKey) -> BTreeMap<PathBuf, Told> {
    let files = crate::support::tree(directory).into_iter();
    let files = files.filter(|path| path.extension().is_some_and(|e| e == "jsonl"));
    files.map(|path| (path.clone(), told(&path, sink, key))).collect()
}

fn told(path: &Path, sink: &FileAudit, key: &PublicKey) -> Told {
    let bytes = std::fs::read(path).expect("a ledger");
    let text = std::str::from_utf8(&bytes).expect("ASCII");
    let lines: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
    let records: Vec<Value> =
        lines.iter().map(|line| serde_json::from_str(line).expect("a record")).collect();
    let id: LedgerId = records[0]["ledger"].as_str().expect("its name").parse().expect("a name");
    let audit = verify(&bytes, sink.read_head(id).ok().as_ref(), Some(key));
    assert!(audit.findings.is_empty(), "{id}: {:?}", audit.findings);
    Told { id, audit, lines, records }
}
