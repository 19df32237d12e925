//! Publishes the output from the workspace to its destination, atomically.
//!
//! The bytes go to an unnamed file in the target directory (`O_TMPFILE`). Once complete, the file
//! is linked under its name and replaces an existing file. If the process is killed at any moment,
//! the name refers to the complete old file or to the complete new file. A kill may also leave the
//! complete file under a hidden name, between linking and renaming where it replaces a file, or, on
//! a file system without `O_TMPFILE`, a hidden partial file. After a power loss the result depends
//! on the file system: nothing is synced, because the input still exists.

use super::{OutputFile, Sink, write_zip};
use crate::digest;
use crate::workspace::Workspace;
use cadmill_core::domain::failure::{Failure, FailureCode};
use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use std::fs::File;
use std::io::{self, Seek};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// The destination of the output.
///
/// The directory existed and was writable when this was made.
#[derive(Debug, Clone)]
pub struct Destination {
    directory: PathBuf,
    /// File name; `None` when it is derived from the input's.
    name: Option<String>,
}

/// A published output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// The file.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
}

impl Sink for Destination {
    type Output = Published;

    fn stem(&self, input_stem: &str, extension: &str) -> String {
        self.stem_of(input_stem, extension)
    }

    fn publish(
        &self,
        files: &[OutputFile],
        main_name: &str,
        zipped: bool,
        _workspace: &Workspace,
    ) -> Result<Published, Failure> {
        self.place(files, main_name, zipped)
    }
}

impl Destination {
    /// `path` is a file to create or replace, or an existing directory. Without `path`, the output
    /// goes to the current directory.
    ///
    /// Verifies by creating and removing a file that the directory is writable, so that a
    /// conversion of an hour does not fail at its end.
    ///
    /// # Errors
    /// `usage.output_directory`, `usage.output_not_writable`, `usage.invalid`.
    pub fn new(path: Option<&Path>) -> Result<Self, Failure> {
        let destination = Self::parse(path)?;
        match Staged::create(&destination.directory) {
            Ok(_) => Ok(destination),
            Err(error) => {
                let shown = destination.directory.display();
                Err(Failure::new(
                    FailureCode::OutputNotWritable,
                    format!("cannot write to the directory {shown}: {error}"),
                ))
            }
        }
    }

    fn parse(path: Option<&Path>) -> Result<Self, Failure> {
        let path = path.unwrap_or(Path::new("."));
        let text = path
            .to_str()
            .ok_or_else(|| Failure::new(FailureCode::UsageInvalid, "the output path is not valid UTF-8"))?;
        // Follows a symbolic link, so that its target is replaced and not the link.
        let real = path.is_symlink().then(|| std::fs::canonicalize(path).ok()).flatten();
        let path = real.as_deref().unwrap_or(path);
        match path.metadata() {
            Ok(there) if there.is_dir() => return Ok(Self { directory: path.to_owned(), name: None }),
            // Replacing /dev/null by a file is a mistake that root can make.
            Ok(there) if !there.is_file() => {
                let message = format!("the output {text} exists and is not a regular file");
                return Err(Failure::new(FailureCode::UsageInvalid, message));
            }
            _ => {}
        }
        let parent = match path.parent() {
            Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
            Some(parent) => parent,
            None => path,
        };
        let missing = if text.ends_with('/') { Some(path) } else { (!parent.is_dir()).then_some(parent) };
        if let Some(missing) = missing {
            let message = format!("the output directory {} does not exist", missing.display());
            return Err(Failure::new(FailureCode::OutputDirectory, message));
        }
        match path.file_name().and_then(|n| n.to_str()) {
            Some(name) => Ok(Self { directory: parent.to_owned(), name: Some(name.to_owned()) }),
            None => Err(Failure::new(FailureCode::UsageInvalid, format!("'{text}' is not a file name"))),
        }
    }

