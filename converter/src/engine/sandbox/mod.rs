//! The confinement of the engine process, as an ordered list of steps.
//!
//! Each step is a file. The order matters: a later step may forbid what an earlier one needs. All
//! steps are done before the library is loaded and before any thread exists, because some guards
//! apply only to the calling thread and the threads that it creates.
//!
//! 1. [`descriptors`]: move the two pipes out of the library's reach, close the rest
//! 2. [`environment`]: keep three variables only; [`label`]: what others see of the process
//! 3. [`limits`]: memory, file size, stack, descriptors, no core dump
//! 4. [`namespaces`]: a network namespace, where the host allows it
//! 5. [`namespaces`]: its own user id, if the supervisor assigned one; no capability
//! 6. [`parent`]: die with the supervisor; no terminal
//! 7. [`privileges`]: no privilege can be gained, no other process can look inside
//! 8. [`crash_handler`] and [`sigsys`]: report how it dies; removed files are moved aside ([`unlink_guard`])
//! 9. Landlock ([`files`]): which files may be opened
//! 10. seccomp ([`syscalls`]): which system calls may be made
//!
//! Steps 4, 9 and 10 depend on the kernel and the container. What they put in force is reported
//! ([`InForce`]), and compared with the minimum before a library is loaded. A failure of any other
//! step ends the job.
//!
//! Unsafe code is here, in [`crate::linux`] and in `native-sys`, and nowhere else.

mod closure;
pub mod crash_handler;
pub mod descriptors;
pub mod environment;
pub mod files;
pub mod label;
pub mod limits;
pub mod namespaces;
mod observed;
pub mod outsider;
mod pair;
pub mod parent;
mod signal_record;
pub mod sigsys;
pub mod syscalls;
pub mod unlink_guard;

use crate::engine::confinement::InForce;
use crate::engine::protocol::EngineRequest;
use crate::linux::proc::status_text;
use cadmill_core::domain::format::EngineKind;
use std::fs::File;
use std::io;

/// A step that failed. The engine must not run then.
#[derive(Debug, thiserror::Error)]
#[error("{step}: {error}")]
pub struct StepError {
    /// The step's name.
    pub step: &'static str,
    /// The operating system's error.
    pub error: io::Error,
}

/// A process after its confinement.
#[derive(Debug)]
pub struct Confined {
    /// The confinement reached.
    pub in_force: InForce,
    /// Its own `/proc/self/status`, which it can no longer open.
    pub status: File,
    /// The step that is left for when the engine is loaded, before it reads its input.
    pub after_loading: fn(&EngineRequest, &File) -> io::Result<()>,
}

/// Performs steps 2 to 10. Step 1 was done before the request could be read.
///
/// # Errors
/// The step that failed. No step is skipped silently.
pub fn enter(request: &EngineRequest, channel: &descriptors::Channel) -> Result<Confined, StepError> {
    let step = |step: &'static str| move |error: io::Error| StepError { step, error };
    let own_uid = request.confinement.own_uid;
    environment::scrub();
    label::reset().map_err(step("name"))?;
    limits::apply(request, own_uid.is_some()).map_err(step("resource limits"))?;
    let network_namespace = namespaces::leave_network();
    own_uid.map_or(Ok(()), namespaces::become_user).map_err(step("own user id"))?;
    namespaces::drop_capabilities().map_err(step("capabilities"))?;
    parent::die_with(request.supervisor).map_err(step("die with the supervisor"))?;
    parent::leave_terminal();
    crate::linux::privileges::drop_all().map_err(step("privileges"))?;
    // Called before the filter, which does not allow it.
    let dumpable = crate::linux::privileges::is_dumpable();
    let status = File::open("/proc/self/status").map_err(step("own status"))?;
    crash_handler::install(channel.messages_fd(), &status).map_err(step("crash handlers"))?;
    sigsys::install().map_err(step("violation handler"))?;
    if request.library.kind == EngineKind::Jvm {
        pair::keep_one().map_err(step("pair of sockets"))?;
    }
    let landlock = files::restrict(request).map_err(step("landlock"))?;
    if request.confinement.observed {
        observed::begin().map_err(step("observation"))?;
    }
    let filter = syscalls::filter(request.library.kind);
    // A kernel without seccomp fails here; the level shows it.
    let filtered = syscalls::restrict(&filter).is_ok();
    let told = InForce {
        landlock,
        seccomp: filtered.then_some(filter.sha256),
        limits: limits::in_force(),
        dumpable,
        network_namespace,
        own_uid,
        control_group: request.confinement.control_group,
        ..InForce::default()
    };
    read_back(told, status).map_err(step("own status"))
}

/// Values that the kernel shows are taken from the kernel.
fn read_back(mut in_force: InForce, status: File) -> io::Result<Confined> {
    let text = status_text(&status)?;
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    in_force.no_new_privs = field("NoNewPrivs:") == Some("1");
    if field("Seccomp:") != Some("2") {
        in_force.seccomp = None;
    }
    in_force.capabilities = crate::linux::proc::capabilities(&text).unwrap_or(u64::MAX);
    Ok(Confined { in_force, status, after_loading: limits::after_loading })
}

/// Ends the process at once with code 0, without running the destructors of the loaded libraries.
pub fn leave() -> ! {
    // SAFETY: `_exit` has no preconditions. The skipped buffers and destructors belong to libraries
    // that have closed their files by then.
    unsafe { libc::_exit(0) }
}
