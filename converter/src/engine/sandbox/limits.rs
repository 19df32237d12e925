//! Step 3: what the kernel itself caps.
//!
//! `RLIMIT_DATA` holds the cap on memory for every allocation: it counts private memory
//! that may be written. It does not count what was written and is read-only now, stacks
//! (and what is made of one by `mremap`), shared memory, and page tables. All of that takes
//! addresses, so `RLIMIT_AS` bounds it. Address space is not memory, so that limit comes
//! in two steps: a generous one while the engine is loaded, and after that
//! ([`after_loading`]) what is mapped without being private data, plus the cap, plus a
//! small remainder. A native library then gets no more than the cap and that remainder,
//! unless it gives up the code that it was loaded with. A JVM reserves addresses for its
//! heap, its classes and its code, which cannot be told from memory that was taken and made
//! read-only; there the supervisor, which sees resident memory, is the closer bound.
//!
//! A file that grows beyond `RLIMIT_FSIZE` ends the process by `SIGXFSZ`, which tells
//! that cap apart from any other end.

use crate::engine::confinement::Limits;
use crate::engine::protocol::EngineRequest;
use crate::linux::proc;
use cadmill_core::domain::format::EngineKind;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fs::File;
use std::io;

/// Addresses for the code of a native library and all that it needs, before they are
/// measured.
const NATIVE_CODE: u64 = 2 << 30;

/// The same for a JVM, beside its heap: it tries several places for what it reserves.
const JVM_RESERVES: u64 = 4 << 30;

/// Addresses that a native library may map after it was loaded without that being private
/// data: its stack, which may grow to [`STACK_BYTES`], and modules for character sets.
const NATIVE_LATER: u64 = 16 << 20;

/// The same for a JVM, beside the libraries of its converter: another arena of the C library
/// and more room for classes, 64 MiB each, and libraries of the installation or out of jars.
const JVM_LATER: u64 = 256 << 20;

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
pub fn apply(request: &EngineRequest, alone: bool) -> io::Result<()> {
    let limits = [
        (Resource::Data, request.memory_bytes),
        (Resource::As, while_loading(request)),
        (Resource::Fsize, request.file_bytes),
        (Resource::Core, 0),
        (Resource::Stack, STACK_BYTES),
        (Resource::Nofile, DESCRIPTORS),
    ];
    let processes = alone.then_some((Resource::Nproc, PROCESSES));
    for (resource, value) in limits.into_iter().chain(processes) {
        lower(resource, value)?;
    }
    rustix::process::nice(NICER)?;
    // When memory runs out the kernel takes this process, and the supervisor
    // lives to clean up. Raising the score needs no privilege.
    std::fs::write("/proc/self/oom_score_adj", "1000")
}

/// Sets the limit on addresses when the engine is loaded and has not seen its input yet.
/// `status` is this process's `/proc/self/status`. The filter of system calls allows it: a
/// limit that is lowered cannot be raised again.
///
/// # Errors
/// The system's.
pub fn after_loading(request: &EngineRequest, status: &File) -> io::Result<()> {
    let now = proc::memory_of(status);
    let fixed = now.addresses.saturating_sub(now.data);
    let later = match request.library.kind {
        EngineKind::Gdal | EngineKind::Assimp => NATIVE_LATER,
        EngineKind::Jvm => JVM_LATER + size_of_natives(request),
    };
    lower(Resource::As, fixed.saturating_add(request.memory_bytes).saturating_add(later))
}

fn while_loading(request: &EngineRequest) -> u64 {
    let code = match (&request.library.kind, &request.library.jvm) {
        (EngineKind::Jvm, jvm) => {
            let heap = jvm.as_ref().and_then(|jvm| jvm.heap_bytes).unwrap_or(request.memory_bytes);
            JVM_RESERVES.saturating_add(heap)
        }
        _ => NATIVE_CODE,
    };
    request.memory_bytes.saturating_add(code)
}

/// A converter may load its native libraries with its first file. They take about as many
/// addresses as their files have bytes.
fn size_of_natives(request: &EngineRequest) -> u64 {
    let natives = request.library.jvm.as_ref().and_then(|jvm| jvm.natives.as_ref());
    let entries = natives.and_then(|directory| std::fs::read_dir(directory).ok()).into_iter().flatten();
    entries.flatten().filter_map(|entry| entry.metadata().ok()).map(|found| found.len()).sum()
}

/// Sets both limits. A limit that is lower already stays: raising it takes a privilege.
fn lower(resource: Resource, value: u64) -> io::Result<()> {
    let value = getrlimit(resource).maximum.map_or(value, |there| there.min(value));
    Ok(setrlimit(resource, Rlimit { current: Some(value), maximum: Some(value) })?)
}

/// The hard limits of this process, read back; none where there is none.
pub fn in_force() -> Limits {
    let maximum = |resource| getrlimit(resource).maximum;
    Limits {
        data_bytes: maximum(Resource::Data),
        address_bytes: maximum(Resource::As),
        file_bytes: maximum(Resource::Fsize),
        core_bytes: maximum(Resource::Core),
        stack_bytes: maximum(Resource::Stack),
        descriptors: maximum(Resource::Nofile),
        processes: maximum(Resource::Nproc),
    }
}
