//! `cadmill engines new`: writes a plugin to begin with. It refuses a directory that exists, and leaves
//! either all files or none.

use super::template::Template;
use crate::args::NewArgs;
use crate::{error, output};
use cadmill_converter::engine::registry;
use cadmill_core::domain::failure::{Failure, FailureCode};
use serde_json::json;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

pub(crate) fn run(args: &NewArgs) -> ExitCode {
    let template = Template::of(args.lang);
    let files = template.files(&args.name);
    let directory = match write(args, &files) {
        Ok(directory) => directory,
        Err(failure) => return error::report(&failure, None, args.json),
    };
    let (name, library) = (&args.name, template.library(&args.name));
    // Only the name of a directory is shown: the files of the crate are not for editing.
    let mut written: Vec<&str> =
        files.iter().map(|(path, _)| path.split('/').next().unwrap_or(path)).collect();
    written.dedup();
    let next = [
        format!("cd {}", quoted(&directory)),
        template.build().to_owned(),
        format!("cadmill engines check {library} --sample sample.xyz --without-counts"),
        format!(
            "cadmill engines add {library} --name {name} --sample sample.xyz --without-counts --engines-file engines.toml"
        ),
        format!("cadmill convert sample.xyz --to obj --engine {name} --engines-file engines.toml"),
    ];
    if args.json {
        let paths: Vec<&str> = files.iter().map(|(path, _)| *path).collect();
        let directory = directory.to_string_lossy();
        let object = json!({"directory": directory, "files": paths, "library": library, "next": next});
        output::result(&format!("{object:#}"));
    } else {
        let place = directory.display();
        output::result(&format!("{place}: {}\nnext:\n  {}", written.join(", "), next.join("\n  ")));
    }
    ExitCode::SUCCESS
}

/// Writes the files and returns their directory.
///
/// # Errors
/// `usage.invalid` for a bad name and for a directory that exists, `usage.output_directory`,
/// `usage.output_not_writable`, `infra.io`.
fn write(args: &NewArgs, files: &[(&str, String)]) -> Result<PathBuf, Failure> {
    let name = &args.name;
    if !registry::is_name(name) || name.starts_with('-') {
        let message = format!(
            "'{name}' cannot be the name of a new engine: it must consist of lower-case letters, digits and \
             hyphens, and not begin with a hyphen"
        );
        return Err(Failure::new(FailureCode::UsageInvalid, message));
    }
    let parent = args.dir.as_deref().unwrap_or(Path::new("."));
    if !parent.is_dir() {
        let message = format!("the directory {} does not exist", parent.display());
        return Err(Failure::new(FailureCode::OutputDirectory, message));
    }
    let directory = args.dir.as_deref().map_or_else(|| PathBuf::from(name), |parent| parent.join(name));
    let place = directory.display();
    let io = |error: std::io::Error| match error.kind() {
        ErrorKind::AlreadyExists => {
            let message = format!("{place} exists already; choose another name, or another place with --dir");
            Failure::new(FailureCode::UsageInvalid, message)
        }
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            Failure::new(FailureCode::OutputNotWritable, format!("cannot write {place}: {error}"))
        }
        _ => Failure::io(format!("writing {place}"), &error),
    };
    if directory.symlink_metadata().is_ok() {
        return Err(io(ErrorKind::AlreadyExists.into()));
    }
    let staged = parent.join(format!(".{name}.{}", std::process::id()));
    std::fs::create_dir(&staged).map_err(io)?;
    let done = fill(&staged, files).and_then(|()| take(&directory, &staged));
    done.map_err(|error| {
        let _ = std::fs::remove_dir_all(&staged);
        io(error)
    })?;
    Ok(directory)
}

fn fill(staged: &Path, files: &[(&str, String)]) -> std::io::Result<()> {
    for (path, content) in files {
        let path = staged.join(path);
        std::fs::create_dir_all(path.parent().unwrap_or(staged))?;
        std::fs::write(path, content)?;
    }
    Ok(())
}

/// Gives the staged directory its name, if that is still free. A rename replaces an empty directory, and
/// making one is what fails if there is another.
fn take(directory: &Path, staged: &Path) -> std::io::Result<()> {
    std::fs::create_dir(directory)?;
    std::fs::rename(staged, directory).inspect_err(|_| drop(std::fs::remove_dir(directory)))
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+,:@".contains(&byte);
    if text.bytes().all(plain) { text.into_owned() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}
