//! Points in time.

/// A point in time: milliseconds since 1970-01-01T00:00:00Z by the writer's clock. For display and
/// reports; no decision compares the clocks of two machines.
pub type Millis = u64;
