//! The object comes into the workspace: by ranges, several at once, digested on the way.

use super::failpoint;
use crate::digest::Digest;
use cadmill_core::domain::failure::{Failure, FailureCode};
use cadmill_core::domain::job::{Object, Order};
use cadmill_core::ports::{ObjectStore, PortError};
use futures_util::StreamExt;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::runtime::Handle;

/// Bytes of one request: the size at which S3 gives its full throughput.
const RANGE: u64 = 8 << 20;

/// Requests under way at once; with [`RANGE`] the bound of the memory for it.
const REQUESTS: usize = 4;

/// Downloads the object to a new file and answers with its SHA-256.
///
/// # Errors
/// `input.size_mismatch` before the first byte, `input.digest_mismatch`,
/// `job.cancelled`, `infra.*`.
pub(super) fn fetch(
    store: &Arc<dyn ObjectStore>,
    runtime: &Handle,
    order: &Order,
    object: &Object,
    target: &Path,
    cancel: &AtomicBool,
    progress: &mut dyn FnMut(f64),
) -> Result<String, Failure> {
    let size = object.size_bytes;
    if size != order.size_bytes {
        let message = format!("{} bytes were declared, {size} were uploaded", order.size_bytes);
        return Err(Failure::new(FailureCode::InputSizeMismatch, message)
            .with("declared_bytes", order.size_bytes)
            .with("uploaded_bytes", size));
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(target)
        .map_err(|e| Failure::io("making a file in the workspace", &e))?;
    let mut digest = Digest::default();
    let starts = (0..size).step_by(usize::try_from(RANGE).unwrap_or(usize::MAX));
    let mut ranges = futures_util::stream::iter(starts.map(|start| {
        let (store, object) = (Arc::clone(store), object.clone());
        // A task of its own, so that it goes on while this thread writes.
        let end = (start + RANGE).min(size);
        let read = async move {
            let bytes = store.read(&object, start..end).await?;
            // A short read would shift all that follows.
            let whole = bytes.len() as u64 == end - start;
            whole.then_some(bytes).ok_or_else(|| PortError::Unavailable {
                operation: "reading the upload",
                reason: "fewer bytes than were asked for".to_owned(),
            })
        };
        runtime.spawn(read)
    }))
    .buffered(REQUESTS);
    let mut written = 0u64;
    while let Some(read) = runtime.block_on(ranges.next()) {
        let bytes = read.map_err(|_| Failure::new(FailureCode::Io, "a download task has panicked"))??;
        file.write_all(&bytes).map_err(|e| Failure::io("writing the download to the workspace", &e))?;
        digest.update(&bytes);
        written += bytes.len() as u64;
        progress(written as f64 / size.max(1) as f64);
        if written * 2 >= size {
            failpoint::reached("half-downloaded");
        }
        if cancel.load(Ordering::Relaxed) {
            return Err(Failure::new(FailureCode::Cancelled, "cancelled while downloading"));
        }
    }
    let sha256 = digest.finish();
    match &order.sha256 {
        Some(declared) if !declared.eq_ignore_ascii_case(&sha256) => {
            let message = "the SHA-256 of the uploaded object is not the one that was declared";
            Err(Failure::new(FailureCode::InputDigestMismatch, message))
        }
        _ => Ok(sha256),
    }
}
