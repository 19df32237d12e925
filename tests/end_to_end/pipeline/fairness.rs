//! An owner with many waiting jobs does not delay the job of another for longer than a few
//! conversions.

use super::world::{World, large_archive};
use cadmill_core::ports::Clock;
use cadmill_core::ports::clock::SystemClock;

/// Waiting jobs of the busy owner.
const MANY: usize = 60;

/// Jobs of the busy owner that may be converted before that of the other. The queue gives the other's event
/// to the next slot that asks, which the tests of the embedded queue show exactly. While that slot claims the
/// job, the other slot goes on, for as long as the machine lets the first one wait. In the order of their
/// arrival it would be all that are left, more than fifty.
const BETWEEN: usize = 12;

#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_another_owner_does_not_wait_for_all_of_a_busy_one() {
    let world = World::new().await;
    // Conversions of a tenth of a second, so that a claim that waits for the machine is not many of them.
    let archive = large_archive(20_000);
    let mut many = Vec::new();
    for _ in 0..MANY {
        many.push(world.submit_for("busy", &archive, "dxf").await);
    }
    let worker = world.worker("one", None);
    // The worker is in the middle of the busy owner's jobs.
    for id in &many[..4] {
        world.wait(*id, "ended", |job| job.state.is_terminal()).await;
    }
    let other = world.submit_for("other", &archive, "dxf").await;
    // Its event is in the queue. Before, the worker could not know of it, however long the upload took.
    let sent = SystemClock.now();
    let other = world.wait(other, "claimed", |job| job.times.claimed.is_some()).await;
    let claimed = other.times.claimed.expect("a time");
    let (mut before, mut left) = (0, 0);
    for id in &many {
        let job = world.job(*id).await;
        // A whole conversion that it waited for; the slots hold others that began or end meanwhile.
        let is_between = job.times.claimed.is_some_and(|time| time >= sent)
            && job.times.ended.is_some_and(|time| time <= claimed);
        before += usize::from(is_between);
        left += usize::from(!job.state.is_terminal());
    }
    assert!(before <= BETWEEN, "it waited for {before} conversions of the busy owner");
    assert!(left > 10, "the busy owner has only {left} jobs left, so nothing was shown");
    assert_eq!(worker.terminate(), Some(0));
}
