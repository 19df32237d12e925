//! Step 2: the environment holds three names, set by the supervisor.
//!
//! Environment variables steer libraries (`GDAL_*`, `LD_*`, proxies) and carry
//! credentials. The supervisor starts the host with these three only; scrubbing
//! again here means that the host is safe whoever starts it.

/// Names that stay.
///
/// - `LC_ALL=C`: numbers are written with a point.
/// - `MALLOC_ARENA_MAX`: each arena of the C library reserves memory that counts.
/// - `TMPDIR`: libraries that need a temporary file put it into the workspace.
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
