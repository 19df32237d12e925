//! The names of the server's only bucket, its region and its version.

/// The one bucket.
pub const BUCKET: &str = "cadmill";

/// The region that requests are signed for.
pub const REGION: &str = "us-east-1";
/// The version id in a bucket without versions.
pub(super) const ONLY_VERSION: &str = "null";
