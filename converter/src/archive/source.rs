//! A file read at positions of its own, so that several threads can read one file.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

/// A reader with its own position in a shared file, and a small buffer: zip
/// headers are read a few bytes at a time.
#[derive(Debug)]
pub(super) struct Source<'a> {
    file: &'a File,
    position: u64,
    buffer: Vec<u8>,
    /// Position in the file of the buffer's first byte.
    buffered_at: u64,
}

const BUFFER: usize = 64 << 10;

impl<'a> Source<'a> {
    pub(super) fn new(file: &'a File) -> Self {
        Self { file, position: 0, buffer: Vec::new(), buffered_at: 0 }
    }

    /// What the buffer holds from the position on.
    fn ahead(&self) -> &[u8] {
        let offset = self.position.checked_sub(self.buffered_at).and_then(|o| usize::try_from(o).ok());
        offset.and_then(|o| self.buffer.get(o..)).unwrap_or(&[])
    }
}

impl Read for Source<'_> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        if target.len() >= BUFFER {
            let length = self.file.read_at(target, self.position)?;
            self.position += length as u64;
            return Ok(length);
        }
        if self.ahead().is_empty() {
            self.buffer.resize(BUFFER, 0);
            let length = self.file.read_at(&mut self.buffer, self.position)?;
            self.buffer.truncate(length);
            self.buffered_at = self.position;
        }
        let ahead = self.ahead();
        let length = ahead.len().min(target.len());
        target[..length].copy_from_slice(&ahead[..length]);
        self.position += length as u64;
        Ok(length)
    }
}

impl Seek for Source<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
            SeekFrom::End(offset) => self.file.metadata()?.len().checked_add_signed(offset),
        };
        self.position = target.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;

    proptest! {
        /// It reads what a plain cursor reads, wherever it seeks.
        #[test]
        fn reads_like_a_cursor(steps in prop::collection::vec((0u64..200_000, 0usize..100_000), 1..20)) {
            let bytes: Vec<u8> = (0..150_000u32).map(|i| (i * 7 % 251) as u8).collect();
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&bytes).unwrap();
            let mut source = Source::new(&file);
            for (position, length) in steps {
                source.seek(SeekFrom::Start(position)).unwrap();
                let mut read = Vec::new();
                source.by_ref().take(length as u64).read_to_end(&mut read).unwrap();
                let start = (position as usize).min(bytes.len());
                let end = (start + length).min(bytes.len());
                prop_assert_eq!(&read, &bytes[start..end]);
            }
        }
    }
}
