//! The three stores in memory, with versions, for tests that make many thousands of passes.
//!
//! Each request that a real object store would take is one call of the handle's script, so that a fault
//! or another program can come between any two of them: a deletion of everything lists, deletes one
//! after the other, and lists again, as the adapter of S3 does.
//!
//! The stores watch over live jobs: a deletion of an object while the record of its job says that the
//! job goes on is noted in [`Memory::violations`]. An id can be used again when its record is gone, so each
//! object is known to belong to one life of its id.

use async_trait::async_trait;
use bytes::Bytes;
use cadmill_core::domain::coding::Coding;
use cadmill_core::domain::crew::Crew;
use cadmill_core::domain::due::Part as DuePart;
use cadmill_core::domain::ids::{FileName, JobId, ObjectKey, Owner, Role};
use cadmill_core::domain::job::{Job, Millis, Object};
use cadmill_core::domain::quota::Usage;
use cadmill_core::ports::event_queue::{Depth, Message};
use cadmill_core::ports::job_store::{Created, Due, Page, Replaced, Unreadable, UsageReplaced, Writes};
use cadmill_core::ports::object_store::{Checksum, Part, Presigned, Purged, Tally};
use cadmill_core::ports::{EventQueue, JobStore, ObjectStore, PortError, PortResult};
use cadmill_stores::adapters::faulty::Script;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// Listings of a deletion until nothing is left, as of the adapter of S3.
const ROUNDS: u32 = 4;

/// What is stored. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Memory(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    jobs: BTreeMap<JobId, Job>,
    crew: Option<Crew>,
    usages: BTreeMap<String, Usage>,
    /// By key, the oldest version first.
    objects: BTreeMap<String, Vec<Version>>,
    /// Unfinished uploads, by key and upload id: their life, and their parts.
    uploads: BTreeMap<(String, String), (u64, Vec<Part>)>,
    /// How often a job of each id was created.
    lives: BTreeMap<JobId, u64>,
    messages: Vec<String>,
    /// The last number that was given to a version or an upload.
    last: u64,
    violations: Vec<String>,
}

#[derive(Clone)]
struct Version {
    id: String,
    size_bytes: u64,
    is_mark: bool,
    life: u64,
}

impl Memory {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub(super) fn jobs(&self) -> MemoryJobs {
        MemoryJobs(self.clone())
    }

    /// The objects, whose requests are made by this script.
    pub(super) fn objects(&self, script: Script) -> MemoryObjects {
        MemoryObjects { memory: self.clone(), script }
    }

    /// Replaces a record, whatever it is.
    pub(super) fn overwrite(&self, job: Job) {
        self.state().jobs.insert(job.id, job);
    }

    pub(super) fn queue(&self) -> MemoryQueue {
        MemoryQueue(self.clone())
    }

    /// What was deleted of a job that goes on.
    pub(super) fn violations(&self) -> Vec<String> {
        self.state().violations.clone()
    }
}

impl State {
    fn next(&mut self) -> String {
        self.last += 1;
        self.last.to_string()
    }

    /// The life of the job of this key.
    fn life(&self, key: &str) -> u64 {
        key.parse().ok().and_then(|key: ObjectKey| self.lives.get(&key.job()).copied()).unwrap_or_default()
    }

    /// An object or an upload of this key and life is deleted.
    fn watch(&mut self, key: &str, life: u64) {
        if life != self.life(key) {
            return;
        }
        let Ok(key) = key.parse::<ObjectKey>() else { return };
        if let Some(job) = self.jobs.get(&key.job()).filter(|job| !job.state.is_terminal()) {
            let role = if key.role() == Role::Upload { "the upload" } else { "a result" };
            self.violations.push(format!("{role} of a job that is {}", job.state.as_str()));
        }
    }

    fn latest(&self, key: &str) -> Option<&Version> {
        self.objects.get(key)?.last().filter(|version| !version.is_mark)
    }

    fn put(&mut self, operation: &'static str, key: &str, size_bytes: u64) -> PortResult<()> {
        if self.latest(key).is_some() {
            return Err(PortError::Precondition(operation));
        }
        let (id, life) = (self.next(), self.life(key));
        let version = Version { id, size_bytes, is_mark: false, life };
        self.objects.entry(key.to_owned()).or_default().push(version);
        Ok(())
    }

