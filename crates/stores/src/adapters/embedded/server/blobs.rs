//! The content of objects and parts, each in a file with a random name.
//!
//! A file is written, synced to the disk and then named by the index, or removed again. Files
//! that the index does not name, because the process died in between, are removed at the next
//! start, before anything is served. One that cannot be removed is a stray until the index has noted that
//! it must be destroyed.
//!
//! In memory a file is overwritten before it is removed; on a disk, where that proves nothing, it is
//! unlinked only ([`Medium`]).

use super::credentials::random_name;
use super::wipe::{self, Destroyed};
use crate::adapters::embedded::Medium;
use bytes::{Bytes, BytesMut};
use cadmill_core::ports::{PortError, PortResult};
use futures_util::stream::{Stream, try_unfold};
use std::collections::{HashSet, VecDeque};
use std::fs::{self, DirBuilder};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt, BufWriter};
use tokio::sync::Notify;
use tokio::time::Instant;

/// How often a removal looks whether another one of the same file has ended, and for how long.
const CLAIMED: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(5);

/// How long the removal of a file takes at most: some gigabytes are overwritten in seconds. A medium that hangs
/// must not keep other files.
const WITHIN: Duration = Duration::from_secs(60);

/// Buffer size for a file that is read or written, in bytes.
const BUFFER: usize = 256 << 10;

/// A piece of an object: a file and its size in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) blob: String,
    pub(super) size: u64,
}

/// The names of cadmill's files in the directory; empty if there is no directory. An entry with
/// another name or type, such as `lost+found`, is ignored.
pub(super) fn files(directory: &Path) -> PortResult<HashSet<String>> {
    let list = || {
        let entries = match fs::read_dir(directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(HashSet::new()),
            entries => entries?,
        };
        let mut names = HashSet::new();
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().into_string().ok().filter(|name| is_blob(name));
            if let Some(name) = name
                && entry.file_type()?.is_file()
            {
                names.insert(name);
            }
        }
        Ok(names)
    };
    list().map_err(|error| unusable(directory, &error))
}

/// The file that records how often the directory was opened.
const OPENINGS: &str = "openings";
const OPENINGS_NEW: &str = "openings.new";

/// How often the directory was opened, as far as is known.
pub(super) fn openings(directory: &Path) -> u64 {
    let text = fs::read_to_string(directory.join(OPENINGS)).unwrap_or_default();
    text.trim().parse().unwrap_or(0)
}

/// Whether the name is 16 bytes in upper-case hexadecimal.
pub(super) fn is_blob(name: &str) -> bool {
    name.len() == 32 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'A'..=b'F'))
}

/// Whether this is another of cadmill's files in the directory, or the file system's.
pub(super) fn is_other(name: &str) -> bool {
    [OPENINGS, OPENINGS_NEW, "lost+found"].contains(&name)
}

fn unusable(directory: &Path, error: &io::Error) -> PortError {
    let reason = format!("{}: {}", directory.display(), error.kind());
    PortError::Refused { operation: "opening the directory of objects", reason }
}

/// The directory of files.
#[derive(Clone)]
pub(super) struct Blobs {
    directory: Arc<Path>,
    medium: Medium,
    shared: Arc<Shared>,
}

/// What the clones share.
#[derive(Default)]
struct Shared {
    /// Files that are being removed: two removals of one file must not take each other for a reader.
    under_way: Mutex<HashSet<String>>,
    /// Files that the index does not know of, and that are left: with their keys, if they have one.
    strays: Mutex<Vec<(Option<String>, String)>>,
    /// Notified when there is another one.
    strayed: Notify,
    /// Whether the index may still name a stray: the outcome of a write is unknown.
    in_doubt: AtomicBool,
}

impl Blobs {
    /// Opens or creates the directory (mode 0700).
    pub(super) fn open(directory: &Path) -> PortResult<Self> {
        let make = || {
            DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
            Medium::of(directory)
        };
        let medium = make().map_err(|error| unusable(directory, &error))?;
        Ok(Self { directory: directory.into(), medium, shared: Arc::default() })
    }

    /// What the files lie on.
    pub(super) fn medium(&self) -> Medium {
        self.medium
    }

    /// Records how often the directory was opened.
    pub(super) fn opened(&self, number: u64) -> PortResult<()> {
        let write = || {
            let aside = self.directory.join(OPENINGS_NEW);
            let mut file = fs::File::options();
            let mut file = file.write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
            io::Write::write_all(&mut file, format!("{number}\n").as_bytes())?;
            file.sync_all()?;
            fs::rename(aside, self.directory.join(OPENINGS))
        };
        write().map_err(|error| unusable(&self.directory, &error))
    }

