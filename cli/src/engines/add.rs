//! `cadmill engines add`: writes the stanza of a library that passes, with its pin.
//!
//! The file is replaced as a whole, so that a worker that starts meanwhile reads the one or the other.
//! What it has already is not changed. Two that add at once do so one after the other: the directory is
//! locked, for the file itself is another each time.

use super::checked::Checked;
use crate::args::AddArgs;
use crate::{error, output};
use cadmill_converter::engine::registry::Engines;
use cadmill_core::domain::failure::{Failure, FailureCode};
use serde_json::{Value, json};
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

pub(super) fn run(args: &AddArgs) -> ExitCode {
    let checked = readable(&args.engines_file).and_then(|_| Checked::of(&args.library, args.name.as_deref()));
    let checked = match checked {
        Ok(checked) => checked,
        Err(failure) => return error::report(&failure, None, args.json),
    };
    if checked.report.judged().is_err() {
        return checked.show(args.json);
    }
    let description = checked.report.description.as_ref().filter(|_| args.default);
    let stanza = checked.stanza.text(description);
    if let Err(failure) = added(&args.engines_file, checked.stanza.name(), &stanza) {
        return error::report(&failure, None, args.json);
    }
    let is_built_in = Engines::with(None).is_ok_and(|engines| engines.get(checked.stanza.name()).is_some());
    if args.json {
        let mut object = checked.json();
        object.insert("replaces_built_in".to_owned(), json!(is_built_in));
        object.insert("engine".to_owned(), json!(checked.stanza.name()));
        object.insert("engines_file".to_owned(), json!(args.engines_file));
        object.insert("stanza".to_owned(), json!(stanza));
        output::result(&format!("{:#}", Value::Object(object)));
    } else {
        output::result(stanza.trim_end());
        output::note(&format!(
            "{}; added to {} as '{}'",
            checked.verdict(),
            args.engines_file.display(),
            checked.stanza.name()
        ));
        if is_built_in {
            output::note(&format!(
                "it takes the place of the built-in engine '{}'; --name gives it another name",
                checked.stanza.name()
            ));
        }
    }
    ExitCode::SUCCESS
}

/// The content of the engines file; empty if it does not exist. A file that is wrong is reported before
/// the library is checked.
fn readable(file: &Path) -> Result<String, Failure> {
    let refused = |reason: &str| {
        let message = format!("engines file {}: {reason}", file.display());
        Err(Failure::new(FailureCode::UsageEnginesFile, message))
    };
    match (std::fs::metadata(file), file.is_symlink()) {
        // It would be replaced, and reading it could take for ever.
        (Ok(metadata), _) if !metadata.is_file() => return refused("not a regular file"),
        (Err(_), true) => return refused("a symbolic link that leads nowhere"),
        _ => {}
    }
    match std::fs::read_to_string(file) {
        Ok(text) => Engines::from_file(file).map(|_| text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => {
            let message = format!("engines file {}: {error}", file.display());
            Err(Failure::new(FailureCode::UsageEnginesFile, message))
        }
    }
}

fn added(file: &Path, name: &str, stanza: &str) -> Result<(), Failure> {
    let failed = |error: std::io::Error| {
        let message = format!("cannot write {}: {error}", file.display());
        Failure::new(FailureCode::OutputNotWritable, message)
    };
    // In the place that a symbolic link leads to.
    let place = if file.exists() { file.canonicalize().map_err(failed)? } else { file.to_owned() };
    let directory = place.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let lock = File::open(directory).map_err(failed)?;
    lock.lock().map_err(failed)?;
    // Read again: another may have added a library while this one was checked.
    let before = readable(file)?;
    let gap = if before.is_empty() || before.ends_with("\n\n") {
        ""
    } else if before.ends_with('\n') {
        "\n"
    } else {
        "\n\n"
    };
    let text = format!("{before}{gap}{stanza}");
    // Also refuses a name that the file declares already.
    Engines::from_text(&text).map_err(|failure| {
        let message = format!("engine '{name}' cannot be added to {}: {}", file.display(), failure.message);
        Failure::new(failure.code, message)
    })?;
    let mut written = tempfile::NamedTempFile::new_in(directory).map_err(failed)?;
    written.write_all(text.as_bytes()).map_err(failed)?;
    let permissions = match std::fs::metadata(&place) {
        Ok(metadata) => metadata.permissions(),
        Err(_) => std::os::unix::fs::PermissionsExt::from_mode(0o644),
    };
    written.as_file().set_permissions(permissions).map_err(failed)?;
    written.as_file().sync_all().map_err(failed)?;
    written.persist(&place).map(drop).map_err(|error| failed(error.error))
}
