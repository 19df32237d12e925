//! Static checks of a library file, before any of its code runs: reasons why it cannot be used.
//!
//! Once the dynamic linker runs a library's constructors, any error reported by this process may be
//! forged by the library. So that a library cannot put the blame on its installer, defects of the
//! file are detected beforehand ([`doubts`]), by reading it. The result decides nothing: the linker
//! has the final say, and a doubt that it does not share has no effect.
//!
//! The format is defined by the System V ABI (gABI, chapters 4 and 5) and GNU's hash table.

use crate::library::{Broken, Wanted};
use std::collections::HashSet;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Maximum number of libraries visited when dependencies are followed.
const MAX_LIBRARIES: usize = 512;

/// Longest name that is read, in bytes.
const MAX_NAME: usize = 1024;

/// Maximum number of table entries read; a hash chain ends long before.
const MAX_ENTRIES: u64 = 4096;

/// Directories that the linker searches besides its cache.
const DIRECTORIES: &[&str] = &[
    "/lib/x86_64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu",
    "/lib/aarch64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/lib64",
    "/usr/lib64",
    "/lib",
    "/usr/lib",
    "/usr/local/lib",
];

#[cfg(target_arch = "x86_64")]
const MACHINE: u16 = 62;
#[cfg(target_arch = "aarch64")]
const MACHINE: u16 = 183;

/// Reasons why a library cannot be loaded or used. `path` is the file, or none when the linker is
/// to find one by the names; `needs` are loaded before it.
pub(crate) fn doubts(wanted: &Wanted, path: Option<&Path>, needs: &[PathBuf]) -> Vec<Broken> {
    let cache = Cache::read();
    let file = match path {
        Some(path) => Some(path.to_owned()),
        None => wanted.names.iter().find_map(|name| cache.find(name)),
    };
    let Some(image) = file.as_deref().and_then(Image::read) else { return vec![Broken::Missing] };
    let mut found = Vec::new();
    // Dependencies of the system's own libraries are ensured by its package manager.
    let given = needs.iter().chain(path.map(|_| file.as_ref()).into_iter().flatten());
    if needs.iter().any(|need| Image::read(need).is_none()) || lacks_any(given, &cache) {
        found.push(Broken::Missing);
    }
    if wanted.functions.iter().any(|function| image.has(function) == Some(false)) {
        found.push(Broken::Symbol);
    }
    let named = image.soname.as_deref().or(file.as_deref().and_then(|f| f.file_name()?.to_str()));
    if named.and_then(|name| (wanted.is_old)(name)) == Some(true) {
        found.push(Broken::Version);
    }
    found
}

/// The number after `.so.` in a library's name.
pub(crate) fn number(name: &str, stem: &str) -> Option<u64> {
    name.strip_prefix(stem)?.split('.').next()?.parse().ok()
}

/// Whether a direct or indirect dependency of these libraries cannot be found.
fn lacks_any<'a>(roots: impl Iterator<Item = &'a PathBuf>, cache: &Cache) -> bool {
    let mut pending: Vec<PathBuf> = roots.cloned().collect();
    let images: Vec<Image> = pending.iter().filter_map(|path| Image::read(path)).collect();
    // The linker does not search again for a name that is already loaded.
    let mut known: HashSet<String> = images.into_iter().filter_map(|image| image.soname).collect();
    let mut seen = 0;
    while let Some(path) = pending.pop() {
        seen += 1;
        let Some(image) = Image::read(&path).filter(|_| seen <= MAX_LIBRARIES) else { continue };
        for name in image.needed.iter().filter(|name| known.insert((*name).clone())) {
            match image.beside(name, &path).or_else(|| cache.find(name)) {
                Some(found) => pending.push(found),
                None => return true,
            }
        }
    }
    false
}

/// The headers and dynamic section of the file.
struct Image {
    file: File,
    /// Segments: address, offset in the file, size in the file.
    segments: Vec<[u64; 3]>,
    soname: Option<String>,
    needed: Vec<String>,
    /// Directories in which its dependencies are searched first.
    run_path: Vec<String>,
    symbols: Option<u64>,
    strings: u64,
    hash: Option<u64>,
}

