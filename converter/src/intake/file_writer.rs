//! Workspace files that have their full size from the start, and a thread that writes to them, so
//! that inflating does not wait for page allocation.
//!
//! Written with pwrite and not through a mapping: docs/adr/0010.

use crate::workspace::{Folder, PendingFile};
use cadmill_core::domain::failure::Failure;
use cadmill_core::domain::ledger::chain::ContentDigest;
use cadmill_core::domain::ledger::record::FileRole;
use rustix::fs::FallocateFlags;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes written at once; small enough to be still in the CPU cache.
pub(super) const CHUNK: usize = 256 << 10;

/// Maximum number of queued chunks. Beyond it, the producing thread writes the chunk itself.
const QUEUE: usize = 16;

/// A queued chunk.
pub(super) struct Write {
    pub(super) file: Arc<PendingFile>,
    pub(super) offset: u64,
    pub(super) bytes: Vec<u8>,
}

/// Spare buffers, as many as there may be queued chunks.
pub(super) struct BufferPool(Mutex<Vec<Vec<u8>>>);

impl BufferPool {
    /// For the queue of a writer thread. Without one, every thread writes its own chunks and needs
    /// no buffers.
    pub(super) fn new(writer: bool) -> Self {
        let count = if writer { QUEUE } else { 0 };
        Self(Mutex::new((0..count).map(|_| Vec::new()).collect()))
    }

    fn take(&self) -> Option<Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    pub(super) fn give(&self, buffer: Vec<u8>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(buffer);
    }
}

pub(super) fn failed(error: &io::Error) -> Failure {
    Failure::in_workspace("writing to the workspace", error)
}

/// A file that is filled sequentially.
pub(super) struct Target<'a> {
    file: Arc<PendingFile>,
    content: Option<ContentDigest>,
    offset: u64,
    filled: usize,
    buffer: &'a mut Vec<u8>,
    queue: &'a Sender<Write>,
    buffers: &'a BufferPool,
}

impl<'a> Target<'a> {
    /// Makes the file and allocates this many bytes for it. `buffer` is reused from file to file.
    ///
    /// # Errors
    /// `infra.workspace_full`, `infra.io`, `infra.audit`.
    pub(super) fn create(
        folder: &Folder,
        path: &str,
        size_bytes: u64,
        buffer: &'a mut Vec<u8>,
        queue: &'a Sender<Write>,
        buffers: &'a BufferPool,
    ) -> Result<Self, Failure> {
        let file = folder.create(path, FileRole::Input)?;
        reserve(file.file(), size_bytes)?;
        buffer.resize(CHUNK, 0);
        let content = file.content();
        Ok(Self { file: Arc::new(file), content, offset: 0, filled: 0, buffer, queue, buffers })
    }

    /// The buffer for the next bytes of the content; never empty.
    pub(super) fn room(&mut self) -> &mut [u8] {
        &mut self.buffer[self.filled..]
    }

    /// Marks this many bytes of the buffer as filled.
    ///
    /// # Errors
    /// `infra.*` when writing fails.
    pub(super) fn advance(&mut self, bytes: usize) -> Result<(), Failure> {
        self.filled += bytes;
        if self.filled < self.buffer.len() {
            return Ok(());
        }
        let Some(mut spare) = self.buffers.take() else { return self.flush() };
        self.content.iter_mut().for_each(|content| content.update(self.buffer));
        spare.resize(CHUNK, 0);
        let bytes = std::mem::replace(self.buffer, spare);
        let write = Write { file: Arc::clone(&self.file), offset: self.offset, bytes };
        self.offset += self.filled as u64;
        self.filled = 0;
        // The writer lives as long as there is a sender.
        self.queue.send(write).map_err(|_| failed(&io::Error::other("the writing thread has ended")))
    }

    /// Writes what is left and marks the content as complete. Chunks may still be queued; the file
    /// is filled when the last of them is written.
    ///
    /// # Errors
    /// `infra.*` when writing fails.
    pub(super) fn finish(mut self) -> Result<(), Failure> {
        self.flush()?;
        self.file.complete(self.offset, self.content.take());
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Failure> {
        let left = &self.buffer[..self.filled];
        self.content.iter_mut().for_each(|content| content.update(left));
        self.file.file().write_all_at(left, self.offset).map_err(|e| failed(&e))?;
        self.offset += self.filled as u64;
        self.filled = 0;
        Ok(())
    }
}

/// Allocates the whole file, so that a lack of space is reported at once and not when the last
/// chunk is written.
fn reserve(file: &File, size_bytes: u64) -> Result<(), Failure> {
    if size_bytes == 0 {
        return Ok(());
    }
    match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, size_bytes) {
        // On file systems without fallocate the file grows as it is written.
        Ok(()) | Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => Ok(()),
        Err(error) => Err(Failure::in_workspace("reserving room in the workspace", &error.into())),
    }
}
