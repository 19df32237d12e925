//! Step 2: reduces the environment to three variables, set by the supervisor.
//!
//! Environment variables control libraries (`GDAL_*`, `LD_*`, proxies) and carry credentials. The
//! supervisor starts the host with these three only; removing the others again here keeps the host
//! safe whichever program starts it.

/// Variables that are kept.
///
/// - `LC_ALL=C.UTF-8`: numbers have a decimal point, and text is UTF-8.
/// - `MALLOC_ARENA_MAX`: each malloc arena of the C library reserves address space that counts.
/// - `TMPDIR`: libraries create temporary files in the workspace.
pub const KEPT: [&str; 3] = ["LC_ALL", "MALLOC_ARENA_MAX", "TMPDIR"];

/// Removes every other variable.
pub fn scrub() {
    let names: Vec<_> = std::env::vars_os().map(|(name, _)| name).collect();
    for name in names {
        if !KEPT.iter().any(|kept| name == *kept) {
            // SAFETY: no other thread exists yet, so none reads the environment.
            unsafe { std::env::remove_var(name) };
        }
    }
}
