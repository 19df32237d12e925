//! The figures of a run.

use crate::bill::{Action, Program};
use crate::scenario::Scenario;
use crate::witness::{Minute, Rule, Violation, Witness};
use crate::world::World;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The figures of a run.
pub(crate) struct Report {
    pub(crate) name: &'static str,
    pub(crate) seed: u64,
    pub(crate) jobs: u64,
    pub(crate) ended: BTreeMap<&'static str, u64>,
    /// Jobs a second, from the first to the last creation.
    pub(crate) rate: f64,
    /// Most jobs that ended in one minute, a second.
    pub(crate) peak: f64,
    /// Delays of the deletions by the cleanup, in milliseconds: half, 99 of 100, all.
    pub(crate) delays: [u32; 3],
    pub(crate) deletions: u64,
    pub(crate) deletions_by_api: u64,
    pub(crate) attempts: u64,
    pub(crate) dead_letters: u64,
    /// Writes that were throttled by the table, by the index, and for so long that they failed.
    pub(crate) throttled: [u64; 3],
    /// Most write units that a partition of the table took in a second, and one of the index.
    pub(crate) busiest: [f64; 2],
    pub(crate) write_units: f64,
    pub(crate) most_waiting: u32,
    pub(crate) minutes: Vec<Minute>,
    pub(crate) violations: Vec<Violation>,
    pub(crate) wall: Duration,
    /// Processor time of the simulation's thread.
    pub(crate) cpu: Duration,
    world: Arc<World>,
}

impl Report {
    pub(crate) fn of(
        scenario: &Scenario,
        world: &Arc<World>,
        witness: &Witness,
        last_created: u64,
        dead_letters: u64,
    ) -> Self {
        let (jobs, _) = witness.numbers();
        let [table, index] = witness.all_throttled();
        Self {
            name: scenario.name,
            seed: scenario.seed,
            jobs,
            ended: witness.ended.clone(),
            rate: jobs as f64 * 1000.0 / last_created.max(1) as f64,
            peak: f64::from(witness.minutes.iter().map(|minute| minute.ended).max().unwrap_or_default())
                / 60.0,
            delays: [0.5, 0.99, 1.0].map(|fraction| witness.delay(fraction)),
            deletions: witness.delays.len() as u64,
            deletions_by_api: witness.deleted_by_api,
            attempts: witness.attempts,
            dead_letters,
            throttled: [table, index, witness.refused],
            busiest: world.table().busiest(),
            write_units: world.bill.write_units() as f64 / jobs.max(1) as f64,
            most_waiting: witness.minutes.iter().map(|minute| minute.waiting).max().unwrap_or_default(),
            minutes: witness.minutes.clone(),
            violations: witness.violations.clone(),
            wall: Duration::ZERO,
            cpu: Duration::ZERO,
            world: Arc::clone(world),
        }
    }

    /// Requests of a program.
    pub(crate) fn requests(&self, program: Program, action: Action) -> u64 {
        self.world.bill.requests(program, action)
    }

    /// Whether this rule did not hold.
    pub(crate) fn violates(&self, rule: Rule) -> bool {
        self.violations.iter().any(|violation| violation.rule == rule)
    }

    fn each(&self, actions: &[Action]) -> f64 {
        self.world.bill.all(actions) as f64 / self.jobs.max(1) as f64
    }

    /// Writes the figures as JSON, for docs/SCALE.md and its plot, into the directory that the
    /// environment names.
    pub(crate) fn save(&self) {
        let Some(directory) = std::env::var_os("CADMILL_SCALE_RESULTS") else { return };
        let minutes: Vec<[u64; 7]> = self
            .minutes
            .iter()
            .map(|minute| {
                let [table, index] = minute.throttled.map(u64::from);
                let counts = [minute.created, minute.ended, minute.deleted].map(u64::from);
                [counts[0], counts[1], counts[2], minute.delay, u64::from(minute.waiting), table, index]
            })
            .collect();
        let value = serde_json::json!({
            "name": self.name,
            "seed": self.seed,
            "jobs": self.jobs,
            "ended": self.ended,
            "rate": self.rate,
            "peak": self.peak,
            "delays": self.delays,
            "deletions": self.deletions,
            "deletions_by_api": self.deletions_by_api,
            "attempts": self.attempts,
            "dead_letters": self.dead_letters,
            "throttled": self.throttled,
            "busiest": self.busiest,
            "write_units": self.write_units,
            "waiting": self.most_waiting,
            "wall_seconds": self.wall.as_secs_f64(),
            "cpu_seconds": self.cpu.as_secs_f64(),
            "requests": REQUESTS.map(|(name, actions)| (name, self.each(actions))).into_iter().collect::<BTreeMap<_, _>>(),
            "violations": self.violations.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "minutes": minutes,
        });
        let path = Path::new(&directory).join(format!("{}.json", self.name.replace(' ', "-")));
        std::fs::write(path, value.to_string()).expect("a file of figures");
    }
}

/// Kinds of requests, as docs/SCALE.md shows them.
const REQUESTS: [(&str, &[Action]); 7] = [
    ("reads", &[Action::ReadItem, Action::Query, Action::BatchRead]),
    ("writes", &[Action::WriteItem, Action::DeleteItem]),
    ("lists", &[Action::ListParts, Action::ListVersions, Action::ListUploads]),
    ("puts", &[Action::PutObject]),
    ("gets", &[Action::GetObject, Action::GetVersioning]),
    ("deletes", &[Action::DeleteObject, Action::AbortUpload]),
    ("queue", &[Action::Send, Action::Receive, Action::DeleteMessage, Action::ChangeVisibility]),
];

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (wall, cpu) = (self.wall.as_secs_f64(), self.cpu.as_secs_f64());
        writeln!(
            f,
            "{} (seed {}): {} jobs in {wall:.1} s, {cpu:.1} s of a processor",
            self.name, self.seed, self.jobs
        )?;
        writeln!(
            f,
            "  ended: {:?}, {} attempts, {} dead letters",
            self.ended, self.attempts, self.dead_letters
        )?;
        writeln!(
            f,
            "  {:.1} jobs/s, at most {:.1}; at most {} messages wait",
            self.rate, self.peak, self.most_waiting
        )?;
        let [half, most, all] = self.delays.map(|millis| f64::from(millis) / 1000.0);
        writeln!(
            f,
            "  {} deletions by the cleanup after {half:.1} s, p99 {most:.1} s, at most {all:.1} s; {} by the API",
            self.deletions, self.deletions_by_api
        )?;
        let [table, index, failed] = self.throttled;
        writeln!(
            f,
            "  throttled: {table} by the table, {index} by the index, {failed} writes failed; busiest partitions: {:?} units/s",
            self.busiest
        )?;
        write!(f, "  for a job: {:.1} write units", self.write_units)?;
        REQUESTS.iter().try_for_each(|(name, actions)| write!(f, ", {:.1} {name}", self.each(actions)))
    }
}
