//! The list of all metrics. What a dashboard, an alert or docs/OPERATING.md names, is here.
//!
//! Names are those of Prometheus: base units, `_total` on counters. A name is never changed or reused;
//! new ones are added, each with the function in [`super::record`] that records it.

use super::label::{self, Label};
use crate::domain::job::State;

/// The kind of a metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// A number that only grows, from the start of the process.
    Counter,
    /// A number that is as it is now.
    Gauge,
    /// Counts of observations by size, with these upper bounds.
    Histogram(&'static [f64]),
}

/// Who records a metric. `cadmill serve` is the API, the cleanup and, in a process of its own, the
/// worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The HTTP server.
    Api,
    /// The worker.
    Worker,
    /// The cleanup.
    Cleanup,
}

impl Source {
    /// What it is called in documents.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Api => "API",
            Self::Worker => "worker",
            Self::Cleanup => "cleanup",
        }
    }
}

/// A metric.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// Its name, with the prefix `cadmill_`.
    pub name: &'static str,
    /// Its kind.
    pub kind: Kind,
    /// Its labels.
    pub labels: &'static [Label],
    /// The programs that record it.
    pub sources: &'static [Source],
    /// If an alarm depends on it, the labels that the alarm tells apart; `None` otherwise. CloudWatch
    /// is billed by the number of their values.
    pub alarmed: Option<&'static [&'static str]>,
    /// What it says: one sentence, with the unit.
    pub help: &'static str,
}

impl Metric {
    /// Every set of values that its labels can have.
    pub fn label_sets(&self) -> Vec<Vec<&'static str>> {
        self.labels.iter().fold(vec![Vec::new()], |sets, label| {
            let with = |set: &Vec<&'static str>, value| set.iter().copied().chain([value]).collect();
            sets.iter()
                .flat_map(|set| label.values().into_iter().map(move |value| with(set, value)))
                .collect()
        })
    }
}

/// Counters with at most this many series are there from the start.
const ZEROED: usize = 64;

impl Metric {
    /// The label sets of the series that are there from the start, as zero: the first event is then an
    /// increase that an alert sees. These are the series of small counters, of the jobs that end with a
    /// system error, and of histograms without labels.
    pub fn zeroed(&self) -> Vec<Vec<&'static str>> {
        let series: usize = self.labels.iter().map(|label| label.values().len()).product();
        match self.kind {
            Kind::Counter if series <= ZEROED => self.label_sets(),
            Kind::Counter if self.name == JOBS_ENDED.name => {
                let is_lost = |set: &[&str]| set[0] == State::Failed.as_str() && set[1].starts_with("infra.");
                self.label_sets().into_iter().filter(|set| is_lost(set)).collect()
            }
            Kind::Histogram(_) if self.labels.is_empty() => vec![Vec::new()],
            Kind::Counter | Kind::Gauge | Kind::Histogram(_) => Vec::new(),
        }
    }
}

macro_rules! metrics {
    ($($id:ident = $name:literal, $kind:expr, [$($label:ident),*], $sources:expr, $alarmed:expr, $help:literal;)+) => {
        $(
            pub(super) static $id: Metric = Metric {
                name: $name,
                kind: $kind,
                labels: &[$(label::$label),*],
                sources: $sources,
                alarmed: $alarmed,
                help: $help,
            };
        )+

        /// Every metric, in the order of the documented table.
        pub static METRICS: &[&Metric] = &[$(&$id,)+];
    };
}

use Kind::{Counter, Gauge, Histogram};

const EVERY: &[Source] = &[Source::Api, Source::Worker, Source::Cleanup];
const API: &[Source] = &[Source::Api];
const WORKER: &[Source] = &[Source::Worker];
const CLEANUP: &[Source] = &[Source::Cleanup];
const WATCHES: &[Source] = &[Source::Api, Source::Worker];
const DELETES: &[Source] = &[Source::Api, Source::Cleanup];

