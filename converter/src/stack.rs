//! What a thread leaves on its stack. Memory that is given back is cleared by the
//! allocator; a stack is not given back when its thread ends, but kept for the next one.

use std::hint::black_box;

/// More than any of the threads that handle content was seen to use.
const DEPTH: usize = 64 << 10;

/// Does the work, and then clears what it left on the stack: names, and the last block of
/// what was digested or expanded. The work's own frame is in what is cleared; what it
/// returns is not.
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
