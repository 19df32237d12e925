//! Deletions are in signed ledgers, whatever fails; and nothing that fails keeps files from being
//! deleted, or records from ending.

use bytes::Bytes;
use cadmill_core::cleanup::deletion::Deleter;
use cadmill_core::cleanup::evidence::{Keeper, Ledgers, Writer};
use cadmill_core::cleanup::{Cleanup, Round};
use cadmill_core::domain::due::{Part, Work};
use cadmill_core::domain::failure::{Failure, FailureCode};
use cadmill_core::domain::ids::{JobId, ObjectKey};
use cadmill_core::domain::job::{Evidence, Job, Millis};
use cadmill_core::domain::ledger::record::Purge;
use cadmill_core::domain::ledger::verify::{Audit, Verdict, verify};
use cadmill_core::domain::ledger::{LedgerId, PublicKey};
use cadmill_core::domain::state::{Event, Policy};
use cadmill_core::jobs::Jobs;
use cadmill_core::ledger::LocalSigner;
use cadmill_core::ports::{AuditSink, Clock, EventQueue, ObjectStore, PortError, PortResult, Signer};
use cadmill_stores::adapters::aws::s3::S3Store;
use cadmill_stores::adapters::embedded::{Database, EmbeddedS3};
use cadmill_stores::adapters::faulty::{Fault, FaultyAudit, FaultyJobs, FaultyObjects, Script};
use cadmill_stores::adapters::ledger::FileAudit;
use cadmill_stores::conformance::audit_sink::signer;
use cadmill_stores::conformance::job_store::{new_job, new_owner};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const POLICY: Policy = Policy {
    max_attempts: 3,
    upload_window: 1_000_000,
    lease: 10_000,
    redeliver: 100_000,
    retention: 500_000,
    linger: 300_000,
    record: 604_800_000,
};

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
    _server: EmbeddedS3,
    sink: Arc<FileAudit>,
    signer: Arc<LocalSigner>,
    _data: tempfile::TempDir,
}

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
        let sink = Arc::new(FileAudit::new(&data.path().join("audit")).unwrap());
        let signer = Arc::new(signer());
        Self { clock, database, objects, queue, _server: server, sink, signer, _data: data }
    }

    fn pass(&self, millis: Millis) {
        self.clock.0.fetch_add(millis, Ordering::Relaxed);
    }

    fn jobs(&self, script: Script) -> Jobs {
        let store = FaultyJobs::new(Arc::new(self.database.jobs()), script);
        Jobs::new(Arc::new(store), Arc::clone(&self.clock) as Arc<dyn Clock>, POLICY)
    }

    /// A cleanup whose calls of the sink follow this script.
    fn cleanup(&self, sink: Script) -> Cleanup {
        self.cleanup_with(Script::new(), self.ledgers(sink))
    }

    fn cleanup_with(&self, jobs: Script, ledgers: Ledgers) -> Cleanup {
        let (objects, queue) = (Arc::clone(&self.objects) as _, Arc::clone(&self.queue));
        Cleanup::new(self.jobs(jobs), objects, queue, "b".to_owned(), "cleanup".to_owned())
            .with_ledgers(ledgers)
    }

    fn ledgers(&self, script: Script) -> Ledgers {
        let sink = FaultyAudit::new(Arc::clone(&self.sink) as _, script);
        Ledgers::Here(Writer::new(Arc::new(sink), Some(Arc::clone(&self.signer) as _)))
    }

    /// A job that was cancelled before its upload was used, and the key of that.
    async fn ended(&self) -> (JobId, ObjectKey) {
        self.ended_as(JobId::random()).await
    }

    async fn ended_as(&self, id: JobId) -> (JobId, ObjectKey) {
        let order = new_job(&new_owner(), 1).order;
        let key = ObjectKey::upload(id, order.file_name.clone());
        self.jobs(Script::new()).create(id, order).await.unwrap();
        self.objects.put(&key, Bytes::from_static(b"content")).await.unwrap();
        self.jobs(Script::new()).send(id, &Event::Cancelled).await.unwrap();
        (id, key)
    }

    async fn get(&self, id: JobId) -> Option<Job> {
        self.jobs(Script::new()).store().get(id).await.unwrap()
    }

    async fn has(&self, key: &ObjectKey) -> bool {
        match self.objects.head(key).await {
            Ok(_) => true,
            Err(PortError::NotFound(_)) => false,
            Err(error) => panic!("{error}"),
        }
    }

    fn audit(&self, job: JobId, part: u32) -> Option<Audit> {
        let id = LedgerId::of_deletions(job, part);
        let head = self.sink.read_head(id).ok();
        let lines = self.sink.read(id).ok()?;
        Some(verify(&lines, head.as_ref(), Some(&self.signer.public_key())))
    }

    /// The deletion in this part, which must be valid.
    #[track_caller]
    fn valid(&self, job: JobId, part: u32) -> Purge {
        let audit = self.audit(job, part).expect("a ledger");
        assert_eq!((audit.verdict, &audit.findings[..]), (Verdict::Valid, &[][..]), "{:?}", audit.remarks);
        assert_eq!(audit.story.worker, "cleanup", "who recorded it");
        let [purge] = audit.story.purges.as_slice() else { panic!("{:?}", audit.story.purges) };
        purge.clone()
    }
}

