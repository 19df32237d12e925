//! Ledgers in files: `DIRECTORY/JOB/ATTEMPT-PART.jsonl`, and the head beside it as
//! `ATTEMPT-PART.head.json`. Directories have mode 0700, files 0600.
//!
//! An appended line is in the kernel (one `write` to a file opened with O_APPEND): it survives
//! the death of the worker at any instruction. A synced line is on the disk (`fdatasync`): it
//! survives a power failure. A power failure also erases the plaintext, which is in memory, so an
//! intent need not wait for the disk.

use cadmill_core::domain::ledger::{LedgerId, SignedHead};
use cadmill_core::ports::{AuditLog, AuditSink, PortError, PortResult};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Ledgers in a directory.
#[derive(Debug, Clone)]
pub struct FileAudit {
    directory: PathBuf,
}

struct FileLog {
    file: File,
    head: PathBuf,
}

impl FileAudit {
    /// Creates a sink in this directory, which is created with its parents.
    ///
    /// # Errors
    /// [`PortError::Refused`] if it cannot be created.
    pub fn new(directory: &Path) -> PortResult<Self> {
        make_directory(directory, true).map_err(|e| refused("making the directory of the ledgers", &e))?;
        Ok(Self { directory: directory.to_owned() })
    }

    /// The file of a ledger.
    pub fn path(&self, ledger: LedgerId) -> PathBuf {
        self.of_job(ledger).join(format!("{}-{}.jsonl", ledger.attempt, ledger.part))
    }

    /// The file of its head.
    pub fn head_path(&self, ledger: LedgerId) -> PathBuf {
        self.of_job(ledger).join(format!("{}-{}.head.json", ledger.attempt, ledger.part))
    }

    fn of_job(&self, ledger: LedgerId) -> PathBuf {
        self.directory.join(ledger.job.to_string())
    }
}

impl AuditSink for FileAudit {
    fn begin(&self, ledger: LedgerId) -> PortResult<Box<dyn AuditLog>> {
        const OPERATION: &str = "beginning a ledger";
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::AlreadyExists => PortError::Precondition(OPERATION),
            _ => refused(OPERATION, &error),
        };
        let directory = self.of_job(ledger);
        make_directory(&directory, false).map_err(failed)?;
        let file = new_file(&self.path(ledger)).map_err(failed)?;
        // The directory entries too: otherwise a power failure could lose the whole file.
        for name in [&directory, &self.directory] {
            File::open(name).and_then(|directory| directory.sync_all()).map_err(failed)?;
        }
        Ok(Box::new(FileLog { file, head: self.head_path(ledger) }))
    }

    fn read(&self, ledger: LedgerId) -> PortResult<Vec<u8>> {
        read(&self.path(ledger), "reading a ledger")
    }

    fn read_head(&self, ledger: LedgerId) -> PortResult<SignedHead> {
        const OPERATION: &str = "reading a head";
        let bytes = read(&self.head_path(ledger), OPERATION)?;
        let corrupt =
            |_| PortError::Corrupt { operation: OPERATION, reason: "it is not a ledger head".to_owned() };
        serde_json::from_slice(&bytes).map_err(corrupt)
    }
}

impl AuditLog for FileLog {
    fn append(&mut self, line: &[u8]) -> PortResult<()> {
        self.file.write_all(line).map_err(|error| refused("adding to a ledger", &error))
    }

    fn sync(&mut self) -> PortResult<()> {
        self.file.sync_data().map_err(|error| refused("syncing a ledger", &error))
    }

    fn seal(&mut self, head: &SignedHead) -> PortResult<()> {
        let written = new_file(&self.head).and_then(|mut file| {
            file.write_all(&head.to_file())?;
            file.sync_all()
        });
        let named = written.and_then(|()| match self.head.parent() {
            Some(directory) => File::open(directory)?.sync_all(),
            None => Ok(()),
        });
        named.map_err(|error| refused("keeping a head", &error))
    }
}

fn make_directory(path: &Path, with_parents: bool) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).recursive(with_parents).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        made => made,
    }
}

fn new_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create_new(true).mode(0o600).open(path)
}

fn read(path: &Path, operation: &'static str) -> PortResult<Vec<u8>> {
    std::fs::read(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => PortError::NotFound(operation),
        _ => refused(operation, &error),
    })
}

/// Only the kind of the error: its message could name a path.
fn refused(operation: &'static str, error: &io::Error) -> PortError {
    PortError::Refused { operation, reason: error.kind().to_string() }
}
