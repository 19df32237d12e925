//! Step 4: what the kernel itself caps.
//!
//! `RLIMIT_DATA` and not `RLIMIT_AS`: address space is no memory, and a JVM
//! reserves gigabytes of it to say hello. A file that grows beyond `RLIMIT_FSIZE`
//! ends the process by `SIGXFSZ`, which tells that cap apart from any other end.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io;

/// Puts the limits in force, soft and hard, so that they cannot be raised again.
///
/// # Errors
/// The system's.
pub fn apply(memory_bytes: u64, file_bytes: u64) -> io::Result<()> {
    for (resource, value) in [(Resource::Data, memory_bytes), (Resource::Fsize, file_bytes)] {
        // A limit that is lower already stays: raising it takes a privilege.
        let value = getrlimit(resource).maximum.map_or(value, |there| there.min(value));
        setrlimit(resource, Rlimit { current: Some(value), maximum: Some(value) })?;
    }
    // When memory runs out the kernel takes this process, and the supervisor
    // lives to clean up. Raising the score needs no privilege.
    std::fs::write("/proc/self/oom_score_adj", "1000")
}
