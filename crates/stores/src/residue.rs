//! Compares the object store with the records of the jobs: what is there without a reason.
//!
//! The store is listed first and a record is read afterwards, and what is found is listed once more
//! after that. So a deletion that runs beside the audit makes no findings, and what is found was there
//! when the record said that it should not be. Memory does not grow with the store on AWS: it is listed
//! page by page, and only places with findings are kept.

use crate::adapters::aws::S3Store;
use crate::adapters::embedded::server;
use cadmill_core::cleanup::residue::{Item, Kind, Reason, is_arriving, reason};
use cadmill_core::domain::ids::{JobId, Role};
use cadmill_core::domain::job::Millis;
use cadmill_core::ports::clock::SystemClock;
use cadmill_core::ports::{Clock, JobStore, PortError, PortResult};
use futures_util::StreamExt;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Records that are read at once.
const AT_ONCE: usize = 16;

/// A prefix of a job.
type Place = (Role, JobId);

/// Where the objects are.
pub enum Source {
    /// In a bucket.
    Bucket(Box<S3Store>),
    /// In the data directory of `cadmill serve`, whether it is running or not. The second path is a
    /// directory for a copy of the index: in memory, and destroyed by its owner.
    Directory(PathBuf, PathBuf),
}

/// Something without a reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Residue {
    /// What it is.
    pub item: Item,
    /// Why it should not be there.
    pub reason: Reason,
    /// When it was seen, by the store's clock.
    pub seen: Millis,
}

/// What an audit has looked at.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Looked {
    /// Objects, markers, unfinished uploads and files.
    pub items: u64,
    /// Of these, without a reason.
    pub residue: u64,
    /// Jobs whose record cannot be read.
    pub unreadable: BTreeSet<JobId>,
    /// What could not be listed or read, each once.
    pub failures: BTreeSet<String>,
}

impl Looked {
    /// Whether nothing kept the audit from an answer.
    pub fn is_whole(&self) -> bool {
        self.unreadable.is_empty() && self.failures.is_empty()
    }
}

/// An audit of one store.
pub struct ResidueAudit {
    /// The records.
    pub jobs: Arc<dyn JobStore>,
    /// The objects.
    pub source: Source,
    /// How long a deletion may be due, in milliseconds.
    pub grace: Millis,
}

impl ResidueAudit {
    /// Looks at everything, and calls `found` for each thing without a reason.
    pub async fn run(&self, found: &mut (dyn FnMut(Residue) + Send)) -> Looked {
        let mut looked = Looked::default();
        match &self.source {
            Source::Bucket(objects) => self.bucket(objects, &mut looked, found).await,
            Source::Directory(data, scratch) => {
                if let Err(error) = self.directory((data, scratch), &mut looked, found).await {
                    looked.failures.insert(error.to_string());
                }
            }
        }
        looked
    }

    async fn bucket(&self, objects: &S3Store, looked: &mut Looked, found: &mut (dyn FnMut(Residue) + Send)) {
        let mut inventory = objects.inventory();
        let mut reported: HashSet<Place> = HashSet::new();
        loop {
            let page = match inventory.next().await {
                Ok(Some(page)) => page,
                Ok(None) => return,
                Err(error) => {
                    looked.failures.insert(error.to_string());
                    continue;
                }
            };
            looked.items += page.len() as u64;
            let mut places = HashSet::new();
            for item in page {
                match item.place {
                    // A place that has findings has been listed as a whole.
                    Some(place) if !reported.contains(&place) => drop(places.insert(place)),
                    Some(_) => {}
                    None => self.report(item, Reason::UnknownPlace, objects.clock().now(), looked, found),
                }
            }
            let asked =
                places.into_iter().map(|place| async move { (place, self.left(objects, place).await) });
            let mut answers = futures_util::stream::iter(asked).buffer_unordered(AT_ONCE);
            while let Some((place, answer)) = answers.next().await {
                let left = self.noted(place.1, answer, looked).unwrap_or_default();
                if !left.is_empty() {
                    reported.insert(place);
                }
                for (item, reason) in left {
                    self.report(item, reason, objects.clock().now(), looked, found);
                }
            }
        }
    }

    /// What is below a prefix without a reason.
    async fn left(&self, objects: &S3Store, (role, job): Place) -> PortResult<Vec<(Item, Reason)>> {
        let record = self.jobs.get(job).await?;
        let Some(reason) = reason(record.as_ref(), objects.clock().now(), self.grace) else {
            return Ok(Vec::new());
        };
        let left = objects.left_of(role, job).await?;
        let now = objects.clock().now();
        let left = left.into_iter().filter(|item| !is_arriving(item, reason, now, self.grace));
        Ok(left.map(|item| (item, reason)).collect())
    }

    async fn directory(
        &self,
        (data, scratch): (&Path, &Path),
        looked: &mut Looked,
        found: &mut (dyn FnMut(Residue) + Send),
    ) -> PortResult<()> {
        let items = listed(data, scratch).await?;
        looked.items = items.len() as u64;
        let jobs: BTreeSet<JobId> = items.iter().filter_map(|item| item.place).map(|(_, job)| job).collect();
        let mut reasons: BTreeMap<JobId, Reason> = BTreeMap::new();
        for job in jobs {
            let record = self.noted(job, self.jobs.get(job).await, looked);
            let Some(record) = record else { continue };
            if let Some(reason) = reason(record.as_ref(), SystemClock.now(), self.grace) {
                reasons.insert(job, reason);
            }
        }
        let now = SystemClock.now();
        let reason_of = |item: &Item| {
            let of_job = item.place.and_then(|(_, job)| reasons.get(&job).copied());
            match (of_job, item.kind, item.place) {
                (Some(reason), ..) => (!is_arriving(item, reason, now, self.grace)).then_some(reason),
                (None, Kind::File, None) => Some(Reason::Unnamed),
                // A file that was given up, of a job that goes on: its deletion fails.
                (None, Kind::File, Some(_)) => {
                    let is_late = item.made.is_some_and(|made| made.saturating_add(self.grace) < now);
                    is_late.then_some(Reason::Unnamed)
                }
                (None, _, None) => Some(Reason::UnknownPlace),
                (None, _, Some(_)) => None,
            }
        };
        if !items.iter().any(|item| reason_of(item).is_some()) {
            return Ok(());
        }
        for item in listed(data, scratch).await? {
            if let Some(reason) = reason_of(&item) {
                self.report(item, reason, SystemClock.now(), looked, found);
            }
        }
        Ok(())
    }

    fn report(
        &self,
        item: Item,
        reason: Reason,
        seen: Millis,
        looked: &mut Looked,
        found: &mut (dyn FnMut(Residue) + Send),
    ) {
        looked.residue += 1;
        found(Residue { item, reason, seen });
    }

    /// The answer, unless it is an error, which is kept.
    fn noted<T>(&self, job: JobId, answer: PortResult<T>, looked: &mut Looked) -> Option<T> {
        match answer {
            Ok(answer) => return Some(answer),
            Err(PortError::Corrupt { .. } | PortError::Newer(_)) => drop(looked.unreadable.insert(job)),
            Err(error) => drop(looked.failures.insert(error.to_string())),
        }
        None
    }
}

async fn listed(data: &Path, scratch: &Path) -> PortResult<Vec<Item>> {
    let (data, scratch) = (data.to_owned(), scratch.to_owned());
    let listed = tokio::task::spawn_blocking(move || server::inventory(&data, &scratch)).await;
    listed.unwrap_or_else(|_| {
        let reason = "internal error".to_owned();
        Err(PortError::Unavailable { operation: "listing everything in the data directory", reason })
    })
}
