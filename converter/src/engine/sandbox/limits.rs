//! Step 3: resource limits, enforced by the kernel.
//!
//! `RLIMIT_DATA` applies the memory cap to every allocation: it counts private writable memory. It
//! does not count memory that was written and is read-only now, stacks (and mappings made from one
//! by `mremap`), shared memory, or page tables. All of these take address space, so `RLIMIT_AS`
//! bounds them. Address space is not memory, so that limit is set in two steps: a generous one
//! while the engine is loaded, and after that ([`after_loading`]) the sum of what is mapped and is
//! not private data, the cap, and a small remainder. A native library then gets no more than the
//! cap and that remainder, unless it unmaps the code that it was loaded with. A JVM reserves
//! address space for its heap, its classes and its code, which cannot be told from memory that was
//! allocated and made read-only; for a JVM the supervisor, which measures resident memory, is the
//! tighter bound.
//!
//! A file that grows beyond `RLIMIT_FSIZE` ends the process with `SIGXFSZ`, which identifies that
//! cap.

use crate::engine::confinement::Limits;
use crate::engine::protocol::EngineRequest;
use crate::linux::proc;
use cadmill_core::domain::format::EngineKind;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fs::File;
use std::io;

/// Address space for the code of a native library and everything that it needs, before it is
/// measured.
const NATIVE_CODE: u64 = 2 << 30;

/// The same for a JVM, in addition to its heap: it tries several addresses for its reservations.
const JVM_RESERVES: u64 = 4 << 30;

/// Address space that a native library may map after loading and that is not private data: its
/// stack, which may grow to [`STACK_BYTES`], and modules for character sets.
const NATIVE_LATER: u64 = 16 << 20;

/// The same for a JVM, in addition to the libraries of its converter: another arena of the C
/// library and more space for classes, 64 MiB each, and libraries from the installation or from
/// jars.
const JVM_LATER: u64 = 256 << 20;

/// Bytes of the first thread's stack, the usual size; deeper recursion crashes.
const STACK_BYTES: u64 = 8 << 20;

/// Open descriptors: the usual limit, which libraries can handle.
const DESCRIPTORS: u64 = 1024;

/// Queued signals. The kernel counts them by user, and an engine that queued as many as a user may
/// have would leave none to others. Libraries queue none; a signal that cannot be queued is still
/// delivered if it is one of the first 31.
const SIGNALS: u64 = 64;

/// How much the engine's niceness exceeds its supervisor's. The supervisor ends an engine that
/// exceeds a cap, so it must be scheduled at once beside any number of the engine's threads.
const NICER: i32 = 5;

/// Threads and processes of a user id that only this process has. Higher than the watchdog's limit,
/// so that the watchdog reports the excess.
const PROCESSES: u64 = 1024;

/// Sets soft and hard limits, so that they cannot be raised again. `alone` means that the process
/// has its own user id: the kernel counts processes by user, so without it `RLIMIT_NPROC` would
/// count those of others.
///
/// # Errors
/// Errors of the underlying system calls.
pub fn apply(request: &EngineRequest, alone: bool) -> io::Result<()> {
    let limits = [
        (Resource::Data, request.memory_bytes),
        (Resource::As, while_loading(request)),
        (Resource::Fsize, request.file_bytes),
        (Resource::Core, 0),
        (Resource::Stack, STACK_BYTES),
        (Resource::Nofile, DESCRIPTORS),
        (Resource::Sigpending, SIGNALS),
    ];
    let processes = alone.then_some((Resource::Nproc, PROCESSES));
    for (resource, value) in limits.into_iter().chain(processes) {
        lower(resource, value)?;
    }
    rustix::process::nice(NICER)?;
    // When memory runs out, the kernel kills this process, and the supervisor survives to clean up.
    // Raising the score needs no privilege.
    std::fs::write("/proc/self/oom_score_adj", "1000")
}

/// Sets the limit on address space after the engine is loaded and before it reads its input.
/// `status` is this process's `/proc/self/status`. The system call filter allows this: a lowered
/// limit cannot be raised again.
///
/// # Errors
/// Errors of the underlying system calls.
pub fn after_loading(request: &EngineRequest, status: &File) -> io::Result<()> {
    let now = proc::memory_of(status);
    let fixed = now.addresses.saturating_sub(now.data);
    let later = match request.library.kind {
        EngineKind::Gdal | EngineKind::Assimp | EngineKind::Plugin => NATIVE_LATER,
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

/// Address space for native libraries that a converter may load with its first file: about the size
/// of their files.
fn size_of_natives(request: &EngineRequest) -> u64 {
    let natives = request.library.jvm.as_ref().and_then(|jvm| jvm.natives.as_ref());
    let entries = natives.and_then(|directory| std::fs::read_dir(directory).ok()).into_iter().flatten();
    entries.flatten().filter_map(|entry| entry.metadata().ok()).map(|found| found.len()).sum()
}

/// Sets both limits. A limit that is already lower stays: raising it needs a privilege.
fn lower(resource: Resource, value: u64) -> io::Result<()> {
    let value = getrlimit(resource).maximum.map_or(value, |there| there.min(value));
    Ok(setrlimit(resource, Rlimit { current: Some(value), maximum: Some(value) })?)
}

/// The hard limits of this process, read back; `None` where there is no limit.
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
        signals: maximum(Resource::Sigpending),
    }
}
