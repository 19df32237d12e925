//! An imitation of the next version, for tests of an update.
//!
//! In a build with debug assertions, a program that is asked to writes records as a later version might:
//! with a field more in the record and in each thing of it, and with states that this version does not know.
//! It reads them too, because each of its states is one of this version's, under another name. Without being
//! asked it is this version, so that one build has both. A release build has no imitation.

use serde_json::{Map, Value};
use std::sync::atomic::{AtomicBool, Ordering};

/// Environment variable that makes a program an imitation if it is `1`, in a build with debug assertions.
pub const VARIABLE: &str = "CADMILL_NEXT_VERSION";

/// The field that it adds to each thing: the version number of the record that had it first. One that was
/// lost and is added again has a higher number.
pub const FIELD: &str = "of_next_version";

/// A state of PROCESSING.
const CONVERTING: &str = "CONVERTING";

/// A state of COMPLETED: the owner has the result, and the files are still to be deleted.
const DELIVERED: &str = "DELIVERED";

/// Things of a job that get the field, and lists of such things.
const THINGS: &[&str] =
    &["order", "times", "lease", "failure", "multipart", "input", "output", "warnings", "retry", "owed"];
const LISTS: &[&str] = &["deletions", "unconfirmed"];

static IMITATED: AtomicBool = AtomicBool::new(false);

/// Makes this process an imitation from now on.
pub fn imitate() {
    IMITATED.store(true, Ordering::Relaxed);
}

/// Whether this process is an imitation.
pub fn is_imitated() -> bool {
    cfg!(debug_assertions) && IMITATED.load(Ordering::Relaxed)
}

/// The name of a job's state as this process stores it: that of this version, unless it is an imitation.
pub fn state_name(state: &'static str, is_delivered: bool) -> &'static str {
    match state {
        "PROCESSING" if is_imitated() => CONVERTING,
        "COMPLETED" if is_imitated() && is_delivered => DELIVERED,
        _ => state,
    }
}

/// Makes a record one of the next version; of a job, with the state of this name.
pub(super) fn adorn(state: Option<&'static str>, record: &mut Value) {
    let version = record.get("version").cloned().unwrap_or_default();
    let Some(members) = record.as_object_mut() else { return };
    add(members, &version);
    let Some(state) = state else { return };
    for name in THINGS {
        if let Some(Value::Object(thing)) = members.get_mut(*name) {
            add(thing, &version);
        }
    }
    for name in LISTS {
        let Some(Value::Array(list)) = members.get_mut(*name) else { continue };
        list.iter_mut().filter_map(Value::as_object_mut).for_each(|thing| add(thing, &version));
    }
    members.insert("state".to_owned(), state.into());
}

fn add(thing: &mut Map<String, Value>, version: &Value) {
    thing.entry(FIELD).or_insert_with(|| version.clone());
}

/// The record of a job with a state of this version; `None` if it has one.
pub(super) fn understood(text: &str) -> Option<String> {
    let mut record: Value = serde_json::from_str(text).ok()?;
    record["state"] = match record.get("state")?.as_str()? {
        CONVERTING => "PROCESSING",
        DELIVERED => "COMPLETED",
        _ => return None,
    }
    .into();
    Some(record.to_string())
}
