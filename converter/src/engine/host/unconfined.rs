//! The engine host without its confinement, for tests only.
//!
//! A test that an attack fails proves nothing unless the same attack works without confinement.
//! This program is an example of the package: it is not installed or shipped, and no option of
//! `cadmill-engine-host` enables it. A test that uses it as the engine host must also lower the
//! minimum posture to `none`, because it reports truthfully that nothing is in force.

#![forbid(unsafe_code)]

mod convert;
mod events;
mod examine;
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

/// Sets the parent death signal, because a test must not leave processes behind; nothing else.
fn enter_nothing(request: &EngineRequest, _channel: &Channel) -> Result<Confined, StepError> {
    let step = |step: &'static str| move |error| StepError { step, error };
    parent::die_with(request.supervisor).map_err(step("die with the supervisor"))?;
    let status = File::open("/proc/self/status").map_err(step("own status"))?;
    Ok(Confined { in_force: InForce::default(), status, after_loading: |_, _| Ok(()) })
}
