//! GDAL's messages during a conversion: what is passed on, what is collected, and which one is the
//! reason of a failure.

use super::advice;
use crate::bindings::gdal as ffi;
use crate::engine::{Converted, EngineError, Events, Level};
use crate::engines::string;
use cadmill_core::domain::counts::{CountedUnit, Counts};
use std::ffi::c_char;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Receiver of the events of the conversion in progress. GDAL's error handler has no user data of
/// ours and may be called from any thread, so this is a global of the process, like the handler
/// itself.
static LISTENER: Mutex<Option<Listener>> = Mutex::new(None);

pub(super) struct Listener {
    events: Arc<dyn Events>,
    messages: u64,
    first_error: Option<String>,
    /// Fields that the output format does not have.
    pub(super) fields: Vec<String>,
    /// Types of fields that it does not have.
    pub(super) field_types: Vec<String>,
    /// Features that the output format does not have, because they have no geometry.
    pub(super) without_geometry: u64,
    /// Whether they are left out.
    leaving_out: bool,
    /// The message about a kind of geometry, which may be dealt with.
    other_kind: Option<String>,
    /// The message about characters that are lost.
    pub(super) lost: Option<String>,
    /// The first message that says that the input is damaged, and could be read in part only.
    pub(super) damage: Option<String>,
    /// What the result lacks, as it was told.
    told: Vec<String>,
    /// Whether messages are not heard.
    muted: bool,
    /// Whether the user wants what cannot be converted to be left out.
    skips: bool,
    /// Features that were left out.
    skipped: u64,
    /// What was read and written.
    pub(super) counts: Option<Counts>,
    /// What the output was said to lack altogether.
    pub(super) lacking: Lacking,
    out_of_memory: bool,
}

/// Lines beyond this are counted, but not passed on: a file with an error in each feature must not
/// produce the same line a million times.
const MAX_LINES: u64 = 100;

/// Names of fields that are reported.
const MAX_FIELDS: usize = 50;

impl Listener {
    fn new(events: Arc<dyn Events>) -> Self {
        Self {
            events,
            messages: 0,
            first_error: None,
            fields: Vec::new(),
            field_types: Vec::new(),
            without_geometry: 0,
            leaving_out: false,
            other_kind: None,
            lost: None,
            damage: None,
            told: Vec::new(),
            muted: false,
            skips: false,
            skipped: 0,
            counts: None,
            lacking: Lacking::default(),
            out_of_memory: false,
        }
    }

    /// Forgets the errors of a translation that is done again without features that have no
    /// geometry.
    pub(super) fn restart(&mut self) {
        // GDAL warns once of what is lost.
        let (messages, lost) = (self.messages, self.lost.take());
        let (damage, skips, told) = (self.damage.take(), self.skips, std::mem::take(&mut self.told));
        let fresh = Self::new(Arc::clone(&self.events));
        *self = Self { messages, lost, damage, skips, told, leaving_out: true, ..fresh };
    }

    /// Counts a translation: what the input and the output say, if they do. `selects` is whether the
    /// options take a part of the input or change the number of features.
    pub(super) fn count(&mut self, read: Option<u64>, written: Option<u64>, selects: bool) {
        let skipped = self.skipped + self.without_geometry * u64::from(self.leaving_out);
        let Some(read) = read.or(written.map(|written| written + skipped)) else { return };
        let kept = read.saturating_sub(skipped);
        let written = written.unwrap_or(kept);
        self.set_counts(read, written, skipped);
        if !selects && !self.skips && written != kept {
            self.lacks(&format!("{read} features were read, and {written} were written"));
        }
    }

    /// Tells once what the result lacks: a translation may be repeated.
    fn lacks(&mut self, line: &str) {
        if !self.told.iter().any(|told| told == line) {
            self.told.push(line.to_owned());
            self.line(Level::Loss, line);
        }
    }

    /// Takes fields that the output does not have.
    pub(super) fn lose_fields(&mut self, names: impl Iterator<Item = String>) {
        self.fields.extend(names);
    }

    /// Whether everything that was read was left out.
    pub(super) fn wrote_nothing(&self) -> bool {
        self.counts.is_some_and(|counts| counts.written == 0 && counts.skipped > 0)
    }

    pub(super) fn set_counts(&mut self, read: u64, written: u64, skipped: u64) {
        self.counts = Some(Counts { unit: CountedUnit::Features, read, written, skipped });
    }

    pub(super) fn reason(&self) -> Option<&str> {
        self.first_error.as_deref()
    }

    fn line(&mut self, level: Level, text: &str) {
        self.messages += 1;
        if self.messages <= MAX_LINES {
            self.events.log(level, text);
        }
    }

