//! The job's workspace: one directory, mode 0700, on memory-backed storage, where
//! all plaintext of the job lives and from where it is removed on every path out.
//!
//! Layout: `fetch/` is what was downloaded and what goes up, `in/` the unpacked
//! input, `out/` what the engine writes, `tmp/` its current directory and
//! temporaries. A disk is refused: what was written to one may be found there later.
//!
//! Whoever has a workspace holds a lock on its directory, and the kernel takes the
//! lock back when the process dies, however it dies. So a workspace without a lock is
//! the remains of a killed process, and [`Place::sweep`] removes it.

pub(crate) mod discard;
mod private;
mod sweep;

use cadmill_core::domain::failure::{Failure, FailureCode};
use cadmill_core::domain::limits::display_size;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

pub use private::{Privacy, Private};
pub use sweep::Swept;

/// Environment variable that names the directory to make workspaces in.
pub const VARIABLE: &str = "CADMILL_WORKSPACE";

/// Setting that allows a disk, and the words that it takes.
pub const DISK_VARIABLE: &str = "CADMILL_ALLOW_DISK_WORKSPACE";
/// See [`DISK_VARIABLE`].
pub const DISK_WORDS: &str = "i-accept-plaintext-on-disk";

const DEFAULT: &str = "/dev/shm";

/// What the names of workspaces begin with.
const PREFIX: &str = "cadmill-workspace-";

/// Letters and digits that follow.
const RANDOM_CHARACTERS: usize = 16;

/// The directories in a workspace.
const LAYOUT: [&str; 4] = ["fetch", "in", "out", "tmp"];

/// Where workspaces are made.
#[derive(Debug, Clone)]
pub struct Place {
    directory: PathBuf,
    disk_allowed: bool,
    /// Where workspaces were made before the place became private: others may have
    /// left theirs there.
    shared: Option<PathBuf>,
}

impl Place {
    /// The place that the environment names, or `/dev/shm`.
    pub fn from_environment() -> Self {
        Self {
            directory: std::env::var_os(VARIABLE).map_or_else(|| PathBuf::from(DEFAULT), PathBuf::from),
            disk_allowed: std::env::var_os(DISK_VARIABLE).is_some_and(|v| v == DISK_WORDS),
            shared: None,
        }
    }

    /// A place for workspaces; `disk_allowed` accepts one that is no memory.
    pub fn new(directory: PathBuf, disk_allowed: bool) -> Self {
        Self { directory, disk_allowed, shared: None }
    }

    /// Makes a workspace.
    ///
    /// # Errors
    /// `infra.workspace_unavailable` when the place does not exist, cannot be
    /// written to, or is a disk.
    pub fn create(&self) -> Result<Workspace, Failure> {
        let shown = self.directory.display();
        let fail = |text: String| Failure::new(FailureCode::WorkspaceUnavailable, text);
        let real =
            std::fs::canonicalize(&self.directory).map_err(|e| fail(format!("workspace {shown}: {e}")))?;
        let kind = rustix::fs::statfs(&real).map_err(|e| fail(format!("workspace {shown}: {e}")))?.f_type;
        if !is_memory(kind.cast_unsigned()) && !self.disk_allowed {
            return Err(fail(format!(
                "workspace {shown} is not on memory-backed storage (tmpfs); a disk is used only with {DISK_VARIABLE}={DISK_WORDS}"
            )));
        }
        let (root, lock) = loop {
            let root = tempfile::Builder::new()
                .prefix(PREFIX)
                .rand_bytes(RANDOM_CHARACTERS)
                .permissions(std::fs::Permissions::from_mode(0o700))
                .tempdir_in(&real)
                .map_err(|e| fail(format!("workspace {shown}: {e}")))?;
            // Between its making and its locking it looks like remains, and may be swept.
            if let Some(lock) =
                sweep::lock(root.path()).map_err(|e| fail(format!("workspace {shown}: {e}")))?
            {
                break (root, lock);
            }
        };
        let workspace = Workspace { root, _lock: lock, private: self.is_private() };
        for name in LAYOUT {
            make_directory(&workspace.root.path().join(name))
                .map_err(|e| Failure::io("making the workspace", &e))?;
        }
        Ok(workspace)
    }
}

/// tmpfs and ramfs, by the magic numbers of statfs(2).
fn is_memory(kind: u64) -> bool {
    matches!(kind & 0xffff_ffff, 0x0102_1994 | 0x8584_58f6)
}

/// Makes a directory, mode 0700.
pub(crate) fn make_directory(path: &Path) -> std::io::Result<()> {
    std::fs::DirBuilder::new().mode(0o700).create(path)
}

/// One job's directory. Dropping it removes everything; [`Workspace::remove`]
/// does the same and tells whether it succeeded.
#[derive(Debug)]
pub struct Workspace {
    root: TempDir,
    _lock: OwnedFd,
    private: bool,
}

impl Workspace {
    /// Where the downloaded object lies, and an archive that is to be uploaded.
    pub fn fetched(&self) -> PathBuf {
        self.root.path().join("fetch")
    }

