//! Many workers at once, each behind a store that fails at random, with duplicate events and
//! leases that are considered dead.

use super::*;
use cadmill_core::domain::job::{JobFailure, Stage};
use proptest::prelude::*;
use std::collections::HashMap;

/// The next action of a worker.
#[derive(Debug, Clone)]
enum Act {
    /// Claims the job; if `steal`, considers an existing lease dead.
    Claim {
        steal: bool,
    },
    Renew,
    Progress(u16),
    Release {
        failed: bool,
    },
    Complete,
    Fail,
    Cancel,
}

/// What the store confirmed to a worker: that it holds an attempt, or that its output is the
/// job's.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Told {
    Claimed {
        attempt: u32,
        revision: u64,
    },
    Completed {
        worker: String,
    },
    /// The store did not report whether the claim took effect.
    Unsure,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => any::<bool>().prop_map(|steal| Act::Claim { steal }),
        1 => Just(Act::Renew),
        1 => (0u16..1000).prop_map(Act::Progress),
        1 => any::<bool>().prop_map(|failed| Act::Release { failed }),
        2 => Just(Act::Complete),
        1 => Just(Act::Fail),
        1 => prop::sample::select(vec![Act::Cancel, Act::Renew, Act::Renew]),
    ]
}

fn fault() -> impl Strategy<Value = (&'static str, u32, Fault)> {
    let operation = prop::sample::select(vec!["get", "replace", "replace"]);
    let fault = prop_oneof![
        2 => Just(Fault::DropReply),
        1 => Just(Fault::Fail),
        1 => Just(Fault::Twice),
        1 => (1u64..20).prop_map(|time| Fault::Delay(millis(time))),
    ];
    (operation, 1u32..12, fault)
}

/// A worker's actions, each made once or twice, and the faults of its store.
type Schedule = (Vec<(Act, bool)>, Vec<(&'static str, u32, Fault)>);

fn life() -> impl Strategy<Value = Schedule> {
    (prop::collection::vec((act(), any::<bool>()), 1..7), prop::collection::vec(fault(), 0..6))
}

async fn live(jobs: Jobs, id: JobId, worker: String, acts: Vec<(Act, bool)>) -> Vec<Told> {
    let (mut told, mut mine, mut revision) = (Vec::new(), 0, 0u64);
    for (act, twice) in acts {
        let there = jobs.store().get(id).await.ok().flatten();
        revision += 1;
        // Unique among the workers.
        let fresh = u64::from(worker.as_bytes()[0]) << 32 | revision;
        let dead = there.and_then(|job| job.lease).map(|lease| lease.revision);
        let failure = || JobFailure {
            code: FailureCode::StoreUnavailable,
            message: "by chance".to_owned(),
            at: Some(Stage::Fetch),
        };
        let event = match act {
            Act::Claim { steal } => {
                Event::Claimed { worker: worker.clone(), revision: fresh, dead: dead.filter(|_| steal) }
            }
            Act::Renew => {
                Event::Renewed { attempt: mine, revision: fresh, progress: Some((Stage::Fetch, 7)) }
            }
            Act::Progress(progress) => Event::Progressed { attempt: mine, stage: Stage::Fetch, progress },
            Act::Release { failed } => Event::Released { attempt: mine, failure: failed.then(failure) },
            Act::Complete => output(id, mine, &worker),
            Act::Fail => Event::Failed { attempt: mine, failure: failure() },
            Act::Cancel => Event::Cancelled,
        };
        for _ in 0..1 + u32::from(twice) {
            match (jobs.send(id, &event).await, &event) {
                (
                    Ok(Change::Done(job) | Change::Ignored(Ignored::Duplicate, job)),
                    Event::Claimed { revision, .. },
                ) => {
                    mine = job.attempt;
                    told.push(Told::Claimed { attempt: mine, revision: *revision });
                }
                (Ok(Change::Done(_) | Change::Ignored(Ignored::Duplicate, _)), Event::Completed { .. }) => {
                    told.push(Told::Completed { worker: worker.clone() })
                }
                (Err(error), Event::Claimed { .. }) => {
                    assert!(error.is_transient(), "{error}");
                    told.push(Told::Unsure);
                }
                _ => {}
            }
        }
    }
    told
}

async fn lives(lives: Vec<Schedule>) -> (Job, Vec<Told>) {
    let world = world();
    let id = world.uploaded().await;
    let mut tasks = Vec::new();
    for (name, (acts, faults)) in ('a'..).zip(lives) {
        let script = faults
            .into_iter()
            .fold(Script::new(), |script, (operation, call, fault)| script.on(operation, call, fault));
        tasks.push(tokio::spawn(live(world.under(script), id, name.to_string(), acts)));
    }
    let mut told = Vec::new();
    for task in tasks {
        told.extend(task.await.unwrap());
    }
    (world.store.get(id).await.unwrap().unwrap(), told)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, max_shrink_iters: 64, ..ProptestConfig::default() })]

    #[test]
    fn an_attempt_has_one_winner_and_a_job_one_end(workers in prop::collection::vec(life(), 2..6)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (job, told) = runtime.block_on(lives(workers));

        let mut winners = HashMap::new();
        for one in &told {
            if let Told::Claimed { attempt, revision } = one {
                prop_assert_eq!(*winners.entry(*attempt).or_insert(*revision), *revision, "{:?}", told);
                prop_assert!(*attempt <= job.attempt);
            }
        }
        let ends: Vec<&String> = told
            .iter()
            .filter_map(|one| match one { Told::Completed { worker } => Some(worker), _ => None })
            .collect();
        // A confirmed output is the job's output, for good.
        if let Some(first) = ends.first() {
            prop_assert!(ends.iter().all(|worker| worker == first), "{:?}", told);
            prop_assert_eq!(job.state, State::Completed);
            prop_assert_eq!(job.output.as_ref().map(|output| &output.etag), Some(*first));
        }
        prop_assert_eq!(job.output.is_some(), job.state == State::Completed);
    }
}
