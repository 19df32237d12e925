//! Native converter libraries behind one safe trait, [`Engine`].
//!
//! Owns all FFI: the bindings made from the vendors' headers, the loading of
//! the libraries, and the callbacks that they call. A library is opened at run
//! time only ([`library`]); this crate links none.
//!
//! It refuses: a library without a function that is called, a version that the
//! binding was not written for, and options that would make an engine open
//! files or connections other than its input and output.
//!
//! A native library can crash, hang or corrupt the process that it is loaded
//! into. So this crate is used by the engine host only, a process that converts
//! one file and ends.

mod bindings;
mod engine;
mod engines;
mod files;
mod image;
#[cfg(feature = "jvm")]
mod jvm;
mod library;
pub mod zeroed;

pub use engine::{Converted, Description, Engine, EngineError, Events, Level, Output, Request, Stage};
#[cfg(feature = "jvm")]
pub use jvm::JvmSetting;
pub use library::{Broken, LoadError};

use std::path::{Path, PathBuf};

/// The kinds of library that can be bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// GDAL/OGR, versions 3.4 to 3.x.
    Gdal,
    /// Assimp, versions 5.x.
    Assimp,
}

/// Loads a library of this kind: `path`, or the system's when there is none. The libraries
/// that it `needs` are loaded before, in their order: out of a jar they lie where the
/// dynamic linker does not look.
///
/// `before` is called when the next thing to happen is that code of the library runs. It is
/// given what the files themselves show to be wrong; nothing that is found out later can be
/// told from what the library says.
///
/// # Errors
/// [`LoadError`] names the file, what it lacks and what to do.
pub fn load(
    kind: Kind,
    path: Option<&Path>,
    needs: &[PathBuf],
    before: &mut dyn FnMut(&[Broken]),
) -> Result<Box<dyn Engine>, LoadError> {
    let wanted = match kind {
        Kind::Gdal => &engines::gdal::WANTED,
        Kind::Assimp => &engines::assimp::WANTED,
    };
    before(&image::doubts(wanted, path, needs));
    library::load_before(needs)?;
    Ok(match kind {
        Kind::Gdal => Box::new(engines::gdal::Gdal::load(path)?),
        Kind::Assimp => Box::new(engines::assimp::Assimp::load(path)?),
    })
}

/// Judges the options of a conversion as far as that takes no library: those that are
/// refused here are refused whatever the library says.
///
/// # Errors
/// What is wrong with them, for the one who gave them.
pub fn check_options(kind: Kind, options: &[(String, String)]) -> Result<(), String> {
    match kind {
        Kind::Gdal => engines::gdal::check_options(options),
        Kind::Assimp => engines::assimp::check_options(options),
    }
}

/// Starts a JVM and finds the converter on its class path. Once a process. `before` is
/// called when the converter has been found and the next thing to happen is that its code
/// runs.
///
/// # Errors
/// [`LoadError`] names what is missing and what to do.
#[cfg(feature = "jvm")]
pub fn load_jvm(setting: &JvmSetting, before: &mut dyn FnMut()) -> Result<Box<dyn Engine>, LoadError> {
    jvm::load(setting, before)
}
