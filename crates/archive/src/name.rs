//! Entry names: relative, plain, and the same on every system.

use super::encoding::nfc;
use crate::entry_error::{EntryError, reorders};
use cadmill_core::domain::failure::FailureCode;
use cadmill_core::domain::limits::ArchiveLimits;
use icu_casemap::CaseMapperBorrowed;
use std::collections::HashMap;

/// The name of the directory of the archive itself: below it is everything, and it is never created.
pub(super) const ROOT: &str = "/";

/// The name of an entry by a decoded name that may be spelt in other ways. It has yet to be checked.
///
/// - `/` and `./` are the archive itself: [`ROOT`]. `.` and `\` are not: `unzip` makes a directory `_`
///   of the one, and 7-Zip a file of the other.
/// - `\` is the separator in a name without `/`, whatever system the entry declares: programs on
///   Windows declare Unix too. If a name has both, it stays, and the archive is refused.
/// - `./` at the beginning is dropped, once.
pub(super) fn of_entry(decoded: &str) -> String {
    if decoded == ROOT || decoded == "./" {
        return ROOT.to_owned();
    }
    let name = match decoded.len() > 1 && !decoded.contains('/') {
        true => decoded.replace('\\', "/"),
        false => decoded.to_owned(),
    };
    match name.strip_prefix("./") {
        // What was relative does not become absolute.
        Some(rest) if !rest.starts_with('/') => rest.to_owned(),
        _ => name,
    }
}

/// Checks a decoded name, so that it can be created in the workspace.
///
pub(super) fn check(name: &str, limits: &ArchiveLimits) -> Result<(), EntryError> {
    let refuse = |text: &'static str| Err(EntryError::new(FailureCode::ArchiveName, text));
    let escape = |text: &'static str| Err(EntryError::new(FailureCode::ArchivePathEscape, text));
    if name.is_empty() {
        return refuse("has no name");
    }
    if name.len() > limits.name_bytes {
        return refuse("has a name that is too long");
    }
    if name.contains('\\') {
        return escape("has a backslash in its name");
    }
    if name.chars().any(|c| c.is_control() || reorders(c)) {
        return refuse("has control characters in its name");
    }
    let drive = name.as_bytes().get(1) == Some(&b':') && name.as_bytes()[0].is_ascii_alphabetic();
    if name.starts_with('/') || drive {
        return escape("has an absolute name");
    }
    let parts: Vec<&str> = name.strip_suffix('/').unwrap_or(name).split('/').collect();
    if parts.len() > limits.name_depth {
        return refuse("lies too many directories deep");
    }
    if parts.contains(&"..") {
        return escape("has '..' in its name");
    }
    if parts.iter().any(|&part| part.is_empty() || part == ".") {
        return refuse("has an empty part or '.' in its name");
    }
    // `NAME_MAX` of Linux file systems.
    if parts.iter().any(|part| part.len() > 255) {
        return refuse("has a part of more than 255 bytes in its name");
    }
    Ok(())
}

/// The names of an archive to be written, under the rules for archives that are read: cadmill and
/// every other reader can read what cadmill writes.
#[derive(Debug, Default)]
pub struct Names {
    limits: ArchiveLimits,
    /// The files and their parent directories, by [`key`]: the original name, and whether it is a
    /// file.
    taken: HashMap<String, (String, bool)>,
}

impl Names {
    /// Adds the name of a file.
    ///
    pub fn take(&mut self, name: &str) -> Result<(), String> {
        check(name, &self.limits).map_err(|why| why.text().to_owned())?;
        if name.ends_with('/') {
            return Err("has the name of a directory".to_owned());
        }
        // Directories are checked too: `A/x` and `a/y` are in two directories on one system and in
        // the same directory on another.
        let ends = name.match_indices('/').map(|(at, _)| at);
        for directory in ends.map(|at| &name[..at]) {
            let there = self.taken.entry(key(directory)).or_insert_with(|| (directory.to_owned(), false));
            if there.1 || there.0 != directory {
                return Err(
                    "lies in a directory that some systems take for another file or directory".to_owned()
                );
            }
        }
        match self.taken.insert(key(name), (name.to_owned(), true)) {
            None => Ok(()),
            Some(_) => Err("has a name that some systems take for that of another file".to_owned()),
        }
    }
}

