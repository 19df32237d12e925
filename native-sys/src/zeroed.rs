//! Zeroes memory allocated from the C library, for the whole process of an engine that needs it.
//!
//! A library that writes a partially filled buffer copies stale heap content into the result:
//! pieces of other files of the job, and addresses, which differ in each run. So the allocation
//! functions are interposed: the dynamic linker prefers those of the program over those of the C
//! library, for every library that is loaded, including the JVM's. The memory still comes from the
//! C library, so that `free` and all other functions are unchanged.
//!
//! `mallopt(M_PERTURB)` is not enough: glibc fills neither memory from the thread cache (`tcache`)
//! nor what `realloc` adds, and it touches every page of a large allocation that the kernel has
//! already zeroed.
//!
//! Disabled for GDAL: it allocates so often that zeroing would cost about 5 % of its time, and its
//! output is the same in each run anyway.
//!
//! Not covered: the stack, and memory that a library reuses from its own pool.

use libc::{c_int, c_void, size_t};
use std::sync::atomic::{AtomicBool, Ordering};

unsafe extern "C" {
    fn __libc_malloc(size: size_t) -> *mut c_void;
    fn __libc_calloc(count: size_t, size: size_t) -> *mut c_void;
    fn __libc_realloc(memory: *mut c_void, size: size_t) -> *mut c_void;
    fn __libc_memalign(alignment: size_t, size: size_t) -> *mut c_void;
}

/// From this size on `calloc` is used, which does not touch memory that the kernel has zeroed. For
/// smaller blocks it is slower, as it bypasses the thread cache.
const LARGE: size_t = 64 << 10;

/// Whether zeroing is on. It is on from the first allocation, until it is disabled.
static ON: AtomicBool = AtomicBool::new(true);

/// Disables zeroing for the rest of this process, for an engine that does not need it.
pub fn give_up() {
    ON.store(false, Ordering::Relaxed);
}

/// Freed memory at the end of a heap that is not returned to the kernel, in bytes: a library that
/// allocates and frees the same megabytes again and again would pay for new pages each time.
const KEPT: c_int = 32 << 20;

/// Size from which a block has a mapping of its own, in bytes, which is returned when it is freed. The C
/// library would adapt it, but not beside the other setting.
const MAPPED: c_int = 4 << 20;

/// Sets when memory is returned to the kernel. Must come before there are threads.
pub fn return_less_often() {
    // SAFETY: changes settings of the C library's allocator. An unsupported one has no effect.
    unsafe {
        libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT);
        libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED);
    }
}

fn is_on() -> bool {
    ON.load(Ordering::Relaxed)
}

/// `malloc`, zeroed.
#[unsafe(no_mangle)]
unsafe extern "C" fn malloc(size: size_t) -> *mut c_void {
    if !is_on() {
        // SAFETY: no preconditions.
        return unsafe { __libc_malloc(size) };
    }
    if size >= LARGE {
        // SAFETY: no preconditions.
        return unsafe { __libc_calloc(1, size) };
    }
    // SAFETY: no preconditions; returns null or a new block.
    unsafe { zeroed(__libc_malloc(size)) }
}

/// Zeroes a block up to its usable size, because `realloc` copies all of it.
///
/// # Safety
/// `memory` is null or was just allocated by the C library.
unsafe fn zeroed(memory: *mut c_void) -> *mut c_void {
    if !memory.is_null() && is_on() {
        // SAFETY: a live block to which no other reference exists.
        unsafe { memory.cast::<u8>().write_bytes(0, libc::malloc_usable_size(memory)) };
    }
    memory
}

/// `realloc`, with zeros after the old content.
#[unsafe(no_mangle)]
unsafe extern "C" fn realloc(memory: *mut c_void, size: size_t) -> *mut c_void {
    if !is_on() {
        // SAFETY: guaranteed by the caller of `realloc`.
        return unsafe { __libc_realloc(memory, size) };
    }
    if memory.is_null() {
        // SAFETY: no preconditions.
        return unsafe { malloc(size) };
    }
    // SAFETY: `memory` is a live allocation, guaranteed by the caller of `realloc`.
    let before = unsafe { libc::malloc_usable_size(memory) };
    // SAFETY: as above.
    let moved = unsafe { __libc_realloc(memory, size) };
    if moved.is_null() || size <= before {
        return moved;
    }
    // The usable part of the old block was zeroed or written to, and has been copied.
    // SAFETY: `moved` is live, and its usable size is at least `size`, more than `before`.
    unsafe { moved.cast::<u8>().add(before).write_bytes(0, libc::malloc_usable_size(moved) - before) };
    moved
}

/// `reallocarray`, with zeros after the old content.
#[unsafe(no_mangle)]
unsafe extern "C" fn reallocarray(memory: *mut c_void, count: size_t, size: size_t) -> *mut c_void {
    // On overflow, `size_t::MAX` makes `realloc` fail with the right `errno`.
    // SAFETY: guaranteed by the caller, as for `realloc`.
    unsafe { realloc(memory, count.checked_mul(size).unwrap_or(size_t::MAX)) }
}

/// `memalign`, zeroed.
#[unsafe(no_mangle)]
unsafe extern "C" fn memalign(alignment: size_t, size: size_t) -> *mut c_void {
    // SAFETY: no preconditions; returns null or a new block.
    unsafe { zeroed(__libc_memalign(alignment, size)) }
}

/// `aligned_alloc`, zeroed.
#[unsafe(no_mangle)]
unsafe extern "C" fn aligned_alloc(alignment: size_t, size: size_t) -> *mut c_void {
    // SAFETY: no preconditions.
    unsafe { memalign(alignment, size) }
}

/// `posix_memalign`, zeroed.
#[unsafe(no_mangle)]
unsafe extern "C" fn posix_memalign(answer: *mut *mut c_void, alignment: size_t, size: size_t) -> c_int {
    if !alignment.is_power_of_two() || !alignment.is_multiple_of(size_of::<*mut c_void>()) {
        return libc::EINVAL;
    }
    // SAFETY: no preconditions.
    let memory = unsafe { memalign(alignment, size) };
    if memory.is_null() {
        return libc::ENOMEM;
    }
    // SAFETY: the caller provides a place for a pointer.
    unsafe { answer.write(memory) };
    0
}

/// Whether the process uses the functions above. They are linked into the program only if something
/// refers to them.
pub fn is_in_force() -> bool {
    // SAFETY: the name is a C string; the symbol is looked up and not used.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"malloc".as_ptr()) };
    std::ptr::eq(found, malloc as *const c_void)
}
