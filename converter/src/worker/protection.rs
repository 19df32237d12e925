//! Protects the ECS task from scale-in while this worker holds jobs.
//!
//! A service that scales in would otherwise stop a long conversion after `worker.stop_within`, and
//! its job would start over elsewhere. Protection is best effort: without it no job is lost.

use super::context::Shared;
use cadmill_core::ports::PortError;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Validity of the protection. It ends by itself if this worker dies but its task lives.
const MINUTES: u32 = 10;

/// How often the protection is renewed while jobs are held.
const RENEW: Duration = Duration::from_secs(150);

/// How long no job must be held before the protection is ended: a queue of small jobs must not
/// cause two requests for each of them.
const IDLE: Duration = Duration::from_secs(5);

/// Pause after a failed request.
const RETRY: Duration = Duration::from_secs(15);

/// How often the jobs are counted, beside each claim.
const TICK: Duration = Duration::from_secs(1);

/// What must be requested from ECS now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Nothing,
    Protect,
    Release,
}

/// What is known of the protection.
#[derive(Debug, Clone, Copy, Default)]
struct Known {
    /// When it was last confirmed, if it is in force.
    protected: Option<Instant>,
    /// Since when no job is held.
    idle: Option<Instant>,
    /// No request is made before this time.
    not_before: Option<Instant>,
}

impl Known {
    fn step(&mut self, busy: bool, now: Instant) -> Step {
        let idle = if busy { now } else { *self.idle.get_or_insert(now) };
        if busy {
            self.idle = None;
        }
        if self.not_before.is_some_and(|time| now < time) {
            return Step::Nothing;
        }
        match (busy, self.protected) {
            (true, None) => Step::Protect,
            (true, Some(since)) if now.duration_since(since) >= RENEW => Step::Protect,
            (false, Some(_)) if now.duration_since(idle) >= IDLE => Step::Release,
            _ => Step::Nothing,
        }
    }
}

impl Shared {
    /// Requests and releases the protection until the task is aborted; returns at once outside of
    /// ECS.
    pub(super) async fn protect_while_busy(self: Arc<Self>) {
        let Some(protection) = self.settings.protection.clone() else { return };
        let mut known = Known::default();
        let mut warned = false;
        loop {
            let busy = self.active().values().any(|active| active.hold.is_some());
            let step = known.step(busy, Instant::now());
            let asked = Instant::now();
            let result = match step {
                Step::Nothing => Ok(()),
                Step::Protect => protection.set(Some(MINUTES)).await,
                Step::Release => protection.set(None).await,
            };
            match (result, step) {
                (Ok(()), Step::Nothing) => {}
                (Ok(()), Step::Protect) => (known.protected, warned) = (Some(asked), false),
                (Ok(()), Step::Release) => (known.protected, warned) = (None, false),
                // A task without a service: nothing scales it in, and nothing can protect it.
                (Err(PortError::Refused { reason, .. }), _) if reason == "TASKNOTVALID" => {
                    tracing::info!("the task does not belong to a service and needs no scale-in protection");
                    return;
                }
                (Err(error), _) => {
                    known.not_before = Some(asked + RETRY);
                    if !warned {
                        tracing::warn!(error = %error, "a scale-in may stop this task during a conversion; the task role needs ecs:UpdateTaskProtection");
                    }
                    warned = true;
                }
            }
            tokio::select! {
                () = self.claimed.notified() => {}
                () = tokio::time::sleep(TICK) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protection_lasts_as_long_as_jobs_are_held() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut known = Known::default();
        assert_eq!(known.step(false, at(0)), Step::Nothing);
        assert_eq!(known.step(true, at(1)), Step::Protect);
        known.protected = Some(at(1));
        assert_eq!(known.step(true, at(100)), Step::Nothing);
        assert_eq!(known.step(true, at(151)), Step::Protect);
        known.protected = Some(at(151));
        // Small jobs with pauses between them.
        for second in [160, 162, 164, 166, 168] {
            assert_eq!(known.step(second % 4 == 0, at(second)), Step::Nothing, "{second}");
        }
        assert_eq!(known.step(false, at(169)), Step::Nothing);
        assert_eq!(known.step(false, at(174)), Step::Release);
        known.protected = None;
        assert_eq!(known.step(false, at(175)), Step::Nothing);
        known.not_before = Some(at(190));
        assert_eq!(known.step(true, at(180)), Step::Nothing);
        assert_eq!(known.step(true, at(190)), Step::Protect);
    }
}