const JOB: Kind = Histogram(&[0.1, 1.0, 10.0, 60.0, 300.0, 3600.0]);
const WAIT: Kind = Histogram(&[0.5, 2.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0]);
const DELAY: Kind = Histogram(&[1.0, 5.0, 15.0, 30.0, 60.0, 300.0, 1800.0, 7200.0]);
const CALL: Kind = Histogram(&[0.05, 0.5, 5.0]);
const REQUEST: Kind = Histogram(&[0.025, 0.25, 2.5]);
/// 256 MiB to 16 GiB.
const MEMORY: Kind = Histogram(&[268_435_456.0, 1_073_741_824.0, 4_294_967_296.0, 17_179_869_184.0]);

metrics! {
    JOBS_CREATED = "cadmill_jobs_created_total", Counter, [FORMAT], API, None, "Jobs that were created, by the extension of the format that was asked for.";
    JOBS_ENDED = "cadmill_jobs_ended_total", Counter, [ENDED_STATE, CODE], EVERY, Some(&["state"]), "Jobs that ended, by state and failure code.";
    JOB_SECONDS = "cadmill_job_seconds", JOB, [STAGE], EVERY, None, "Wall time in seconds of each stage of the last attempt of a job that ended; total is from the upload to the end.";
    JOB_WAIT_SECONDS = "cadmill_job_wait_seconds", WAIT, [], WORKER, Some(&[]), "Time in seconds from the upload of a job to its first claim by a worker.";
    ATTEMPTS = "cadmill_attempts_total", Counter, [ATTEMPT], WORKER, Some(&["outcome"]), "Attempts that ended: completed, failed for good, to be retried after a system error, stopped with the worker, or superseded.";
    LEASES_LAPSED = "cadmill_leases_lapsed_total", Counter, [], WORKER, Some(&[]), "Leases of workers that did not renew them, whose jobs another worker took or gave up.";
    INPUT_BYTES = "cadmill_input_bytes_total", Counter, [], WORKER, None, "Bytes of uploads of jobs that were claimed for the first time.";
    OUTPUT_BYTES = "cadmill_output_bytes_total", Counter, [], WORKER, None, "Bytes of the results of jobs that completed, as they are stored.";
    ENGINE_PEAK_MEMORY_BYTES = "cadmill_engine_peak_memory_bytes", MEMORY, [ENGINE], WORKER, None, "Peak resident memory in bytes of an engine process.";
    ENGINE_CRASHES = "cadmill_engine_crashes_total", Counter, [ENGINE, SIGNAL], WORKER, Some(&["engine"]), "Engine processes that a signal ended which was not the supervisor's.";
    WORKER_JOBS = "cadmill_worker_jobs", Gauge, [], WORKER, None, "Jobs that this worker processes or watches.";
    WORKER_MEMORY_BYTES = "cadmill_worker_memory_bytes", Gauge, [MEMORY], WORKER, None, "Memory in bytes that the jobs of this worker may use together, and what is reserved of it.";
    WIPES = "cadmill_wipes_total", Counter, [WIPE], WORKER, Some(&["outcome"]), "Workspaces that were destroyed by their worker or by a sweep, or of which something was left.";
    SWEEPS = "cadmill_sweeps_total", Counter, [], WORKER, None, "Sweeps of the workspace directory for what dead processes left.";
    HTTP_REQUESTS = "cadmill_http_requests_total", Counter, [ROUTE, METHOD, STATUS], API, Some(&["status"]), "Requests to the API, by route template; none stands for other paths. A method that the route does not have is other.";
    HTTP_REQUEST_SECONDS = "cadmill_http_request_seconds", REQUEST, [ROUTE], API, None, "Time in seconds from the head of a request for jobs to that of its response.";
    POLLS = "cadmill_polls_total", Counter, [STATE], API, None, "Status requests, by the state that was answered.";
    CLIENTS_GAVE_UP = "cadmill_clients_gave_up_total", Counter, [], API, None, "Jobs whose client stopped polling before their end.";
    STREAMS = "cadmill_streams", Gauge, [], API, None, "Event streams that are open.";
    STORE_CALLS = "cadmill_store_calls_total", Counter, [STORE, OPERATION, CALL], EVERY, Some(&["store", "outcome"]), "Calls of the stores and the queue, retries of the SDK included in one.";
    STORE_CALL_SECONDS = "cadmill_store_call_seconds", CALL, [STORE, OPERATION], EVERY, None, "Time in seconds of these calls, without those that wait for a message.";
    QUEUE_MESSAGES = "cadmill_queue_messages", Gauge, [QUEUE, QUEUE_STATE], CLEANUP, Some(&["queue", "state"]), "Messages of the queue of events and of its dead-letter queue; approximate with SQS.";
    PURGES = "cadmill_purges_total", Counter, [PURGE], DELETES, None, "Deletions of all objects of an ended job.";
    PURGE_DELAY_SECONDS = "cadmill_purge_delay_seconds", DELAY, [], DELETES, Some(&[]), "Time in seconds from when the objects of a job were due for deletion to when they were deleted.";
    OLDEST_DUE_SECONDS = "cadmill_oldest_due_seconds", Gauge, [DUE], CLEANUP, Some(&["kind"]), "How long the oldest job has been due in seconds, by what is due; 0 if nothing is.";
    UNCONFIRMED_PURGES = "cadmill_unconfirmed_purges", Gauge, [], CLEANUP, Some(&[]), "Ended jobs whose objects could not be deleted, or not confirmed as deleted, at the last try.";
    PURGE_LEDGERS = "cadmill_purge_ledgers_total", Counter, [EVIDENCE], DELETES, Some(&["outcome"]), "Ledgers of deletions that were written, that could not be written and are tried again, and that were lost because the job's record ended before.";
    DEAD_LETTERS_DELETED = "cadmill_dead_letters_deleted_total", Counter, [], CLEANUP, None, "Dead letters of jobs that had ended, or had no record, which were deleted.";
    CLEANUP_ATTENDED = "cadmill_cleanup_attended", Gauge, [], WATCHES, Some(&[]), "1 while this program sees that a cleanup program renews its lease; 0 while it does not, and files are not deleted.";
    ORPHANS = "cadmill_orphans_total", Counter, [], CLEANUP, Some(&[]), "Jobs without a record whose objects were deleted.";
    START_TIME_SECONDS = "cadmill_start_time_seconds", Gauge, [], EVERY, None, "When the process started, in seconds since 1970.";
    BUILD_INFO = "cadmill_build_info", Gauge, [BUILD_VERSION, BUILD_REVISION], EVERY, None, "1, with the version and the git revision of this build.";
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn the_list_is_sound() {
        let mut names = HashSet::new();
        for metric in METRICS {
            let name = metric.name;
            assert!(name.starts_with("cadmill_") && names.insert(name), "{name}");
            assert_eq!(name.ends_with("_total"), metric.kind == Kind::Counter, "{name}");
            assert!(metric.help.ends_with('.') && !metric.sources.is_empty(), "{name}");
            if let Histogram(bounds) = metric.kind {
                assert!(bounds.is_sorted() && !bounds.is_empty(), "{name}");
            }
            let unit = [
                "_seconds",
                "_bytes",
                "_total",
                "_info",
                "_jobs",
                "_messages",
                "_purges",
                "_attended",
                "_streams",
            ];
            assert!(unit.iter().any(|unit| name.ends_with(unit)), "{name}");
            for alarmed in metric.alarmed.unwrap_or_default() {
                assert!(metric.labels.iter().any(|label| label.name == *alarmed), "{name}: {alarmed}");
            }
            for label in metric.labels {
                let values = label.values();
                assert_eq!(
                    values.iter().collect::<HashSet<_>>().len(),
                    values.len(),
                    "{name}: {}",
                    label.name
                );
                let never = ["job", "owner", "key", "file", "name", "worker", "token", "url"];
                assert!(!never.contains(&label.name), "{name}: {}", label.name);
            }
        }
    }
}
