//! One conversion by a loaded engine, and the answers to its errors.

use cadmill_converter::conversion::check_options;
use cadmill_converter::engine::protocol::{Answer, Task};
use cadmill_core::domain::format::EngineKind;
use cadmill_native_sys::{self as native_sys, Converted, Engine, EngineError, Events};
use std::sync::Arc;

pub(crate) fn convert(
    kind: EngineKind,
    engine: &dyn Engine,
    task: &Task,
    events: &Arc<dyn Events>,
) -> Answer {
    let Task::Convert { input, input_dir, output, output_dir, format_id, layer, options, strict } = task
    else {
        return Answer::Rejected(
            "the engine host was asked to continue with a task that is not a conversion".to_owned(),
        );
    };
    // The job has already checked the options before it sent them to a waiting host.
    if let Err(text) = check_options(kind, options) {
        return Answer::Rejected(short(&text));
    }
    // Of several conversions of a job, each has a directory of its own.
    let output_dir = output.parent().unwrap_or(output_dir);
    let layer = layer.as_deref();
    let strict = *strict;
    let request =
        native_sys::Request { input, input_dir, output, output_dir, format_id, layer, options, strict };
    let converted = engine.convert(&request, events);
    match converted.and_then(|converted| native_sys::check_written(output_dir).map(|()| converted)) {
        Ok(Converted { warnings, counts, facts }) => Answer::Converted { warnings, counts, facts },
        Err(error) => failed(error),
    }
}

pub(crate) fn failed(error: EngineError) -> Answer {
    match error {
        EngineError::Rejected(message) => Answer::Rejected(short(&message)),
        EngineError::Reaches(message) => Answer::Reaches(short(&message)),
        EngineError::Unfit(message) => Answer::Unfit(short(&message)),
        EngineError::TextLost(message) => Answer::TextLost(short(&message)),
        EngineError::OutOfMemory(message) => Answer::OutOfMemory(short(&message)),
        EngineError::Option(message) => Answer::BadOption(short(&message)),
        EngineError::Defect(message) => Answer::Failed(short(&message)),
        EngineError::Cancelled => Answer::Cancelled,
        EngineError::Unusable(error) => Answer::Rejected(short(&error.to_string())),
    }
}

/// Truncates a message so that it always fits a frame.
pub(crate) fn short(message: &str) -> String {
    message.chars().take(4000).collect()
}
