//! Taking the output of a conversion to where it belongs: a file of this machine
//! ([`destination`]), or whatever else implements [`Sink`].
//!
//! Several files become one zip archive, and so does one whose name ends with
//! `.zip`: a result is one object everywhere.

pub mod destination;

use crate::workspace::{Folder, Workspace};
use cadmill_core::domain::failure::Failure;
use std::fs::File;
use std::io::{self, BufWriter, Seek, Write};
use zip::write::SimpleFileOptions;

/// One file that the engine wrote: its name inside the output, and the file.
#[derive(Debug, Clone)]
pub struct OutputFile {
    /// Relative, with `/` between the parts.
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

/// Takes the output of a job to where it belongs.
pub trait Sink {
    /// What is known of the output when it is there.
    type Output;

    /// Stem of the files that the engine is to write: engines put the name of the
    /// output into it, as in OBJ's reference to its materials.
    fn stem(&self, input_stem: &str, extension: &str) -> String;

    /// Publishes the files, as one zip archive if they are to be `zipped`; several
    /// always are. `main_name` is the one that the engine was told to write;
    /// `workspace` is for what has to be made on the way, and the files may be gone
    /// from it afterwards.
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

/// Whether the output is more than the one file that the engine was told to write,
/// and so becomes an archive. Any other file, even a single one (the attributes of a
/// shapefile without geometry), keeps its own name inside an archive: under another
/// it would be taken for what it is not.
pub(crate) fn needs_archive(files: &[OutputFile], main_name: &str) -> bool {
    !matches!(files, [one] if one.name == main_name)
}

/// One archive of several files. It has no times of its own, so that the same
/// files give the same bytes. `written` hears of each file that is in the archive.
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
