//! Private memory for workspaces: a tmpfs in the mount namespace of a worker, or of a command that
//! converts or inspects.
//!
//! No process outside the worker can open its files by a path, its size is limited, and it is freed
//! with the last process of the worker, even when SIGKILL leaves no time to wipe. It is mounted on
//! an empty directory of the location. The rest of the host sees only that directory, which the
//! next worker removes.
//!
//! It is optional: where the host does not allow a mount namespace, workspaces are made in the
//! location itself. Its isolation is tested: a process that stays outside tries to get in
//! ([`Outsider`]), and the posture reports the result.

use super::name::{RANDOM, is_named};
use super::{WorkspaceRoot, lock};
use crate::engine::posture::Posture;
use crate::engine::sandbox::outsider::Outsider;
use crate::linux::{mounts, privileges, proc};
use cadmill_core::domain::failure::{Failure, FailureCode};
use std::fs::Permissions;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Name prefix of the directories on which the memory is mounted.
const PREFIX: &str = "cadmill-private-";

/// Environment variable that selects whether it is used.
const PRIVATE_VARIABLE: &str = "CADMILL_PRIVATE_WORKSPACE";

/// Whether private memory is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Privacy {
    /// Used if the host allows it.
    Auto,
    /// Never used.
    Off,
    /// Required: without it the worker does not start.
    Required,
}

impl Privacy {
    /// The value of [`PRIVATE_VARIABLE`], or `auto`.
    ///
    /// # Errors
    /// `usage.invalid` for an unknown value.
    pub fn from_environment() -> Result<Self, Failure> {
        match std::env::var(PRIVATE_VARIABLE) {
            Err(std::env::VarError::NotPresent) => Ok(Self::Auto),
            Ok(word) => word.parse(),
            Err(_) => "".parse(),
        }
    }
}

impl std::str::FromStr for Privacy {
    type Err = Failure;

    fn from_str(word: &str) -> Result<Self, Failure> {
        match word {
            "auto" => Ok(Self::Auto),
            "no" => Ok(Self::Off),
            "required" => Ok(Self::Required),
            _ => {
                let text = format!("{PRIVATE_VARIABLE} must be auto, no or required");
                Err(Failure::new(FailureCode::UsageInvalid, text))
            }
        }
    }
}

impl Privacy {
    /// Fails if privacy is required and another process got in.
    ///
    /// # Errors
    /// `infra.workspace_unavailable`, with the ways in.
    pub fn require(self, posture: &Posture) -> Result<(), Failure> {
        if self != Self::Required || posture.machine.workspace_private {
            return Ok(());
        }
        let ways = posture.machine.workspace_entered.as_deref().map_or_else(
            || "no outside process could be started to test it".to_owned(),
            |ways| format!("an outside process entered by {}", ways.join(", ")),
        );
        let text = format!("a private workspace is required, but this one is not private: {ways}");
        Err(Failure::new(FailureCode::WorkspaceUnavailable, text))
    }
}

/// The mount. Dropping it unmounts the memory, with everything in it.
#[derive(Debug)]
pub struct Private {
    /// Present until it has made its attempt; a command starts it only where the result is needed.
    outsider: Option<Outsider>,
    point: TempDir,
    /// Keeps the mount point from being taken for that of a dead worker.
    _lock: OwnedFd,
}

impl WorkspaceRoot {
    /// Replaces the location by private memory of at most `bytes` bytes, or leaves it as it is. The
    /// returned value must be kept for as long as the location is used.
    ///
    /// Must be called while the process has a single thread.
    ///
    /// # Errors
    /// `infra.workspace_unavailable` when it is required and the host does not allow it, when the
    /// location does not exist or cannot be written to, or when the host allows only a part of the
    /// setup.
    pub fn make_private(&mut self, privacy: Privacy, bytes: u64) -> Result<Option<Private>, Failure> {
        if privacy == Privacy::Off {
            return Ok(None);
        }
        let entered = self.enter(privacy, bytes, true)?;
        self.bounded = entered.is_some();
        Ok(entered)
    }

