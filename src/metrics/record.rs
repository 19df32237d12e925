//! Recording: one function for each thing that happens.

use super::label::{self, NONE, OTHER, extension_of, method_of, route_of};
use super::list::{self, Kind, METRICS, Metric, Source};
use crate::domain::failure::FailureCode;
use crate::domain::job::{Millis, Stage, State};
use crate::ports::PortError;
use metrics::{Label, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use std::time::{Duration, SystemTime};

impl Metric {
    /// The labels with their values, each as its closed set has it.
    fn with(&self, values: &[&str]) -> Vec<Label> {
        let labels = self.labels.iter().zip(values);
        labels.map(|(label, value)| Label::from_static_parts(label.name, label.bounded(value))).collect()
    }

    fn add(&self, values: &[&str], count: u64) {
        counter!(self.name, self.with(values)).increment(count);
    }

    /// Begins a series without an event.
    fn zero(&self, values: &[&str]) {
        match self.kind {
            Kind::Counter => self.add(values, 0),
            Kind::Gauge => self.set(values, 0.0),
            Kind::Histogram(_) => drop(histogram!(self.name, self.with(values))),
        }
    }

    fn set(&self, values: &[&str], value: f64) {
        gauge!(self.name, self.with(values)).set(value);
    }

    fn observe(&self, values: &[&str], value: f64) {
        histogram!(self.name, self.with(values)).record(value);
    }
}

/// Describes the metrics of a program to the recorder, and begins those that are there from the
/// start. Called once, after the recorder was installed.
pub fn begin(sources: &[Source]) {
    for metric in METRICS.iter().filter(|metric| metric.sources.iter().any(|source| sources.contains(source)))
    {
        let unit = match metric.name {
            name if name.ends_with("_seconds") => Unit::Seconds,
            name if name.contains("_bytes") => Unit::Bytes,
            _ => Unit::Count,
        };
        match metric.kind {
            Kind::Counter => describe_counter!(metric.name, unit, metric.help),
            Kind::Gauge => describe_gauge!(metric.name, unit, metric.help),
            Kind::Histogram(_) => describe_histogram!(metric.name, unit, metric.help),
        }
        metric.zeroed().iter().for_each(|values| metric.zero(values));
    }
    list::BUILD_INFO.set(&["", ""], 1.0);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    list::START_TIME_SECONDS.set(&[], now.as_secs_f64());
}

/// A job was created.
pub fn job_created(format: &str) {
    list::JOBS_CREATED.add(&[extension_of(format)], 1);
}

/// A job ended.
pub(super) fn job_ended(state: State, code: Option<FailureCode>) {
    list::JOBS_ENDED.add(&[state.as_str(), code.map_or(NONE, FailureCode::as_str)], 1);
}

/// A stage of a job that ended took this long.
pub(super) fn stage_took(stage: Stage, millis: Millis) {
    list::JOB_SECONDS.observe(&[stage.as_str()], seconds(millis));
}

/// A job took this long from its upload to its end.
pub(super) fn job_took(millis: Millis) {
    list::JOB_SECONDS.observe(&["total"], seconds(millis));
}

/// A job waited this long for a worker.
pub(super) fn job_waited(millis: Millis) {
    list::JOB_WAIT_SECONDS.observe(&[], seconds(millis));
}

/// A lease was not renewed.
pub(super) fn lease_lapsed() {
    list::LEASES_LAPSED.add(&[], 1);
}

pub(super) fn input_read(bytes: u64) {
    list::INPUT_BYTES.add(&[], bytes);
}

pub(super) fn output_stored(bytes: u64) {
    list::OUTPUT_BYTES.add(&[], bytes);
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// With a result.
    Completed,
    /// With a failure that is final.
    Failed,
    /// With a system error.
    Retried,
    /// With its worker.
    Stopped,
    /// The job was no longer the worker's.
    Superseded,
}

/// An attempt ended.
pub fn attempt_ended(attempt: Attempt) {
    let outcome = match attempt {
        Attempt::Completed => "completed",
        Attempt::Failed => "failed",
        Attempt::Retried => "retried",
        Attempt::Stopped => "stopped",
        Attempt::Superseded => "superseded",
    };
    list::ATTEMPTS.add(&[outcome], 1);
}

/// An engine process ended that had used this much memory at most.
pub fn engine_ended(engine: &str, peak_memory_bytes: u64) {
    list::ENGINE_PEAK_MEMORY_BYTES.observe(&[engine], peak_memory_bytes as f64);
}

/// A signal ended an engine process.
pub fn engine_crashed(engine: &str, signal: i32) {
    let signal = match signal {
        4 => "SIGILL",
        5 => "SIGTRAP",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        31 => "SIGSYS",
        _ => OTHER,
    };
    list::ENGINE_CRASHES.add(&[engine, signal], 1);
}

/// The worker has this many jobs.
pub fn worker_jobs(jobs: usize) {
    list::WORKER_JOBS.set(&[], jobs as f64);
}

/// The jobs of the worker have reserved so much of its memory.
pub fn worker_memory(budget_bytes: u64, reserved_bytes: u64) {
    list::WORKER_MEMORY_BYTES.set(&["budget"], budget_bytes as f64);
    list::WORKER_MEMORY_BYTES.set(&["reserved"], reserved_bytes as f64);
}

/// How the destruction of a workspace ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wipe {
    /// Nothing is left.
    Done,
    /// Nothing is left of what a dead process left.
    Swept,
    /// Something is left.
    Failed,
}

