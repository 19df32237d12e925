//! Reads structs and texts of a plugin, as far as the interface says that they go.
//!
//! Nothing can verify a pointer: one that leads nowhere ends this process, which is named as a crash
//! of the engine. Verified are sizes, alignment, the number of elements and the length of texts.

use crate::bindings::plugin as ffi;
use std::ffi::c_char;
use std::mem::{MaybeUninit, offset_of, size_of};

/// Maximum number of elements of an array.
pub(super) const MAX_ELEMENTS: usize = 256;

/// Longest text, in bytes.
const MAX_TEXT: usize = 4096;

/// Largest size of a struct of any version, in bytes: what says more has no size there.
const MAX_SIZE: usize = 64 << 10;

/// A struct of the interface that a plugin makes.
///
/// # Safety
/// The type begins with a `u64`, its size in bytes as its maker knows it, and is valid if all its
/// bytes are zero.
pub(super) unsafe trait Made {
    /// Name, for errors.
    const NAME: &str;
    /// Size in bytes without the members that are optional in version 1.
    const LEAST: usize;
}

// SAFETY: `repr(C)` structs of integers, floating-point numbers, pointers and optional functions
// that begin with `uint64_t size`; likewise those below.
unsafe impl Made for ffi::cadmill_plugin {
    const NAME: &str = "cadmill_plugin";
    const LEAST: usize = offset_of!(ffi::cadmill_plugin, cancel);
}

// SAFETY: as above.
unsafe impl Made for ffi::cadmill_description {
    const NAME: &str = "cadmill_description";
    const LEAST: usize = offset_of!(ffi::cadmill_description, options);
}

// SAFETY: as above.
unsafe impl Made for ffi::cadmill_format {
    const NAME: &str = "cadmill_format";
    const LEAST: usize = offset_of!(ffi::cadmill_format, title);
}

// SAFETY: as above.
unsafe impl Made for ffi::cadmill_option {
    const NAME: &str = "cadmill_option";
    const LEAST: usize = offset_of!(ffi::cadmill_option, least);
}

/// Copies a struct. Members beyond its size are zero, and what a later version has added is left
/// out.
///
/// # Safety
/// `pointer` is null, or leads to a struct whose first member is its size.
pub(super) unsafe fn copied<T: Made>(pointer: *const T) -> Result<T, String> {
    if pointer.is_null() || !pointer.is_aligned() {
        return Err(format!("a pointer to a {} is null or not aligned", T::NAME));
    }
    // SAFETY: not null, aligned, and a struct that begins with its size.
    let size = unsafe { pointer.cast::<u64>().read() };
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    if size < T::LEAST {
        return Err(format!("the size of a {} is {size}, at least {} are needed", T::NAME, T::LEAST));
    }
    if size > MAX_SIZE {
        return Err(format!("the size of a {} is {size}, which no version has", T::NAME));
    }
    let mut copy = MaybeUninit::<T>::zeroed();
    // SAFETY: the maker has at least `size` bytes there, and the copy has room for as many as are
    // copied. They do not overlap.
    unsafe {
        pointer.cast::<u8>().copy_to_nonoverlapping(copy.as_mut_ptr().cast(), size.min(size_of::<T>()));
    }
    // SAFETY: valid if all bytes are zero, and those that were copied are those of a `T`.
    Ok(unsafe { copy.assume_init() })
}

/// The name of a struct if it is larger than this host knows, as a later version makes it.
///
/// # Safety
/// As for [`copied`], which has accepted the pointer.
pub(super) unsafe fn is_larger<T: Made>(pointer: *const T) -> Option<String> {
    // SAFETY: a struct that begins with its size.
    let size = unsafe { pointer.cast::<u64>().read() };
    (size > size_of::<T>() as u64).then(|| T::NAME.to_owned())
}

/// The elements of a NULL-terminated array; empty if the pointer is null.
///
/// # Safety
/// `array` is null or leads to pointers of which the last is null.
pub(super) unsafe fn elements<T>(array: *const *const T, what: &str) -> Result<Vec<*const T>, String> {
    if array.is_null() {
        return Ok(Vec::new());
    }
    if !array.is_aligned() {
        return Err(format!("the array of {what} is not aligned"));
    }
    let mut found = Vec::new();
    loop {
        // SAFETY: the array goes on until its null.
        let element = unsafe { array.add(found.len()).read() };
        if element.is_null() {
            return Ok(found);
        }
        if found.len() == MAX_ELEMENTS {
            return Err(format!("more than {MAX_ELEMENTS} {what}"));
        }
        found.push(element);
    }
}