    /// As [`WorkspaceRoot::make_private`], for a command, which converts one file and ends. Unless
    /// privacy is required, the location stays as it is where the host allows only a part of the
    /// setup, and where it is on a disk: an operator who allows a disk has too little memory.
    ///
    /// The memory is as large as the location, as far as the machine has so much left. The engine's
    /// output has no separate limit in it, which would cost time: all of it is for one conversion.
    /// `tested` starts the process that tries to get in.
    ///
    /// Must be called while the process has a single thread.
    ///
    /// # Errors
    /// `infra.workspace_unavailable`, if it is required.
    pub fn make_private_for_command(
        &mut self,
        privacy: Privacy,
        tested: bool,
    ) -> Result<Option<Private>, Failure> {
        remove_dead(&self.directory);
        let bytes = self.size_bytes().min(proc::available_memory().unwrap_or(u64::MAX));
        match privacy {
            Privacy::Off => Ok(None),
            Privacy::Auto if !self.is_in_memory() => Ok(None),
            Privacy::Auto => Ok(self.enter(privacy, bytes, tested).unwrap_or_default()),
            Privacy::Required => self.enter(privacy, bytes, tested),
        }
    }

    fn is_in_memory(&self) -> bool {
        rustix::fs::statfs(&self.directory).is_ok_and(|stat| super::is_memory(stat.f_type.cast_unsigned()))
    }

    fn enter(&mut self, privacy: Privacy, bytes: u64, tested: bool) -> Result<Option<Private>, Failure> {
        let fail = |text: String| Failure::new(FailureCode::WorkspaceUnavailable, text);
        let entered = Private::enter(&self.directory, bytes, tested)
            .map_err(|e| fail(format!("a private workspace in {}: {e}", self.directory.display())))?;
        if let Some(private) = &entered {
            let directory = private.point.path().to_owned();
            self.shared = Some(std::mem::replace(&mut self.directory, directory));
        } else if privacy == Privacy::Required {
            let text = "a private workspace is required, but a mount namespace cannot be created: root and CAP_SYS_ADMIN are needed";
            return Err(fail(text.to_owned()));
        }
        Ok(entered)
    }

    /// Whether no other process can open files in it.
    pub fn is_private(&self) -> bool {
        self.shared.is_some()
    }
}

impl Private {
    fn enter(place: &Path, bytes: u64, tested: bool) -> io::Result<Option<Self>> {
        let place = std::fs::canonicalize(place)?;
        remove_dead(&place);
        if !mounts::may_leave_mounts() {
            return Ok(None);
        }
        // A process that has opened this process's root keeps access to it, so it is closed to
        // others before there is any data.
        privileges::no_core_dump()?;
        let (point, lock) = make_point(&place)?;
        let outsider = tested.then(|| Outsider::start(point.path())).transpose()?;
        if !mounts::leave_mounts()? {
            return Ok(None);
        }
        mounts::mount_memory(point.path(), bytes)?;
        Ok(Some(Self { outsider, point, _lock: lock }))
    }

    /// Takes the process that stayed outside; `Some` only once.
    pub fn take_outsider(&mut self) -> Option<Outsider> {
        self.outsider.take()
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        match mounts::unmount_memory(self.point.path()) {
            Ok(true) => {}
            // An engine that is not confined may have started it.
            Ok(false) => tracing::warn!("a process that uses the private workspace is left"),
            // The mount ends with this process, and the next worker removes its directory.
            Err(error) => {
                tracing::warn!(error = %error, "the private workspace stays until the process is gone");
            }
        }
    }
}

/// Makes a locked directory, so that no other worker removes it.
fn make_point(place: &Path) -> io::Result<(TempDir, OwnedFd)> {
    lock::locked(|| {
        tempfile::Builder::new()
            .prefix(PREFIX)
            .rand_bytes(RANDOM)
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(place)
    })
}

