//! The shared objects that a library needs, directly and indirectly: the files that the dynamic
//! loader will open, found before the confinement is in force.
//!
//! The search is the loader's own: the paths in an object, the loader's cache, the system
//! directories. If several files have the same name, such as builds of a library for newer
//! processors, all of them are included, because the loader chooses among them. Nothing is run and
//! nothing is loaded; a file that is not an object has no dependencies.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

const CACHE: &str = "/etc/ld.so.cache";

/// Directories that the loader searches if a name is not in its cache.
#[cfg(target_arch = "x86_64")]
const DIRECTORIES: [&str; 8] = [
    "/lib/x86_64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu",
    "/lib64",
    "/usr/lib64",
    "/lib",
    "/usr/lib",
    "/usr/local/lib",
    "/usr/local/lib64",
];
#[cfg(not(target_arch = "x86_64"))]
const DIRECTORIES: [&str; 8] = [
    "/lib/aarch64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/lib64",
    "/usr/lib64",
    "/lib",
    "/usr/lib",
    "/usr/local/lib",
    "/usr/local/lib64",
];

/// Objects that the C library loads by itself: to end a thread.
const BY_NAME: [&str; 1] = ["libgcc_s.so.1"];

/// Limit on the number of objects, more than any engine has.
const MAX_OBJECTS: usize = 4000;

/// Largest part of an object that is read at once, in bytes.
const MAX_PART: u64 = 1 << 20;

/// Longest name or list of paths in an object, in bytes.
const LONGEST_NAME: u64 = 1024;

/// The dynamic loader's search.
pub(super) struct Loader {
    cache: BTreeMap<String, Vec<PathBuf>>,
    directories: Vec<PathBuf>,
}

impl Loader {
    /// The loader of this system. `more` are directories that its configuration names.
    pub(super) fn of_system(more: Vec<PathBuf>) -> Self {
        let cache = std::fs::read(CACHE).ok().and_then(|bytes| read_cache(&bytes)).unwrap_or_default();
        let directories = more.into_iter().chain(DIRECTORIES.map(PathBuf::from)).collect();
        Self { cache, directories }
    }

    /// Whether the loader searches this directory by default.
    pub(super) fn searches(&self, directory: &Path) -> bool {
        let directory = directory.canonicalize().unwrap_or_else(|_| directory.to_owned());
        self.directories.iter().any(|known| known.canonicalize().is_ok_and(|known| known == directory))
    }

    /// Files whose names begin with `stem`, such as `libgdal.so` and `libgdal.so.32`.
    pub(super) fn beginning_with(&self, stem: &str) -> Vec<PathBuf> {
        let cached = self.cache.range(stem.to_owned()..).take_while(|(name, _)| name.starts_with(stem));
        let mut found: Vec<PathBuf> = cached.flat_map(|(_, paths)| paths.clone()).collect();
        if found.is_empty() {
            let entries = self.directories.iter().filter_map(|directory| std::fs::read_dir(directory).ok());
            let paths = entries.flat_map(|entries| entries.flatten().map(|entry| entry.path()));
            let is_one = |path: &PathBuf| {
                path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(stem))
            };
            found.extend(paths.filter(is_one));
        }
        found
    }

    /// Files with this name.
    fn named(&self, name: &str, of: &[PathBuf]) -> Vec<PathBuf> {
        if name.contains('/') {
            return vec![PathBuf::from(name)];
        }
        let mut found: Vec<PathBuf> = self.cache.get(name).cloned().unwrap_or_default();
        let directories: &[PathBuf] = if found.is_empty() { &self.directories } else { &[] };
        found.extend(of.iter().chain(directories).map(|directory| directory.join(name)));
        found
    }

    /// Those of these objects that exist, and everything that they need.
    pub(super) fn closure(&self, objects: impl IntoIterator<Item = PathBuf>) -> BTreeSet<PathBuf> {
        let by_name = BY_NAME.iter().flat_map(|name| self.named(name, &[]));
        let mut pending: Vec<(PathBuf, Vec<PathBuf>)> =
            objects.into_iter().chain(by_name).map(|path| (path, Vec::new())).collect();
        let (mut found, mut seen) = (BTreeSet::new(), BTreeSet::new());
        while let Some((path, inherited)) = pending.pop() {
            if found.len() >= MAX_OBJECTS || !seen.insert(path.clone()) {
                continue;
            }
            let Ok(file) = File::open(&path) else { continue };
            found.insert(path.clone());
            let Some(needs) = Needs::of(&file) else { continue };
            // `$ORIGIN` is the directory of the path that was opened.
            let origin = path.parent().unwrap_or(Path::new("/"));
            let own = |text: &str| paths(text, origin);
            // RUNPATH applies to the object alone, RPATH also to the objects that it needs.
            let inherited = match &needs.runpath {
                Some(_) => inherited,
                None => needs.rpath.iter().flat_map(|text| own(text)).chain(inherited).collect(),
            };
            let search: Vec<PathBuf> =
                needs.runpath.iter().flat_map(|text| own(text)).chain(inherited.iter().cloned()).collect();
            for name in &needs.names {
                let candidates = self.named(name, &search);
                pending.extend(candidates.into_iter().map(|path| (path, inherited.clone())));
            }
        }
        found
    }
}

fn paths(text: &str, origin: &Path) -> Vec<PathBuf> {
    let origin = origin.to_string_lossy();
    text.split(':')
        .filter(|part| !part.is_empty())
        .map(|part| PathBuf::from(part.replace("${ORIGIN}", &origin).replace("$ORIGIN", &origin)))
        .filter(|path| path.is_absolute())
        .collect()
}

