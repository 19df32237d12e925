//! Nothing of a live job is ever deleted: two cleanup programs, two workers, and clients that cancel,
//! confirm, upload late and use their ids again, call by call in an order that a seed decides, with
//! programs that are killed and a clock that is driven.
//!
//! What is assumed of the programs: none stops in the middle of a deletion, or of recording it, for half
//! of `job.linger`. A record is kept for `job.linger` after the last deletion. What a failing run prints is
//! its seed; `TEST_SEED=…` makes it again.

use super::fixture::{Ports, content};
use super::memory::Memory;
use super::turns::{Programs, Random};
use super::world::ManualClock;
use async_trait::async_trait;
use cadmill_core::cleanup::deletion::Deleter;
use cadmill_core::cleanup::{Cleanup, upload_key};
use cadmill_core::domain::crew::Crew;
use cadmill_core::domain::due::{Part, Work};
use cadmill_core::domain::failure::FailureCode;
use cadmill_core::domain::ids::{JobId, ObjectKey, Owner};
use cadmill_core::domain::job::{Job, JobFailure, JobSpec, Millis, State};
use cadmill_core::domain::quota::Usage;
use cadmill_core::domain::state::{Event, Policy};
use cadmill_core::jobs::{Change, Jobs};
use cadmill_core::ports::job_store::{Created, Due, Page, Replaced, Unreadable, UsageReplaced, Writes};
use cadmill_core::ports::{Clock, JobStore, ObjectStore, PortResult};
use cadmill_stores::adapters::faulty::{FaultyJobs, FaultyQueue, Script};
use cadmill_stores::conformance::job_store::{new_job, new_owner};
use std::ops::RangeInclusive;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The shortest life of a record that the configuration allows.
const POLICY: Policy = Policy {
    max_attempts: 2,
    upload_window: 400_000,
    lease: 10_000,
    redeliver: 100_000,
    retention: 300_000,
    linger: 300_000,
    record: 600_000,
};

/// The variable with the seed of a run that is to be made again.
const SEED: &str = "TEST_SEED";

/// Calls of one run.
const STEPS: usize = 900;

/// Ids in use.
const IDS: usize = 3;

/// Calls by which a deletion is made.
const DELETING: [&str; 5] = ["list_uploads", "list_versions", "abort", "delete_version", "delete_object"];

/// A program does not stop for as long as this between what it has read and what it does then.
const PAUSE: Millis = POLICY.linger / 2;

/// What has happened, so that a run of nothing is seen.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    created_again: u64,
    uploaded: u64,
    uploaded_late: u64,
    completed: u64,
    cancelled: u64,
    confirmed: u64,
    superseded: u64,
    killed: u64,
    objects_deleted: u64,
    /// Most programs that were deleting at once.
    deleting: usize,
}

/// What the programs of a run share.
#[derive(Clone)]
struct Run {
    memory: Memory,
    clock: Arc<ManualClock>,
    ids: [JobId; IDS],
    order: JobSpec,
    random: Arc<Mutex<Random>>,
    seen: Arc<Mutex<Seen>>,
    /// The cleanup reads what it was listed, and not the record: a fault that is planted.
    is_credulous: bool,
}

impl Run {
    fn new(seed: u64, is_credulous: bool) -> Self {
        let mut random = Random::new(seed);
        let mut id = || {
            let (high, low) = (random.next().to_be_bytes(), random.next().to_be_bytes());
            JobId::from_random_bytes(std::array::from_fn(|at| if at < 8 { high[at] } else { low[at - 8] }))
        };
        // In one part of the work, so that a cleanup serves all of them at once.
        let first = id();
        let shard = Part::with(Work::Delete, first).shard;
        let mut next =
            || std::iter::repeat_with(&mut id).find(|id| Part::with(Work::Delete, *id).shard == shard);
        let ids = std::array::from_fn(|number| if number == 0 { first } else { next().unwrap() });
        let memory = Memory::default();
        let clock = Ports::in_memory(&memory).clock;
        let order = new_job(&new_owner(), 1).order;
        let random = Arc::new(Mutex::new(random));
        Self { memory, clock, ids, order, random, seen: Arc::default(), is_credulous }
    }

