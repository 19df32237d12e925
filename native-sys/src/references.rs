//! Files that an input names in another spelling than they have.
//!
//! A model names its materials and textures as they were named on the machine of its author: with
//! backslashes, percent-encoded, in the encoding of that machine, in another case or composition.
//! A name that does not exist is compared with the files beneath the directory of the input, and a
//! file is taken if it is the only one that the name can mean.

use cadmill_core::domain::text::{Charset, Evidence};
use icu_normalizer::ComposingNormalizerBorrowed;
use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Files and directories of a directory that are considered; of more, none is.
const MAX_FILES: usize = 20_000;

/// Directories below one another that are searched.
const MAX_DEPTH: usize = 32;

/// What a name means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// This file, by its path relative to the directory.
    File(PathBuf),
    /// Nothing beneath the directory.
    Nothing,
    /// Several files, of which none is the right one.
    Several,
    /// A file outside of the directory.
    Outside,
}

/// The files beneath a directory.
#[derive(Debug, Default)]
pub(crate) struct References {
    /// By the keys of their names.
    files: HashMap<String, Vec<PathBuf>>,
    /// The keys of the names, by the last part of each.
    by_last: HashMap<String, Vec<String>>,
}

impl References {
    /// Lists the files beneath a directory. Links are not followed.
    pub(crate) fn of(directory: &Path) -> Self {
        let mut all = Self::default();
        let (mut pending, mut seen) = (vec![(directory.to_owned(), PathBuf::new(), 0)], 0);
        while let Some((directory, relative, depth)) = pending.pop() {
            for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
                seen += 1;
                // Of a part of the files, the only one may not be the only one.
                if seen > MAX_FILES {
                    return Self::default();
                }
                let Ok(kind) = entry.file_type() else { continue };
                let path = relative.join(entry.file_name());
                if kind.is_dir() && depth < MAX_DEPTH {
                    pending.push((entry.path(), path, depth + 1));
                } else if kind.is_file() {
                    all.add(path);
                }
            }
        }
        all
    }

    fn add(&mut self, path: PathBuf) {
        let key = key(&path.to_string_lossy());
        let last = key.rsplit('/').next().unwrap_or_default().to_owned();
        let files = self.files.entry(key.clone()).or_default();
        if files.is_empty() {
            self.by_last.entry(last).or_default().push(key);
        }
        files.push(path);
    }

    /// What a name means that leads out of the directory, as one on the machine of the author: the
    /// file whose path ends as the name does, with as many parts as any. Of several, the one that
    /// lies in `beside` is taken, as libraries do.
    pub(crate) fn tail(&self, name: &[u8], beside: &Path) -> Meaning {
        let mut best: (usize, Vec<&PathBuf>) = (0, Vec::new());
        for spelling in spellings(name) {
            let wanted = key(&spelling);
            let wanted: Vec<&str> =
                wanted.split('/').filter(|part| !matches!(*part, "" | "." | "..")).collect();
            let Some(last) = wanted.last() else { continue };
            for full in self.by_last.get(*last).into_iter().flatten() {
                let same = full.rsplit('/').zip(wanted.iter().rev()).take_while(|(a, b)| a == *b).count();
                if same > best.0 {
                    best = (same, Vec::new());
                }
                if same == best.0 {
                    let files = self.files.get(full).into_iter().flatten();
                    best.1.extend(files.filter(|file| !best.1.contains(file)).collect::<Vec<_>>());
                }
            }
        }
        let near: Vec<&&PathBuf> = best.1.iter().filter(|file| file.parent() == Some(beside)).collect();
        match (best.1.as_slice(), near.as_slice()) {
            ([], _) => Meaning::Outside,
            ([one], _) => Meaning::File((*one).clone()),
            (_, [one]) => Meaning::File((**one).clone()),
            _ => Meaning::Several,
        }
    }

    /// What a name, relative to the directory, means.
    pub(crate) fn meaning(&self, name: &[u8]) -> Meaning {
        let mut taken: Vec<&PathBuf> = Vec::new();
        let mut outside = false;
        for spelling in spellings(name) {
            match plain(&spelling) {
                Some(path) => {
                    for file in self.files.get(&key(&path)).into_iter().flatten() {
                        if !taken.contains(&file) {
                            taken.push(file);
                        }
                    }
                }
                None => outside = true,
            }
        }
        match taken.as_slice() {
            [one] => Meaning::File((*one).clone()),
            [] if outside => Meaning::Outside,
            [] => Meaning::Nothing,
            _ => Meaning::Several,
        }
    }
}

/// The texts that a name can be: with `/` as the separator, decoded, and percent-decoded. Each part
/// is decoded by itself: a library puts the name in the input behind a directory in UTF-8.
fn spellings(name: &[u8]) -> Vec<String> {
    let parts = || name.split(|byte| *byte == b'/' || *byte == b'\\');
    let join = |parts: Vec<String>| parts.join("/");
    let mut spellings = vec![join(parts().map(text).collect())];
    if name.contains(&b'%') {
        let decoded = parts().map(|part| text(&percent_decoded(part)).replace('\\', "/"));
        spellings.push(join(decoded.collect()));
    }
    spellings
}

