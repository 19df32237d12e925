//! The content of a response: decoded, counted, digested and written to the file of the result.
//!
//! It never writes more than the announced size, whatever a response decodes to, and it holds one
//! piece of the response and of its content in memory.

use super::wire::Download;
use cadmill_converter::publish::destination::Incoming;
use cadmill_core::domain::coding::Coding;
use cadmill_core::domain::failure::{Failure, FailureCode};
use flate2::write::GzDecoder;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Seek, Write};
use std::path::PathBuf;

/// What has been received so far.
pub(super) struct Received {
    /// Bytes of the response.
    pub(super) bytes: u64,
    content: Decoder,
}

enum Decoder {
    Plain(Content),
    Gzip(Box<GzDecoder<Content>>),
}

impl Received {
    /// Nothing yet, and an empty file.
    ///
    /// # Errors
    /// `infra.io` if the file cannot be truncated, or the response has an unknown coding.
    pub(super) fn begin(incoming: &mut Incoming, download: &Download) -> Result<Self, Failure> {
        let path = incoming.path().to_owned();
        let file = incoming.file();
        let emptied = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.try_clone());
        let file = emptied.map_err(|e| Failure::io("truncating the output", &e))?;
        let (left, digest) = (download.size_bytes, Sha256::new());
        let content = Content { file, path, left, bytes: 0, digest, failure: None };
        let content = match download.content_encoding.as_deref() {
            None => Decoder::Plain(content),
            Some(name) if Coding::named(name) == Some(Coding::Gzip) => {
                Decoder::Gzip(Box::new(GzDecoder::new(content)))
            }
            Some(_) => {
                let message = "the result has a content coding that was not requested";
                return Err(Failure::new(FailureCode::Io, message));
            }
        };
        Ok(Self { bytes: 0, content })
    }

    /// Nothing again. A decoder that is dropped writes what it holds, which must not reach the emptied
    /// file.
    ///
    /// # Errors
    /// As for [`Received::begin`].
    pub(super) fn restart(&mut self, incoming: &mut Incoming, download: &Download) -> Result<(), Failure> {
        self.content().left = 0;
        *self = Self::begin(incoming, download)?;
        Ok(())
    }

    /// Adds bytes that follow the earlier ones.
    ///
    /// # Errors
    /// `infra.io` if they cannot be decoded, or decode to more than was announced, or cannot be
    /// written.
    pub(super) fn add(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let written = match &mut self.content {
            Decoder::Plain(content) => content.write_all(bytes),
            Decoder::Gzip(decoder) => decoder.write_all(bytes),
        };
        written.map_err(|_| self.content().failure.take().unwrap_or_else(undecodable))?;
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Size in bytes, and SHA-256 in hexadecimal, of the whole content.
    ///
    /// # Errors
    /// `infra.io` if the response ends before its encoding does.
    pub(super) fn end(mut self) -> Result<(u64, String), Failure> {
        if let Decoder::Gzip(decoder) = &mut self.content
            && decoder.try_finish().is_err()
        {
            return Err(self.content().failure.take().unwrap_or_else(undecodable));
        }
        let content = self.content();
        let digest = content.digest.clone().finalize();
        let sha256 = digest.iter().fold(String::with_capacity(64), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        });
        Ok((content.bytes, sha256))
    }

    fn content(&mut self) -> &mut Content {
        match &mut self.content {
            Decoder::Plain(content) => content,
            Decoder::Gzip(decoder) => decoder.get_mut(),
        }
    }
}

/// The response is damaged, truncated, or longer than its encoding.
fn undecodable() -> Failure {
    Failure::new(FailureCode::Io, "the download is not valid gzip; it was discarded")
}

/// Decoded bytes go to the file.
struct Content {
    file: File,
    path: PathBuf,
    /// Bytes that may still come.
    left: u64,
    bytes: u64,
    digest: Sha256,
    /// Why a write failed.
    failure: Option<Failure>,
}

impl Write for Content {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let refuse = |this: &mut Self, message: String| {
            this.failure = Some(Failure::new(FailureCode::Io, message));
            Err(io::Error::other("the content is not written"))
        };
        if bytes.len() as u64 > self.left {
            let message = "the download decodes to more than the server announced; it was discarded";
            return refuse(self, message.to_owned());
        }
        if let Err(error) = self.file.write_all(bytes) {
            let message = format!("writing {}: {error}", self.path.display());
            return refuse(self, message);
        }
        self.digest.update(bytes);
        self.left -= bytes.len() as u64;
        self.bytes += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
