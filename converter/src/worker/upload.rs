//! Uploads the output to the store, under a key of this attempt.
//!
//! Publication has two steps: the object is written here, and the conditional write that ends the
//! job makes it the job's output. A worker that has lost its job writes at most an object that no
//! record names, under a key that no other attempt uses. Cleanup deletes it.
//!
//! A large text file is stored as gzip if the client's order says that it decodes it; an archive
//! never is.

use super::failpoint;
use super::parts::{Gzipped, PartBody, Parts, Plain};
use crate::publish::{OutputFile, Sink, write_zip};
use crate::workspace::{Folder, Workspace, destroy};
use bytes::Bytes;
use cadmill_core::domain::coding::{Coding, Encoded};
use cadmill_core::domain::failure::{Failure, FailureCode};
use cadmill_core::domain::ids::{JobId, ObjectKey};
use cadmill_core::domain::job::{Object, is_large_text};
use cadmill_core::domain::ledger::record::FileRole;
use cadmill_core::ports::object_store::Part;
use cadmill_core::ports::{ObjectStore, PortError};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::task::JoinSet;

/// Parts in memory at once: in flight, or being made. With their size, 8 MiB, or 32 MiB for an output
/// of 1 GiB or more, it bounds the memory used: 32 or 128 MiB.
const REQUESTS: usize = 4;

/// Attempts to write one part before the attempt fails. The store client already retries what is
/// safe to retry; this covers what the client gives up on.
const TRIES: u32 = 3;

/// Pause before a write is repeated that another request was in conflict with: that request is still
/// in progress.
const CONFLICT_PAUSE: Duration = Duration::from_millis(200);

/// Name of the archive of an output of several files, in the workspace.
const ARCHIVE: &str = "output.zip";

type Joined = Result<Result<Part, PortError>, tokio::task::JoinError>;

/// An output uploaded in parts.
struct MultipartUpload<'a> {
    key: &'a ObjectKey,
    upload: &'a str,
    file: &'a File,
    size: u64,
    /// The range of the file that each part releases, by its number minus one.
    ranges: Vec<Range<u64>>,
    arrived: Vec<Part>,
    /// Bytes of the file that are released.
    done: u64,
}

