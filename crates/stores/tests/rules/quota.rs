//! Each job is counted exactly once, although any process may die between any two writes.

use async_trait::async_trait;
use cadmill_core::domain::crew::Crew;
use cadmill_core::domain::due::Part;
use cadmill_core::domain::ids::{JobId, Owner};
use cadmill_core::domain::job::{Job, Millis};
use cadmill_core::domain::quota::{DOUBTFUL, Exceeded, FORGOTTEN, Quota, Step, Usage};
use cadmill_core::domain::state::{Event, Policy};
use cadmill_core::jobs::{Jobs, NotCreated};
use cadmill_core::ports::job_store::{Created, Due, Page, Replaced, Unreadable, UsageReplaced, Writes};
use cadmill_core::ports::{Clock, JobStore, PortError, PortResult};
use cadmill_stores::adapters::embedded::Database;
use cadmill_stores::adapters::faulty::{Fault, FaultyJobs, Script};
use cadmill_stores::conformance::job_store::{new_job, new_owner};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const QUOTA: Quota = Quota { jobs: 3, bytes: 1000 };

#[derive(Default)]
struct Manual(AtomicU64);

impl Clock for Manual {
    fn now(&self) -> Millis {
        self.0.load(Ordering::SeqCst)
    }
}

/// What all processes share.
#[derive(Default)]
struct Shared {
    jobs: BTreeMap<JobId, Job>,
    usages: BTreeMap<String, Usage>,
}

/// The store as one process sees it, which dies at one of its calls.
struct Process {
    shared: Arc<Mutex<Shared>>,
    /// Calls until it dies.
    left: AtomicI64,
    /// Whether its last call takes effect.
    effect: bool,
    /// Whether each of its writes is made twice, as when a client asks again after a lost reply.
    twice: bool,
}

impl Process {
    /// Other processes run before each call.
    async fn call<T>(&self, work: impl Fn(&mut Shared) -> T) -> PortResult<T> {
        tokio::task::yield_now().await;
        let left = self.left.fetch_sub(1, Ordering::SeqCst);
        let dead = || PortError::Refused { operation: "test", reason: "dead".to_owned() };
        if left < 0 || left == 0 && !self.effect {
            return Err(dead());
        }
        let mut shared = self.shared.lock().unwrap();
        let mut value = work(&mut shared);
        if self.twice {
            value = work(&mut shared);
        }
        if left == 0 { Err(dead()) } else { Ok(value) }
    }
}

#[async_trait]
impl JobStore for Process {
    async fn create(&self, job: &Job) -> PortResult<Created> {
        self.call(|shared| match shared.jobs.get(&job.id) {
            Some(there) => Created::Exists(Box::new(there.clone())),
            None => {
                shared.jobs.insert(job.id, job.clone());
                Created::New
            }
        })
        .await
    }

    async fn get(&self, id: JobId) -> PortResult<Option<Job>> {
        self.call(|shared| shared.jobs.get(&id).cloned()).await
    }

    async fn get_many(&self, _: &[JobId]) -> PortResult<Vec<Job>> {
        Err(not_of_these_rules())
    }

    fn writes(&self) -> Option<Box<dyn Writes>> {
        None
    }

    async fn replace(&self, next: &Job) -> PortResult<Replaced> {
        self.call(|shared| match shared.jobs.get(&next.id) {
            Some(there) if there.version + 1 == next.version => {
                shared.jobs.insert(next.id, next.clone());
                Replaced::Done
            }
            there => Replaced::Conflict(there.cloned().map(Box::new)),
        })
        .await
    }

    async fn delete(&self, job: &Job) -> PortResult<bool> {
        self.call(|shared| match shared.jobs.get(&job.id) {
            Some(there) if there.version == job.version => shared.jobs.remove(&job.id).is_some(),
            _ => false,
        })
        .await
    }

    async fn usage(&self, owner: &Owner) -> PortResult<Option<Usage>> {
        self.call(|shared| shared.usages.get(owner.as_str()).cloned()).await
    }

    async fn replace_usage(&self, next: &Usage) -> PortResult<UsageReplaced> {
        self.call(|shared| {
            let there = shared.usages.get(next.owner.as_str());
            if there.map_or(0, |there| there.version) + 1 != next.version {
                return UsageReplaced::Conflict(there.cloned().map(Box::new));
            }
            shared.usages.insert(next.owner.as_str().to_owned(), next.clone());
            UsageReplaced::Done
        })
        .await
    }

    async fn list(&self, _: &Owner, _: Option<&str>, _: u32) -> PortResult<Page> {
        Err(not_of_these_rules())
    }

    async fn due(&self, _: Part, _: RangeInclusive<Millis>, _: u32) -> PortResult<Due> {
        Err(not_of_these_rules())
    }

