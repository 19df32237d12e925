//! An in-memory object store for the API: its presigned URLs lead nowhere, tests place objects and
//! parts directly, and one reply can be lost.

use async_trait::async_trait;
use bytes::Bytes;
use cadmill_core::domain::coding::Coding;
use cadmill_core::domain::ids::{FileName, JobId, ObjectKey, Role};
use cadmill_core::domain::job::{Millis, Object};
use cadmill_core::ports::object_store::{Checksum, Part, Presigned, Purged, Tally};
use cadmill_core::ports::{ObjectStore, PortError, PortResult};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// The key of an upload and the sizes of its parts.
pub type Begun = (String, BTreeMap<u32, u64>);

#[derive(Default)]
pub struct Shelf {
    pub objects: Mutex<BTreeMap<String, u64>>,
    /// By upload id.
    pub uploads: Mutex<BTreeMap<String, Begun>>,
    /// The next completion succeeds, but its reply is lost.
    pub lose_reply: AtomicBool,
    /// The next completion is in conflict with another request: it has no effect.
    pub conflict: AtomicBool,
    /// Writes fail.
    pub full: AtomicBool,
    /// Every operation fails.
    pub down: AtomicBool,
    /// No operation ever completes.
    pub stuck: AtomicBool,
    /// The next presigned GET panics.
    pub panic: AtomicBool,
    pub purges: AtomicU64,
    counter: AtomicU64,
}

impl Shelf {
    async fn answer(&self, operation: &'static str) -> PortResult<()> {
        if self.stuck.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        if self.down.load(Ordering::SeqCst) {
            return Err(PortError::Unavailable { operation, reason: "SlowDown".to_owned() });
        }
        Ok(())
    }

    fn presigned(&self, method: &'static str, key: &ObjectKey, lifetime: Duration) -> Presigned {
        let serial = self.counter.fetch_add(1, Ordering::SeqCst);
        Presigned {
            method,
            url: format!(
                "http://127.0.0.1:9/{}/{}?signature={serial}",
                key.job(),
                key.attempt().unwrap_or(0)
            ),
            headers: vec![("x-signed".to_owned(), "1".to_owned())],
            expires: 1_700_000_000_000 + Millis::try_from(lifetime.as_millis()).unwrap(),
            lifetime,
        }
    }
}

#[async_trait]
impl ObjectStore for Shelf {
    async fn presign_put(
        &self,
        key: &ObjectKey,
        _size_bytes: u64,
        _sha256: Option<&str>,
        lifetime: Duration,
    ) -> PortResult<Presigned> {
        self.answer("presigning").await?;
        Ok(self.presigned("PUT", key, lifetime))
    }

    async fn presign_part(
        &self,
        key: &ObjectKey,
        _upload_id: &str,
        _number: u32,
        _size_bytes: u64,
        lifetime: Duration,
    ) -> PortResult<Presigned> {
        self.answer("presigning").await?;
        Ok(self.presigned("PUT", key, lifetime))
    }

    async fn presign_get(&self, object: &Object, _: &FileName, lifetime: Duration) -> PortResult<Presigned> {
        self.answer("presigning").await?;
        assert!(!self.panic.swap(false, Ordering::SeqCst), "secret.zip is in this panic");
        Ok(self.presigned("GET", &object.key, lifetime))
    }

    async fn begin_encoded(&self, key: &ObjectKey, _: Option<Coding>) -> PortResult<String> {
        self.answer("beginning an upload").await?;
        let id = format!("upload-{}", self.counter.fetch_add(1, Ordering::SeqCst));
        self.uploads.lock().unwrap().insert(id.clone(), (key.to_string(), BTreeMap::new()));
        Ok(id)
    }

    async fn parts(&self, _: &ObjectKey, upload_id: &str) -> PortResult<Vec<Part>> {
        self.answer("listing parts").await?;
        let uploads = self.uploads.lock().unwrap();
        let (_, parts) = uploads.get(upload_id).ok_or(PortError::NotFound("listing parts"))?;
        let part = |(&number, &size_bytes)| Part { number, etag: format!("\"{number}\""), size_bytes };
        Ok(parts.iter().map(part).collect())
    }

