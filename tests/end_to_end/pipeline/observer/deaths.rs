//! Workers that end in the middle of a job, or whose job is ended under them; and the next worker,
//! which destroys what a killed one left behind.

use super::{Agreed, Verdict, Watch};
use crate::pipeline::world::{Worker, World, large_archive};
use cadmill_core::domain::ids::JobId;
use cadmill_core::domain::job::State;
use cadmill_core::domain::state::Event;
use rustix::process::Signal;
use std::time::Duration;

const VALID: Verdict = Verdict::Valid;

/// A job, and a worker that has stopped itself at the failpoint.
async fn stopped_at(failpoint: &str) -> Option<(Watch, JobId, Worker)> {
    let watch = Watch::new().await?;
    // A multipart result for failpoints in the middle of one.
    let vertices = if failpoint.starts_with("half-") { 500_000 } else { 100_000 };
    let id = watch.world.submit(&large_archive(vertices), "dxf").await;
    let first = watch.world.worker("first", Some(failpoint));
    first.stopped().await;
    Some((watch, id, first))
}

/// The job goes to a second worker, which ends it.
async fn ended_by_another(watch: &mut Watch, id: JobId) {
    let second = watch.world.worker("second", None);
    watch.world.completed(id).await;
    watch.world.queue_is_empty().await;
    watch.stop(second);
}

/// Killed there, what it left is swept by the second worker. Both ledgers and that of the sweep
/// match what was seen.
async fn killed_at(failpoint: &str) {
    let Some((mut watch, id, first)) = stopped_at(failpoint).await else { return };
    watch.kill(first, false);
    ended_by_another(&mut watch, id).await;
    let (agreed, verdicts) = watch.agrees();
    assert_eq!(verdicts, [(0, Verdict::Incomplete), (1, VALID), (0, VALID)], "{failpoint}");
    // The workspace, its four directories, and their contents.
    assert!(agreed.found > 5, "{failpoint}: {agreed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_every_stage_and_swept() {
    let failpoints = ["half-downloaded", "unpacked", "converting", "converted", "half-uploaded", "wiping"];
    // Three at once, as many as a small machine can run.
    for some in failpoints.chunks(3) {
        let kills: Vec<_> = some.iter().map(|failpoint| tokio::spawn(killed_at(failpoint))).collect();
        for kill in kills {
            kill.await.expect("a kill and its ledgers");
        }
    }
}

/// Killed at any moment, in the middle of calls that never return.
async fn killed_after(moment: Duration) {
    let Some(mut watch) = Watch::new().await else { return };
    let first = watch.world.worker("first", None);
    let id = watch.world.submit(&large_archive(200_000), "dxf").await;
    watch.world.wait(id, "claimed", |job| job.state != State::Pending).await;
    tokio::time::sleep(moment).await;
    watch.kill(first, false);
    ended_by_another(&mut watch, id).await;
    let (_, verdicts) = watch.agrees();
    let broken = verdicts.iter().filter(|(_, verdict)| *verdict == Verdict::Incomplete).count();
    assert!(broken <= 1 && verdicts.iter().all(|(_, v)| [VALID, Verdict::Incomplete].contains(v)));
}

#[ignore = "in `make nightly`"]
#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_moment_and_swept() {
    let chance = u64::from(JobId::random().to_string().as_bytes()[0]);
    let moments = [0, 1, 2, 3].map(|share| Duration::from_millis(share * 300 + chance * 2));
    let kills: Vec<_> = moments.map(|moment| tokio::spawn(killed_after(moment))).into();
    for kill in kills {
        kill.await.expect("a kill and its ledgers");
    }
}

/// Its tmpfs disappeared with it: nothing is removed, and there is no sweep.
#[tokio::test(flavor = "multi_thread")]
async fn private_workspaces_are_seen_as_well() {
    if !crate::pipeline::private::is_given() {
        return;
    }
    let Some(mut watch) = Watch::of(World::with_private_workspaces().await) else { return };
    let id = watch.world.submit(&large_archive(100_000), "dxf").await;
    let first = watch.world.worker("first", Some("converting"));
    first.stopped().await;
    watch.kill(first, true);
    ended_by_another(&mut watch, id).await;
    let (agreed, verdicts) = watch.agrees();
    assert_eq!(verdicts, [(0, Verdict::Incomplete), (0, VALID)]);
    assert!(agreed.lost >= 7 && agreed.made > agreed.lost + 7, "{agreed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_in_the_middle() {
    let Some((mut watch, id, first)) = stopped_at("converting").await else { return };
    watch.world.jobs.send(id, &Event::Cancelled).await.unwrap();
    first.signal(Signal::CONT);
    watch.world.queue_is_empty().await;
    watch.world.workspace_is_empty().await;
    assert_eq!(watch.world.job(id).await.state, State::Cancelled);
    watch.stop(first);
    assert_all_destroyed(&watch.agrees().0);
}

#[tokio::test(flavor = "multi_thread")]
async fn told_to_stop_in_the_middle() {
    let Some((mut watch, id, first)) = stopped_at("converting").await else { return };
    first.signal(Signal::TERM);
    first.signal(Signal::CONT);
    watch.stop(first);
    let job = watch.world.job(id).await;
    assert_eq!((job.state, job.excused), (State::Pending, 1));
    assert_all_destroyed(&watch.agrees().0);
    ended_by_another(&mut watch, id).await;
    let (agreed, verdicts) = watch.agrees();
    assert_eq!(verdicts, [(0, VALID), (0, VALID)]);
    assert_all_destroyed(&agreed);
}

fn assert_all_destroyed(agreed: &Agreed) {
    assert!(agreed.made > 6 && agreed.removed == agreed.made + agreed.found, "{agreed:?}");
}