    fn jobs(&self, script: &Script) -> Jobs {
        let store = FaultyJobs::new(Arc::new(self.memory.jobs()), script.clone());
        Jobs::new(Arc::new(store), Arc::clone(&self.clock) as Arc<dyn Clock>, POLICY)
    }

    fn random(&self) -> Random {
        Random::new(self.random.lock().unwrap().next())
    }

    fn note(&self, change: impl FnOnce(&mut Seen)) {
        change(&mut self.seen.lock().unwrap());
    }

    /// A cleanup program: passes over both parts of the jobs for ever, one after the other.
    async fn cleanup(self, script: Script, name: &'static str) {
        let mut jobs = self.jobs(&script);
        if self.is_credulous {
            let store = FaultyJobs::new(Arc::new(self.memory.jobs()), script.clone());
            let listed = Arc::new(Credulous { store, listed: Mutex::default() });
            jobs = Jobs::new(listed, Arc::clone(&self.clock) as Arc<dyn Clock>, POLICY);
        }
        let objects = Arc::new(self.memory.objects(script.clone()));
        let queue = Arc::new(FaultyQueue::new(Arc::new(self.memory.queue()), script));
        let cleanup = Cleanup::new(jobs, objects, queue, "bucket".to_owned(), name.to_owned());
        loop {
            for work in Work::ALL {
                let round = cleanup.pass(&[Part::with(work, self.ids[0])]).await;
                self.note(|seen| seen.objects_deleted += round.objects);
            }
        }
    }

    /// A worker: takes whatever there is, and considers others dead as it likes.
    async fn worker(self, script: Script, name: &'static str) {
        let mut random = self.random();
        let (jobs, objects) = (self.jobs(&script), self.memory.objects(script));
        loop {
            let id = self.ids[random.below(IDS)];
            // The event of an upload, which names its version.
            let key = upload_key(id, &self.order.file_name);
            let event = objects.find(&key).await.ok();
            let Some(job) = jobs.store().get(id).await.unwrap() else { continue };
            if job.state.is_terminal() {
                if let Some(object) = event {
                    objects.delete(&key, object.version.as_deref()).await.unwrap();
                }
                continue;
            }
            if job.input.is_none() {
                if let Some(object) = event {
                    let sequencer = format!("{:016x}", self.clock.now());
                    jobs.send(id, &Event::Uploaded { object, sequencer, at: None }).await.unwrap();
                }
                continue;
            }
            let dead = job.lease.as_ref().map(|lease| lease.revision);
            if dead.is_some() && !random.once_in(3) {
                continue;
            }
            let claim = Event::Claimed { worker: name.to_owned(), revision: random.next(), dead };
            match jobs.send(id, &claim).await.unwrap() {
                Change::Done(job) => self.attempt(&jobs, &objects, &job, &mut random).await,
                Change::Denied(..) => drop(jobs.send(id, &Event::Abandoned { dead }).await.unwrap()),
                _ => {}
            }
        }
    }

    async fn attempt(&self, jobs: &Jobs, objects: &dyn ObjectStore, job: &Job, random: &mut Random) {
        let (id, attempt) = (job.id, job.attempt);
        let failure = || JobFailure { code: FailureCode::EngineRejected, message: "no".to_owned(), at: None };
        let key = ObjectKey::processed(id, attempt, "plan.dxf".parse().unwrap());
        let upload = objects.begin_multipart(&key).await.unwrap();
        if random.once_in(8) {
            return;
        }
        let written = async {
            let part = objects.put_part(&key, &upload, 1, content()).await?;
            objects.complete_multipart(&key, &upload, &[part]).await?;
            objects.find(&key).await
        };
        // What a cleanup has deleted meanwhile, because the job was cancelled.
        let Ok(output) = written.await else { return };
        let end = match random.below(4) {
            0 => Event::Failed { attempt, failure: failure() },
            1 => Event::Released { attempt, failure: Some(failure()) },
            _ => Event::Completed { attempt, output },
        };
        match jobs.send(id, &end).await.unwrap() {
            Change::Done(job) => self.note(|seen| seen.completed += u64::from(job.state == State::Completed)),
            _ => self.note(|seen| seen.superseded += 1),
        }
    }

