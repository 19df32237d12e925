//! Expands pieces of the input into files, several at once.
//!
//! A download sends its pieces in byte order, and they are begun in the order in which they are
//! sent. This excludes a deadlock of its bounded buffer: the earliest unfinished piece is always
//! being processed, and the bytes that it waits for were requested before everything that is still
//! held.

use super::Piece;
use super::file_writer::{BufferPool, Target, Write, failed};
use crate::stack;
use crate::workspace::Folder;
use cadmill_archive::{Decoder, Step};
use cadmill_core::domain::failure::{Failure, FailureCode};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Maximum number of threads. More do not help: they share the memory bus.
const MAX_THREADS: usize = 4;

/// How often progress is reported and cancellation is checked.
pub(super) const INTERVAL: Duration = Duration::from_millis(50);

/// The bytes of one piece, in order.
pub(super) trait Chunks: Send {
    /// Returns the next bytes, empty at the end. They are released when the next are requested.
    fn next(&mut self) -> Result<&[u8], Failure>;
}

/// A piece that is ready to be expanded.
pub(super) struct Work<'a> {
    pub(super) piece: &'a Piece<'a>,
    pub(super) chunks: Box<dyn Chunks + 'a>,
}

/// State shared by all threads.
pub(super) struct Shared<'a> {
    pub(super) buffers: BufferPool,
    directory: &'a Folder,
    cancel: &'a AtomicBool,
    total: u64,
    taken: AtomicU64,
    stop: AtomicBool,
    failure: Mutex<Option<Failure>>,
}

/// Expands what `feed` sends. `feed` runs on this thread and must call [`Shared::tick`]
/// periodically. `progress` is called with the consumed fraction of `total` bytes.
///
/// # Errors
/// The first failure of any thread, once all threads have ended.
pub(super) fn run<'a>(
    directory: &'a Folder,
    total: u64,
    pieces: &'a [Piece<'a>],
    cancel: &'a AtomicBool,
    progress: &mut dyn FnMut(f64),
    feed: impl FnOnce(&Shared<'a>, &Sender<Work<'a>>, &mut dyn FnMut(f64)),
) -> Result<(), Failure> {
    make_directories(directory, pieces)?;
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let shared = Shared {
        buffers: BufferPool::new(processors > 1),
        directory,
        cancel,
        total,
        taken: AtomicU64::new(0),
        stop: AtomicBool::new(false),
        failure: Mutex::new(None),
    };
    let threads = processors.min(MAX_THREADS).min(pieces.len());
    let (work_sender, work) = mpsc::channel();
    let (write_sender, writes) = mpsc::channel();
    let work = Mutex::new(work);
    let left = AtomicUsize::new(threads);
    let caller = std::thread::current();
    std::thread::scope(|scope| {
        let shared = &shared;
        scope.spawn(move || stack::cleared(|| write_all(shared, &writes)));
        for _ in 0..threads {
            let (work, writes, left, caller) = (&work, write_sender.clone(), &left, &caller);
            scope.spawn(move || {
                let ended = Ended { left, caller };
                stack::cleared(|| shared.expand_all(work, &writes));
                drop(ended);
            });
        }
        drop(write_sender);
        feed(shared, &work_sender, progress);
        drop(work_sender);
        while left.load(Ordering::Acquire) > 0 {
            std::thread::park_timeout(INTERVAL);
            shared.tick(progress);
        }
    });
    match shared.failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(failure) => Err(failure),
        None => Ok(()),
    }
}

/// Writes chunks until the last sender is dropped.
fn write_all(shared: &Shared<'_>, queue: &Receiver<Write>) {
    while let Ok(Write { file, offset, bytes }) = queue.recv() {
        if shared.stopped() {
            file.fail();
        } else if let Err(error) = file.file().write_all_at(&bytes, offset) {
            file.fail();
            shared.fail(failed(&error));
        }
        shared.buffers.give(bytes);
    }
}

/// Counts a thread down even if it panics: otherwise the caller would wait forever.
struct Ended<'a> {
    left: &'a AtomicUsize,
    caller: &'a std::thread::Thread,
}

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.left.fetch_sub(1, Ordering::Release);
        self.caller.unpark();
    }
}

impl Shared<'_> {
    /// Keeps the first failure and stops all threads.
    pub(super) fn fail(&self, failure: Failure) {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(failure);
        self.stop.store(true, Ordering::Release);
    }

    /// Whether any thread has failed.
    pub(super) fn stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// Checks for cancellation and reports progress.
    pub(super) fn tick(&self, progress: &mut dyn FnMut(f64)) {
        if self.cancel.load(Ordering::Relaxed) {
            self.fail(Failure::new(FailureCode::Cancelled, "cancelled while the input was read"));
        }
        progress(self.taken.load(Ordering::Relaxed) as f64 / self.total.max(1) as f64);
    }

    fn expand_all(&self, work: &Mutex<Receiver<Work<'_>>>, writes: &Sender<Write>) {
        let mut buffer = Vec::new();
        loop {
            let next = work.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(Work { piece, mut chunks }) = next else { return };
            if self.stopped() {
                return;
            }
            if let Err(failure) = self.expand(piece, &mut *chunks, &mut buffer, writes) {
                self.fail(failure);
            }
        }
    }

    fn expand(
        &self,
        piece: &Piece<'_>,
        chunks: &mut dyn Chunks,
        buffer: &mut Vec<u8>,
        writes: &Sender<Write>,
    ) -> Result<(), Failure> {
        let mut content = Content(piece.entry.map(Decoder::new));
        let mut target = match piece.entry {
            Some(entry) if entry.is_directory() => None,
            _ => {
                let (path, size) = (&*piece.path, piece.size_bytes);
                Some(Target::create(self.directory, path, size, buffer, writes, &self.buffers)?)
            }
        };
        loop {
            let mut input = chunks.next()?;
            let length = input.len();
            // A feed that ends a piece early has set its failure before.
            if self.stopped() {
                return Ok(());
            }
            if length == 0 {
                break;
            }
            loop {
                // The decoder of a directory entry fails if the entry has content.
                let mut nothing = [0; 1];
                let room = target.as_mut().map_or(&mut nothing[..], Target::room);
                let step = content.step(input, room)?;
                input = &input[step.consumed..];
                if let Some(target) = &mut target {
                    target.advance(step.produced)?;
                }
                if step.consumed == 0 && step.produced == 0 {
                    break;
                }
                if self.stopped() {
                    return Ok(());
                }
            }
            self.taken.fetch_add(length as u64, Ordering::Relaxed);
        }
        content.finish()?;
        target.map_or(Ok(()), Target::finish)
    }
}

/// How the bytes of a piece are decoded: as an entry, or not at all.
struct Content(Option<Decoder>);

impl Content {
    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, Failure> {
        if let Some(decoder) = &mut self.0 {
            return decoder.step(input, output);
        }
        let length = input.len().min(output.len());
        output[..length].copy_from_slice(&input[..length]);
        Ok(Step { consumed: length, produced: length })
    }

    fn finish(self) -> Result<(), Failure> {
        self.0.map_or(Ok(()), Decoder::finish)
    }
}

fn make_directories(base: &Folder, pieces: &[Piece<'_>]) -> Result<(), Failure> {
    let mut directories: Vec<&str> = Vec::new();
    for piece in pieces {
        directories.extend(piece.path.match_indices('/').map(|(at, _)| &piece.path[..at]));
    }
    directories.sort_unstable();
    directories.dedup();
    for directory in directories {
        base.make_directory(directory)?;
    }
    Ok(())
}
