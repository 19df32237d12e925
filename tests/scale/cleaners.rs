//! The cleanup programs, and the loop that they replaced.

use crate::bill::Program;
use crate::jobs::TableJobs;
use crate::objects::BucketObjects;
use crate::process::{Process, ProcessClock};
use crate::queue::{BUCKET, QueueEvents};
use crate::world::World;
use cadmill_core::cleanup::crew::Membership;
use cadmill_core::cleanup::deletion::Deleter;
use cadmill_core::cleanup::{Cleanup, upload_key};
use cadmill_core::domain::due::Part;
use cadmill_core::domain::job::Job;
use cadmill_core::domain::state::{Event, Policy};
use cadmill_core::domain::upload_event;
use cadmill_core::jobs::Jobs;
use cadmill_core::ports::{EventQueue, ObjectStore, PortError, PortResult};
use std::sync::Arc;
use std::time::Duration;

/// The interval of `cleanup.every`, by default.
const EVERY: Duration = Duration::from_secs(15);

/// A running cleanup program.
pub(crate) struct Cleaner {
    process: Arc<Process>,
    running: tokio::task::JoinHandle<()>,
}

impl Cleaner {
    /// Starts one.
    pub(crate) fn start(world: &Arc<World>, policy: Policy, name: &str) -> Self {
        let ports = Ports::new(world, policy);
        let process = Arc::clone(&ports.process);
        let Ports { jobs, objects, queue, .. } = ports;
        let membership = Membership::new(jobs.clone(), name.to_owned(), EVERY);
        let cleanup = Cleanup::new(jobs, objects, queue, BUCKET.to_owned(), name.to_owned());
        let running = tokio::spawn(async move { cleanup.run(&membership, std::future::pending()).await });
        Self { process, running }
    }

    /// Starts the loop that the cleanup replaced.
    pub(crate) fn start_old(world: &Arc<World>, policy: Policy) -> Self {
        let ports = Ports::new(world, policy);
        let process = Arc::clone(&ports.process);
        Self { process, running: tokio::spawn(async move { OldLoop::new(ports).run().await }) }
    }

    /// Kills it.
    pub(crate) fn kill(&self) {
        self.process.kill();
        self.running.abort();
    }
}

struct Ports {
    process: Arc<Process>,
    jobs: Jobs,
    objects: Arc<dyn ObjectStore>,
    queue: Arc<dyn EventQueue>,
}

impl Ports {
    fn new(world: &Arc<World>, policy: Policy) -> Self {
        let process = Process::new(world, Program::Cleanup);
        let clock = Arc::new(ProcessClock(Arc::clone(&process)));
        let jobs = Jobs::new(Arc::new(TableJobs(Arc::clone(&process))), clock, policy);
        let objects = Arc::new(BucketObjects(Arc::clone(&process)));
        let queue = Arc::new(QueueEvents(Arc::clone(&process)));
        Self { process, jobs, objects, queue }
    }
}

/// The planted fault: the loop of an earlier version. It takes the hundred jobs that are the most
/// overdue, whatever they wait for, one after the other, and then pauses; what fails stays the most
/// overdue.
struct OldLoop {
    ports: Ports,
    deleter: Deleter,
}

impl OldLoop {
    const BATCH: usize = 100;
    const PAUSE: Duration = Duration::from_secs(5);

    fn new(ports: Ports) -> Self {
        let deleter = Deleter::new(ports.jobs.clone(), Arc::clone(&ports.objects), "old".to_owned());
        Self { ports, deleter }
    }

    async fn run(&self) {
        loop {
            for job in self.oldest().await {
                // Logged, and due again at once.
                let _ = self.serve(&job).await;
            }
            tokio::time::sleep(Self::PAUSE).await;
        }
    }

    async fn oldest(&self) -> Vec<Job> {
        let jobs = &self.ports.jobs;
        let mut due = Vec::new();
        for part in Part::all() {
            let now = jobs.clock().now();
            due.extend(jobs.store().due(part, 0..=now, Self::BATCH as u32).await.unwrap_or_default().jobs);
        }
        due.sort_by_key(|job| job.due);
        due.truncate(Self::BATCH);
        due
    }

    async fn serve(&self, job: &Job) -> PortResult<()> {
        let jobs = &self.ports.jobs;
        let job = &jobs.free(job.clone()).await?;
        if job.state.is_terminal() {
            return match job.purges {
                0 | 1 => self.deleter.delete(job).await.map(drop),
                _ => jobs.store().delete(job).await.map(drop),
            };
        }
        let object = match &job.input {
            Some(object) => object.clone(),
            None => match self.ports.objects.find(&upload_key(job.id, &job.order.file_name)).await {
                Ok(object) => object,
                Err(PortError::NotFound(_)) => {
                    let is_late = jobs.is_too_late_for_upload(job);
                    let event = if is_late { Event::Expired } else { Event::Announced };
                    return jobs.send(job.id, &event).await.map(drop);
                }
                Err(error) => return Err(error),
            },
        };
        let now = jobs.clock().now();
        let body = upload_event::object_created(BUCKET, &object, "00", "Announced", "old", now);
        self.ports.queue.send(&body).await?;
        jobs.send(job.id, &Event::Announced).await.map(drop)
    }
}