    /// Creates a file for content of this key, if it has one.
    pub(super) async fn create(&self, key: Option<&str>) -> io::Result<Unfinished> {
        let name = random_name::<16>().map_err(|_| io::Error::other("no random bytes"))?;
        let path = self.directory.join(&name);
        let file = File::options().write(true).create_new(true).mode(0o600).open(&path).await?;
        let writer = BufWriter::with_capacity(BUFFER, file);
        let key = key.map(str::to_owned);
        Ok(Unfinished { name, path, key, blobs: self.clone(), writer: Some(writer) })
    }

    /// Removes files, and returns the names of those that are left. A missing file is removed. One that is
    /// being read has no name after this, and is overwritten when its readers have closed it.
    pub(super) async fn remove(&self, names: Vec<String>) -> Vec<String> {
        let mut left = Vec::new();
        for name in names {
            let Some(claim) = self.claim(&name).await else {
                left.push(name);
                continue;
            };
            let (path, medium) = (self.directory.join(&name), self.medium);
            let discarded = tokio::task::spawn_blocking(move || {
                // Until it ends, also if the caller has gone.
                let _claim = claim;
                discard(&path, medium)
            });
            let discarded = tokio::time::timeout(WITHIN, discarded).await;
            let hung = |_| Ok(Err(io::ErrorKind::TimedOut.into()));
            match discarded.unwrap_or_else(hung).unwrap_or_else(|_| Err(io::Error::other("internal error"))) {
                Ok(Some(file)) => drop(tokio::spawn(async move {
                    if let Err(error) = wipe::when_closed(file).await {
                        tracing::error!(error.kind = %error.kind(), "A deleted object's file could not be overwritten");
                    }
                })),
                Ok(None) => {}
                Err(error) => {
                    tracing::debug!(error.kind = %error.kind(), "An object's file could not be destroyed yet");
                    left.push(name);
                }
            }
        }
        left
    }

    /// Removes a file that the index does not know of. If that fails, it is a stray.
    pub(super) async fn remove_unknown(&self, key: Option<String>, name: String) {
        if !self.remove(vec![name.clone()]).await.is_empty() {
            self.stray(key, name);
        }
    }

    /// Notes a file of a write whose outcome is unknown: the index may name it.
    pub(super) fn doubtful(&self, key: String, name: String) {
        self.shared.in_doubt.store(true, Ordering::SeqCst);
        self.stray(Some(key), name);
    }

    /// Whether the outcome of a write is unknown.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.shared.in_doubt.load(Ordering::SeqCst)
    }

    /// Sets whether the outcome of a write is unknown.
    pub(super) fn set_in_doubt(&self, is_in_doubt: bool) {
        self.shared.in_doubt.store(is_in_doubt, Ordering::SeqCst);
    }

    /// Notes a file that is left, and that the index may not know of.
    pub(super) fn stray(&self, key: Option<String>, name: String) {
        self.add_strays([(key, name)]);
        self.shared.strayed.notify_one();
    }

    /// The strays: they stay until they are forgotten.
    pub(super) fn strays(&self) -> Vec<(Option<String>, String)> {
        self.shared.strays().clone()
    }

    /// Adds strays, without notifying.
    pub(super) fn add_strays(&self, strays: impl IntoIterator<Item = (Option<String>, String)>) {
        self.shared.strays().extend(strays);
    }

    /// Forgets strays.
    pub(super) fn forget(&self, strays: &[(Option<String>, String)]) {
        self.shared.strays().retain(|stray| !strays.contains(stray));
    }

    /// Completes when there is a new stray.
    pub(super) async fn strayed(&self) {
        self.shared.strayed.notified().await;
    }

    /// The right to remove a file; `None` if another one has it for long.
    async fn claim(&self, name: &str) -> Option<Claim> {
        let until = Instant::now() + PATIENCE;
        while !self.shared.under_way().insert(name.to_owned()) {
            if Instant::now() > until {
                return None;
            }
            tokio::time::sleep(CLAIMED).await;
        }
        Some(Claim { name: name.to_owned(), shared: Arc::clone(&self.shared) })
    }

    /// Writes to the disk which files are gone, so that none comes back with a loss of power.
    ///
    /// # Errors
    /// Those of the operating system.
    pub(super) async fn sync(&self) -> io::Result<()> {
        match self.medium {
            Medium::Memory => Ok(()),
            Medium::Disk => File::open(&self.directory).await?.sync_all().await,
        }
    }

    /// Reads a range of these pieces. Each file is opened when its turn comes.
    pub(super) fn read(
        &self,
        segments: Vec<Segment>,
        range: Range<u64>,
    ) -> impl Stream<Item = io::Result<Bytes>> + Send + Sync + use<> {
        let reader = Reader { blobs: self.clone(), pieces: pieces(segments, &range), open: None };
        try_unfold(reader, |mut reader| async move { Ok(reader.next().await?.map(|bytes| (bytes, reader))) })
    }
}