/// Names and paths from the loader's cache. Its new format begins with this magic string, possibly
/// after a part in the old format.
fn read_cache(bytes: &[u8]) -> Option<BTreeMap<String, Vec<PathBuf>>> {
    const MARK: &[u8] = b"glibc-ld.so.cache1.1";
    const HEADER: usize = 48;
    const ENTRY: usize = 24;
    let start = bytes.windows(MARK.len()).position(|window| window == MARK)?;
    let bytes = &bytes[start..];
    let number = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?) as usize);
    let text = |at: usize| {
        let rest = bytes.get(at..)?;
        std::str::from_utf8(&rest[..rest.iter().position(|&b| b == 0)?]).ok()
    };
    let mut found: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for index in 0..number(MARK.len())? {
        let entry = HEADER + index * ENTRY;
        let (Some(name), Some(path)) = (text(number(entry + 4)?), text(number(entry + 8)?)) else { continue };
        found.entry(name.to_owned()).or_default().push(PathBuf::from(path));
    }
    Some(found)
}

/// The dependencies in an object's dynamic section.
#[derive(Debug, Default, PartialEq)]
struct Needs {
    names: Vec<String>,
    rpath: Option<String>,
    runpath: Option<String>,
}

impl Needs {
    /// Reads a 64-bit object in this byte order; see elf(5).
    fn of(file: &File) -> Option<Self> {
        const DYNAMIC: u32 = 2;
        const LOAD: u32 = 1;
        let header = part(file, 0, 64)?;
        // Magic number, 64 bits, little-endian.
        if header[..6] != *b"\x7fELF\x02\x01" {
            return None;
        }
        let (size, count) = (u64::from(half(&header, 54)?), u64::from(half(&header, 56)?));
        if size != 56 {
            return None;
        }
        let programs = part(file, long(&header, 32)?, size * count)?;
        // Type, offset in the file, address, size in the file.
        let segments: Vec<(u32, u64, u64, u64)> = programs
            .chunks_exact(56)
            .map(|p| Some((word(p, 0)?, long(p, 8)?, long(p, 16)?, long(p, 32)?)))
            .collect::<Option<_>>()?;
        let &(_, offset, _, length) = segments.iter().find(|segment| segment.0 == DYNAMIC)?;
        let dynamic = part(file, offset, length)?;
        let entries: Vec<(u64, u64)> = dynamic
            .chunks_exact(16)
            .map_while(|entry| Some((long(entry, 0)?, long(entry, 8)?)))
            .take_while(|entry| entry.0 != 0)
            .collect();
        let value = |tag: u64| entries.iter().find(|entry| entry.0 == tag).map(|entry| entry.1);
        let (address, size) = (value(5)?, value(10)?);
        let in_file = |segment: &&(u32, u64, u64, u64)| {
            segment.0 == LOAD && address >= segment.2 && address - segment.2 < segment.3
        };
        let strings = segments.iter().find(in_file).map(|segment| segment.1 + (address - segment.2))?;
        // String tables are megabytes long, and only a few names are needed.
        let text = |at: u64| {
            let bytes = part(file, strings.checked_add(at)?, size.checked_sub(at)?.min(LONGEST_NAME))?;
            String::from_utf8(bytes[..bytes.iter().position(|&b| b == 0)?].to_vec()).ok()
        };
        Some(Self {
            names: entries.iter().filter(|entry| entry.0 == 1).filter_map(|entry| text(entry.1)).collect(),
            rpath: value(15).and_then(text),
            runpath: value(29).and_then(text),
        })
    }
}

fn part(file: &File, offset: u64, length: u64) -> Option<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(length).ok().filter(|_| length <= MAX_PART)?];
    file.read_exact_at(&mut bytes, offset).ok()?;
    Some(bytes)
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn long(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The closure of this program contains what the loader has opened for this process.
    #[test]
    fn what_is_found_is_what_the_loader_opens() {
        let loader = Loader::of_system(Vec::new());
        let found = loader.closure([std::env::current_exe().unwrap()]);
        let found: BTreeSet<PathBuf> = found.iter().map(|path| path.canonicalize().unwrap()).collect();
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let loaded: BTreeSet<&str> = maps
            .lines()
            .filter_map(|line| line.split_whitespace().nth(5))
            .filter(|p| p.contains(".so"))
            .collect();
        assert!(loaded.iter().any(|path| path.contains("libc.so")), "{loaded:?}");
        for path in loaded {
            assert!(found.contains(Path::new(path)), "{path} is not among {found:?}");
        }
    }

    #[test]
    fn a_path_of_the_object_comes_before_the_system() {
        assert_eq!(
            paths("$ORIGIN/../lib:/opt/x::rel", Path::new("/a/b")),
            [PathBuf::from("/a/b/../lib"), PathBuf::from("/opt/x")]
        );
    }

    #[test]
    fn what_is_no_object_or_damaged_has_no_needs() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.so");
        let whole = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        for bytes in [
            &b""[..],
            b"\x7fELF",
            b"not an object, but long enough to have a header of sixty-four bytes or more",
        ] {
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(Needs::of(&File::open(&path).unwrap()), None);
        }
        for at in 0..64 {
            let mut bytes = whole[..whole.len().min(4096)].to_vec();
            bytes[at] ^= 0xff;
            std::fs::write(&path, bytes).unwrap();
            let _ = Needs::of(&File::open(&path).unwrap());
        }
        assert_eq!(read_cache(b"glibc-ld.so.cache1.1\xff\xff\xff\xff"), None);
    }
}
