//! The cleanup on real stores and with a manual clock.

mod endings;
mod faults;
mod fixture;
mod limits;
mod live;
mod many;
mod memory;
mod turns;
mod versions;

use bytes::Bytes;
use cadmill_core::cleanup::*;
use cadmill_core::domain::due::{Part, Work};
use cadmill_core::domain::failure::FailureCode;
use cadmill_core::domain::ids::{JobId, ObjectKey, Role};
use cadmill_core::domain::job::JobFailure;
use cadmill_core::domain::job::{Job, Millis, Object, State};
use cadmill_core::domain::quota::Quota;
use cadmill_core::domain::state::{Decision, Event, Policy, apply};
use cadmill_core::domain::upload_event;
use cadmill_core::domain::upload_event::UploadEvent;
use cadmill_core::jobs::Jobs;
use cadmill_core::ports::Clock;
use cadmill_core::ports::job_store::Replaced;
use cadmill_core::ports::{EventQueue, ObjectStore, PortError};
use cadmill_stores::adapters::aws::s3::S3Store;
use cadmill_stores::adapters::embedded::{Database, EmbeddedS3};
use cadmill_stores::adapters::faulty::{Fault, FaultyJobs, FaultyObjects, FaultyQueue, Script};
use cadmill_stores::adapters::restricted::RestrictedObjects;
use cadmill_stores::conformance::iam::Resources;
use cadmill_stores::conformance::iam::policy::Policy as Permissions;
use cadmill_stores::conformance::job_store::{new_job, new_owner};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

struct ManualClock(AtomicU64);

impl Clock for ManualClock {
    fn now(&self) -> Millis {
        self.0.load(Ordering::Relaxed)
    }
}

struct World {
    clock: Arc<ManualClock>,
    database: Database,
    objects: Arc<S3Store>,
    queue: Arc<dyn EventQueue>,
    server: EmbeddedS3,
    data: tempfile::TempDir,
}

/// Scripts of faults for the three ports.
#[derive(Default)]
struct Scripts {
    jobs: Script,
    objects: Script,
    queue: Script,
}

const POLICY: Policy = Policy {
    max_attempts: 3,
    upload_window: 1_000_000,
    lease: 10_000,
    redeliver: 100_000,
    retention: 500_000,
    linger: 300_000,
    record: 9_000_000,
};

impl World {
    async fn new() -> Self {
        let data = tempfile::tempdir().unwrap();
        let database = Database::open(&data.path().join("jobs.sqlite"), 100).unwrap();
        let queue: Arc<dyn EventQueue> = Arc::new(database.queue());
        let server = EmbeddedS3::start(data.path(), ([127, 0, 0, 1], 0).into(), Arc::clone(&queue), &[])
            .await
            .unwrap();
        let objects = Arc::new(S3Store::new(server.settings()).await);
        let clock = Arc::new(ManualClock(AtomicU64::new(1_000_000_000)));
        Self { clock, database, objects, queue, server, data }
    }

    fn pass(&self, millis: Millis) {
        self.clock.0.fetch_add(millis, Ordering::Relaxed);
    }

    fn jobs(&self, script: Script) -> Jobs {
        let store = FaultyJobs::new(Arc::new(self.database.jobs()), script);
        Jobs::new(Arc::new(store), Arc::clone(&self.clock) as Arc<dyn Clock>, POLICY)
    }

    async fn create(&self) -> Job {
        self.create_as(JobId::random()).await
    }

    async fn create_as(&self, id: JobId) -> Job {
        let order = new_job(&new_owner(), 1).order;
        self.jobs(Script::new()).create(id, order).await.unwrap().0
    }

    /// Uploads, and takes the resulting event out of the queue.
    async fn upload(&self, job: &Job) -> Object {
        let key = upload_key(job.id, &job.order.file_name);
        self.put(&key).await;
        let events = self.events(Duration::from_secs(20)).await;
        assert_eq!(events.iter().map(|event| event.job).collect::<Vec<_>>(), [job.id]);
        self.objects.head(&key).await.unwrap()
    }