fn counts(round: Round) -> (u64, u64, u64) {
    (round.objects, round.failed, round.records)
}

fn always(operation: &'static str) -> Script {
    (1..=1000).fold(Script::new(), |script, call| script.on(operation, call, Fault::Fail))
}

#[tokio::test]
async fn each_deletion_of_a_job_is_in_a_signed_ledger_and_in_its_record() {
    let world = World::new().await;
    let (id, key) = world.ended().await;
    let cleanup = world.cleanup(Script::new());
    assert_eq!(counts(cleanup.round().await), (1, 0, 0));
    let first = world.valid(id, 1);
    assert_eq!((first.objects, first.marks, first.uploads, first.by.as_str()), (1, 0, 0, "cleanup"));
    assert_eq!(first.confirmed_at, world.clock.now());
    // Uploaded again by a URL that was still valid, and deleted once more.
    world.objects.put(&key, Bytes::from_static(b"late")).await.unwrap();
    world.pass(POLICY.linger);
    assert_eq!(counts(cleanup.round().await), (1, 0, 0));
    assert_eq!((world.valid(id, 2).objects, world.has(&key).await), (1, false));
    let job = world.get(id).await.unwrap();
    assert_eq!((job.attempt, job.purges, job.owed), (0, 2, None), "no worker ever had it");
    let evidence: Vec<Evidence> = job.deletions.iter().map(|deletion| deletion.evidence).collect();
    assert_eq!(evidence, [Evidence::Part(1), Evidence::Part(2)]);
    for (head, part) in job.audit.iter().zip([1, 2]) {
        assert_eq!(world.sink.read_head(LedgerId::of_deletions(id, part)).as_ref(), Ok(head));
    }
    assert_eq!((job.audit.len(), world.audit(id, 3).is_none()), (2, true));
}

/// Each call of the sink fails once, or takes effect without a reply.
#[tokio::test]
async fn a_ledger_that_fails_once_is_written_later_with_what_was_deleted() {
    let world = World::new().await;
    let faults = [("begin", 1), ("append", 1), ("append", 2), ("append", 3), ("seal", 1)];
    for (operation, call) in faults {
        for fault in [Fault::Fail, Fault::DropReply, Fault::Truncate(7)] {
            let (id, key) = world.ended().await;
            let cleanup = world.cleanup(Script::new().on(operation, call, fault));
            let deleted_at = world.clock.now();
            let round = counts(cleanup.round().await);
            let what = format!("{operation} {call} {fault:?}");
            assert!(!world.has(&key).await, "{what}");
            let job = world.get(id).await.unwrap();
            assert_eq!((job.purges, job.deletions[0].objects), (1, 1), "{what}");
            // Only lines can be cut.
            let fails = fault != Fault::Truncate(7) || operation == "append";
            assert_eq!(round, (1, u64::from(fails), 0), "{what}");
            assert_eq!(job.deletions[0].evidence == Evidence::Owed, fails, "{what}");
            world.pass(1000);
            assert_eq!(counts(cleanup.round().await), (0, 0, 0), "{what}");
            let job = world.get(id).await.unwrap();
            let Evidence::Part(part) = job.deletions[0].evidence else { panic!("{what}: {job:?}") };
            let purge = world.valid(id, part);
            assert_eq!((purge.objects, purge.confirmed_at), (1, deleted_at), "{what}");
            assert_eq!((job.owed, job.audit.len(), job.purges), (None, 1, 1), "{what}");
            assert_eq!(job.due, Some(deleted_at + POLICY.linger), "{what}: no deletion is put off");
            // What was broken off is incomplete, or complete: never tampered with.
            for broken in 1..part {
                let audit = world.audit(id, broken).unwrap();
                assert!(audit.findings.is_empty(), "{what}: {:?}", audit.findings);
            }
        }
    }
}

