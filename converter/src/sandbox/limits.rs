//! Step 3: what the kernel itself caps.
//!
//! `RLIMIT_DATA` and not `RLIMIT_AS`: address space is no memory, and a JVM
//! reserves gigabytes of it to say hello. A file that grows beyond `RLIMIT_FSIZE`
//! ends the process by `SIGXFSZ`, which tells that cap apart from any other end.

use crate::posture::Limits;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io;

/// Bytes of the first thread's stack, the usual size; what recurses deeper crashes.
const STACK_BYTES: u64 = 8 << 20;

/// Open descriptors: what programs get everywhere, so that libraries live with it.
const DESCRIPTORS: u64 = 1024;

/// How much nicer the engine is than its supervisor, which must get its turn at once beside any
/// number of its threads: it ends what exceeds a cap.
const NICER: i32 = 5;

/// Threads and processes of a user id that only this process has. More than the
/// watchdog allows, so that the watchdog tells of a flood.
const PROCESSES: u64 = 1024;

/// Puts the limits in force, soft and hard, so that they cannot be raised again.
/// `alone` says that the process is to have a user id to itself: the kernel counts
/// processes by user, so that limit would count those of others otherwise.
///
/// # Errors
/// The system's.
pub fn apply(memory_bytes: u64, file_bytes: u64, alone: bool) -> io::Result<()> {
    let limits = [
        (Resource::Data, memory_bytes),
        (Resource::Fsize, file_bytes),
        (Resource::Core, 0),
        (Resource::Stack, STACK_BYTES),
        (Resource::Nofile, DESCRIPTORS),
    ];
    let processes = alone.then_some((Resource::Nproc, PROCESSES));
    for (resource, value) in limits.into_iter().chain(processes) {
        // A limit that is lower already stays: raising it takes a privilege.
        let value = getrlimit(resource).maximum.map_or(value, |there| there.min(value));
        setrlimit(resource, Rlimit { current: Some(value), maximum: Some(value) })?;
    }
    rustix::process::nice(NICER)?;
    // When memory runs out the kernel takes this process, and the supervisor
    // lives to clean up. Raising the score needs no privilege.
    std::fs::write("/proc/self/oom_score_adj", "1000")
}

/// The hard limits of this process, read back; none where there is none.
pub fn in_force() -> Limits {
    let maximum = |resource| getrlimit(resource).maximum;
    Limits {
        data_bytes: maximum(Resource::Data),
        file_bytes: maximum(Resource::Fsize),
        core_bytes: maximum(Resource::Core),
        stack_bytes: maximum(Resource::Stack),
        descriptors: maximum(Resource::Nofile),
        processes: maximum(Resource::Nproc),
    }
}
