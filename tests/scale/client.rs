//! Clients, and the requests to the stores that the API makes for them (api/src/routes).

use crate::bill::{Action, Program};
use crate::jobs::TableJobs;
use crate::limits::URL_LIFETIME;
use crate::objects::BucketObjects;
use crate::process::{Process, ProcessClock};
use crate::random::Random;
use crate::world::World;
use cadmill_core::cleanup::deletion::Deleter;
use cadmill_core::domain::ids::{JobId, ObjectKey};
use cadmill_core::domain::job::{Compress, Job, JobSpec, Millis, Multipart, State};
use cadmill_core::domain::quota::Quota;
use cadmill_core::domain::state::{Event, Policy};
use cadmill_core::jobs::{Change, Jobs};
use cadmill_core::ports::{ObjectStore, PortError};
use std::sync::Arc;
use std::time::Duration;

/// Uploads larger than this are made in parts of [`PART`]: the defaults of the configuration.
const MULTIPART: u64 = 64 << 20;
const PART: u64 = 16 << 20;

/// Owners of the jobs.
const OWNERS: u64 = 500;

/// The API, as far as its requests to the stores go.
pub(crate) struct Api {
    process: Arc<Process>,
    jobs: Jobs,
    objects: Arc<dyn ObjectStore>,
    deleter: Deleter,
}

impl Api {
    pub(crate) fn new(world: &Arc<World>, policy: Policy, name: &str) -> Arc<Self> {
        let process = Process::new(world, Program::Api);
        let clock = Arc::new(ProcessClock(Arc::clone(&process)));
        let quota = Quota { jobs: 100_000, bytes: 1 << 50 };
        let jobs = Jobs::new(Arc::new(TableJobs(Arc::clone(&process))), clock, policy).with_quota(quota);
        let objects: Arc<dyn ObjectStore> = Arc::new(BucketObjects(Arc::clone(&process)));
        let deleter = Deleter::new(jobs.clone(), Arc::clone(&objects), name.to_owned());
        Arc::new(Self { process, jobs, objects, deleter })
    }

    async fn begin(&self, job: &Job) -> Option<Multipart> {
        let key = key(job);
        let upload_id = self.objects.begin_multipart(&key).await.ok()?;
        let multipart = Multipart { upload_id: upload_id.clone(), part_bytes: PART };
        let begun = Event::UploadBegun { multipart: multipart.clone() };
        match self.jobs.send(job.id, &begun).await {
            Ok(Change::Done(_)) => Some(multipart),
            Ok(Change::Ignored(_, now) | Change::Denied(_, now)) => {
                if now.multipart.as_ref() != Some(&multipart) {
                    let _ = self.objects.abort_multipart(&key, &upload_id).await;
                }
                now.multipart
            }
            // The record may name the upload.
            Ok(Change::Missing) | Err(_) => None,
        }
    }

    /// Completes an upload in parts; whether the object is there.
    async fn complete(&self, job: &Job, multipart: &Multipart) -> bool {
        let key = key(job);
        let completed = match self.objects.parts(&key, &multipart.upload_id).await {
            Ok(parts) => self.objects.complete_multipart(&key, &multipart.upload_id, &parts).await,
            Err(error) => Err(error),
        };
        match completed {
            Ok(()) => true,
            Err(PortError::Unavailable { .. }) => false,
            Err(_) => self.objects.find(&key).await.is_ok(),
        }
    }

    /// Deletes what belongs to a job that has ended, as `purge` of the routes.
    async fn purge(&self, job: &Job) {
        let may_write = job.state == State::Cancelled && job.attempt > 0;
        let _ = match may_write || job.purges > 0 {
            _ if !job.state.is_terminal() => return,
            true => self.deleter.clear(job).await,
            false => self.deleter.delete(job).await,
        };
    }

    async fn downloaded(&self, id: JobId) -> bool {
        let Ok(Some(_)) = self.jobs.store().get(id).await else { return false };
        match self.jobs.send(id, &Event::Dismissed).await {
            Ok(Change::Done(job) | Change::Ignored(_, job) | Change::Denied(_, job)) => {
                self.purge(&job).await;
                true
            }
            Ok(Change::Missing) => true,
            Err(_) => false,
        }
    }

    async fn end(&self, id: JobId) -> bool {
        let Ok(Some(_)) = self.jobs.store().get(id).await else { return false };
        let mut change = self.jobs.send(id, &Event::Cancelled).await;
        if let Ok(Change::Denied(..)) = change {
            change = self.jobs.send(id, &Event::Dismissed).await;
        }
        match change {
            Ok(Change::Done(job) | Change::Ignored(_, job) | Change::Denied(_, job)) => {
                self.purge(&job).await;
                true
            }
            Ok(Change::Missing) => true,
            Err(_) => false,
        }
    }
}

