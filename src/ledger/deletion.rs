//! The ledger of a deletion from the object store.
//!
//! All of it is known when the deletion is over, so it is made and signed in memory, and then written at
//! once: a signer that does not answer leaves nothing in the sink. Nothing waits for this ledger; a
//! program that dies before has deleted all the same.

use super::{Ledger, Opening, failure, unrecorded};
use crate::domain::failure::Failure;
use crate::domain::ids::JobId;
use crate::domain::ledger::record::{PURGED, Purge, Record};
use crate::domain::ledger::{LedgerId, SignedHead};
use crate::ports::clock::SystemClock;
use crate::ports::{AuditLog, AuditSink, PortError, PortResult, Signer};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Ledgers of deletions that one job may have. Each is a deletion whose program died before the job's
/// record had it, or whose ledger could not be written to its end.
const MAX_PARTS: u32 = 1000;

/// Records a deletion in the first free part after `known` of the ledgers of the job's deletions, and
/// returns the head for the job's record. `writer` is the name of the program that records. Blocks.
///
/// # Errors
/// `infra.audit`. Then a part may be there that has no end, or no head.
pub fn record(
    sink: &dyn AuditSink,
    signer: Option<&Arc<dyn Signer>>,
    (job, known): (JobId, u32),
    writer: &str,
    purge: &Purge,
) -> Result<SignedHead, Failure> {
    let mut id = LedgerId::of_deletions(job, known);
    for _ in 0..MAX_PARTS {
        id = id.next_part();
        let (lines, head) = whole(id, signer.cloned(), writer, purge)?;
        let mut log = match sink.begin(id) {
            Ok(log) => log,
            Err(PortError::Precondition(_)) => continue,
            Err(error) => return Err(unrecorded(&error)),
        };
        let written = lines.split_inclusive(|byte| *byte == b'\n').try_for_each(|line| log.append(line));
        written.and_then(|()| log.seal(&head)).map_err(|error| unrecorded(&error))?;
        return Ok(head);
    }
    Err(failure("the job has too many deletions"))
}

/// The lines of the ledger, and its head.
fn whole(
    id: LedgerId,
    signer: Option<Arc<dyn Signer>>,
    writer: &str,
    purge: &Purge,
) -> Result<(Vec<u8>, SignedHead), Failure> {
    let lines = Lines::default();
    let opening = Opening { ledger: id, worker: writer.to_owned(), posture: BTreeMap::new() };
    let ledger = Ledger::open(&lines, signer, Arc::new(SystemClock), opening)?;
    ledger.record_and_sync(&Record::Purge(purge.clone()))?;
    let head = ledger.close(PURGED)?;
    let lines = lines.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
    Ok((lines, head))
}

/// A ledger in memory.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl AuditSink for Lines {
    fn begin(&self, _: LedgerId) -> PortResult<Box<dyn AuditLog>> {
        Ok(Box::new(self.clone()))
    }

    fn read(&self, _: LedgerId) -> PortResult<Vec<u8>> {
        Err(PortError::NotFound("reading a ledger"))
    }

    fn read_head(&self, _: LedgerId) -> PortResult<SignedHead> {
        Err(PortError::NotFound("reading a head"))
    }
}

impl AuditLog for Lines {
    fn append(&mut self, line: &[u8]) -> PortResult<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(line);
        Ok(())
    }

    fn sync(&mut self) -> PortResult<()> {
        Ok(())
    }

    fn seal(&mut self, _: &SignedHead) -> PortResult<()> {
        Ok(())
    }
}