    /// A client of one id, and the API that serves it, one request after the other.
    async fn client(self, script: Script, id: JobId) {
        let mut random = self.random();
        let (jobs, objects) = (self.jobs(&script), self.memory.objects(script));
        let deleter = Deleter::new(jobs.clone(), Arc::new(objects.clone()), "api".to_owned());
        let key = upload_key(id, &self.order.file_name);
        let mut lives = 0;
        loop {
            let (job, is_new) = jobs.create(id, self.order.clone()).await.unwrap();
            if is_new {
                lives += 1;
                self.note(|seen| seen.created_again += u64::from(lives > 1));
                self.upload(&jobs, &objects, &key, &mut random).await;
            }
            match random.below(6) {
                // With a URL that is still valid.
                0 if job.state.is_terminal() && objects.put(&key, content()).await.is_ok() => {
                    self.note(|seen| seen.uploaded_late += 1);
                }
                1 => {
                    let Change::Done(job) = jobs.send(id, &Event::Cancelled).await.unwrap() else { continue };
                    self.note(|seen| seen.cancelled += 1);
                    api_deletes(&deleter, &job).await;
                }
                2 => {
                    let Change::Done(job) = jobs.send(id, &Event::Dismissed).await.unwrap() else { continue };
                    self.note(|seen| seen.confirmed += 1);
                    api_deletes(&deleter, &job).await;
                }
                _ => {}
            }
        }
    }

    async fn upload(&self, jobs: &Jobs, objects: &dyn ObjectStore, key: &ObjectKey, random: &mut Random) {
        let in_parts = random.once_in(2);
        let written = async {
            if !in_parts {
                return objects.put(key, content()).await;
            }
            let upload = objects.begin_multipart(key).await?;
            let part = objects.put_part(key, &upload, 1, content()).await?;
            if random.once_in(4) {
                return Ok(());
            }
            objects.complete_multipart(key, &upload, &[part]).await
        };
        if written.await.is_err() {
            return;
        }
        let Ok(object) = objects.find(key).await else { return };
        self.note(|seen| seen.uploaded += 1);
        // In one of three the event is lost.
        if !random.once_in(3) {
            let sequencer = format!("{:016x}", self.clock.now());
            jobs.send(key.job(), &Event::Uploaded { object, sequencer, at: None }).await.unwrap();
        }
    }
}

/// As the API does on the request of a client.
async fn api_deletes(deleter: &Deleter, job: &Job) {
    let may_write = job.state == State::Cancelled && job.attempt > 0;
    let _ = if may_write || job.purges > 0 { deleter.clear(job).await } else { deleter.delete(job).await };
}

/// A store that answers the first read of a job after it was listed with what was listed: so would a
/// cleanup work that does not read the record before it deletes.
struct Credulous {
    store: FaultyJobs,
    listed: Mutex<Vec<Job>>,
}

#[async_trait]
impl JobStore for Credulous {
    async fn create(&self, job: &Job) -> PortResult<Created> {
        self.store.create(job).await
    }

    async fn get(&self, id: JobId) -> PortResult<Option<Job>> {
        let listed = {
            let mut listed = self.listed.lock().unwrap();
            let place = listed.iter().position(|job| job.id == id);
            place.map(|place| listed.swap_remove(place))
        };
        let there = self.store.get(id).await?;
        Ok(listed.or(there))
    }

    async fn get_many(&self, ids: &[JobId]) -> PortResult<Vec<Job>> {
        self.store.get_many(ids).await
    }

