//! The directories of a workspace.

use cadmill_core::domain::ledger::record::FileRole;

pub(super) const PACKED: &str = "pack";
pub(super) const INPUT: &str = "in";
pub(super) const OUTPUT: &str = "out";
pub(super) const SCRATCH: &str = "tmp";

/// The directories in a workspace, and the role of their files.
pub(super) const LAYOUT: [(&str, FileRole); 4] = [
    (INPUT, FileRole::Input),
    (PACKED, FileRole::Output),
    (OUTPUT, FileRole::Output),
    (SCRATCH, FileRole::Temporary),
];