    async fn put(&self, key: &ObjectKey) {
        self.objects.put(key, Bytes::from_static(b"content")).await.unwrap();
    }

    async fn send(&self, id: JobId, event: Event) {
        let change = self.jobs(Script::new()).send(id, &event).await.unwrap();
        assert!(matches!(change, cadmill_core::jobs::Change::Done(_)), "{change:?}");
    }

    /// A job that has been uploaded and claimed, and its result.
    async fn claimed(&self) -> (Job, Object) {
        self.claimed_as(JobId::random()).await
    }

    async fn claimed_as(&self, id: JobId) -> (Job, Object) {
        let job = self.create_as(id).await;
        let object = self.upload(&job).await;
        self.send(job.id, Event::Uploaded { object, sequencer: "7".to_owned(), at: None }).await;
        self.send(job.id, Event::Claimed { worker: "one".to_owned(), revision: 1, dead: None }).await;
        let key = ObjectKey::processed(job.id, 1, "plan.dxf".parse().unwrap());
        self.put(&key).await;
        (self.get(job.id).await.unwrap(), self.objects.head(&key).await.unwrap())
    }

    async fn completed(&self) -> (JobId, ObjectKey) {
        self.completed_as(JobId::random()).await
    }

    async fn completed_as(&self, id: JobId) -> (JobId, ObjectKey) {
        let (job, output) = self.claimed_as(id).await;
        let key = output.key.clone();
        self.send(job.id, Event::Completed { attempt: 1, output }).await;
        (job.id, key)
    }

    async fn get(&self, id: JobId) -> Option<Job> {
        self.jobs(Script::new()).store().get(id).await.unwrap()
    }

    /// Takes the events that are in the queue.
    async fn events(&self, wait: Duration) -> Vec<UploadEvent> {
        let mut notices = Vec::new();
        let mut wait = wait;
        loop {
            let messages = self.queue.receive(10, wait, Duration::from_secs(60)).await.unwrap();
            if messages.is_empty() {
                return notices;
            }
            for message in messages {
                notices.extend(upload_event::parse(&message.body).unwrap());
                self.queue.delete(&message).await.unwrap();
            }
            wait = Duration::ZERO;
        }
    }

    async fn announced(&self) -> Vec<JobId> {
        self.events(Duration::ZERO).await.into_iter().map(|event| event.job).collect()
    }

    async fn has(&self, key: &ObjectKey) -> bool {
        match self.objects.head(key).await {
            Ok(_) => true,
            Err(PortError::NotFound(_)) => false,
            Err(error) => panic!("{error}"),
        }
    }

    async fn round(&self) -> Round {
        self.round_with(Scripts::default()).await
    }

    async fn round_with(&self, scripts: Scripts) -> Round {
        let objects = Arc::new(FaultyObjects::new(Arc::clone(&self.objects) as _, scripts.objects));
        let queue = Arc::new(FaultyQueue::new(Arc::clone(&self.queue), scripts.queue));
        let bucket = self.server.bucket().to_owned();
        timeless(timeless(
            Cleanup::new(self.jobs(scripts.jobs), objects, queue, bucket, "test".to_owned()).round().await,
        ))
    }

    /// A round with the permissions of the policy and no others.
    async fn round_under(&self, policy: Permissions) -> Round {
        let bucket = format!("arn:aws:s3:::{}", self.server.bucket());
        let objects = RestrictedObjects::new(Arc::clone(&self.objects) as _, &bucket, vec![policy]);
        let (queue, bucket) = (Arc::clone(&self.queue), self.server.bucket().to_owned());
        timeless(
            Cleanup::new(self.jobs(Script::new()), Arc::new(objects), queue, bucket, "test".to_owned())
                .round()
                .await,
        )
    }

