//! Days with many jobs, in minutes: the real rules, cleanup and worker loop on stores in memory with a
//! clock that the test drives, and AWS's limits as code. docs/SCALE.md has the figures.

mod bill;
mod bucket;
mod budget;
mod cleaners;
mod client;
mod fleet;
mod jobs;
mod ledgers;
mod limits;
mod objects;
mod process;
mod queue;
mod random;
mod report;
mod scenario;
mod table;
mod witness;
mod world;

use cadmill_core::domain::state::Policy;
use client::Habit;
use fleet::Fleet;
use scenario::{Cleaning, Phase, Scenario, must_hold};
use std::time::Duration;
use witness::Rule;
use world::Services;

/// A million jobs in a day, a second.
const DAY: f64 = 1e6 / 86_400.0;

const MINUTE: Duration = Duration::from_secs(60);

/// A million a day, evenly.
fn steady(seed: u64, jobs: u64) -> Scenario {
    Scenario {
        name: "steady",
        seed,
        phases: vec![Phase { seconds: f64::MAX, rate: DAY }],
        jobs,
        habit: None,
        fleet: Fleet { workers: 40, concurrency: 8, life: 120 * MINUTE }.of(jobs),
        cleaning: Cleaning::Programs(2),
        services: Services::default(),
        // A record is kept for an hour instead of a week: a million would not fit the memory.
        policy: Policy { record: 60 * 60 * 1000, ..Policy::default() },
        undeletable: 0,
        cleaner_dies: None,
        throttled: None,
        deletions: (0.99, 30_000),
        is_budgeted: true,
    }
}

/// The same in a bucket with versions, with ten times as many faults and short lives of workers.
fn troubled(seed: u64, jobs: u64) -> Scenario {
    let quiet = steady(seed, jobs);
    Scenario {
        name: "troubled",
        fleet: Fleet { life: 10 * MINUTE, ..quiet.fleet },
        services: Services { versioned: true, faults: 0.005, ..quiet.services },
        // A deletion is some fifteen requests: one in fourteen fails, and is tried again.
        deletions: (0.99, 60_000),
        is_budgeted: false,
        ..quiet
    }
}

/// Ten times as many for a while, with workers enough for them: all that ends in the peak is to be
/// deleted in it.
fn peaks(seed: u64, jobs: u64) -> Scenario {
    let peak = jobs as f64 / 2.0 / (10.0 * DAY);
    let before = jobs as f64 / 8.0 / DAY;
    Scenario {
        name: "peaks",
        phases: vec![
            Phase { seconds: before, rate: DAY },
            Phase { seconds: peak, rate: 10.0 * DAY },
            Phase { seconds: f64::MAX, rate: DAY },
        ],
        fleet: Fleet { workers: 40, concurrency: 80, life: 120 * MINUTE }.of(jobs),
        is_budgeted: false,
        ..steady(seed, jobs)
    }
}

/// The same with too few workers: most jobs wait for long.
fn backlog(seed: u64, jobs: u64) -> Scenario {
    let peaks = peaks(seed, jobs);
    let fleet = Fleet { workers: 10, concurrency: 8, ..peaks.fleet };
    Scenario { name: "backlog", fleet, ..peaks }
}

/// One of two cleanup programs is killed, while the second deletions are under way. For a minute, the other
/// does not do the work of both: that is much of a short run.
fn cleaner_dies(seed: u64, jobs: u64) -> Scenario {
    let calm = steady(seed, jobs);
    let half = Duration::from_secs_f64(jobs as f64 / DAY / 2.0);
    let at = half + Duration::from_millis(calm.policy.linger) + MINUTE;
    let deletions = if is_short(jobs) { (0.99, 75_000) } else { calm.deletions };
    Scenario { name: "cleaner dies", cleaner_dies: Some(at), deletions, ..calm }
}

/// A shard of the index takes hardly any writes for some time, while the second deletions are under way. Its
/// jobs wait, and no others: one in 64, which in a short run is more than one in a hundred.
fn throttled(seed: u64, jobs: u64) -> Scenario {
    let calm = steady(seed, jobs);
    let half = Duration::from_secs_f64(jobs as f64 / DAY / 2.0);
    let deletions = if is_short(jobs) { (0.97, 30_000) } else { calm.deletions };
    Scenario {
        name: "throttled",
        throttled: Some((half, half + 25 * MINUTE)),
        deletions,
        is_budgeted: false,
        ..calm
    }
}

/// Whether a scenario is over in minutes.
fn is_short(jobs: u64) -> bool {
    jobs < 10_000
}

/// A thousand jobs in twenty thousand whose uploads cannot be deleted.
fn undeletable(seed: u64, jobs: u64) -> Scenario {
    Scenario { name: "undeletable", undeletable: jobs / 20, is_budgeted: false, ..steady(seed, jobs) }
}

/// The planted fault: the loop that the cleanup replaced, on a day with three million.
fn old_loop(scenario: Scenario) -> Scenario {
    let phases = vec![Phase { seconds: f64::MAX, rate: 3.0 * DAY }];
    Scenario { name: "old loop", phases, cleaning: Cleaning::OldLoop, is_budgeted: false, ..scenario }
}

