//! Loads the library and performs the task.

use crate::convert::{convert, failed, short};
use crate::events::Reporter;
use crate::{examine, jvm};
use cadmill_converter::conversion::check_options;
use cadmill_converter::engine::examination::Examination;
use cadmill_converter::engine::frame::MAX_FRAME;
use cadmill_converter::engine::pin::{self, PinError};
use cadmill_converter::engine::protocol::{Answer, EngineRequest, Message, Task, Unavailable};
use cadmill_converter::linux::proc::Memory;
use cadmill_converter::linux::signal::CrashHandlers;
use cadmill_core::domain::format::EngineKind;
use cadmill_native_sys::{self as native_sys, Broken, Engine, Events, Kind, LoadError};
use std::io;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// `loaded` is called when the engine is loaded and has not read its input yet; `memory` gives the
/// memory of this process.
pub(crate) fn run(
    request: &EngineRequest,
    reporter: &Arc<Reporter>,
    loaded: &dyn Fn() -> io::Result<()>,
    memory: &dyn Fn() -> Memory,
) -> Answer {
    if matches!(request.task, Task::Probe { .. }) {
        reporter.wait();
        return Answer::Probed;
    }
    // Failures that blame the operator are reported before any code of the engine runs.
    if !native_sys::zeroed::is_in_force() {
        return Answer::Setup("zeroing of memory is not in force: another malloc was linked".to_owned());
    }
    if let Task::Convert { options, .. } | Task::Inspect { options, .. } = &request.task
        && let Err(text) = check_options(request.library.kind, options)
    {
        return Answer::BadOption(short(&text));
    }
    native_sys::zeroed::return_less_often();
    let handlers = CrashHandlers::now();
    let mut before = |doubts: &[Broken]| {
        let doubts = doubts.iter().copied().filter_map(unavailable).collect();
        reporter.send(&Message::Loading { doubts });
    };
    let engine = match load(request, &mut before) {
        Ok(engine) => engine,
        Err(answer) => return answer,
    };
    let changed = handlers.changed();
    let description = engine.describe();
    if let Err(error) = loaded() {
        return Answer::Setup(format!("limit on addresses: {error}"));
    }
    reporter.send(&Message::Loaded {
        library: description.library.clone(),
        version: description.version.clone(),
        // A message is text, and a path need not be UTF-8.
        path: description.path.to_string_lossy().into_owned().into(),
    });
    let kind = request.library.kind;
    let events: Arc<dyn Events> = Arc::clone(reporter) as Arc<dyn Events>;
    match &request.task {
        Task::Probe { .. } => Answer::Probed,
        Task::Await { .. } => {
            let prepared = engine.prepare(&events);
            match reporter.next_task() {
                Some(task) => {
                    reporter.send(&Message::Began);
                    prepared.map_or_else(failed, |()| convert(kind, engine.as_ref(), &task, &events))
                }
                None => Answer::Cancelled,
            }
        }
        Task::Describe => Answer::Described {
            inputs: description.inputs,
            outputs: description.outputs.into_iter().map(|o| (o.id, o.extension)).collect(),
            options: description.options,
        },
        task @ Task::Convert { .. } => {
            engine.prepare(&events).map_or_else(failed, |()| convert(kind, engine.as_ref(), task, &events))
        }
        Task::Examine { conversion, runs, stop_after } => {
            let loaded = CrashHandlers::now();
            let misused_in_prepare = match examine::prepare(engine.as_ref()) {
                Ok(misused) => misused,
                Err(error) => return failed(error),
            };
            let before = Examination {
                data_bytes: memory().data,
                signals_of_loading: changed,
                signals_of_prepare: loaded.changed(),
                misused_in_prepare,
                ..Examination::default()
            };
            let plan = examine::Plan { runs: *runs, stop_after: stop_after.map(Duration::from_millis) };
            examine::run(kind, engine.as_ref(), conversion, plan, before, memory)
        }
        Task::Inspect { input, input_dir, options, .. } => {
            match engine.inspect(&native_sys::Inspection { input, input_dir, options }, &events) {
                Ok(mut contents) => {
                    contents.fit(MAX_CONTENTS);
                    Answer::Inspected(Box::new(contents))
                }
                Err(error) => failed(error),
            }
        }
    }
}

/// Longest description of a file, in bytes: it is sent in a frame.
const MAX_CONTENTS: usize = MAX_FRAME - (4 << 10);

fn load(request: &EngineRequest, before: &mut dyn FnMut(&[Broken])) -> Result<Box<dyn Engine>, Answer> {
    let library = &request.library;
    // The library is loaded through this very descriptor, so that it cannot be replaced between the
    // check and the load.
    let pinned = match (&library.path, &library.sha256) {
        (Some(path), Some(sha256)) => Some(pin::open(path, sha256, library.seal).map_err(not_pinned)?),
        _ => None,
    };
    let by_descriptor =
        pinned.as_ref().map(|file| PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd())));
    let path = by_descriptor.as_deref().or(library.path.as_deref());
    let loaded = match library.kind {
        EngineKind::Gdal => native_sys::load(Kind::Gdal, path, &library.needs, before),
        EngineKind::Assimp => native_sys::load(Kind::Assimp, path, &library.needs, before),
        EngineKind::Plugin => native_sys::load(Kind::Plugin, path, &library.needs, before),
        EngineKind::Jvm => return jvm::load(request, &mut || before(&[])).map_err(|e| unusable(&e)),
    };
    loaded.map_err(|error| unusable(&error))
}

fn not_pinned(error: PinError) -> Answer {
    let (reason, message) = match error {
        PinError::Missing(message) => (Unavailable::Missing, message),
        PinError::Other(message) => (Unavailable::Pin, message),
    };
    Answer::Unavailable { reason, message }
}

/// The answer for a problem with a library file; `None` if memory ran out.
fn unavailable(how: Broken) -> Option<Unavailable> {
    match how {
        Broken::Missing => Some(Unavailable::Missing),
        Broken::Symbol => Some(Unavailable::Symbol),
        Broken::Version => Some(Unavailable::Version),
        Broken::Description => Some(Unavailable::Description),
        Broken::Memory => None,
    }
}

/// The answer for an engine that cannot be used.
fn unusable(error: &LoadError) -> Answer {
    let reason = match error {
        LoadError::Missing { .. } | LoadError::Broken { how: Broken::Missing, .. } => Unavailable::Missing,
        LoadError::Symbols { .. } | LoadError::Broken { how: Broken::Symbol, .. } => Unavailable::Symbol,
        LoadError::Version { .. } | LoadError::Broken { how: Broken::Version, .. } => Unavailable::Version,
        LoadError::Broken { how: Broken::Description, .. } => Unavailable::Description,
        LoadError::NotBuilt { .. } => Unavailable::NotBuilt,
        LoadError::Broken { how: Broken::Memory, text } => return Answer::OutOfMemory(short(text)),
    };
    Answer::Unavailable { reason, message: short(&error.to_string()) }
}