fn key(job: &Job) -> ObjectKey {
    ObjectKey::upload(job.id, job.order.file_name.clone())
}

/// How large a job is: bytes up, bytes down, and seconds of work. The mix is that of docs/SCALE.md.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Size {
    Small,
    Medium,
    Large,
}

impl Size {
    pub(crate) const ALL: [Self; 3] = [Self::Small, Self::Medium, Self::Large];

    /// Of all jobs.
    pub(crate) fn share(self) -> f64 {
        match self {
            Self::Small => 0.6,
            Self::Medium => 0.3,
            Self::Large => 0.1,
        }
    }

    pub(crate) fn bytes(self) -> u64 {
        match self {
            Self::Small => 1 << 20,
            Self::Medium => 100 << 20,
            Self::Large => 1500 << 20,
        }
    }

    /// Bytes of the result.
    pub(crate) fn result_bytes(self) -> u64 {
        match self {
            Self::Small => 2 << 20,
            Self::Medium => 200 << 20,
            Self::Large => 3000 << 20,
        }
    }

    pub(crate) fn seconds(self) -> u64 {
        match self {
            Self::Small => 1,
            Self::Medium => 15,
            Self::Large => 120,
        }
    }

    pub(crate) fn of_bytes(bytes: u64) -> Self {
        Self::ALL.into_iter().find(|size| size.bytes() == bytes).unwrap_or(Self::Small)
    }

    /// That of the `number`-th job: of ten in a row, each has its share.
    fn of_number(number: u64) -> Self {
        let mut left = (number % 10) as f64 / 10.0 + 0.05;
        for size in Self::ALL {
            left -= size.share();
            if left < 0.0 {
                return size;
            }
        }
        Self::Large
    }
}

/// What a client does otherwise than most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Habit {
    /// Uploads, polls, downloads, and confirms.
    Usual,
    /// Creates a job and never uploads.
    NeverUploads,
    /// Uploads in parts, and stops in the middle.
    HalfUpload,
    /// Uploads shortly before the window ends.
    LateUpload,
    /// Cancels, and uploads all the same through a URL that is still good.
    UploadsAfterCancel,
    /// Cancels at some time after the upload.
    Cancels,
    /// Never asks for the result.
    NeverFetches,
    /// Downloads and does not confirm.
    NeverConfirms,
}

impl Habit {
    fn drawn(random: &mut Random) -> Self {
        let habits = [
            (0.02, Self::NeverUploads),
            (0.01, Self::HalfUpload),
            (0.01, Self::LateUpload),
            (0.005, Self::UploadsAfterCancel),
            (0.02, Self::Cancels),
            (0.05, Self::NeverFetches),
            (0.08, Self::NeverConfirms),
        ];
        let mut left = random.fraction();
        for (share, habit) in habits {
            left -= share;
            if left < 0.0 {
                return habit;
            }
        }
        Self::Usual
    }
}

/// One client with one job.
pub(crate) struct Client {
    pub(crate) api: Arc<Api>,
    pub(crate) policy: Policy,
    pub(crate) number: u64,
    pub(crate) random: Random,
    /// What every client does, instead of a mix.
    pub(crate) habit: Option<Habit>,
    /// Whether the uploads of the job refuse their deletion.
    pub(crate) is_undeletable: bool,
}

impl Client {
    /// Takes a job from its creation to the end of the client's interest.
    pub(crate) async fn run(mut self) {
        let size = Size::of_number(self.number);
        let habit = match self.habit {
            Some(habit) => habit,
            None if self.is_undeletable => Habit::Usual,
            None => Habit::drawn(&mut self.random),
        };
        // Only what is uploaded in parts can stop between two of them.
        let size = if habit == Habit::HalfUpload { Size::Medium } else { size };
        let Some(job) = self.create(size).await else { return };
        let id = job.id;
        match habit {
            Habit::NeverUploads => return,
            Habit::UploadsAfterCancel => {
                let url_is_good_until = self.world().now() + URL_LIFETIME;
                self.pause(1, 30).await;
                self.insist(|api| async move { api.end(id).await }).await;
                self.pause(1, 600).await;
                if self.world().now() < url_is_good_until {
                    self.put(&job);
                }
                return;
            }
            Habit::LateUpload => {
                let window = self.policy.upload_window / 1000;
                self.pause(window * 8 / 10, window - 60).await;
            }
            _ => self.pause(1, 20).await,
        }
        if !self.upload(&job, habit == Habit::HalfUpload).await {
            return;
        }
        match habit {
            Habit::NeverFetches => return,
            Habit::Cancels => {
                self.pause(1, 240).await;
                return self.insist(|api| async move { api.end(id).await }).await;
            }
            _ => {}
        }
        let state = self.poll(id).await;
        if state == Some(State::Completed) {
            self.pause(1, 30).await;
            self.bill(Action::GetObject, 1);
            if habit != Habit::NeverConfirms {
                self.insist(|api| async move { api.downloaded(id).await }).await;
            }
        }
    }

