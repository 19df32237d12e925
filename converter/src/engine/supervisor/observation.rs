//! What was observed of a process, for classifying its end.

use super::outcome::{Denied, Identity, Outcome};
use crate::engine::confinement::InForce;
use crate::engine::protocol::Answer;
use cadmill_core::domain::job::Warnings;
use std::time::Instant;

/// What was observed of a process.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) answer: Option<Answer>,
    pub(super) dying: Option<Dying>,
    pub(super) violation: Option<i64>,
    pub(super) denied: Denied,
    pub(super) confinement: Option<InForce>,
    /// The kernel OOM-killed it.
    pub(super) out_of_memory: bool,
    /// Why the supervisor killed it.
    pub(super) killed: Option<Outcome>,
    pub(super) cancelled_at: Option<Instant>,
    pub(super) identity: Option<Identity>,
    pub(super) loaded_at: Option<Instant>,
    /// It waited, and has received its conversion.
    pub(super) began: bool,
    pub(super) warnings: Warnings,
    pub(super) noise_bytes: u64,
    pub(super) message_bytes: u64,
    pub(super) peak_resident: u64,
    pub(super) peak_data: u64,
    /// Memory held at the last look.
    pub(super) taken: u64,
    /// At the last look its first thread had ended and other threads had not.
    pub(super) leaderless: bool,
}

/// What the process wrote in its signal handler.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dying {
    pub(super) signal: i32,
    pub(super) errno: i32,
    pub(super) data_bytes: u64,
}