/// A signer that does not answer leaves no traces in the sink.
#[tokio::test]
async fn a_signer_that_fails_leaves_nothing_in_the_sink() {
    struct Weak(Arc<LocalSigner>, AtomicBool);
    impl Signer for Weak {
        fn public_key(&self) -> PublicKey {
            self.0.public_key()
        }

        fn sign(&self, message: &[u8]) -> PortResult<Vec<u8>> {
            if self.1.swap(false, Ordering::Relaxed) {
                return Err(PortError::Unavailable { operation: "signing", reason: "test".to_owned() });
            }
            self.0.sign(message)
        }
    }
    let world = World::new().await;
    let (id, _) = world.ended().await;
    let signer = Arc::new(Weak(Arc::clone(&world.signer), AtomicBool::new(true)));
    let ledgers = Ledgers::Here(Writer::new(Arc::clone(&world.sink) as _, Some(signer)));
    let cleanup = world.cleanup_with(Script::new(), ledgers);
    assert_eq!(counts(cleanup.round().await), (1, 1, 0));
    assert!(world.audit(id, 1).is_none());
    assert_eq!(counts(cleanup.round().await), (0, 0, 0));
    assert_eq!(world.valid(id, 1).objects, 1);
}

/// The sink and the signer cannot be opened when the program starts.
#[tokio::test]
async fn a_ledger_that_cannot_be_opened_is_opened_later() {
    let world = World::new().await;
    let (id, key) = world.ended().await;
    let (there, sink, signer) =
        (Arc::new(AtomicBool::new(false)), Arc::clone(&world.sink), Arc::clone(&world.signer));
    let is_there = Arc::clone(&there);
    let writer = Writer::opening(Box::new(move || match is_there.load(Ordering::Relaxed) {
        true => Ok(Keeper { sink: Arc::clone(&sink) as _, signer: Some(Arc::clone(&signer) as _) }),
        false => Err(Failure::new(FailureCode::Audit, "no key")),
    }));
    let cleanup = world.cleanup_with(Script::new(), Ledgers::Here(writer));
    assert_eq!((counts(cleanup.round().await), world.has(&key).await), ((1, 1, 0), false));
    there.store(true, Ordering::Relaxed);
    assert_eq!(counts(cleanup.round().await), (0, 0, 0));
    assert_eq!(world.valid(id, 1).objects, 1);
}

#[tokio::test]
async fn a_sink_that_always_fails_keeps_neither_files_nor_records() {
    let world = World::new().await;
    let (id, key) = world.ended().await;
    let script = always("begin");
    let cleanup = world.cleanup(script.clone());
    let start = world.clock.now();
    assert_eq!(counts(cleanup.round().await), (1, 1, 0));
    world.objects.put(&key, Bytes::from_static(b"late")).await.unwrap();
    // The clock goes from one due time to the next.
    let mut second = None;
    while let Some(job) = world.get(id).await {
        let due = job.due.unwrap();
        assert!(due <= start + POLICY.record, "{job:?}");
        world.clock.0.fetch_max(due, Ordering::Relaxed);
        cleanup.round().await;
        if second.is_none() && !world.has(&key).await {
            second = Some(world.clock.now());
        }
    }
    assert_eq!(second, Some(start + POLICY.linger), "the second deletion has its time");
    assert_eq!(world.clock.now(), start + POLICY.record, "and the record its end");
    // Tried some forty times in a week, not each fifteen seconds.
    assert!((20..60).contains(&script.calls("begin")), "{}", script.calls("begin"));
}

