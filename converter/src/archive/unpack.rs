//! Expanding the entries into a directory, several at once.

use super::decoder::Decoder;
use super::entry::Entry;
use super::local::{self, Archive};
use crate::workspace::make_directory;
use cadmill_core::domain::failure::{Failure, FailureCode};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Threads that expand at once, at most. More do not help: they share the memory bus.
const MAX_THREADS: usize = 4;

/// Bytes that one thread holds of what it reads, and of what it expands: they
/// stay in the processor's cache.
const CHUNK: usize = 128 << 10;

/// How often progress is told.
const INTERVAL: Duration = Duration::from_millis(50);

impl Archive<'_> {
    /// Expands every entry into `directory`, which must be empty.
    ///
    /// `progress` is called on this thread with the bytes expanded so far.
    ///
    /// # Errors
    /// `input.archive.crc` and its like for the first entry that does not
    /// hold, `infra.*` when writing fails, `job.cancelled`. What was written so
    /// far stays; the workspace is removed as a whole.
    pub fn unpack(
        &self,
        directory: &Path,
        cancel: &AtomicBool,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), Failure> {
        self.make_directories(directory)?;
        let mut entries: Vec<&Entry> = self.plan.entries().iter().collect();
        // The largest first: one that is begun last would be waited for alone.
        entries.sort_by_key(|e| std::cmp::Reverse(e.expanded_bytes()));
        let shared = Shared {
            archive: self,
            directory,
            entries: &entries,
            next: AtomicUsize::new(0),
            expanded: AtomicU64::new(0),
            stop: AtomicBool::new(false),
            failure: Mutex::new(None),
        };
        let threads =
            std::thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS).min(entries.len());
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
        for name in self.plan.names() {
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
    entries: &'a [&'a Entry],
    next: AtomicUsize,
    expanded: AtomicU64,
    stop: AtomicBool,
    failure: Mutex<Option<Failure>>,
}

impl Shared<'_> {
    fn work(&self) {
        let mut buffers = (vec![0; CHUNK], vec![0; CHUNK]);
        while !self.stop.load(Ordering::Relaxed) {
            let Some(entry) = self.entries.get(self.next.fetch_add(1, Ordering::Relaxed)) else { return };
            if let Err(failure) = self.expand(entry, &mut buffers.0, &mut buffers.1) {
                self.fail(failure);
            }
        }
    }

    /// Keeps the first failure and stops everyone.
    fn fail(&self, failure: Failure) {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(failure);
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Expands a file into the workspace. Of a directory only the records are judged.
    fn expand(&self, entry: &Entry, input: &mut [u8], output: &mut [u8]) -> Result<(), Failure> {
        let mut file = match entry.is_directory() {
            true => None,
            false => Some(
                create(&self.directory.join(entry.name()))
                    .map_err(|e| Failure::io("making a file in the workspace", &e))?,
            ),
        };
        let mut decoder = Decoder::new(entry);
        let mut segment = entry.segment();
        while !segment.is_empty() && !self.stop.load(Ordering::Relaxed) {
            let length = (segment.end - segment.start).min(input.len() as u64);
            let chunk = &mut input[..length as usize];
            local::read(self.archive.file, chunk, segment.start)?;
            segment.start += length;
            self.decode(&mut decoder, chunk, output, file.as_mut())?;
        }
        if segment.is_empty() { decoder.finish() } else { Ok(()) }
    }

    fn decode(
        &self,
        decoder: &mut Decoder,
        mut input: &[u8],
        output: &mut [u8],
        mut file: Option<&mut File>,
    ) -> Result<(), Failure> {
        loop {
            let step = decoder.step(input, output)?;
            input = &input[step.consumed..];
            if let Some(file) = &mut file {
                file.write_all(&output[..step.produced])
                    .map_err(|e| Failure::io("writing to the workspace", &e))?;
            }
            self.expanded.fetch_add(step.produced as u64, Ordering::Relaxed);
            if step.consumed == 0 && step.produced == 0 {
                return Ok(());
            }
        }
    }
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}
