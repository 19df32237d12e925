//! What a failure says of a library, and which check it belongs to.

use cadmill_core::domain::failure::{Detail, Failure, FailureCode};

/// Passes on a failure that says nothing of the library.
pub(super) fn is_of_the_library(failure: &Failure) -> Result<(), Failure> {
    let code = failure.code;
    let name = code.as_str();
    let is_system =
        name.starts_with("infra.") || code == FailureCode::Cancelled || code == FailureCode::EngineNotBuilt;
    if is_system { Err(failure.clone()) } else { Ok(()) }
}

/// The check that a failure belongs to. What a library says that its file does not confirm is
/// `engine.misbehaved` (docs/ABI.md); its detail `reason` says what it was.
pub(super) fn check_of(failure: &Failure, phase: &'static str) -> &'static str {
    match failure.code {
        FailureCode::EngineLibraryMissing => "load",
        FailureCode::EngineMisbehaved | FailureCode::EngineSymbolMissing | FailureCode::EngineVersion => {
            match reason(failure) {
                Some("missing") => "load",
                Some("description") => "description",
                Some("symbol") => "symbol",
                Some("version") => "abi",
                _ => phase,
            }
        }
        FailureCode::EngineViolation => "syscalls",
        FailureCode::EngineNoAnswer => "exit",
        // The caps on a description are not those of a job.
        FailureCode::LimitTime | FailureCode::LimitMemory if phase == "describe" => phase,
        FailureCode::LimitTime | FailureCode::LimitMemory | FailureCode::LimitOutput => "caps",
        _ => phase,
    }
}

fn reason(failure: &Failure) -> Option<&str> {
    failure.details.iter().find_map(|(name, value)| match value {
        Detail::Text(text) if *name == "reason" => Some(text.as_str()),
        _ => None,
    })
}
