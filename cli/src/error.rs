//! Error output: two lines for people, an object for programs.

use crate::output;
use cadmill_core::domain::failure::Failure;
use serde_json::{Map, Value, json};
use std::process::ExitCode;

/// Reports the failure and returns the exit code. `facts` are added to the object, beside the
/// error.
pub(crate) fn report(failure: &Failure, facts: Option<Map<String, Value>>, as_json: bool) -> ExitCode {
    if as_json {
        let mut object = Map::new();
        object.insert("error".to_owned(), error_object(failure));
        object.extend(facts.unwrap_or_default());
        output::result(&format!("{:#}", Value::Object(object)));
    } else {
        output::note(&format!("error: {} [{}]", failure.message, failure.code));
        output::note(&format!("hint: {}", failure.code.hint()));
    }
    ExitCode::from(failure.code.exit_code())
}

/// The failure as JSON: `code`, `message`, `hint`, `fault`, `retryable`, `exit_code` and the
/// details of its code.
pub(crate) fn error_object(failure: &Failure) -> Value {
    let mut object = json!({
        "code": failure.code,
        "message": failure.message,
        "hint": failure.code.hint(),
        "fault": failure.code.fault(),
        "retryable": failure.code.retryable(),
        "exit_code": failure.code.exit_code(),
    });
    for (name, value) in &failure.details {
        object[*name] = json!(value);
    }
    object
}
