//! The engine host without its confinement, for tests only.
//!
//! A test that an attack fails says nothing unless the same attack works where
//! nothing stops it. This program is an example of the package: nothing installs or
//! ships it, and no switch of `cadmill-engine-host` leads here. Whoever names it as
//! the engine host must also lower the minimum posture to `none`, for it tells
//! truthfully that nothing is in force.

#![forbid(unsafe_code)]

mod events;
mod jvm;
mod run;
mod work;

use cadmill_converter::engine::confinement::InForce;
use cadmill_converter::engine::protocol::EngineRequest;
use cadmill_converter::engine::sandbox::descriptors::Channel;
use cadmill_converter::engine::sandbox::{Confined, StepError, parent};
use std::fs::File;
use std::process::ExitCode;

fn main() -> ExitCode {
    run::run(enter_nothing)
}

/// Dies with its supervisor, as a test must leave no process; nothing else.
fn enter_nothing(request: &EngineRequest, _channel: &Channel) -> Result<Confined, StepError> {
    let step = |step: &'static str| move |error| StepError { step, error };
    parent::die_with(request.supervisor).map_err(step("die with the supervisor"))?;
    let status = File::open("/proc/self/status").map_err(step("own status"))?;
    Ok(Confined { in_force: InForce::default(), status, after_loading: |_, _| Ok(()) })
}