    /// Where the unpacked input lies.
    pub fn input(&self) -> PathBuf {
        self.root.path().join("in")
    }

    /// Where the engine writes its output.
    pub fn output(&self) -> PathBuf {
        self.root.path().join("out")
    }

    /// The engine's current directory.
    pub fn scratch(&self) -> PathBuf {
        self.root.path().join("tmp")
    }

    /// The text without the workspace's paths: engines quote the paths of the files
    /// that they complain of, and a name in the archive says all.
    pub fn hide(&self, text: &str) -> String {
        [self.fetched(), self.input(), self.output(), self.scratch()]
            .iter()
            .fold(text.to_owned(), |text, directory| text.replace(&format!("{}/", directory.display()), ""))
    }

    /// Whether nobody else can open what lies in it by a path.
    pub fn is_private(&self) -> bool {
        self.private
    }

    /// Bytes that can still be written.
    ///
    /// # Errors
    /// `infra.io` when the system does not tell.
    pub fn free_bytes(&self) -> Result<u64, Failure> {
        let stat = rustix::fs::statvfs(self.root.path())
            .map_err(|e| Failure::io("asking for the room in the workspace", &e.into()))?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    /// Refuses a job whose plaintext would not fit.
    ///
    /// # Errors
    /// `infra.workspace_full`, with both sizes.
    pub fn admit(&self, bytes: u64) -> Result<(), Failure> {
        let free = self.free_bytes()?;
        if bytes <= free {
            return Ok(());
        }
        let message = format!(
            "the input expands to {}, the workspace has room for {}",
            display_size(bytes),
            display_size(free)
        );
        Err(Failure::new(FailureCode::WorkspaceFull, message)
            .with("needed_bytes", bytes)
            .with("free_bytes", free))
    }

    /// Empties what the engine wrote to, for another run of it.
    ///
    /// # Errors
    /// `infra.io`.
    pub fn clear_output(&self) -> Result<(), Failure> {
        for directory in [self.output(), self.scratch()] {
            discard::directory(&directory)
                .and_then(|()| make_directory(&directory))
                .map_err(|e| Failure::io("emptying the output of the workspace", &e))?;
        }
        Ok(())
    }

    /// Removes the input, when nobody reads it any more.
    ///
    /// # Errors
    /// `infra.io`.
    pub fn clear_input(&self) -> Result<(), Failure> {
        discard::directory(&self.input())
            .and_then(|()| make_directory(&self.input()))
            .map_err(|e| Failure::io("removing the input from the workspace", &e))
    }

    /// Removes the workspace and everything in it.
    ///
    /// # Errors
    /// `infra.io`: plaintext may be left, and the caller must say so.
    pub fn remove(self) -> Result<(), Failure> {
        let path = self.root.path().to_owned();
        self.root.close().map_err(|e| {
            Failure::io(format!("removing the workspace {}, where plaintext may be left", path.display()), &e)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workspace_is_private_and_goes_away() {
        let workspace = Place::new(DEFAULT.into(), false).create().unwrap();
        let root = workspace.input().parent().unwrap().to_owned();
        for directory in
            [root.clone(), workspace.fetched(), workspace.input(), workspace.output(), workspace.scratch()]
        {
            assert_eq!(std::fs::metadata(directory).unwrap().permissions().mode() & 0o777, 0o700);
        }
        std::fs::write(workspace.output().join("x"), "plaintext").unwrap();
        workspace.remove().unwrap();
        assert!(!root.exists());
    }

    #[test]
    fn dropping_removes_too() {
        let workspace = Place::new(DEFAULT.into(), false).create().unwrap();
        let root = workspace.input().parent().unwrap().to_owned();
        drop(workspace);
        assert!(!root.exists());
    }

    #[test]
    fn a_disk_is_refused_unless_allowed_in_words() {
        // The build directory is on a disk, or at least on no tmpfs, everywhere we build.
        let disk = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        if is_memory(rustix::fs::statfs(&disk).unwrap().f_type.cast_unsigned()) {
            assert!(Place::new(disk, false).create().is_ok());
            return;
        }
        let failure = Place::new(disk.clone(), false).create().unwrap_err();
        assert_eq!(failure.code, FailureCode::WorkspaceUnavailable);
        assert!(failure.message.contains(DISK_WORDS), "{failure}");
        Place::new(disk, true).create().unwrap().remove().unwrap();
    }

    #[test]
    fn paths_are_hidden() {
        let workspace = Place::new(DEFAULT.into(), false).create().unwrap();
        let text = format!("cannot open {}", workspace.input().join("a/b.shp").display());
        assert_eq!(workspace.hide(&text), "cannot open a/b.shp");
    }

    #[test]
    fn a_missing_place_is_named() {
        let failure = Place::new("/nonexistent/place".into(), false).create().unwrap_err();
        assert!(failure.message.contains("/nonexistent/place"), "{failure}");
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let workspace = Place::new(DEFAULT.into(), false).create().unwrap();
        assert!(workspace.admit(1).is_ok());
        assert_eq!(workspace.admit(u64::MAX).unwrap_err().code, FailureCode::WorkspaceFull);
    }
}