fn text(bytes: &[u8]) -> String {
    let mut evidence = Evidence::new(None);
    evidence.see(bytes);
    let charset = evidence.only().unwrap_or(Charset::CP949);
    charset.decode(bytes).unwrap_or_else(|| String::from_utf8_lossy(bytes).into_owned())
}

/// The path without `.` and `..`, as it is if it leads out of the directory.
pub(crate) fn normal(path: &Path) -> PathBuf {
    path.to_str().and_then(plain).map_or_else(|| path.to_owned(), PathBuf::from)
}

/// The name without `.` and `..`; `None` if it is absolute or leads out of the directory.
fn plain(name: &str) -> Option<String> {
    let is_drive = name.as_bytes().get(1) == Some(&b':');
    if name.starts_with('/') || is_drive {
        return None;
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// A form that is equal for names that differ in case and composition only.
fn key(name: &str) -> String {
    let normalizer = ComposingNormalizerBorrowed::new_nfc();
    normalizer.normalize(&normalizer.normalize(name).to_lowercase()).into_owned()
}

/// RFC 3986, 2.1. A `%` that two hexadecimal digits do not follow stays.
fn percent_decoded(name: &[u8]) -> Vec<u8> {
    let digit = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    let (mut decoded, mut at) = (Vec::new(), 0);
    while at < name.len() {
        match (name[at], digit(name.get(at + 1)), digit(name.get(at + 2))) {
            (b'%', Some(high), Some(low)) => {
                // Two digits are at most 255.
                decoded.push((high * 16 + low) as u8);
                at += 3;
            }
            (byte, ..) => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    decoded
}

/// A name as it is shown.
pub(crate) fn shown(name: &[u8]) -> String {
    name.split(|byte| *byte == b'/').map(text).collect::<Vec<_>>().join("/")
}

/// A path as a name of the input.
pub(crate) fn name_of(path: &Path) -> &[u8] {
    path.as_os_str().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_means_the_only_file_that_it_can_mean() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["tex", "나무"] {
            std::fs::create_dir_all(directory.path().join(name)).unwrap();
        }
        for name in ["나무/도로.mtl", "tex/Wood 1.png", "도로.mtl", "é.png", "a.png", "A.png", "100%.png"]
        {
            std::fs::write(directory.path().join(name), "x").unwrap();
        }
        let references = References::of(directory.path());
        let file = |name: &str| Meaning::File(name.into());
        for (name, expected) in [
            (&b"tex\\Wood 1.png"[..], file("tex/Wood 1.png")),
            (b"TEX/wood%201.PNG", file("tex/Wood 1.png")),
            (b"./tex/../tex/wood 1.png", file("tex/Wood 1.png")),
            (b"\xb5\xb5\xb7\xce.mtl", file("도로.mtl")),
            (b"\xeb\x82\x98\xeb\xac\xb4/\xb5\xb5\xb7\xce.mtl", file("나무/도로.mtl")),
            ("도로.mtl".as_bytes(), file("도로.mtl")),
            ("도로.mtl".as_bytes(), file("도로.mtl")),
            ("E\u{301}.png".as_bytes(), file("é.png")),
            (b"100%.png", file("100%.png")),
            (b"a.PNG", Meaning::Several),
            (b"b.png", Meaning::Nothing),
            (b"../a.png", Meaning::Outside),
            (b"tex\\..\\..\\a.png", Meaning::Outside),
            (b"C:\\tex\\a.png", Meaning::Outside),
            (b"/etc/passwd", Meaning::Outside),
            (b"%2e%2e/a.png", Meaning::Outside),
            (b"", Meaning::Nothing),
        ] {
            assert_eq!(references.meaning(name), expected, "{}", String::from_utf8_lossy(name));
        }
    }

    #[test]
    fn a_name_of_another_machine_means_the_file_with_the_longest_end_of_it() {
        let directory = tempfile::tempdir().unwrap();
        for name in [
            "tex/a.png",
            "old/tex/a.png",
            "old/b.png",
            "나무.png",
            "d/c.png",
            "e/c.png",
            "f/d.png",
            "F/D.png",
        ] {
            let path = directory.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "x").unwrap();
        }
        let references = References::of(directory.path());
        let file = |name: &str| Meaning::File(name.into());
        for (name, beside, expected) in [
            (&b"C:\\old\\tex\\a.png"[..], "", file("old/tex/a.png")),
            (b"C:\\Users\\kim\\B.png", "", file("old/b.png")),
            (b"/home/kim/%EB%82%98%EB%AC%B4.png", "", file("나무.png")),
            (b"D:\\\xb3\xaa\xb9\xab.png", "", file("나무.png")),
            (b"../../e/c.png", "", file("e/c.png")),
            (b"C:\\c.png", "", Meaning::Several),
            (b"C:\\c.png", "d", file("d/c.png")),
            (b"C:\\f\\d.png", "", Meaning::Several),
            (b"/etc/passwd", "", Meaning::Outside),
            (b"C:\\", "", Meaning::Outside),
            (b"..", "", Meaning::Outside),
        ] {
            let meaning = references.tail(name, Path::new(beside));
            assert_eq!(meaning, expected, "{}", String::from_utf8_lossy(name));
        }
    }
}
