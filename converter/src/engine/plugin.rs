//! The built-in engine `occt`: OpenCASCADE, as a plugin that comes with cadmill.
//!
//! Nothing is loaded here. A plugin that is missing is reported by the host, as for any library: an
//! engine that is not used may be incomplete.

use crate::engine::protocol::Library;
use cadmill_core::domain::format::EngineKind;

pub use cadmill_core::domain::format::OCCT;
use std::path::{Path, PathBuf};

/// Environment variable that names the directory with the plugins of cadmill.
pub const PLUGINS_VARIABLE: &str = "CADMILL_PLUGINS";

/// File name of the plugin.
const FILE: &str = "libcadmill-occt.so";

/// The library of the built-in engine. Reads the file system.
pub(crate) fn occt() -> Library {
    Library { kind: EngineKind::Plugin, path: Some(place(FILE)), ..Library::of_nothing() }
}

/// Where a plugin is: in the configured directory, or else in one beside this program, in a build
/// directory or as installed. If it is in none, where it would be installed.
fn place(file: &str) -> PathBuf {
    if let Some(named) = std::env::var_os(PLUGINS_VARIABLE).filter(|named| !named.is_empty()) {
        let directory = PathBuf::from(named);
        return directory.canonicalize().unwrap_or(directory).join(file);
    }
    let own = std::env::current_exe().unwrap_or_default();
    let beside = own.parent().unwrap_or(Path::new("/"));
    let places = ["../lib/cadmill/plugins", "../plugins", "../../plugins"].map(|place| beside.join(place));
    let found = places.iter().find_map(|place| place.join(file).canonicalize().ok());
    found.unwrap_or_else(|| places[0].join(file))
}
