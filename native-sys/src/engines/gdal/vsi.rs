//! GDAL output through our own files (`VSIInstallPluginHandler`, cpl_vsi.h).
//!
//! The DXF writer collects the entities in a second file and copies it line by line, and queries
//! the kernel for its position several times per line, which takes a quarter of the time of a large
//! conversion. [`Stream`] tracks its position itself. The output is identical.
//!
//! GDAL cannot remove a handler, so it is installed once, without user data, and serves the
//! conversion in progress.

use crate::bindings::gdal as ffi;
use crate::engines::{readable, writable};
use crate::files::{Directory, Stream};
use std::ffi::{CStr, OsStr, c_char, c_int, c_void};
use std::io::{self, SeekFrom};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Prefix of paths in this file system.
const PREFIX: &CStr = c"/vsicadmill/";

/// Formats whose writers benefit from it, and that do not refer to other files.
pub(super) const FORMATS: &[&str] = &["DXF"];

/// The directory of the conversion in progress.
static OUTPUT: Mutex<Option<Output>> = Mutex::new(None);

struct Output {
    directory: Directory,
    /// The first failed write. Writers do not check every write.
    error: Option<String>,
}

fn output() -> MutexGuard<'static, Option<Output>> {
    // A panic while the lock was held leaves only plain data behind, which stays usable.
    OUTPUT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Installs the handler. Called once per process.
pub(super) fn install(api: &ffi::GdalApi) {
    // SAFETY: no arguments; returns null or a struct of the library's own size with all fields
    // empty.
    let callbacks = unsafe { api.VSIAllocFilesystemPluginCallbacksStruct() };
    if callbacks.is_null() {
        return;
    }
    // SAFETY: live and ours until it is freed; the fields exist since GDAL 3.0, and later versions
    // append fields.
    unsafe {
        (*callbacks).open = Some(open);
        (*callbacks).tell = Some(tell);
        (*callbacks).seek = Some(seek);
        (*callbacks).read = Some(read);
        (*callbacks).eof = Some(eof);
        (*callbacks).write = Some(write);
        (*callbacks).flush = Some(flush);
        (*callbacks).truncate = Some(truncate);
        (*callbacks).close = Some(close);
    }
    // SAFETY: a C string and a live struct that the callee copies.
    unsafe { api.VSIInstallPluginHandler(PREFIX.as_ptr(), callbacks) };
    // SAFETY: created by the matching function, freed once.
    unsafe { api.VSIFreeFilesystemPluginCallbacksStruct(callbacks) };
}

/// Opens the output directory for one conversion. Returns the path prefix of files in it.
pub(super) fn begin(directory: &Path) -> io::Result<&'static str> {
    *output() = Some(Output { directory: Directory::open(directory)?, error: None });
    Ok("/vsicadmill/")
}

/// Closes the directory and removes the temporary file that the writer created beside `output`.
/// Returns the first failed write.
///
/// # Errors
/// The system error of the removal.
pub(super) fn end(output: &Path) -> io::Result<Option<String>> {
    let error = self::output().take().and_then(|output| output.error);
    // GDAL does not pass the removal on to plugin handlers.
    let mut second = output.as_os_str().to_owned();
    second.push(".tmp");
    match std::fs::remove_file(second) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(error),
    }
}

fn note(error: &io::Error) {
    if let Some(output) = output().as_mut() {
        output.error.get_or_insert_with(|| error.to_string());
    }
}

/// The file that GDAL passed to a callback.
///
/// # Safety
/// `file` was returned by [`open`] and not yet passed to [`close`], and no other reference to it is
/// alive. GDAL uses a handle from one thread at a time.
unsafe fn opened<'a>(file: *mut c_void) -> &'a mut Stream {
    // SAFETY: guaranteed by the caller to be a stream created by `open`.
    unsafe { &mut *file.cast::<Stream>() }
}

