//! Port: where ledgers are kept.
//!
//! Its calls block, because those who record are threads that open, fill and destroy
//! files; an adapter that needs a runtime has its own. Nothing is ever overwritten:
//! a ledger is begun once, grows, and is sealed.
//!
//! How durable a line is, is each sink's own promise, in two steps: after
//! [`AuditLog::append`], and after [`AuditLog::sync`]. The ledger syncs its first
//! record, each change of stage, each incident and its end.

use super::PortResult;
use crate::domain::ledger::{LedgerId, SignedHead};

/// Keeps ledgers.
pub trait AuditSink: Send + Sync {
    /// Begins a ledger.
    ///
    /// # Errors
    /// [`super::PortError::Precondition`] when one of this name was begun before,
    /// by whomever; it is left as it is.
    fn begin(&self, ledger: LedgerId) -> PortResult<Box<dyn AuditLog>>;

    /// The lines that are kept of a ledger, in order, sealed or not.
    ///
    /// # Errors
    /// [`super::PortError::NotFound`] when there is none, and
    /// [`super::PortError::Refused`] of a sink that cannot be read.
    fn read(&self, ledger: LedgerId) -> PortResult<Vec<u8>>;

    /// The head of a sealed ledger.
    ///
    /// # Errors
    /// As for [`AuditSink::read`]; [`super::PortError::NotFound`] also when the
    /// ledger is not sealed.
    fn read_head(&self, ledger: LedgerId) -> PortResult<SignedHead>;
}

/// A ledger that grows. After an error it is not known what was written, and nothing
/// more may be.
pub trait AuditLog: Send {
    /// Adds a line, its LF included.
    fn append(&mut self, line: &[u8]) -> PortResult<()>;

    /// Makes what was added as durable as this sink can.
    fn sync(&mut self) -> PortResult<()>;

    /// Keeps the head beside the lines, durably. The last call.
    fn seal(&mut self, head: &SignedHead) -> PortResult<()>;
}
