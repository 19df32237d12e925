//! Loads the library and does the one task.

use crate::events::Reporter;
use cadmill_converter::digest;
use cadmill_converter::protocol::{Answer, Library, Message, Request, Task, Unavailable};
use cadmill_core::domain::format::EngineKind;
use cadmill_native_sys::{self as native_sys, Engine, EngineError, Events, Kind, LoadError};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(crate) fn run(request: &Request, reporter: &Arc<Reporter>) -> Answer {
    if matches!(request.task, Task::Probe { .. }) {
        return Answer::Probed;
    }
    let engine = match load(&request.library) {
        Ok(engine) => engine,
        Err((reason, message)) => return Answer::Unavailable { reason, message },
    };
    let description = engine.describe();
    reporter.send(&Message::Loaded {
        library: description.library.to_owned(),
        version: description.version.clone(),
        path: description.path.clone(),
    });
    match &request.task {
        Task::Probe { .. } => Answer::Probed,
        Task::Describe => Answer::Described {
            inputs: description.inputs,
            outputs: description.outputs.into_iter().map(|o| (o.id, o.extension)).collect(),
        },
        Task::Convert { input, input_dir, output, output_dir, format_id, options } => {
            let request = native_sys::Request { input, input_dir, output, output_dir, format_id, options };
            let events: Arc<dyn Events> = Arc::clone(reporter) as Arc<dyn Events>;
            match engine.convert(&request, &events) {
                Ok(converted) => Answer::Converted { warnings: converted.warnings },
                Err(EngineError::Rejected(message)) => Answer::Rejected(short(&message)),
                Err(EngineError::OutOfMemory(message)) => Answer::OutOfMemory(short(&message)),
                Err(EngineError::Option(message)) => Answer::BadOption(short(&message)),
                Err(EngineError::Cancelled) => Answer::Cancelled,
            }
        }
    }
}

/// A message that fits a frame whatever it contains.
fn short(message: &str) -> String {
    message.chars().take(4000).collect()
}

fn load(library: &Library) -> Result<Box<dyn Engine>, (Unavailable, String)> {
    let kind = match library.kind {
        EngineKind::Gdal => Kind::Gdal,
        EngineKind::Assimp => Kind::Assimp,
    };
    let pinned = match (&library.path, &library.sha256) {
        (Some(path), Some(pin)) => Some(open_pinned(path, pin)?),
        _ => None,
    };
    let by_descriptor =
        pinned.as_ref().map(|file| PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd())));
    let path = by_descriptor.as_deref().or(library.path.as_deref());
    native_sys::load(kind, path).map_err(|error| {
        let reason = match error {
            LoadError::Missing { .. } => Unavailable::Missing,
            LoadError::Symbols { .. } => Unavailable::Symbol,
            LoadError::Version { .. } => Unavailable::Version,
        };
        (reason, short(&error.to_string()))
    })
}

/// The file, if it is the pinned one. It is loaded through this very descriptor,
/// so that it cannot be exchanged between the check and the use.
fn open_pinned(path: &Path, pin: &str) -> Result<File, (Unavailable, String)> {
    let missing = |e: std::io::Error| (Unavailable::Missing, format!("cannot open {}: {e}", path.display()));
    let file = File::open(path).map_err(missing)?;
    let found = digest::sha256(&file).map_err(missing)?;
    if found == pin {
        return Ok(file);
    }
    Err((Unavailable::Pin, format!("{} has SHA-256 {found}, but {pin} is pinned", path.display())))
}
