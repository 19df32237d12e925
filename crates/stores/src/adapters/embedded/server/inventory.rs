//! Everything that is in a data directory, for an audit that believes neither the index nor the
//! directory: what the index names, the files that it does not, and those that it could not destroy.
//!
//! A server may be running. It holds the index exclusively, so a copy is read: of the file and its log,
//! taken while nothing writes to either. The directory itself is only read.

use super::blobs;
use super::index::{self, Contents, Index};
use cadmill_core::cleanup::residue::{Item, Kind, place_of};
use cadmill_core::domain::job::Millis;
use cadmill_core::ports::{PortError, PortResult};
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long a file must not have changed before it is copied: a write at the same moment could have the
/// same time.
const QUIET: Duration = Duration::from_millis(50);

/// Attempts to copy the index, and the pause between two of them: ten seconds.
const TRIES: u32 = 200;
const PAUSE: Duration = Duration::from_millis(50);

/// A file that the index does not name and that was written to within this time may be an upload on its
/// way: the server ends one that makes no progress for a minute.
const ARRIVING: Duration = Duration::from_secs(120);
const ARRIVING_MS: Millis = 120_000;

const READING: &str = "reading the objects of a data directory";

/// A file with content.
struct Blob {
    name: String,
    size: u64,
    written: SystemTime,
}

/// Lists everything in the data directory. `scratch` is a directory for the copy of the index; it has
/// names of files, so it should be in memory, and the caller destroys it. Blocks. Not for the process
/// that serves the directory: closing the index would give up its locks (fcntl(2)).
///
/// # Errors
/// [`PortError::Unavailable`] if the index changes all the time, and errors of the file system.
pub fn inventory(data_dir: &Path, scratch: &Path) -> PortResult<Vec<Item>> {
    let directory = data_dir.join("blobs");
    // Before the index is read: a file that it names later is known then.
    let blobs = blobs_of(&directory)?;
    let foreign = foreign_of(&directory)?;
    let Contents { mut items, named, removals } = match copied(&data_dir.join("objects.sqlite"), scratch)? {
        Some(copy) => Index::contents(&copy)?,
        None if blobs.is_empty() => Contents::default(),
        None => return Err(missing("objects.sqlite, which says what the files in blobs are")),
    };
    if !named.is_empty() && !directory.exists() {
        return Err(missing("blobs, which has the files of objects.sqlite"));
    }
    items.extend(foreign);
    let now = SystemTime::now();
    for Blob { name, size, written } in blobs {
        if removals.contains_key(&name) {
            continue;
        }
        let is_old = now.duration_since(written).is_ok_and(|age| age > ARRIVING);
        // It may have been removed since.
        if is_old && !named.contains(&name) && directory.join(&name).exists() {
            items.push(Item { kind: Kind::File, place: None, size_bytes: Some(size), made: millis(written) });
        }
    }
    for (name, (key, since)) in removals {
        let place = key.as_deref().and_then(place_of);
        // What no job is known of is on its way, like an upload.
        let is_new =
            place.is_none() && millis(now).is_some_and(|now| now.saturating_sub(since) < ARRIVING_MS);
        // Whatever it is: a directory cannot be destroyed. It may have been since.
        let Ok(file) = fs::symlink_metadata(directory.join(&name)) else { continue };
        if !is_new {
            items.push(Item { kind: Kind::File, place, size_bytes: Some(file.len()), made: Some(since) });
        }
    }
    Ok(items)
}

fn millis(time: SystemTime) -> Option<Millis> {
    time.duration_since(UNIX_EPOCH).ok().and_then(|time| Millis::try_from(time.as_millis()).ok())
}

/// What lies among the files and is none of them. It may be plaintext.
fn foreign_of(directory: &Path) -> PortResult<Vec<Item>> {
    let mut found = Vec::new();
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
        entries => entries.map_err(|error| failed(&error))?,
    };
    for entry in entries {
        let entry = entry.map_err(|error| failed(&error))?;
        let is_own =
            entry.file_name().to_str().is_some_and(|name| blobs::is_blob(name) || blobs::is_other(name));
        // It may have been removed since.
        if let Ok(file) = fs::symlink_metadata(entry.path())
            && !is_own
        {
            let (size_bytes, made) = (Some(file.len()), file.modified().ok().and_then(millis));
            found.push(Item { kind: Kind::File, place: None, size_bytes, made });
        }
    }
    Ok(found)
}

fn missing(what: &str) -> PortError {
    PortError::Refused { operation: READING, reason: format!("there is no {what}") }
}

fn blobs_of(directory: &Path) -> PortResult<Vec<Blob>> {
    let mut found = Vec::new();
    for name in blobs::files(directory)? {
        match fs::metadata(directory.join(&name)).and_then(|file| Ok((file.len(), file.modified()?))) {
            Ok((size, written)) => found.push(Blob { name, size, written }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(&error)),
        }
    }
    Ok(found)
}

/// A consistent copy of the index; `None` if there is no index.
fn copied(path: &Path, scratch: &Path) -> PortResult<Option<PathBuf>> {
    let to = scratch.join("objects.sqlite");
    for _ in 0..TRIES {
        match copy(path, &to) {
            Ok(true) => return Ok(Some(to)),
            Ok(false) => std::thread::sleep(PAUSE),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !path.exists() => return Ok(None),
            // The log may be removed between two steps.
            Err(error) if error.kind() == io::ErrorKind::NotFound => std::thread::sleep(PAUSE),
            Err(error) => return Err(failed(&error)),
        }
    }
    Err(PortError::Unavailable { operation: READING, reason: "the index changes all the time".to_owned() })
}

/// Copies the file and its log, and returns whether neither changed meanwhile.
fn copy(from: &Path, to: &Path) -> io::Result<bool> {
    let log = |path: &Path| index::log_of(path);
    let before = (state(from)?, state(&log(from)).ok());
    let files = [Some(&before.0), before.1.as_ref()].into_iter().flatten();
    let now = SystemTime::now();
    if !files.into_iter().all(|file| now.duration_since(file.written).is_ok_and(|age| age >= QUIET)) {
        return Ok(false);
    }
    fs::copy(from, to)?;
    match before.1 {
        Some(_) => drop(fs::copy(log(from), log(to))?),
        None => match fs::remove_file(log(to)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        },
    }
    Ok((state(from)?, state(&log(from)).ok()) == before)
}

/// What changes when a file does.
#[derive(PartialEq, Eq)]
struct State {
    inode: u64,
    size: u64,
    written: SystemTime,
    changed: (i64, i64),
}

fn state(path: &Path) -> io::Result<State> {
    let file: Metadata = fs::metadata(path)?;
    let changed = (file.ctime(), file.ctime_nsec());
    Ok(State { inode: file.ino(), size: file.len(), written: file.modified()?, changed })
}

fn failed(error: &io::Error) -> PortError {
    PortError::Refused { operation: READING, reason: error.kind().to_string() }
}
