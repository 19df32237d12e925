//! What ledgers are checked with: the key, and the heads.

use super::text::shown;
use crate::args::ProofArgs;
use cadmill_core::domain::failure::{Failure, FailureCode};
use cadmill_core::domain::ledger::citation::compare;
use cadmill_core::domain::ledger::verify::{Audit, verify};
use cadmill_core::domain::ledger::{LedgerId, PublicKey, Signature, SignedHead, line, record};
use cadmill_core::domain::limits::display_size;
use serde_json::Value;
use std::fs::Metadata;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Largest ledger that is read: more than half a million records. It is held in memory.
const MAX_LEDGER_BYTES: u64 = 256 << 20;
/// Largest file of a key or of heads.
const MAX_SMALL_BYTES: u64 = 4 << 20;

/// Key and heads that were given.
pub(super) struct Proof {
    key: Option<PublicKey>,
    heads: Option<Vec<SignedHead>>,
}

/// A ledger that was checked.
pub(super) struct Checked {
    pub(super) file: PathBuf,
    pub(super) audit: Audit,
}

impl Proof {
    /// Reads what the arguments name.
    pub(super) fn read(args: &ProofArgs) -> Result<Self, Failure> {
        let key = args.key.as_deref().map(key).transpose()?;
        let heads = args.head.as_deref().map(|path| heads(path, &read(path, MAX_SMALL_BYTES)?));
        Ok(Self { key, heads: heads.transpose()? })
    }

    /// Checks ledgers, and the sweeps among them against those that they end.
    pub(super) fn check_all(&self, files: &[PathBuf]) -> Result<Vec<Checked>, Failure> {
        let mut checked = files.iter().map(|file| self.check(file)).collect::<Result<Vec<_>, _>>()?;
        let mut audits: Vec<&mut Audit> = checked.iter_mut().map(|checked| &mut checked.audit).collect();
        compare(&mut audits);
        Ok(checked)
    }

    /// Checks a ledger.
    pub(super) fn check(&self, file: &Path) -> Result<Checked, Failure> {
        let bytes = read(file, MAX_LEDGER_BYTES)?;
        let beside;
        let heads = match &self.heads {
            Some(heads) => heads,
            None => {
                beside = heads_beside(file)?;
                &beside
            }
        };
        // The only one there is, if it is of another ledger, shall be told as that.
        let fitting = heads.iter().find(|head| Some(head.head.ledger) == ledger(&bytes));
        let head = fitting.or_else(|| heads.first().filter(|_| heads.len() == 1));
        Ok(Checked { file: file.to_owned(), audit: verify(&bytes, head, self.key.as_ref()) })
    }
}

/// The ledger that the first record that can be read is of.
fn ledger(bytes: &[u8]) -> Option<LedgerId> {
    bytes.split(|byte| *byte == b'\n').find_map(|text| {
        let fields = line::parse(text).ok()?;
        record::Record::read(fields).ok().map(|(header, _)| header.ledger)
    })
}

fn key(path: &Path) -> Result<PublicKey, Failure> {
    PublicKey::from_pem(&read(path, MAX_SMALL_BYTES)?)
        .map_err(|why| Failure::new(FailureCode::AuditKey, format!("{}: {why}", shown(path))))
}

/// The head file that a worker keeps beside a ledger, if there is one.
fn heads_beside(file: &Path) -> Result<Vec<SignedHead>, Failure> {
    let path = file.with_extension("head.json");
    // Whatever lies there stands for a head; what cannot be read must not pass for none.
    if path == file || path.symlink_metadata().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
        return Ok(Vec::new());
    }
    heads(&path, &read(&path, MAX_SMALL_BYTES)?)
}

/// The heads of a text: a head file, the answer of the API, or lines that are heads, as
/// they stand among the lines of a log.
fn heads(path: &Path, text: &[u8]) -> Result<Vec<SignedHead>, Failure> {
    let mut heads = Vec::new();
    match serde_json::from_slice::<Value>(text) {
        Ok(value) => match value.get("attempts").and_then(Value::as_array) {
            Some(attempts) => heads.extend(attempts.iter().filter_map(of_answer)),
            None => heads.extend(serde_json::from_value(value).ok()),
        },
        Err(_) => {
            let lines = text.split(|byte| *byte == b'\n');
            heads.extend(lines.filter_map(|line| serde_json::from_slice(line).ok()));
        }
    }
    if heads.is_empty() {
        return Err(Failure::new(FailureCode::AuditKey, format!("{}: contains no ledger head", shown(path))));
    }
    Ok(heads)
}

/// The head of one attempt of the API's answer.
fn of_answer(attempt: &Value) -> Option<SignedHead> {
    let text = |name: &str| attempt.get(name)?.as_str().map(str::to_owned);
    let signature = match text("signature") {
        Some(signature) => {
            Some(Signature { signature, key_id: text("key_id")?, public_key: text("public_key")? })
        }
        None => None,
    };
    Some(SignedHead { head: serde_json::from_value(attempt.get("head")?.clone()).ok()?, signature })
}

/// The whole of a regular file, which may be named by a link. A reviewer may have got the
/// directory from the one who is reviewed: what is no file, has no end or is too large is
/// refused before anything is read or waited for.
fn read(path: &Path, limit: u64) -> Result<Vec<u8>, Failure> {
    let unread = |error: io::Error| {
        let code = match error.kind() {
            io::ErrorKind::NotFound => FailureCode::InputNotFound,
            _ => FailureCode::InputUnreadable,
        };
        Failure::new(code, format!("cannot read {}: {error}", shown(path)))
    };
    // Opening a device may already do something; what is there then is asked of the
    // descriptor, in case that it was exchanged.
    regular(&path.metadata().map_err(unread)?, limit).map_err(unread)?;
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
    let file = std::fs::OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path);
    let file = file.map_err(unread)?;
    regular(&file.metadata().map_err(unread)?, limit).map_err(unread)?;
    let mut bytes = Vec::new();
    // It may grow meanwhile, or have a size that is not the kernel's to know, as in /proc.
    file.take(limit + 1).read_to_end(&mut bytes).map_err(unread)?;
    if bytes.len() as u64 > limit {
        return Err(unread(too_large(limit)));
    }
    Ok(bytes)
}

fn regular(found: &Metadata, limit: u64) -> io::Result<()> {
    if !found.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    if found.len() > limit { Err(too_large(limit)) } else { Ok(()) }
}

fn too_large(limit: u64) -> io::Error {
    io::Error::other(format!("it is larger than the maximum of {}", display_size(limit)))
}
