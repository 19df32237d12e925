//! The ledgers of `cadmill convert --audit`: like a worker's, in a directory, without a job's
//! record.
//!
//! A conversion has a new job id and a single attempt. Its ledger is opened before there is any
//! plaintext and closed when all of it is destroyed. What the sweep at the start destroys is on
//! record too: of a killed conversion with a ledger, in the next part of that ledger; of one without,
//! in a new ledger.

use crate::output;
use cadmill_converter::conversion::report::{Observer, Stage as Step};
use cadmill_converter::engine::posture::Posture;
use cadmill_converter::engine::supervisor::Identity;
use cadmill_converter::worker::{LedgerFactory, StageRecorder, posture_fields};
use cadmill_core::domain::failure::{Failure, FailureCode};
use cadmill_core::domain::ids::JobId;
use cadmill_core::domain::job::Stage;
use cadmill_core::domain::ledger::LedgerId;
use cadmill_core::ledger::{Ledger, LocalSigner};
use cadmill_core::ports::Signer;
use cadmill_stores::adapters::ledger::FileAudit;
use cadmill_stores::bootstrap::ledger::Auditing;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The name that stands in a ledger where a worker's would.
const NAME: &str = "cadmill convert";

/// Opens ledgers in the directory of `--audit`.
pub(crate) struct Recording {
    files: FileAudit,
    factory: LedgerFactory,
}

impl Recording {
    /// Reads the key and makes the directory.
    ///
    /// # Errors
    /// `infra.audit`.
    pub(crate) fn open(directory: &Path, key: Option<&Path>, posture: &Posture) -> Result<Self, Failure> {
        let signer = key.map(LocalSigner::from_file).transpose()?;
        let signer = signer.map(|signer| Arc::new(signer) as Arc<dyn Signer>);
        if signer.is_none() {
            output::note("warning: without --audit-key the ledger is unsigned and proves nothing");
        }
        let files = FileAudit::new(directory).map_err(|e| Failure::new(FailureCode::Audit, e.to_string()))?;
        let auditing = Auditing { sink: Arc::new(files.clone()), signer };
        let (worker, posture) = (NAME.to_owned(), posture_fields(posture));
        Ok(Self { files, factory: LedgerFactory { auditing, worker, posture } })
    }

    /// Opens the ledger of a conversion.
    ///
    /// # Errors
    /// `infra.audit`.
    pub(crate) fn conversion(&self) -> Result<Arc<Ledger>, Failure> {
        self.factory.attempt(JobId::random(), 1).map(Arc::new)
    }

    /// Opens the ledger of a sweep.
    pub(crate) fn sweep(&self, left: Option<LedgerId>) -> Option<Ledger> {
        match left {
            Some(left) => self.factory.sweep(left),
            None => self.factory.attempt(JobId::random(), 1).ok(),
        }
    }

    /// The file of a ledger.
    pub(crate) fn path(&self, ledger: LedgerId) -> PathBuf {
        self.files.path(ledger)
    }
}

/// Runs a conversion with an observer that records its stages too, and closes its ledger. A
/// conversion whose ledger cannot be closed has failed.
pub(crate) fn run<T, F>(
    ledger: &Ledger,
    observer: &mut dyn Observer,
    convert: impl FnOnce(&mut dyn Observer) -> (Result<T, Failure>, F),
) -> (Result<T, Failure>, F) {
    let mut recorded = Recorded { observer, stages: StageRecorder::new(ledger) };
    recorded.stages.enter(Some(Stage::Fetch));
    let (result, facts) = convert(&mut recorded);
    recorded.stages.enter(None);
    let outcome = result.as_ref().map_or_else(|failure| failure.code.as_str(), |_| "completed");
    let result = match (ledger.close(outcome), result) {
        (Err(failure), Ok(_)) => {
            let text = format!("{}; the output was written nevertheless", failure.message);
            Err(Failure::new(failure.code, text))
        }
        (_, result) => result,
    };
    (result, facts)
}

struct Recorded<'a> {
    observer: &'a mut dyn Observer,
    stages: StageRecorder<'a>,
}

impl Observer for Recorded<'_> {
    fn stage(&mut self, stage: Step) {
        self.stages.enter(Some(match stage {
            Step::Unpack => Stage::Fetch,
            Step::Convert => Stage::Convert,
            Step::Publish => Stage::Publish,
            Step::Remove => Stage::Wipe,
        }));
        self.observer.stage(stage);
    }

    fn progress(&mut self, fraction: f64) {
        self.observer.progress(fraction);
    }

    fn engine(&mut self, name: &str, identity: &Identity) {
        self.observer.engine(name, identity);
    }

    fn warning(&mut self, line: &str, is_loss: bool) {
        self.observer.warning(line, is_loss);
    }
}
