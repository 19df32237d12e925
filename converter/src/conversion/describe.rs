//! Queries an engine for its identity and capabilities.

use super::ConversionContext;
use crate::engine::failure::failure_of;
use crate::engine::protocol::{Answer, EngineRequest, Task};
use crate::engine::registry::Engine;
use crate::engine::supervisor::{Identity, Outcome, clean};
use cadmill_core::domain::failure::{Failure, FailureCode};
use cadmill_core::domain::format::{EngineFormats, OutputFormat};
use cadmill_core::domain::limits::Caps;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// The description that an engine gives of itself.
#[derive(Debug, Clone)]
pub struct Description {
    /// The library.
    pub identity: Identity,
    /// Extensions that it reads.
    pub inputs: Vec<String>,
    /// Formats that it writes: id and extension.
    pub outputs: Vec<(String, String)>,
}

impl Description {
    /// The formats of the table first, in its order of preference, then those that only the engine
    /// lists.
    pub(super) fn merged(self, engine: &Engine) -> EngineFormats {
        let mut formats = engine.formats();
        for input in self.inputs {
            if !formats.reads(&input) {
                formats.inputs.push(input);
            }
        }
        for (id, extension) in self.outputs {
            let output = OutputFormat { id, extension };
            if !formats.outputs.contains(&output) {
                formats.outputs.push(output);
            }
        }
        formats
    }
}

/// Queries an engine for its identity and capabilities, in a separate process.
///
/// # Errors
/// `engine.*` when its library cannot be used, `infra.*` when it cannot be queried.
pub fn describe(
    engine: &Engine,
    setting: &ConversionContext,
    cancel: &AtomicBool,
) -> Result<Description, Failure> {
    let workspace = setting.place.create()?;
    let caps = Caps { time: Duration::from_secs(60), ..Caps::default() };
    let request = EngineRequest::new(engine.library().clone(), Task::Describe, &caps);
    let report = setting
        .supervisor
        .run(&request, &caps, &workspace.scratch(), &workspace.output(), cancel, &mut |_| {})
        .map_err(|e| Failure::new(FailureCode::EngineHost, format!("starting the engine host: {e}")))?;
    workspace.remove()?;
    match (report.outcome, report.identity) {
        (Outcome::Answered(Answer::Described { inputs, outputs }), Some(identity)) => {
            Ok(Description { identity, inputs: words(inputs), outputs: formats(outputs) })
        }
        (outcome, _) => match failure_of(&engine.name, outcome) {
            Err(failure) => Err(failure),
            Ok(()) => Err(Failure::new(FailureCode::EngineHost, "the engine host sent an unexpected reply")),
        },
    }
}

/// Keeps extensions that are plain words. They come from a library and become file names and lines
/// on a terminal.
fn words(extensions: Vec<String>) -> Vec<String> {
    extensions.into_iter().filter(|text| !text.is_empty() && is_word(text)).collect()
}

/// Keeps the formats with a valid id and extension. The extension may be empty.
fn formats(formats: Vec<(String, String)>) -> Vec<(String, String)> {
    let can_be_named = |id: &str| !id.is_empty() && id.len() <= 64 && clean(id) == id;
    formats.into_iter().filter(|(id, extension)| can_be_named(id) && is_word(extension)).collect()
}

fn is_word(text: &str) -> bool {
    text.len() <= 32
        && !text.starts_with('.')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '+'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_word_is_no_extension() {
        let inputs = ["obj", "shp.zip", "E00", "", "../x", "a/b", "a\\b", ".x", "a\x1b", "a b", "ä"];
        assert_eq!(words(inputs.map(str::to_owned).into()), ["obj", "shp.zip", "E00"]);
        let outputs =
            [("ESRI Shapefile", "shp"), ("dir", ""), ("", "x"), ("a\x1b[0m", "x"), ("evil", "../x")];
        let outputs = outputs.map(|(id, extension)| (id.to_owned(), extension.to_owned())).into();
        let names: Vec<String> = formats(outputs).into_iter().map(|(id, _)| id).collect();
        assert_eq!(names, ["ESRI Shapefile", "dir"]);
    }
}
