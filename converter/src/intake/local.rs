//! A local file. Each entry is read at its own offset, so that entries do not wait for one another.

use super::expand::{Chunks, Work, run};
use super::{Piece, Source, begins_as_zip, pieces, wanted};
use crate::workspace::Folder;
use cadmill_archive::{CentralDirectoryReader, Plan};
use cadmill_core::domain::failure::{Failure, FailureCode};
use cadmill_core::domain::format::{ZIP_BASED_INPUTS, extension_of};
use cadmill_core::domain::limits::ArchiveLimits;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

/// Bytes of an archive that are read at once.
const CHUNK: u64 = 256 << 10;

/// A source that several threads can read at any offset.
pub(super) trait ReadAt: Sync {
    /// See [`FileExt::read_at`].
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
}

impl ReadAt for File {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(self, buffer, offset)
    }
}

/// A local file that passed the checks.
pub struct Local {
    file: File,
    /// Canonical path, without symbolic links: files beside the target are read with it.
    path: PathBuf,
    name: String,
    size_bytes: u64,
    plan: Option<Plan>,
}

impl Local {
    /// Opens the file and, if it is an archive, reads and checks its central directory.
    ///
    /// # Errors
    /// `input.*`, `usage.invalid` for a path that is not UTF-8, `infra.io`.
    pub fn open(path: &Path, limits: &ArchiveLimits) -> Result<Self, Failure> {
        let file = open(path)?;
        let size_bytes = file.metadata().map_err(|e| unread(&e))?.len();
        let extension = extension_of(&path.to_string_lossy());
        let plan = if ZIP_BASED_INPUTS.contains(&extension.as_str()) {
            None
        } else {
            plan_of(&file, size_bytes, limits)?
        };
        let path = std::fs::canonicalize(path).map_err(|e| unread(&e))?;
        let name = path.to_str().and_then(|_| path.file_name()?.to_str()).map(str::to_owned);
        let name = match (name, &plan) {
            (Some(name), _) => name,
            // The path of an archive is never reported or passed on.
            (None, Some(_)) => "archive.zip".to_owned(),
            (None, None) => {
                return Err(Failure::new(FailureCode::UsageInvalid, "the input path is not valid UTF-8"));
            }
        };
        Ok(Self { file, path, name, size_bytes, plan })
    }
}

impl Source for Local {
    fn name(&self) -> &str {
        &self.name
    }

    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    fn plan(&self) -> Option<&Plan> {
        self.plan.as_ref()
    }

    fn needs_bytes(&self) -> u64 {
        self.plan.as_ref().map_or(0, Plan::expanded_bytes)
    }

    fn expand(
        &self,
        directory: &Folder,
        cancel: &AtomicBool,
        progress: &mut dyn FnMut(f64),
    ) -> Result<(), Failure> {
        let pieces = self.plan.as_ref().map(pieces).unwrap_or_default();
        expand(&self.file, &pieces, directory, cancel, progress)
    }

    /// The file is read in place, with the files beside it: the materials of a model, the
    /// attributes of a shapefile.
    fn place(&self, _: &Folder, _: &AtomicBool, _: &mut dyn FnMut(f64)) -> Result<PathBuf, Failure> {
        Ok(self.path.clone())
    }
}

/// Reads and checks the central directory if the file is an archive.
pub(super) fn plan_of(
    file: &dyn ReadAt,
    size_bytes: u64,
    limits: &ArchiveLimits,
) -> Result<Option<Plan>, Failure> {
    let mut head = Vec::new();
    while (head.len() as u64) < size_bytes.min(4) {
        head.extend_from_slice(&read(file, head.len() as u64..size_bytes.min(4))?);
    }
    if !begins_as_zip(&head) {
        return Ok(None);
    }
    let mut opening = CentralDirectoryReader::new(size_bytes, limits)?;
    while let Some(range) = wanted(&opening) {
        opening.feed(&read(file, range)?)?;
    }
    opening.finish().map(Some)
}

/// Expands pieces of a file, the largest first: if the largest began last, it would run alone at
/// the end.
pub(super) fn expand(
    file: &dyn ReadAt,
    pieces: &[Piece<'_>],
    directory: &Folder,
    cancel: &AtomicBool,
    progress: &mut dyn FnMut(f64),
) -> Result<(), Failure> {
    let total = pieces.iter().map(|piece| piece.segment.end - piece.segment.start).sum();
    run(directory, total, pieces, cancel, progress, |_, work, _| {
        let mut order: Vec<&Piece<'_>> = pieces.iter().collect();
        order.sort_by_key(|piece| std::cmp::Reverse(piece.size_bytes));
        for piece in order {
            let chunks = Box::new(Reader { file, range: piece.segment.clone(), buffer: Vec::new() });
            // Sending fails only if every thread has ended; they have reported why.
            if work.send(Work { piece, chunks }).is_err() {
                return;
            }
        }
    })
}

struct Reader<'a> {
    file: &'a dyn ReadAt,
    range: Range<u64>,
    buffer: Vec<u8>,
}

impl Chunks for Reader<'_> {
    fn next(&mut self) -> Result<&[u8], Failure> {
        let length = (self.range.end - self.range.start).min(CHUNK);
        self.buffer.resize(usize::try_from(length).unwrap_or(0), 0);
        if length == 0 {
            return Ok(&[]);
        }
        let read = read_some(self.file, &mut self.buffer, self.range.start)?;
        self.range.start += read as u64;
        Ok(&self.buffer[..read])
    }
}

/// Reads the beginning of a range, at least one byte.
fn read(file: &dyn ReadAt, range: Range<u64>) -> Result<bytes::Bytes, Failure> {
    let mut buffer = vec![0; usize::try_from(range.end - range.start).unwrap_or(0)];
    let read = read_some(file, &mut buffer, range.start)?;
    buffer.truncate(read);
    Ok(buffer.into())
}

fn read_some(file: &dyn ReadAt, buffer: &mut [u8], offset: u64) -> Result<usize, Failure> {
    loop {
        match file.read_at(buffer, offset) {
            // The file had this size when it was opened.
            Ok(0) => {
                return Err(Failure::new(
                    FailureCode::InputReplaced,
                    "the input became shorter while it was read",
                ));
            }
            Ok(read) => return Ok(read),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(unread(&error)),
        }
    }
}

fn unread(error: &io::Error) -> Failure {
    Failure::io("reading the input", error)
}

fn open(path: &Path) -> Result<File, Failure> {
    let shown = path.display();
    let unreadable = |e: io::Error| match e.kind() {
        io::ErrorKind::NotFound => {
            Failure::new(FailureCode::InputNotFound, format!("there is no file {shown}"))
        }
        _ => Failure::new(FailureCode::InputUnreadable, format!("cannot read {shown}: {e}")),
    };
    // Checked before opening: opening a FIFO would wait for a writer.
    let kind = std::fs::metadata(path).map_err(unreadable)?;
    if !kind.is_file() {
        return Err(Failure::new(FailureCode::InputNotAFile, format!("{shown} is not a regular file")));
    }
    if kind.len() == 0 {
        return Err(Failure::new(FailureCode::InputEmpty, format!("{shown} is empty")));
    }
    File::open(path).map_err(unreadable)
}
