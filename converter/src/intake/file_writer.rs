//! Files of the workspace that have their full size from the start, and a thread that
//! writes to them, so that inflating does not wait for the memory to be filled.
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

/// Bytes that are written at once. They are still in the processor's cache then.
pub(super) const CHUNK: usize = 256 << 10;

/// Chunks that wait to be written, at most. Whoever has one more writes it.
const QUEUE: usize = 16;

/// A chunk that waits.
pub(super) struct Write {
    pub(super) file: Arc<PendingFile>,
    pub(super) offset: u64,
    pub(super) bytes: Vec<u8>,
}

/// Spare buffers. There are as many as chunks may wait.
pub(super) struct BufferPool(Mutex<Vec<Vec<u8>>>);

impl BufferPool {
    /// For a writer's queue; without a writer everybody writes, and none is needed.
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

/// A file that is being filled from its beginning to its end.
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
    /// Makes the file with memory for so many bytes. `buffer` is kept from one file to
    /// the next.
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

    /// Where the next bytes of the content go; never empty.
    pub(super) fn room(&mut self) -> &mut [u8] {
        &mut self.buffer[self.filled..]
    }

    /// So many bytes were put there.
    ///
    /// # Errors
    /// `infra.*`, of writing.
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
        // The writer lives as long as anyone can send.
        self.queue.send(write).map_err(|_| failed(&io::Error::other("the writing thread has ended")))
    }

    /// Writes what is left, and says that this is all. Chunks may still wait; the file is
    /// filled when the last of them is written.
    ///
    /// # Errors
    /// `infra.*`, of writing.
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

/// Takes the memory of the whole file, so that a workspace that is too small is known
/// at once, and not when the last chunk is written.
fn reserve(file: &File, size_bytes: u64) -> Result<(), Failure> {
    if size_bytes == 0 {
        return Ok(());
    }
    match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, size_bytes) {
        // Some file systems cannot: the file grows as it is written then.
        Ok(()) | Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => Ok(()),
        Err(error) => Err(Failure::in_workspace("reserving room in the workspace", &error.into())),
    }
}
