//! What the host offers during a call.

use crate::abi;
use std::ffi::CString;
use std::marker::PhantomData;
use std::mem::offset_of;

/// The host, during one call. It may be used from any thread.
#[derive(Debug, Clone, Copy)]
pub struct Host<'a> {
    host: &'a abi::Host,
    call: PhantomData<&'a ()>,
}

// SAFETY: the interface allows every function on any thread, except `fail` and `fact`, which a host of
// version 1 takes from any thread as well.
unsafe impl Send for Host<'_> {}
// SAFETY: as above.
unsafe impl Sync for Host<'_> {}

/// Stage of a conversion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Reading the input.
    Read = 1,
    /// Between reading and writing.
    Work = 2,
    /// Writing the output.
    Write = 3,
}

impl<'a> Host<'a> {
    /// The host behind a pointer, if it has all members of version 1.
    ///
    /// # Safety
    /// The pointer is null or leads to a host that is valid during `'a`.
    pub(crate) unsafe fn of(pointer: *const abi::Host) -> Option<Self> {
        if pointer.is_null() {
            return None;
        }
        // SAFETY: not null, and each host begins with its size.
        let size = unsafe { (*pointer).size };
        let is_whole = size >= offset_of!(abi::Host, extension) as u64;
        // SAFETY: it has all members that are used here.
        is_whole.then(|| Self { host: unsafe { &*pointer }, call: PhantomData })
    }

    /// Threads, the calling one included, that are worth running at a time; at least 1.
    pub fn max_threads(&self) -> usize {
        self.host.max_threads.max(1) as usize
    }

    /// Memory in bytes beyond which the process is ended; `None` if that is not known.
    pub fn max_memory(&self) -> Option<u64> {
        Some(self.host.max_memory).filter(|&bytes| bytes > 0)
    }

    /// Reports progress over the whole conversion, from 0 to 1. The host limits the rate.
    pub fn progress(&self, stage: Stage, fraction: f64) {
        if let Some(progress) = self.host.progress {
            // SAFETY: the context is the host's own, during its call.
            unsafe { progress(self.host.context, stage as u32, fraction) }
        }
    }

    /// Whether to return [`crate::Error::cancelled`], within 2 s. Costs next to nothing.
    pub fn is_cancelled(&self) -> bool {
        // SAFETY: as above.
        self.host.cancelled.is_some_and(|cancelled| unsafe { cancelled(self.host.context) } != 0)
    }

    /// Tells the owner that the result differs from the input in what no option asked for.
    pub fn loss(&self, line: &str) {
        self.log(1, line);
    }

    /// Tells the owner that something is unusual, or was guessed.
    pub fn warning(&self, line: &str) {
        self.log(2, line);
    }

    /// A line for the developer of the plugin.
    pub fn debug(&self, line: &str) {
        self.log(3, line);
    }

    /// A fact for the report, such as `solids` and `12`. A name has 1 to 64 of `a-z 0-9 . _ -`, a value
    /// at most 1024 bytes.
    pub fn fact(&self, name: &str, value: &str) {
        if let Some(fact) = self.host.fact {
            let (name, value) = (text(name), text(value));
            // SAFETY: as above; the texts are valid during the call.
            unsafe { fact(self.host.context, name.as_ptr(), value.as_ptr()) }
        }
    }

    pub(crate) fn fail(&self, reason: &str) {
        if let Some(fail) = self.host.fail {
            let reason = text(reason);
            // SAFETY: as above.
            unsafe { fail(self.host.context, reason.as_ptr()) }
        }
    }

    fn log(&self, level: u32, line: &str) {
        if let Some(log) = self.host.log {
            let line = text(line);
            // SAFETY: as above.
            unsafe { log(self.host.context, level, line.as_ptr()) }
        }
    }
}

/// A text without NUL characters, which the interface cannot carry.
fn text(text: &str) -> CString {
    CString::new(text.replace('\0', " ")).unwrap_or_default()
}
