//! Port: where ledgers are stored.
//!
//! Calls block, because the callers are threads that open, fill and destroy files; an adapter that
//! needs an async runtime brings one. Nothing is ever overwritten: a ledger is begun once, grows,
//! and is sealed.
//!
//! Each sink defines how durable a line is, in two steps: after [`AuditLog::append`], and after
//! [`AuditLog::sync`]. The ledger syncs its first record, each change of stage, each incident and
//! its end.

use super::PortResult;
use crate::domain::ledger::{LedgerId, SignedHead};

/// Stores ledgers.
pub trait AuditSink: Send + Sync {
    /// Begins a ledger.
    ///
    /// # Errors
    /// [`super::PortError::Precondition`] if a ledger with this id was already begun, by any
    /// writer; the existing ledger is left unchanged.
    fn begin(&self, ledger: LedgerId) -> PortResult<Box<dyn AuditLog>>;

    /// The stored lines of a ledger, in order, sealed or not.
    ///
    fn read(&self, ledger: LedgerId) -> PortResult<Vec<u8>>;

    /// The head of a sealed ledger.
    ///
    /// # Errors
    /// As for [`AuditSink::read`]; also [`super::PortError::NotFound`] if the ledger is not sealed.
    fn read_head(&self, ledger: LedgerId) -> PortResult<SignedHead>;
}

/// A ledger being written. After an error it is unknown what was written, and nothing more may be
/// appended.
pub trait AuditLog: Send {
    /// Appends a line, including its LF.
    fn append(&mut self, line: &[u8]) -> PortResult<()>;

    /// Makes the appended lines as durable as this sink can.
    fn sync(&mut self) -> PortResult<()>;

    /// Stores the head with the lines, durably. This is the last call.
    fn seal(&mut self, head: &SignedHead) -> PortResult<()>;
}
