//! Uploads the output to the store, under a key of this attempt.
//!
//! Publication has two steps: the object is written here, and the conditional write that ends the
//! job makes it the job's output. A worker that has lost its job writes at most an object that no
//! record names, under a key that no other attempt uses. Cleanup deletes it.

use super::failpoint;
use crate::digest::Digest;
use crate::publish::{OutputFile, Sink, write_zip};
use crate::workspace::{Folder, Workspace, destroy};
use bytes::Bytes;
use cadmill_core::domain::failure::{Failure, FailureCode};
use cadmill_core::domain::ids::{JobId, ObjectKey};
use cadmill_core::domain::job::Object;
use cadmill_core::domain::ledger::record::FileRole;
use cadmill_core::ports::object_store::{MAX_PARTS, Part};
use cadmill_core::ports::{ObjectStore, PortError};
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::runtime::Handle;
use tokio::task::JoinSet;

/// Size of a part in bytes, for outputs of up to 80 GB.
const PART: u64 = 8 << 20;

/// Parts in flight at once; with [`PART`] it bounds the memory used.
const REQUESTS: usize = 4;

/// Attempts to write one part before the attempt fails. The store client already retries what is
/// safe to retry; this covers what the client gives up on.
const TRIES: u32 = 3;

/// Name of the archive of an output of several files, in the workspace.
const ARCHIVE: &str = "output.zip";

type Joined = Result<Result<Part, PortError>, tokio::task::JoinError>;

/// An output uploaded in parts.
struct MultipartUpload<'a> {
    key: &'a ObjectKey,
    upload: &'a str,
    file: &'a File,
    size: u64,
    part_bytes: u64,
    arrived: Vec<Part>,
}

/// Publishes the output to the object store.
pub(super) struct ObjectStoreSink<'a> {
    pub(super) objects: &'a Arc<dyn ObjectStore>,
    pub(super) runtime: &'a Handle,
    pub(super) job: JobId,
    pub(super) attempt: u32,
    pub(super) cancel: &'a AtomicBool,
    /// Receives the fraction of the output that is uploaded, from 0 to 1.
    pub(super) progress: &'a (dyn Fn(f64) + Sync),
}

impl Sink for ObjectStoreSink<'_> {
    type Output = Object;

    fn stem(&self, input_stem: &str, _extension: &str) -> String {
        input_stem.to_owned()
    }

    fn publish(
        &self,
        files: &[OutputFile],
        main_name: &str,
        zipped: bool,
        workspace: &Workspace,
    ) -> Result<Object, Failure> {
        failpoint::reached("converted");
        let (name, folder, file_name) = match files {
            [one] if !zipped => (main_name.to_owned(), one.folder.clone(), one.name.as_str()),
            _ => (format!("{main_name}.zip"), archive(files, workspace)?, ARCHIVE),
        };
        // A name in the client's archive may yield an invalid file name.
        let file = name
            .parse()
            .or_else(|_| "output".parse())
            .map_err(|_| Failure::new(FailureCode::EngineNoAnswer, "the output has no valid name"))?;
        let key = ObjectKey::processed(self.job, self.attempt, file);
        let object = self.upload(&key, &folder, file_name)?;
        failpoint::reached("uploaded");
        Ok(object)
    }
}

/// Creates the folder that holds the archive, named [`ARCHIVE`].
fn archive(files: &[OutputFile], workspace: &Workspace) -> Result<Folder, Failure> {
    let fail = |e: io::Error| Failure::in_workspace("writing the archive of the output to the workspace", &e);
    let folder = workspace.packed_folder()?;
    let archive = folder.create(ARCHIVE, FileRole::Output)?;
    // A file is destroyed once it is in the archive.
    write_zip(files, archive.file(), &mut |written| written.folder.destroy(&written.name)).map_err(fail)?;
    let bytes = archive.file().metadata().map_err(fail)?.len();
    // The archive is not written sequentially, so it has no digest.
    archive.complete(bytes, None);
    Ok(folder)
}