    fn stem_of(&self, input_stem: &str, extension: &str) -> String {
        let Some(name) = &self.name else { return input_stem.to_owned() };
        let mut stem = name.as_str();
        for suffix in [".zip".to_owned(), format!(".{extension}")] {
            let split =
                stem.len().checked_sub(suffix.len()).filter(|&at| at > 0 && stem.is_char_boundary(at));
            if let Some(at) = split
                && stem[at..].eq_ignore_ascii_case(&suffix)
            {
                stem = &stem[..at];
            }
        }
        stem.to_owned()
    }

    /// The path of the output, and whether it is a ZIP archive: if `zipped`, or if the name ends
    /// with `.zip`.
    fn path(&self, main_name: &str, zipped: bool) -> (PathBuf, bool) {
        let mut name = self.name.clone().unwrap_or_else(|| main_name.to_owned());
        let named_zip = name.to_ascii_lowercase().ends_with(".zip");
        if zipped && !named_zip {
            name.push_str(".zip");
        }
        let here = self.directory == Path::new(".");
        let path = if here { PathBuf::from(name) } else { self.directory.join(name) };
        (path, zipped || named_zip)
    }

    /// Begins a file whose content comes from elsewhere, under the requested name or `main_name`.
    /// The name gets `.zip` if `main_name` has it.
    ///
    /// # Errors
    /// `infra.io`.
    pub fn begin(&self, main_name: &str) -> Result<Incoming, Failure> {
        let (path, _) = self.path(main_name, main_name.to_ascii_lowercase().ends_with(".zip"));
        let staged = Staged::create(&self.directory)
            .map_err(|e| Failure::new(FailureCode::Io, format!("writing {}: {e}", path.display())))?;
        Ok(Incoming { staged, directory: self.directory.clone(), path })
    }

    /// Publishes the files under the requested name or `main_name`.
    ///
    /// # Errors
    /// `infra.io`; the destination is unchanged then.
    fn place(&self, files: &[OutputFile], main_name: &str, zipped: bool) -> Result<Published, Failure> {
        let (path, is_zip) = self.path(main_name, zipped);
        let fail = |e: io::Error| Failure::io(format_args!("writing {}", path.display()), &e);
        let mut staged = Staged::create(&self.directory).map_err(fail)?;
        let sha256 = match files {
            [one] if !is_zip => copy_and_digest(one, staged.file()).map_err(fail)?,
            several => {
                write_zip(several, staged.file_mut(), &mut |_| Ok(())).map_err(fail)?;
                digest_of(staged.file()).map_err(fail)?
            }
        };
        let bytes = staged.file().metadata().map_err(fail)?.len();
        staged.persist(&self.directory, &path).map_err(fail)?;
        Ok(Published { path, bytes, sha256 })
    }
}

/// A file that is being received. It has no name until [`Incoming::publish`], and is discarded if
/// dropped before.
#[derive(Debug)]
pub struct Incoming {
    staged: Staged,
    directory: PathBuf,
    path: PathBuf,
}

impl Incoming {
    /// The path that it will have.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file to write to.
    pub fn file(&mut self) -> &mut File {
        self.staged.file_mut()
    }

    /// Gives the file its name, replacing an existing file, and returns the path.
    ///
    /// # Errors
    /// `infra.io`; an existing file is unchanged then.
    pub fn publish(self) -> Result<PathBuf, Failure> {
        let Self { staged, directory, path } = self;
        staged
            .persist(&directory, &path)
            .map_err(|e| Failure::new(FailureCode::Io, format!("writing {}: {e}", path.display())))?;
        Ok(path)
    }
}

/// Copies and digests in parallel: each reads the file, which is in memory, and neither waits for
/// the other.
fn copy_and_digest(source: &OutputFile, target: &File) -> io::Result<String> {
    let (to_copy, to_digest) = (source.open()?, source.open()?);
    std::thread::scope(|scope| {
        let copy = scope.spawn(|| io::copy(&mut &to_copy, &mut &*target));
        let digest = digest::sha256(&to_digest)?;
        copy.join().map_err(|_| io::Error::other("the copying thread has panicked"))??;
        Ok(digest)
    })
}

fn digest_of(file: &File) -> io::Result<String> {
    let mut reader = file;
    reader.rewind()?;
    digest::sha256(reader)
}

