//! The context of a command: the engines, the workspace location and the engine host.

use cadmill_converter::conversion::context::ConversionContext;
use cadmill_converter::engine::confinement::Level;
use cadmill_converter::engine::registry::Engines;
use cadmill_converter::engine::supervisor::HOST_VARIABLE;
use cadmill_converter::linux::privileges;
use cadmill_converter::workspace::WorkspaceRoot;
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

/// A flag that SIGINT, SIGTERM and SIGHUP set.
pub(crate) fn cancel_on_signals(second: &Second) -> Result<Arc<AtomicBool>, Failure> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    use signal_hook::flag::{register, register_conditional_shutdown};
    let flag = Arc::new(AtomicBool::new(false));
    let exit_code = i32::from(FailureCode::Cancelled.exit_code());
    for signal in [SIGINT, SIGTERM, SIGHUP] {
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
    ConversionContext::new(engines, place, host.as_deref(), Level::from_environment()?)
}
