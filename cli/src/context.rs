//! The context of a command: the engines, the workspace location and the engine host.

use cadmill_converter::conversion::context::ConversionContext;
use cadmill_converter::conversion::description_cache::DescriptionCache;
use cadmill_converter::engine::confinement::Level;
use cadmill_converter::engine::posture::{self, Posture};
use cadmill_converter::engine::registry::Engines;
use cadmill_converter::engine::supervisor::HOST_VARIABLE;
use cadmill_converter::linux::privileges;
use cadmill_converter::workspace::{Privacy, Private, WorkspaceRoot};
use cadmill_core::domain::failure::{Failure, FailureCode};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// The effect of a second signal.
pub(crate) enum Second {
    /// The same as the first. A job sees the flag within milliseconds, kills the engine and removes
    /// the workspace; exiting at once would leave both behind.
    Same,
    /// Ends the process with the exit code for cancellation.
    Ends,
}

/// Signals that end a process unless it handles them, as signal(7) lists them, except those that
/// cannot be handled, those of a defect of the process itself, and SIGPIPE, which is ignored. Each
/// of them would leave the workspace behind.
const ENDING: &[i32] = &[
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGTERM,
    libc::SIGALRM,
    libc::SIGVTALRM,
    libc::SIGPROF,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGIO,
    libc::SIGPWR,
    libc::SIGSTKFLT,
    libc::SIGTRAP,
    libc::SIGXCPU,
];

/// A flag that every signal sets whose default would end the process.
pub(crate) fn cancel_on_signals(second: &Second) -> Result<Arc<AtomicBool>, Failure> {
    use signal_hook::flag::{register, register_conditional_shutdown};
    let flag = Arc::new(AtomicBool::new(false));
    let exit_code = i32::from(FailureCode::Cancelled.exit_code());
    // A write beyond RLIMIT_FSIZE then fails with EFBIG, and is reported like any failed write.
    register(libc::SIGXFSZ, Arc::new(AtomicBool::new(false)))
        .map_err(|e| Failure::io("installing signal handlers", &e))?;
    for signal in ENDING.iter().copied().chain(libc::SIGRTMIN()..=libc::SIGRTMAX()) {
        let ends = match second {
            Second::Same => Ok(()),
            // Registered first, so that it sees the flag as it was before this signal.
            Second::Ends => register_conditional_shutdown(signal, exit_code, Arc::clone(&flag)).map(drop),
        };
        ends.and_then(|()| register(signal, Arc::clone(&flag)))
            .map_err(|e| Failure::io("installing signal handlers", &e))?;
    }
    Ok(flag)
}

/// The context specified by arguments and environment.
pub(crate) fn build(engines_file: Option<&Path>) -> Result<ConversionContext, Failure> {
    // This process holds plaintext in its buffers: it must not be written to a core dump.
    privileges::no_core_dump().map_err(|e| Failure::io("turning core dumps off", &e))?;
    let (engines, place) = (Engines::with(engines_file)?, WorkspaceRoot::from_environment());
    let host = std::env::var_os(HOST_VARIABLE).map(PathBuf::from);
    let setting = ConversionContext::new(engines, place, host.as_deref(), Level::from_environment()?)?;
    let descriptions =
        cache().map(|directory| DescriptionCache::in_directory(&directory)).unwrap_or_default();
    Ok(ConversionContext { descriptions, ..setting })
}

/// The directory of this user for what can be made again (XDG Base Directory Specification).
fn cache() -> Option<PathBuf> {
    let named = |name, below: &str| {
        let path = std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        path.map(|path| path.join(below))
    };
    named("XDG_CACHE_HOME", "cadmill").or_else(|| named("HOME", ".cache/cadmill"))
}

/// Moves the workspaces of a command into private memory where the host allows it, which must be
/// done while the process has a single thread. The mount must be kept until the workspaces are
/// gone. The posture is that of an engine process there; it is looked up only if it is asked for or
/// needed, because that takes as long as starting an engine.
pub(crate) fn private(
    setting: &mut ConversionContext,
    with_posture: bool,
) -> Result<(Option<Private>, Option<Posture>), Failure> {
    let privacy = Privacy::from_environment()?;
    let with_posture = with_posture || privacy == Privacy::Required;
    let mut private = setting.place.make_private_for_command(privacy, with_posture)?;
    let outsider = private.as_mut().and_then(Private::take_outsider);
    let probe = || posture::probe(&setting.supervisor, &setting.place, outsider);
    let posture = with_posture.then(probe).transpose()?;
    posture.as_ref().map_or(Ok(()), |posture| privacy.require(posture))?;
    Ok((private, posture))
}