    fn object(&self, operation: &'static str, key: &ObjectKey) -> PortResult<Object> {
        let found = self.latest(&key.to_string()).ok_or(PortError::NotFound(operation))?;
        Ok(Object {
            key: key.clone(),
            size_bytes: found.size_bytes,
            etag: format!("\"{}\"", found.id),
            version: Some(found.id.clone()),
            sha256: None,
            encoded: None,
        })
    }

    fn remove(&mut self, key: &str, version: &str) {
        let Some(versions) = self.objects.get_mut(key) else { return };
        if let Some(place) = versions.iter().position(|one| one.id == version) {
            let removed = versions.remove(place);
            if !removed.is_mark {
                self.watch(key, removed.life);
            }
            self.objects.retain(|_, versions| !versions.is_empty());
        }
    }
}

/// The records.
#[derive(Clone)]
pub(super) struct MemoryJobs(Memory);

#[async_trait]
impl JobStore for MemoryJobs {
    async fn create(&self, job: &Job) -> PortResult<Created> {
        let mut state = self.0.state();
        if let Some(there) = state.jobs.get(&job.id) {
            return Ok(Created::Exists(Box::new(there.clone())));
        }
        state.jobs.insert(job.id, job.clone());
        *state.lives.entry(job.id).or_default() += 1;
        Ok(Created::New)
    }

    async fn get(&self, id: JobId) -> PortResult<Option<Job>> {
        Ok(self.0.state().jobs.get(&id).cloned())
    }

    async fn get_many(&self, ids: &[JobId]) -> PortResult<Vec<Job>> {
        let state = self.0.state();
        let ids: BTreeSet<&JobId> = ids.iter().collect();
        Ok(ids.into_iter().filter_map(|id| state.jobs.get(id)).cloned().collect())
    }

    fn writes(&self) -> Option<Box<dyn Writes>> {
        None
    }

    async fn replace(&self, next: &Job) -> PortResult<Replaced> {
        let mut state = self.0.state();
        let Some(there) = state.jobs.get_mut(&next.id) else { return Ok(Replaced::Conflict(None)) };
        if there.version + 1 != next.version {
            return Ok(Replaced::Conflict(Some(Box::new(there.clone()))));
        }
        *there = next.clone();
        Ok(Replaced::Done)
    }

    async fn delete(&self, job: &Job) -> PortResult<bool> {
        let mut state = self.0.state();
        let is_same = |there: &Job| (there.version, there.times.created) == (job.version, job.times.created);
        let is_there = state.jobs.get(&job.id).is_some_and(is_same);
        if is_there {
            state.jobs.remove(&job.id);
        }
        Ok(is_there)
    }

    async fn list(&self, owner: &Owner, _page: Option<&str>, _limit: u32) -> PortResult<Page> {
        let jobs = self.0.state().jobs.values().filter(|job| job.order.owner == *owner).cloned().collect();
        Ok(Page { jobs, ..Page::default() })
    }

    async fn due(&self, part: DuePart, times: RangeInclusive<Millis>, limit: u32) -> PortResult<Due> {
        let state = self.0.state();
        let is_due = |job: &&Job| job.due.is_some_and(|due| times.contains(&due)) && DuePart::of(job) == part;
        let mut jobs: Vec<Job> = state.jobs.values().filter(is_due).cloned().collect();
        jobs.sort_by_key(|job| job.due);
        jobs.truncate(limit as usize);
        let last = jobs.last().filter(|_| jobs.len() == limit as usize);
        Ok(Due { next: last.and_then(|job| job.due), jobs, unreadable: Vec::new() })
    }

    async fn set_aside(&self, _record: &Unreadable, _until: Millis) -> PortResult<()> {
        Ok(())
    }

    async fn usage(&self, owner: &Owner) -> PortResult<Option<Usage>> {
        Ok(self.0.state().usages.get(owner.as_str()).cloned())
    }

    async fn replace_usage(&self, next: &Usage) -> PortResult<UsageReplaced> {
        let mut state = self.0.state();
        let there = state.usages.get(next.owner.as_str());
        if there.map_or(0, |there| there.version) + 1 != next.version {
            return Ok(UsageReplaced::Conflict(there.cloned().map(Box::new)));
        }
        state.usages.insert(next.owner.as_str().to_owned(), next.clone());
        Ok(UsageReplaced::Done)
    }

    async fn crew(&self) -> PortResult<Option<Crew>> {
        Ok(self.0.state().crew.clone())
    }