    fn world(&self) -> &World {
        &self.api.process.world
    }

    fn bill(&self, action: Action, count: u64) {
        self.world().bill.add(Program::Client, action, count);
    }

    async fn pause(&mut self, from: u64, to: u64) {
        let millis = self.random.between(from * 1000, to * 1000);
        tokio::time::sleep(Duration::from_millis(millis)).await;
    }

    /// Repeats a request until it succeeds, as a client does after a 503.
    async fn insist<F: Future<Output = bool>>(&mut self, request: impl Fn(Arc<Api>) -> F) {
        for tried in 0..10 {
            if request(Arc::clone(&self.api)).await {
                return;
            }
            self.pause(1, 2 << tried.min(6)).await;
        }
    }

    async fn create(&mut self, size: Size) -> Option<Job> {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.random.bits().to_be_bytes());
        bytes[8..].copy_from_slice(&self.random.bits().to_be_bytes());
        let id = JobId::from_random_bytes(bytes);
        if self.is_undeletable {
            self.world().bucket().hold(id);
            self.world().witness().excluded.insert(id);
        }
        let owner = format!("owner-{}", self.random.between(0, OWNERS));
        let spec = JobSpec {
            owner: owner.parse().expect("an owner"),
            file_name: "plan of the third floor.dxf".parse().expect("a file name"),
            size_bytes: size.bytes(),
            sha256: None,
            format: "glb".to_owned(),
            root: None,
            options: [("scale".to_owned(), "0.001".to_owned())].into(),
            compress: Compress::Never,
            strict: false,
            accept_gzip: false,
            result_ttl_seconds: None,
        };
        for tried in 0..12 {
            if let Ok((job, _)) = self.api.jobs.create(id, spec.clone()).await {
                return Some(job);
            }
            self.pause(1, 2 << tried.min(6)).await;
        }
        None
    }

    /// The client itself writes the object, as a presigned PUT does.
    fn put(&self, job: &Job) -> bool {
        let (world, key) = (self.world(), key(job));
        self.bill(Action::PutObject, 1);
        let put = world.bucket().put(&key, job.order.size_bytes, world.now());
        if put.is_ok() {
            world.queue.object_created(world, &key);
        }
        put.is_ok()
    }

    /// Uploads the file; whether all of it has arrived.
    async fn upload(&mut self, job: &Job, only_half: bool) -> bool {
        let bytes = job.order.size_bytes;
        // 20 MB a second.
        let seconds = 1 + bytes / 20_000_000;
        if bytes <= MULTIPART {
            self.pause(seconds, 2 * seconds).await;
            return self.put(job);
        }
        let mut begun = None;
        for _ in 0..10 {
            begun = self.api.begin(job).await;
            if begun.is_some() {
                break;
            }
            self.pause(1, 30).await;
        }
        let Some(multipart) = begun else { return false };
        self.pause(seconds, 2 * seconds).await;
        let count = bytes.div_ceil(PART) as u32;
        let arrive = if only_half { count / 2 } else { count };
        self.bill(Action::PutObject, u64::from(arrive));
        if let Some(upload) = self.world().bucket().unfinished(&key(job), &multipart.upload_id) {
            let part = |number: u32| (number, PART.min(bytes - u64::from(number - 1) * PART));
            upload.parts = (1..=arrive).map(part).collect();
        }
        if only_half {
            return false;
        }
        for tried in 0..10 {
            if self.api.complete(job, &multipart).await {
                return true;
            }
            self.pause(1, 2 << tried.min(6)).await;
        }
        false
    }

    /// Polls until the job has ended; how it has ended, if the client has seen that.
    async fn poll(&mut self, id: JobId) -> Option<State> {
        let mut pause: Millis = 1000;
        for times in 1.. {
            tokio::time::sleep(Duration::from_millis(pause)).await;
            pause = (pause * 3 / 2).min(15_000);
            match self.api.jobs.store().get(id).await {
                Ok(Some(job)) if job.state.is_terminal() => {
                    let _ = self.api.jobs.send(id, &Event::Polled { times }).await;
                    return Some(job.state);
                }
                Ok(Some(_)) | Err(_) => {}
                Ok(None) => return None,
            }
            // After some hours nobody waits.
            if times > 2000 {
                return None;
            }
        }
        None
    }
}