/// The program dies after it has written the ledger, before the record has it.
#[tokio::test]
async fn a_ledger_whose_record_was_not_written_is_followed_by_another() {
    let world = World::new().await;
    let (id, _) = world.ended().await;
    let no_writes = (1..=100).fold(Script::new(), |script, call| script.on("replace", call, Fault::Fail));
    let round = world.cleanup_with(no_writes, world.ledgers(Script::new())).round().await;
    assert_eq!((round.failed, world.valid(id, 1).objects), (1, 1));
    let job = world.get(id).await.unwrap();
    assert_eq!((job.purges, job.audit.len(), job.due <= Some(world.clock.now())), (0, 0, true));
    // Another program deletes again, and finds nothing.
    assert_eq!(counts(world.cleanup(Script::new()).round().await), (0, 0, 0));
    let purge = world.valid(id, 2);
    assert_eq!((purge.objects, purge.oldest_age_ms), (0, None));
    let job = world.get(id).await.unwrap();
    assert_eq!((job.purges, job.deletions[0].evidence, job.audit.len()), (1, Evidence::Part(2), 1));
}

/// Two programs delete at once: each has a ledger, both heads are kept, and one deletion counts.
#[tokio::test]
async fn of_two_deletions_at_once_both_are_on_record() {
    let world = World::new().await;
    let (id, _) = world.ended().await;
    let job = world.get(id).await.unwrap();
    let deleter = |name: &str| {
        let objects = Arc::clone(&world.objects) as Arc<dyn ObjectStore>;
        Deleter::new(world.jobs(Script::new()), objects, name.to_owned())
            .with_ledgers(world.ledgers(Script::new()))
    };
    // Both have read the record before either has written it.
    let (one, other) = (deleter("cleanup"), deleter("cleanup"));
    one.delete(&job).await.unwrap();
    world.pass(1);
    other.delete(&job).await.unwrap();
    let job = world.get(id).await.unwrap();
    assert_eq!((job.purges, job.deletions.len(), job.audit.len()), (1, 2, 2));
    assert_eq!([world.valid(id, 1).objects, world.valid(id, 2).objects], [1, 0]);
}

/// An API without a ledger leaves it to the cleanup, and a cleanup that keeps none forgets it.
#[tokio::test]
async fn the_ledger_of_a_program_without_one_is_written_by_the_cleanup() {
    let world = World::new().await;
    for kept in [true, false] {
        let (id, key) = world.ended().await;
        let objects = Arc::clone(&world.objects) as Arc<dyn ObjectStore>;
        let api = Deleter::new(world.jobs(Script::new()), objects, "api".to_owned())
            .with_ledgers(Ledgers::Elsewhere);
        let job = world.get(id).await.unwrap();
        api.delete(&job).await.unwrap();
        assert!(!world.has(&key).await);
        let ledgers = if kept { world.ledgers(Script::new()) } else { Ledgers::Nowhere };
        assert_eq!(counts(world.cleanup_with(Script::new(), ledgers).round().await), (0, 0, 0));
        let job = world.get(id).await.unwrap();
        assert_eq!((job.purges, job.owed), (1, None));
        if kept {
            let purge = world.valid(id, 1);
            assert_eq!((purge.objects, purge.by.as_str()), (1, "api"));
            assert_eq!(job.deletions[0].evidence, Evidence::Part(1));
        } else {
            assert_eq!((job.deletions[0].evidence, world.audit(id, 1).is_none()), (Evidence::None, true));
        }
    }
}

/// A sink that hangs delays one deletion for some seconds, and those after it not at all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_that_hangs_does_not_hold_deletions_up() {
    let world = World::new().await;
    let slow = (1..=100)
        .fold(Script::new(), |script, call| script.on("begin", call, Fault::Delay(Duration::from_secs(14))));
    let cleanup = world.cleanup(slow.clone());
    let (_, key) = world.ended().await;
    assert_eq!(counts(cleanup.round().await), (1, 1, 0));
    assert!(!world.has(&key).await);
    let mut keys = Vec::new();
    for _ in 0..5 {
        keys.push(world.ended().await.1);
    }
    let since = Instant::now();
    let round = cleanup.round().await;
    assert!(since.elapsed() < Duration::from_secs(9), "{:?}", since.elapsed());
    assert_eq!((round.objects, slow.calls("begin")), (5, 1));
    for key in keys {
        assert!(!world.has(&key).await);
    }
}

