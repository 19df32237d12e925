//! A cache of the descriptions of engines, valid as long as the engines' files are unchanged.
//!
//! An engine is asked in a process of its own, which takes a second for a JVM. The cache is in memory,
//! and in a file if there is a directory for it. It holds names, formats and options of libraries,
//! nothing of a job. It decides nothing: the engine checks formats and options again, and no entry
//! widens what a process may read.
//!
//! The file belongs to this user alone, with mode 0600. Another file in its place, and whatever does
//! not parse, is passed over and replaced.

use super::description::Description;
use crate::digest;
use crate::engine::pin::FileFingerprint;
use crate::engine::protocol::Library;
use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Maximum number of descriptions; engines are few.
const MAX_ENTRIES: usize = 64;

/// Largest file, in bytes.
const MAX_FILE: u64 = 4 << 20;

/// Maximum number of native libraries of a jar.
const MAX_NATIVES: usize = 1000;

/// Descriptions by library. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct DescriptionCache {
    known: Arc<Mutex<Entries>>,
    file: Option<PathBuf>,
}

/// Descriptions by the key of their library.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Entries(BTreeMap<String, Description>);

impl DescriptionCache {
    /// A cache that is also kept in a file of this directory, which is made if it is missing.
    #[must_use]
    pub fn in_directory(directory: &Path) -> Self {
        let file = directory.join("descriptions.json");
        Self { known: Arc::new(Mutex::new(read(&file).unwrap_or_default())), file: Some(file) }
    }

    /// The library's description, if its files are unchanged.
    pub(super) fn get(&self, library: &Library) -> Option<Description> {
        let key = key(library)?;
        self.known.lock().unwrap_or_else(PoisonError::into_inner).0.get(&key).cloned()
    }

    /// Stores a description. If the file cannot be written, the engine is queried again next time.
    pub(super) fn put(&self, library: &Library, description: &Description) {
        let Some(key) = key(library) else { return };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.0.get(&key) == Some(description) {
            return;
        }
        // What another process has written meanwhile is kept.
        let others = self.file.as_deref().and_then(read).unwrap_or_default();
        known.0.extend(others.0);
        if known.0.len() >= MAX_ENTRIES {
            known.0.clear();
        }
        known.0.insert(key, description.clone());
        if let Some(file) = &self.file
            && let Err(error) = write(file, &known)
        {
            tracing::debug!(error = %error, "descriptions of engines are not kept");
        }
    }
}

/// Everything that a description depends on: how the library is bound and the fingerprints of its
/// files. None for a library whose files are not known, or whose changes would not be seen.
fn key(library: &Library) -> Option<String> {
    let path = library.path.iter();
    let jvm = library.jvm.iter();
    let of_jvm = jvm.clone().flat_map(|jvm| jvm.class_path.iter().cloned());
    let release = jvm.clone().filter_map(|jvm| jvm.home.as_ref()).map(|home| home.join("release"));
    let mut natives = Vec::new();
    for directory in jvm.filter_map(|jvm| jvm.natives.as_ref()) {
        let entries = std::fs::read_dir(directory).ok()?.take(MAX_NATIVES);
        natives.extend(
            entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>().ok()?,
        );
    }
    natives.sort();
    let files: Vec<PathBuf> =
        path.chain(&library.needs).cloned().chain(of_jvm).chain(release).chain(natives).collect();
    // The system's library: the linker decides which file that is.
    if files.is_empty() {
        return None;
    }
    let mut prints = Vec::new();
    for file in &files {
        // A directory of classes can change without a trace in its own times.
        prints.push(FileFingerprint::of_settled(file).filter(|_| file.is_file())?);
    }
    let whole = serde_json::to_vec(&(cadmill_core::BUILD, library, files, prints)).ok()?;
    digest::sha256(whole.as_slice()).ok()
}

