//! Expanding the entries into a directory: the work of the intake, on a local file.

use super::local::Archive;
use crate::intake::expand_file;
use crate::workspace::Folder;
use cadmill_core::domain::failure::Failure;
use std::path::Path;
use std::sync::atomic::AtomicBool;

impl Archive<'_> {
    /// Expands every entry into `directory`, which must be empty.
    ///
    /// `progress` is called on this thread with how much of the archive has been read,
    /// from 0 to 1.
    ///
    /// # Errors
    /// `input.archive.crc` and its like for the first entry that does not
    /// hold, `infra.*` when writing fails, `job.cancelled`. What was written so
    /// far stays; the workspace is removed as a whole.
    pub fn unpack(
        &self,
        directory: &Path,
        cancel: &AtomicBool,
        progress: &mut dyn FnMut(f64),
    ) -> Result<(), Failure> {
        let directory =
            Folder::unrecorded(directory).map_err(|e| Failure::io("opening the directory", &e))?;
        expand_file(self.file, &self.plan, &directory, cancel, progress)
    }
}
