//! Clears what a thread leaves on its stack. Freed memory is cleared by the allocator, but a stack
//! is not freed when its thread ends: it is kept for the next thread.

use std::hint::black_box;

/// More than any thread that handles content was observed to use.
const DEPTH: usize = 64 << 10;

/// Runs `work`, then clears what it left on the stack: names, and the last block that was digested
/// or expanded. This includes the frame of `work` itself, but not its return value.
pub(crate) fn cleared<T>(work: impl FnOnce() -> T) -> T {
    let done = apart(work);
    clear();
    done
}

#[inline(never)]
fn apart<T>(work: impl FnOnce() -> T) -> T {
    work()
}

#[inline(never)]
fn clear() {
    let mut below = [0u8; DEPTH];
    black_box(&mut below);
}