fn read(path: &Path) -> Option<Entries> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty()).ok()?);
    let found = file.metadata().ok()?;
    let is_own = found.uid() == rustix::process::geteuid().as_raw() && found.mode() & 0o077 == 0;
    if !found.is_file() || !is_own || found.len() > MAX_FILE {
        return None;
    }
    let mut text = Vec::new();
    file.take(MAX_FILE).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

/// Replaces the file in one step: a reader finds the earlier one or this one.
fn write(path: &Path, entries: &Entries) -> std::io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let mut file =
        tempfile::Builder::new().permissions(Permissions::from_mode(0o600)).tempfile_in(directory)?;
    file.write_all(&serde_json::to_vec(entries)?)?;
    file.persist(path).map(drop).map_err(|error| error.error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::supervisor::Identity;
    use std::time::Duration;

    fn description(version: &str) -> Description {
        let identity = Identity { version: version.to_owned(), ..Identity::default() };
        Description { identity, inputs: vec![], outputs: vec![], options: vec![] }
    }

    fn library(path: &Path) -> Library {
        Library { path: Some(path.to_owned()), ..Library::of_nothing() }
    }

    /// On a disk that keeps times, such as the one of the build.
    fn directory() -> tempfile::TempDir {
        tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap()
    }

    #[test]
    fn a_description_is_kept_until_a_file_changes() {
        let (directory, cache) = (directory(), directory().keep());
        let file = directory.path().join("libx.so");
        std::fs::write(&file, "one").unwrap();
        let first = DescriptionCache::in_directory(&cache);
        // Changed just now: a second change could have the same times.
        first.put(&library(&file), &description("1"));
        assert_eq!(first.get(&library(&file)), None);
        std::thread::sleep(Duration::from_millis(3200));
        first.put(&library(&file), &description("1"));
        for cached in [&first, &DescriptionCache::in_directory(&cache)] {
            assert_eq!(cached.get(&library(&file)), Some(description("1")));
            let other = Library { needs: vec![file.clone()], ..library(&file) };
            assert_eq!(cached.get(&other), None);
        }
        let kept = std::fs::metadata(cache.join("descriptions.json")).unwrap();
        assert_eq!(kept.mode() & 0o777, 0o600);
        std::fs::write(&file, "two").unwrap();
        assert_eq!(first.get(&library(&file)), None);
        std::fs::remove_dir_all(cache).unwrap();
    }

    #[test]
    fn a_file_that_others_could_have_written_is_passed_over() {
        let (directory, at) = (directory(), directory());
        let file = directory.path().join("libx.so");
        std::fs::write(&file, "one").unwrap();
        std::thread::sleep(Duration::from_millis(3200));
        let cache = DescriptionCache::in_directory(at.path());
        cache.put(&library(&file), &description("1"));
        let kept = at.path().join("descriptions.json");
        let found = || DescriptionCache::in_directory(at.path()).get(&library(&file));
        assert_eq!(found(), Some(description("1")));
        std::fs::set_permissions(&kept, Permissions::from_mode(0o640)).unwrap();
        assert_eq!(found(), None);
        let moved = at.path().join("moved");
        std::fs::set_permissions(&kept, Permissions::from_mode(0o600)).unwrap();
        std::fs::rename(&kept, &moved).unwrap();
        std::os::unix::fs::symlink(&moved, &kept).unwrap();
        assert_eq!(found(), None);
        // It is replaced, and not written through.
        cache.put(&library(&file), &description("2"));
        assert_eq!(found(), Some(description("2")));
        std::fs::write(&kept, "{").unwrap();
        assert_eq!(found(), None);
    }

    #[test]
    fn the_system_s_library_and_directories_of_classes_are_asked_each_time() {
        assert_eq!(key(&Library::of_nothing()), None);
        assert_eq!(key(&library(Path::new("/usr"))), None);
        assert_eq!(key(&library(Path::new("/nonexistent"))), None);
    }
}
