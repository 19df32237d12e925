//! An audit sink with injected faults. Its operations have the names of the port's methods:
//! `begin`, `append`, `sync`, `seal`, `read`, `read_head`; calls on all of its ledgers count
//! together. [`Fault::Truncate`] writes the first bytes of a line and fails, like a full disk.

use super::{Fault, Script};
use cadmill_core::domain::ledger::{LedgerId, SignedHead};
use cadmill_core::ports::{AuditLog, AuditSink, PortError, PortResult};
use std::sync::Arc;

/// An audit sink with a script of faults.
#[derive(Clone)]
pub struct FaultyAudit {
    inner: Arc<dyn AuditSink>,
    script: Script,
}

struct FaultyLog {
    inner: Box<dyn AuditLog>,
    script: Script,
}

impl FaultyAudit {
    /// Wraps the sink, with the faults of the script.
    pub fn new(inner: Arc<dyn AuditSink>, script: Script) -> Self {
        Self { inner, script }
    }
}

impl AuditSink for FaultyAudit {
    fn begin(&self, ledger: LedgerId) -> PortResult<Box<dyn AuditLog>> {
        let inner = self.script.act("begin", || self.inner.begin(ledger))?;
        Ok(Box::new(FaultyLog { inner, script: self.script.clone() }))
    }

    fn read(&self, ledger: LedgerId) -> PortResult<Vec<u8>> {
        self.script.act("read", || self.inner.read(ledger))
    }

    fn read_head(&self, ledger: LedgerId) -> PortResult<SignedHead> {
        self.script.act("read_head", || self.inner.read_head(ledger))
    }
}

impl AuditLog for FaultyLog {
    fn append(&mut self, line: &[u8]) -> PortResult<()> {
        let Self { inner, script } = self;
        if let Some(Fault::Truncate(bytes)) = script.peek("append") {
            let _ = script.act("append", || inner.append(&line[..bytes.min(line.len())]));
            return Err(PortError::Refused { operation: "append", reason: "by the script".to_owned() });
        }
        script.act("append", || inner.append(line))
    }

    fn sync(&mut self) -> PortResult<()> {
        let Self { inner, script } = self;
        script.act("sync", || inner.sync())
    }

    fn seal(&mut self, head: &SignedHead) -> PortResult<()> {
        let Self { inner, script } = self;
        script.act("seal", || inner.seal(head))
    }
}
