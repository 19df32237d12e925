//! The file to submit. It is opened once, so that size, digest and content belong to the same file
//! even if its path changes.

use super::client::Client;
use super::show::Show;
use cadmill_converter::digest;
use cadmill_core::domain::failure::{Failure, FailureCode};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

pub(super) struct Source {
    file: File,
    pub(super) size: u64,
    /// Device and inode, to recognise the file under other paths.
    identity: (u64, u64),
}

impl Source {
    /// # Errors
    /// `input.not_found`, `input.unreadable`, `input.not_a_file`, `input.empty`.
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let shown = path.display();
        let fail = |error: io::Error| {
            let code = match error.kind() {
                io::ErrorKind::NotFound => FailureCode::InputNotFound,
                _ => FailureCode::InputUnreadable,
            };
            Failure::new(code, format!("opening {shown}: {error}"))
        };
        // Before opening: opening a pipe would block until it has a writer.
        let metadata = std::fs::metadata(path).map_err(fail)?;
        if !metadata.is_file() {
            return Err(Failure::new(FailureCode::InputNotAFile, format!("{shown} is not a regular file")));
        }
        let file = File::open(path).map_err(fail)?;
        let metadata = file.metadata().map_err(fail)?;
        if metadata.len() == 0 {
            return Err(Failure::new(FailureCode::InputEmpty, format!("{shown} is empty")));
        }
        Ok(Self { file, size: metadata.len(), identity: (metadata.dev(), metadata.ino()) })
    }

    /// Whether the path refers to this file.
    pub(super) fn is_at(&self, path: &Path) -> bool {
        std::fs::metadata(path).is_ok_and(|there| (there.dev(), there.ino()) == self.identity)
    }

    /// SHA-256, in hexadecimal.
    pub(super) fn digest(&self, client: &Client, show: &Show) -> Result<String, Failure> {
        let read = |sent: u64| show.progress("digest", sent as f64 / self.size as f64);
        digest::sha256(self.piece(0, self.size, client, &read)).map_err(|error| {
            client.check().err().unwrap_or_else(|| {
                Failure::new(FailureCode::InputUnreadable, format!("reading the file: {error}"))
            })
        })
    }

    /// Reads the file; `read` is called with the number of bytes read.
    pub(super) fn piece<'a>(
        &'a self,
        offset: u64,
        length: u64,
        client: &'a Client,
        read: &'a dyn Fn(u64),
    ) -> Piece<'a> {
        Piece { source: self, offset, length, done: 0, client, read }
    }
}

/// A reader for a range of the file. It fails when it is cancelled, and when the file became
/// shorter.
pub(super) struct Piece<'a> {
    source: &'a Source,
    offset: u64,
    length: u64,
    done: u64,
    client: &'a Client,
    read: &'a dyn Fn(u64),
}

impl Read for Piece<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.client.is_cancelled() {
            return Err(io::Error::other("cancelled"));
        }
        let left = usize::try_from(self.length - self.done).unwrap_or(usize::MAX).min(buffer.len());
        if left == 0 {
            return Ok(0);
        }
        match self.source.file.read_at(&mut buffer[..left], self.offset + self.done)? {
            0 => Err(io::Error::other("the file became shorter")),
            n => {
                self.done += n as u64;
                (self.read)(self.done);
                Ok(n)
            }
        }
    }
}
