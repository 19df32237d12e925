//! A metered audit sink and a metered signer.

use super::blocking;
use cadmill_core::domain::ledger::{LedgerId, PublicKey, SignedHead};
use cadmill_core::metrics::Store;
use cadmill_core::ports::{AuditLog, AuditSink, PortResult, Signer};
use std::sync::Arc;

/// A metered audit sink.
#[derive(Clone)]
pub struct MeteredAudit(Arc<dyn AuditSink>);

struct MeteredLog(Box<dyn AuditLog>);

/// A metered signer.
#[derive(Clone)]
pub struct MeteredSigner(Arc<dyn Signer>);

impl MeteredAudit {
    /// Wraps the sink.
    pub fn new(inner: Arc<dyn AuditSink>) -> Self {
        Self(inner)
    }
}

impl MeteredSigner {
    /// Wraps the signer.
    pub fn new(inner: Arc<dyn Signer>) -> Self {
        Self(inner)
    }
}

impl AuditSink for MeteredAudit {
    fn begin(&self, ledger: LedgerId) -> PortResult<Box<dyn AuditLog>> {
        let log = blocking(Store::Audit, "begin", || self.0.begin(ledger))?;
        Ok(Box::new(MeteredLog(log)))
    }

    fn read(&self, ledger: LedgerId) -> PortResult<Vec<u8>> {
        blocking(Store::Audit, "read", || self.0.read(ledger))
    }

    fn read_head(&self, ledger: LedgerId) -> PortResult<SignedHead> {
        blocking(Store::Audit, "read_head", || self.0.read_head(ledger))
    }
}

impl AuditLog for MeteredLog {
    fn append(&mut self, line: &[u8]) -> PortResult<()> {
        blocking(Store::Audit, "append", || self.0.append(line))
    }

    fn sync(&mut self) -> PortResult<()> {
        blocking(Store::Audit, "sync", || self.0.sync())
    }

    fn seal(&mut self, head: &SignedHead) -> PortResult<()> {
        blocking(Store::Audit, "seal", || self.0.seal(head))
    }
}

impl Signer for MeteredSigner {
    fn public_key(&self) -> PublicKey {
        self.0.public_key()
    }

    fn sign(&self, message: &[u8]) -> PortResult<Vec<u8>> {
        blocking(Store::Audit, "sign", || self.0.sign(message))
    }
}