/// More deletions than a slow sink has evidence of in time: what comes later is owed, and the sink is not left alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_that_is_slow_is_not_left_alone() {
    let world = World::new().await;
    let slow = |script: Script, call| script.on("begin", call, Fault::Delay(Duration::from_secs(2)));
    let script = (1..=1000).fold(Script::new(), slow);
    // Four in each of ten parts are served at once, and sixteen ledgers written.
    let (mut ended, mut shards) = (Vec::new(), [0; 10]);
    while ended.len() < 40 {
        let id = JobId::random();
        match shards.get_mut(usize::from(Part::with(Work::Delete, id).shard)) {
            Some(count) if *count < 4 => *count += 1,
            _ => continue,
        }
        ended.push(id);
        world.ended_as(id).await;
    }
    let cleanup = world.cleanup(script);
    assert_eq!(cleanup.round().await.objects, 40);
    let mut owed = 0;
    for id in ended {
        owed += u32::from(world.get(id).await.unwrap().deletions[0].evidence == Evidence::Owed);
    }
    assert!(owed > 0 && owed < 40, "{owed}");
    let (id, _) = world.ended().await;
    cleanup.round().await;
    assert_eq!(world.get(id).await.unwrap().deletions[0].evidence, Evidence::Part(1));
}

/// What a try has deleted that failed is in the ledger of the one that did not.
#[tokio::test]
async fn the_ledger_has_what_failed_tries_deleted() {
    let world = World::new().await;
    let (id, _) = world.ended().await;
    let result = ObjectKey::processed(id, 1, "plan.dxf".parse().unwrap());
    world.objects.put(&result, Bytes::from_static(b"content")).await.unwrap();
    let script = Script::new().on("purge", 1, Fault::Fail);
    let objects = Arc::new(FaultyObjects::new(Arc::clone(&world.objects) as _, script));
    let cleanup = Cleanup::new(
        world.jobs(Script::new()),
        objects,
        Arc::clone(&world.queue),
        "b".to_owned(),
        "cleanup".to_owned(),
    )
    .with_ledgers(world.ledgers(Script::new()));
    assert_eq!(counts(cleanup.round().await), (1, 1, 0));
    assert!(world.audit(id, 1).is_none() && !world.has(&result).await);
    world.pass(10_000);
    assert_eq!(counts(cleanup.round().await), (1, 0, 0));
    let (purge, job) = (world.valid(id, 1), world.get(id).await.unwrap());
    assert_eq!((purge.objects, job.deletions[0].objects, job.unconfirmed.len()), (2, 2, 0));
}

/// While the last evidence of a job is written, another program deletes its record, and a client uses its
/// id again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_a_record_leaves_the_next_job_of_its_id_alone() {
    let world = World::new().await;
    let (id, _) = world.ended().await;
    let failing = world.cleanup(always("begin"));
    failing.round().await;
    world.pass(POLICY.linger);
    failing.round().await;
    world.pass(POLICY.record);
    let old = world.get(id).await.unwrap();
    assert_eq!((old.purges, old.owed.is_some()), (2, true));
    let slow = Script::new().on("begin", 1, Fault::Delay(Duration::from_secs(2)));
    let cleanup = world.cleanup(slow);
    let again = async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        let jobs = world.jobs(Script::new());
        assert!(jobs.store().delete(&old).await.unwrap());
        let (new, is_new) = jobs.create(id, old.order.clone()).await.unwrap();
        assert!(is_new);
        let key = ObjectKey::upload(id, new.order.file_name.clone());
        world.objects.put(&key, Bytes::from_static(b"content")).await.unwrap();
        (new, key)
    };
    let (round, (new, key)) = futures_util::future::join(cleanup.round(), again).await;
    assert_eq!(counts(round), (0, 0, 0));
    assert_eq!(world.get(id).await, Some(new), "as it was created");
    assert!(world.has(&key).await);
}
