//! How a JVM is started, and how a start fails.

use crate::library::{Broken, LoadError};
use std::path::PathBuf;

/// How to start the JVM, and with what.
#[derive(Debug, Clone)]
pub struct JvmSetting {
    /// `libjvm.so` of a Java installation, 17 or later.
    pub libjvm: PathBuf,
    /// Jars and directories of classes, the bridge first. All must exist.
    pub class_path: Vec<PathBuf>,
    /// Directory of native libraries that the classes load; all of it is `java.library.path`.
    pub natives: Option<PathBuf>,
    /// The class to use when the class path has several converters.
    pub converter: Option<String>,
    /// Cap on the heap, in bytes.
    pub heap_bytes: u64,
    /// Archive of classes (AppCDS). One that does not fit is ignored by the JVM.
    pub archive: Option<PathBuf>,
    /// The current directory, for `java.io.tmpdir` and `user.dir`.
    pub scratch: PathBuf,
}

pub(super) fn broken(how: Broken, text: String) -> LoadError {
    LoadError::Broken { how, text }
}