impl Shared {
    fn under_way(&self) -> MutexGuard<'_, HashSet<String>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn strays(&self) -> MutexGuard<'_, Vec<(Option<String>, String)>> {
        self.strays.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to remove a file, until it is dropped.
struct Claim {
    name: String,
    shared: Arc<Shared>,
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.shared.under_way().remove(&self.name);
    }
}

/// The part of each file that a range covers: name, offset and length, none of length zero.
fn pieces(segments: Vec<Segment>, range: &Range<u64>) -> VecDeque<(String, u64, u64)> {
    let mut begin = 0;
    let mut pieces = VecDeque::new();
    for Segment { blob, size } in segments {
        let end = begin + size;
        let (from, to) = (range.start.max(begin), range.end.min(end));
        if from < to {
            pieces.push_back((blob, from - begin, to - from));
        }
        begin = end;
    }
    pieces
}

/// Removes a file, if it exists, and returns it if a reader has it open, so that it cannot be overwritten
/// yet.
fn discard(path: &Path, medium: Medium) -> io::Result<Option<fs::File>> {
    let discarded = match medium {
        Medium::Memory => wipe::destroy(path).map(|destroyed| match destroyed {
            Destroyed::Done => None,
            Destroyed::Read(file) => Some(file),
        }),
        Medium::Disk => fs::remove_file(path).map(|()| None),
    };
    match discarded {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        discarded => discarded,
    }
}

struct Reader {
    blobs: Blobs,
    pieces: VecDeque<(String, u64, u64)>,
    open: Option<(File, u64)>,
}

impl Reader {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        let (mut file, left) = match self.open.take() {
            Some(open) => open,
            None => {
                let Some((blob, offset, length)) = self.pieces.pop_front() else { return Ok(None) };
                let mut file = File::open(self.blobs.directory.join(blob)).await?;
                if self.blobs.medium == Medium::Memory {
                    wipe::lock_for_reading(&file)?;
                }
                file.set_max_buf_size(BUFFER);
                file.seek(io::SeekFrom::Start(offset)).await?;
                (file, length)
            }
        };
        let most = usize::try_from(left).unwrap_or(BUFFER).min(BUFFER);
        let mut buffer = BytesMut::with_capacity(most);
        let read = (&mut file).take(left.min(BUFFER as u64)).read_buf(&mut buffer).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let left = left - read as u64;
        self.open = (left > 0).then_some((file, left));
        Ok(Some(buffer.freeze()))
    }
}

/// A file that is being written. It is removed when dropped before it is finished, for example
/// when the client disconnects.
pub(super) struct Unfinished {
    name: String,
    path: PathBuf,
    key: Option<String>,
    blobs: Blobs,
    /// `None` once it is finished.
    writer: Option<BufWriter<File>>,
}

impl Unfinished {
    pub(super) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.writer.as_mut().ok_or(io::ErrorKind::BrokenPipe)?.write_all(bytes).await
    }

    /// Syncs the file to the disk and returns its name. From here on the caller decides about the
    /// file: the index may name it even if the caller gets no confirmation.
    pub(super) async fn finish(mut self) -> io::Result<String> {
        let writer = self.writer.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        writer.flush().await?;
        writer.get_ref().sync_all().await?;
        File::open(&self.blobs.directory).await?.sync_all().await?;
        self.writer = None;
        Ok(std::mem::take(&mut self.name))
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        let Some(writer) = self.writer.take() else { return };
        let (path, medium) = (std::mem::take(&mut self.path), self.blobs.medium);
        let (blobs, key, name) = (self.blobs.clone(), self.key.take(), std::mem::take(&mut self.name));
        let discard = move || {
            if let Err(error) = discard(&path, medium) {
                tracing::error!(error.kind = %error.kind(), "The file of an upload that broke off could not be destroyed; trying again");
                blobs.stray(key, name);
            }
        };
        match (medium, tokio::runtime::Handle::try_current()) {
            // A write that runs would come after the overwrite, which takes a second for some gigabytes.
            // What a runtime that ends does not do any more, the next start does.
            (Medium::Memory, Ok(runtime)) => drop(runtime.spawn(async move {
                drop(writer.into_inner().into_std().await);
                let _ = tokio::task::spawn_blocking(discard).await;
            })),
            _ => discard(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_pieces_of_a_range_are_the_range(sizes in prop::collection::vec(0u64..9, 0..6), a in 0u64..40, b in 0u64..40) {
            let total: u64 = sizes.iter().sum();
            let range = a.min(b).min(total)..a.max(b).min(total);
            let named = sizes.iter().enumerate();
            let segments = named.map(|(n, &size)| Segment { blob: n.to_string(), size }).collect();
            let all: Vec<(String, u64)> = sizes.iter().enumerate()
                .flat_map(|(n, &size)| (0..size).map(move |offset| (n.to_string(), offset))).collect();
            let taken: Vec<(String, u64)> = pieces(segments, &range).into_iter()
                .flat_map(|(blob, offset, length)| (offset..offset + length).map(move |at| (blob.clone(), at))).collect();
            prop_assert_eq!(&taken[..], &all[range.start as usize..range.end as usize]);
        }
    }
}
