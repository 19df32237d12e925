//! Workers: the real loop of `cadmill_converter::worker` in which only the attempt is another, that lets
//! time pass. They are killed, stopped and started again.

use crate::bill::{Action, Program};
use crate::client::Size;
use crate::jobs::TableJobs;
use crate::ledgers::{Ledgers, NoSigner};
use crate::objects::BucketObjects;
use crate::process::{Process, ProcessClock};
use crate::queue::{BUCKET, QueueEvents};
use crate::random::Random;
use crate::world::World;
use bytes::Bytes;
use cadmill_converter::conversion::context::ConversionContext;
use cadmill_converter::conversion::description_cache::DescriptionCache;
use cadmill_converter::engine::registry::Engines;
use cadmill_converter::engine::supervisor::Supervisor;
use cadmill_converter::intake::DownloadConfig;
use cadmill_converter::worker::{Attempt, Attempts, Ended, LedgerFactory, Worker, WorkerSettings};
use cadmill_converter::workspace::WorkspaceRoot;
use cadmill_core::domain::failure::{Failure, FailureCode};
use cadmill_core::domain::ids::ObjectKey;
use cadmill_core::domain::job::{Object, Stage};
use cadmill_core::domain::limits::{ArchiveLimits, Caps};
use cadmill_core::domain::state::Policy;
use cadmill_core::jobs::Jobs;
use cadmill_core::ports::PortError;
use cadmill_stores::bootstrap::ledger::Auditing;
use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Bytes of a range of a download, and of a part of a result: docs/PIPELINE.md.
const RANGE: u64 = 8 << 20;
const LARGE_PART: u64 = 32 << 20;
const LARGE_RESULT: u64 = 1 << 30;

/// How often an attempt looks whether it is cancelled.
const STEP: Duration = Duration::from_secs(2);

/// Of the attempts, those that fail: by their input, and by the worker's machine.
const BAD_INPUTS: f64 = 0.03;
const BAD_MACHINES: f64 = 0.005;

/// The workers of a simulation.
#[derive(Debug, Clone)]
pub(crate) struct Fleet {
    pub(crate) workers: usize,
    /// Jobs at once in each.
    pub(crate) concurrency: u32,
    /// How long a worker lives on average; half of them are killed, and half are stopped.
    pub(crate) life: Duration,
}

impl Fleet {
    /// For few jobs, the same places in fewer workers: those that wait for jobs also take time.
    pub(crate) fn of(self, jobs: u64) -> Self {
        match jobs {
            0..10_000 => Self { workers: self.workers / 5, concurrency: self.concurrency * 5, ..self },
            _ => self,
        }
    }

    /// Starts the fleet; it runs until `over` is cancelled.
    pub(crate) fn start(&self, world: &Arc<World>, policy: Policy, seed: u64, over: &CancellationToken) {
        for slot in 0..self.workers as u64 {
            let (world, random, over) = (Arc::clone(world), Random::of(seed, slot << 32), over.clone());
            let kept = self.clone().keep(world, policy, slot, random);
            tokio::spawn(async move { over.run_until_cancelled(kept).await });
        }
    }

    /// One worker after the other.
    async fn keep(self, world: Arc<World>, policy: Policy, slot: u64, mut random: Random) {
        for generation in 0.. {
            let process = Process::new(&world, Program::Worker);
            let stop = CancellationToken::new();
            let name = format!("worker-{slot}-{generation}");
            let worker = worker(&process, policy, name, self.concurrency, stop.clone(), random.bits());
            let running = Running { process, task: tokio::spawn(async move { worker.run().await }) };
            tokio::time::sleep(random.gap(1.0 / self.life.as_secs_f64())).await;
            if random.chance(0.5) {
                stop.cancel();
                while !running.task.is_finished() {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
            drop(running);
            tokio::time::sleep(Duration::from_millis(random.between(10_000, 60_000))).await;
        }
    }
}

/// A running worker, which is killed when this is dropped.
struct Running {
    process: Arc<Process>,
    task: tokio::task::JoinHandle<bool>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.process.kill();
        self.task.abort();
    }
}

fn worker(
    process: &Arc<Process>,
    policy: Policy,
    name: String,
    concurrency: u32,
    stop: CancellationToken,
    seed: u64,
) -> Worker {
    let clock = Arc::new(ProcessClock(Arc::clone(process)));
    let jobs = Jobs::new(Arc::new(TableJobs(Arc::clone(process))), clock, policy);
    let settings = WorkerSettings {
        name: name.clone(),
        bucket: BUCKET.to_owned(),
        concurrency,
        memory_bytes: 1 << 50,
        stop_within: Duration::from_secs(25),
        caps: Caps::default(),
        archive: ArchiveLimits::default(),
        flow: DownloadConfig::default(),
        protection: None,
    };
    // Nothing is written to disk, and no engine is started.
    let nowhere = std::path::PathBuf::from("/nonexistent/cadmill-scale");
    let context = ConversionContext {
        engines: Engines::default(),
        place: WorkspaceRoot::new(nowhere.clone(), true),
        supervisor: Supervisor::new(nowhere),
        hosts: None,
        descriptions: DescriptionCache::default(),
    };
    let sink = Arc::new(Ledgers(Arc::clone(&process.world)));
    let auditing = Auditing { sink, signer: Some(Arc::new(NoSigner)) };
    let recording = LedgerFactory { auditing, worker: name, posture: [].into() };
    let objects = Arc::new(BucketObjects(Arc::clone(process)));
    let queue = Arc::new(QueueEvents(Arc::clone(process)));
    let attempts = Arc::new(TimedAttempts { process: Arc::clone(process), seed });
    Worker::new(settings, context, recording, jobs, objects, queue, stop).attempting(attempts)
}

/// Attempts that read and write what a conversion would, and take as long, without an engine.
struct TimedAttempts {
    process: Arc<Process>,
    seed: u64,
}

impl Attempts for TimedAttempts {
    fn run(&self, attempt: Attempt) -> BoxFuture<'_, Ended> {
        Box::pin(self.attempt(attempt))
    }
}

