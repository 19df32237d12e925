//! Files that belong to the root file of a job: materials and textures, named by it.
//!
//! Both roads to a mesh library look for them here, the native one and the converter in Java, so
//! that both find the same files and report the same. A file is looked for beside the root, as a
//! model means it, beneath the directory of the input, and beside a material library (.mtl) that was
//! read from elsewhere, first under the very name and then in the spellings of [`crate::references`]. What a result refers to is copied beside it.

use crate::engine::{Events, Level};
use crate::files::{Directory, Stream};
use crate::references::{Meaning, References, name_of, normal, shown};
use cadmill_archive::Names;
use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// Bytes that are copied at once.
const PIECE: usize = 256 << 10;

/// The files beneath the directory of an input.
pub(crate) struct Companions {
    base: PathBuf,
    /// The directory of the root file, relative to `base`.
    beside: PathBuf,
    directory: io::Result<Directory>,
    /// The files beneath `base`, once one is looked for.
    references: OnceLock<References>,
    events: Arc<dyn Events>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Names that were reported.
    reported: HashSet<Vec<u8>>,
    lines: u64,
    /// The directories of material libraries that do not lie beside the root, relative to the base.
    /// Their own names are meant from there.
    libraries: Vec<PathBuf>,
    /// The names of the result, once a file is copied there.
    taken: Option<Names>,
    /// The files that were copied: name in the result, and file of the input.
    copied: HashMap<String, PathBuf>,
}

/// A file that a name means.
struct Located {
    file: PathBuf,
    /// The name as it was looked for, if the file has another one.
    respelt: Option<PathBuf>,
}

impl Companions {
    pub(crate) fn of(input: &Path, input_dir: &Path, events: Arc<dyn Events>) -> Self {
        let relative = input.strip_prefix(input_dir).unwrap_or(input);
        Self {
            base: input_dir.to_owned(),
            beside: relative.parent().unwrap_or(Path::new("")).to_owned(),
            directory: Directory::open(input_dir),
            references: OnceLock::new(),
            events,
            state: Mutex::default(),
        }
    }

