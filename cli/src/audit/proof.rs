//! What ledgers are checked with: the key, and the heads.

use crate::args::ProofArgs;
use cadmill_core::domain::audit::citation::compare;
use cadmill_core::domain::audit::verify::{Audit, verify};
use cadmill_core::domain::audit::{LedgerId, PublicKey, Signature, SignedHead, line, record};
use cadmill_core::domain::failure::{Failure, FailureCode};
use serde_json::Value;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Largest ledger that is read: some millions of records.
const MAX_LEDGER_BYTES: u64 = 4 << 30;
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
        .map_err(|why| Failure::new(FailureCode::AuditKey, format!("{}: {why}", path.display())))
}

/// The head file that a worker keeps beside a ledger, if there is one.
fn heads_beside(file: &Path) -> Result<Vec<SignedHead>, Failure> {
    let path = file.with_extension("head.json");
    if path == file || !path.is_file() {
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
        return Err(Failure::new(
            FailureCode::AuditKey,
            format!("{}: there is no head in it", path.display()),
        ));
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

fn read(path: &Path, limit: u64) -> Result<Vec<u8>, Failure> {
    let unread = |error: io::Error| {
        let code = match error.kind() {
            io::ErrorKind::NotFound => FailureCode::InputNotFound,
            _ => FailureCode::InputUnreadable,
        };
        Failure::new(code, format!("cannot read {}: {error}", path.display()))
    };
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(unread)?;
    file.take(limit + 1).read_to_end(&mut bytes).map_err(unread)?;
    if bytes.len() as u64 > limit {
        return Err(unread(io::Error::other("it is larger than anything that is read here")));
    }
    Ok(bytes)
}
