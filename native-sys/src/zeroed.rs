//! Memory from the C library comes zeroed, for the whole process of an engine that needs it.
//!
//! A library that writes a buffer of which it filled a part puts into the result whatever
//! the heap had there: pieces of other files of the job, and addresses, which differ in
//! each run. So the functions that give out memory are replaced: the dynamic linker takes
//! those of the program before those of the C library, for each library that is loaded,
//! the JVM's included. What they give out is the C library's own memory, so that `free`
//! and all else stay as they are.
//!
//! `mallopt(M_PERTURB)` is not enough: glibc neither fills what comes from the cache of a
//! thread (`tcache`) nor what `realloc` adds, and it touches every page of a large
//! allocation that the kernel has zeroed already.
//!
//! GDAL goes without: it asks for memory so often that it would pay about a twentieth more, and
//! gives the same bytes in each run as it is.
//!
//! Not covered: the stack, and what a library hands out to itself from a pool of its own.

use libc::{c_int, c_void, size_t};
use std::sync::atomic::{AtomicBool, Ordering};

unsafe extern "C" {
    fn __libc_malloc(size: size_t) -> *mut c_void;
    fn __libc_calloc(count: size_t, size: size_t) -> *mut c_void;
    fn __libc_realloc(memory: *mut c_void, size: size_t) -> *mut c_void;
    fn __libc_memalign(alignment: size_t, size: size_t) -> *mut c_void;
}

/// From this size on `calloc` is asked, which leaves alone what the kernel has zeroed. Below
/// it is slower, for it passes by the cache of the thread.
const LARGE: size_t = 64 << 10;

/// Whether it is done. It is from the first allocation on, unless it is given up.
static ON: AtomicBool = AtomicBool::new(true);

/// Gives it up for the rest of this process, for an engine that does not need it.
pub fn give_up() {
    ON.store(false, Ordering::Relaxed);
}

fn is_on() -> bool {
    ON.load(Ordering::Relaxed)
}

/// `malloc`, with zeros.
#[unsafe(no_mangle)]
unsafe extern "C" fn malloc(size: size_t) -> *mut c_void {
    if !is_on() {
        // SAFETY: no conditions.
        return unsafe { __libc_malloc(size) };
    }
    if size >= LARGE {
        // SAFETY: no conditions.
        return unsafe { __libc_calloc(1, size) };
    }
    // SAFETY: no conditions; the answer is null or a new block.
    unsafe { zeroed(__libc_malloc(size)) }
}

/// Fills a block, to the end of what is usable: `realloc` copies that.
///
/// # Safety
/// `memory` is null or was just given out by the C library.
unsafe fn zeroed(memory: *mut c_void) -> *mut c_void {
    if !memory.is_null() && is_on() {
        // SAFETY: a live block of which no one else knows.
        unsafe { memory.cast::<u8>().write_bytes(0, libc::malloc_usable_size(memory)) };
    }
    memory
}

/// `realloc`, with zeros behind what was there.
#[unsafe(no_mangle)]
unsafe extern "C" fn realloc(memory: *mut c_void, size: size_t) -> *mut c_void {
    if !is_on() {
        // SAFETY: the caller's promise to `realloc`.
        return unsafe { __libc_realloc(memory, size) };
    }
    if memory.is_null() {
        // SAFETY: no conditions.
        return unsafe { malloc(size) };
    }
    // SAFETY: `memory` is a live allocation by the caller's promise to `realloc`.
    let before = unsafe { libc::malloc_usable_size(memory) };
    // SAFETY: as above.
    let moved = unsafe { __libc_realloc(memory, size) };
    if moved.is_null() || size <= before {
        return moved;
    }
    // All of the block that was usable before was zeroed or written to, and has been copied.
    // SAFETY: `moved` is live, and its usable size is at least `size`, more than `before`.
    unsafe { moved.cast::<u8>().add(before).write_bytes(0, libc::malloc_usable_size(moved) - before) };
    moved
}

/// `reallocarray`, with zeros behind what was there.
#[unsafe(no_mangle)]
unsafe extern "C" fn reallocarray(memory: *mut c_void, count: size_t, size: size_t) -> *mut c_void {
    // What cannot be asked for is refused as too large, with the right `errno`.
    // SAFETY: the caller's promise, the same as to `realloc`.
    unsafe { realloc(memory, count.checked_mul(size).unwrap_or(size_t::MAX)) }
}

/// `memalign`, with zeros.
#[unsafe(no_mangle)]
unsafe extern "C" fn memalign(alignment: size_t, size: size_t) -> *mut c_void {
    // SAFETY: no conditions; the answer is null or a new block.
    unsafe { zeroed(__libc_memalign(alignment, size)) }
}

/// `aligned_alloc`, with zeros.
#[unsafe(no_mangle)]
unsafe extern "C" fn aligned_alloc(alignment: size_t, size: size_t) -> *mut c_void {
    // SAFETY: no conditions.
    unsafe { memalign(alignment, size) }
}

/// `posix_memalign`, with zeros.
#[unsafe(no_mangle)]
unsafe extern "C" fn posix_memalign(answer: *mut *mut c_void, alignment: size_t, size: size_t) -> c_int {
    if !alignment.is_power_of_two() || !alignment.is_multiple_of(size_of::<*mut c_void>()) {
        return libc::EINVAL;
    }
    // SAFETY: no conditions.
    let memory = unsafe { memalign(alignment, size) };
    if memory.is_null() {
        return libc::ENOMEM;
    }
    // SAFETY: the caller gives a place for a pointer.
    unsafe { answer.write(memory) };
    0
}

/// Whether the functions above are those that the process uses. They are part of the program
/// only if something refers to them.
pub fn is_in_force() -> bool {
    // SAFETY: the name is a C string; the symbol is looked up and not used.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"malloc".as_ptr()) };
    std::ptr::eq(found, malloc as *const c_void)
}
