//! Expanding the entries into a directory, several at once.

use super::{Archive, Entry, Source, broken};
use crate::workspace::make_directory;
use cadmill_core::domain::failure::{Failure, FailureCode};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use zip::read::ZipReadOptions;

/// Threads that expand at once, at most. More do not help: they share the memory bus.
const MAX_THREADS: usize = 4;

/// Bytes that one thread holds of what it expands.
const CHUNK: usize = 256 << 10;

/// How often progress is told.
const INTERVAL: Duration = Duration::from_millis(50);

impl Archive<'_> {
    /// Expands every entry into `directory`, which must be empty.
    ///
    /// `progress` is called on this thread with the bytes expanded so far.
    ///
    /// # Errors
    /// `input.archive.checksum` and its like for the first entry that does not
    /// hold, `infra.*` when writing fails, `job.cancelled`. What was written so
    /// far stays; the workspace is removed as a whole.
    pub fn unpack(
        &self,
        directory: &Path,
        cancel: &AtomicBool,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), Failure> {
        self.make_directories(directory)?;
        let mut files: Vec<&Entry> = self.entries.iter().filter(|e| !e.is_directory).collect();
        // The largest first: one that is begun last would be waited for alone.
        files.sort_by_key(|e| std::cmp::Reverse(e.expanded_bytes));
        let shared = Shared {
            archive: self,
            directory,
            files: &files,
            next: AtomicUsize::new(0),
            expanded: AtomicU64::new(0),
            stop: AtomicBool::new(false),
            failure: Mutex::new(None),
        };
        let threads =
            std::thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS).min(files.len());
        let caller = std::thread::current();
        let working = AtomicUsize::new(threads);
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    shared.work();
                    working.fetch_sub(1, Ordering::Release);
                    caller.unpark();
                });
            }
            while working.load(Ordering::Acquire) > 0 {
                std::thread::park_timeout(INTERVAL);
                if cancel.load(Ordering::Relaxed) {
                    shared.fail(Failure::new(FailureCode::Cancelled, "cancelled while unpacking"));
                }
                progress(shared.expanded.load(Ordering::Relaxed));
            }
        });
        match shared.failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(failure) => Err(failure),
            None => Ok(()),
        }
    }

    fn make_directories(&self, base: &Path) -> Result<(), Failure> {
        let mut directories: Vec<&str> = Vec::new();
        for entry in &self.entries {
            let name = entry.name.as_str();
            directories.extend(name.match_indices('/').map(|(at, _)| &name[..at]));
        }
        directories.sort_unstable();
        directories.dedup();
        for directory in directories {
            make_directory(&base.join(directory))
                .map_err(|e| Failure::io("making a directory in the workspace", &e))?;
        }
        Ok(())
    }
}

struct Shared<'a> {
    archive: &'a Archive<'a>,
    directory: &'a Path,
    files: &'a [&'a Entry],
    next: AtomicUsize,
    expanded: AtomicU64,
    stop: AtomicBool,
    failure: Mutex<Option<Failure>>,
}

impl Shared<'_> {
    fn work(&self) {
        let mut buffer = vec![0; CHUNK];
        while !self.stop.load(Ordering::Relaxed) {
            let Some(entry) = self.files.get(self.next.fetch_add(1, Ordering::Relaxed)) else { return };
            if let Err(failure) = self.expand(entry, &mut buffer) {
                self.fail(failure);
            }
        }
    }

    /// Keeps the first failure and stops everyone.
    fn fail(&self, failure: Failure) {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(failure);
        self.stop.store(true, Ordering::Relaxed);
    }

    fn expand(&self, entry: &Entry, buffer: &mut [u8]) -> Result<(), Failure> {
        let what = format!("entry '{}'", entry.name);
        let mut source = Source::new(self.archive.file);
        let data = self.archive.zip.by_index_data(entry.index).map_err(|e| broken(&e, &what))?;
        let mut reader =
            data.with_reader(&mut source, ZipReadOptions::new()).map_err(|e| broken(&e, &what))?;
        let mut file = create(&self.directory.join(&entry.name))
            .map_err(|e| Failure::io("making a file in the workspace", &e))?;
        let mut written = 0u64;
        while !self.stop.load(Ordering::Relaxed) {
            let length = match reader.read(buffer) {
                Ok(0) => break,
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(bad_content(entry, &error)),
            };
            written += length as u64;
            // The directory's size was judged against the limits; more than that is a lie.
            if written > entry.expanded_bytes {
                return Err(wrong_size(entry));
            }
            file.write_all(&buffer[..length]).map_err(|e| Failure::io("writing to the workspace", &e))?;
            self.expanded.fetch_add(length as u64, Ordering::Relaxed);
        }
        if written == entry.expanded_bytes || self.stop.load(Ordering::Relaxed) {
            Ok(())
        } else {
            Err(wrong_size(entry))
        }
    }
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

fn wrong_size(entry: &Entry) -> Failure {
    let message = format!("entry '{}' does not have the size that the directory declares", entry.name);
    Failure::new(FailureCode::ArchiveChecksum, message).with("entry", entry.name.as_str())
}

fn bad_content(entry: &Entry, error: &io::Error) -> Failure {
    if error.raw_os_error().is_some() {
        return Failure::io("reading the archive", error);
    }
    let message = format!("entry '{}' is damaged: its content does not match its checksum", entry.name);
    Failure::new(FailureCode::ArchiveChecksum, message).with("entry", entry.name.as_str())
}
