//! The cleanup: performs the due work of each job that no worker does.
//!
//! Each job stores when it needs attention again ([`crate::domain::job::Job::due`]). The cleanup
//! queries the jobs that are due, part by part ([`crate::domain::due`]). It expires jobs whose upload
//! never arrived, announces again jobs that no worker claimed or whose worker died, and deletes the
//! objects of ended jobs and finally their records.
//!
//! Any number of cleanup programs may run at once. They share the parts ([`crate::domain::crew`]), and
//! each may die at any point: every step is idempotent. What fails is tried again later and later, so
//! that it is not always the most overdue. The cleanup never claims a job; it only sends events.

pub mod attendance;
mod backlog;
pub mod crew;
pub mod dead_letters;
pub mod deletion;
pub mod evidence;
pub mod orphans;
pub mod residue;
mod round;
mod working;

pub use round::Round;

use crate::domain::due::{Part, Work};
use crate::domain::failure::FailureCode;
use crate::domain::ids::{FileName, JobId, ObjectKey};
use crate::domain::job::{Job, Millis, Object, State};
use crate::domain::state::{self, Event};
use crate::domain::upload_event;
use crate::jobs::{Change, Jobs};
use crate::metrics;
use crate::ports::job_store::Unreadable;
use crate::ports::{EventQueue, ObjectStore, PortError, PortResult};
use backlog::Backlog;
use crew::Membership;
use deletion::{Deleter, Try, within};
use evidence::Ledgers;
use futures_util::StreamExt;
use std::collections::HashSet;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use working::Working;

/// Maximum number of jobs in one page of a part.
pub const PAGE: u32 = 50;

/// Parts that are worked on at once.
const AT_ONCE: usize = 16;

/// Jobs of a part that are served at once: one whose requests hang keeps few others waiting. With the parts that a
/// pass begins with, 64 jobs, each of which makes two requests at a time: some 4,000 requests a second to a store
/// that answers in 30 ms, mostly listings, of which a prefix of Amazon S3 takes 5,500, and some 300 writes a second to
/// an index partition. After an interval, all parts that are left go on at once: after an outage a store may refuse
/// some of that, and those jobs come later.
const JOBS_AT_ONCE: usize = 4;

/// How long a try to serve a job may take. One that has more to delete goes on in the next try.
const TRY: Duration = Duration::from_secs(30);

/// How long tries that are under way may take after a stop. What one has deleted that does not end is in no evidence.
pub const STOP_WITHIN: Duration = Duration::from_secs(5);

/// Pages of a part in one pass. A part with more goes on in the next pass.
const PAGES: u32 = 20;

/// Pause before a page that has the same jobs again, because as many are due at the same millisecond: an index may
/// lag for seconds, and the pages of a pass must not be used up by that.
const BEHIND: Duration = Duration::from_secs(1);

/// How long a damaged record is deferred, in milliseconds. By then an operator may have repaired it.
pub const SET_ASIDE: Millis = 60 * 60 * 1000;

/// How long a record of another version is left to a program of that version, in milliseconds. During an
/// update such a program takes this part over within minutes, and the files of the job wait for it.
pub const LEFT: Millis = 60 * 1000;

/// Performs due work.
#[derive(Clone)]
pub struct Cleanup {
    jobs: Jobs,
    objects: Arc<dyn ObjectStore>,
    queue: Arc<dyn EventQueue>,
    bucket: String,
    deleter: Deleter,
    backlog: Backlog,
    limit: Duration,
    stops: Arc<AtomicBool>,
}

impl Cleanup {
    /// Creates a cleanup of these jobs.
    pub fn new(
        jobs: Jobs,
        objects: Arc<dyn ObjectStore>,
        queue: Arc<dyn EventQueue>,
        bucket: String,
        name: String,
    ) -> Self {
        let deleter = Deleter::new(jobs.clone(), Arc::clone(&objects), name);
        let (backlog, stops) = (Backlog::default(), Arc::default());
        Self { jobs, objects, queue, bucket, deleter, backlog, limit: TRY, stops }
    }

    /// The same, with the evidence of deletions in ledgers.
    #[must_use]
    pub fn with_ledgers(mut self, ledgers: Ledgers) -> Self {
        self.deleter = self.deleter.with_ledgers(ledgers);
        self
    }

