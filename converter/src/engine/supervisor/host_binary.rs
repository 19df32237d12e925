//! Locates the engine host's binary.

use cadmill_core::domain::failure::{Failure, FailureCode};
use std::path::{Path, PathBuf};

/// Environment variable that names the binary.
pub const HOST_VARIABLE: &str = "CADMILL_ENGINE_HOST";

const HOST_NAME: &str = "cadmill-engine-host";

/// The engine host: the binary at `named`, or the one beside this program.
///
/// # Errors
/// `infra.engine_host` if there is none.
pub fn engine_host(named: Option<&Path>) -> Result<PathBuf, Failure> {
    if let Some(path) = named {
        return if path.is_file() {
            // The host is started in another directory, so the path must be absolute.
            std::path::absolute(path).map_err(|e| Failure::io("finding the engine host", &e))
        } else {
            let message = format!("{HOST_VARIABLE} names {}, which is not a file", path.display());
            Err(Failure::new(FailureCode::EngineHost, message))
        };
    }
    let own = std::env::current_exe().map_err(|e| Failure::io("finding the path of this program", &e))?;
    let path = own.with_file_name(HOST_NAME);
    if path.is_file() {
        return Ok(path);
    }
    let message = format!("{HOST_NAME} is not in the directory of {}", own.display());
    Err(Failure::new(FailureCode::EngineHost, message))
}