/// Workspaces were destroyed.
pub fn wiped(wipe: Wipe, workspaces: u64) {
    let outcome = match wipe {
        Wipe::Done => "done",
        Wipe::Swept => "swept",
        Wipe::Failed => "failed",
    };
    list::WIPES.add(&[outcome], workspaces);
}

/// The workspace directory was swept.
pub fn swept() {
    list::SWEEPS.add(&[], 1);
}

/// A request was answered. `route` is the template, not the path.
pub fn http_request(route: &str, method: &str, status: &str, time: Duration) {
    let route = route_of(route);
    list::HTTP_REQUESTS.add(&[route, method_of(route, method), status], 1);
    if label::is_timed(route) {
        list::HTTP_REQUEST_SECONDS.observe(&[route], time.as_secs_f64());
    }
}

/// A client asked for the status of a job in this state.
pub fn polled(state: State) {
    list::POLLS.add(&[state.as_str()], 1);
}

/// A client stopped asking before the end of its job.
pub fn client_gave_up() {
    list::CLIENTS_GAVE_UP.add(&[], 1);
}

/// So many event streams are open.
pub fn streams(open: usize) {
    list::STREAMS.set(&[], open as f64);
}

/// A port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    /// [`crate::ports::ObjectStore`].
    Objects,
    /// [`crate::ports::JobStore`].
    Jobs,
    /// [`crate::ports::EventQueue`].
    Queue,
    /// [`crate::ports::AuditSink`] and [`crate::ports::Signer`].
    Audit,
}

/// A call of a port ended. `time` is `None` if it says nothing about the store.
pub fn store_called(store: Store, operation: &str, error: Option<&PortError>, time: Option<Duration>) {
    let store = match store {
        Store::Objects => "objects",
        Store::Jobs => "jobs",
        Store::Queue => "queue",
        Store::Audit => "audit",
    };
    let outcome = match error {
        None => "ok",
        Some(PortError::NotFound(_)) => "not_found",
        Some(PortError::Hidden(_)) => "hidden",
        Some(PortError::Precondition(_)) => "precondition",
        Some(PortError::Conflict(_)) => "conflict",
        Some(PortError::Unavailable { .. }) => "unavailable",
        Some(PortError::Unknown { .. }) => "unknown",
        Some(PortError::Refused { .. }) => "refused",
        Some(PortError::Damaged { .. }) => "damaged",
        Some(PortError::Corrupt { .. }) => "corrupt",
        Some(PortError::Newer(_)) => "newer",
    };
    list::STORE_CALLS.add(&[store, operation, outcome], 1);
    if let Some(time) = time {
        list::STORE_CALL_SECONDS.observe(&[store, operation], time.as_secs_f64());
    }
}

/// The queue of events has so many messages.
pub fn queue_messages(ready: u64, hidden: u64) {
    list::QUEUE_MESSAGES.set(&["events", "ready"], ready as f64);
    list::QUEUE_MESSAGES.set(&["events", "hidden"], hidden as f64);
}

/// The dead-letter queue has so many messages.
pub fn dead_letters(messages: u64) {
    list::QUEUE_MESSAGES.set(&["dead", "ready"], messages as f64);
}

/// The objects of an ended job were deleted, which was due for so long.
pub fn purged(delay: Millis) {
    list::PURGES.add(&["done"], 1);
    list::PURGE_DELAY_SECONDS.observe(&[], seconds(delay));
}

/// The objects of an ended job could not be deleted.
pub fn purge_failed() {
    list::PURGES.add(&["failed"], 1);
}

/// What became of the ledger of a deletion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EvidenceOutcome {
    /// It was written.
    Written,
    /// It could not be written, which is tried again.
    Failed,
    /// The record of the job ended before it could be written.
    Lost,
}

/// The ledger of a deletion was written, or not.
pub fn evidence(outcome: EvidenceOutcome) {
    let outcome = match outcome {
        EvidenceOutcome::Written => "written",
        EvidenceOutcome::Failed => "failed",
        EvidenceOutcome::Lost => "lost",
    };
    list::PURGE_LEDGERS.add(&[outcome], 1);
}

/// What a job is due for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DueKind {
    /// The deletion of its objects or of its record.
    Delete,
    /// An announcement to the workers, or the end of its wait for an upload.
    Wake,
}

/// The oldest job that is due for this has been so for so long; 0 if none is.
pub fn oldest_due(kind: DueKind, age: Millis) {
    let kind = match kind {
        DueKind::Delete => "delete",
        DueKind::Wake => "wake",
    };
    list::OLDEST_DUE_SECONDS.set(&[kind], seconds(age));
}

/// So many ended jobs have objects of which it is not known that they are deleted.
pub fn unconfirmed_purges(jobs: u64) {
    list::UNCONFIRMED_PURGES.set(&[], jobs as f64);
}

/// A dead letter of a job that had ended was deleted.
pub fn dead_letter_deleted() {
    list::DEAD_LETTERS_DELETED.add(&[], 1);
}

/// Whether a cleanup program is alive.
pub fn cleanup_attended(is_given: bool) {
    list::CLEANUP_ATTENDED.set(&[], f64::from(u8::from(is_given)));
}

/// The objects of so many jobs without a record were deleted.
pub fn orphans_deleted(jobs: u64) {
    list::ORPHANS.add(&[], jobs);
}

fn seconds(millis: Millis) -> f64 {
    Duration::from_millis(millis).as_secs_f64()
}

/// Names of the engines that are a value of their own.
pub fn known_engines() -> Vec<&'static str> {
    label::ENGINE.values()
}