/// Removes the mount points of dead workers. They are empty here: the memory mounted on them was
/// only visible in the worker's namespace.
fn remove_dead(place: &Path) {
    for entry in std::fs::read_dir(place).into_iter().flatten().flatten() {
        if !is_named(&entry.file_name().to_string_lossy(), PREFIX) {
            continue;
        }
        let path: PathBuf = entry.path();
        if let Ok(Some(_held)) = lock::lock(&path) {
            let _ = std::fs::remove_dir(&path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_directories_of_the_dead_are_removed() {
        let place = tempfile::tempdir_in("/dev/shm").unwrap();
        let dead = place.path().join("cadmill-private-0123456789abcdEF");
        let kept = place.path().join("cadmill-private-of-somebody");
        std::fs::create_dir(&dead).unwrap();
        std::fs::create_dir(&kept).unwrap();
        let (living, _lock) = make_point(place.path()).unwrap();
        remove_dead(place.path());
        assert!(!dead.exists() && kept.exists() && living.path().exists());
    }

    /// Runs the test on a separate thread, so that its mount namespace ends with the thread.
    fn on_a_thread(test: impl FnOnce() + Send + 'static) {
        std::thread::spawn(test).join().unwrap();
    }

    #[test]
    fn a_command_has_as_much_as_the_location_at_most() {
        on_a_thread(|| {
            let place = tempfile::tempdir_in("/dev/shm").unwrap();
            let dead = place.path().join("cadmill-private-0123456789abcdEF");
            std::fs::create_dir(&dead).unwrap();
            let mut at = WorkspaceRoot::new(place.path().into(), false);
            let size = at.size_bytes();
            let private = at.make_private_for_command(Privacy::Auto, false).unwrap();
            assert!(!dead.exists());
            assert_eq!(private.is_some(), at.is_private());
            let Some(mut private) = private else {
                return println!("skipped: this host gives no mount namespace");
            };
            assert!(private.take_outsider().is_none() && at.size_bytes() <= size);
            // One file system holds all of it.
            let workspace = at.create().unwrap();
            let device = |path: PathBuf| rustix::fs::stat(&path).unwrap().st_dev;
            assert_eq!(device(workspace.input()), device(workspace.output()));
            let held = std::fs::File::open(workspace.scratch()).unwrap();
            workspace.remove().unwrap();
            // A process that is left in it keeps neither the mount nor the directory.
            drop(private);
            assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0);
            drop(held);
        });
    }

    /// An operator who allows a disk has too little memory.
    #[test]
    fn a_command_uses_a_disk_that_is_allowed() {
        on_a_thread(|| {
            let place = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
            let mut at = WorkspaceRoot::new(place.path().into(), true);
            if at.is_in_memory() {
                return println!("skipped: the repository is in memory");
            }
            assert!(at.make_private_for_command(Privacy::Auto, false).unwrap().is_none());
            at.create().unwrap().remove().unwrap();
        });
    }

    #[test]
    fn a_command_without_it_removes_what_dead_ones_left() {
        let place = tempfile::tempdir_in("/dev/shm").unwrap();
        let dead = place.path().join("cadmill-private-0123456789abcdEF");
        std::fs::create_dir(&dead).unwrap();
        let mut at = WorkspaceRoot::new(place.path().into(), false);
        assert!(at.make_private_for_command(Privacy::Off, false).unwrap().is_none());
        assert!(!dead.exists());
        let mut nowhere = WorkspaceRoot::new("/nonexistent".into(), false);
        assert!(nowhere.make_private_for_command(Privacy::Auto, false).unwrap().is_none());
        assert!(nowhere.make_private_for_command(Privacy::Required, false).is_err());
    }

    #[test]
    fn a_full_directory_is_not_one_of_ours() {
        let place = tempfile::tempdir_in("/dev/shm").unwrap();
        let full = place.path().join("cadmill-private-0123456789abcdEF");
        std::fs::create_dir_all(full.join("work")).unwrap();
        remove_dead(place.path());
        assert!(full.join("work").exists());
    }
}