/// Publishes the output to the object store.
pub(super) struct ObjectStoreSink<'a> {
    pub(super) objects: &'a Arc<dyn ObjectStore>,
    pub(super) runtime: &'a Handle,
    pub(super) job: JobId,
    pub(super) attempt: u32,
    pub(super) cancel: &'a AtomicBool,
    /// Whether the client decodes gzip.
    pub(super) accept_gzip: bool,
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
        let (name, folder, file_name, is_archive) = match files {
            [one] if !zipped => (main_name.to_owned(), one.folder.clone(), one.name.as_str(), false),
            _ => (format!("{main_name}.zip"), archive(files, workspace)?, ARCHIVE, true),
        };
        // A name in the client's archive may yield an invalid file name.
        let file = name
            .parse()
            .or_else(|_| "output".parse())
            .map_err(|_| Failure::new(FailureCode::EngineNoAnswer, "the output has no valid name"))?;
        let key = ObjectKey::processed(self.job, self.attempt, file);
        let object = self.upload(&key, &folder, file_name, !is_archive)?;
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
    fn upload(
        &self,
        key: &ObjectKey,
        folder: &Folder,
        name: &str,
        may_encode: bool,
    ) -> Result<Object, Failure> {
        let fail = |e: io::Error| Failure::io("reading the output", &e);
        // Opened for writing too: uploaded ranges are discarded.
        let file = folder.open_to_give_up(name).map_err(fail)?;
        let size = file.metadata().map_err(fail)?.len();
        let extension = key.file().as_str().rsplit_once('.').map_or("", |(_, extension)| extension);
        let mut parts: Box<dyn Parts> = match may_encode && self.accept_gzip && is_large_text(extension, size)
        {
            true => Box::new(Gzipped::new(&file, size, self.cancel)),
            false => Box::new(Plain::new(&file, size)),
        };
        let coding = parts.coding();
        let first = parts.next()?;
        if first.is_last {
            self.put(key, first.body, coding)?;
        } else {
            self.put_parts(key, &file, size, first, &mut *parts)?;
        }
        let (whole, there) = (parts.whole(), self.runtime.block_on(self.objects.head(key))?);
        let refused = |message: String| Err(Failure::new(FailureCode::StoreUnavailable, message));
        if there.size_bytes != whole.bytes {
            return refused(format!(
                "{} bytes were uploaded, the store has {}",
                whole.bytes, there.size_bytes
            ));
        }
        // Without it a client would take the encoded bytes for the content.
        let kept = there.encoded.as_ref().map(|Encoded { coding, .. }| *coding);
        if coding.is_some() && kept != coding {
            return refused("the store does not keep the Content-Encoding of an object".to_owned());
        }
        Ok(Object { sha256: Some(whole.sha256), encoded: whole.encoded, ..there })
    }

    fn put(&self, key: &ObjectKey, body: Bytes, coding: Option<Coding>) -> Result<(), Failure> {
        let put = || self.objects.put_encoded(key, body.clone(), coding);
        match self.runtime.block_on(retried(put, |error| error.is_transient() && !self.cancelled())) {
            // The key belongs to this attempt: an existing object was put by a try whose reply was
            // lost.
            (_, Ok(()) | Err(PortError::Precondition(_))) => Ok(()),
            (_, Err(error)) => Err(error.into()),
        }
    }

    fn put_parts(
        &self,
        key: &ObjectKey,
        file: &File,
        size: u64,
        first: PartBody,
        parts: &mut dyn Parts,
    ) -> Result<(), Failure> {
        let upload = self.runtime.block_on(self.objects.begin_encoded(key, parts.coding()))?;
        let (ranges, arrived) = (Vec::new(), Vec::new());
        let upload_under_way = MultipartUpload { key, upload: &upload, file, size, ranges, arrived, done: 0 };
        let result = self.send_parts(upload_under_way, first, parts);
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
        first: PartBody,
        parts: &mut dyn Parts,
    ) -> Result<(), Failure> {
        let mut tasks = JoinSet::new();
        let mut part = first;
        for number in 1.. {
            let PartBody { body, range, is_last } = part;
            upload_under_way.ranges.push(range);
            let (objects, key) = (Arc::clone(self.objects), upload_under_way.key.clone());
            tasks.spawn_on(
                put_part(objects, key, upload_under_way.upload.to_owned(), number, body),
                self.runtime,
            );
            if is_last {
                break;
            }
            if self.cancelled() {
                return Err(Failure::new(FailureCode::Cancelled, "cancelled while uploading"));
            }
            if tasks.len() >= REQUESTS
                && let Some(joined) = self.runtime.block_on(tasks.join_next())
            {
                self.record_part(joined, &mut upload_under_way)?;
            }
            part = parts.next()?;
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
        let done = upload_under_way.done;
        (self.progress)(done as f64 / upload_under_way.size as f64);
        if done * 2 >= upload_under_way.size {
            failpoint::reached("half-uploaded");
        }
        Ok(())
    }

    fn complete(&self, key: &ObjectKey, upload: &str, parts: &[Part]) -> Result<(), Failure> {
        let complete = || self.objects.complete_multipart(key, upload, parts);
        let may_repeat = |error: &PortError| {
            error.is_transient() && !matches!(error, PortError::Conflict(_)) && !self.cancelled()
        };
        match self.runtime.block_on(retried(complete, may_repeat)) {
            // Completed by a try whose reply was lost: the caller checks the object.
            (_, Ok(()) | Err(PortError::Precondition(_))) | (2.., Err(PortError::NotFound(_))) => Ok(()),
            // The upload cannot be completed any more. The other request may have been a try of this
            // call. If it was not, the parts would have to be uploaded anew, but they are destroyed:
            // the attempt fails, and the next one makes the output again.
            (_, Err(error @ PortError::Conflict(_))) => match self.runtime.block_on(self.objects.head(key)) {
                Ok(_) => Ok(()),
                Err(PortError::NotFound(_)) => Err(error.into()),
                Err(unknown) => Err(unknown.into()),
            },
            (_, Err(error)) => Err(error.into()),
        }
    }

    fn cancelled(&self) -> bool {
        self.cancel.load(Ordering::Relaxed)
    }
}

impl MultipartUpload<'_> {
    /// The store has the part, and a retry of the job produces it again, so its memory is freed.
    fn discard(&mut self, number: u32) -> Result<(), Failure> {
        let range = self.ranges.get(number as usize - 1).cloned().unwrap_or_default();
        self.done += range.end - range.start;
        destroy::range(self.file, range)
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
    retried(|| objects.put_part(&key, &upload, number, body.clone()), PortError::is_transient).await.1
}

/// Makes a call up to [`TRIES`] times, while it may be repeated after its error: the number of calls,
/// and the result of the last one.
async fn retried<T, F>(
    mut call: impl FnMut() -> F,
    may_repeat: impl Fn(&PortError) -> bool,
) -> (u32, Result<T, PortError>)
where
    F: Future<Output = Result<T, PortError>>,
{
    let mut tried = 1;
    loop {
        match call().await {
            Err(error) if tried < TRIES && may_repeat(&error) => {
                if matches!(error, PortError::Conflict(_)) {
                    tokio::time::sleep(CONFLICT_PAUSE).await;
                }
                tried += 1;
            }
            result => return (tried, result),
        }
    }
}
