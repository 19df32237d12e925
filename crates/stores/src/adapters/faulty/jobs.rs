//! A job store with injected faults.

use super::Script;
use async_trait::async_trait;
use cadmill_core::domain::crew::Crew;
use cadmill_core::domain::due::Part;
use cadmill_core::domain::ids::{JobId, Owner};
use cadmill_core::domain::job::{Job, Millis};
use cadmill_core::domain::quota::Usage;
use cadmill_core::ports::job_store::{Created, Due, Page, Replaced, Unreadable, UsageReplaced, Writes};
use cadmill_core::ports::{JobStore, PortResult};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

/// A job store with a script of faults.
#[derive(Clone)]
pub struct FaultyJobs {
    inner: Arc<dyn JobStore>,
    script: Script,
}

impl FaultyJobs {
    /// Wraps the store, with the faults of the script.
    pub fn new(inner: Arc<dyn JobStore>, script: Script) -> Self {
        Self { inner, script }
    }
}

#[async_trait]
impl JobStore for FaultyJobs {
    async fn create(&self, job: &Job) -> PortResult<Created> {
        self.script.play("create", || self.inner.create(job)).await
    }

    async fn get(&self, id: JobId) -> PortResult<Option<Job>> {
        self.script.play("get", || self.inner.get(id)).await
    }

    async fn get_many(&self, ids: &[JobId]) -> PortResult<Vec<Job>> {
        self.script.play("get_many", || self.inner.get_many(ids)).await
    }

    fn writes(&self) -> Option<Box<dyn Writes>> {
        self.inner.writes()
    }

    async fn replace(&self, next: &Job) -> PortResult<Replaced> {
        self.script.play("replace", || self.inner.replace(next)).await
    }

    async fn delete(&self, job: &Job) -> PortResult<bool> {
        self.script.play("delete", || self.inner.delete(job)).await
    }

    async fn list(&self, owner: &Owner, page: Option<&str>, limit: u32) -> PortResult<Page> {
        self.script.play("list", || self.inner.list(owner, page, limit)).await
    }

    async fn due(&self, part: Part, times: RangeInclusive<Millis>, limit: u32) -> PortResult<Due> {
        self.script.play("due", || self.inner.due(part, times.clone(), limit)).await
    }

    async fn set_aside(&self, record: &Unreadable, until: Millis) -> PortResult<()> {
        self.script.play("set_aside", || self.inner.set_aside(record, until)).await
    }

    async fn usage(&self, owner: &Owner) -> PortResult<Option<Usage>> {
        self.script.play("usage", || self.inner.usage(owner)).await
    }

    async fn replace_usage(&self, next: &Usage) -> PortResult<UsageReplaced> {
        self.script.play("replace_usage", || self.inner.replace_usage(next)).await
    }

    async fn crew(&self) -> PortResult<Option<Crew>> {
        self.script.play("crew", || self.inner.crew()).await
    }

    async fn replace_crew(&self, next: &Crew) -> PortResult<bool> {
        self.script.play("replace_crew", || self.inner.replace_crew(next)).await
    }

    fn progress_interval(&self) -> Option<Duration> {
        self.inner.progress_interval()
    }

    async fn check(&self) -> PortResult<()> {
        self.script.play("check", || self.inner.check()).await
    }

    async fn can_write(&self) -> PortResult<()> {
        self.script.play("can_write", || self.inner.can_write()).await
    }
}