    fn writes(&self) -> Option<Box<dyn Writes>> {
        self.store.writes()
    }

    async fn replace(&self, next: &Job) -> PortResult<Replaced> {
        self.store.replace(next).await
    }

    async fn delete(&self, job: &Job) -> PortResult<bool> {
        self.store.delete(job).await
    }

    async fn list(&self, owner: &Owner, page: Option<&str>, limit: u32) -> PortResult<Page> {
        self.store.list(owner, page, limit).await
    }

    async fn due(&self, part: Part, times: RangeInclusive<Millis>, limit: u32) -> PortResult<Due> {
        let due = self.store.due(part, times, limit).await?;
        *self.listed.lock().unwrap() = due.jobs.clone();
        Ok(due)
    }

    async fn set_aside(&self, record: &Unreadable, until: Millis) -> PortResult<()> {
        self.store.set_aside(record, until).await
    }

    async fn usage(&self, owner: &Owner) -> PortResult<Option<Usage>> {
        self.store.usage(owner).await
    }

    async fn replace_usage(&self, next: &Usage) -> PortResult<UsageReplaced> {
        self.store.replace_usage(next).await
    }

    async fn crew(&self) -> PortResult<Option<Crew>> {
        self.store.crew().await
    }

    async fn replace_crew(&self, next: &Crew) -> PortResult<bool> {
        self.store.replace_crew(next).await
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

/// Whether what comes after this call relies on what it reads.
fn reads(call: &str) -> bool {
    matches!(call, "get" | "replace" | "create" | "due")
}

/// The latest time until which the clock may be driven.
fn latest(programs: &Programs) -> Millis {
    let acts = |call: &str| call == "replace" || DELETING.contains(&call);
    let calls = (0..programs.count()).flat_map(|program| programs.waiting(program));
    let acting = calls.filter(|(call, _)| acts(call)).filter_map(|(_, since)| since);
    acting.map(|since| since + PAUSE - 1).min().unwrap_or(Millis::MAX)
}

/// How often each program has its turn for the moment: some stand still, and others make many calls.
struct Speeds(Vec<usize>);

impl Speeds {
    fn next(&mut self, count: usize, random: &mut Random) -> usize {
        if self.0.is_empty() || random.once_in(40) {
            self.0 = (0..count).map(|_| [0, 1, 6][random.below(3)]).collect();
        }
        let all = self.0.iter().sum::<usize>();
        if all == 0 {
            return random.below(count);
        }
        let mut place = random.below(all);
        let of = |speed: &usize| {
            let is_here = place < *speed;
            place = place.saturating_sub(*speed);
            is_here
        };
        self.0.iter().position(of).unwrap_or_default()
    }
}

/// One run: what was deleted of live jobs, by the calls before it, and what happened.
fn run(seed: u64, is_credulous: bool) -> (Option<String>, Seen) {
    let run = Run::new(seed, is_credulous);
    let mut programs = Programs::default();
    for name in ["cleanup one", "cleanup two"] {
        let run = run.clone();
        programs.add(move |script| Box::pin(run.clone().cleanup(script, name)));
    }
    for name in ["worker one", "worker two"] {
        let run = run.clone();
        programs.add(move |script| Box::pin(run.clone().worker(script, name)));
    }
    for id in run.ids {
        let run = run.clone();
        programs.add(move |script| Box::pin(run.clone().client(script, id)));
    }
    let mut random = run.random();
    let mut calls = Vec::new();
    let mut speeds = Speeds(Vec::new());
    for _ in 0..STEPS {
        let (program, now) = (speeds.next(programs.count(), &mut random), run.clock.now());
        if random.once_in(10) {
            let steps = [1_000, POLICY.lease, POLICY.redeliver, POLICY.linger, POLICY.record];
            let next = (now + steps[random.below(steps.len())]).min(latest(&programs)).max(now);
            run.clock.0.store(next, Ordering::Relaxed);
            calls.push(format!("the clock: {} s later", (next - now) / 1000));
        } else if random.once_in(100) {
            programs.kill(program);
            run.note(|seen| seen.killed += 1);
            calls.push(format!("{program} is killed"));
        } else {
            let waiting = programs.waiting(program);
            let chosen = random.below(waiting.len());
            let (call, _) = waiting[chosen];
            calls.push(format!("{program}: {call}"));
            programs.turn(program, chosen, reads(call).then_some(now));
        }
        let deletes = |one: &usize| programs.waiting(*one).iter().any(|(call, _)| DELETING.contains(call));
        let deleting = (0..programs.count()).filter(deletes).count();
        run.note(|seen| seen.deleting = seen.deleting.max(deleting));
        if let Some(what) = run.memory.violations().first() {
            let last = calls.len().saturating_sub(60);
            let report = format!("seed {seed}: {what} was deleted, after\n{}", calls[last..].join("\n"));
            return (Some(report), *run.seen.lock().unwrap());
        }
    }
    let seen = *run.seen.lock().unwrap();
    (None, seen)
}

/// The timers of the programs never run out: nothing here waits for time.
fn timers() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}

fn runs(seeds: std::ops::Range<u64>) -> Seen {
    let mut all = Seen::default();
    for seed in seeds {
        let (violation, seen) = run(seed, false);
        if let Some(violation) = violation {
            panic!("{violation}\n{SEED}={seed} makes this run again");
        }
        all.created_again += seen.created_again;
        all.uploaded += seen.uploaded;
        all.uploaded_late += seen.uploaded_late;
        all.completed += seen.completed;
        all.cancelled += seen.cancelled;
        all.confirmed += seen.confirmed;
        all.superseded += seen.superseded;
        all.killed += seen.killed;
        all.objects_deleted += seen.objects_deleted;
        all.deleting = all.deleting.max(seen.deleting);
    }
    all
}

/// Runs of new seeds, or the one that the environment names.
fn explore(count: u64) {
    let timers = timers();
    let _entered = timers.enter();
    let given = std::env::var(SEED).ok().map(|seed| seed.parse().expect("a number"));
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes).unwrap();
    let first = given.unwrap_or(u64::from(u32::from_be_bytes(bytes)));
    let count = given.map_or(count, |_| 1);
    println!("seeds {first} to {}", first + count - 1);
    let seen = runs(first..first + count);
    println!("{seen:?}");
    if given.is_some() {
        return;
    }
    let Seen { created_again, uploaded, uploaded_late, completed, cancelled, confirmed, .. } = seen;
    for (what, times) in [
        ("ids used again", created_again),
        ("uploads", uploaded),
        ("late uploads", uploaded_late),
        ("results", completed),
        ("cancellations", cancelled),
        ("confirmations", confirmed),
        ("workers that came too late", seen.superseded),
        ("programs killed", seen.killed),
        ("objects deleted", seen.objects_deleted),
    ] {
        assert!(times >= count / 4, "{what}: {times} in {count} runs");
    }
    assert!(seen.deleting >= 3, "never did three programs delete at once");
}

#[test]
fn nothing_of_a_live_job_is_deleted() {
    explore(150);
}

#[test]
#[ignore = "in `make nightly`"]
fn nothing_of_a_live_job_is_deleted_in_many_more_orders() {
    explore(10_000);
}

/// The runs find a cleanup that decides by what it was listed. The same seed finds it again.
#[test]
fn a_cleanup_that_does_not_read_the_record_is_found() {
    let timers = timers();
    let _entered = timers.enter();
    let found = (0..200).find_map(|seed| run(seed, true).0.map(|report| (seed, report)));
    let (seed, report) = found.expect("a run in which it deletes the upload of a live job");
    println!("{report}");
    assert_eq!(run(seed, true).0, Some(report), "the same calls in the same order");
    assert_eq!(run(seed, false).0, None, "and none without the fault");
}
