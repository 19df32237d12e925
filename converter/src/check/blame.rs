//! What a failure says of a library, and which check it belongs to.

use cadmill_core::domain::failure::{Failure, FailureCode};

/// Passes on a failure that says nothing of the library.
pub(super) fn is_of_the_library(failure: &Failure) -> Result<(), Failure> {
    let code = failure.code;
    let name = code.as_str();
    let is_system =
        name.starts_with("infra.") || code == FailureCode::Cancelled || code == FailureCode::EngineNotBuilt;
    if is_system { Err(failure.clone()) } else { Ok(()) }
}

/// The check that a failure belongs to. What a library says that its file does not confirm is
/// `engine.misbehaved` (docs/ABI.md), so its text is looked at as well.
pub(super) fn check_of(failure: &Failure, phase: &'static str) -> &'static str {
    let says = |words: &[&str]| words.iter().any(|word| failure.message.contains(word));
    match failure.code {
        FailureCode::EngineLibraryMissing => "load",
        FailureCode::EngineMisbehaved | FailureCode::EngineSymbolMissing | FailureCode::EngineVersion
            if phase == "describe" =>
        {
            if says(&["its description is wrong"]) {
                "description"
            } else if says(&["lacks"]) || failure.code == FailureCode::EngineSymbolMissing {
                "symbol"
            } else if says(&["of the interface", "the size of a"]) {
                "abi"
            } else {
                phase
            }
        }
        FailureCode::EngineViolation => "syscalls",
        FailureCode::EngineNoAnswer => "exit",
        FailureCode::LimitTime | FailureCode::LimitMemory | FailureCode::LimitOutput => "caps",
        _ => phase,
    }
}