/// Forty times as many as on the day, at once, or sixty with an index of few partitions, which does not take
/// that. With `of`, that part of the jobs, and of what a partition takes.
fn rush(seed: u64, jobs: u64, index_partitions: usize, of: f64) -> Scenario {
    let calm = steady(seed, jobs);
    let partition_units = calm.services.partition_units / of;
    let (name, times) = if index_partitions == 4 { ("four shards", 60.0) } else { ("rush", 40.0) };
    Scenario {
        name,
        phases: vec![Phase { seconds: f64::MAX, rate: times * DAY / of }],
        fleet: Fleet { workers: 40, concurrency: (times * 6.0 / of).ceil() as u32, ..calm.fleet }.of(jobs),
        services: Services { index_partitions, partition_units, table_partitions: 64, ..calm.services },
        cleaning: Cleaning::Programs(6),
        is_budgeted: false,
        ..calm
    }
}

/// Some seconds at a rate, and no client that fetches its result: the cleanup deletes everything, each job
/// twice. The deletions come soon, so that the second of some jobs meet the first of others.
fn unattended(seed: u64, rate: f64, seconds: f64) -> Scenario {
    let jobs = (rate * seconds) as u64;
    let calm = steady(seed, jobs);
    Scenario {
        name: "unattended",
        phases: vec![Phase { seconds: f64::MAX, rate }],
        habit: Some(Habit::NeverFetches),
        fleet: Fleet { workers: 20, concurrency: (rate * 2.0) as u32, ..calm.fleet },
        cleaning: Cleaning::Programs(1),
        services: Services { table_partitions: 64, ..calm.services },
        policy: Policy { retention: 60_000, linger: 120_000, ..calm.policy },
        is_budgeted: false,
        ..calm
    }
}

#[test]
fn a_steady_day() {
    must_hold(&steady(Scenario::seed(), 4000).run());
}

#[test]
fn a_day_with_faults() {
    must_hold(&troubled(Scenario::seed(), 2000).run());
}

#[test]
fn a_peak() {
    must_hold(&peaks(Scenario::seed(), 2500).run());
}

#[test]
fn a_backlog() {
    must_hold(&backlog(Scenario::seed(), 2000).run());
}

#[test]
fn one_of_two_cleanup_programs_dies() {
    must_hold(&cleaner_dies(Scenario::seed(), 2500).run());
}

#[test]
fn a_part_is_throttled() {
    must_hold(&throttled(Scenario::seed(), 2000).run());
}

#[test]
fn what_cannot_be_deleted_delays_nothing_else() {
    must_hold(&undeletable(Scenario::seed(), 2000).run());
}

#[test]
fn the_old_loop_is_found() {
    let report = old_loop(steady(Scenario::seed(), 1500)).run();
    assert!(report.violates(Rule::Deletion), "{report}");
}

#[test]
fn an_index_of_four_shards_is_found() {
    let seed = Scenario::seed();
    must_hold(&rush(seed, 1000, 128, 50.0).run());
    let report = rush(seed, 1000, 4, 50.0).run();
    assert!(report.violates(Rule::BackPressure), "{report}");
}

#[test]
#[ignore = "minutes; `make nightly` runs it"]
fn a_million_jobs_in_a_day() {
    in_full(&[steady(Scenario::new_seed(), 1_000_000)]);
}

#[test]
#[ignore = "minutes; `make nightly` runs it"]
fn every_scenario_in_full() {
    let seed = Scenario::new_seed();
    in_full(&[
        peaks(seed, 100_000),
        backlog(seed, 30_000),
        troubled(seed, 50_000),
        cleaner_dies(seed, 50_000),
        throttled(seed, 50_000),
        undeletable(seed, 20_000),
        rush(seed, 50_000, 128, 1.0),
    ]);
}

#[test]
#[ignore = "minutes; `make nightly` runs it"]
fn each_planted_fault_is_found_in_full() {
    let seed = Scenario::new_seed();
    let four = (rush(seed, 100_000, 4, 1.0), Rule::BackPressure);
    for (planted, rule) in [four, (old_loop(steady(seed, 20_000)), Rule::Deletion)] {
        let report = planted.run();
        report.save();
        println!("{report}");
        assert!(report.violates(rule), "{report}");
    }
}

/// How many jobs a second one cleanup program deletes in time, as docs/SCALE.md says.
#[test]
#[ignore = "minutes; `make nightly` runs it"]
fn the_cleanup_deletes_as_much_as_is_said() {
    let (seed, mut wrong) = (Scenario::new_seed(), Vec::new());
    for (rate, seconds) in CAPACITY {
        let report = unattended(seed, rate, seconds).run();
        println!("{rate} jobs/s: {report}");
        if report.violates(Rule::Deletion) {
            wrong.push(rate);
        }
    }
    assert!(wrong.is_empty(), "not in time: {wrong:?}");
}

/// Jobs a second, and for how many seconds.
const CAPACITY: [(f64, f64); 2] = [(100.0, 300.0), (600.0, 120.0)];

fn in_full(scenarios: &[Scenario]) {
    for scenario in scenarios {
        let report = scenario.run();
        report.save();
        must_hold(&report);
    }
}
