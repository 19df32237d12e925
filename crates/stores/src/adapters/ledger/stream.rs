//! Ledgers on standard output, for log collectors of containers: each record is one line, byte
//! for byte, and the head is a line `{"head":…}`. The field `ledger` of each record distinguishes
//! the ledgers of several jobs.
//!
//! An appended line was written to the pipe and flushed; it survives the worker. Its further
//! storage is up to the collector; this sink cannot read it back. That a ledger is begun only
//! once is checked within this process only.

use cadmill_core::domain::ledger::{LedgerId, SignedHead};
use cadmill_core::ports::{AuditLog, AuditSink, PortError, PortResult};
use std::collections::HashSet;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

/// The stream of the lines; shared by all ledgers.
type Shared = Arc<Mutex<Box<dyn Write + Send>>>;

/// Ledgers as lines of a stream.
pub struct StreamAudit {
    stream: Shared,
    begun: Mutex<HashSet<LedgerId>>,
}

struct StreamLog {
    stream: Shared,
}

impl StreamAudit {
    /// A sink on standard output.
    pub fn stdout() -> Self {
        Self::new(Box::new(std::io::stdout()))
    }

    /// A sink on this stream.
    pub fn new(stream: Box<dyn Write + Send>) -> Self {
        Self { stream: Arc::new(Mutex::new(stream)), begun: Mutex::default() }
    }
}

impl AuditSink for StreamAudit {
    fn begin(&self, ledger: LedgerId) -> PortResult<Box<dyn AuditLog>> {
        if !self.begun.lock().unwrap_or_else(PoisonError::into_inner).insert(ledger) {
            return Err(PortError::Precondition("beginning a ledger"));
        }
        Ok(Box::new(StreamLog { stream: self.stream.clone() }))
    }

    fn read(&self, _: LedgerId) -> PortResult<Vec<u8>> {
        Err(unreadable("reading a ledger"))
    }

    fn read_head(&self, _: LedgerId) -> PortResult<SignedHead> {
        Err(unreadable("reading a head"))
    }
}

impl AuditLog for StreamLog {
    fn append(&mut self, line: &[u8]) -> PortResult<()> {
        let mut stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        let written = stream.write_all(line).and_then(|()| stream.flush());
        written.map_err(|error| PortError::Refused {
            operation: "adding to a ledger",
            reason: error.kind().to_string(),
        })
    }

    fn sync(&mut self) -> PortResult<()> {
        Ok(())
    }

    fn seal(&mut self, head: &SignedHead) -> PortResult<()> {
        let mut line = serde_json::to_vec(head).unwrap_or_default();
        line.push(b'\n');
        self.append(&line)
    }
}

fn unreadable(operation: &'static str) -> PortError {
    PortError::Refused { operation, reason: "a stream cannot be read back".to_owned() }
}