/// A text; `None` for a null pointer. Bytes that are not UTF-8 are replaced.
///
/// # Safety
/// `text` is null or leads to bytes that end with a NUL.
pub(super) unsafe fn text(text: *const c_char, what: &str) -> Result<Option<String>, String> {
    if text.is_null() {
        return Ok(None);
    }
    // SAFETY: `strnlen` stops at the NUL or after as many bytes as are allowed.
    let length = unsafe { libc::strnlen(text, MAX_TEXT + 1) };
    if length > MAX_TEXT {
        return Err(format!("{what} has more than {MAX_TEXT} bytes"));
    }
    // SAFETY: these bytes come before the NUL.
    let bytes = unsafe { std::slice::from_raw_parts(text.cast::<u8>(), length) };
    Ok(Some(String::from_utf8_lossy(bytes).into_owned()))
}

/// Whether a text is one line of fewer bytes than are allowed; `None` for a null pointer. No more is
/// read than of [`beginning`].
///
/// # Safety
/// As for [`text`].
pub(super) unsafe fn is_one_line(text: *const c_char) -> Option<bool> {
    if text.is_null() {
        return None;
    }
    // SAFETY: as in `text`.
    let bytes = unsafe { std::slice::from_raw_parts(text.cast::<u8>(), libc::strnlen(text, MAX_TEXT)) };
    Some(bytes.len() < MAX_TEXT && !bytes.iter().any(u8::is_ascii_control))
}

/// The beginning of a text, of as many bytes as are allowed: texts for the log may be longer.
///
/// # Safety
/// As for [`text`].
pub(super) unsafe fn beginning(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: as in `text`.
    let bytes = unsafe { std::slice::from_raw_parts(text.cast::<u8>(), libc::strnlen(text, MAX_TEXT)) };
    String::from_utf8_lossy(bytes).chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(size: usize) -> ffi::cadmill_format {
        ffi::cadmill_format {
            size: size as u64,
            id: c"x".as_ptr(),
            extensions: c"x".as_ptr(),
            title: c"X".as_ptr(),
            flags: 7,
            reserved: 0,
        }
    }

    #[test]
    fn members_beyond_the_size_are_absent() {
        let read = |size| {
            let made = format(size);
            // SAFETY: a struct that begins with its size.
            unsafe { copied(&raw const made) }
        };
        let whole = size_of::<ffi::cadmill_format>();
        let flags = offset_of!(ffi::cadmill_format, flags);
        assert_eq!(read(whole).unwrap().flags, 7);
        assert_eq!(read(flags).unwrap().flags, 0);
        assert!(!read(flags).unwrap().title.is_null());
        assert!(read(ffi::cadmill_format::LEAST).unwrap().title.is_null());
        assert!(read(ffi::cadmill_format::LEAST - 1).is_err() && read(0).is_err());
        assert!(read(MAX_SIZE + 1).is_err() && read(usize::MAX).is_err());
        // SAFETY: null is allowed.
        assert!(unsafe { copied::<ffi::cadmill_format>(std::ptr::null()) }.is_err());
    }

    #[test]
    fn a_struct_of_a_later_version_is_cut() {
        #[repr(C)]
        struct Later {
            known: ffi::cadmill_format,
            added: [u64; 4],
        }
        let made = Later { known: format(size_of::<Later>()), added: [9; 4] };
        // SAFETY: a struct that begins with its size.
        let read = unsafe { copied(&raw const made.known) }.unwrap();
        assert_eq!((read.flags, read.size, made.added[0]), (7, size_of::<Later>() as u64, 9));
    }

    #[test]
    fn texts_and_arrays_have_limits() {
        let long = std::ffi::CString::new("x".repeat(MAX_TEXT + 1)).unwrap();
        // SAFETY: texts with a NUL, arrays with a null, or null.
        unsafe {
            assert_eq!(text(c"a\xff".as_ptr(), "it").unwrap().unwrap(), "a\u{fffd}");
            assert_eq!(text(std::ptr::null(), "it"), Ok(None));
            assert!(text(long.as_ptr(), "it").unwrap_err().starts_with("it has more"));
            assert_eq!(beginning(long.as_ptr()).len(), MAX_TEXT);
            assert_eq!(beginning(c"a\nb".as_ptr()), "a b");
            let mut many = vec![c"x".as_ptr(); MAX_ELEMENTS + 1];
            many.push(std::ptr::null());
            assert!(elements(many.as_ptr(), "words").is_err());
            assert_eq!(elements(many[1..].as_ptr(), "words").unwrap().len(), MAX_ELEMENTS);
            assert_eq!(elements(std::ptr::null::<*const u8>(), "words"), Ok(vec![]));
        }
    }
}
