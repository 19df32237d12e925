//! Records as text, of this version of cadmill and of others.
//!
//! During an update programs of two versions change the same records. What the other one has written is
//! kept: a field that this version does not know is written back with the next change, for as long as the
//! thing that it belongs to is there. This works by three texts: the record as it was stored, the same as
//! this version reads it, and the changed record. What differs between the last two is this version's change;
//! everything else stays as it was stored.
//!
//! A value that this version does not know, such as a state, cannot be kept in that way, because programs
//! decide by it. Such a record is [`Unreadable::Newer`]: it is left to a program that knows it.

pub mod next;

use super::ids::JobId;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::fmt;
use std::sync::Arc;

/// The generation of the records that this version writes. It is raised with each value that a record can have
/// from then on, such as a state: programs of earlier generations cannot read such records. A field more needs no
/// other generation.
pub const GENERATION: u32 = 1;

/// The generation that this process writes.
pub fn generation() -> u32 {
    GENERATION + u32::from(next::is_imitated())
}

/// What a record has beyond what this version knows. Empty for one that this version has written.
///
/// It takes no part in comparisons: two records of one version number are the same.
#[derive(Clone, Default)]
pub struct Unknown {
    /// The record as it was stored, and as this version reads it; `None` if that is the same.
    texts: Option<Arc<(Value, Value)>>,
    /// What the store has of it beside the record, in the store's own form.
    pub beside: Map<String, Value>,
}

impl PartialEq for Unknown {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Unknown {}

/// Without the content, which may quote names.
impl fmt::Debug for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let has_fields = self.texts.is_some();
        f.debug_struct("Unknown")
            .field("has_fields", &has_fields)
            .field("beside", &self.beside.len())
            .finish()
    }
}

/// A record of a store.
pub trait Record: Serialize + DeserializeOwned {
    /// What it has beyond what this version knows.
    fn unknown(&self) -> &Unknown;

    /// The same, to be set by the reader.
    fn unknown_mut(&mut self) -> &mut Unknown;

    /// The name of its state as it is stored, of the record of a job.
    fn state_name(&self) -> Option<&'static str> {
        None
    }

    /// Takes note of what follows from the record as it was stored.
    fn has_been_read(&mut self, _stored: &Value) {}
}

/// Why a record cannot be read. Without the parser's message, which may quote the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// A whole record with a value that this version does not know.
    #[error("another version wrote it")]
    Newer,
    /// Not a record.
    #[error("the record is not valid, see its column {column}")]
    Damaged {
        /// Where reading it ended.
        column: usize,
    },
}

/// What the records of jobs of all versions have in common: what shows that one is whole.
#[derive(Deserialize)]
struct Envelope {
    #[serde(rename = "id")]
    _id: JobId,
    #[serde(rename = "order")]
    _order: Map<String, Value>,
    #[serde(rename = "state")]
    _state: String,
    #[serde(rename = "times")]
    _times: Map<String, Value>,
    #[serde(rename = "version")]
    _version: u64,
}

/// Reads a record.
///
/// # Errors
/// [`Unreadable`]; [`Unreadable::Newer`] for jobs only.
pub fn read<T: Record>(text: &str) -> Result<T, Unreadable> {
    if next::is_imitated()
        && let Some(understood) = next::understood(text)
    {
        return parse(&understood);
    }
    parse(text)
}

fn parse<T: Record>(text: &str) -> Result<T, Unreadable> {
    let damaged = |error: &serde_json::Error| Unreadable::Damaged { column: error.column() };
    let mut record: T = serde_json::from_str(text).map_err(|error| {
        if serde_json::from_str::<Envelope>(text).is_ok() { Unreadable::Newer } else { damaged(&error) }
    })?;
    // Most records are of this version.
    if serde_json::to_string(&record).is_ok_and(|known| known == text) {
        return Ok(record);
    }
    let stored: Value = serde_json::from_str(text).map_err(|error| damaged(&error))?;
    let known = serde_json::to_value(&record).map_err(|error| damaged(&error))?;
    record.has_been_read(&stored);
    if has_more(&stored, &known) {
        record.unknown_mut().texts = Some(Arc::new((stored, known)));
    }
    Ok(record)
}

