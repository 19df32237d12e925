//! Who calls, and the refusal of one who does not show it.

use crate::problem::Problem;
use cadmill_core::domain::failure::FailureCode;
use cadmill_core::domain::ids::Owner;

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Whose jobs are the caller's.
    pub owner: Owner,
    /// May read the audit of every job, and nothing else of others' jobs.
    pub auditor: bool,
}

pub(super) fn invalid() -> Problem {
    Problem::new(FailureCode::AuthInvalid, "the token is not one that this server accepts")
}
