//! The engines: one module a library.

pub(crate) mod assimp;
pub(crate) mod gdal;

use crate::engine::EngineError;
use std::ffi::{CStr, CString, c_char};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A path as a C string.
fn c_path(path: &Path) -> Result<CString, EngineError> {
    CString::new(path.as_os_str().as_bytes())
        .map_err(|_| EngineError::Rejected("the file's name contains a NUL byte".to_owned()))
}

/// A copy of a C string as text; nothing for a null pointer.
///
/// # Safety
/// `text` is null or points to a C string that stays valid during the call.
unsafe fn string(text: *const c_char) -> Option<String> {
    if text.is_null() {
        return None;
    }
    // SAFETY: the caller's promise.
    Some(unsafe { CStr::from_ptr(text) }.to_string_lossy().trim_end().to_owned())
}
