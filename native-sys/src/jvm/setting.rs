//! The settings for starting a JVM, and the errors of a failed start.

use crate::library::{Broken, LoadError};
use std::path::PathBuf;

/// How to start the JVM, and with which classes.
#[derive(Debug, Clone)]
pub struct JvmSetting {
    /// `libjvm.so` of a Java installation, 17 or later.
    pub libjvm: PathBuf,
    /// Jars and class directories, the bridge first. All must exist.
    pub class_path: Vec<PathBuf>,
    /// Directory of the native libraries that the classes load; it is the whole
    /// `java.library.path`.
    pub natives: Option<PathBuf>,
    /// The class to use when the class path contains several converters.
    pub converter: Option<String>,
    /// Maximum heap size, in bytes.
    pub heap_bytes: u64,
    /// Class data archive (AppCDS). The JVM ignores an archive that does not match.
    pub archive: Option<PathBuf>,
    /// The current directory, for `java.io.tmpdir` and `user.dir`.
    pub scratch: PathBuf,
}

pub(super) fn broken(how: Broken, text: String) -> LoadError {
    LoadError::Broken { how, text }
}