/// The name with every character that is not allowed in a path component replaced by `_`. A valid
/// name is not changed.
pub fn fit(part: &str) -> String {
    let is_drive = part.as_bytes().get(1) == Some(&b':') && part.as_bytes()[0].is_ascii_alphabetic();
    let unfit = |(at, c): (usize, char)| {
        c == '/' || c == '\\' || c.is_control() || reorders(c) || (at == 1 && is_drive)
    };
    part.char_indices().map(|(at, c)| if unfit((at, c)) { '_' } else { c }).collect()
}

/// A form that is equal for names that some system treats as the same: case-folded, composed,
/// without the trailing slash of a directory, and of each part what is left on every system.
pub(super) fn key(name: &str) -> String {
    let parts: Vec<&str> = name.trim_end_matches('/').split('/').map(kept).collect();
    nfc(&CaseMapperBorrowed::new().fold_string(&parts.join("/")))
}

/// A part of a name without what some programs drop of it: Windows drops dots and spaces at its end,
/// and takes what follows a colon for a stream of the same file; `unzip` drops the version numbers of
/// VMS, such as `;1`. A part of which nothing would be left stays.
fn kept(part: &str) -> &str {
    let mut kept = part.split(':').next().unwrap_or_default();
    loop {
        let ended = kept.trim_end_matches(['.', ' ']);
        let shorter = match ended.rsplit_once(';') {
            Some((rest, version)) if version.bytes().all(|byte| byte.is_ascii_digit()) => rest,
            _ => ended,
        };
        match shorter {
            "" => return if kept.is_empty() { part } else { kept },
            same if same == kept => return kept,
            shorter => kept = shorter,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cadmill_core::domain::failure::Failure;

    fn judged(name: &str, limits: &ArchiveLimits) -> Result<(), Failure> {
        check(name, limits).map_err(|why| why.of(name))
    }

    #[test]
    fn plain_names_pass() {
        for name in ["a", "a/b.shp", "dir/", "Straßen/고객.shp", "..a/b..", "a b/c'd", "ab:c", "-"] {
            assert!(judged(name, &ArchiveLimits::default()).is_ok(), "{name}");
        }
    }

    #[test]
    fn a_name_has_one_spelling() {
        for (decoded, name) in [
            ("a/b", "a/b"),
            ("./a/b", "a/b"),
            (".a", ".a"),
            ("a/./b", "a/./b"),
            ("././a", "./a"),
            (".//a", ".//a"),
            ("./../a", "../a"),
            ("/", ROOT),
            ("./", ROOT),
            (".", "."),
            ("", ""),
            ("a\\b\\", "a/b/"),
            (".\\a", "a"),
            ("\\", "\\"),
            (".\\", ""),
            ("a\\b", "a/b"),
            ("a\\b/c", "a\\b/c"),
            ("./a\\b", "a\\b"),
            ("C:\\a", "C:/a"),
            ("..\\a", "../a"),
        ] {
            assert_eq!(of_entry(decoded), name, "{decoded:?}");
        }
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for name in ["/", "/etc/passwd", "../a", "a/../b", "a/..", "a\\b", "C:/a", "c:a", "//a"] {
            let failure = judged(name, &ArchiveLimits::default()).unwrap_err();
            assert_eq!(failure.code, FailureCode::ArchivePathEscape, "{name:?}");
        }
    }

    #[test]
    fn names_that_no_file_should_have_are_refused() {
        for name in
            ["", "./a", "a/.", "a//b", "a\nb", "a\0", "a\x1b[0m", "gnp.\u{202e}jbo", "a\u{200b}", "\u{feff}a"]
        {
            let failure = judged(name, &ArchiveLimits::default()).unwrap_err();
            assert_eq!(failure.code, FailureCode::ArchiveName, "{name:?}");
            assert!(
                !failure.message.contains(|c: char| c.is_control() || reorders(c)),
                "{:?}",
                failure.message
            );
        }
    }

    #[test]
    fn limits_hold_at_the_limit_and_not_beyond() {
        let limits = ArchiveLimits { name_bytes: 300, name_depth: 3, ..ArchiveLimits::default() };
        assert!(judged(&format!("{}/{}", "d".repeat(255), "f".repeat(44)), &limits).is_ok());
        assert!(judged(&format!("{}/{}", "d".repeat(255), "f".repeat(45)), &limits).is_err());
        assert!(judged(&"d".repeat(256), &limits).is_err());
        assert!(judged("a/b/c", &limits).is_ok());
        assert!(judged("a/b/c/d", &limits).is_err());
    }

    #[test]
    fn keys_are_equal_where_some_system_would_see_one_file() {
        for (a, b) in [
            ("A", "a"),
            ("d", "D/"),
            ("a", "a;1"),
            ("a;12/B", "a;1/b"),
            ("a;", "a"),
            ("a.b", "a.b."),
            ("a.b", "A.B . ."),
            ("a.b", "a.b:x"),
            ("a.b", "a.b::$DATA"),
            ("a.b", "a.b;1."),
            ("a.b", "a.b.;1 "),
            ("d/a", "d./a"),
            ("d/a", "d:x:y /a"),
            ("Straße", "STRASSE"),
            ("Ⅷ", "ⅷ"),
            ("É", "e\u{301}"),
            ("ﬀ", "ff"),
        ] {
            assert_eq!(key(&nfc(a)), key(&nfc(b)), "{a} {b}");
        }
        assert_ne!(key("a"), key("á"));
        for (a, b) in [("a", "a;b"), ("a", ".a"), ("a b", "ab"), ("a.b", "a"), (" a", "a"), ("...", ":x")] {
            assert_ne!(key(a), key(b), "{a} {b}");
        }
        assert_eq!(["...", " ", ":x", ";1"].map(key), ["...", " ", ":x", ";1"]);
    }

    fn taken(names: &[&str]) -> Result<(), String> {
        let mut all = Names::default();
        names.iter().try_for_each(|name| all.take(name))
    }

    #[test]
    fn names_that_are_written_obey_the_rules_for_those_that_are_read() {
        for names in
            [&["a", "b", "d/a", "d/b", "d/e/f"][..], &["Straße", "d/Straße"], &["e\u{301}"], &["ab:c"]]
        {
            assert_eq!(taken(names), Ok(()), "{names:?}");
        }
        for names in [
            &["a\\b"][..],
            &["C:x"],
            &["/x"],
            &["../x"],
            &["d/../x"],
            &["./x"],
            &["a\nb"],
            &["d\x1b/b"],
            &["a\u{202e}b"],
            &["x/"],
            &[""],
            &["a", "a"],
            &["a", "A"],
            &["é", "e\u{301}"],
            &["a", "A/b"],
            &["A/b", "a"],
            &["D/a", "d/b"],
            &["d/E/x", "d/e/y"],
            &["a", "a;1"],
            &["a", "a."],
            &["a:x", "a"],
            &["d./a", "d/b"],
            &["d ", "d/b"],
        ] {
            assert!(taken(names).is_err(), "{names:?}");
        }
    }

    #[test]
    fn a_part_that_is_fit_stays_as_it_is_and_others_become_so() {
        for part in ["a", "Straße.shp", "고객", "a b'c", "ab:c", "..a", "-"] {
            assert_eq!(fit(part), part);
        }
        let strange = ["a\\b", "C:x", "c:", "a\nb", "\x1b[0m", "a\u{202e}b", "a/b", "\u{feff}"];
        for part in strange {
            assert!(taken(&[&fit(part)]).is_ok() && fit(part) != part, "{part:?}");
        }
    }
}
