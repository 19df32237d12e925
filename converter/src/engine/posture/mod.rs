//! The posture: what confines the engine process here, as data.
//!
//! Two halves. [`InForce`] is what one engine process has got; [`Machine`] is what
//! surrounds it: swap, core dumps, the workspace. [`Level`] is the yardstick. Nothing here
//! puts anything in force; [`crate::engine::sandbox`] does.

mod check;
mod landlock;
mod machine;

pub use check::{Check, Verdict, checks};
pub use landlock::{KernelLandlock, Lack, Support, lacks};
pub use machine::Machine;

use crate::engine::confinement::{InForce, Level, too_weak};
use crate::engine::protocol::{Answer, EngineRequest, Library, Task};
use crate::engine::sandbox::outsider::Outsider;
use crate::engine::supervisor::{Event, Outcome, Supervisor};
use crate::workspace::WorkspaceRoot;
use cadmill_core::domain::failure::{Failure, FailureCode};
use cadmill_core::domain::limits::{Caps, MIN_MEMORY_BYTES};
use rustix::process::Pid;
use serde::Serialize;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// Both halves.
#[derive(Debug, Clone, Serialize)]
pub struct Posture {
    /// The engine process.
    pub engine: InForce,
    /// What surrounds it.
    pub machine: Machine,
    /// The level that the engine process reaches.
    pub level: Level,
    /// The least level that is accepted.
    pub minimum: Level,
}

/// Starts an engine process that confines itself, loads nothing, and tells what it
/// has got. While it stands there, `outsider` tries to get into it and into this process.
///
/// # Errors
/// `infra.engine_host` when it cannot be started or made ready,
/// `infra.workspace_unavailable` when there is no place for it to start in.
pub fn probe(
    supervisor: &Supervisor,
    place: &WorkspaceRoot,
    mut outsider: Option<Outsider>,
) -> Result<Posture, Failure> {
    let workspace = place.create()?;
    let caps = Caps { time: Duration::from_secs(10), memory_bytes: MIN_MEMORY_BYTES, ..Caps::default() };
    let task = Task::Probe { input_dir: workspace.input(), output_dir: workspace.output() };
    let request = EngineRequest::new(Library::of_nothing(), task, &caps);
    // What is there is asked; whether it is enough is judged by the caller.
    let asking = supervisor.clone().requiring(Level::None);
    let mut entered = None;
    let mut attack = |event| {
        if let (Event::Confined(engine), Some(outsider)) = (event, &mut outsider) {
            entered = tried(outsider, engine);
        }
    };
    let report = asking
        .run(&request, &caps, &workspace.scratch(), &workspace.output(), &AtomicBool::new(false), &mut attack)
        .map_err(|e| Failure::new(FailureCode::EngineHost, format!("starting the engine host: {e}")))?;
    let machine = Machine::look(&workspace, entered);
    workspace.remove()?;
    let Outcome::Answered(Answer::Probed) = report.outcome else {
        let text = format!("the engine host did not report its confinement: {:?}", report.outcome);
        return Err(Failure::new(FailureCode::EngineHost, text));
    };
    let engine = report.confinement.unwrap_or_default();
    Ok(Posture { level: engine.level(), engine, machine, minimum: supervisor.minimum() })
}

/// The ways by which the outsider got into the engine process or into this one; nothing
/// when it could not try.
fn tried(outsider: &mut Outsider, engine: Pid) -> Option<Vec<&'static str>> {
    let attacks = [engine, rustix::process::getpid()].map(|process| outsider.attack(process));
    let mut ways = Vec::new();
    for attack in attacks {
        match attack {
            Ok(found) => ways.extend(found),
            Err(error) => {
                tracing::warn!(error = %error, "no outside process could test the private workspace");
                return None;
            }
        }
    }
    ways.sort_unstable();
    ways.dedup();
    Some(ways)
}

/// Refuses to go on below the minimum.
///
/// # Errors
/// `infra.confinement`, with both levels; those of [`probe`].
pub fn require(
    supervisor: &Supervisor,
    place: &WorkspaceRoot,
    outsider: Option<Outsider>,
) -> Result<Posture, Failure> {
    let posture = probe(supervisor, place, outsider)?;
    if posture.level < posture.minimum {
        return Err(too_weak(posture.level, posture.minimum));
    }
    Ok(posture)
}
