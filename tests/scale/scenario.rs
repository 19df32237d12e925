//! A scenario: how many jobs come when, what runs, and what goes wrong; and its run.

use crate::bill::{Action, Program};
use crate::budget;
use crate::cleaners::Cleaner;
use crate::client::{Api, Client, Habit};
use crate::fleet::Fleet;
use crate::queue::{Queue, job_of};
use crate::random::Random;
use crate::report::Report;
use crate::witness::{Rule, Violation};
use crate::world::{Services, World};
use cadmill_core::cleanup::upload_key;
use cadmill_core::domain::due::{Part, Work};
use cadmill_core::domain::job::State;
use cadmill_core::domain::state::Policy;
use rustix::time::{ClockId, clock_gettime};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::Instant as Moment;
use tokio_util::sync::CancellationToken;

const MINUTE: Duration = Duration::from_secs(60);

/// A time in which jobs come at a rate: from the begin of the simulation on, in seconds, jobs a second.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Phase {
    pub(crate) seconds: f64,
    pub(crate) rate: f64,
}

/// What deletes and wakes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cleaning {
    /// So many cleanup programs.
    Programs(usize),
    /// The planted fault.
    OldLoop,
}

/// A scenario.
#[derive(Debug, Clone)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) seed: u64,
    /// The last phase is repeated until all jobs have come.
    pub(crate) phases: Vec<Phase>,
    pub(crate) jobs: u64,
    /// What every client does, instead of a mix.
    pub(crate) habit: Option<Habit>,
    pub(crate) fleet: Fleet,
    pub(crate) cleaning: Cleaning,
    pub(crate) services: Services,
    pub(crate) policy: Policy,
    /// Jobs whose uploads refuse their deletion until all others are gone.
    pub(crate) undeletable: u64,
    /// When the first cleanup program is killed, never to come back.
    pub(crate) cleaner_dies: Option<Duration>,
    /// From when to when a part of the index takes almost no writes.
    pub(crate) throttled: Option<(Duration, Duration)>,
    /// How many of the deletions may be how late at most, in milliseconds.
    pub(crate) deletions: (f64, u32),
    /// Whether the requests of a job are compared with the budget: if little goes wrong.
    pub(crate) is_budgeted: bool,
}

impl Scenario {
    /// The seed of the environment, or always the same one: a change is not to fail by what another run would
    /// have found before it. It is printed.
    pub(crate) fn seed() -> u64 {
        Self::seed_or(|| 22)
    }

    /// The seed of the environment, or a new one. It is printed, so that a run can be repeated.
    pub(crate) fn new_seed() -> u64 {
        Self::seed_or(|| u64::from(std::process::id()) ^ Random::new(time()).bits())
    }

    fn seed_or(other: impl FnOnce() -> u64) -> u64 {
        let given = std::env::var("CADMILL_SCALE_SEED").ok().and_then(|text| text.parse().ok());
        let seed = given.unwrap_or_else(other);
        println!("CADMILL_SCALE_SEED={seed}");
        seed
    }

    /// Runs it on a clock that jumps from one moment at which something happens to the next.
    pub(crate) fn run(&self) -> Report {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        let report = runtime.block_on(self.simulate());
        // Tasks of programs that were killed never end.
        runtime.shutdown_background();
        report
    }

    async fn simulate(&self) -> Report {
        let (begun, cpu) = (Instant::now(), cpu_time());
        let world = World::new(self.seed, self.services.clone());
        let policy = self.policy;
        tokio::spawn(Queue::run(Arc::clone(&world)));
        let cleaners: Vec<Cleaner> = match self.cleaning {
            Cleaning::Programs(count) => (0..count)
                .map(|number| Cleaner::start(&world, policy, &format!("cleanup-{number}")))
                .collect(),
            Cleaning::OldLoop => vec![Cleaner::start_old(&world, policy)],
        };
        let over = CancellationToken::new();
        self.fleet.start(&world, policy, self.seed, &over);
        if let (Some(at), Some(first)) = (self.cleaner_dies, cleaners.into_iter().next()) {
            tokio::spawn(async move {
                tokio::time::sleep(at).await;
                first.kill();
            });
        }
        if let Some((from, to)) = self.throttled {
            tokio::spawn(throttle(Arc::clone(&world), from, to));
        }
        let backlog = tokio::spawn(watch(Arc::clone(&world)));
        let last_created = self.clients(&world, policy).await;
        self.wait_for_the_end(&world, policy, &over).await;
        backlog.abort();
        let mut report = self.report(&world, last_created);
        (report.wall, report.cpu) = (begun.elapsed(), cpu_time().saturating_sub(cpu));
        report
    }

    /// Starts the clients, one for each job, and waits until each has what it wants. Returns when the last
    /// was started, in milliseconds.
    async fn clients(&self, world: &Arc<World>, policy: Policy) -> u64 {
        let apis = ["api-0", "api-1"].map(|name| Api::new(world, policy, name));
        let mut random = Random::of(self.seed, 0);
        let mut clients = JoinSet::new();
        let mut phases = self.phases.iter().copied();
        let mut phase = phases.next().expect("a phase");
        let mut ends = phase.seconds;
        let undeletable = self.jobs.checked_div(self.undeletable).unwrap_or(u64::MAX);
        for number in 1..=self.jobs {
            tokio::time::sleep(random.gap(phase.rate)).await;
            while world.elapsed() as f64 / 1000.0 > ends {
                let Some(next) = phases.next() else { break };
                phase = next;
                ends += phase.seconds;
            }
            let client = Client {
                api: Arc::clone(&apis[(number % 2) as usize]),
                policy,
                number,
                random: Random::of(self.seed, number),
                habit: self.habit,
                is_undeletable: number % undeletable == 0,
            };
            clients.spawn(client.run());
            while clients.try_join_next().is_some() {}
        }
        let last = world.elapsed();
        while clients.join_next().await.is_some() {}
        last
    }