impl ObjectStoreSink<'_> {
    fn upload(&self, key: &ObjectKey, folder: &Folder, name: &str) -> Result<Object, Failure> {
        let fail = |e: io::Error| Failure::io("reading the output", &e);
        // Opened for writing too: uploaded ranges are discarded.
        let mut file = folder.open_to_give_up(name).map_err(fail)?;
        let size = file.metadata().map_err(fail)?.len();
        let mut digest = Digest::default();
        if size <= PART {
            let mut body = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
            file.read_to_end(&mut body).map_err(fail)?;
            digest.update(&body);
            self.put(key, body.into())?;
        } else {
            self.put_parts(key, &file, size, &mut digest)?;
        }
        let there = self.runtime.block_on(self.objects.head(key))?;
        if there.size_bytes != size {
            let message = format!("{size} bytes were uploaded, the store has {}", there.size_bytes);
            return Err(Failure::new(FailureCode::StoreUnavailable, message));
        }
        Ok(Object { sha256: Some(digest.finish()), ..there })
    }

    fn put(&self, key: &ObjectKey, body: Bytes) -> Result<(), Failure> {
        let put = || self.objects.put(key, body.clone());
        match self.runtime.block_on(retried(put, || self.cancelled())) {
            // The key belongs to this attempt: an existing object was put by a try whose reply was
            // lost.
            (_, Ok(()) | Err(PortError::Precondition(_))) => Ok(()),
            (_, Err(error)) => Err(error.into()),
        }
    }

    fn put_parts(&self, key: &ObjectKey, file: &File, size: u64, digest: &mut Digest) -> Result<(), Failure> {
        let upload = self.runtime.block_on(self.objects.begin_multipart(key))?;
        let part_bytes = PART.max(size.div_ceil(u64::from(MAX_PARTS)));
        let upload_under_way =
            MultipartUpload { key, upload: &upload, file, size, part_bytes, arrived: Vec::new() };
        let result = self.send_parts(upload_under_way, digest);
        if result.is_err() {
            // Incomplete multipart uploads hold data that object listings do not show. If the abort
            // fails too, cleanup finds the upload.
            let _ = self.runtime.block_on(self.objects.abort_multipart(key, &upload));
        }
        result
    }

    fn send_parts(
        &self,
        mut upload_under_way: MultipartUpload<'_>,
        digest: &mut Digest,
    ) -> Result<(), Failure> {
        let mut tasks = JoinSet::new();
        for number in 1..=upload_under_way.count() {
            if self.cancelled() {
                return Err(Failure::new(FailureCode::Cancelled, "cancelled while uploading"));
            }
            if tasks.len() >= REQUESTS
                && let Some(joined) = self.runtime.block_on(tasks.join_next())
            {
                self.record_part(joined, &mut upload_under_way)?;
            }
            let body = upload_under_way.read(number)?;
            digest.update(&body);
            let (objects, key) = (Arc::clone(self.objects), upload_under_way.key.clone());
            tasks.spawn_on(
                put_part(objects, key, upload_under_way.upload.to_owned(), number, body),
                self.runtime,
            );
        }
        while let Some(joined) = self.runtime.block_on(tasks.join_next()) {
            self.record_part(joined, &mut upload_under_way)?;
        }
        upload_under_way.arrived.sort_by_key(|part| part.number);
        self.complete(upload_under_way.key, upload_under_way.upload, &upload_under_way.arrived)
    }

    fn record_part(&self, joined: Joined, upload_under_way: &mut MultipartUpload<'_>) -> Result<(), Failure> {
        let part = joined.map_err(|_| Failure::new(FailureCode::Io, "an upload task has panicked"))??;
        upload_under_way.discard(part.number)?;
        upload_under_way.arrived.push(part);
        let done = upload_under_way.arrived.iter().map(|part| part.size_bytes).sum::<u64>();
        (self.progress)(done as f64 / upload_under_way.size as f64);
        if done * 2 >= upload_under_way.size {
            failpoint::reached("half-uploaded");
        }
        Ok(())
    }

    fn complete(&self, key: &ObjectKey, upload: &str, parts: &[Part]) -> Result<(), Failure> {
        let complete = || self.objects.complete_multipart(key, upload, parts);
        match self.runtime.block_on(retried(complete, || self.cancelled())) {
            // Completed by a try whose reply was lost: the caller checks the object.
            (_, Ok(()) | Err(PortError::Precondition(_))) | (2.., Err(PortError::NotFound(_))) => Ok(()),
            (_, Err(error)) => Err(error.into()),
        }
    }

    fn cancelled(&self) -> bool {
        self.cancel.load(Ordering::Relaxed)
    }
}

impl MultipartUpload<'_> {
    fn count(&self) -> u32 {
        u32::try_from(self.size.div_ceil(self.part_bytes)).unwrap_or(MAX_PARTS)
    }

    /// The range of part `number` (from 1) in the file.
    fn range(&self, number: u32) -> Range<u64> {
        let start = u64::from(number - 1) * self.part_bytes;
        start..self.size.min(start + self.part_bytes)
    }

    fn read(&self, number: u32) -> Result<Bytes, Failure> {
        let Range { start, end } = self.range(number);
        let mut body = vec![0; usize::try_from(end - start).unwrap_or(0)];
        self.file.read_exact_at(&mut body, start).map_err(|e| Failure::io("reading the output", &e))?;
        Ok(body.into())
    }

    /// The store has the part, and a retry of the job produces it again, so its memory is freed.
    fn discard(&self, number: u32) -> Result<(), Failure> {
        destroy::range(self.file, self.range(number))
            .map_err(|e| Failure::io("releasing the memory of the uploaded output", &e))
    }
}

async fn put_part(
    objects: Arc<dyn ObjectStore>,
    key: ObjectKey,
    upload: String,
    number: u32,
    body: Bytes,
) -> Result<Part, PortError> {
    // Writing the same part number again replaces the part.
    retried(|| objects.put_part(&key, &upload, number, body.clone()), || false).await.1
}

/// Makes a call up to [`TRIES`] times, while its error is transient and it is not to be stopped:
/// the number of calls, and the result of the last one.
async fn retried<T, F>(mut call: impl FnMut() -> F, stopped: impl Fn() -> bool) -> (u32, Result<T, PortError>)
where
    F: Future<Output = Result<T, PortError>>,
{
    let mut tried = 1;
    loop {
        match call().await {
            Err(error) if error.is_transient() && tried < TRIES && !stopped() => tried += 1,
            result => return (tried, result),
        }
    }
}