    fn policy(&self, program: &str) -> Permissions {
        Resources::named(self.server.bucket(), "jobs", "events", "dead").policy(program)
    }

    /// Checks that nothing is done until this much time has passed.
    async fn not_before(&self, millis: Millis) {
        self.pass(millis - 1);
        assert_eq!(self.round().await, Round::default());
        self.pass(1);
    }
}

/// Without how long the work was due.
fn timeless(round: Round) -> Round {
    Round { overdue: [0; 2], ..round }
}

/// Every write of a record fails, however often it is retried.
fn no_writes() -> Script {
    (1..=100).fold(Script::new(), |script, call| script.on("replace", call, Fault::Fail))
}

const NOTHING: Round = Round {
    expired: 0,
    announced: 0,
    objects: 0,
    uploads: 0,
    records: 0,
    failed: 0,
    unreadable: 0,
    newer: 0,
    unlisted: 0,
    overdue: [0; 2],
};

#[tokio::test]
async fn a_job_without_upload_expires_and_is_forgotten() {
    let world = World::new().await;
    let id = world.create().await.id;
    world.not_before(POLICY.upload_window).await;
    assert_eq!(world.round().await, Round { expired: 1, ..NOTHING });
    // There is nothing to delete; that is checked once at once, and once when no URL is valid any
    // more.
    let job = world.get(id).await.unwrap();
    assert_eq!((job.state, job.purges), (State::Expired, 1));
    assert_eq!(world.round().await, NOTHING);
    world.not_before(POLICY.linger).await;
    assert_eq!(world.round().await, NOTHING);
    assert_eq!(world.get(id).await.unwrap().purges, 2);
    world.not_before(POLICY.record - POLICY.linger).await;
    assert_eq!(world.round().await, Round { records: 1, ..NOTHING });
    assert_eq!(world.get(id).await, None);
    assert_eq!(world.announced().await, []);
}

#[tokio::test]
async fn an_upload_whose_event_was_lost_is_announced_and_announced_again() {
    let world = World::new().await;
    let job = world.create().await;
    world.upload(&job).await;
    world.not_before(POLICY.redeliver).await;
    for pause in [2, 4] {
        assert_eq!(world.round().await, Round { announced: 1, ..NOTHING });
        assert_eq!(world.get(job.id).await.unwrap().state, State::Pending);
        let events = world.events(Duration::ZERO).await;
        let [event] = events.as_slice() else { panic!("{events:?}") };
        assert_eq!((event.job, event.bucket.as_str()), (job.id, world.server.bucket()));
        world.not_before(pause * POLICY.redeliver).await;
    }
}

#[tokio::test]
async fn what_no_worker_takes_and_what_a_dead_worker_left_is_announced() {
    let world = World::new().await;
    let waiting = world.create().await;
    let object = world.upload(&waiting).await;
    world.send(waiting.id, Event::Uploaded { object, sequencer: "7".to_owned(), at: None }).await;
    world.not_before(POLICY.redeliver).await;
    assert_eq!(world.round().await, Round { announced: 1, ..NOTHING });
    assert_eq!(world.announced().await, [waiting.id]);

    let (left, _) = world.claimed().await;
    world.not_before(3 * POLICY.lease).await;
    assert_eq!(world.round().await, Round { announced: 1, ..NOTHING });
    assert_eq!(world.announced().await, [left.id]);
    // The cleanup announces the job but takes no lease away: the worker may still be alive.
    let job = world.get(left.id).await.unwrap();
    assert_eq!((job.state, job.attempt, job.lease), (State::Processing, 1, left.lease));
}