    /// Opens a file beneath the directory under its very name.
    pub(crate) fn open(&self, path: &Path, mode: &str) -> io::Result<Stream> {
        let directory = self.directory.as_ref().map_err(|e| io::Error::from(e.kind()))?;
        let opened = Stream::open(directory, path, mode)?;
        if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("mtl")) {
            self.remember_library(path);
        }
        Ok(opened)
    }

    fn remember_library(&self, path: &Path) {
        let relative = path.strip_prefix(&self.base).unwrap_or(path);
        let directory = relative.parent().unwrap_or(Path::new("")).to_owned();
        let mut state = self.lock();
        if directory != self.beside && !state.libraries.contains(&directory) {
            state.libraries.push(directory);
        }
    }

    /// Looks up a name that no file has exactly, and returns the matching path relative to the
    /// directory. Reports the match, or why it was ambiguous or outside. A missing file is not
    /// reported, because libraries probe for many optional files.
    pub(crate) fn find(&self, name: &Path) -> Option<PathBuf> {
        let name = name.strip_prefix(&self.base).unwrap_or(name);
        let libraries = self.lock().libraries.clone();
        let rest = name.strip_prefix(&self.beside).unwrap_or(name);
        let others: Vec<PathBuf> = libraries.iter().map(|place| place.join(rest)).collect();
        if let Some(place) = others.iter().find(|place| self.open(place, "rb").is_ok()) {
            return Some(normal(place));
        }
        let places: Vec<PathBuf> = std::iter::once(name.to_owned()).chain(others).collect();
        let (meaning, _) = self.meaning(&places, name_of(rest));
        if let Meaning::File(file) = &meaning {
            self.report_respelt(name, file);
        }
        self.file_or_report(name, meaning)
    }

    /// What a name means that is to be looked up at these places, and the place of it. A name that
    /// leads out of the directory was meant on the machine of the author.
    fn meaning(&self, places: &[PathBuf], name: &[u8]) -> (Meaning, PathBuf) {
        let mut meanings: Vec<(Meaning, &PathBuf)> =
            places.iter().map(|place| (self.references().meaning(name_of(place)), place)).collect();
        let rank = |meaning: &Meaning| match meaning {
            Meaning::File(_) => 0,
            Meaning::Several => 1,
            Meaning::Outside => 2,
            Meaning::Nothing => 3,
        };
        meanings.sort_by_key(|(meaning, _)| rank(meaning));
        match meanings.into_iter().next() {
            Some((Meaning::Outside, place)) => (self.references().tail(name, &self.beside), place.to_owned()),
            Some((meaning, place)) => (meaning, place.to_owned()),
            None => (Meaning::Nothing, PathBuf::new()),
        }
    }

    /// The file that a name in the root file means. Reports why if there is none.
    pub(crate) fn expect(&self, name: &[u8]) -> Option<PathBuf> {
        let located = self.locate(name, true)?;
        if let Some(respelt) = &located.respelt {
            self.report_respelt(respelt, &located.file);
        }
        Some(located.file)
    }

    /// As [`Self::expect`], without reports.
    pub(crate) fn found(&self, name: &[u8]) -> Option<PathBuf> {
        self.locate(name, false).map(|located| located.file)
    }

    /// Copies a file that the result refers to by the name that the root file has for it, so that
    /// it lies beside the result. Reports if that cannot be.
    ///
    /// # Errors
    /// The copy could not be written, or the job was cancelled.
    pub(crate) fn take_along(&self, name: &[u8], output_dir: &Path) -> io::Result<()> {
        let Some(file) = self.expect(name) else { return Ok(()) };
        let place = place_of(name);
        let refused = {
            let mut state = self.lock();
            if state.copied.get(&place) == Some(&file) {
                return Ok(());
            }
            if state.taken.is_none() {
                state.taken = Some(names_of(output_dir));
            }
            let refused = state.taken.as_mut().and_then(|taken| taken.take(&place).err());
            if refused.is_none() {
                state.copied.insert(place.clone(), file.clone());
            }
            refused
        };
        match refused {
            Some(why) => {
                let name = shown(name);
                let line = format!("the input names '{name}', which was not put beside the result: it {why}");
                self.warn(Level::Loss, &line);
                Ok(())
            }
            None => self.copy(&file, &output_dir.join(place)),
        }
    }

    /// Number of warnings.
    pub(crate) fn lines(&self) -> u64 {
        self.lock().lines
    }

    fn locate(&self, name: &[u8], reports: bool) -> Option<Located> {
        let path = Path::new(OsStr::from_bytes(name));
        let libraries = self.lock().libraries.clone();
        let places: Vec<PathBuf> = std::iter::once(self.beside.join(path))
            .chain(libraries.iter().map(|library| library.join(path)))
            .chain(std::iter::once(path.to_owned()))
            .collect();
        if let Some(place) = places.iter().find(|place| self.open(place, "rb").is_ok()) {
            return Some(Located { file: normal(place), respelt: None });
        }
        let (meaning, place) = self.meaning(&places, name);
        if let Meaning::File(file) = meaning {
            // Of a name that leads out, the place says nothing.
            let is_tail = self.references().meaning(name_of(&place)) == Meaning::Outside;
            let respelt = if is_tail { path.to_owned() } else { place };
            return Some(Located { file, respelt: Some(respelt) });
        }
        // A library that looked for it before has made the report.
        let is_new = places.iter().all(|place| !self.lock().reported.contains(name_of(place)));
        if reports && is_new {
            match meaning {
                Meaning::Nothing => self.report(Level::Loss, path, |name| {
                    format!("the input names '{name}', which was not found and is missing in the result")
                }),
                meaning => drop(self.file_or_report(path, meaning)),
            }
        }
        None
    }

    fn references(&self) -> &References {
        self.references.get_or_init(|| References::of(&self.base))
    }

    fn file_or_report(&self, name: &Path, meaning: Meaning) -> Option<PathBuf> {
        match meaning {
            Meaning::File(file) => return Some(file),
            Meaning::Several => self.report(Level::Loss, name, |name| {
                format!("the input names '{name}', which can mean several files; none was read")
            }),
            Meaning::Outside => self.report(Level::Loss, name, |name| {
                format!("the input names '{name}', which lies outside of its directory, and was not read")
            }),
            Meaning::Nothing => {}
        }
        None
    }

    fn report_respelt(&self, name: &Path, file: &Path) {
        self.report(Level::Warning, name, |name| {
            let file = file.display();
            match leads_out(name) {
                true => format!(
                    "the input names '{name}', which lies outside of the directory of the model; '{file}' was read"
                ),
                false => format!("the input names '{name}', and '{file}' was read"),
            }
        });
    }

    /// Reports once about a name.
    fn report(&self, level: Level, name: &Path, line: impl FnOnce(&str) -> String) {
        let is_new = self.lock().reported.insert(name_of(name).to_vec());
        if is_new {
            self.warn(level, &line(&shown(name_of(name))));
        }
    }

    fn warn(&self, level: Level, line: &str) {
        self.lock().lines += 1;
        self.events.log(level, line);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn copy(&self, from: &Path, to: &Path) -> io::Result<()> {
        if let Some(directory) = to.parent() {
            std::fs::create_dir_all(directory)?;
        }
        let mut source = self.open(from, "rb")?;
        let mut target = OpenOptions::new().write(true).create_new(true).open(to)?;
        let mut buffer = vec![0; PIECE];
        loop {
            if self.events.cancelled() {
                return Err(io::ErrorKind::Interrupted.into());
            }
            match source.read(&mut buffer)? {
                0 => return Ok(()),
                read => target.write_all(&buffer[..read])?,
            }
        }
    }
}