impl Image {
    /// Reads a shared library for this machine; none for any other file.
    fn read(path: &Path) -> Option<Self> {
        let file = File::open(path).ok().filter(|file| file.metadata().is_ok_and(|m| m.is_file()))?;
        let head: [u8; 64] = bytes(&file, 0)?;
        // 64-bit, little-endian, a shared object.
        let is_ours =
            head.starts_with(b"\x7fELF\x02\x01") && u16_at(&head, 16) == 3 && u16_at(&head, 18) == MACHINE;
        let (table, size, count) =
            (u64_at(&head, 32), u64::from(u16_at(&head, 54)), u64::from(u16_at(&head, 56)));
        if !is_ours || size != 56 {
            return None;
        }
        let (mut segments, mut dynamic) = (Vec::new(), None);
        let headers = part(&file, table, count * size)?;
        for entry in headers.chunks_exact(56) {
            let [offset, address, length] = [u64_at(entry, 8), u64_at(entry, 16), u64_at(entry, 32)];
            match u32::from_le_bytes([entry[0], entry[1], entry[2], entry[3]]) {
                1 => segments.push([address, offset, length]),
                2 => dynamic = Some((offset, length)),
                _ => {}
            }
        }
        let image = Self {
            file,
            segments,
            soname: None,
            needed: vec![],
            run_path: vec![],
            symbols: None,
            strings: 0,
            hash: None,
        };
        image.with_dynamic(dynamic?)
    }

    fn with_dynamic(mut self, (offset, length): (u64, u64)) -> Option<Self> {
        let (mut needed, mut soname, mut paths) = (Vec::new(), None, Vec::new());
        let entries = part(&self.file, offset, 16 * (length / 16).min(MAX_ENTRIES))?;
        for entry in entries.chunks_exact(16) {
            let value = u64_at(entry, 8);
            match u64_at(entry, 0) {
                0 => break,
                1 => needed.push(value),
                5 => self.strings = self.offset(value)?,
                6 => self.symbols = self.offset(value),
                14 => soname = Some(value),
                15 | 29 => paths.push(value),
                0x6fff_fef5 => self.hash = self.offset(value),
                _ => {}
            }
        }
        self.soname = soname.and_then(|at| self.string(at));
        self.needed = needed.into_iter().filter_map(|at| self.string(at)).collect();
        let paths: Vec<String> = paths.into_iter().filter_map(|at| self.string(at)).collect();
        self.run_path = paths.iter().flat_map(|list| list.split(':')).map(str::to_owned).collect();
        Some(self)
    }

    /// The file offset of an address.
    fn offset(&self, address: u64) -> Option<u64> {
        let [start, offset, _] = *self
            .segments
            .iter()
            .find(|[start, _, length]| address.checked_sub(*start).is_some_and(|at| at < *length))?;
        offset.checked_add(address - start)
    }

    /// A string from the string table.
    fn string(&self, at: u64) -> Option<String> {
        let mut text = vec![0; MAX_NAME];
        let length = self.file.read_at(&mut text, self.strings.checked_add(at)?).ok()?;
        let end = text[..length].iter().position(|&byte| byte == 0)?;
        text.truncate(end);
        String::from_utf8(text).ok()
    }

    /// Whether it defines a function; none if its tables do not say.
    fn has(&self, name: &str) -> Option<bool> {
        let (symbols, table) = (self.symbols?, self.hash?);
        let head: [u8; 16] = bytes(&self.file, table)?;
        let word =
            |at: usize| u64::from(u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]));
        let (buckets, first, bloom) = (word(0), word(4), word(8));
        let hash = name.bytes().fold(5381u32, |hash, byte| hash.wrapping_mul(33).wrapping_add(byte.into()));
        let bucket_table = table.checked_add(16)?.checked_add(bloom.checked_mul(8)?)?;
        let chains = bucket_table.checked_add(buckets.checked_mul(4)?)?;
        let bucket = u64::from(hash).checked_rem(buckets)?;
        let begin = u64::from(u32::from_le_bytes(bytes(&self.file, bucket_table.checked_add(4 * bucket)?)?));
        if begin < first {
            return Some(false);
        }
        for symbol in begin..begin + MAX_ENTRIES {
            let chain = u32::from_le_bytes(bytes(&self.file, chains.checked_add(4 * (symbol - first))?)?);
            if chain | 1 == hash | 1 && self.is_named(symbols.checked_add(24 * symbol)?, name)? {
                return Some(true);
            }
            if chain & 1 == 1 {
                return Some(false);
            }
        }
        None
    }

    /// Whether the symbol at this offset has the name and is defined here.
    fn is_named(&self, at: u64, name: &str) -> Option<bool> {
        let symbol: [u8; 24] = bytes(&self.file, at)?;
        let text = u32::from_le_bytes([symbol[0], symbol[1], symbol[2], symbol[3]]);
        Some(u16_at(&symbol, 6) != 0 && self.string(text.into())? == name)
    }

    /// Finds a dependency in the directories of its run path.
    fn beside(&self, name: &str, own: &Path) -> Option<PathBuf> {
        let origin = own.parent()?.to_str()?;
        let directories =
            self.run_path.iter().map(|d| d.replace("${ORIGIN}", origin).replace("$ORIGIN", origin));
        directories.map(|directory| Path::new(&directory).join(name)).find(|path| path.is_file())
    }
}