    /// The same, with another limit of time for a try to serve a job than 30 s. Half of it is that of a
    /// listing of what is due, and of recording a failure.
    #[must_use]
    pub fn with_limit(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    /// Runs a pass at every interval of the membership until `stopped`, with a lease that other programs see. A
    /// part that takes longer goes on beside the next passes, which leave it out.
    pub async fn run(&self, membership: &Membership, stopped: impl Future<Output = ()>) {
        let (mut working, mut stopped) = (Working::default(), pin!(stopped));
        loop {
            let end = tokio::time::Instant::now() + membership.every();
            let pass = async {
                self.turn_until(membership, &mut working, Some(end)).await;
                tokio::time::sleep_until(end).await;
            };
            tokio::select! {
                () = pass => {}
                () = &mut stopped => break,
            }
        }
        self.stop();
        working.until(Some(tokio::time::Instant::now() + STOP_WITHIN)).await;
    }

    /// Begins with no other job. Those under way should be given [`STOP_WITHIN`].
    pub fn stop(&self) {
        self.stops.store(true, Ordering::Relaxed);
    }

    fn stops(&self) -> bool {
        self.stops.load(Ordering::Relaxed)
    }

    /// One pass over its share of the work, until all of it is done.
    pub async fn turn(&self, membership: &Membership) -> Round {
        self.turn_until(membership, &mut Working::default(), None).await
    }

    /// One pass over its share of the work, at most until this time.
    async fn turn_until(
        &self,
        membership: &Membership,
        working: &mut Working,
        end: Option<tokio::time::Instant>,
    ) -> Round {
        let parts = match membership.renew().await {
            Ok(parts) => parts,
            Err(error) => {
                tracing::warn!(error = %error, "could not renew the lease of the cleanup");
                return Round::default();
            }
        };
        self.backlog.begins(&parts);
        working.begin(&parts, AT_ONCE, |part| {
            let cleanup = self.clone();
            async move { cleanup.part(part).await }
        });
        let round = working.until(end).await;
        self.backlog.ends(round.overdue, self.jobs.clock().now());
        if !round.is_idle() {
            tracing::info!(
                expired = round.expired,
                announced = round.announced,
                objects = round.objects,
                uploads = round.uploads,
                records = round.records,
                failed = round.failed,
                unreadable = round.unreadable,
                newer = round.newer,
                unlisted = round.unlisted,
                "cleanup finished"
            );
        }
        round
    }

    /// One pass over all parts, without a lease.
    pub async fn round(&self) -> Round {
        self.pass(&Part::all().collect::<Vec<_>>()).await
    }

    /// One pass over these parts. A failure of a single job or a single part is logged and counted, and
    /// does not affect the others.
    pub async fn pass(&self, parts: &[Part]) -> Round {
        self.backlog.begins(parts);
        let mut rounds = futures_util::stream::iter(parts.iter().copied().map(|part| self.part(part)))
            .buffer_unordered(AT_ONCE);
        let mut all = Round::default();
        while let Some(round) = rounds.next().await {
            all.add(&round);
        }
        self.backlog.ends(all.overdue, self.jobs.clock().now());
        all
    }

    async fn part(&self, part: Part) -> Round {
        let mut round = Round::default();
        let began = self.jobs.clock().now();
        let is_whole = self.pages(part, &mut round).await;
        self.backlog.is_done(part, is_whole.then_some(began));
        round
    }

    /// Works on the pages of a part. Returns whether all that was due was listed.
    async fn pages(&self, part: Part, round: &mut Round) -> bool {
        // A page begins where the last one ended: the index may still list what was served a moment ago.
        let (mut known, mut from) = (HashSet::new(), 0);
        for page in 0..PAGES {
            if self.stops() {
                return false;
            }
            let now = self.jobs.clock().now();
            let mut due = match within(self.limit / 2, self.jobs.store().due(part, from..=now, PAGE)).await {
                Ok(due) => due,
                Err(error) => {
                    round.unlisted += 1;
                    tracing::warn!(part = %part, error = %error, "could not list what is due");
                    return false;
                }
            };
            if page == 0 {
                let first = due.jobs.iter().filter_map(|job| job.due).min().unwrap_or(now);
                let kind = usize::from(part.work == Work::Wake);
                round.overdue[kind] = round.overdue[kind].max(now.saturating_sub(first));
            }
            self.set_aside(part, &due.unreadable, round).await;
            due.jobs.retain(|job| known.insert(job.id));
            self.backlog.lists(part, due.jobs.iter().map(|job| (job.id, job.due.unwrap_or(now))));
            let tries = futures_util::stream::iter(due.jobs).map(|job| self.attempt(part, job));
            let mut served = tries.buffer_unordered(JOBS_AT_ONCE);
            while let Some(one) = served.next().await {
                round.add(&one);
            }
            let Some(next) = due.next else { return true };
            if std::mem::replace(&mut from, next) == next {
                tokio::time::sleep(BEHIND).await;
            }
        }
        false
    }

    /// Serves a job of this part, for as long as a try may take. What fails is tried again later.
    async fn attempt(&self, part: Part, listed: Job) -> Round {
        if self.stops() {
            return Round::default();
        }
        let (mut round, one) = (Round::default(), Try::new());
        let served = within(self.limit, self.serve(listed.id, &mut round, &one)).await;
        let purged = one.purged();
        round.objects += purged.objects;
        round.uploads += purged.uploads;
        if let Err(PortError::Newer(_)) = served {
            // Since it was listed. The next listing sets it aside.
            round.newer += 1;
            self.deleter.note(&listed, &one).await;
        } else if let Err(error) = served {
            round.failed += 1;
            tracing::warn!(job.id = %listed.id, trace_id = listed.trace_id(), error = %error, "the cleanup of a job failed");
            self.deleter.note(&listed, &one).await;
            let again = self.postpone(listed.id, !purged.is_nothing()).await;
            if part.work == Work::Delete && listed.purges < 2 {
                metrics::purge_failed();
                self.backlog.fails(listed.id, again);
            }
        }
        self.backlog.has_served(part, listed.id);
        round
    }

    /// Tries a job again later; returns when. If that cannot be recorded, it stays due.
    async fn postpone(&self, id: JobId, is_nearer: bool) -> Millis {
        let now = self.jobs.clock().now();
        let tried = async {
            let job = self.jobs.store().get(id).await?;
            let Some(job) = job.filter(|job| is_due(job, now)) else { return Ok(None) };
            let before = job.retry.map_or(0, |retry| retry.tries);
            self.jobs.send(id, &Event::Postponed { before, is_nearer }).await.map(|change| match change {
                Change::Done(job) | Change::Ignored(_, job) | Change::Denied(_, job) => job.due,
                Change::Missing => None,
            })
        };
        let due = within(self.limit / 2, tried).await.unwrap_or_else(|error| {
            tracing::warn!(job.id = %id, error = %error, "a job that failed could not be put off");
            None
        });
        due.unwrap_or(now)
    }

    /// Defers jobs whose record cannot be read. They are reported, and must not use up the page of
    /// readable jobs.
    async fn set_aside(&self, part: Part, records: &[Unreadable], round: &mut Round) {
        let of = |is_newer| records.iter().filter(move |record| record.is_newer == is_newer);
        if let Some(first) = of(false).next() {
            tracing::error!(
                code = FailureCode::RecordUnreadable.as_str(),
                records = of(false).count(),
                job.id = %first.id,
                "records of jobs cannot be read; their files are not deleted, and they are asked for again in an hour"
            );
        }
        if let Some(first) = of(true).next() {
            tracing::warn!(
                code = FailureCode::RecordUnreadable.as_str(),
                records = of(true).count(),
                job.id = %first.id,
                "another version of cadmill wrote records of jobs; they and their files are left to it"
            );
        }
        let now = self.jobs.clock().now();
        for record in records {
            let until = now + if record.is_newer { LEFT } else { SET_ASIDE };
            if part.work == Work::Delete
                && let Ok(id) = record.id.parse()
            {
                // Its files stay for as long.
                self.backlog.fails(id, until);
            }
            match within(self.limit / 2, self.jobs.store().set_aside(record, until)).await {
                Ok(()) if record.is_newer => round.newer += 1,
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
    ///
    /// It may end at any request, when its time is over: each act can be made again, and what was deleted
    /// is known of the try.
    async fn serve(&self, id: JobId, round: &mut Round, one: &Try) -> PortResult<()> {
        let job = self.jobs.store().get(id).await?;
        let now = self.jobs.clock().now();
        let Some(job) = job.filter(|job| is_due(job, now)) else { return Ok(()) };
        let job = self.freed(job, round).await?;
        // Another program may have served it meanwhile: a second deletion would be counted as the one that
        // is to come later.
        if !is_due(&job, now) {
            return Ok(());
        }
        match job.state {
            State::Pending | State::Processing => self.wake(&job, round, one).await,
            _ if !state::serves(&job, self.jobs.policy(), now) => {
                self.settle(job, round).await;
                Ok(())
            }
            // Evidence that is owed comes after the deletion, when the job is due for it again.
            _ if job.purges < 2 => self.purge(&job, round, one).await,
            _ => self.end_record(job, round).await,
        }
    }

    /// The job, which does not count against its owner's limit any more. Nothing of a job that is counted is
    /// deleted, because its record says that it must be freed, unless the counts are damaged: then files
    /// would stay for as long as they are.
    async fn freed(&self, job: Job, round: &mut Round) -> PortResult<Job> {
        match self.jobs.free(job.clone()).await {
            Err(error @ (PortError::Corrupt { .. } | PortError::Refused { .. }))
                if job.state.is_terminal() && job.purges < 2 =>
            {
                round.failed += 1;
                tracing::warn!(job.id = %job.id, trace_id = job.trace_id(), error = %error, "a job that has ended is still counted");
                Ok(job)
            }
            freed => freed,
        }
    }

    /// Writes evidence that is owed. If that fails, the job is not put off like others, because that would
    /// bring its next deletion forward.
    async fn settle(&self, job: Job, round: &mut Round) {
        let id = job.id;
        match self.deleter.settle(job).await {
            Ok(job) => round.failed += u64::from(job.owed.is_some()),
            Err(error) => {
                round.failed += 1;
                tracing::warn!(job.id = %id, error = %error, "the evidence of a deletion could not be recorded");
            }
        }
    }

    /// Deletes everything of a job that has ended.
    async fn purge(&self, job: &Job, round: &mut Round, one: &Try) -> PortResult<()> {
        let is_owed = self.deleter.delete_and_record(job, one).await?;
        self.backlog.succeeds(job.id);
        round.failed += u64::from(is_owed);
        Ok(())
    }

    /// Deletes the record of a job, after a last try to write the evidence that it owes. Records end at
    /// their time, whatever happens to the ledgers.
    async fn end_record(&self, job: Job, round: &mut Round) -> PortResult<()> {
        let created = job.times.created;
        let job = if job.owed.is_some() { self.deleter.settle(job).await? } else { job };
        // Meanwhile another program may have deleted the record, and a client used the id again.
        if !job.state.is_terminal() || job.purges < 2 || job.times.created != created {
            return Ok(());
        }
        // Before the record is gone: rather twice than never.
        self.deleter.give_up(&job);
        round.records += u64::from(self.jobs.store().delete(&job).await?);
        Ok(())
    }

    /// Handles a job that made no progress in time.
    async fn wake(&self, job: &Job, round: &mut Round, one: &Try) -> PortResult<()> {
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
                Err(PortError::NotFound(_)) => return self.expire(job, round, one).await,
                Err(error) => return Err(error),
            },
        };
        self.announce(job, &object).await?;
        round.announced += 1;
        tracing::info!(job.id = %job.id, trace_id = job.trace_id(), state = job.state.as_str(), "announced the job to the workers again");
        Ok(())
    }

    /// Ends a job whose upload did not arrive in time, and deletes what there is of one in parts: that has
    /// waited for long enough.
    async fn expire(&self, job: &Job, round: &mut Round, one: &Try) -> PortResult<()> {
        // If the upload was reported a moment ago, the job goes on.
        let Change::Done(job) = self.jobs.send(job.id, &Event::Expired).await? else { return Ok(()) };
        round.expired += 1;
        tracing::info!(job.id = %job.id, trace_id = job.trace_id(), "the upload did not arrive in time");
        let job = self.freed(*job, round).await?;
        // Once it has expired another part of the work deletes it as well.
        if !is_due(&job, self.jobs.clock().now()) {
            return Ok(());
        }
        self.purge(&job, round, one).await
    }

    /// Sends the message before it records the event: a crash in between announces the job twice,
    /// and a duplicate changes nothing.
    async fn announce(&self, job: &Job, object: &Object) -> PortResult<()> {
        // Older than every real event, so that it never supersedes one.
        let sequencer = job.sequencer.as_deref().unwrap_or("00");
        let now = self.jobs.clock().now();
        let id = JobId::random().to_string();
        let body = upload_event::object_created(&self.bucket, object, sequencer, "Announced", &id, now);
        let body = upload_event::traced(body, job.trace.as_ref());
        self.queue.send(&body).await?;
        self.jobs.send(job.id, &Event::Announced).await?;
        Ok(())
    }
}

/// The key that the client uploads this job's input to.
pub fn upload_key(id: JobId, file: &FileName) -> ObjectKey {
    ObjectKey::upload(id, file.clone())
}

fn is_due(job: &Job, now: Millis) -> bool {
    job.due.is_some_and(|due| due <= now)
}
