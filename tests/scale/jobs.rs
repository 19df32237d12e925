//! The port of job records, on the table.

use crate::bill::Action;
use crate::limits::Call;
use crate::process::Process;
use crate::witness::Before;
use crate::world::World;
use async_trait::async_trait;
use cadmill_core::domain::crew::Crew;
use cadmill_core::domain::due::Part;
use cadmill_core::domain::ids::{JobId, Owner};
use cadmill_core::domain::job::{Job, Millis};
use cadmill_core::domain::quota::Usage;
use cadmill_core::ports::job_store::{
    Created, Due, JobStore, Page, Replaced, Unreadable, UsageReplaced, Writes,
};
use cadmill_core::ports::{PortError, PortResult};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

/// The records of jobs, as a program sees them.
pub(crate) struct TableJobs(pub(crate) Arc<Process>);

/// Bytes of the item of a usage without marks, and of each mark.
const USAGE_BYTES: (u64, u64) = (200, 120);

#[async_trait]
impl JobStore for TableJobs {
    async fn create(&self, job: &Job) -> PortResult<Created> {
        let created = |world: &World| {
            let (now, mut table) = (world.now(), world.table());
            if let Some(there) = table.job(job.id).cloned() {
                world.bill.add_units(table.charge_small(&job.id, 1, now)?);
                return Ok(Created::Exists(Box::new(there)));
            }
            world.bill.add_units(table.put(job, now, &mut world.random())?);
            world.witness().created(job, world.elapsed());
            Ok(Created::New)
        };
        self.0.write("creating a job", Action::WriteItem, created).await
    }

    async fn get(&self, id: JobId) -> PortResult<Option<Job>> {
        let reading = (Call::Read, Action::ReadItem);
        self.0.call("reading a job", reading, |world| Ok(world.table().job(id).cloned())).await
    }

    /// No program of the simulation watches jobs.
    async fn get_many(&self, _ids: &[JobId]) -> PortResult<Vec<Job>> {
        Ok(Vec::new())
    }

    fn writes(&self) -> Option<Box<dyn Writes>> {
        None
    }

    async fn replace(&self, next: &Job) -> PortResult<Replaced> {
        let replaced = |world: &World| {
            let (now, mut table) = (world.now(), world.table());
            let before = match table.job(next.id) {
                Some(there) if there.version + 1 == next.version => Before::of(there),
                there => {
                    let there = there.cloned().map(Box::new);
                    world.bill.add_units(table.charge_small(&next.id, 1, now)?);
                    return Ok(Replaced::Conflict(there));
                }
            };
            world.bill.add_units(table.put(next, now, &mut world.random())?);
            world.witness().changed(&before, next, world.elapsed());
            Ok(Replaced::Done)
        };
        self.0.write("changing a job", Action::WriteItem, replaced).await
    }

    async fn delete(&self, job: &Job) -> PortResult<bool> {
        let deleted = |world: &World| {
            let (now, mut table) = (world.now(), world.table());
            let is_same =
                |there: &Job| (there.version, there.times.created) == (job.version, job.times.created);
            match table.job(job.id) {
                Some(there) if is_same(there) => {
                    world.witness().record_deleted(there);
                    world.bill.add_units(table.delete(job.id, now, &mut world.random())?);
                    Ok(true)
                }
                _ => {
                    world.bill.add_units(table.charge_small(&job.id, 1, now)?);
                    Ok(false)
                }
            }
        };
        self.0.write("deleting a job", Action::DeleteItem, deleted).await
    }

    /// No program of the simulation lists the jobs of an owner.
    async fn list(&self, _owner: &Owner, _page: Option<&str>, _limit: u32) -> PortResult<Page> {
        Ok(Page::default())
    }

    async fn due(&self, part: Part, times: RangeInclusive<Millis>, limit: u32) -> PortResult<Due> {
        const OPERATION: &str = "listing what is due";
        let limit = limit as usize;
        let query = (Call::Read, Action::Query);
        let keys = self
            .0
            .call(OPERATION, query, |world| Ok(world.table().due(part, &times, world.now(), limit)))
            .await?;
        let last = keys.last().filter(|_| keys.len() >= limit);
        let mut due = Due { next: last.map(|(time, _)| *time), ..Due::default() };
        if keys.is_empty() {
            return Ok(due);
        }
        let batch = (Call::Read, Action::BatchRead);
        due.jobs = self
            .0
            .call(OPERATION, batch, |world| {
                let table = world.table();
                let is_due = |job: &&Job| job.due.is_some_and(|due| times.contains(&due));
                Ok(keys.iter().filter_map(|(_, id)| table.job(*id)).filter(is_due).cloned().collect())
            })
            .await?;
        due.jobs.sort_by_key(|job| job.due);
        Ok(due)
    }

    /// Every record of the simulation can be read.
    async fn set_aside(&self, _record: &Unreadable, _until: Millis) -> PortResult<()> {
        Err(PortError::Refused { operation: "setting a record aside", reason: "none is unreadable".into() })
    }

    async fn usage(&self, owner: &Owner) -> PortResult<Option<Usage>> {
        let reading = (Call::Read, Action::ReadItem);
        let found = |world: &World| Ok(world.table().usages.get(owner.as_str()).cloned());
        self.0.call("reading the usage of an owner", reading, found).await
    }

    async fn replace_usage(&self, next: &Usage) -> PortResult<UsageReplaced> {
        let replaced = |world: &World| {
            let (now, mut table) = (world.now(), world.table());
            let there = table.usages.get(next.owner.as_str());
            let is_next = there.map_or(0, |there| there.version) + 1 == next.version;
            let conflict = there.filter(|_| !is_next).cloned().map(Box::new);
            let bytes = USAGE_BYTES.0 + USAGE_BYTES.1 * next.marks.len() as u64;
            let charged = table.charge_small(&next.owner.as_str(), if is_next { bytes } else { 1 }, now)?;
            world.bill.add_units(charged);
            if !is_next {
                return Ok(UsageReplaced::Conflict(conflict));
            }
            table.usages.insert(next.owner.as_str().to_owned(), next.clone());
            Ok(UsageReplaced::Done)
        };
        self.0.write("changing the usage of an owner", Action::WriteItem, replaced).await
    }

    async fn crew(&self) -> PortResult<Option<Crew>> {
        let reading = (Call::Read, Action::ReadItem);
        self.0.call("reading the cleanup programs", reading, |world| Ok(world.table().crew.clone())).await
    }

    async fn replace_crew(&self, next: &Crew) -> PortResult<bool> {
        let replaced = |world: &World| {
            let (now, mut table) = (world.now(), world.table());
            let is_next = table.crew.as_ref().map_or(0, |there| there.version) + 1 == next.version;
            world.bill.add_units(table.charge_small(&"crew", 1, now)?);
            if is_next {
                table.crew = Some(next.clone());
            }
            Ok(is_next)
        };
        self.0.write("changing the cleanup programs", Action::WriteItem, replaced).await
    }

    fn progress_interval(&self) -> Option<Duration> {
        None
    }

    async fn check(&self) -> PortResult<()> {
        Ok(())
    }

    async fn can_write(&self) -> PortResult<()> {
        Ok(())
    }
}
