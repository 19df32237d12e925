//! The directory of an archive, read from the store by ranges: what it expands to
//! is known before its body is downloaded.

use cadmill_core::domain::job::Object;
use cadmill_core::ports::{ObjectStore, PortError};
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;
use tokio::runtime::Handle;

/// Bytes of one read.
const BLOCK: u64 = 256 << 10;

/// Bytes that may be read to learn an expanded size: a directory of 10,000 entries
/// with long names has a tenth of it.
const MOST: u64 = 32 << 20;

/// The sum of the expanded sizes that the archive's directory declares, in bytes;
/// nothing when the object is no archive that can be read so far. Whether it is a
/// good one is for the unpacking to find out.
///
/// Blocks: not for a thread of the runtime.
///
/// # Errors
/// Of the store.
pub(super) fn expanded_bytes(
    store: &Arc<dyn ObjectStore>,
    runtime: &Handle,
    object: &Object,
) -> Result<Option<u64>, PortError> {
    let mut reader = Ranges::new(Arc::clone(store), runtime.clone(), object.clone());
    let zip = zip::ZipArchive::new(&mut reader);
    let sum = zip.ok().and_then(|zip| {
        let sizes = (0..zip.len()).map(|index| zip.by_index_data(index).map(|entry| entry.size()));
        sizes.sum::<Result<u64, _>>().ok()
    });
    match reader.failure {
        Some(error) => Err(error),
        None => Ok(sum),
    }
}

struct Ranges {
    store: Arc<dyn ObjectStore>,
    runtime: Handle,
    object: Object,
    position: u64,
    block: bytes::Bytes,
    block_at: u64,
    read: u64,
    /// Errors of the store pass through `io::Error` without their meaning.
    failure: Option<PortError>,
}

impl Ranges {
    fn new(store: Arc<dyn ObjectStore>, runtime: Handle, object: Object) -> Self {
        let block = bytes::Bytes::new();
        Self { store, runtime, object, position: 0, block, block_at: 0, read: 0, failure: None }
    }

    fn ahead(&self) -> &[u8] {
        let offset = self.position.checked_sub(self.block_at).and_then(|o| usize::try_from(o).ok());
        offset.and_then(|o| self.block.get(o..)).unwrap_or(&[])
    }

    /// Takes the block that the position lies in.
    fn fill(&mut self) -> io::Result<()> {
        let start = self.position / BLOCK * BLOCK;
        let end = (start + BLOCK).min(self.object.size_bytes);
        self.read += end - start;
        if self.read > MOST {
            return Err(io::Error::other("the directory of the archive is too large"));
        }
        match self.runtime.block_on(self.store.read(&self.object, start..end)) {
            Ok(block) => {
                (self.block, self.block_at) = (block, start);
                Ok(())
            }
            Err(error) => {
                self.failure = Some(error);
                Err(io::Error::other("the store"))
            }
        }
    }
}

impl Read for Ranges {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        if self.position >= self.object.size_bytes {
            return Ok(0);
        }
        if self.ahead().is_empty() {
            self.fill()?;
        }
        let ahead = self.ahead();
        let length = ahead.len().min(target.len());
        target[..length].copy_from_slice(&ahead[..length]);
        self.position += length as u64;
        Ok(length)
    }
}

impl Seek for Ranges {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
            SeekFrom::End(offset) => self.object.size_bytes.checked_add_signed(offset),
        };
        self.position = target.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.position)
    }
}
