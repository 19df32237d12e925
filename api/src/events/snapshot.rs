//! One event of a job, rendered once for all streams that send it.

use crate::status::describe;
use cadmill_core::domain::job::Job;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

/// The status of a job as an event (HTML, 9.2.5 "Parsing an event stream"), without its id.
pub struct Snapshot {
    /// The version of the record.
    pub version: u64,
    /// Whether the job has ended: no event follows.
    pub ended: bool,
    /// The lines of the event, up to the empty one.
    pub lines: String,
    /// Progress of the stage, in percent.
    percent: u16,
    /// A digest of what a client sees, without the progress and what depends on the load.
    content: u64,
}

impl Snapshot {
    /// The event of this record. `pause` is when a client that polls would ask again.
    pub fn of(job: &Job, pause: Option<Duration>) -> Self {
        let mut body = describe(job, pause);
        let percent = (body.progress * 1000.0).round() as u16 / 10;
        body.progress = f64::from(percent) / 100.0;
        let ended = job.state.is_terminal();
        let name = if ended { "ended" } else { "status" };
        // JSON escapes line breaks, so that it is one line.
        let data = serde_json::to_string(&body).unwrap_or_default();
        let lines = format!("event: {name}\ndata: {data}\n\n");
        (body.progress, body.poll_after_ms) = (0.0, None);
        let mut digest = DefaultHasher::new();
        serde_json::to_string(&body).unwrap_or_default().hash(&mut digest);
        Self { version: job.version, ended, lines, percent, content: digest.finish() }
    }

    /// How this event differs from an earlier one.
    pub fn since(&self, before: &Self) -> Difference {
        match (self.content == before.content, self.percent == before.percent) {
            _ if self.version <= before.version => Difference::Nothing,
            (true, true) => Difference::Nothing,
            (true, false) => Difference::Progress,
            (false, _) => Difference::Content,
        }
    }
}

/// How an event differs from an earlier one of the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Difference {
    /// A client would see none: a lease was renewed, or the read lags.
    Nothing,
    /// In the progress of the stage, by a percent or more.
    Progress,
    /// In more than that.
    Content,
}

#[cfg(test)]
mod tests {
    use super::*;
    use cadmill_core::domain::job::{Stage, State};
    use cadmill_stores::conformance::job_store::new_job;

    #[test]
    fn only_what_a_client_sees_is_news() {
        let mut job = new_job(&"ann".parse().unwrap(), 1);
        (job.state, job.stage, job.version) = (State::Processing, Some(Stage::Convert), 3);
        let shown = Snapshot::of(&job, Some(Duration::from_secs(1)));
        let since = |change: fn(&mut Job)| {
            let mut next = Job { version: 4, ..job.clone() };
            change(&mut next);
            Snapshot::of(&next, Some(Duration::from_secs(2))).since(&shown)
        };
        assert_eq!(since(|job| job.polls += 1), Difference::Nothing);
        assert_eq!(since(|job| job.progress = 9), Difference::Nothing);
        assert_eq!(since(|job| job.progress = 10), Difference::Progress);
        assert_eq!(since(|job| (job.progress, job.attempt) = (10, 2)), Difference::Content);
        assert_eq!(since(|job| job.stage = Some(Stage::Publish)), Difference::Content);
        assert_eq!(since(|job| job.state = State::Cancelled), Difference::Content);
        assert_eq!(since(|job| (job.version, job.attempt) = (3, 9)), Difference::Nothing, "a read that lags");
    }

    #[test]
    fn an_event_is_lines_with_the_status() {
        let mut job = new_job(&"ann".parse().unwrap(), 1);
        (job.progress, job.order.file_name) = (437, "a \u{2028}\"b.zip".parse().unwrap());
        let snapshot = Snapshot::of(&job, None);
        let (head, data) = snapshot.lines.split_once('\n').unwrap();
        assert_eq!(head, "event: status");
        let data = data.strip_prefix("data: ").unwrap().strip_suffix("\n\n").unwrap();
        assert!(!data.contains(['\n', '\r']));
        let body: serde_json::Value = serde_json::from_str(data).unwrap();
        assert_eq!((&body["progress"], &body["download"]), (&0.43.into(), &serde_json::Value::Null));
        job.state = State::Expired;
        let ended = Snapshot::of(&job, None);
        assert!(ended.ended && ended.lines.starts_with("event: ended\n"));
    }
}
