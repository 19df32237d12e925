//! How engines are confined on this machine, line by line.
//!
//! It starts an engine process that confines itself and loads nothing, so that the report shows
//! what is in force, not what should be. Its workspace is like a worker's: a private tmpfs where
//! the host allows it.

use crate::args::DoctorArgs;
use crate::{context, error, output};
use cadmill_converter::conversion::context::ConversionContext;
use cadmill_converter::engine::confinement;
use cadmill_converter::engine::posture::{self, Check, Posture};
use cadmill_converter::worker::admission;
use cadmill_converter::workspace::{Privacy, Private, WorkspaceRoot};
use cadmill_core::domain::failure::Failure;
use serde_json::{Value, json};
use std::process::ExitCode;

pub(super) fn run(args: &DoctorArgs) -> ExitCode {
    let posture = match look() {
        Ok(posture) => posture,
        Err(failure) => return error::report(&failure, None, args.json),
    };
    let checks = posture::checks(&posture);
    if args.json {
        output::result(&format!("{:#}", as_json(&posture, &checks)));
    } else {
        output::result(as_text(&posture, &checks).trim_end());
    }
    if posture.level >= posture.minimum {
        return ExitCode::SUCCESS;
    }
    let failure = confinement::too_weak(posture.level, posture.minimum);
    if args.json {
        return ExitCode::from(failure.code.exit_code());
    }
    error::report(&failure, None, false)
}

/// Takes the same steps in the same order as the worker.
pub(super) fn look() -> Result<Posture, Failure> {
    let mut place = WorkspaceRoot::from_environment();
    let privacy = Privacy::from_environment()?;
    let mut private = place.make_private(privacy, admission::available_bytes())?;
    let setting = ConversionContext { place, ..context::build(None)? };
    let posture = posture::probe(
        &setting.supervisor,
        &setting.place,
        private.as_mut().and_then(Private::take_outsider),
    )?;
    privacy.require(&posture)?;
    Ok(posture)
}

fn as_json(posture: &Posture, checks: &[Check]) -> Value {
    json!({
        "level": posture.level,
        "minimum": posture.minimum,
        "sufficient": posture.level >= posture.minimum,
        "checks": checks,
        "landlock_lacks": posture::lacks(posture.engine.landlock.abi),
        "engine": posture.engine,
        "machine": posture.machine,
        "cadmill": cadmill_core::BUILD,
    })
}

fn as_text(posture: &Posture, checks: &[Check]) -> String {
    let mut text = String::new();
    for check in checks {
        text += &format!("{:<8}{:<15}{}\n", check.verdict.as_str(), check.name, check.found);
        if !check.hint.is_empty() {
            text += &format!("{:<8}{:<15}{}\n", "", "", check.hint);
        }
    }
    text + &format!("\nlevel {}, the minimum is {}\n", posture.level, posture.minimum)
}
