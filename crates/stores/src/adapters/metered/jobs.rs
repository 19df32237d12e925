//! A metered job store.

use super::measured;
use async_trait::async_trait;
use cadmill_core::domain::crew::Crew;
use cadmill_core::domain::due::Part;
use cadmill_core::domain::ids::{JobId, Owner};
use cadmill_core::domain::job::{Job, Millis};
use cadmill_core::domain::quota::Usage;
use cadmill_core::metrics::Store;
use cadmill_core::ports::job_store::{Created, Due, Page, Replaced, Unreadable, UsageReplaced, Writes};
use cadmill_core::ports::{JobStore, PortResult};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

/// A metered job store.
#[derive(Clone)]
pub struct MeteredJobs(Arc<dyn JobStore>);

impl MeteredJobs {
    /// Wraps the store.
    pub fn new(inner: Arc<dyn JobStore>) -> Self {
        Self(inner)
    }
}

#[async_trait]
impl JobStore for MeteredJobs {
    async fn create(&self, job: &Job) -> PortResult<Created> {
        measured(Store::Jobs, "create", self.0.create(job)).await
    }

    async fn get(&self, id: JobId) -> PortResult<Option<Job>> {
        measured(Store::Jobs, "get", self.0.get(id)).await
    }

    async fn get_many(&self, ids: &[JobId]) -> PortResult<Vec<Job>> {
        measured(Store::Jobs, "get_many", self.0.get_many(ids)).await
    }

    fn writes(&self) -> Option<Box<dyn Writes>> {
        self.0.writes()
    }

    async fn replace(&self, next: &Job) -> PortResult<Replaced> {
        measured(Store::Jobs, "replace", self.0.replace(next)).await
    }

    async fn delete(&self, job: &Job) -> PortResult<bool> {
        measured(Store::Jobs, "delete", self.0.delete(job)).await
    }

    async fn list(&self, owner: &Owner, page: Option<&str>, limit: u32) -> PortResult<Page> {
        measured(Store::Jobs, "list", self.0.list(owner, page, limit)).await
    }

    async fn due(&self, part: Part, times: RangeInclusive<Millis>, limit: u32) -> PortResult<Due> {
        measured(Store::Jobs, "due", self.0.due(part, times, limit)).await
    }

    async fn crew(&self) -> PortResult<Option<Crew>> {
        measured(Store::Jobs, "crew", self.0.crew()).await
    }

    async fn replace_crew(&self, next: &Crew) -> PortResult<bool> {
        measured(Store::Jobs, "replace_crew", self.0.replace_crew(next)).await
    }

    async fn set_aside(&self, record: &Unreadable, until: Millis) -> PortResult<()> {
        measured(Store::Jobs, "set_aside", self.0.set_aside(record, until)).await
    }

    async fn usage(&self, owner: &Owner) -> PortResult<Option<Usage>> {
        measured(Store::Jobs, "usage", self.0.usage(owner)).await
    }

    async fn replace_usage(&self, next: &Usage) -> PortResult<UsageReplaced> {
        measured(Store::Jobs, "replace_usage", self.0.replace_usage(next)).await
    }

    fn progress_interval(&self) -> Option<Duration> {
        self.0.progress_interval()
    }

    async fn check(&self) -> PortResult<()> {
        measured(Store::Jobs, "check", self.0.check()).await
    }

    async fn can_write(&self) -> PortResult<()> {
        measured(Store::Jobs, "check", self.0.can_write()).await
    }
}
