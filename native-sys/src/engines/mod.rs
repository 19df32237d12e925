//! The engines: one module per library.

pub(crate) mod assimp;
pub(crate) mod gdal;

use crate::engine::EngineError;
use std::ffi::{CStr, CString, c_char, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A path as a C string.
fn c_path(path: &Path) -> Result<CString, EngineError> {
    CString::new(path.as_os_str().as_bytes())
        .map_err(|_| EngineError::Rejected("the file's name contains a NUL byte".to_owned()))
}

/// The buffer of a callback like `fread`: `size * count` bytes, zeroed; none if that is zero. The
/// caller's memory may be uninitialised, and a Rust slice must not be; zeroing costs little
/// compared to parsing.
///
/// # Safety
/// `buffer` is null or valid for writes of `size * count` bytes while the returned slice is used.
unsafe fn writable<'a>(buffer: *mut c_void, size: usize, count: usize) -> Option<&'a mut [u8]> {
    let length = size.checked_mul(count).filter(|&length| length > 0 && !buffer.is_null())?;
    // SAFETY: guaranteed by the caller.
    unsafe {
        std::ptr::write_bytes(buffer.cast::<u8>(), 0, length);
        Some(std::slice::from_raw_parts_mut(buffer.cast::<u8>(), length))
    }
}

/// The buffer of a callback like `fwrite`: `size * count` bytes; none if that is zero.
///
/// # Safety
/// `buffer` is null or valid for reads of `size * count` bytes while the returned slice is used.
unsafe fn readable<'a>(buffer: *const c_void, size: usize, count: usize) -> Option<&'a [u8]> {
    let length = size.checked_mul(count).filter(|&length| length > 0 && !buffer.is_null())?;
    // SAFETY: guaranteed by the caller.
    Some(unsafe { std::slice::from_raw_parts(buffer.cast::<u8>(), length) })
}

/// A copy of a C string as text, without blanks and line breaks at its end, as messages have them;
/// none for a null pointer.
///
/// # Safety
/// `text` is null or points to a C string that stays valid during the call.
unsafe fn string(text: *const c_char) -> Option<String> {
    // SAFETY: guaranteed by the caller.
    unsafe { exact_string(text) }.map(|text| text.trim_end().to_owned())
}

/// A copy of a C string as text, all of it, as data have it; none for a null pointer.
///
/// # Safety
/// `text` is null or points to a C string that stays valid during the call.
unsafe fn exact_string(text: *const c_char) -> Option<String> {
    if text.is_null() {
        return None;
    }
    // SAFETY: guaranteed by the caller.
    Some(unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
}
