//! When a job reached each state and how long its stages took, by the server's clock only: polls
//! miss states that do not last.

use super::wire::Status;
use std::fmt::Write as _;
use std::time::SystemTime;

/// The stages, in order.
const STAGES: [&str; 4] = ["fetch", "convert", "publish", "wipe"];

/// One line with the states of an ended job, in milliseconds since its creation; none when the
/// server does not report the creation time.
pub(super) fn states(status: &Status) -> Option<String> {
    let time = |text: &Option<String>| humantime::parse_rfc3339(text.as_deref()?).ok();
    let created = time(&status.created_at)?;
    let since = |then: SystemTime| then.duration_since(created).map_or(0, |time| time.as_millis());
    let mut line = String::from("on the server: PENDING 0 ms");
    let mut add = |name: &str, at: &Option<String>| {
        if let Some(at) = time(at) {
            let _ = write!(line, ", {name} {} ms", since(at));
        }
    };
    add("uploaded", &status.uploaded_at);
    match status.attempt {
        0 | 1 => add("PROCESSING", &status.claimed_at),
        attempt => add(&format!("PROCESSING (attempt {attempt})"), &status.claimed_at),
    }
    add(&status.state, &status.ended_at);
    Some(line)
}

/// One line with the stages of the latest attempt; none when no stage finished.
pub(super) fn stages(status: &Status) -> Option<String> {
    let known = STAGES.iter().filter_map(|name| Some((name, status.stage_millis.get(*name)?)));
    let told: Vec<_> = known.map(|(name, millis)| format!("{name} {millis} ms")).collect();
    (!told.is_empty()).then(|| format!("stages: {}", told.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_has_its_time() {
        let status: Status = serde_json::from_str(
            r#"{"state": "COMPLETED", "attempt": 2, "created_at": "2026-01-02T03:04:05.678Z",
                "uploaded_at": "2026-01-02T03:04:05.700Z", "claimed_at": "2026-01-02T03:04:06.678Z",
                "ended_at": "2026-01-02T03:05:05.678Z",
                "stage_millis": {"convert": 70, "fetch": 1, "wipe": 0, "brew": 9}}"#,
        )
        .unwrap();
        assert_eq!(
            states(&status).unwrap(),
            "on the server: PENDING 0 ms, uploaded 22 ms, PROCESSING (attempt 2) 1000 ms, COMPLETED 60000 ms"
        );
        assert_eq!(stages(&status).unwrap(), "stages: fetch 1 ms, convert 70 ms, wipe 0 ms");
    }

    #[test]
    fn what_is_not_known_is_not_told() {
        let status: Status = serde_json::from_str(
            r#"{"state": "EXPIRED", "created_at": "2026-01-02T03:04:05Z", "claimed_at": "yesterday",
                "ended_at": "2026-01-02T03:04:04Z"}"#,
        )
        .unwrap();
        assert_eq!(states(&status).unwrap(), "on the server: PENDING 0 ms, EXPIRED 0 ms");
        assert_eq!(stages(&status), None);
        assert_eq!(states(&serde_json::from_str(r#"{"state": "FAILED"}"#).unwrap()), None);
    }
}