    async fn replace_crew(&self, next: &Crew) -> PortResult<bool> {
        let mut state = self.0.state();
        let fits = state.crew.as_ref().map_or(0, |crew| crew.version) + 1 == next.version;
        if fits {
            state.crew = Some(next.clone());
        }
        Ok(fits)
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

/// The objects, in a bucket that keeps versions.
#[derive(Clone)]
pub(super) struct MemoryObjects {
    memory: Memory,
    script: Script,
}

impl MemoryObjects {
    /// One request.
    async fn request<T>(
        &self,
        operation: &'static str,
        work: impl Fn(&mut State) -> PortResult<T>,
    ) -> PortResult<T> {
        self.script.play(operation, || std::future::ready(work(&mut self.memory.state()))).await
    }

    /// For what no cleanup needs.
    fn none<T>(operation: &'static str) -> PortResult<T> {
        Err(PortError::Refused { operation, reason: "not in memory".to_owned() })
    }
}

#[async_trait]
impl ObjectStore for MemoryObjects {
    async fn presign_put(
        &self,
        _key: &ObjectKey,
        _size_bytes: u64,
        _sha256: Option<&str>,
        _lifetime: Duration,
    ) -> PortResult<Presigned> {
        Self::none("presign_put")
    }

    async fn presign_part(
        &self,
        _key: &ObjectKey,
        _upload_id: &str,
        _number: u32,
        _size_bytes: u64,
        _lifetime: Duration,
    ) -> PortResult<Presigned> {
        Self::none("presign_part")
    }

    async fn presign_get(
        &self,
        _object: &Object,
        _file_name: &FileName,
        _lifetime: Duration,
    ) -> PortResult<Presigned> {
        Self::none("presign_get")
    }

    async fn begin_encoded(&self, key: &ObjectKey, _coding: Option<Coding>) -> PortResult<String> {
        self.request("begin_multipart", |state| {
            let id = state.next();
            let life = state.life(&key.to_string());
            state.uploads.insert((key.to_string(), id.clone()), (life, Vec::new()));
            Ok(id)
        })
        .await
    }

    async fn parts(&self, key: &ObjectKey, upload_id: &str) -> PortResult<Vec<Part>> {
        self.request("parts", |state| {
            let parts = state.uploads.get(&(key.to_string(), upload_id.to_owned()));
            parts.map(|(_, parts)| parts.clone()).ok_or(PortError::NotFound("parts"))
        })
        .await
    }

    async fn put_part(&self, key: &ObjectKey, upload_id: &str, number: u32, body: Bytes) -> PortResult<Part> {
        self.request("put_part", |state| {
            let parts = state.uploads.get_mut(&(key.to_string(), upload_id.to_owned()));
            let (_, parts) = parts.ok_or(PortError::NotFound("put_part"))?;
            let part = Part { number, etag: format!("\"{number}\""), size_bytes: body.len() as u64 };
            parts.push(part.clone());
            Ok(part)
        })
        .await
    }

    async fn complete_multipart(&self, key: &ObjectKey, upload_id: &str, parts: &[Part]) -> PortResult<()> {
        self.request("complete_multipart", |state| {
            let upload = (key.to_string(), upload_id.to_owned());
            if !state.uploads.contains_key(&upload) {
                return Err(PortError::NotFound("complete_multipart"));
            }
            let size_bytes = parts.iter().map(|part| part.size_bytes).sum();
            state.put("complete_multipart", &upload.0, size_bytes)?;
            state.uploads.remove(&upload);
            Ok(())
        })
        .await
    }

    async fn abort_multipart(&self, key: &ObjectKey, upload_id: &str) -> PortResult<()> {
        self.request("abort_multipart", |state| {
            state.uploads.remove(&(key.to_string(), upload_id.to_owned()));
            Ok(())
        })
        .await
    }

    async fn put_encoded(&self, key: &ObjectKey, body: Bytes, _coding: Option<Coding>) -> PortResult<()> {
        self.request("put", |state| state.put("put", &key.to_string(), body.len() as u64)).await
    }

    async fn head(&self, key: &ObjectKey) -> PortResult<Object> {
        self.request("head", |state| state.object("head", key)).await
    }

    async fn find(&self, key: &ObjectKey) -> PortResult<Object> {
        self.request("find", |state| state.object("find", key)).await
    }

    async fn checksum(&self, _object: &Object) -> PortResult<Option<Checksum>> {
        Ok(None)
    }

    async fn read(&self, _object: &Object, _range: Range<u64>) -> PortResult<Bytes> {
        Self::none("read")
    }

    async fn delete(&self, key: &ObjectKey, version: Option<&str>) -> PortResult<()> {
        self.request("delete_object", |state| {
            let key = key.to_string();
            match version {
                Some(version) => state.remove(&key, version),
                None => {
                    if let Some(life) = state.latest(&key).map(|latest| latest.life) {
                        state.watch(&key, life);
                        let mark = Version { id: state.next(), size_bytes: 0, is_mark: true, life };
                        state.objects.entry(key).or_default().push(mark);
                    }
                }
            }
            Ok(())
        })
        .await
    }

    async fn purge_into(&self, role: Role, job: JobId, tally: &Tally) -> PortResult<()> {
        let prefix = ObjectKey::prefix(role, job);
        for _ in 0..ROUNDS {
            let uploads = self.request("list_uploads", |state| {
                let keys = state.uploads.keys().filter(|(key, _)| key.starts_with(&prefix));
                Ok(keys.cloned().collect::<Vec<_>>())
            });
            let uploads = uploads.await?;
            let versions = self.request("list_versions", |state| {
                let own = state.objects.iter().filter(|(key, _)| key.starts_with(&prefix));
                let each = own.flat_map(|(key, all)| all.iter().map(move |one| (key.clone(), one.clone())));
                Ok(each.collect::<Vec<_>>())
            });
            let versions = versions.await?;
            if uploads.is_empty() && versions.is_empty() {
                return Ok(());
            }
            for upload in uploads {
                self.request("abort", |state| {
                    if let Some((life, _)) = state.uploads.remove(&upload) {
                        state.watch(&upload.0, life);
                    }
                    Ok(())
                })
                .await?;
                tally.add(Purged { uploads: 1, ..Purged::default() });
            }
            for (key, version) in versions {
                self.request("delete_version", |state| {
                    state.remove(&key, &version.id);
                    Ok(())
                })
                .await?;
                let (objects, marks) = (u64::from(!version.is_mark), u64::from(version.is_mark));
                tally.add(Purged { objects, marks, ..Purged::default() });
            }
        }
        Err(PortError::Unavailable { operation: "purge", reason: "something is always left".to_owned() })
    }

    async fn stored(&self) -> PortResult<Vec<JobId>> {
        self.request("stored", |state| {
            let keys = state.objects.keys().chain(state.uploads.keys().map(|(key, _)| key));
            let mut jobs: Vec<JobId> =
                keys.filter_map(|key| key.parse::<ObjectKey>().ok()).map(|key| key.job()).collect();
            jobs.dedup();
            Ok(jobs)
        })
        .await
    }

    async fn check(&self) -> PortResult<()> {
        Ok(())
    }

    async fn can_list(&self) -> PortResult<()> {
        Ok(())
    }

    async fn can_write(&self) -> PortResult<()> {
        Ok(())
    }
}

/// The queue. What is sent is kept in order.
#[derive(Clone)]
pub(super) struct MemoryQueue(Memory);

#[async_trait]
impl EventQueue for MemoryQueue {
    async fn send_later(&self, body: &str, _delay: Duration) -> PortResult<()> {
        self.0.state().messages.push(body.to_owned());
        Ok(())
    }

    /// Takes them: none comes twice.
    async fn receive(&self, max: u32, _wait: Duration, _hidden: Duration) -> PortResult<Vec<Message>> {
        let mut state = self.0.state();
        let count = state.messages.len().min(max as usize);
        let taken = state.messages.drain(..count);
        let message = |body| Message { id: String::new(), receipt: String::new(), body, deliveries: 1 };
        Ok(taken.map(message).collect())
    }

    async fn change_visibility(&self, _message: &Message, _hidden: Duration) -> PortResult<()> {
        Ok(())
    }

    async fn delete(&self, _message: &Message) -> PortResult<()> {
        Ok(())
    }

    async fn dead_letter(&self, _message: &Message) -> PortResult<()> {
        Ok(())
    }

    async fn depth(&self) -> PortResult<Depth> {
        Ok(Depth { ready: self.0.state().messages.len() as u64, hidden: 0 })
    }

    async fn dead_letters(&self) -> PortResult<u64> {
        Ok(0)
    }

    async fn check(&self) -> PortResult<()> {
        Ok(())
    }
}
