//! The bucket, as S3 keeps it: versions, delete markers, and uploads in parts.

use cadmill_core::domain::ids::{JobId, ObjectKey, Role};
use cadmill_core::domain::job::{Millis, Object};
use cadmill_core::ports::PortError;
use std::collections::{HashMap, HashSet};

/// A version of an object, or a delete marker.
#[derive(Debug, Clone)]
pub(crate) struct Version {
    pub(crate) key: ObjectKey,
    /// Its id, and its ETag.
    pub(crate) id: u64,
    pub(crate) bytes: u64,
    pub(crate) made: Millis,
    pub(crate) is_mark: bool,
}

/// An upload in parts that is not complete.
#[derive(Debug, Clone)]
pub(crate) struct Unfinished {
    pub(crate) key: ObjectKey,
    pub(crate) id: String,
    /// Number and size of each part.
    pub(crate) parts: Vec<(u32, u64)>,
    pub(crate) begun: Millis,
}

/// Everything of one job.
#[derive(Debug, Default)]
struct Kept {
    versions: Vec<Version>,
    unfinished: Vec<Unfinished>,
}

/// The bucket.
pub(crate) struct Bucket {
    is_versioned: bool,
    kept: HashMap<JobId, Kept>,
    next: u64,
    /// Jobs whose uploads cannot be deleted, as under a legal hold.
    held: HashSet<JobId>,
}

impl Bucket {
    pub(crate) fn new(is_versioned: bool) -> Self {
        Self { is_versioned, kept: HashMap::new(), next: 0, held: HashSet::new() }
    }

    /// Refuses the deletion of the uploads of this job.
    pub(crate) fn hold(&mut self, job: JobId) {
        self.held.insert(job);
    }

    /// Ends all holds.
    pub(crate) fn release(&mut self) {
        self.held.clear();
    }

    /// Jobs with anything in the bucket.
    pub(crate) fn jobs(&self) -> Vec<JobId> {
        self.kept.keys().copied().collect()
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// The latest version of an object.
    pub(crate) fn latest(&self, key: &ObjectKey) -> Option<&Version> {
        let versions = &self.kept.get(&key.job())?.versions;
        versions.iter().rev().find(|version| version.key == *key).filter(|version| !version.is_mark)
    }

    /// The same, as a port has it.
    pub(crate) fn object(&self, key: &ObjectKey) -> Option<Object> {
        let version = self.latest(key)?;
        Some(Object {
            key: key.clone(),
            size_bytes: version.bytes,
            etag: format!("\"{:032x}\"", version.id),
            version: self.is_versioned.then(|| format!("{:032x}", version.id)),
            sha256: None,
            encoded: None,
        })
    }

    /// Whether the object is still there as it was described.
    pub(crate) fn is_same(&self, object: &Object) -> bool {
        self.object(&object.key).is_some_and(|there| there.etag == object.etag)
    }

    /// Writes an object if there is none under its key.
    pub(crate) fn put(&mut self, key: &ObjectKey, bytes: u64, made: Millis) -> Result<(), PortError> {
        if self.latest(key).is_some() {
            return Err(PortError::Precondition("writing an object"));
        }
        let id = self.number();
        let version = Version { key: key.clone(), id, bytes, made, is_mark: false };
        self.kept.entry(key.job()).or_default().versions.push(version);
        Ok(())
    }

    /// Begins an upload in parts; returns its id.
    pub(crate) fn begin(&mut self, key: &ObjectKey, begun: Millis) -> String {
        let id = format!("{:032x}", self.number());
        let unfinished = Unfinished { key: key.clone(), id: id.clone(), parts: Vec::new(), begun };
        self.kept.entry(key.job()).or_default().unfinished.push(unfinished);
        id
    }

    /// The unfinished upload with this id.
    pub(crate) fn unfinished(&mut self, key: &ObjectKey, id: &str) -> Option<&mut Unfinished> {
        self.kept.get_mut(&key.job())?.unfinished.iter_mut().find(|upload| upload.id == id)
    }

    /// Completes an upload, if there is no object under its key.
    pub(crate) fn complete(&mut self, key: &ObjectKey, id: &str, made: Millis) -> Result<(), PortError> {
        const OPERATION: &str = "completing an upload";
        let upload = self.unfinished(key, id).ok_or(PortError::NotFound(OPERATION))?;
        let bytes = upload.parts.iter().map(|(_, bytes)| bytes).sum();
        self.put(key, bytes, made)?;
        self.abort(key, id);
        Ok(())
    }

    /// Removes an upload.
    pub(crate) fn abort(&mut self, key: &ObjectKey, id: &str) {
        if let Some(kept) = self.kept.get_mut(&key.job()) {
            kept.unfinished.retain(|upload| upload.id != id);
        }
        self.forget_if_empty(key.job());
    }

    /// The versions and markers below a job's prefix.
    pub(crate) fn versions(&self, role: Role, job: JobId) -> Vec<Version> {
        let of_role = |version: &&Version| version.key.role() == role;
        self.kept.get(&job).map_or(Vec::new(), |kept| kept.versions.iter().filter(of_role).cloned().collect())
    }

    /// The unfinished uploads below a job's prefix.
    pub(crate) fn uploads(&self, role: Role, job: JobId) -> Vec<Unfinished> {
        let of_role = |upload: &&Unfinished| upload.key.role() == role;
        self.kept
            .get(&job)
            .map_or(Vec::new(), |kept| kept.unfinished.iter().filter(of_role).cloned().collect())
    }

    /// Deletes a version, or the object; returns whether an object went with it.
    pub(crate) fn delete(
        &mut self,
        key: &ObjectKey,
        version: Option<u64>,
        now: Millis,
    ) -> Result<bool, PortError> {
        const OPERATION: &str = "deleting an object";
        if key.role() == Role::Upload && self.held.contains(&key.job()) {
            let reason = "AccessDenied".to_owned();
            return Err(PortError::Refused { operation: OPERATION, reason });
        }
        let is_there = self.latest(key).is_some();
        if version.is_none() && self.is_versioned {
            if self.kept.contains_key(&key.job()) {
                let id = self.number();
                let mark = Version { key: key.clone(), id, bytes: 0, made: now, is_mark: true };
                self.kept.entry(key.job()).or_default().versions.push(mark);
            }
            return Ok(is_there);
        }
        let Some(kept) = self.kept.get_mut(&key.job()) else { return Ok(false) };
        let before = kept.versions.iter().filter(|version| !version.is_mark).count();
        kept.versions.retain(|one| one.key != *key || version.is_some_and(|id| one.id != id));
        let left = kept.versions.iter().filter(|version| !version.is_mark).count();
        self.forget_if_empty(key.job());
        Ok(left < before)
    }

    fn forget_if_empty(&mut self, job: JobId) {
        let is_empty = |kept: &Kept| kept.versions.is_empty() && kept.unfinished.is_empty();
        if self.kept.get(&job).is_some_and(is_empty) {
            self.kept.remove(&job);
        }
    }
}