/// A path without the prefix.
///
/// # Safety
/// `name` is a C string that is valid for as long as the returned path is used.
unsafe fn path<'a>(name: *const c_char) -> &'a Path {
    // SAFETY: guaranteed by the caller.
    Path::new(OsStr::from_bytes(unsafe { CStr::from_ptr(name) }.to_bytes()))
}

unsafe extern "C" fn open(_data: *mut c_void, name: *const c_char, mode: *const c_char) -> *mut c_void {
    if name.is_null() || mode.is_null() {
        return std::ptr::null_mut();
    }
    // SAFETY: GDAL passes two C strings that are valid during the call.
    let (path, mode) = unsafe { (path(name), CStr::from_ptr(mode)) };
    let guard = output();
    let Some(output) = guard.as_ref() else { return std::ptr::null_mut() };
    match Stream::open(&output.directory, path, &mode.to_string_lossy()) {
        Ok(stream) => Box::into_raw(Box::new(stream)).cast(),
        Err(_) => std::ptr::null_mut(),
    }
}

unsafe extern "C" fn close(file: *mut c_void) -> c_int {
    // SAFETY: GDAL closes each handle once; `open` created it from a box.
    let mut stream = unsafe { Box::from_raw(file.cast::<Stream>()) };
    answer(stream.flush())
}

unsafe extern "C" fn tell(file: *mut c_void) -> ffi::vsi_l_offset {
    // SAFETY: GDAL passes an open handle.
    unsafe { opened(file) }.position()
}

unsafe extern "C" fn seek(file: *mut c_void, offset: ffi::vsi_l_offset, origin: c_int) -> c_int {
    // SAFETY: GDAL passes an open handle.
    let stream = unsafe { opened(file) };
    // The offset type is unsigned, but offsets from the current position or the end are signed.
    let to = match origin {
        libc::SEEK_SET => SeekFrom::Start(offset),
        libc::SEEK_CUR => SeekFrom::Current(offset.cast_signed()),
        libc::SEEK_END => SeekFrom::End(offset.cast_signed()),
        _ => return -1,
    };
    stream.seek(to).map_or(-1, |_| 0)
}

unsafe extern "C" fn read(file: *mut c_void, buffer: *mut c_void, size: usize, count: usize) -> usize {
    // SAFETY: GDAL passes an open handle.
    let stream = unsafe { opened(file) };
    // SAFETY: the caller provides `size * count` writable bytes, as for `fread`.
    let Some(target) = (unsafe { writable(buffer, size, count) }) else { return 0 };
    stream.read(target).unwrap_or(0) / size
}

unsafe extern "C" fn eof(file: *mut c_void) -> c_int {
    // SAFETY: GDAL passes an open handle.
    c_int::from(unsafe { opened(file) }.met_end())
}

unsafe extern "C" fn write(file: *mut c_void, buffer: *const c_void, size: usize, count: usize) -> usize {
    // SAFETY: GDAL passes an open handle.
    let stream = unsafe { opened(file) };
    // SAFETY: the caller provides `size * count` readable bytes, as for `fwrite`.
    let Some(source) = (unsafe { readable(buffer, size, count) }) else { return 0 };
    match stream.write(source) {
        Ok(()) => count,
        Err(error) => {
            note(&error);
            0
        }
    }
}

unsafe extern "C" fn flush(file: *mut c_void) -> c_int {
    // SAFETY: GDAL passes an open handle.
    answer(unsafe { opened(file) }.flush())
}

unsafe extern "C" fn truncate(file: *mut c_void, size: ffi::vsi_l_offset) -> c_int {
    // SAFETY: GDAL passes an open handle.
    answer(unsafe { opened(file) }.truncate(size))
}

/// The return value of a C write; an error is recorded.
fn answer(result: io::Result<()>) -> c_int {
    match result {
        Ok(()) => 0,
        Err(error) => {
            note(&error);
            -1
        }
    }
}
