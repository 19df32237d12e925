//! The evidence of deletions in the ledgers of a job: who writes it, and what happens when that fails.
//!
//! A deletion never waits for its evidence for long, and never fails for its lack: the job's record
//! then says that the evidence is owed, and the cleanup tries again. A sink or a signer that does not
//! answer is left alone for some time, so that it does not slow deletions down.

use crate::domain::failure::{Failure, FailureCode};
use crate::domain::ids::JobId;
use crate::domain::ledger::SignedHead;
use crate::domain::ledger::record::Purge;
use crate::ledger::deletion;
use crate::ports::{AuditSink, Signer};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// How long a deletion waits for its evidence: less than the API gives a request.
const WITHIN: Duration = Duration::from_secs(5);

/// A failure that takes longer than this is not a quick one.
const SLOW: Duration = Duration::from_secs(1);

/// How long nothing is written after a slow failure, unless another ledger was written meanwhile: then the sink is
/// slow or many are waiting, and it does not hang.
const REST: Duration = Duration::from_secs(30);

/// Ledgers that are written at once. Each takes a thread, for ever if the sink hangs.
const AT_ONCE: usize = 16;

/// Where ledgers are kept, and what signs them.
#[derive(Clone)]
pub struct Keeper {
    /// The sink.
    pub sink: Arc<dyn AuditSink>,
    /// The signer; `None` if heads are not signed.
    pub signer: Option<Arc<dyn Signer>>,
}

/// Opens the sink and the signer. Blocks.
pub type OpenKeeper = dyn Fn() -> Result<Keeper, Failure> + Send + Sync;

/// Who writes the evidence of a program's deletions.
#[derive(Clone, Default)]
pub enum Ledgers {
    /// No program: the records of the jobs are all there is.
    #[default]
    Nowhere,
    /// The cleanup, after a program that has no access to ledgers.
    Elsewhere,
    /// The program itself.
    Here(Writer),
}

/// Writes evidence.
#[derive(Clone)]
pub struct Writer(Arc<Inner>);

struct Inner {
    open: Box<OpenKeeper>,
    keeper: Mutex<Option<Keeper>>,
    threads: Arc<Semaphore>,
    rests: Mutex<Rests>,
}

/// When the sink is left alone.
#[derive(Default)]
struct Rests {
    until: Option<Instant>,
    /// When a ledger was written the last time.
    written: Option<Instant>,
}

impl Writer {
    /// Writes to this sink.
    pub fn new(sink: Arc<dyn AuditSink>, signer: Option<Arc<dyn Signer>>) -> Self {
        let keeper = Keeper { sink, signer };
        Self::opening(Box::new(move || Ok(keeper.clone())))
    }

    /// Opens the sink before its first use. If that fails, it is opened at the next use: a signer that
    /// cannot be reached when the program starts must not keep it from deleting.
    pub fn opening(open: Box<OpenKeeper>) -> Self {
        let threads = Arc::new(Semaphore::new(AT_ONCE));
        Self(Arc::new(Inner { open, keeper: Mutex::default(), threads, rests: Mutex::default() }))
    }

    /// Opens the sink and the signer now. Blocks.
    ///
    /// # Errors
    /// `infra.audit` and `usage.invalid`.
    pub fn open(&self) -> Result<Keeper, Failure> {
        let mut keeper = self.0.keeper.lock().unwrap_or_else(PoisonError::into_inner);
        match &*keeper {
            Some(keeper) => Ok(keeper.clone()),
            None => Ok(keeper.insert((self.0.open)()?).clone()),
        }
    }

    /// Records the deletion in the next ledger of the job's deletions after `known`, as `name`.
    ///
    /// # Errors
    /// `infra.audit`: a ledger may have been written all the same.
    pub(super) async fn write(
        &self,
        job: JobId,
        known: u32,
        name: &str,
        purge: Purge,
    ) -> Result<SignedHead, Failure> {
        if self.rests().until.is_some_and(|until| Instant::now() < until) {
            return Err(failed("it has failed a moment ago"));
        }
        let begun = Instant::now();
        let written = tokio::time::timeout(WITHIN, self.write_blocking(job, known, name, purge)).await;
        let written = written.unwrap_or_else(|_| Err(failed("it takes too long")));
        let mut rests = self.rests();
        if written.is_err() && begun.elapsed() > SLOW && rests.written.is_none_or(|at| at < begun) {
            rests.until = Some(Instant::now() + REST);
        }
        drop(rests);
        written
    }

    async fn write_blocking(
        &self,
        job: JobId,
        known: u32,
        name: &str,
        purge: Purge,
    ) -> Result<SignedHead, Failure> {
        let permit = Arc::clone(&self.0.threads).acquire_owned().await;
        let permit = permit.map_err(|_| failed("the program ends"))?;
        let (this, name) = (self.clone(), name.to_owned());
        let task = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let Keeper { sink, signer } = this.open()?;
            let head = deletion::record(sink.as_ref(), signer.as_ref(), (job, known), &name, &purge)?;
            // Also if nothing waits for it any more.
            *this.rests() = Rests { until: None, written: Some(Instant::now()) };
            Ok(head)
        });
        task.await.map_err(|_| failed("the thread that writes it has ended"))?
    }

    fn rests(&self) -> std::sync::MutexGuard<'_, Rests> {
        self.0.rests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn failed(why: &str) -> Failure {
    Failure::new(FailureCode::Audit, format!("the ledger of a deletion cannot be written: {why}"))
}
