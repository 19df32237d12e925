//! The reaper: performs the due work of each job that no worker does.
//!
//! Each job stores when it needs attention again ([`crate::domain::job::Job::due`]). The reaper
//! queries the due jobs. It expires jobs whose upload never arrived, announces again jobs that no
//! worker claimed or whose worker died, and deletes the objects of ended jobs and finally their
//! records.
//!
//! Any number of reapers may run at once, and each may die at any point: every step is idempotent.
//! The reaper never claims a job; it only sends events.

pub mod orphans;

use crate::domain::failure::FailureCode;
use crate::domain::ids::{FileName, JobId, ObjectKey, Role};
use crate::domain::job::{Job, Millis, Object, State};
use crate::domain::state::Event;
use crate::domain::upload_event;
use crate::jobs::Jobs;
use crate::ports::job_store::Unreadable;
use crate::ports::{EventQueue, ObjectStore, PortError, PortResult};
use std::sync::Arc;

/// Maximum number of jobs per round.
pub const BATCH: u32 = 100;

/// How long an unreadable record is deferred, in milliseconds. By then a newer version may be able
/// to read it, or an operator may have repaired it.
pub const SET_ASIDE: Millis = 60 * 60 * 1000;

/// Pause between two rounds, which bounds how late due work starts.
const PAUSE: std::time::Duration = std::time::Duration::from_secs(5);

/// Performs due work.
#[derive(Clone)]
pub struct Cleanup {
    jobs: Jobs,
    objects: Arc<dyn ObjectStore>,
    queue: Arc<dyn EventQueue>,
    bucket: String,
}

/// Counts of one round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Round {
    /// Jobs whose upload did not arrive in time.
    pub expired: u64,
    /// Uploads that were announced to the workers again.
    pub announced: u64,
    /// Deleted objects, counting each version.
    pub objects: u64,
    /// Unfinished multipart uploads that were aborted.
    pub uploads: u64,
    /// Deleted records.
    pub records: u64,
    /// Jobs whose cleanup failed; they stay due.
    pub failed: u64,
    /// Unreadable records; they are due again in an hour.
    pub unreadable: u64,
}

impl Cleanup {
    /// Creates a reaper for these jobs.
    pub fn new(
        jobs: Jobs,
        objects: Arc<dyn ObjectStore>,
        queue: Arc<dyn EventQueue>,
        bucket: String,
    ) -> Self {
        Self { jobs, objects, queue, bucket }
    }

