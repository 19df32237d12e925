//! `cadmill doctor`: how engines are confined on this machine, line by line.
//!
//! It starts an engine process that confines itself and loads nothing, so that it
//! tells what is in force and not what should be.

use crate::args::DoctorArgs;
use crate::{fail, say, setting};
use cadmill_converter::posture::{self, Check, Posture};
use serde_json::{Value, json};
use std::process::ExitCode;

pub(crate) fn run(args: &DoctorArgs) -> ExitCode {
    let posture = match setting::build(None).and_then(|setting| posture::probe(&setting)) {
        Ok(posture) => posture,
        Err(failure) => return fail::report(&failure, None, args.json),
    };
    let checks = posture::checks(&posture);
    if args.json {
        say::result(&format!("{:#}", as_json(&posture, &checks)));
    } else {
        say::result(as_text(&posture, &checks).trim_end());
    }
    if posture.level >= posture.minimum {
        return ExitCode::SUCCESS;
    }
    let failure = posture::too_weak(posture.level, posture.minimum);
    if args.json {
        return ExitCode::from(failure.code.exit_code());
    }
    fail::report(&failure, None, false)
}

fn as_json(posture: &Posture, checks: &[Check]) -> Value {
    json!({
        "level": posture.level,
        "minimum": posture.minimum,
        "sufficient": posture.level >= posture.minimum,
        "checks": checks,
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
