//! Delivers the output of a conversion: to a local file ([`destination`]), or to any other
//! [`Sink`].
//!
//! Several files are packed into one ZIP archive, and so is one file if the requested name ends
//! with `.zip`: a result is always a single object.

pub mod destination;

use crate::workspace::{Folder, Workspace};
use cadmill_core::domain::failure::Failure;
use std::fs::File;
use std::io::{self, BufWriter, Seek, Write};
use zip::write::SimpleFileOptions;

/// One file that the engine wrote: its name in the output, and the file.
#[derive(Debug, Clone)]
pub struct OutputFile {
    /// Relative, with `/` as separator.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// The directory of the output.
    pub folder: Folder,
}

impl OutputFile {
    /// Opens it for reading.
    pub(crate) fn open(&self) -> io::Result<File> {
        self.folder.open(&self.name)
    }
}

/// Delivers the output of a job.
pub trait Sink {
    /// The description of the published output.
    type Output;

    /// Stem of the files that the engine writes. Engines put the name of the output into its
    /// content, such as OBJ's reference to its material library.
    fn stem(&self, input_stem: &str, extension: &str) -> String;

    /// Publishes the files, as one ZIP archive if `zipped`; several files always are. `main_name`
    /// is the name that the engine was given. `workspace` is for intermediate files; the output
    /// files may be removed from it.
    ///
    /// # Errors
    /// [`Failure`]; nothing is published then.
    fn publish(
        &self,
        files: &[OutputFile],
        main_name: &str,
        zipped: bool,
        workspace: &Workspace,
    ) -> Result<Self::Output, Failure>;
}

/// Whether the output is anything but the one file that the engine was asked to write, and so
/// becomes an archive. Any other file, even a single one (the attributes of a shapefile without
/// geometry), keeps its own name inside an archive: under the requested name its content would be
/// mistaken.
pub(crate) fn needs_archive(files: &[OutputFile], main_name: &str) -> bool {
    !matches!(files, [one] if one.name == main_name)
}

/// Writes several files to one archive. Timestamps are constant, so that the same files give the
/// same bytes. `written` is called for each file once it is in the archive.
pub(crate) fn write_zip(
    files: &[OutputFile],
    target: impl Write + Seek,
    written: &mut dyn FnMut(&OutputFile) -> io::Result<()>,
) -> io::Result<()> {
    let mut writer = zip::ZipWriter::new(BufWriter::with_capacity(256 << 10, target));
    for file in files {
        let mut source = file.open()?;
        let large = source.metadata()?.len() >= u64::from(u32::MAX);
        let options = SimpleFileOptions::default()
            .compression_method(zip::CompressionMethod::Deflated)
            .last_modified_time(zip::DateTime::default())
            .unix_permissions(0o644)
            .large_file(large);
        writer.start_file(file.name.as_str(), options).map_err(io::Error::other)?;
        io::copy(&mut source, &mut writer)?;
        written(file)?;
    }
    writer.finish().map_err(io::Error::other)?.into_inner().map_err(io::IntoInnerError::into_error)?;
    Ok(())
}