impl TimedAttempts {
    async fn attempt(&self, attempt: Attempt) -> Ended {
        let ledger = match attempt.open_ledger() {
            Ok(ledger) => ledger,
            Err(failure) => return Ended::unrecorded(failure, Stage::Fetch),
        };
        let result = match attempt.refused() {
            Some(failure) => Err((failure.clone(), Stage::Fetch)),
            None => self.work(&attempt).await,
        };
        self.process.alive().await;
        attempt.enter(Stage::Wipe);
        attempt.close(&ledger, result)
    }

    async fn work(&self, attempt: &Attempt) -> Result<Object, (Failure, Stage)> {
        let job = attempt.job();
        let size = Size::of_bytes(job.order.size_bytes);
        let mut random = Random::of(self.seed, job.times.created ^ u64::from(job.attempt));
        let whole = Duration::from_secs(size.seconds()).mul_f64(0.7 + 0.6 * random.fraction());
        self.process.world.bill.add(Program::Worker, Action::GetObject, size.bytes().div_ceil(RANGE));
        for (stage, share) in [(Stage::Fetch, 0.3), (Stage::Convert, 0.5), (Stage::Publish, 0.2)] {
            attempt.enter(stage);
            self.pass(attempt, whole.mul_f64(share)).await.map_err(|failure| (failure, stage))?;
            if stage == Stage::Convert {
                let failed = match random.fraction() {
                    chance if chance < BAD_INPUTS => Some(FailureCode::InputDigestMismatch),
                    chance if chance < BAD_INPUTS + BAD_MACHINES => Some(FailureCode::Io),
                    _ => None,
                };
                if let Some(code) = failed {
                    return Err((Failure::new(code, "it does not succeed"), stage));
                }
            }
        }
        self.publish(attempt, size.result_bytes()).await.map_err(|failure| (failure, Stage::Publish))
    }

    /// Lets time pass, as long as the attempt is not cancelled.
    async fn pass(&self, attempt: &Attempt, time: Duration) -> Result<(), Failure> {
        let mut left = time;
        while !left.is_zero() {
            let step = left.min(STEP);
            self.process.sleep(step).await;
            left -= step;
            attempt.progress(1.0 - left.as_secs_f64() / time.as_secs_f64());
            if attempt.is_cancelled() {
                return Err(Failure::new(FailureCode::Cancelled, "cancelled"));
            }
        }
        Ok(())
    }

    /// Stores the result as `worker/upload.rs` does: small ones at once, others in parts, of which one is
    /// sent and the others are counted.
    async fn publish(&self, attempt: &Attempt, bytes: u64) -> Result<Object, Failure> {
        let (job, objects) = (attempt.job(), attempt.objects());
        let key =
            ObjectKey::processed(job.id, job.attempt, "plan of the third floor.glb".parse().expect("a name"));
        if bytes <= RANGE {
            repeated(|| objects.put(&key, Bytes::from_static(&[0; 64]))).await?;
        } else {
            let upload = objects.begin_multipart(&key).await?;
            let sent = async {
                let body = Bytes::from_static(&[0; 64]);
                repeated(|| async { objects.put_part(&key, &upload, 1, body.clone()).await.map(drop) })
                    .await?;
                let part_bytes = if bytes >= LARGE_RESULT { LARGE_PART } else { RANGE };
                let others = bytes.div_ceil(part_bytes) - 1;
                self.process.world.bill.add(Program::Worker, Action::PutObject, others);
                repeated(|| objects.complete_multipart(&key, &upload, &[])).await
            };
            if let Err(error) = sent.await {
                let _ = objects.abort_multipart(&key, &upload).await;
                return Err(error.into());
            }
        }
        Ok(objects.head(&key).await?)
    }
}

/// Makes a write up to three times. What an earlier try wrote is the caller's own.
async fn repeated<F>(call: impl Fn() -> F) -> Result<(), PortError>
where
    F: Future<Output = Result<(), PortError>>,
{
    let mut tried = 1;
    loop {
        match call().await {
            Err(error) if tried < 3 && error.is_transient() => tried += 1,
            Err(PortError::Precondition(_)) => return Ok(()),
            Err(PortError::NotFound(_)) if tried > 1 => return Ok(()),
            result => return result,
        }
    }
}
