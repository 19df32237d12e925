//! Textures of formats that name them: they are put beside the output, under the names that it has.

use super::io::FileSystem;
use crate::engine::{EngineError, Request};
use crate::references::{plain_of, shown};
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;

/// Formats that name their textures, as the author of the input did.
const BESIDE: &[&str] = &["3ds", "obj", "x", "x3d"];

const PIECE: usize = 256 << 10;

/// Whether textures of the format are files of their own.
pub(super) fn is_beside(format: &str) -> bool {
    BESIDE.contains(&format)
}

/// Puts the textures beside the output. Those that are missing are reported.
pub(super) fn take_along(
    names: &[Vec<u8>],
    files: &FileSystem,
    request: &Request<'_>,
    warn: &dyn Fn(&str),
) -> Result<(), EngineError> {
    for name in names {
        let label = shown(name);
        match (files.found(request.input, name), plain_of(name)) {
            (Some(file), Some(place)) => copy(files, &file, &request.output_dir.join(place))
                .map_err(|e| EngineError::Rejected(format!("writing the texture '{label}' failed: {e}")))?,
            (None, _) => warn(&format!("the texture '{label}' is not in the input")),
            (Some(_), None) => warn(&format!(
                "the texture '{label}' is named by a path that leads elsewhere, and was not taken along"
            )),
        }
    }
    Ok(())
}

fn copy(files: &FileSystem, from: &Path, to: &Path) -> io::Result<()> {
    if let Some(directory) = to.parent() {
        std::fs::create_dir_all(directory)?;
    }
    let mut source = files.read(from)?;
    let mut target = match OpenOptions::new().write(true).create_new(true).open(to) {
        Ok(target) => target,
        // Two names for one file, or a name of the output itself.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        Err(error) => return Err(error),
    };
    let mut buffer = vec![0; PIECE];
    loop {
        let read = source.read(&mut buffer)?;
        if read == 0 {
            return Ok(());
        }
        target.write_all(&buffer[..read])?;
    }
}
