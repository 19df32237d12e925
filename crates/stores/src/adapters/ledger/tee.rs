//! Several sinks at once. Every sink must accept each line; a ledger is read back from the first
//! sink that can be read.
//!
//! A ledger that already exists in one sink is not begun. The sinks before it in the list may
//! then have the beginning of a ledger without a record, so put the sink that keeps ledgers
//! longest first.

use cadmill_core::domain::ledger::{LedgerId, SignedHead};
use cadmill_core::ports::{AuditLog, AuditSink, PortError, PortResult};
use std::sync::Arc;

/// Several sinks.
#[derive(Clone)]
pub struct TeeAudit {
    sinks: Vec<Arc<dyn AuditSink>>,
}

struct TeeLog(Vec<Box<dyn AuditLog>>);

impl TeeAudit {
    /// Combines these sinks; an empty list refuses every ledger.
    pub fn new(sinks: Vec<Arc<dyn AuditSink>>) -> Self {
        Self { sinks }
    }

    fn first<T>(&self, read: impl Fn(&dyn AuditSink) -> PortResult<T>) -> PortResult<T> {
        let mut last =
            PortError::Refused { operation: "reading a ledger", reason: "no sink can be read".to_owned() };
        for sink in &self.sinks {
            match read(sink.as_ref()) {
                Ok(value) => return Ok(value),
                // If one sink cannot be read, the others may be.
                Err(error) if matches!(last, PortError::Refused { .. }) => last = error,
                Err(_) => {}
            }
        }
        Err(last)
    }
}

impl AuditSink for TeeAudit {
    fn begin(&self, ledger: LedgerId) -> PortResult<Box<dyn AuditLog>> {
        if self.sinks.is_empty() {
            let reason = "there is no sink".to_owned();
            return Err(PortError::Refused { operation: "beginning a ledger", reason });
        }
        let logs: PortResult<Vec<_>> = self.sinks.iter().map(|sink| sink.begin(ledger)).collect();
        Ok(Box::new(TeeLog(logs?)))
    }

    fn read(&self, ledger: LedgerId) -> PortResult<Vec<u8>> {
        self.first(|sink| sink.read(ledger))
    }

    fn read_head(&self, ledger: LedgerId) -> PortResult<SignedHead> {
        self.first(|sink| sink.read_head(ledger))
    }
}

impl AuditLog for TeeLog {
    fn append(&mut self, line: &[u8]) -> PortResult<()> {
        self.0.iter_mut().try_for_each(|log| log.append(line))
    }

    fn sync(&mut self) -> PortResult<()> {
        self.0.iter_mut().try_for_each(|log| log.sync())
    }

    fn seal(&mut self, head: &SignedHead) -> PortResult<()> {
        self.0.iter_mut().try_for_each(|log| log.seal(head))
    }
}
