//! Ledgers: one per attempt, and one per sweep of what a killed process left of an attempt. They
//! are those of the worker, and of `cadmill convert --audit`.

use crate::engine::posture::{self, Posture};
use cadmill_core::domain::failure::Failure;
use cadmill_core::domain::ids::JobId;
use cadmill_core::domain::job::Stage;
use cadmill_core::domain::ledger::LedgerId;
use cadmill_core::domain::ledger::record::Boundary;
use cadmill_core::ledger::{Ledger, Opening};
use cadmill_core::ports::clock::SystemClock;
use cadmill_stores::bootstrap::ledger::Auditing;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// What ledgers are opened with.
#[derive(Clone)]
pub struct LedgerFactory {
    /// Where ledgers are stored and which key signs them.
    pub auditing: Auditing,
    /// Name of the worker or of the command.
    pub worker: String,
    /// The guards in force; see [`posture_fields`].
    pub posture: BTreeMap<String, String>,
}

impl LedgerFactory {
    /// Opens the ledger of an attempt.
    ///
    /// # Errors
    /// `infra.audit`.
    pub fn attempt(&self, job: JobId, attempt: u32) -> Result<Ledger, Failure> {
        let Auditing { sink, signer } = &self.auditing;
        let opening = self.opening(LedgerId::of_attempt(job, attempt));
        Ledger::open(sink.as_ref(), signer.clone(), Arc::new(SystemClock), opening)
    }

    /// Opens the ledger of a sweep of what an attempt left. It cites the ledger of the attempt, and
    /// the ledgers of earlier sweeps that were killed.
    pub fn sweep(&self, left: LedgerId) -> Option<Ledger> {
        self.try_sweep(left)
            .inspect_err(|failure| {
                tracing::error!(job.id = %left.job, attempt = left.attempt, code = %failure.code, "a sweep has no ledger");
            })
            .ok()
    }

    fn try_sweep(&self, left: LedgerId) -> Result<Ledger, Failure> {
        let Auditing { sink, signer } = &self.auditing;
        let clock = Arc::new(SystemClock);
        let ledger = Ledger::open_next_part(sink.as_ref(), signer.clone(), clock, self.opening(left))?;
        let mut old = left;
        while old.part < ledger.id().part {
            if old == left || sink.read_head(old).is_err() {
                ledger.sweep(old, sink.read(old).ok().as_deref())?;
            }
            old = old.next_part();
        }
        Ok(ledger)
    }

    fn opening(&self, ledger: LedgerId) -> Opening {
        Opening { ledger, worker: self.worker.clone(), posture: self.posture.clone() }
    }
}

/// The posture as written to the first record of a ledger: for each guard, the verdict and the
/// observation.
pub fn posture_fields(posture: &Posture) -> BTreeMap<String, String> {
    let word = |name: &str| name.replace(|c: char| !c.is_ascii_alphanumeric(), "_").to_ascii_lowercase();
    let guards = posture::checks(posture)
        .into_iter()
        .map(|check| (word(check.name), format!("{}: {}", check.verdict.as_str(), check.found)));
    let levels = [("level", posture.level), ("minimum", posture.minimum)];
    guards.chain(levels.map(|(name, level)| (name.to_owned(), level.to_string()))).collect()
}

/// Records stages in the ledger. A stage ends where the next begins.
pub struct StageRecorder<'a> {
    ledger: &'a Ledger,
    current: Mutex<Option<Stage>>,
}

impl<'a> StageRecorder<'a> {
    /// Creates a recorder; no stage has begun.
    pub fn new(ledger: &'a Ledger) -> Self {
        Self { ledger, current: Mutex::new(None) }
    }

    /// Begins a stage; `None` ends the last one. A failure to record is reported at the next use of
    /// the ledger.
    pub fn enter(&self, stage: Option<Stage>) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if *current == stage {
            return;
        }
        let ended = current.map_or(Ok(()), |old| self.ledger.stage(old, Boundary::End));
        let begun = ended.and_then(|()| stage.map_or(Ok(()), |new| self.ledger.stage(new, Boundary::Begin)));
        if begun.is_ok() {
            *current = stage;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::confinement::{InForce, Level};
    use crate::engine::posture::Machine;

    #[test]
    fn the_posture_is_told_in_words_that_a_ledger_takes() {
        let posture = Posture {
            engine: InForce::default(),
            machine: Machine::default(),
            level: Level::None,
            minimum: Level::Files,
        };
        let told = posture_fields(&posture);
        assert_eq!((told["level"].as_str(), told["minimum"].as_str()), ("none", "files"));
        assert_eq!(told["files"], "MISSING: none");
        assert!(told.contains_key("swap") && told.len() > 10, "{told:?}");
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '.' || c == '_';
        assert!(told.keys().all(|name| name.chars().all(plain)), "{told:?}");
    }
}
