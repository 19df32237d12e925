//! The posture: the confinement of the engine process on this machine, as data.
//!
//! Two halves. [`InForce`] is the confinement of one engine process; [`Machine`] is its
//! environment: swap, core dumps, the workspace. [`Level`] grades the confinement. Nothing is put
//! in force here; [`crate::engine::sandbox`] does that.

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
    /// Its environment.
    pub machine: Machine,
    /// The level that the engine process reaches.
    pub level: Level,
    /// The minimum level.
    pub minimum: Level,
}

/// Starts an engine process that confines itself, loads nothing, and reports its confinement. While
/// it waits, `outsider` tries to get into it and into this process.
///
/// # Errors
/// `infra.engine_host` if the process cannot be started or made ready,
/// `infra.workspace_unavailable` if there is no directory for it to start in.
pub fn probe(
    supervisor: &Supervisor,
    place: &WorkspaceRoot,
    mut outsider: Option<Outsider>,
) -> Result<Posture, Failure> {
    let workspace = place.create()?;
    let caps = Caps { time: Duration::from_secs(10), memory_bytes: MIN_MEMORY_BYTES, ..Caps::default() };
    let task = Task::Probe { input_dir: workspace.input(), output_dir: workspace.output() };
    let request = EngineRequest::new(Library::of_nothing(), task, &caps);
    // The probe requires no level; the caller decides whether the level is sufficient.
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

/// The ways in which the outsider got into the engine process or into this one; `None` if it could
/// not try.
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

/// Fails if the level is below the minimum.
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
