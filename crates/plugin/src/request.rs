//! One conversion, as the host asks for it.

use crate::abi;
use std::ffi::{CStr, OsStr, c_char};
use std::mem::offset_of;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// One conversion.
#[derive(Debug)]
pub struct Request<'a> {
    input: &'a Path,
    input_dir: &'a Path,
    output: &'a Path,
    output_dir: &'a Path,
    scratch_dir: &'a Path,
    input_format: Option<&'a str>,
    output_format: &'a str,
    options: Vec<(&'a str, &'a str)>,
    is_strict: bool,
}

impl<'a> Request<'a> {
    /// The request behind a pointer; `None` if it is not one of version 1.
    ///
    /// # Safety
    /// The pointer is null or leads to a request that is valid during `'a`, with all that it leads to.
    pub(crate) unsafe fn of(pointer: *const abi::Request) -> Option<Self> {
        if pointer.is_null() {
            return None;
        }
        // SAFETY: not null, and each request begins with its size.
        let size = unsafe { (*pointer).size };
        if size < offset_of!(abi::Request, flags) as u64 {
            return None;
        }
        let has_flags = size >= size_of::<abi::Request>() as u64;
        // SAFETY: it has all members up to `flags`, and each is read by itself.
        unsafe {
            let flags = if has_flags { (*pointer).flags } else { 0 };
            let count = usize::try_from((*pointer).option_count).ok()?;
            let pairs = (0..count).map(|index| {
                let name = *(*pointer).option_names.add(index);
                let value = *(*pointer).option_values.add(index);
                Some((word(name)?, word(value)?))
            });
            Some(Self {
                input: path((*pointer).input)?,
                input_dir: path((*pointer).input_dir)?,
                output: path((*pointer).output)?,
                output_dir: path((*pointer).output_dir)?,
                scratch_dir: path((*pointer).scratch_dir)?,
                input_format: word((*pointer).input_format),
                output_format: word((*pointer).output_format)?,
                options: pairs.collect::<Option<_>>()?,
                is_strict: flags & 1 != 0,
            })
        }
    }

    /// The file to read.
    pub fn input(&self) -> &'a Path {
        self.input
    }

    /// The directory of all files of the order.
    pub fn input_dir(&self) -> &'a Path {
        self.input_dir
    }

    /// The file to write.
    pub fn output(&self) -> &'a Path {
        self.output
    }

    /// The directory whose files are delivered.
    pub fn output_dir(&self) -> &'a Path {
        self.output_dir
    }

    /// The directory for temporary files, which are destroyed.
    pub fn scratch_dir(&self) -> &'a Path {
        self.scratch_dir
    }

    /// The id of the input's format; `None` if it is to be found by name and content.
    pub fn input_format(&self) -> Option<&'a str> {
        self.input_format
    }

    /// The id of the output's format.
    pub fn output_format(&self) -> &'a str {
        self.output_format
    }

    /// The value of an option that was given. The host has checked it against the description.
    pub fn option(&self, name: &str) -> Option<&'a str> {
        self.options.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }

    /// Whether every difference matters: report each with [`crate::Host::loss`].
    pub fn is_strict(&self) -> bool {
        self.is_strict
    }
}

/// # Safety
/// `text` is null or a text that is valid during `'a`.
unsafe fn bytes<'a>(text: *const c_char) -> Option<&'a [u8]> {
    // SAFETY: not null, so a text with a NUL.
    (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_bytes())
}

/// # Safety
/// As for [`bytes`].
unsafe fn path<'a>(text: *const c_char) -> Option<&'a Path> {
    // SAFETY: as the caller guarantees.
    unsafe { bytes(text) }.map(|bytes| Path::new(OsStr::from_bytes(bytes)))
}

/// # Safety
/// As for [`bytes`].
unsafe fn word<'a>(text: *const c_char) -> Option<&'a str> {
    // SAFETY: as the caller guarantees.
    unsafe { bytes(text) }.and_then(|bytes| std::str::from_utf8(bytes).ok())
}