    fn take(&mut self, is_error: bool, text: String) {
        let level = if is_error { Level::Loss } else { Level::of_words(&text) };
        match advice::notice(&text) {
            advice::Notice::Field(name) => {
                return self.fields.push(name);
            }
            advice::Notice::FieldType(kind) => {
                return self.field_types.push(kind);
            }
            advice::Notice::TextLost => {
                self.lost.get_or_insert_with(|| advice::loss(&text));
            }
            advice::Notice::Block => return,
            advice::Notice::Other => {}
        }
        // A message that only reports the end of the translation is dropped: the first error is the
        // reason.
        if is_error && advice::only_ends(&text) {
            return;
        }
        let lacks_geometry = is_error && advice::lacks_geometry(&text);
        if lacks_geometry {
            self.without_geometry += 1;
        } else if is_error && self.other_kind.is_none() && advice::is_of_other_kind(&text) {
            self.other_kind = Some(text.clone());
        } else {
            if self.damage.is_none() && advice::is_damage(&text) {
                self.damage = Some(text.clone());
            }
            self.line(if self.skips { Level::Warning } else { level }, &text);
        }
        if is_error && !(lacks_geometry && self.leaving_out) {
            self.first_error.get_or_insert(text);
        }
    }

    /// Reports what was collected. Returns the number of messages, and what was counted.
    fn finish(mut self) -> Converted {
        if let Some(text) = self.other_kind.take() {
            self.line(if self.skips { Level::Warning } else { Level::Loss }, &text);
        }
        if !self.fields.is_empty() {
            self.fields.sort();
            self.fields.dedup();
            let more = match self.fields.len().saturating_sub(MAX_FIELDS) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            let names = self.fields.iter().take(MAX_FIELDS).cloned().collect::<Vec<_>>().join(", ");
            // Nobody expects them in such a format, so a strict order does not fail.
            self.line(Level::Warning, &format!("the output format cannot carry these fields: {names}{more}"));
        }
        if self.skips && self.skipped > 0 {
            let line = format!("{} features were left out, as --opt skipfailures=yes asks for", self.skipped);
            self.line(Level::Warning, &line);
        }
        Converted { warnings: self.messages, counts: self.counts, facts: Vec::new() }
    }
}

/// What an output has nothing of.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Lacking {
    pub(super) geometries: bool,
    pub(super) heights: bool,
    pub(super) measures: bool,
}

/// Begins a conversion, whose events go to `events`.
pub(super) fn begin(events: &Arc<dyn Events>) {
    *listener() = Some(Listener::new(Arc::clone(events)));
}

/// Ends the conversion, and reports what was collected. Returns the number of messages, and what was
/// counted.
pub(super) fn end() -> Converted {
    listener().take().map_or(Converted { warnings: 0, counts: None, facts: Vec::new() }, Listener::finish)
}

/// The user wants what cannot be converted to be left out.
pub(super) fn skips() {
    with_listener(|listener| listener.skips = true);
}

fn listener() -> MutexGuard<'static, Option<Listener>> {
    // A panic while the lock was held leaves only plain data behind, which stays usable.
    LISTENER.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn with_listener<T: Default>(what: impl FnOnce(&mut Listener) -> T) -> T {
    listener().as_mut().map(what).unwrap_or_default()
}

pub(super) fn warn(line: &str) {
    with_listener(|listener| listener.line(Level::Warning, line));
}

/// Whether GDAL's messages are ignored from now on.
pub(super) fn mute(muted: bool) {
    with_listener(|listener| listener.muted = muted);
}

/// Warns of what the result lacks.
pub(super) fn warn_of_loss(line: &str) {
    with_listener(|listener| listener.lacks(line));
}

/// The first error of the conversion.
pub(super) fn reason(otherwise: &str) -> String {
    with_listener(|l| l.first_error.clone()).unwrap_or_else(|| otherwise.to_owned())
}

/// The failure for GDAL's first error.
pub(super) fn failure(otherwise: &str) -> EngineError {
    let reason = reason(otherwise);
    if with_listener(|l| l.out_of_memory) { EngineError::OutOfMemory(reason) } else { blamed(&reason) }
}

pub(super) fn blamed(reason: &str) -> EngineError {
    match advice::explain(reason) {
        (advice::Blames::Input, text) => EngineError::Rejected(text),
        (advice::Blames::Order, text) => EngineError::Unfit(text),
    }
}

/// `CPLE_OutOfMemory` of cpl_error.h, which is a macro.
const OUT_OF_MEMORY: ffi::CPLErrorNum = 2;

pub(super) extern "C" fn on_error(class: ffi::CPLErr, number: ffi::CPLErrorNum, text: *const c_char) {
    if class == ffi::CPLErr_CE_None {
        return;
    }
    // SAFETY: GDAL passes a C string that is valid during the call.
    let Some(text) = (unsafe { string(text) }) else { return };
    let serious = class == ffi::CPLErr_CE_Failure || class == ffi::CPLErr_CE_Fatal;
    let mut guard = listener();
    let Some(listener) = guard.as_mut().filter(|listener| !listener.muted) else { return };
    // With `-skipfailures`, GDAL tells which features it leaves out in this way only.
    if class == ffi::CPLErr_CE_Debug {
        listener.skipped += u64::from(advice::is_left_out(&text));
        return;
    }
    listener.out_of_memory |= serious && number == OUT_OF_MEMORY;
    listener.take(serious, advice::respelled(&text));
}