    async fn crew(&self) -> PortResult<Option<Crew>> {
        Err(not_of_these_rules())
    }

    async fn replace_crew(&self, _: &Crew) -> PortResult<bool> {
        Err(not_of_these_rules())
    }

    async fn set_aside(&self, _: &Unreadable, _: Millis) -> PortResult<()> {
        Err(not_of_these_rules())
    }

    fn progress_interval(&self) -> Option<Duration> {
        None
    }

    async fn check(&self) -> PortResult<()> {
        Ok(())
    }

    async fn can_write(&self) -> PortResult<()> {
        Ok(())
    }
}

fn not_of_these_rules() -> PortError {
    PortError::Refused { operation: "test", reason: "not of these rules".to_owned() }
}

#[derive(Debug, Clone)]
enum Act {
    Create {
        job: usize,
        owner: usize,
        bytes: u64,
    },
    Cancel {
        job: usize,
    },
    /// The cleanup: frees the place of a job that has ended, then deletes its record.
    Clean {
        job: usize,
    },
    Pass {
        millis: Millis,
    },
}

/// An action of a process that dies at one of its calls, or at none.
#[derive(Debug, Clone)]
struct Life {
    act: Act,
    calls: i64,
    effect: bool,
    twice: bool,
}

fn life() -> impl Strategy<Value = Life> {
    let job = 0usize..6;
    let act = prop_oneof![
        5 => (job.clone(), 0usize..2, 1u64..500)
            .prop_map(|(job, owner, bytes)| Act::Create { job, owner, bytes }),
        3 => job.clone().prop_map(|job| Act::Cancel { job }),
        2 => job.prop_map(|job| Act::Clean { job }),
        1 => prop::sample::select(vec![3_000, DOUBTFUL, FORGOTTEN]).prop_map(|millis| Act::Pass { millis }),
    ];
    let calls = prop_oneof![1 => Just(i64::MAX), 1 => 0i64..9];
    let lives = (act, calls, any::<bool>(), any::<bool>());
    lives.prop_map(|(act, calls, effect, twice)| Life { act, calls, effect, twice })
}

struct World {
    shared: Arc<Mutex<Shared>>,
    clock: Arc<Manual>,
    ids: Vec<JobId>,
    owners: [Owner; 2],
}

impl World {
    /// The jobs for a process that lives on.
    fn lasting(&self) -> Jobs {
        self.jobs(i64::MAX, true, false)
    }

    fn jobs(&self, calls: i64, effect: bool, twice: bool) -> Jobs {
        let left = AtomicI64::new(calls);
        let process = Process { shared: Arc::clone(&self.shared), left, effect, twice };
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        Jobs::new(Arc::new(process), clock, Policy::default()).with_quota(QUOTA)
    }

    /// Errors are those of a process that has died, or refusals.
    async fn live(&self, life: Life) {
        let jobs = self.jobs(life.calls, life.effect, life.twice);
        match life.act {
            Act::Create { job, owner, bytes } => {
                let mut order = new_job(&self.owners[owner], 0).order;
                order.size_bytes = bytes;
                let _ = jobs.create(self.ids[job], order).await;
            }
            Act::Cancel { job } => {
                let _ = jobs.send(self.ids[job], &Event::Cancelled).await;
            }
            Act::Clean { job } => {
                let Ok(Some(job)) = jobs.store().get(self.ids[job]).await else { return };
                let Ok(job) = jobs.free(job).await else { return };
                if job.state.is_terminal() {
                    let _ = jobs.store().delete(&job).await;
                }
            }
            Act::Pass { millis } => {
                self.clock.0.fetch_add(millis, Ordering::SeqCst);
            }
        }
    }

    /// What is counted is what is being created, and what the records say without what was
    /// subtracted already.
    fn assert_exact(&self) {
        let shared = self.shared.lock().unwrap();
        for owner in &self.owners {
            let Some(usage) = shared.usages.get(owner.as_str()) else { continue };
            let mut counted: BTreeMap<u64, u64> = BTreeMap::new();
            let mut gone = BTreeSet::new();
            for (&reservation, mark) in &usage.marks {
                match mark.step {
                    Step::Reserved => drop(counted.insert(reservation, mark.bytes)),
                    Step::Released | Step::Undone => drop(gone.insert(reservation)),
                }
            }
            for job in shared.jobs.values().filter(|job| job.order.owner == *owner) {
                if let Some(reservation) = job.counted.filter(|number| !gone.contains(number)) {
                    counted.insert(reservation, job.order.size_bytes);
                }
            }
            let bytes: u64 = counted.values().sum();
            assert_eq!((usage.jobs, usage.bytes), (counted.len() as u64, bytes), "{usage:?}");
            assert!(usage.jobs <= QUOTA.jobs && usage.bytes <= QUOTA.bytes, "{usage:?}");
        }
    }

