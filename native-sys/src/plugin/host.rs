//! What the host offers a plugin during a call: progress, log, cancellation, the reason of a failure,
//! and facts.
//!
//! All functions may be called on any thread, and after the call that the plugin was given them for,
//! whatever the interface says: a plugin that does not keep to it must not harm this process.

use super::memory::{beginning, is_one_line};
use crate::bindings::plugin as ffi;
use crate::engine::{Events, Level, Stage};
use rustix::process::{Resource, getrlimit};
use std::collections::BTreeMap;
use std::ffi::{c_char, c_void};
use std::mem::size_of;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::ThreadId;
use std::time::Instant;

/// Calls of the host through a struct whose call had returned, in this process.
static LATE: AtomicU64 = AtomicU64::new(0);

/// How often a plugin called the host after the call that it was given it for had returned.
pub(crate) fn late_calls() -> u64 {
    LATE.load(Ordering::Relaxed)
}

/// How often cancellation is looked for, in milliseconds: libraries ask millions of times.
const LOOK: u64 = 20;

/// Maximum number of facts, longest name and longest value, in bytes.
const MAX_FACTS: usize = 64;
const MAX_NAME: usize = 64;
const MAX_VALUE: usize = 1024;

/// The state behind the functions that a plugin is given.
pub(super) struct Context {
    events: Arc<dyn Events>,
    is_cancelled: AtomicBool,
    /// A function of the plugin to stop comes before the answer to its question whether to stop.
    stop_is_first: AtomicBool,
    stop_has_begun: AtomicBool,
    was_called: AtomicBool,
    /// It was answered that it is to stop.
    was_told: AtomicBool,
    has_ended: AtomicBool,
    /// The thread of the call.
    main: ThreadId,
    begun: Instant,
    /// When cancellation was last looked for, in milliseconds since then; 0 for never.
    looked: AtomicU64,
    /// The furthest progress, as the bits of a number from 0 to 1, which are ordered as the numbers.
    furthest: AtomicU64,
    warnings: AtomicU64,
    reason: Mutex<Option<String>>,
    facts: Mutex<BTreeMap<String, String>>,
}