    /// Waits until every record is gone, or for as long as that may take.
    async fn wait_for_the_end(&self, world: &Arc<World>, policy: Policy, over: &CancellationToken) {
        // A job without an upload waits for one; then retention, a second deletion, and the record.
        let most = policy.upload_window + policy.retention + policy.linger + policy.record;
        let most = Duration::from_millis(most) + 30 * MINUTE;
        let until = Moment::now() + most;
        while Moment::now() < until && world.table().len() as u64 > self.undeletable {
            tokio::time::sleep(MINUTE).await;
            if !over.is_cancelled() && world.queue.len() == 0 && !has_work(world) {
                over.cancel();
            }
        }
        if self.undeletable > 0 {
            self.undeletable_are_remembered(world);
            world.bucket().release();
        }
        let until = Moment::now() + most;
        while Moment::now() < until && (world.table().len() > 0 || world.queue.len() > 0) {
            tokio::time::sleep(MINUTE).await;
        }
        over.cancel();
    }

    /// A job whose deletion cannot be confirmed has its record, and is due again within the longest
    /// pause.
    fn undeletable_are_remembered(&self, world: &World) {
        const LONGEST: u64 = 10 * 60_000 + 60_000;
        let now = world.now();
        let table = world.table();
        let remembered = table
            .jobs()
            .filter(|job| job.state.is_terminal() && job.purges == 0)
            .filter(|job| job.retry.is_some() && job.due.is_some_and(|due| due <= now + LONGEST))
            .count() as u64;
        let held = world.witness().excluded.len() as u64;
        if remembered != held {
            let mut witness = world.witness();
            witness
                .violate(Rule::Unconfirmed, || format!("{remembered} of {held} undeletable jobs are known"));
        }
    }

    fn report(&self, world: &Arc<World>, last_created: u64) -> Report {
        let left = world.bucket().jobs();
        let messages = world.queue.len();
        let dead: Vec<_> = world.queue.dead().iter().filter_map(|body| job_of(body)).collect();
        let mut witness = world.witness();
        witness.conclude();
        if let Some(first) = left.first() {
            witness.violate(Rule::NothingLeft, || {
                format!("something of {} jobs is in the bucket, such as {first}", left.len())
            });
        }
        if messages > 0 {
            witness.violate(Rule::NothingLeft, || format!("{messages} messages are in the queue"));
        }
        let (jobs, _) = witness.numbers();
        let (share, most) = self.deletions;
        let late = witness.delay(share);
        if late > most {
            witness.violate(Rule::Deletion, || {
                let others = (1.0 - share) * 100.0;
                format!("{others:.0} of a hundred deletions come {late} ms or more after they are due")
            });
        }
        let [_, by_index] = witness.all_throttled();
        let writes = world.bill.all(&[Action::WriteItem, Action::DeleteItem]);
        if self.throttled.is_none() && by_index * 1000 > writes {
            witness
                .violate(Rule::BackPressure, || format!("the index throttled {by_index} of {writes} writes"));
        }
        if self.is_budgeted {
            for text in budget::exceeded(&world.bill, jobs) {
                witness.violate(Rule::Budget, || text);
            }
        }
        Report::of(self, world, &witness, last_created, dead.len() as u64)
    }
}

/// Whether a job has an upload and has not ended.
fn has_work(world: &World) -> bool {
    let (bucket, table) = (world.bucket(), world.table());
    table.jobs().any(|job| {
        let key = upload_key(job.id, &job.order.file_name);
        !job.state.is_terminal() && (job.input.is_some() || bucket.latest(&key).is_some())
    })
}

/// Lets a shard of the index take hardly any writes.
async fn throttle(world: Arc<World>, from: Duration, to: Duration) {
    let set = |rate| {
        for work in Work::ALL {
            world.table().set_index_rate(Part { work, shard: 7 }, rate);
        }
    };
    tokio::time::sleep(from).await;
    set(THROTTLED_UNITS);
    tokio::time::sleep(to - from).await;
    set(world.services.partition_units);
}

/// Write units that each part of the throttled shard takes in a second: less than its jobs need.
const THROTTLED_UNITS: f64 = 0.5;

/// Notes the backlog each minute.
async fn watch(world: Arc<World>) {
    loop {
        tokio::time::sleep(MINUTE).await;
        let (ready, elapsed) = (world.queue.ready() as u32, world.elapsed());
        world.witness().backlog(ready, elapsed);
    }
}

/// Processor time of this thread.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

fn time() -> u64 {
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    since.as_nanos() as u64
}

/// Fails with what did not hold.
pub(crate) fn must_hold(report: &Report) {
    println!("{report}");
    let violations: Vec<String> = report.violations.iter().map(Violation::to_string).collect();
    assert!(violations.is_empty(), "{} (seed {}):\n{}", report.name, report.seed, violations.join("\n"));
    // Otherwise nothing was simulated.
    let completed = report.ended.get(State::Completed.as_str()).copied().unwrap_or_default();
    assert!(completed > report.jobs / 2, "{report}");
    assert!(report.requests(Program::Cleanup, Action::ListVersions) > 0, "{report}");
}