#[tokio::test]
async fn a_result_that_nobody_fetches_is_deleted_with_all_that_came_later() {
    let world = World::new().await;
    let (id, result) = world.completed().await;
    // The output of a stale attempt, and a multipart upload that was never completed.
    let stale = ObjectKey::processed(id, 2, "plan.dxf".parse().unwrap());
    world.put(&stale).await;
    let upload = world.objects.begin_multipart(&stale).await.unwrap();
    world.objects.put_part(&stale, &upload, 1, Bytes::from_static(b"part")).await.unwrap();

    world.not_before(POLICY.retention).await;
    assert!(world.has(&result).await);
    assert_eq!(world.round().await, Round { objects: 3, uploads: 1, ..NOTHING });
    assert!(!world.has(&result).await && !world.has(&stale).await);

    // Written with a URL that was still valid, or by a worker considered dead.
    world.put(&stale).await;
    world.not_before(POLICY.linger).await;
    assert_eq!(world.round().await, Round { objects: 1, ..NOTHING });
    assert!(!world.has(&stale).await);
    assert_eq!(world.get(id).await.unwrap().state, State::Completed, "the record says what was");
}

#[tokio::test]
async fn what_has_been_fetched_or_has_failed_is_deleted_at_once() {
    let world = World::new().await;
    let (id, result) = world.completed().await;
    world.send(id, Event::Dismissed).await;
    assert_eq!(world.round().await, Round { objects: 2, ..NOTHING });
    assert!(!world.has(&result).await);

    let (job, partial) = world.claimed().await;
    let failure = JobFailure { code: FailureCode::EngineRejected, message: "no".to_owned(), at: None };
    world.send(job.id, Event::Failed { attempt: 1, failure }).await;
    assert_eq!(world.round().await, Round { objects: 2, ..NOTHING });
    assert!(!world.has(&partial.key).await);
}

/// If a step fails, the job stays due, and the next round retries.
#[tokio::test]
async fn what_fails_is_done_in_the_next_round() {
    let world = World::new().await;
    let (id, result) = world.completed().await;
    world.send(id, Event::Dismissed).await;
    let first = || Script::new().on("purge", 1, Fault::Fail);
    let both = || first().on("purge", 2, Fault::Fail);
    // Each time it is tried again later, and soon if less is left: the upload, after the result is gone.
    for (objects, deleted, pause) in [(first(), 1, 10_000), (both(), 0, 20_000), (both(), 0, 40_000)] {
        let round = world.round_with(Scripts { objects, ..Scripts::default() }).await;
        assert_eq!(round, Round { objects: deleted, failed: 1, ..NOTHING });
        world.not_before(pause).await;
    }
    // Deleted, but recording that failed: it is deleted once more.
    let jobs = no_writes();
    assert_eq!(world.round_with(Scripts { jobs, ..Scripts::default() }).await.failed, 1);
    assert!(!world.has(&result).await);
    assert_eq!(world.get(id).await.unwrap().purges, 0);
    assert_eq!(world.round().await.failed, 0);
    let job = world.get(id).await.unwrap();
    assert_eq!((job.purges, job.retry, job.unconfirmed.len()), (1, None, 0), "it begins anew");
    // The upload is not among them: nothing could be written when it was deleted.
    assert_eq!(job.deletions[0].objects, 1, "the result, which the first try deleted");

    // A job whose objects cannot be deleted does not block the others.
    let (one, _) = world.completed().await;
    let (two, _) = world.completed().await;
    for id in [one, two] {
        world.send(id, Event::Dismissed).await;
    }
    let round = world.round_with(Scripts { objects: first(), ..Scripts::default() }).await;
    assert_eq!((round.failed, round.objects), (1, 3));
}

