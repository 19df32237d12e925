//! Opens a vendor library and verifies that it is complete and of a supported version. Errors name
//! the file and what it lacks.

use std::ffi::{CStr, c_void};
use std::path::{Path, PathBuf};

/// Why a library cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LoadError {
    /// No file could be loaded.
    #[error("cannot load {library} from {}: {reason}", tried.join(", "))]
    Missing {
        /// The library's name.
        library: &'static str,
        /// File names that were tried.
        tried: Vec<String>,
        /// The loader's error for the last of them.
        reason: String,
    },
    /// The file lacks functions that are called.
    #[error("{} is not a usable {library}: it lacks {}; supported versions are {supported}", path.display(), symbols.join(", "))]
    Symbols {
        /// The library's name.
        library: &'static str,
        /// The file.
        path: PathBuf,
        /// The missing functions.
        symbols: Vec<String>,
        /// Versions that are supported.
        supported: &'static str,
    },
    /// The binding does not support this version.
    #[error("{} is {library} {found}; supported versions are {supported}", path.display())]
    Version {
        /// The library's name.
        library: &'static str,
        /// The file.
        path: PathBuf,
        /// Its version.
        found: String,
        /// Versions that are supported.
        supported: &'static str,
    },
    /// This build does not include engines of this kind.
    #[error("this cadmill was built without the feature `{feature}`, which {what} need")]
    NotBuilt {
        /// The Cargo feature that enables them.
        feature: &'static str,
        /// The engines, for the message.
        what: &'static str,
    },
    /// A class path, or the JVM, cannot be used.
    #[error("{text}")]
    Broken {
        /// The kind of defect.
        how: Broken,
        /// The message.
        text: String,
    },
}

/// Why a class path, or the JVM, cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// A file is missing or cannot be loaded.
    Missing,
    /// A class, or a member of a class, is missing.
    Symbol,
    /// A version is not supported.
    Version,
    /// What it says of itself cannot be worked with.
    Description,
    /// There is too little memory to start.
    Memory,
}

/// A library to open.
pub(crate) struct Wanted {
    pub(crate) library: &'static str,
    /// File names to try when no path is given, best first.
    pub(crate) names: &'static [&'static str],
    pub(crate) functions: &'static [&'static str],
    pub(crate) supported: &'static str,
    /// Whether a file with this name has a version older than the supported ones; none if the name
    /// does not tell.
    pub(crate) is_old: fn(&str) -> Option<bool>,
}

/// Loads the dependencies of another library permanently. The linker uses what is already loaded
/// under the same name (`DT_SONAME`) and does not search further.
pub(crate) fn load_before(needs: &[PathBuf]) -> Result<(), LoadError> {
    for path in needs {
        // SAFETY: as in `open`: the vendor's initialisers run, and nothing else is loading
        // libraries.
        let library = unsafe { libloading::Library::new(path) }.map_err(|error| LoadError::Missing {
            library: "a needed library",
            tried: vec![path.display().to_string()],
            reason: error_text(&error),
        })?;
        std::mem::forget(library);
    }
    Ok(())
}

/// Opens the library and checks that it has every function.
///
/// Also returns the path of the loaded file, as reported by the dynamic linker.
pub(crate) fn open(
    wanted: &Wanted,
    path: Option<&Path>,
) -> Result<(libloading::Library, PathBuf), LoadError> {
    let tried: Vec<String> = match path {
        Some(path) => vec![path.display().to_string()],
        None => wanted.names.iter().map(|&n| n.to_owned()).collect(),
    };
    let mut reason = String::new();
    for name in &tried {
        // SAFETY: opening a library runs its initialisers. They are the vendor's
        // code, which this process exists to run; nothing else is in it. No
        // other thread is loading libraries.
        match unsafe { libloading::Library::new(name) } {
            Ok(library) => return checked(wanted, library, name),
            Err(error) => reason = error_text(&error),
        }
    }
    Err(LoadError::Missing { library: wanted.library, tried, reason })
}

fn checked(
    wanted: &Wanted,
    library: libloading::Library,
    name: &str,
) -> Result<(libloading::Library, PathBuf), LoadError> {
    let mut missing = Vec::new();
    let mut found = None;
    for function in wanted.functions {
        // SAFETY: the symbol is only looked up for its address; it is never called through this
        // type.
        match unsafe { library.get::<unsafe extern "C" fn()>(*function) } {
            Ok(symbol) => found = Some(*symbol as *mut c_void),
            Err(_) => missing.push((*function).to_owned()),
        }
    }
    // One function only: the linker searches all symbols of the library for the path.
    let path = found.and_then(file_of).unwrap_or_else(|| PathBuf::from(name));
    if missing.is_empty() {
        Ok((library, path))
    } else {
        Err(LoadError::Symbols {
            library: wanted.library,
            path,
            symbols: missing,
            supported: wanted.supported,
        })
    }
}

/// The file that an address was loaded from.
fn file_of(address: *mut c_void) -> Option<PathBuf> {
    let mut info = libc::Dl_info {
        dli_fname: std::ptr::null(),
        dli_fbase: std::ptr::null_mut(),
        dli_sname: std::ptr::null(),
        dli_saddr: std::ptr::null_mut(),
    };
    // SAFETY: `dladdr` does not read memory at `address`, and fills `info`, which is valid for
    // writes; it returns zero if it did not.
    let found = unsafe { libc::dladdr(address, &mut info) } != 0;
    if !found || info.dli_fname.is_null() {
        return None;
    }
    // SAFETY: on success `dli_fname` is a C string owned by the dynamic linker,
    // valid while the library stays loaded; it is copied here.
    let name = unsafe { CStr::from_ptr(info.dli_fname) };
    let name = name.to_str().ok()?;
    Some(std::fs::canonicalize(name).unwrap_or_else(|_| PathBuf::from(name)))
}

/// An error with the loader's own message, which libloading stores as the source.
fn error_text(error: &libloading::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = cause_text;
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIBM: Wanted = Wanted {
        library: "libm",
        names: &["libnowhere.so.9", "libm.so.6"],
        functions: &["cos", "sin"],
        supported: "any",
        is_old: |_| None,
    };

    #[test]
    fn the_second_name_is_tried_and_the_real_path_told() {
        let (_library, path) = open(&LIBM, None).unwrap();
        assert!(path.is_absolute(), "{}", path.display());
        assert!(path.display().to_string().contains("libm"), "{}", path.display());
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = open(&LIBM, Some(Path::new("/nonexistent/libx.so"))).err().unwrap();
        assert!(matches!(error, LoadError::Missing { .. }));
        assert!(error.to_string().contains("/nonexistent/libx.so"), "{error}");
        assert!(error.to_string().contains("No such file"), "{error}");
    }

    #[test]
    fn every_missing_symbol_is_named() {
        let wanted = Wanted { functions: &["cos", "aiNothing", "aiNever"], ..LIBM };
        let error = open(&wanted, None).err().unwrap();
        let text = error.to_string();
        assert!(
            text.contains("libm") && text.contains("aiNothing, aiNever") && !text.contains("cos,"),
            "{text}"
        );
    }
}
