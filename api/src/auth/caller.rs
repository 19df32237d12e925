//! The authenticated caller, and the rejection of an unauthenticated request.

use crate::problem::Problem;
use cadmill_core::domain::failure::FailureCode;
use cadmill_core::domain::ids::Owner;

/// The authenticated caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Owner of the caller's jobs.
    pub owner: Owner,
    /// May read the audit of every job, but nothing else of other owners' jobs.
    pub auditor: bool,
}

pub(super) fn invalid() -> Problem {
    Problem::new(FailureCode::AuthInvalid, "the token is not one that this server accepts")
}