#[tokio::test]
async fn an_announcement_that_fails_is_made_again_and_a_double_one_is_a_duplicate() {
    let world = World::new().await;
    let job = world.create().await;
    let object = world.upload(&job).await;
    world.send(job.id, Event::Uploaded { object, sequencer: "7".to_owned(), at: None }).await;
    world.pass(POLICY.redeliver);
    let queue = Script::new().on("send", 1, Fault::Fail);
    assert_eq!(
        world.round_with(Scripts { queue, ..Scripts::default() }).await,
        Round { failed: 1, ..NOTHING }
    );
    assert_eq!(world.announced().await, []);
    world.not_before(10_000).await;
    // Announced, but recording that failed: announced once more, with the same sequencer.
    let jobs = no_writes();
    assert_eq!(world.round_with(Scripts { jobs, ..Scripts::default() }).await.failed, 1);
    assert_eq!(world.round().await, Round { announced: 1, ..NOTHING });
    let events = world.events(Duration::ZERO).await;
    assert_eq!(events.len(), 2);
    assert!(events.iter().all(|event| event.job == job.id && event.sequencer == "7"), "{events:?}");
    assert_eq!(world.round().await, NOTHING);
}

/// While a cleanup is busy with one job, another cleanup deletes the record of the next, and a client
/// uses its id again.
#[tokio::test]
async fn a_job_that_has_the_id_of_one_that_was_due_keeps_its_upload() {
    let world = World::new().await;
    // In one part, and more than are served at once, so that the last is served after the others.
    let (first, _) = world.completed().await;
    let part = Part::with(Work::Delete, first);
    let is_of_part = |id: &JobId| Part::with(Work::Delete, *id) == part;
    let mut ids = vec![first];
    for id in std::iter::repeat_with(JobId::random).filter(is_of_part).take(4) {
        ids.push(world.completed_as(id).await.0);
    }
    let second = ids[4];
    for id in ids {
        world.send(id, Event::Dismissed).await;
        world.pass(1);
    }
    // Each in two places.
    let slow = |script: Script, call| script.on("purge", call, Fault::Delay(Duration::from_secs(2)));
    let objects = (1..=8).fold(Script::new(), slow);
    let replaced = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let old = world.get(second).await.unwrap();
        let store = world.jobs(Script::new());
        world.objects.purge(Role::Upload, second).await.unwrap();
        assert!(store.store().delete(&old).await.unwrap());
        let (job, is_new) = store.create(second, old.order).await.unwrap();
        assert!(is_new);
        let key = upload_key(second, &job.order.file_name);
        world.put(&key).await;
        key
    };
    let round = world.round_with(Scripts { objects, ..Scripts::default() });
    let (round, key) = futures_util::future::join(round, replaced).await;
    assert_eq!((round.failed, round.objects), (0, 8), "the objects of the other jobs only");
    assert!(world.has(&key).await, "the upload of a new job was deleted");
    assert_eq!(world.get(second).await.unwrap().state, State::Pending);
}

#[tokio::test]
async fn two_cleanups_at_once_do_no_harm() {
    let world = World::new().await;
    let mut jobs = Vec::new();
    for _ in 0..5 {
        jobs.push(world.create().await.id);
    }
    world.pass(POLICY.upload_window);
    let (one, two) = futures_util::future::join(world.round(), world.round()).await;
    assert_eq!((one.failed, two.failed), (0, 0));
    for id in jobs {
        let job = world.get(id).await.unwrap();
        // One of them may have found the job expired by the other, and deleted what it had.
        assert!(job.state == State::Expired && job.purges <= 1, "{job:?}");
    }
}

