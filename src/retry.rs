//! The pause between two tries of a conditional write.

use std::time::Duration;

/// Exponential backoff of 20 ms, 40 ms, … 1.28 s, each shortened by up to half at random, so that
/// writers that collided do not collide again.
pub(crate) async fn pause(round: u32) {
    let full = 20u64 << round.min(6);
    let mut byte = [0u8; 1];
    let chance = getrandom::fill(&mut byte).map_or(0, |()| u64::from(byte[0]));
    tokio::time::sleep(Duration::from_millis(full - full * chance / 512)).await;
}
