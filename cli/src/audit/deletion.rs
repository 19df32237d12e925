//! A deletion from the object store, as a reader sees it.

use super::text::plain;
use cadmill_core::domain::job::Millis;
use cadmill_core::domain::ledger::record::Purge;
use serde_json::{Value, json};
use std::time::{Duration, SystemTime};

/// `deleted 2 objects, 0 delete markers and 1 unfinished upload`.
pub(super) fn counts(purge: &Purge) -> String {
    format!("deleted {}", numbers([purge.objects, purge.marks, purge.uploads]))
}

/// `2 objects, 0 delete markers and 1 unfinished upload`.
pub(super) fn numbers([objects, marks, uploads]: [u64; 3]) -> String {
    let count = |number: u64, what: &str| match number {
        1 => format!("1 {what}"),
        _ => format!("{number} {what}s"),
    };
    format!(
        "{}, {} and {}",
        count(objects, "object"),
        count(marks, "delete marker"),
        count(uploads, "unfinished upload")
    )
}

/// All of it in one line.
pub(super) fn sentence(purge: &Purge) -> String {
    format!(
        "{} deleted everything of the job from the object store by {}: {}; {}",
        plain(&purge.by),
        time(purge.confirmed_at),
        counts(purge),
        match purge.oldest_age_ms {
            Some(age) => format!("the oldest had existed for {}", duration(age)),
            None => "nothing is known of their age".to_owned(),
        }
    )
}

/// For programs.
pub(super) fn object(purge: &Purge) -> Value {
    json!({
        "objects": purge.objects,
        "marks": purge.marks,
        "uploads": purge.uploads,
        "confirmed_at": time(purge.confirmed_at),
        "oldest_age_ms": purge.oldest_age_ms,
        "by": purge.by,
    })
}

/// A time as RFC 3339 has it.
pub(super) fn time(millis: Millis) -> String {
    /// The end of the year 9999.
    const LAST: Millis = 253_402_300_799_999;
    let time = SystemTime::UNIX_EPOCH + Duration::from_millis(millis.min(LAST));
    humantime::format_rfc3339_millis(time).to_string()
}

/// A duration such as `2m 3s 40ms`.
pub(super) fn duration(millis: Millis) -> String {
    humantime::format_duration(Duration::from_millis(millis)).to_string()
}