/// A file that is being written, without a name or under a hidden one.
#[derive(Debug)]
enum Staged {
    Nameless(File),
    Hidden(NamedTempFile),
}

/// Mode of a published file before the process's umask.
const FILE_MODE: u32 = 0o666;

impl Staged {
    fn create(directory: &Path) -> io::Result<Self> {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        match rustix::fs::open(directory, flags, Mode::from_raw_mode(FILE_MODE)) {
            Ok(file) => Ok(Self::Nameless(File::from(file))),
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::ISDIR | rustix::io::Errno::NOENT) => {
                use std::os::unix::fs::PermissionsExt;
                let permissions = std::fs::Permissions::from_mode(FILE_MODE);
                let hidden = tempfile::Builder::new()
                    .prefix(".cadmill-")
                    .permissions(permissions)
                    .tempfile_in(directory)?;
                Ok(Self::Hidden(hidden))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn file(&self) -> &File {
        match self {
            Self::Nameless(file) => file,
            Self::Hidden(file) => file.as_file(),
        }
    }

    fn file_mut(&mut self) -> &mut File {
        match self {
            Self::Nameless(file) => file,
            Self::Hidden(file) => file.as_file_mut(),
        }
    }

    /// Gives the file its name, replacing an existing file.
    fn persist(self, directory: &Path, path: &Path) -> io::Result<()> {
        match self {
            Self::Hidden(file) => file.persist(path).map(drop).map_err(|e| e.error),
            Self::Nameless(file) => {
                let source = format!("/proc/self/fd/{}", file.as_raw_fd());
                let link = |name: &Path| {
                    rustix::fs::linkat(CWD, source.as_str(), CWD, name, AtFlags::SYMLINK_FOLLOW)
                };
                match link(path) {
                    // linkat(2) does not replace: the complete file is linked under a free name and
                    // moved by rename(2).
                    Err(rustix::io::Errno::EXIST) => {
                        let spare = tempfile::Builder::new()
                            .prefix(".cadmill-")
                            .make_in(directory, |name| Ok(link(name)?))?;
                        spare.persist(path).map_err(|e| e.error)
                    }
                    linked => Ok(linked?),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Folder;

    fn files(directory: &Path, contents: &[(&str, &str)]) -> Vec<OutputFile> {
        contents
            .iter()
            .map(|(name, content)| {
                std::fs::write(directory.join(name), content).unwrap();
                let folder = Folder::unrecorded(directory).unwrap();
                OutputFile { name: (*name).to_owned(), bytes: content.len() as u64, folder }
            })
            .collect()
    }

    fn listing(directory: &Path) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(directory)
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn one_file_replaces_what_was_there() {
        let (source, target) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let path = target.path().join("out.dxf");
        std::fs::write(&path, "old").unwrap();
        let destination = Destination::new(Some(&path)).unwrap();
        assert_eq!(listing(target.path()), ["out.dxf"], "the probe leaves nothing");
        let published =
            destination.place(&files(source.path(), &[("x.dxf", "abc")]), "x.dxf", false).unwrap();
        assert_eq!(published.path, path);
        assert_eq!(published.bytes, 3);
        assert_eq!(published.sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "abc");
        assert_eq!(listing(target.path()), ["out.dxf"]);
    }

    #[test]
    fn several_files_become_one_archive_with_the_same_bytes_each_time() {
        let (source, target) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let files = files(source.path(), &[("r.dbf", "1"), ("r.shp", "2")]);
        let into_directory = Destination::new(Some(target.path())).unwrap();
        let first = into_directory.place(&files, "r.shp", true).unwrap();
        assert_eq!(first.path, target.path().join("r.shp.zip"));
        let named = Destination::new(Some(&target.path().join("other.shp"))).unwrap();
        let second = named.place(&files, "r.shp", true).unwrap();
        assert_eq!(second.path, target.path().join("other.shp.zip"));
        assert_eq!(first.sha256, second.sha256);
        let mut zip = zip::ZipArchive::new(File::open(&first.path).unwrap()).unwrap();
        let content = io::read_to_string(zip.by_name("r.shp").unwrap()).unwrap();
        assert_eq!(content, "2");
    }

    #[test]
    fn a_name_that_ends_with_zip_gets_an_archive() {
        let (source, target) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let destination = Destination::new(Some(&target.path().join("out.zip"))).unwrap();
        let published =
            destination.place(&files(source.path(), &[("out.dxf", "abc")]), "out.dxf", false).unwrap();
        let zip = zip::ZipArchive::new(File::open(&published.path).unwrap()).unwrap();
        assert_eq!(zip.len(), 1);
        // A file other than the requested one is zipped too.
        let destination = Destination::new(Some(&target.path().join("out.shp"))).unwrap();
        let published =
            destination.place(&files(source.path(), &[("out.dbf", "abc")]), "out.shp", true).unwrap();
        assert_eq!(published.path, target.path().join("out.shp.zip"));
    }

    #[test]
    fn what_comes_in_has_its_name_when_it_is_complete() {
        use std::io::Write;
        let target = tempfile::tempdir().unwrap();
        let destination = Destination::new(Some(target.path())).unwrap();
        let mut incoming = destination.begin("r.shp.zip").unwrap();
        incoming.file().write_all(b"half").unwrap();
        assert!(listing(target.path()).is_empty());
        drop(incoming);
        assert!(listing(target.path()).is_empty());
        let named = Destination::new(Some(&target.path().join("out.shp"))).unwrap();
        let mut incoming = named.begin("r.shp.zip").unwrap();
        incoming.file().write_all(b"whole").unwrap();
        assert_eq!(incoming.publish().unwrap(), target.path().join("out.shp.zip"));
        assert_eq!(listing(target.path()), ["out.shp.zip"]);
    }

    #[test]
    fn a_failed_publication_leaves_the_old_file() {
        let target = tempfile::tempdir().unwrap();
        let path = target.path().join("out.dxf");
        std::fs::write(&path, "old").unwrap();
        let gone =
            OutputFile { name: "gone".into(), bytes: 1, folder: Folder::unrecorded(target.path()).unwrap() };
        let destination = Destination::new(Some(&path)).unwrap();
        assert_eq!(destination.place(&[gone], "x", false).unwrap_err().code, FailureCode::Io);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(listing(target.path()), ["out.dxf"]);
    }

    #[test]
    fn directories_that_are_not_there_are_named() {
        for path in ["/nonexistent/out.dxf", "/tmp/nonexistent-cadmill/"] {
            let failure = Destination::new(Some(Path::new(path))).unwrap_err();
            assert_eq!(failure.code, FailureCode::OutputDirectory, "{path}");
            assert!(failure.message.contains("nonexistent"), "{failure}");
        }
        assert_eq!(
            Destination::new(Some(Path::new("/proc/x.dxf"))).unwrap_err().code,
            FailureCode::OutputNotWritable
        );
    }

    #[test]
    fn what_is_no_file_is_not_replaced() {
        let failure = Destination::new(Some(Path::new("/dev/null"))).unwrap_err();
        assert_eq!(failure.code, FailureCode::UsageInvalid);
        let (source, target) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (file, link) = (target.path().join("file"), target.path().join("link"));
        std::fs::write(&file, "old").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let destination = Destination::new(Some(&link)).unwrap();
        destination.place(&files(source.path(), &[("x", "new")]), "x", false).unwrap();
        assert!(link.is_symlink());
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "new");
    }

    #[test]
    fn stems_follow_the_output_or_the_input() {
        let destination = |name: &str| Destination { directory: ".".into(), name: Some(name.into()) };
        assert_eq!(destination("a.dxf").stem_of("in", "dxf"), "a");
        assert_eq!(destination("a.shp.ZIP").stem_of("in", "shp"), "a");
        assert_eq!(destination("a.v2.dxf").stem_of("in", "dxf"), "a.v2");
        assert_eq!(destination("a").stem_of("in", "dxf"), "a");
        assert_eq!(destination(".dxf").stem_of("in", "dxf"), ".dxf");
        assert_eq!(Destination { directory: ".".into(), name: None }.stem_of("in", "dxf"), "in");
    }
}
