//! Queries an engine for its identity and capabilities.

use super::ConversionContext;
use super::description::Description;
use crate::engine::failure::failure_of;
use crate::engine::protocol::{Answer, EngineRequest, Task};
use crate::engine::registry::Engine;
use crate::engine::supervisor::Outcome;
use cadmill_core::domain::failure::{Failure, FailureCode};
use cadmill_core::domain::limits::Caps;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// As [`describe`], from the cache if the engine's files are the same as when it was asked.
///
/// # Errors
/// As for [`describe`].
pub(super) fn known(
    engine: &Engine,
    setting: &ConversionContext,
    cancel: &AtomicBool,
) -> Result<Description, Failure> {
    match setting.descriptions.get(engine.library()) {
        Some(description) => Ok(description),
        None => describe(engine, setting, cancel),
    }
}

/// How long a library may take to be loaded and to describe itself.
pub(crate) const MAX_DESCRIBE: Duration = Duration::from_secs(60);

/// Queries an engine for its identity and capabilities, in a separate process.
///
/// # Errors
/// `engine.*` when its library cannot be used, `limit.time` when it does not answer within 60 s,
/// `infra.*` when it cannot be queried.
pub fn describe(
    engine: &Engine,
    setting: &ConversionContext,
    cancel: &AtomicBool,
) -> Result<Description, Failure> {
    describe_within(engine, setting, cancel, MAX_DESCRIBE)
}

/// As [`describe`], within another time.
///
/// # Errors
/// As for [`describe`].
pub(crate) fn describe_within(
    engine: &Engine,
    setting: &ConversionContext,
    cancel: &AtomicBool,
    time: Duration,
) -> Result<Description, Failure> {
    let workspace = setting.place.create()?;
    let caps = Caps { time, ..Caps::default() };
    let request = EngineRequest::new(engine.library().clone(), Task::Describe, &caps);
    let report = setting
        .supervisor
        .run(&request, &caps, &workspace.scratch(), &workspace.output(), cancel, &mut |_| {})
        .map_err(|e| Failure::new(FailureCode::EngineHost, format!("starting the engine host: {e}")))?;
    workspace.remove()?;
    let described = match (report.outcome, report.identity) {
        (Outcome::Answered(Answer::Described { inputs, outputs, options }), Some(identity)) => {
            Ok(Description::cleaned(identity, inputs, outputs, options))
        }
        (outcome, _) => match failure_of(&engine.name, outcome) {
            Err(failure) => Err(failure),
            Ok(()) => Err(Failure::new(FailureCode::EngineHost, "the engine host sent an unexpected reply")),
        },
    };
    if let Ok(description) = &described {
        setting.descriptions.put(engine.library(), description);
    }
    described
}
