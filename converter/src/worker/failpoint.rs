//! Named points of the work at which a test can stop the process and kill it.
//!
//! In a build with debug assertions, a process whose environment names a point in [`VARIABLE`]
//! stops itself there with SIGSTOP, once. A test then kills the process, or resumes it after its
//! lease has expired. A release build has no failpoints.

use cadmill_stores::adapters::embedded::Database;
use std::sync::atomic::{AtomicBool, Ordering};

/// Environment variable that names the point.
pub const VARIABLE: &str = "CADMILL_FAILPOINT";

/// Every point, in the order in which an attempt passes them.
pub const ALL: &[&str] = &[
    "claimed",
    "half-downloaded",
    "unpacked",
    "converting",
    "converted",
    "half-uploaded",
    "uploaded",
    "wiping",
    "recorded",
];

/// Marks that the process passes this point.
pub(super) fn reached(name: &str) {
    static PASSED: AtomicBool = AtomicBool::new(false);
    debug_assert!(ALL.contains(&name), "{name} is not in the list");
    if cfg!(debug_assertions)
        && std::env::var_os(VARIABLE).is_some_and(|wanted| wanted == name)
        && !PASSED.swap(true, Ordering::Relaxed)
    {
        // The test's other processes use the same embedded database.
        let _writes = Database::pause_writes();
        // Sending a signal to the own process cannot fail.
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::STOP);
    }
}