/// More unreadable records than a round processes, all of them due before the readable ones.
#[tokio::test]
async fn unreadable_records_keep_nothing_else_from_being_deleted() {
    let world = World::new().await;
    let mut spoilt = Vec::new();
    for _ in 0..150 {
        spoilt.push(world.create().await.id);
    }
    let path = world.data.path().join("jobs.sqlite");
    let raw = rusqlite::Connection::open(path).unwrap();
    for id in &spoilt {
        raw.execute("UPDATE jobs SET record = '{}', due = 1 WHERE id = ?1", [id.to_string()]).unwrap();
    }
    let (job, key) = world.completed().await;
    world.send(job, Event::Dismissed).await;
    world.pass(POLICY.linger);
    let round = world.round().await;
    assert_eq!((round.unreadable, round.objects, round.failed), (150, 2, 0), "{round:?}");
    assert!(matches!(world.objects.head(&key).await, Err(PortError::NotFound(_))));
    // They are left alone for an hour, and nothing of them is lost.
    assert_eq!(world.round().await.unreadable, 0);
    world.pass(SET_ASIDE);
    assert_eq!(world.round().await.unreadable, 150);
    let count: i64 =
        raw.query_row("SELECT count(*) FROM jobs WHERE record = '{}'", [], |row| row.get(0)).unwrap();
    assert_eq!(count, 150);
}

/// Objects without a record are deleted when their time is over; those of a job that has a
/// record, or gets it back, are not.
#[tokio::test(flavor = "multi_thread")]
async fn orphans_are_deleted_after_their_time() {
    use cadmill_core::cleanup::orphans::{Orphaned, Orphans};
    use std::time::Instant;
    let world = World::new().await;
    let (kept, lost) = (world.create().await, world.create().await);
    for job in [&kept, &lost] {
        world.put(&upload_key(job.id, &job.order.file_name)).await;
        world.put(&ObjectKey::processed(job.id, 1, "plan.dxf".parse().unwrap())).await;
    }
    let begun = ObjectKey::upload(JobId::random(), "parts.zip".parse().unwrap());
    world.objects.begin_multipart(&begun).await.unwrap();
    let store = world.jobs(Script::new());
    assert!(store.store().delete(&lost).await.unwrap());

    let list = world.server.jobs();
    let present = list().await.unwrap();
    assert_eq!(present.len(), 3, "{present:?}");
    let objects: Arc<dyn ObjectStore> = world.objects.clone();
    let mut orphans = Orphans::new(store, objects, Duration::from_secs(100));
    let start = Instant::now();
    let mut round = async |seconds| {
        let present = list().await.unwrap();
        orphans.round(&present, start + Duration::from_secs(seconds)).await.unwrap()
    };
    assert_eq!(round(0).await, Orphaned { found: 2, deleted: 0 });
    assert_eq!(round(99).await, Orphaned::default());
    assert_eq!(round(100).await, Orphaned { found: 0, deleted: 2 });
    assert_eq!(round(300).await, Orphaned::default());
    assert_eq!(list().await.unwrap(), [kept.id]);
    world.objects.head(&upload_key(kept.id, &kept.order.file_name)).await.unwrap();
}

/// One that cannot be deleted does not keep those after it.
#[tokio::test(flavor = "multi_thread")]
async fn an_orphan_that_cannot_be_deleted_keeps_no_other() {
    use cadmill_core::cleanup::orphans::Orphans;
    use std::time::Instant;
    let world = World::new().await;
    let mut keys = Vec::new();
    for _ in 0..2 {
        let key = ObjectKey::upload(JobId::random(), "plan.zip".parse().unwrap());
        world.put(&key).await;
        keys.push(key);
    }
    let present = world.server.jobs()().await.unwrap();
    let script = Script::new().on("purge", 1, Fault::Fail);
    let objects = Arc::new(FaultyObjects::new(Arc::clone(&world.objects) as _, script));
    let mut orphans = Orphans::new(world.jobs(Script::new()), objects, Duration::ZERO);
    assert!(orphans.round(&present, Instant::now()).await.is_err());
    assert_eq!(world.server.jobs()().await.unwrap(), present[..1]);
    assert_eq!(orphans.round(&present[..1], Instant::now()).await.unwrap().deleted, 1);
    assert_eq!(world.server.jobs()().await.unwrap(), []);
}

