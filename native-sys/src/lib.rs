//! Native converter libraries behind a safe trait, [`Engine`].
//!
//! Contains all FFI: the bindings generated from the vendor headers, the loading of the libraries,
//! and the callbacks that they call. Libraries are opened at run time only ([`library`]); this
//! crate links none.
//!
//! Rejected are: a library that lacks a function that is called, a version that the binding does
//! not support, and options that would make an engine open files or connections other than its
//! input and output.
//!
//! A native library can crash, hang or corrupt the process into which it is loaded. So only the
//! engine host uses this crate, a process that converts one file and ends.

mod bindings;
mod companions;
mod engine;
mod engines;
mod files;
mod image;
#[cfg(feature = "jvm")]
mod jvm;
mod library;
mod model;
mod plugin;
mod references;
mod written;
pub mod zeroed;

pub use engine::{
    Converted, Description, Engine, EngineError, Events, Inspection, Level, Nature, Output, Request, Stage,
};
#[cfg(feature = "jvm")]
pub use jvm::JvmSetting;
pub use library::{Broken, LoadError};
pub use written::check_written;

use std::path::{Path, PathBuf};

/// The supported kinds of libraries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// GDAL/OGR, versions 3.4 to 3.x.
    Gdal,
    /// Assimp, versions 5.x.
    Assimp,
    /// A plugin, behind version 1 of the interface.
    Plugin,
}

/// Loads a library of this kind: `path`, or the system's library if there is none. The libraries in
/// `needs` are loaded before it, in order: from a jar, they are in a directory that the dynamic
/// linker does not search.
///
/// `before` is called immediately before code of the library runs. It receives the defects found in
/// the files; an error found later cannot be told apart from what the library claims.
///
/// # Errors
/// [`LoadError`] names the file, what it lacks and how to fix it.
pub fn load(
    kind: Kind,
    path: Option<&Path>,
    needs: &[PathBuf],
    before: &mut dyn FnMut(&[Broken]),
) -> Result<Box<dyn Engine>, LoadError> {
    let wanted = match kind {
        Kind::Gdal => &engines::gdal::WANTED,
        Kind::Assimp => &engines::assimp::WANTED,
        Kind::Plugin => &plugin::WANTED,
    };
    before(&image::doubts(wanted, path, needs));
    library::load_before(needs)?;
    Ok(match kind {
        Kind::Gdal => Box::new(engines::gdal::Gdal::load(path)?),
        Kind::Assimp => Box::new(engines::assimp::Assimp::load(path)?),
        Kind::Plugin => Box::new(plugin::Plugin::load(path)?),
    })
}

/// Checks the options of a conversion as far as possible without the library: options rejected here
/// are rejected whatever the library says.
///
/// # Errors
/// The error message, for the user who gave the options.
pub fn check_options(kind: Kind, options: &[(String, String)]) -> Result<(), String> {
    match kind {
        Kind::Gdal => engines::gdal::check_options(options),
        Kind::Assimp => engines::assimp::check_options(options),
        // It describes its options itself.
        Kind::Plugin => Ok(()),
    }
}

/// Starts a JVM and locates the converter on its class path. Called once per process. `before` is
/// called when the converter has been found, immediately before its code runs.
///
/// # Errors
/// [`LoadError`] names what is missing and how to fix it.
#[cfg(feature = "jvm")]
pub fn load_jvm(setting: &JvmSetting, before: &mut dyn FnMut()) -> Result<Box<dyn Engine>, LoadError> {
    jvm::load(setting, before)
}
