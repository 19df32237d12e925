//! `cadmill-converter`: the worker.

#![forbid(unsafe_code)]

use std::process::ExitCode;

/// Zeroes freed memory, which may have held plaintext, names or keys.
#[global_allocator]
static MEMORY: zeroizing_alloc::ZeroAlloc<std::alloc::System> =
    zeroizing_alloc::ZeroAlloc(std::alloc::System);

fn main() -> ExitCode {
    cadmill_converter::program::main()
}