    async fn put_part(&self, _: &ObjectKey, _: &str, _: u32, _: Bytes) -> PortResult<Part> {
        unreachable!("the API writes no parts")
    }

    async fn complete_multipart(&self, key: &ObjectKey, upload_id: &str, parts: &[Part]) -> PortResult<()> {
        self.answer("completing an upload").await?;
        if self.conflict.swap(false, Ordering::SeqCst) {
            return Err(PortError::Conflict("completing an upload"));
        }
        let mut objects = self.objects.lock().unwrap();
        if objects.contains_key(&key.to_string()) {
            return Err(PortError::Precondition("completing an upload"));
        }
        self.uploads.lock().unwrap().remove(upload_id).ok_or(PortError::NotFound("completing an upload"))?;
        objects.insert(key.to_string(), parts.iter().map(|part| part.size_bytes).sum());
        if self.lose_reply.swap(false, Ordering::SeqCst) {
            let (operation, reason) = ("completing an upload", "timeout".to_owned());
            return Err(PortError::Unknown { operation, reason });
        }
        Ok(())
    }

    async fn abort_multipart(&self, _: &ObjectKey, upload_id: &str) -> PortResult<()> {
        self.answer("giving an upload up").await?;
        self.uploads.lock().unwrap().remove(upload_id);
        Ok(())
    }

    async fn put_encoded(&self, _: &ObjectKey, _: Bytes, _: Option<Coding>) -> PortResult<()> {
        unreachable!("the API writes no objects")
    }

    async fn checksum(&self, _: &Object) -> PortResult<Option<Checksum>> {
        Ok(None)
    }

    async fn head(&self, _: &ObjectKey) -> PortResult<Object> {
        unreachable!("the API may not read uploads, so it asks a listing")
    }

    async fn find(&self, key: &ObjectKey) -> PortResult<Object> {
        self.answer("looking at an object").await?;
        let objects = self.objects.lock().unwrap();
        let size = objects.get(&key.to_string()).ok_or(PortError::NotFound("looking at an object"))?;
        Ok(Object {
            key: key.clone(),
            size_bytes: *size,
            etag: "e".to_owned(),
            version: None,
            sha256: None,
            encoded: None,
        })
    }

    async fn read(&self, _: &Object, _: Range<u64>) -> PortResult<Bytes> {
        unreachable!("the API reads no objects")
    }

    async fn delete(&self, _: &ObjectKey, _: Option<&str>) -> PortResult<()> {
        unreachable!("the API deletes all objects of a job")
    }

    /// Lists and deletes, as a store does: two at once delete the same.
    async fn purge_into(&self, role: Role, job: JobId, tally: &Tally) -> PortResult<()> {
        self.answer("deleting objects").await?;
        self.purges.fetch_add(1, Ordering::SeqCst);
        let prefix = ObjectKey::prefix(role, job);
        let objects =
            self.objects.lock().unwrap().keys().filter(|key| key.starts_with(&prefix)).count() as u64;
        let begun = |(key, _): &&Begun| key.starts_with(&prefix);
        let uploads = self.uploads.lock().unwrap().values().filter(begun).count() as u64;
        tokio::time::sleep(Duration::from_millis(5)).await;
        self.objects.lock().unwrap().retain(|key, _| !key.starts_with(&prefix));
        self.uploads.lock().unwrap().retain(|_, (key, _)| !key.starts_with(&prefix));
        tally.add(Purged { objects, uploads, ..Purged::default() });
        Ok(())
    }

    async fn stored(&self) -> PortResult<Vec<JobId>> {
        unreachable!("the API does not look for objects without a job")
    }

    async fn check(&self) -> PortResult<()> {
        self.answer("checking the bucket").await
    }

    async fn can_list(&self) -> PortResult<()> {
        self.answer("listing").await
    }

    async fn can_write(&self) -> PortResult<()> {
        self.answer("asking whether the bucket takes writes").await?;
        match self.full.load(Ordering::SeqCst) {
            true => Err(PortError::Unavailable { operation: "writing", reason: "disk full".to_owned() }),
            false => Ok(()),
        }
    }
}
