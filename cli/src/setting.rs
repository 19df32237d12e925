//! What a command runs with: the engines, the workspace's place, the engine host.

use cadmill_converter::engines::Engines;
use cadmill_converter::job::Setting;
use cadmill_converter::sandbox::privileges;
use cadmill_converter::supervisor::Supervisor;
use cadmill_converter::workspace::Place;
use cadmill_core::domain::failure::{Failure, FailureCode};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Environment variable that names the engine host's binary.
const HOST_VARIABLE: &str = "CADMILL_ENGINE_HOST";

const HOST_NAME: &str = "cadmill-engine-host";

/// A flag that the usual signals set. A job sees it within milliseconds, kills
/// the engine and removes the workspace; a plain death would leave both.
pub(crate) fn cancel_on_signals() -> Result<Arc<AtomicBool>, Failure> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&flag))
            .map_err(|e| Failure::io("taking over the signals", &e))?;
    }
    Ok(flag)
}

/// The setting that arguments and environment describe.
pub(crate) fn build(engines_file: Option<&Path>) -> Result<Setting, Failure> {
    // This process holds plaintext in its buffers: it must not end in a core file.
    privileges::no_core_dump().map_err(|e| Failure::io("turning core dumps off", &e))?;
    let engines = match engines_file {
        Some(path) => Engines::from_file(path)?,
        None => Engines::default(),
    };
    Ok(Setting { engines, place: Place::from_environment(), supervisor: Supervisor::new(host()?) })
}

fn host() -> Result<PathBuf, Failure> {
    if let Some(path) = std::env::var_os(HOST_VARIABLE) {
        let path = PathBuf::from(path);
        return if path.is_file() {
            Ok(path)
        } else {
            let message = format!("{HOST_VARIABLE} names {}, which is no file", path.display());
            Err(Failure::new(FailureCode::EngineHost, message))
        };
    }
    let own = std::env::current_exe().map_err(|e| Failure::io("finding our own binary", &e))?;
    let path = own.with_file_name(HOST_NAME);
    if path.is_file() {
        return Ok(path);
    }
    let message = format!("{HOST_NAME} is not beside {}", own.display());
    Err(Failure::new(FailureCode::EngineHost, message))
}
