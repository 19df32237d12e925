//! Asking an engine what it is and can do.

use super::Setting;
use super::verdict::judge;
use crate::engines::Engine;
use crate::protocol::{Answer, Request, Task};
use crate::supervisor::{Identity, Outcome};
use cadmill_core::domain::failure::{Failure, FailureCode};
use cadmill_core::domain::format::{EngineFormats, OutputFormat};
use cadmill_core::domain::limits::Caps;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// What an engine says of itself.
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
    /// The table's formats first, in its order of preference, then what only the engine knows of.
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

/// Asks an engine what it is and can do, in a process of its own.
///
/// # Errors
/// `engine.*` when its library cannot be used, `infra.*` when it cannot be asked.
pub fn describe(engine: &Engine, setting: &Setting, cancel: &AtomicBool) -> Result<Description, Failure> {
    let workspace = setting.place.create()?;
    let caps = Caps { time: Duration::from_secs(60), ..Caps::default() };
    let request = Request::new(engine.library().clone(), Task::Describe, &caps);
    let report = setting
        .supervisor
        .run(&request, &caps, &workspace.scratch(), &workspace.output(), cancel, &mut |_| {})
        .map_err(|e| Failure::new(FailureCode::EngineHost, format!("starting the engine host: {e}")))?;
    workspace.remove()?;
    match (report.outcome, report.identity) {
        (Outcome::Answered(Answer::Described { inputs, outputs }), Some(identity)) => {
            Ok(Description { identity, inputs, outputs })
        }
        (outcome, _) => match judge(&engine.name, outcome) {
            Err(failure) => Err(failure),
            Ok(()) => Err(Failure::new(FailureCode::EngineHost, "the engine host answered another question")),
        },
    }
}
