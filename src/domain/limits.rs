//! Limits on one conversion, each with a name, a unit and a default.
//!
//! Limits are parsed once, here, into types that are always valid. The archive limits are enforced
//! while unpacking, the caps by the supervisor of the engine process.

use std::time::Duration;

/// Minimum memory cap: loading GDAL alone takes about half of it.
pub const MIN_MEMORY_BYTES: u64 = 64 << 20;

/// Maximum number of files and directories that an engine may write.
pub const MAX_WRITTEN_FILES: u64 = 10_000;

/// Maximum nesting of the directories that an engine creates.
pub const MAX_WRITTEN_DEPTH: u64 = 64;

/// Caps on the engine process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caps {
    /// Resident memory, and private data (`RLIMIT_DATA`), in bytes.
    pub memory_bytes: u64,
    /// Wall time from start to reply.
    pub time: Duration,
    /// Total size of all files that the engine writes, in bytes.
    pub output_bytes: u64,
    /// Text that the engine's library prints, in bytes. It is read and discarded.
    pub message_bytes: u64,
}

impl Default for Caps {
    fn default() -> Self {
        Self {
            memory_bytes: 4 << 30,
            time: Duration::from_secs(30 * 60),
            output_bytes: 16 << 30,
            message_bytes: 64 << 20,
        }
    }
}

impl Caps {
    /// Whether this amount of memory, in bytes, is within a sixteenth of the cap, which counts as
    /// having reached it.
    pub fn memory_is_near(limit: u64, observed: u64) -> bool {
        observed >= limit - limit / 16
    }
}

/// Limits on an archive. They are checked against the central directory before any entry is
/// expanded, and enforced again during expansion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArchiveLimits {
    /// Number of entries, including directories.
    pub entries: u64,
    /// Total uncompressed size, in bytes.
    pub expanded_bytes: u64,
    /// Uncompressed over compressed size of one entry. Deflate reaches 1032 at most, Deflate64 far more; tables full of
    /// blanks, such as .dbf files, reach 100 and more.
    pub ratio: u64,
    /// Entries whose uncompressed size does not exceed this are exempt from `ratio`, in bytes.
    pub ratio_exempt_bytes: u64,
    /// Length of a name, in bytes of UTF-8.
    pub name_bytes: usize,
    /// Depth of a name, in path components.
    pub name_depth: usize,
}

impl Default for ArchiveLimits {
    fn default() -> Self {
        Self {
            entries: 10_000,
            expanded_bytes: 16 << 30,
            ratio: 250,
            ratio_exempt_bytes: 64 << 20,
            name_bytes: 1024,
            name_depth: 32,
        }
    }
}

/// Parses a size such as `512M`, `1.5 GiB` or `1000000`. `K`, `M`, `G` and `T` are powers of 1024,
/// as in `docker run --memory`.
///
pub fn parse_size(text: &str) -> Result<u64, String> {
    parse_size::Config::new()
        .with_binary()
        .parse_size(text)
        .map_err(|_| format!("not a size: '{text}'; write a number with K, M, G or T, e.g. 512M"))
}

/// Parses a duration such as `90s`, `5m` or `1h 30m`; it must be longer than zero.
///
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let error = || format!("not a duration: '{text}'; write a number with s, m or h, e.g. 90s");
    let duration = humantime::parse_duration(text).map_err(|_| error())?;
    if duration.is_zero() { Err(error()) } else { Ok(duration) }
}

/// Formats a size with three significant digits and a binary unit.
pub fn display_size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    match unit {
        0 => format!("{bytes} B"),
        _ if value < 10.0 => format!("{value:.2} {}", UNITS[unit]),
        _ if value < 100.0 => format!("{value:.1} {}", UNITS[unit]),
        _ => format!("{value:.0} {}", UNITS[unit]),
    }
}

/// Whole milliseconds of a duration.
pub fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_binary() {
        assert_eq!(parse_size("10M"), Ok(10 << 20));
        assert_eq!(parse_size("1.5 GiB"), Ok(3 << 29));
        assert_eq!(parse_size("1000000"), Ok(1_000_000));
        for bad in ["", "M", "-1", "ten", "1Q"] {
            assert!(parse_size(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn durations_are_positive() {
        assert_eq!(parse_duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse_duration("1h 30m"), Ok(Duration::from_secs(5400)));
        for bad in ["", "0s", "5", "-3s", "soon"] {
            assert!(parse_duration(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn sizes_are_shown_with_three_digits() {
        assert_eq!(display_size(0), "0 B");
        assert_eq!(display_size(1023), "1023 B");
        assert_eq!(display_size(1024), "1.00 KiB");
        assert_eq!(display_size(400 << 20), "400 MiB");
        assert_eq!(display_size(u64::MAX), "16777216 TiB");
    }
}