    /// Runs rounds forever.
    pub async fn run(self) {
        loop {
            match self.round().await {
                Ok(round) if round != Round::default() => tracing::info!(
                    expired = round.expired,
                    announced = round.announced,
                    objects = round.objects,
                    uploads = round.uploads,
                    records = round.records,
                    failed = round.failed,
                    unreadable = round.unreadable,
                    "cleanup finished"
                ),
                Ok(_) => {}
                Err(error) => tracing::warn!(error = %error, "could not list what is due"),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// One round.
    ///
    /// # Errors
    /// If the store cannot list the due jobs. A failure of a single job is logged and counted, and
    /// does not affect the others.
    pub async fn round(&self) -> PortResult<Round> {
        let mut round = Round::default();
        let due = self.jobs.store().due(self.jobs.clock().now(), BATCH).await?;
        self.set_aside(&due.unreadable, &mut round).await;
        for job in due.jobs {
            if let Err(error) = self.serve(job.id, &mut round).await {
                round.failed += 1;
                tracing::warn!(job.id = %job.id, error = %error, "the cleanup of a job failed");
            }
        }
        Ok(round)
    }

    /// Defers jobs whose record cannot be read. They are reported, and must not use up the batch of
    /// readable jobs.
    async fn set_aside(&self, records: &[Unreadable], round: &mut Round) {
        let Some(first) = records.first() else { return };
        tracing::error!(
            code = FailureCode::RecordUnreadable.as_str(),
            records = records.len(),
            job.id = %first.id,
            "records of jobs cannot be read; their files are not deleted, and they are asked for again in an hour"
        );
        let until = self.jobs.clock().now() + SET_ASIDE;
        for record in records {
            match self.jobs.store().set_aside(record, until).await {
                Ok(()) => round.unreadable += 1,
                Err(error) => {
                    round.failed += 1;
                    tracing::warn!(job.id = %record.id, error = %error, "could not defer an unreadable record");
                }
            }
        }
    }

    /// Performs what is due for a job. Decides on the record as it is now: the list of due jobs may
    /// lag, and the jobs before this one took their time. Another cleanup may have served the job,
    /// or its id may belong to a new job by now, whose upload must not be deleted.
    async fn serve(&self, id: JobId, round: &mut Round) -> PortResult<()> {
        let job = self.jobs.store().get(id).await?;
        let now = self.jobs.clock().now();
        let Some(job) = job.filter(|job| job.due.is_some_and(|due| due <= now)) else { return Ok(()) };
        // Nothing of a job that is counted is deleted: its record says that it must be freed.
        let job = &self.jobs.free(job).await?;
        match job.state {
            State::Pending | State::Processing => self.wake(job, round).await,
            _ if job.purges < 2 => self.purge(job, round).await,
            _ => {
                round.records += u64::from(self.jobs.store().delete(job.id, job.version).await?);
                Ok(())
            }
        }
    }

    /// Handles a job that made no progress in time.
    async fn wake(&self, job: &Job, round: &mut Round) -> PortResult<()> {
        let object = match &job.input {
            Some(object) => object.clone(),
            // By a listing: an answer that means "missing or not permitted" must not end a job
            // whose upload may be there.
            None => match self.objects.find(&upload_key(job.id, &job.order.file_name)).await {
                // The upload arrived but its event was lost.
                Ok(object) => object,
                // Nothing is sent. The event only counts the check, so that the next one is later.
                Err(PortError::NotFound(_)) if !self.jobs.is_too_late_for_upload(job) => {
                    self.jobs.send(job.id, &Event::Announced).await?;
                    return Ok(());
                }
                Err(PortError::NotFound(_)) => {
                    self.jobs.send(job.id, &Event::Expired).await?;
                    round.expired += 1;
                    tracing::info!(job.id = %job.id, "the upload did not arrive in time");
                    return Ok(());
                }
                Err(error) => return Err(error),
            },
        };
        self.announce(job, &object).await?;
        round.announced += 1;
        tracing::info!(job.id = %job.id, state = job.state.as_str(), "announced the job to the workers again");
        Ok(())
    }

    /// Sends the message before it records the event: a crash in between announces the job twice,
    /// and a duplicate changes nothing.
    async fn announce(&self, job: &Job, object: &Object) -> PortResult<()> {
        // Older than every real event, so that it never supersedes one.
        let sequencer = job.sequencer.as_deref().unwrap_or("00");
        let now = self.jobs.clock().now();
        let id = JobId::random().to_string();
        let body = upload_event::object_created(&self.bucket, object, sequencer, "Announced", &id, now);
        self.queue.send(&body).await?;
        self.jobs.send(job.id, &Event::Announced).await?;
        Ok(())
    }

    async fn purge(&self, job: &Job, round: &mut Round) -> PortResult<()> {
        let mut objects = 0;
        let mut uploads = 0;
        for role in [Role::Upload, Role::Processed] {
            let purged = self.objects.purge(role, job.id).await?;
            objects += purged.objects;
            uploads += purged.uploads;
        }
        self.jobs.send(job.id, &Event::Purged { before: job.purges }).await?;
        round.objects += objects;
        round.uploads += uploads;
        tracing::info!(job.id = %job.id, objects, uploads, "deleted the objects of an ended job");
        Ok(())
    }
}

/// The key that the client uploads this job's input to.
pub fn upload_key(id: JobId, file: &FileName) -> ObjectKey {
    ObjectKey::upload(id, file.clone())
}