impl Context {
    /// Never freed, since a thread of the plugin may use it until the process ends. There is one for each
    /// call of `prepare()` and `convert()`.
    pub(super) fn new(events: &Arc<dyn Events>) -> &'static Self {
        Box::leak(Box::new(Self {
            events: Arc::clone(events),
            is_cancelled: AtomicBool::new(false),
            stop_is_first: AtomicBool::new(false),
            stop_has_begun: AtomicBool::new(false),
            was_called: AtomicBool::new(false),
            was_told: AtomicBool::new(false),
            has_ended: AtomicBool::new(false),
            main: std::thread::current().id(),
            begun: Instant::now(),
            looked: AtomicU64::new(0),
            furthest: AtomicU64::new(0),
            warnings: AtomicU64::new(0),
            reason: Mutex::default(),
            facts: Mutex::default(),
        }))
    }

    /// The struct for the plugin, which is not freed either.
    pub(super) fn host(&'static self) -> &'static ffi::cadmill_host {
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Box::leak(Box::new(ffi::cadmill_host {
            size: size_of::<ffi::cadmill_host>() as u64,
            abi: ffi::CADMILL_ABI,
            max_threads: u32::try_from(threads).unwrap_or(1),
            max_memory: getrlimit(Resource::Data).maximum.unwrap_or(0),
            context: std::ptr::from_ref(self).cast_mut().cast(),
            progress: Some(progress),
            log: Some(log),
            cancelled: Some(cancelled),
            fail: Some(fail),
            fact: Some(fact),
            extension: Some(extension),
        }))
    }

    /// The plugin has a function to stop, which is called before the plugin is answered that it is to
    /// stop: otherwise whether it is ever called would depend on chance.
    pub(super) fn stops_first(&self) {
        self.stop_is_first.store(true, Ordering::Relaxed);
    }

    /// Whether the plugin has called the host, so that its function has begun.
    pub(super) fn was_called(&self) -> bool {
        self.was_called.load(Ordering::Relaxed)
    }

    /// The call has returned, with this status.
    pub(super) fn ends(&self, status: i32) {
        self.has_ended.store(true, Ordering::Relaxed);
        let stops = u32::try_from(status) == Ok(ffi::CADMILL_CANCELLED);
        if self.was_told.load(Ordering::Relaxed) && !stops {
            self.events
                .misused("another result than CADMILL_CANCELLED after cancelled() has returned nonzero");
        }
    }

    /// Whether the function to stop is to be called now.
    pub(super) fn begins_to_stop(&self) -> bool {
        let begins = self.is_to_stop();
        if begins {
            self.events.stops();
            self.stop_has_begun.store(true, Ordering::Relaxed);
        }
        begins
    }

    /// What the plugin is answered.
    fn is_cancelled(&self) -> bool {
        self.is_to_stop()
            && (!self.stop_is_first.load(Ordering::Relaxed) || self.stop_has_begun.load(Ordering::Relaxed))
    }

    /// Whether the conversion is to stop.
    pub(super) fn is_to_stop(&self) -> bool {
        if self.is_cancelled.load(Ordering::Relaxed) {
            return true;
        }
        // Not by rustix, whose clock asks the kernel for the auxiliary vector, which the filter forbids.
        let now = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX).max(1);
        let looked = self.looked.load(Ordering::Relaxed);
        // One of several threads looks.
        let is_ours = (looked == 0 || now.saturating_sub(looked) >= LOOK)
            && self.looked.compare_exchange(looked, now, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if is_ours && self.events.cancelled() {
            self.is_cancelled.store(true, Ordering::Relaxed);
        }
        self.is_cancelled.load(Ordering::Relaxed)
    }

    /// Number of warnings and losses so far.
    pub(super) fn warnings(&self) -> u64 {
        self.warnings.load(Ordering::Relaxed)
    }

    /// The reason that was given last.
    pub(super) fn reason(&self) -> Option<String> {
        self.reason.lock().unwrap_or_else(PoisonError::into_inner).take().filter(|reason| !reason.is_empty())
    }

    pub(super) fn facts(&self) -> Vec<(String, String)> {
        let facts = std::mem::take(&mut *self.facts.lock().unwrap_or_else(PoisonError::into_inner));
        facts.into_iter().collect()
    }

    fn log(&self, level: Level, line: &str) {
        self.warnings.fetch_add(1, Ordering::Relaxed);
        self.events.log(level, line);
    }

    /// Notices what the interface forbids of a text, and of the thread that gives it.
    fn notice(&self, text: *const c_char, what: &[&'static str; 3]) {
        // SAFETY: null, or a text that ends with a NUL: the plugin's promise.
        match unsafe { is_one_line(text) } {
            None => self.events.misused(what[0]),
            Some(false) => self.events.misused(what[1]),
            Some(true) => {}
        }
        if !what[2].is_empty() && std::thread::current().id() != self.main {
            self.events.misused(what[2]);
        }
    }

    fn add_fact(&self, name: String, value: String) {
        let is_good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_.-".contains(&b);
        let is_name = (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(is_good);
        let mut facts = self.facts.lock().unwrap_or_else(PoisonError::into_inner);
        let has_room = facts.len() < MAX_FACTS || facts.contains_key(&name);
        if is_name && value.len() <= MAX_VALUE && has_room {
            facts.insert(name, value);
            return;
        }
        drop(facts);
        self.events.misused("a fact without a valid name, too long or one too many");
        self.log(
            Level::Warning,
            "the engine reported a fact that has no valid name, is too long or one too many",
        );
    }
}

/// # Safety
/// `context` is that of a host struct: the plugin's promise.
unsafe fn of(context: *mut c_void) -> &'static Context {
    // SAFETY: it was made from a reference that stays valid. Only shared references to it exist.
    let context = unsafe { &*context.cast::<Context>() };
    // Libraries ask millions of times, on several threads: a store each time would be a cost.
    if !context.was_called.load(Ordering::Relaxed) {
        context.was_called.store(true, Ordering::Relaxed);
    }
    if context.has_ended.load(Ordering::Relaxed) {
        LATE.fetch_add(1, Ordering::Relaxed);
    }
    context
}

unsafe extern "C" fn progress(context: *mut c_void, stage: u32, fraction: f64) {
    // SAFETY: as `of` says; likewise below.
    let context = unsafe { of(context) };
    context.events.reported(fraction);
    if fraction.is_nan() {
        return;
    }
    let bits = fraction.clamp(0.0, 1.0).abs().to_bits();
    let before = context.furthest.fetch_max(bits, Ordering::Relaxed);
    let stage = match stage {
        ffi::CADMILL_STAGE_READ => Stage::Read,
        ffi::CADMILL_STAGE_WRITE => Stage::Write,
        ffi::CADMILL_STAGE_WORK => Stage::Translate,
        _ => {
            context.events.misused("a stage of progress() that is unknown");
            Stage::Translate
        }
    };
    if bits > before {
        context.events.progress(stage, f64::from_bits(bits));
    }
}

unsafe extern "C" fn log(context: *mut c_void, level: u32, line: *const c_char) {
    // SAFETY: as `of` says.
    let context = unsafe { of(context) };
    context.notice(line, &["no text for log()", "a line for log() that is too long or not one line", ""]);
    // SAFETY: a text that ends with a NUL.
    let line = unsafe { beginning(line) };
    match level {
        ffi::CADMILL_LOG_DEBUG => {}
        ffi::CADMILL_LOG_LOSS => context.log(Level::Loss, &line),
        ffi::CADMILL_LOG_WARNING => context.log(Level::Warning, &line),
        // What is not known is not lost either.
        _ => {
            context.events.misused("a level of log() that is unknown");
            context.log(Level::Warning, &line);
        }
    }
}

unsafe extern "C" fn cancelled(context: *mut c_void) -> i32 {
    // SAFETY: as `of` says.
    let context = unsafe { of(context) };
    context.events.asked();
    let stops = context.is_cancelled();
    if stops {
        context.was_told.store(true, Ordering::Relaxed);
    }
    i32::from(stops)
}

unsafe extern "C" fn fail(context: *mut c_void, reason: *const c_char) {
    // SAFETY: as `of` says.
    let context = unsafe { of(context) };
    let what = [
        "no text for fail()",
        "a reason for fail() that is too long or not one line",
        "fail() on another thread than the main one",
    ];
    context.notice(reason, &what);
    // SAFETY: a text that ends with a NUL.
    let reason = unsafe { beginning(reason) };
    *context.reason.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
}

unsafe extern "C" fn fact(context: *mut c_void, name: *const c_char, value: *const c_char) {
    // SAFETY: as `of` says.
    let context = unsafe { of(context) };
    let what = [
        "no text for fact()",
        "a value for fact() that is too long or not one line",
        "fact() on another thread than the main one",
    ];
    context.notice(value, &what);
    // SAFETY: texts that end with a NUL.
    let (name, value) = unsafe { (beginning(name), beginning(value)) };
    context.add_fact(name, value);
}

unsafe extern "C" fn extension(_: *mut c_void, _: *const c_char) -> *const c_void {
    std::ptr::null()
}