    /// What the cleanup and the next requests of each owner do.
    async fn settle(&self) {
        let jobs = self.lasting();
        for &id in &self.ids {
            if let Some(job) = jobs.store().get(id).await.unwrap() {
                jobs.free(job).await.unwrap();
            }
        }
        for owner in &self.owners {
            for _ in 0..8 {
                self.clock.0.fetch_add(2 * DOUBTFUL, Ordering::SeqCst);
                let mut order = new_job(owner, 0).order;
                order.size_bytes = 1;
                if let Ok((job, _)) = jobs.create(JobId::random(), order).await {
                    jobs.send(job.id, &Event::Cancelled).await.unwrap();
                }
            }
        }
    }

    fn used(&self) -> Vec<(u64, u64)> {
        let shared = self.shared.lock().unwrap();
        let usages = self.owners.iter().filter_map(|owner| shared.usages.get(owner.as_str()));
        usages.map(|usage| (usage.jobs, usage.bytes)).collect()
    }
}

proptest! {
    #[test]
    fn whoever_dies_no_job_is_lost_or_counted_twice(
        lives in prop::collection::vec(prop::collection::vec(life(), 1..4), 1..25)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let world = World {
                shared: Arc::default(),
                clock: Arc::new(Manual(AtomicU64::new(1_000_000))),
                ids: (0..6).map(|_| JobId::random()).collect(),
                owners: [new_owner(), new_owner()],
            };
            for group in lives {
                futures_util::future::join_all(group.into_iter().map(|life| world.live(life))).await;
                world.assert_exact();
            }
            world.settle().await;
            world.assert_exact();
            for usage in world.shared.lock().unwrap().usages.values() {
                let doubtful = usage.marks.values().filter(|mark| mark.step == Step::Reserved).count();
                assert!(doubtful <= 1, "marks of processes that died stay: {usage:?}");
            }
            let jobs = world.lasting();
            for &id in &world.ids {
                jobs.send(id, &Event::Cancelled).await.unwrap();
            }
            world.settle().await;
            assert!(world.used().iter().all(|used| *used == (0, 0)), "{:?}", world.used());
        });
    }
}

/// Jobs in SQLite, with these faults.
fn stored(directory: &tempfile::TempDir, script: Script) -> Jobs {
    let store = Database::open(&directory.path().join("jobs.sqlite"), 5).unwrap().jobs();
    let store = FaultyJobs::new(Arc::new(store), script);
    Jobs::new(Arc::new(store), Arc::new(Manual::default()), Policy::default()).with_quota(QUOTA)
}

#[tokio::test]
async fn a_lost_reply_and_a_write_that_is_made_twice_count_once() {
    let directory = tempfile::tempdir().unwrap();
    let owner = new_owner();
    let mut order = new_job(&owner, 1).order;
    order.size_bytes = 10;
    for fault in [Fault::DropReply, Fault::Twice, Fault::Fail] {
        let script = Script::new()
            .on("usage", 1, fault)
            .on("replace_usage", 1, fault)
            .on("create", 1, fault)
            .on("replace", 1, fault)
            .on("replace", 2, fault)
            .on("replace_usage", 3, fault);
        let jobs = stored(&directory, script);
        let (job, new) = jobs.create(JobId::random(), order.clone()).await.unwrap();
        assert!(new && job.counted.is_some());
        let used = async || jobs.store().usage(&owner).await.unwrap().map(|usage| (usage.jobs, usage.bytes));
        assert_eq!(used().await, Some((1, 10)), "{fault:?}");
        jobs.send(job.id, &Event::Cancelled).await.unwrap();
        assert_eq!(used().await, Some((0, 0)), "{fault:?}");
        assert_eq!(jobs.store().get(job.id).await.unwrap().unwrap().counted, None);
    }
}

#[tokio::test]
async fn many_requests_at_once_do_not_exceed_the_quota() {
    let directory = tempfile::tempdir().unwrap();
    let owner = new_owner();
    let mut order = new_job(&owner, 1).order;
    order.size_bytes = 10;
    // As many processes as handles.
    let handles: Vec<Jobs> = (0..4).map(|_| stored(&directory, Script::new())).collect();
    let answers = (0..24).map(|n| handles[n % 4].create(JobId::random(), order.clone()));
    let answers = futures_util::future::join_all(answers).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 3, "{answers:?}");
    let refused = NotCreated::Quota(Exceeded::Jobs { jobs: 3, limit: 3 });
    assert!(answers.iter().all(|answer| answer.is_ok() || *answer == Err(refused.clone())), "{answers:?}");
}