/// Without the right to list, or with that of a worker, it is not known whether an upload is there:
/// no job expires, and the upload of each is kept.
#[tokio::test]
async fn a_cleanup_that_may_not_list_ends_no_job() {
    let world = World::new().await;
    let (missing, there) = (world.create().await, world.create().await);
    world.upload(&there).await;
    world.pass(POLICY.upload_window);
    let blind = world.policy("cleanup").without("FindObjects", "s3:ListBucketVersions");
    for policy in [blind, world.policy("worker")] {
        assert_eq!(world.round_under(policy).await, Round { failed: 2, ..NOTHING });
        for job in [&missing, &there] {
            assert_eq!(world.get(job.id).await.unwrap().state, State::Pending);
        }
        world.pass(20_000);
    }
    // The document grants enough, and needs no right to read.
    let round = world.round_under(world.policy("cleanup")).await;
    assert_eq!(round, Round { expired: 1, announced: 1, ..NOTHING });
    assert_eq!(world.get(missing.id).await.unwrap().state, State::Expired);
    assert!(world.has(&upload_key(there.id, &there.order.file_name)).await);
}

/// What may not be deleted stays due, and is deleted when it may.
#[tokio::test]
async fn a_purge_that_is_refused_is_made_later() {
    let world = World::new().await;
    let (job, key) = world.completed().await;
    world.send(job, Event::Dismissed).await;
    let refused = world.policy("cleanup").without("DeleteObjects", "s3:DeleteObject");
    assert_eq!(world.round_under(refused).await, Round { failed: 1, ..NOTHING });
    assert!(world.has(&key).await);
    world.pass(10_000);
    assert_eq!(world.round_under(world.policy("cleanup")).await, Round { objects: 2, ..NOTHING });
    assert!(!world.has(&key).await);
}

/// What cannot be deleted in one place keeps nothing in the other.
#[tokio::test]
async fn an_upload_that_cannot_be_deleted_keeps_no_result() {
    let world = World::new().await;
    let (job, key) = world.completed().await;
    world.send(job, Event::Dismissed).await;
    let failing = Scripts { objects: Script::new().on("purge", 1, Fault::Fail), ..Scripts::default() };
    assert_eq!(world.round_with(failing).await.failed, 1);
    assert!(!world.has(&key).await, "the result");
    assert_eq!(world.get(job).await.unwrap().purges, 0, "the upload is left");
}

/// The process that recorded the end died before it freed the place of the job.
#[tokio::test]
async fn the_place_of_a_job_that_has_ended_is_freed_before_anything_is_deleted() {
    let world = World::new().await;
    let jobs = world.jobs(Script::new()).with_quota(Quota { jobs: 1, bytes: u64::MAX });
    let order = new_job(&new_owner(), 1).order;
    let owner = order.owner.clone();
    let (job, _) = jobs.create(JobId::random(), order.clone()).await.unwrap();
    let Decision::Accept(ended) = apply(&job, &Event::Cancelled, &POLICY, world.clock.now()) else {
        panic!()
    };
    assert_eq!(jobs.store().replace(&ended).await, Ok(Replaced::Done));
    assert!(jobs.create(JobId::random(), order.clone()).await.is_err(), "it is counted");

    let script = (1..=cadmill_core::jobs::ROUNDS)
        .fold(Script::new(), |script, round| script.on("replace", round, Fault::Fail));
    let failing = Scripts { jobs: script, ..Scripts::default() };
    let round = world.round_with(failing).await;
    assert_eq!(round.failed, 1);
    let there = world.get(job.id).await.unwrap();
    assert_eq!(there.purges, 0, "nothing was deleted: {there:?}");
    world.pass(10_000);
    for _ in 0..2 {
        world.round().await;
        let usage = jobs.store().usage(&owner).await.unwrap().unwrap();
        assert_eq!((usage.jobs, usage.bytes), (0, 0));
    }
    let there = world.get(job.id).await.unwrap();
    assert_eq!((there.counted, there.purges), (None, 1));
    assert!(jobs.create(JobId::random(), order).await.is_ok());
}
