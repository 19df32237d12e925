//! Assimp's log, passed on to the events of the job.
//!
//! `io.cadmill.assimp.Log` does the same for the converter in Java.

use crate::bindings::assimp as ffi;
use crate::engine::{Events, Level};
use std::ffi::{CStr, c_char};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Forwards Assimp's log to the events while it lives.
pub(super) struct LogStream<'a> {
    api: &'a ffi::AssimpApi,
    sink: Box<LogSink>,
}

struct LogSink {
    events: Arc<dyn Events>,
    lines: AtomicU64,
    /// Whether a material has a base colour texture that is not its diffuse texture too.
    misses_base_colours: AtomicBool,
}

/// Lines beyond this are counted, but not passed on.
const MAX_LINES: u64 = 100;

/// Lines that do not tell of a loss: textures that are missing are reported by `textures`, once, and
/// in its words; and the reader of OBJ begins an object for faces that have none, after it said this.
const NOISE: &[&str] = &["EmbedTexturesProcess: ", "OBJ: No object detected to attach a new mesh instance."];

/// The writer of FBX passes over the textures of this kind (`aiTextureType_BASE_COLOR`). Of a glTF
/// file they are diffuse textures too, which it writes.
const BASE_COLOUR: &str = "Not sure how to handle texture of type 12 ";

impl<'a> LogStream<'a> {
    pub(super) fn attach(api: &'a ffi::AssimpApi, events: Arc<dyn Events>) -> Self {
        let sink = Box::new(LogSink {
            events,
            lines: AtomicU64::new(0),
            misses_base_colours: AtomicBool::new(true),
        });
        let stream =
            ffi::aiLogStream { callback: Some(on_log), user: std::ptr::from_ref(&*sink).cast_mut().cast() };
        // SAFETY: the stream is copied; its user data is on the heap and lives until `drop` has
        // detached it.
        unsafe { api.aiAttachLogStream(&stream) };
        Self { api, sink }
    }

    /// Reports what the library does not.
    pub(super) fn warn(&self, line: &str) {
        self.sink.lines.fetch_add(1, Ordering::Relaxed);
        self.sink.events.log(Level::of_words(line), line);
    }

    /// Tells that each base colour texture of the scene is a diffuse texture too, or not.
    pub(super) fn set_misses_base_colours(&self, misses: bool) {
        self.sink.misses_base_colours.store(misses, Ordering::Relaxed);
    }

    pub(super) fn lines(&self) -> u64 {
        self.sink.lines.load(Ordering::Relaxed)
    }
}

impl Drop for LogStream<'_> {
    fn drop(&mut self) {
        // SAFETY: no arguments; ours is the only stream of this process.
        unsafe { self.api.aiDetachAllLogStreams() };
    }
}

/// Handles one line of Assimp's log. Lines look like `Warn,  T0: text`.
extern "C" fn on_log(message: *const c_char, user: *mut c_char) {
    if message.is_null() || user.is_null() {
        return;
    }
    // SAFETY: `user` is the sink that was attached with this function and that outlives the
    // attachment; it is only read.
    let sink = unsafe { &*user.cast::<LogSink>() };
    // SAFETY: Assimp passes a C string that is valid during the call.
    let text = unsafe { CStr::from_ptr(message) }.to_string_lossy();
    let line = text.split_once(": ").map_or(&*text, |(_, rest)| rest);
    let level = match text.split(',').next() {
        Some("Error") => Level::Loss,
        Some("Warn") => Level::of_words(line),
        _ => return,
    };
    let says_nothing = NOISE.iter().any(|noise| line.starts_with(noise))
        || (line.starts_with(BASE_COLOUR) && !sink.misses_base_colours.load(Ordering::Relaxed));
    if says_nothing {
        return;
    }
    if sink.lines.fetch_add(1, Ordering::Relaxed) < MAX_LINES {
        sink.events.log(level, line.trim_end());
    }
}