/// The text of a record, with what this version does not know of it.
///
/// # Errors
/// Those of the serialiser.
pub fn write<T: Record>(record: &T) -> Result<String, serde_json::Error> {
    let is_plain = record.unknown().texts.is_none();
    if is_plain && !next::is_imitated() {
        return serde_json::to_string(record);
    }
    let changed = serde_json::to_value(record)?;
    let mut whole = match record.unknown().texts.as_deref() {
        Some((stored, known)) => merged(stored, known, &changed),
        None => changed,
    };
    if next::is_imitated() {
        next::adorn(record.state_name(), &mut whole);
    }
    serde_json::to_string(&whole)
}

/// Whether the stored value has what the known one has not. A null says nothing.
fn has_more(stored: &Value, known: &Value) -> bool {
    match (stored, known) {
        (Value::Object(stored), Value::Object(known)) => stored
            .iter()
            .any(|(name, value)| known.get(name).map_or(!value.is_null(), |known| has_more(value, known))),
        (Value::Array(stored), Value::Array(known)) if stored.len() == known.len() => {
            stored.iter().zip(known).any(|(stored, known)| has_more(stored, known))
        }
        _ => stored != known,
    }
}

/// The changed record with what is unknown of the stored one.
fn merged(stored: &Value, known: &Value, changed: &Value) -> Value {
    let attempt = |record: &Value| record.get("attempt").cloned();
    let is_same_attempt = attempt(known) == attempt(changed);
    merge("", is_same_attempt, [stored, known, changed])
}

fn merge(name: &str, is_same_attempt: bool, [stored, known, changed]: [&Value; 3]) -> Value {
    match (stored, known, changed) {
        _ if !is_same_thing(name, is_same_attempt, known, changed) => changed.clone(),
        _ if known == changed => stored.clone(),
        (Value::Object(stored), Value::Object(known), Value::Object(changed)) => {
            let mut whole = changed.clone();
            for (name, value) in stored {
                match (known.get(name), changed.get(name)) {
                    (Some(known), Some(changed)) => {
                        whole.insert(name.clone(), merge(name, is_same_attempt, [value, known, changed]));
                    }
                    (None, None) => {
                        whole.insert(name.clone(), value.clone());
                    }
                    // Ended, or set by this version.
                    (Some(_), None) | (None, Some(_)) => {}
                }
            }
            Value::Object(whole)
        }
        (Value::Array(stored), Value::Array(known), Value::Array(changed)) if stored.len() == known.len() => {
            let place = |one: &Value| known.iter().position(|known| is_same_element(name, known, one));
            let element = |one: &Value| match place(one) {
                Some(place) => merge("", is_same_attempt, [&stored[place], &known[place], one]),
                None => one.clone(),
            };
            Value::Array(changed.iter().map(element).collect())
        }
        _ => changed.clone(),
    }
}

/// Whether two values of a member describe the same thing, so that what is unknown of the one is true of the
/// other.
fn is_same_thing(name: &str, is_same_attempt: bool, one: &Value, other: &Value) -> bool {
    let same = |names: &[&str]| names.iter().all(|name| one.get(name) == other.get(name));
    match name {
        "lease" => is_same_attempt && same(&["worker"]),
        "stage_millis" | "warnings" | "counts" | "facts" => is_same_attempt,
        "input" | "output" => same(&["key", "etag", "version"]),
        "multipart" => same(&["upload_id"]),
        "failure" => same(&["code", "message"]),
        _ => true,
    }
}

/// Whether two elements of a list describe the same thing.
fn is_same_element(list: &str, one: &Value, other: &Value) -> bool {
    let same =
        |names: &[&str]| names.iter().all(|name| one.get(name).is_some_and(|it| other.get(name) == Some(it)));
    match list {
        "deletions" => same(&["confirmed_at", "by"]),
        "unconfirmed" => same(&["id"]),
        "audit" => same(&["head"]),
        _ => one == other,
    }
}

#[cfg(test)]
mod tests;
