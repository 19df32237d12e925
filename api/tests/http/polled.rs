//! A job store that does not say when it is written, as DynamoDB, and counts what is read at once.

use async_trait::async_trait;
use cadmill_core::domain::crew::Crew;
use cadmill_core::domain::due::Part;
use cadmill_core::domain::ids::{JobId, Owner};
use cadmill_core::domain::job::{Job, Millis};
use cadmill_core::domain::quota::Usage;
use cadmill_core::ports::job_store::{Created, Due, Page, Replaced, Unreadable, UsageReplaced, Writes};
use cadmill_core::ports::{JobStore, PortResult};
use cadmill_stores::adapters::embedded::SqliteJobs;
use std::ops::RangeInclusive;
use std::sync::Mutex;
use std::time::Duration;

pub struct Polled {
    inner: SqliteJobs,
    /// How many jobs each call of `get_many` asked for.
    pub reads: Mutex<Vec<usize>>,
}

impl Polled {
    pub fn new(inner: SqliteJobs) -> Self {
        Self { inner, reads: Mutex::default() }
    }
}

#[async_trait]
impl JobStore for Polled {
    async fn create(&self, job: &Job) -> PortResult<Created> {
        self.inner.create(job).await
    }

    async fn get(&self, id: JobId) -> PortResult<Option<Job>> {
        self.inner.get(id).await
    }

    async fn get_many(&self, ids: &[JobId]) -> PortResult<Vec<Job>> {
        self.reads.lock().unwrap().push(ids.len());
        self.inner.get_many(ids).await
    }

    fn writes(&self) -> Option<Box<dyn Writes>> {
        None
    }

    async fn replace(&self, next: &Job) -> PortResult<Replaced> {
        self.inner.replace(next).await
    }

    async fn delete(&self, job: &Job) -> PortResult<bool> {
        self.inner.delete(job).await
    }

    async fn list(&self, owner: &Owner, page: Option<&str>, limit: u32) -> PortResult<Page> {
        self.inner.list(owner, page, limit).await
    }

    async fn due(&self, part: Part, times: RangeInclusive<Millis>, limit: u32) -> PortResult<Due> {
        self.inner.due(part, times, limit).await
    }

    async fn set_aside(&self, record: &Unreadable, until: Millis) -> PortResult<()> {
        self.inner.set_aside(record, until).await
    }

    async fn usage(&self, owner: &Owner) -> PortResult<Option<Usage>> {
        self.inner.usage(owner).await
    }

    async fn replace_usage(&self, next: &Usage) -> PortResult<UsageReplaced> {
        self.inner.replace_usage(next).await
    }

    async fn crew(&self) -> PortResult<Option<Crew>> {
        self.inner.crew().await
    }

    async fn replace_crew(&self, next: &Crew) -> PortResult<bool> {
        self.inner.replace_crew(next).await
    }

    fn progress_interval(&self) -> Option<Duration> {
        self.inner.progress_interval()
    }

    async fn check(&self) -> PortResult<()> {
        self.inner.check().await
    }

    async fn can_write(&self) -> PortResult<()> {
        self.inner.can_write().await
    }
}
