//! The watch hub: reads the jobs that this process has streams of, each once whatever the number of its
//! streams, and hands every change to all of them.
//!
//! Where the store says when it is written, the hub waits for that; otherwise it reads each job after half of
//! the pause that a polling client would make. It runs only while a job is watched.
//!
//! A stream keeps the latest snapshot only: a client that reads slowly misses what came between, and takes no
//! more memory than another.

use super::snapshot::{Difference, Snapshot};
use crate::polling::pacing::Throughput;
use cadmill_core::domain::ids::{JobId, Owner};
use cadmill_core::domain::job::Job;
use cadmill_core::jobs::Jobs;
use cadmill_core::ports::job_store::Writes;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until};

/// Shortest and longest time between two reads of a job. The longest is also that of a store which says when
/// it is written: the last write of a process that died may go unnoticed.
pub const MIN_INTERVAL: Duration = Duration::from_millis(500);
/// See [`MIN_INTERVAL`].
pub const MAX_INTERVAL: Duration = Duration::from_secs(5);

/// Shortest time between two events that differ in the progress only.
const PROGRESS: Duration = Duration::from_secs(1);

/// Jobs that are due so soon are read together.
const TOGETHER: Duration = Duration::from_millis(50);

/// Shortest rest between two turns. A turn that takes long is followed by a rest of nine times as long, so that
/// many writes do not make this process read without end.
const REST: Duration = Duration::from_millis(20);
const LONGEST_REST: Duration = Duration::from_secs(1);

/// Jobs of one read.
const BATCH: usize = 500;

/// What a stream waits for.
pub type Watch = watch::Receiver<Arc<Snapshot>>;

/// The jobs that are watched.
pub struct Hub {
    jobs: Jobs,
    throughput: Arc<Throughput>,
    table: Mutex<Table>,
    added: Notify,
}

#[derive(Default)]
struct Table {
    runs: bool,
    /// Whether the store says when it is written.
    wakes: bool,
    watched: HashMap<JobId, Watched>,
}

struct Watched {
    owner: Owner,
    sender: watch::Sender<Arc<Snapshot>>,
    /// When it is read again.
    next: Instant,
    /// When its snapshot was sent.
    sent: Instant,
}

impl Hub {
    /// A hub that watches no job.
    pub fn new(jobs: Jobs, throughput: Arc<Throughput>) -> Arc<Self> {
        Arc::new(Self { jobs, throughput, table: Mutex::default(), added: Notify::new() })
    }

    /// Watches a job, from this record on, for as long as what is returned is kept. Must be called on the runtime.
    pub fn watch(self: &Arc<Self>, job: &Job) -> Watch {
        let snapshot = self.snapshot(job);
        if snapshot.ended {
            return watch::channel(Arc::new(snapshot)).1;
        }
        let now = Instant::now();
        let mut table = self.lock();
        if !table.runs {
            let writes = self.jobs.store().writes();
            (table.runs, table.wakes) = (true, writes.is_some());
            tokio::spawn(Arc::clone(self).run(writes));
        }
        // It may have been written since it was read, before the hub waited for that.
        let next = if table.wakes { now } else { now + self.interval(job, false) };
        if table.watched.get(&job.id).is_some_and(|watched| watched.owner != job.order.owner) {
            table.watched.remove(&job.id);
        }
        let watch = match table.watched.get_mut(&job.id) {
            Some(watched) => {
                watched.next = watched.next.min(next);
                watched.offer(snapshot, now);
                watched.sender.subscribe()
            }
            None => {
                let (sender, watch) = watch::channel(Arc::new(snapshot));
                let watched = Watched { owner: job.order.owner.clone(), sender, next, sent: now };
                table.watched.insert(job.id, watched);
                watch
            }
        };
        drop(table);
        self.added.notify_one();
        watch
    }

    /// Whether a stream follows this job.
    pub fn is_watched(&self, id: JobId) -> bool {
        self.lock().watched.get(&id).is_some_and(Watched::has_streams)
    }

    async fn run(self: Arc<Self>, mut writes: Option<Box<dyn Writes>>) {
        while let Some(next) = self.next_turn() {
            let written = async {
                match &mut writes {
                    Some(writes) => writes.next().await,
                    None => std::future::pending().await,
                }
            };
            let is_written = tokio::select! {
                () = written => true,
                () = sleep_until(next) => false,
                () = self.added.notified() => continue,
            };
            let began = Instant::now();
            self.turn(is_written).await;
            sleep((began.elapsed() * 9).clamp(REST, LONGEST_REST)).await;
        }
    }

    /// When the next job is due to be read; `None` at the end, when none is watched. Forgets the jobs that no
    /// stream follows.
    fn next_turn(&self) -> Option<Instant> {
        let mut table = self.lock();
        table.watched.retain(|_, watched| watched.has_streams());
        let next = table.watched.values().map(|watched| watched.next).min();
        table.runs = next.is_some();
        next
    }

    /// Reads what is due, or everything.
    async fn turn(&self, all: bool) {
        let now = Instant::now();
        let mut due = Vec::new();
        for (id, watched) in &mut self.lock().watched {
            if all || watched.next <= now + TOGETHER {
                // Unless the read says otherwise.
                watched.next = now + MAX_INTERVAL;
                due.push(*id);
            }
        }
        for ids in due.chunks(BATCH) {
            match self.jobs.store().get_many(ids).await {
                Ok(jobs) => jobs.iter().for_each(|job| self.publish(job)),
                Err(error) => tracing::warn!(error = %error, "the jobs of event streams cannot be read"),
            }
        }
    }

    fn publish(&self, job: &Job) {
        let (snapshot, now) = (self.snapshot(job), Instant::now());
        let mut table = self.lock();
        let interval = self.interval(job, table.wakes);
        let Some(watched) = table.watched.get_mut(&job.id) else { return };
        watched.next = now + interval;
        // The id may be that of another owner's job since.
        let is_other = watched.owner != job.order.owner;
        let is_over = snapshot.ended || is_other;
        if !is_other {
            watched.offer(snapshot, now);
        }
        if is_over {
            table.watched.remove(&job.id);
        }
    }

    fn snapshot(&self, job: &Job) -> Snapshot {
        Snapshot::of(job, self.pause(job))
    }

    fn pause(&self, job: &Job) -> Option<Duration> {
        self.throughput.pause(job, self.jobs.clock().now())
    }

    fn interval(&self, job: &Job, wakes: bool) -> Duration {
        let half = self.pause(job).unwrap_or_default() / 2;
        if wakes { MAX_INTERVAL } else { half.clamp(MIN_INTERVAL, MAX_INTERVAL) }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watched {
    fn has_streams(&self) -> bool {
        self.sender.receiver_count() > 0
    }

    /// Sends a snapshot if a client sees a difference; if that is only the progress, not too soon.
    fn offer(&mut self, snapshot: Snapshot, now: Instant) {
        let difference = snapshot.since(&self.sender.borrow());
        match difference {
            Difference::Nothing => return,
            Difference::Progress if now < self.sent + PROGRESS => {
                self.next = self.next.min(self.sent + PROGRESS);
                return;
            }
            Difference::Progress | Difference::Content => {}
        }
        self.sent = now;
        self.sender.send_replace(Arc::new(snapshot));
    }
}
