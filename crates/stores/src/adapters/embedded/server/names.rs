//! What the server calls its only bucket, and itself.

/// The one bucket.
pub const BUCKET: &str = "cadmill";

/// The region that requests are signed for.
pub const REGION: &str = "us-east-1";
/// What a bucket without versions calls the only version of an object.
pub(super) const ONLY_VERSION: &str = "null";
