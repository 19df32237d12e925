//! What a command runs with: the engines, the workspace's place, the engine host.

use cadmill_converter::conversion::context::ConversionContext;
use cadmill_converter::engine::confinement::Level;
use cadmill_converter::engine::registry::Engines;
use cadmill_converter::engine::supervisor::{HOST_VARIABLE, Supervisor, engine_host};
use cadmill_converter::linux::privileges;
use cadmill_converter::workspace::WorkspaceRoot;
use cadmill_core::domain::failure::Failure;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// A flag that the usual signals set. A job sees it within milliseconds, kills
/// the engine and removes the workspace; a plain death would leave both.
pub(crate) fn cancel_on_signals() -> Result<Arc<AtomicBool>, Failure> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&flag))
            .map_err(|e| Failure::io("installing signal handlers", &e))?;
    }
    Ok(flag)
}

/// The setting that arguments and environment describe.
pub(crate) fn build(engines_file: Option<&Path>) -> Result<ConversionContext, Failure> {
    // This process holds plaintext in its buffers: it must not end in a core file.
    privileges::no_core_dump().map_err(|e| Failure::io("turning core dumps off", &e))?;
    let engines = Engines::with(engines_file)?;
    let host = engine_host(std::env::var_os(HOST_VARIABLE).map(PathBuf::from).as_deref())?;
    let supervisor = Supervisor::new(host).requiring(Level::from_environment()?);
    Ok(ConversionContext { engines, place: WorkspaceRoot::from_environment(), supervisor, hosts: None })
}
