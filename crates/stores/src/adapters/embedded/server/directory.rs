//! Opens the data directory: the index and the files must belong together.
//!
//! Files that the index does not name are leftovers of a process that died, and must be destroyed. If
//! the index is not the one that these files were written with, the files are all that is left:
//! then nothing is touched and the start fails.

use super::super::sqlite::pool::{Make, damaged};
use super::blobs::{self, Blobs};
use super::index::Index;
use cadmill_core::ports::{PortError, PortResult};
use std::path::Path;

/// Opens an existing directory, or creates the index and the files in an empty one. Files that must be destroyed
/// are in the index as removals, or are strays.
pub(super) async fn open(data_dir: &Path) -> PortResult<(Index, Blobs)> {
    let (path, directory) = (data_dir.join("objects.sqlite"), data_dir.join("blobs"));
    let files = blobs::files(&directory)?;
    if let Some(known) = Index::without_its_log(&path) {
        let left = files.difference(&known).count();
        if left > 0 {
            let reason = format!(
                "its write-ahead log, objects.sqlite-wal, is missing, and it does not name {left} files in blobs"
            );
            return Err(advise(data_dir, files.len(), damaged(&path, &reason)));
        }
    }
    let make = if files.is_empty() { Make::IfEmpty } else { Make::Never };
    let index = Index::open(&path, make).map_err(|error| advise(data_dir, files.len(), error))?;
    match checked(data_dir, &index).await {
        Ok(blobs) => Ok((index, blobs)),
        Err(error) => {
            // Its log, which is written into it now, is not missing at the next start.
            let _ = index.closed().await;
            Err(error)
        }
    }
}

/// Opens the files, if they belong to the index.
async fn checked(data_dir: &Path, index: &Index) -> PortResult<Blobs> {
    let (path, directory) = (data_dir.join("objects.sqlite"), data_dir.join("blobs"));
    // Listed again: from here on no other process creates or removes files.
    let files = blobs::files(&directory)?;
    let (known, removals) = index.blobs().await?;
    let missing = known.difference(&files).count();
    if missing > 0 {
        let reason = format!("{missing} of {} files that objects.sqlite names are missing", known.len());
        return Err(advise(data_dir, files.len(), damaged(&directory, &reason)));
    }
    let left: Vec<String> =
        files.difference(&known).filter(|&name| !removals.contains(name)).cloned().collect();
    let (known, openings) = (index.openings().await?, blobs::openings(&directory));
    if !left.is_empty() && openings > known {
        let reason = format!(
            "it is a copy that is older than blobs: it was opened {known} times, and blobs {openings} times; it \
             does not name {} files there",
            left.len()
        );
        return Err(advise(data_dir, files.len(), damaged(&path, &reason)));
    }
    if !left.is_empty() {
        tracing::info!(files = left.len(), "Files of uploads that a dead process did not finish are removed");
    }
    let blobs = Blobs::open(&directory)?;
    // Not noted in the index yet: on a full disk it takes nothing before they are gone.
    blobs.add_strays(left.into_iter().map(|name| (None, name)));
    // The index first: if the process dies in between, blobs is not the newer one.
    let number = known.max(openings) + 1;
    index.opened(number).await?;
    blobs.opened(number)?;
    Ok(blobs)
}

/// Adds what is lost, and how to continue, to the error.
fn advise(data_dir: &Path, files: usize, error: PortError) -> PortError {
    let PortError::Damaged { file, reason } = error else { return error };
    let data = data_dir.display();
    PortError::Damaged {
        file,
        reason: format!(
            "{reason}. Nothing was deleted. objects.sqlite says which object each of the {files} files in blobs \
             belongs to; without it they cannot be served. Put back objects.sqlite, objects.sqlite-wal if there \
             was one, and blobs, all of the same time; or give the objects up: move {data}/objects.sqlite* and \
             {data}/blobs to another directory, start again, and destroy them there: they are confidential. \
             Jobs whose files are lost fail, and can be submitted again"
        ),
    }
}