/// The linker's cache: names with their files.
struct Cache(Vec<u8>);

impl Cache {
    fn read() -> Self {
        Self(std::fs::read("/etc/ld.so.cache").unwrap_or_default())
    }

    /// The file for a name, or for a path.
    fn find(&self, name: &str) -> Option<PathBuf> {
        if name.contains('/') {
            return Some(PathBuf::from(name)).filter(|path| path.is_file());
        }
        let usual = || DIRECTORIES.iter().map(|d| Path::new(d).join(name)).find(|path| path.is_file());
        self.listed(name).filter(|path| path.is_file()).or_else(usual)
    }

    /// In the format of glibc 2.2 and later (`struct cache_file_new`), alone or after the older
    /// format: a header of 48 bytes, then entries of 24 bytes.
    fn listed(&self, name: &str) -> Option<PathBuf> {
        const MAGIC: &[u8] = b"glibc-ld.so.cache1.1";
        let start = self.0.windows(MAGIC.len()).position(|window| window == MAGIC)?;
        let cache = &self.0[start..];
        let word = |at: usize| Some(u32::from_le_bytes(cache.get(at..at + 4)?.try_into().ok()?) as usize);
        let text = |at: usize| cache.get(at..)?.split(|&byte| byte == 0).next();
        let count = word(20)?.min(cache.len() / 24);
        let listed = (0..count)
            .map(|index| 48 + 24 * index)
            .find(|at| word(at + 4).and_then(text).is_some_and(|key| key == name.as_bytes()))?;
        let path = std::str::from_utf8(word(listed + 8).and_then(text)?).ok()?;
        Some(PathBuf::from(path))
    }
}

fn bytes<const N: usize>(file: &File, at: u64) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    file.read_exact_at(&mut bytes, at).ok()?;
    Some(bytes)
}

/// A part of a file; `length` is bounded by the caller.
fn part(file: &File, at: u64, length: u64) -> Option<Vec<u8>> {
    let mut part = vec![0; usize::try_from(length).ok()?];
    file.read_exact_at(&mut part, at).ok()?;
    Some(part)
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIBM: Wanted = Wanted {
        library: "libm",
        names: &["libnowhere.so.9", "libm.so.6"],
        functions: &["cos", "sin"],
        supported: "any",
        is_old: |name| number(name, "libm.so.").map(|number| number < 6),
    };

    #[test]
    fn a_good_library_raises_no_doubt() {
        assert_eq!(doubts(&LIBM, None, &[]), []);
        let path = Cache::read().find("libm.so.6").unwrap();
        assert_eq!(doubts(&LIBM, Some(&path), std::slice::from_ref(&path)), []);
    }

    #[test]
    fn what_is_wrong_with_a_file_is_seen() {
        let missing = Path::new("/nonexistent/libm.so");
        assert_eq!(doubts(&LIBM, Some(missing), &[]), [Broken::Missing]);
        assert_eq!(doubts(&LIBM, Some(Path::new("/etc/passwd")), &[]), [Broken::Missing]);
        assert_eq!(doubts(&LIBM, None, &[missing.to_owned()]), [Broken::Missing]);
        let lacking = Wanted { functions: &["cos", "aiNothing"], ..LIBM };
        assert_eq!(doubts(&lacking, None, &[]), [Broken::Symbol]);
        let old = Wanted { is_old: |name| number(name, "libm.so.").map(|number| number < 7), ..LIBM };
        assert_eq!(doubts(&old, None, &[]), [Broken::Version]);
    }

    #[test]
    fn numbers_are_read_from_names() {
        assert_eq!(number("libassimp.so.5", "libassimp.so."), Some(5));
        assert_eq!(number("libgdal.so.32.3.6.2", "libgdal.so."), Some(32));
        assert_eq!(number("double.so", "libassimp.so."), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Reading a library with arbitrary damage terminates.
        #[test]
        fn a_damaged_file_is_no_harm(at in 0usize..4096, byte in any::<u8>(), cut in 0usize..40_000) {
            let path = Cache::read().find("libm.so.6").unwrap();
            let mut content = std::fs::read(path).unwrap();
            content[at] = byte;
            content.truncate(content.len().saturating_sub(cut * 20).max(100));
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), content).unwrap();
            let _ = doubts(&LIBM, Some(file.path()), &[]);
        }
    }
}
