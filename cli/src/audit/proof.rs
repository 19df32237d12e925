//! The evidence against which ledgers are verified: the key and the heads.

use super::directory::ledgers;
use super::text::shown;
use crate::args::ProofArgs;
use cadmill_core::domain::failure::{Failure, FailureCode};
use cadmill_core::domain::ledger::verify::{Audit, verify};
use cadmill_core::domain::ledger::{LedgerId, PublicKey, Signature, SignedHead, line, record};
use cadmill_core::domain::ledger::{citation, deletions, place};
use cadmill_core::domain::limits::display_size;
use serde_json::Value;
use std::collections::HashSet;
use std::fs::Metadata;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Largest ledger accepted: more than half a million records. It is held in memory.
const MAX_LEDGER_BYTES: u64 = 256 << 20;
/// Largest key or head file.
const MAX_SMALL_BYTES: u64 = 4 << 20;

/// The key and the heads that were given.
pub(super) struct Proof {
    key: Option<PublicKey>,
    heads: Option<Vec<SignedHead>>,
}

/// A verified ledger.
pub(super) struct Checked {
    pub(super) file: PathBuf,
    pub(super) audit: Audit,
}

impl Proof {
    /// Reads the files named by the arguments.
    pub(super) fn read(args: &ProofArgs) -> Result<Self, Failure> {
        let key = args.key.as_deref().map(key).transpose()?;
        let heads = args.head.as_deref().map(|path| heads(path, &read(path, MAX_SMALL_BYTES)?));
        Ok(Self { key, heads: heads.transpose()? })
    }

    /// Verifies ledgers, and the sweeps among them against the ledgers that they complete. Of a
    /// directory, all ledgers in it.
    pub(super) fn check_all(&self, files: &[PathBuf]) -> Result<Vec<Checked>, Failure> {
        let mut checked =
            ledgers(files)?.iter().map(|file| self.check(file)).collect::<Result<Vec<_>, _>>()?;
        if let Some(directory) = files.iter().find(|file| file.is_dir()) {
            checked.extend(self.missing(directory, &checked));
        }
        let mut audits: Vec<&mut Audit> = checked.iter_mut().map(|checked| &mut checked.audit).collect();
        citation::compare(&mut audits);
        deletions::compare(&mut audits);
        let named = checked.iter_mut().map(|one| (place::named(&one.file), &mut one.audit));
        place::compare(&mut named.collect::<Vec<_>>());
        Ok(checked)
    }

    /// A result for each given head whose ledger is not among these: in a directory of ledgers it should
    /// be.
    fn missing(&self, directory: &Path, checked: &[Checked]) -> Vec<Checked> {
        let there: HashSet<LedgerId> = checked.iter().filter_map(|one| one.audit.ledger).collect();
        let missing = self.heads.iter().flatten().filter(|head| !there.contains(&head.head.ledger));
        let result = |head: &SignedHead| Checked {
            file: place::path(directory, head.head.ledger),
            audit: place::missing(head, self.key.as_ref()),
        };
        missing.map(result).collect()
    }

    /// Verifies a ledger.
    pub(super) fn check(&self, file: &Path) -> Result<Checked, Failure> {
        let is_missing = file.symlink_metadata().is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
        let beside = if is_missing { heads_beside(file)? } else { Vec::new() };
        if let Some(head) = beside.first() {
            return Ok(Checked { file: file.to_owned(), audit: place::missing(head, self.key.as_ref()) });
        }
        let bytes = read(file, MAX_LEDGER_BYTES)?;
        let beside;
        let heads = match &self.heads {
            Some(heads) => heads,
            None => {
                beside = heads_beside(file)?;
                &beside
            }
        };
        // If there is only one head and it belongs to another ledger, it is used anyway, so that
        // the mismatch is reported.
        let fitting = heads.iter().find(|head| Some(head.head.ledger) == ledger(&bytes));
        let head = fitting.or_else(|| heads.first().filter(|_| heads.len() == 1));
        Ok(Checked { file: file.to_owned(), audit: verify(&bytes, head, self.key.as_ref()) })
    }
}

/// The ledger id in the first readable record.
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

/// The head file that a worker keeps beside a ledger, if it exists.
fn heads_beside(file: &Path) -> Result<Vec<SignedHead>, Failure> {
    let path = file.with_extension("head.json");
    // Anything at this path counts as a head file; an unreadable one must not be treated as
    // missing.
    if path == file || path.symlink_metadata().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
        return Ok(Vec::new());
    }
    heads(&path, &read(&path, MAX_SMALL_BYTES)?)
}

/// Parses heads: a head file, an API response, or the lines of a log that are heads.
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

/// The head of one attempt in an API response.
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

/// Reads a regular file completely; symbolic links are followed. The directory may come from the
/// audited party, so anything that is not a regular file, has no end or is too large is rejected
/// before it is read.
fn read(path: &Path, limit: u64) -> Result<Vec<u8>, Failure> {
    let unread = |error: io::Error| {
        let code = match error.kind() {
            io::ErrorKind::NotFound => FailureCode::InputNotFound,
            _ => FailureCode::InputUnreadable,
        };
        Failure::new(code, format!("cannot read {}: {error}", shown(path)))
    };
    // Opening a device can have side effects, so the path is checked first. The descriptor is
    // checked again, in case the file was replaced.
    regular(&path.metadata().map_err(unread)?, limit).map_err(unread)?;
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
    let file = std::fs::OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path);
    let file = file.map_err(unread)?;
    regular(&file.metadata().map_err(unread)?, limit).map_err(unread)?;
    let mut bytes = Vec::new();
    // The file may grow meanwhile, or have a size unknown to the kernel, as in /proc.
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
