//! What a command runs with: the engines, the workspace's place, the engine host.

use cadmill_converter::conversion::context::ConversionContext;
use cadmill_converter::engine::confinement::Level;
use cadmill_converter::engine::registry::Engines;
use cadmill_converter::engine::supervisor::{HOST_VARIABLE, Supervisor, engine_host};
use cadmill_converter::linux::privileges;
use cadmill_converter::workspace::WorkspaceRoot;
use cadmill_core::domain::failure::{Failure, FailureCode};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// What a second signal does.
pub(crate) enum Second {
    /// Nothing more than the first. A job sees the flag within milliseconds, kills the engine
    /// and removes the workspace; a plain death would leave both.
    Same,
    /// It ends the process with the exit code of what was cancelled.
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
            // Registered first, so that it sees what the flag was before this signal.
            Second::Ends => register_conditional_shutdown(signal, exit_code, Arc::clone(&flag)).map(drop),
        };
        ends.and_then(|()| register(signal, Arc::clone(&flag)))
            .map_err(|e| Failure::io("installing signal handlers", &e))?;
    }
    Ok(flag)
}

/// The context that arguments and environment describe.
pub(crate) fn build(engines_file: Option<&Path>) -> Result<ConversionContext, Failure> {
    // This process holds plaintext in its buffers: it must not end in a core file.
    privileges::no_core_dump().map_err(|e| Failure::io("turning core dumps off", &e))?;
    let engines = Engines::with(engines_file)?;
    let host = engine_host(std::env::var_os(HOST_VARIABLE).map(PathBuf::from).as_deref())?;
    let supervisor = Supervisor::new(host).requiring(Level::from_environment()?);
    Ok(ConversionContext { engines, place: WorkspaceRoot::from_environment(), supervisor, hosts: None })
}
