//! Ledgers of workers killed at random moments, as a reviewer finds them.

use super::world::{World, large_archive};
use cadmill_core::domain::ids::JobId;
use cadmill_core::domain::job::State;
use cadmill_core::domain::ledger::chain::line_hash;
use cadmill_core::domain::ledger::verify::{Audit, Verdict, verify};
use cadmill_core::domain::ledger::{LedgerId, PublicKey};
use cadmill_core::ports::AuditSink;
use std::time::{Duration, Instant};

/// How many kills run at once.
const AT_ONCE: u32 = 4;

/// The size of the job: conversion takes most of the attempt.
const VERTICES: u32 = 100_000;

/// What a reviewer sees after a kill.
#[derive(Debug, Default)]
struct Seen {
    broken: u32,
    swept: u32,
}

/// The audit of a ledger file, and its bytes.
fn audit(world: &World, id: LedgerId, key: &PublicKey) -> Option<(Audit, Vec<u8>)> {
    let bytes = world.ledgers().read(id).ok()?;
    let head = world.ledgers().read_head(id).ok();
    Some((verify(&bytes, head.as_ref(), Some(key)), bytes))
}

/// Duration of an undisturbed attempt, from its claim to its end.
async fn undisturbed() -> Duration {
    let world = World::new().await;
    let _worker = world.worker("undisturbed", None);
    let id = world.submit(&large_archive(VERTICES), "dxf").await;
    world.wait(id, "claimed", |job| job.state != State::Pending).await;
    let since = Instant::now();
    world.completed(id).await;
    since.elapsed()
}

/// Kills a worker at this moment of its attempt, lets another end the job, and checks both ledgers
/// and that of the sweep.
async fn killed_after(moment: Duration) -> Seen {
    let world = World::new().await;
    let key = world.sign();
    let first = world.worker("first", None);
    let id = world.submit(&large_archive(VERTICES), "dxf").await;
    world.wait(id, "claimed", |job| job.state != State::Pending).await;
    tokio::time::sleep(moment).await;
    first.kill();
    let second = world.worker("second", None);
    let (job, _) = world.completed(id).await;
    world.queue_is_empty().await;
    world.workspace_is_empty().await;
    // If the first worker had ended the job, the second may still be starting.
    world.wait_until_said_times("\"ready\"", 2).await;
    assert_eq!(second.terminate(), Some(0));

    let last = audit(&world, LedgerId::of_attempt(id, job.attempt), &key).expect("a ledger");
    assert_eq!((last.0.verdict, &last.0.findings), (Verdict::Valid, &vec![]), "{moment:?}");
    let mut seen = Seen::default();
    if job.attempt == 2 {
        judge_the_killed(&world, id, &key, &mut seen, moment);
    }
    seen
}

fn judge_the_killed(world: &World, id: JobId, key: &PublicKey, seen: &mut Seen, moment: Duration) {
    let old = LedgerId::of_attempt(id, 1);
    // Killed before its ledger was opened, it had created nothing.
    let Some((killed, bytes)) = audit(world, old, key) else { return };
    // Between the close of the ledger and the end of the job, everything is already destroyed.
    if killed.verdict == Verdict::Valid {
        return;
    }
    assert_eq!(killed.verdict, Verdict::Incomplete, "{moment:?}: {killed:?}");
    assert!(killed.findings.is_empty(), "{moment:?}: {:?}", killed.findings);
    seen.broken += 1;
    let Some((sweep, _)) = audit(world, old.next_part(), key) else {
        // Nothing was left to sweep: what the ledger shows as left was being removed, or its
        // creation had been announced and had not happened.
        let unfinished: Vec<_> = killed.story.unfinished().map(|(file, _)| file).collect();
        let left: Vec<_> = killed.story.residual().filter(|file| !unfinished.contains(file)).collect();
        assert!(left.is_empty(), "{moment:?}: nobody tells of {left:?}");
        return;
    };
    assert_eq!((sweep.verdict, &sweep.findings), (Verdict::Valid, &vec![]), "{moment:?}: {sweep:?}");
    assert_eq!(sweep.story.residual().count(), 0);
    let [cited] = sweep.story.sweeps.as_slice() else { panic!("{:?}", sweep.story.sweeps) };
    let end = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    let last_line = bytes[..end].split_inclusive(|&byte| byte == b'\n').next_back().expect("a record");
    assert_eq!((cited.ledger, cited.last_hash.as_str()), (old, line_hash(last_line).as_str()), "{moment:?}");
    seen.swept += 1;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_moment_both_ledgers_hold_and_nothing_is_left() {
    killed_at_moments(8).await;
}

#[ignore = "in `make nightly`"]
#[tokio::test(flavor = "multi_thread")]
async fn killed_at_twenty_moments_both_ledgers_hold_and_nothing_is_left() {
    killed_at_moments(20).await;
}

async fn killed_at_moments(kills: u32) {
    let whole = undisturbed().await;
    let mut all = Seen::default();
    for round in 0..kills / AT_ONCE {
        let running: Vec<_> = (0..AT_ONCE)
            .map(|place| {
                // Spread over the attempt: each kill at a random moment of its share.
                let chance = JobId::random().to_string().bytes().map(u32::from).sum::<u32>() % 100;
                let share = (round * AT_ONCE + place) * 100 + chance;
                tokio::spawn(killed_after(whole * share / (kills * 100)))
            })
            .collect();
        for kill in running {
            let seen = kill.await.expect("a kill and its ledgers");
            all.broken += seen.broken;
            all.swept += seen.swept;
        }
    }
    println!("{all:?} of {kills} kills in {whole:?}");
    assert!(all.broken >= kills / 4 && all.swept >= kills / 5, "the kills came too late: {all:?}");
}