/// Whether a name begins above the directory that it is in, or nowhere near it.
fn leads_out(name: &str) -> bool {
    let name = name.replace('\\', "/");
    let is_drive = name.as_bytes().get(1) == Some(&b':');
    name.starts_with('/') || is_drive || name.split('/').any(|part| part == "..")
}

/// The place of a file in the result, which a reader of the result gets from the name in it. Names
/// that no place has are left for the rules of names to refuse.
fn place_of(name: &[u8]) -> String {
    let name = shown(name).replace('\\', "/");
    let parts: Vec<&str> = name.split('/').collect();
    let is_plain = |(at, part): &(usize, &str)| *at == 0 || !part.is_empty();
    let parts = parts.into_iter().enumerate().filter(is_plain).filter(|(_, part)| *part != ".");
    parts.map(|(_, part)| part).collect::<Vec<_>>().join("/")
}

/// The names that a result already has.
fn names_of(output_dir: &Path) -> Names {
    let mut names = Names::default();
    let mut pending = vec![(output_dir.to_owned(), String::new())];
    while let Some((directory, prefix)) = pending.pop() {
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => pending.push((entry.path(), format!("{name}/"))),
                // A name that is refused ends the job when the result is collected.
                _ => drop(names.take(&name)),
            }
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Stage;

    #[derive(Default)]
    struct Lines(Mutex<Vec<String>>);

    impl Events for Lines {
        fn progress(&self, _: Stage, _: f64) {}
        fn log(&self, _: Level, line: &str) {
            self.0.lock().unwrap().push(line.to_owned());
        }
        fn cancelled(&self) -> bool {
            false
        }
    }

    /// What is reported and what lies beside the result after these names were taken along.
    fn taken(files: &[&str], names: &[&[u8]]) -> (Vec<String>, Vec<(String, String)>) {
        let (input, output) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for file in files {
            let path = input.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, file).unwrap();
        }
        std::fs::write(output.path().join("out.obj"), "the result").unwrap();
        let lines = Arc::new(Lines::default());
        let events: Arc<dyn Events> = Arc::clone(&lines) as Arc<dyn Events>;
        let companions = Companions::of(&input.path().join("d/m.obj"), input.path(), events);
        for name in names {
            companions.take_along(name, output.path()).unwrap();
        }
        let mut copies = Vec::new();
        let mut pending = vec![output.path().to_owned()];
        while let Some(directory) = pending.pop() {
            for entry in std::fs::read_dir(directory).unwrap().flatten() {
                if entry.path().is_dir() {
                    pending.push(entry.path());
                } else {
                    let name = entry.path().strip_prefix(output.path()).unwrap().display().to_string();
                    copies.push((name, std::fs::read_to_string(entry.path()).unwrap()));
                }
            }
        }
        copies.sort();
        let lines = lines.0.lock().unwrap().clone();
        assert_eq!(companions.lines(), lines.len() as u64);
        (lines, copies)
    }

    #[test]
    fn files_are_copied_under_the_name_that_the_result_has() {
        for (file, name, place, reported) in [
            ("d/wood.png", &b"wood.png"[..], "wood.png", false),
            ("wood.png", b"./wood.png", "wood.png", false),
            ("d/tex/Wood.png", b"tex\\wood.png", "tex/wood.png", true),
            ("d/wood 1.png", b"wood%201.png", "wood%201.png", true),
            ("d/나무.png", b"\xb3\xaa\xb9\xab.png", "나무.png", true),
        ] {
            let (lines, copies) = taken(&[file], &[name, name]);
            assert_eq!(copies[1..], [(place.to_owned(), file.to_owned())], "{lines:?}");
            assert_eq!(lines.len(), usize::from(reported), "{lines:?}");
        }
    }

    #[test]
    fn what_cannot_be_copied_is_reported() {
        let one = |files: &[&str], name: &[u8]| {
            let (lines, copies) = taken(files, &[name, name]);
            assert_eq!((lines.is_empty(), copies.len()), (false, 1), "{lines:?}");
            lines[0].clone()
        };
        assert!(one(&[], b"gone.png").contains("'gone.png', which was not found"));
        assert!(one(&["d/A.png", "d/a.png"], b"a.PNG").contains("several files"));
        assert!(one(&[], b"../../a.png").contains("'../../a.png', which lies outside"));
        assert!(one(&[], b"C:\\a.png").contains("lies outside"));
        assert!(one(&["a.png", "d/b.png"], b"../a.png").contains("'..' in its name"));
        assert!(one(&["d/OUT.obj"], b"OUT.obj").contains("that of another file"));
        assert!(one(&["d/a\u{202e}.png"], "a\u{202e}.png".as_bytes()).contains("control characters"));
    }

    #[test]
    fn two_files_do_not_become_one() {
        let (lines, copies) = taken(&["d/a.png"], &[b"a.png", b"A.png", b"a.png"]);
        assert_eq!(copies.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["a.png", "out.obj"]);
        assert!(lines.iter().any(|line| line.contains("'A.png', which was not put")), "{lines:?}");
    }
}
