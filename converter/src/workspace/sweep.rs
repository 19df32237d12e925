//! Removes what killed processes left, and records the removal.

use super::WorkspaceRoot;
use super::lock::lock;
use super::name::Name;
use super::remains::Remains;
use crate::workspace::recorder::{Found, LedgerRecorder, inode};
use cadmill_core::domain::ledger::record::{FileRole, Kind};
use cadmill_core::domain::ledger::{LedgerId, SignedHead};
use cadmill_core::ledger::Ledger;
use rustix::fs::Mode;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

/// The outcome with which a sweep's ledger is closed.
const OUTCOME: &str = "swept";

/// The result of a sweep.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SweepReport {
    /// Workspaces of dead processes that were removed.
    pub removed: u64,
    /// Workspaces of dead processes that could not be removed; the next sweep retries.
    pub left: u64,
    /// The heads of the ledgers that were written for the sweep.
    pub heads: Vec<SignedHead>,
}

/// Opens the ledger for the sweep of what an attempt left. It cites the attempt's own ledger.
/// `None` if it cannot be opened.
pub type Recorder<'a> = &'a dyn Fn(LedgerId) -> Option<Ledger>;

/// As [`Recorder`], also for a workspace that belongs to no ledger.
pub type CommandRecorder<'a> = &'a dyn Fn(Option<LedgerId>) -> Option<Ledger>;

impl WorkspaceRoot {
    /// Removes the workspaces whose processes are dead. Workspaces of live processes, on this host
    /// or in another container that shares the location, are locked and stay. Other programs may
    /// use the location too: a directory is only touched if its whole name, its owner and its mode
    /// are those of a workspace.
    ///
    /// What an attempt left is recorded in a ledger that `recorder` opens. Without a ledger the
    /// files are destroyed nevertheless.
    ///
    /// # Errors
    /// When the location cannot be listed.
    pub fn sweep(&self, recorder: Recorder<'_>) -> io::Result<SweepReport> {
        self.sweep_those(|_| true, &|left| left.and_then(recorder))
    }

    /// As [`WorkspaceRoot::sweep`], but only what killed commands left. What a worker left of an
    /// attempt is for a worker, which records its destruction beside the ledger of the attempt.
    ///
    /// `recorder` is called for each workspace, with the ledger that it belongs to, if any.
    ///
    /// # Errors
    /// When the location cannot be listed.
    pub fn sweep_commands(&self, recorder: CommandRecorder<'_>) -> io::Result<SweepReport> {
        self.sweep_those(|name| !name.is_of_worker(), recorder)
    }

    fn sweep_those(
        &self,
        which: impl Fn(&Name) -> bool,
        recorder: CommandRecorder<'_>,
    ) -> io::Result<SweepReport> {
        let mut swept = SweepReport::default();
        let shared = self.shared.as_deref().map(std::fs::read_dir).transpose()?;
        for entry in std::fs::read_dir(&self.directory)?.chain(shared.into_iter().flatten()).flatten() {
            let Ok(name) = entry.file_name().to_string_lossy().parse::<Name>() else { continue };
            if !which(&name) {
                continue;
            }
            match lock(&entry.path()) {
                Ok(Some(held)) if !is_private(&held) => {}
                // The lock is held until the directory is removed.
                Ok(Some(held)) => swept.destroy(&entry.path(), &name, &held, recorder),
                Ok(None) => {}
                // A directory of another user is not a workspace of this one.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
                Err(_) => swept.left += 1,
            }
        }
        Ok(swept)
    }
}

impl SweepReport {
    fn destroy(&mut self, workspace: &Path, name: &Name, lock: &OwnedFd, recorder: CommandRecorder<'_>) {
        let ledger = recorder(name.ledger()).map(Arc::new);
        let account =
            ledger.as_ref().map_or_else(LedgerRecorder::default, |l| LedgerRecorder::new(Arc::clone(l)));
        let id = account.found(&Found {
            kind: Kind::Directory,
            role: FileRole::Leftover,
            parent: 0,
            name: workspace.file_name().unwrap_or_default().as_encoded_bytes(),
            bytes: 0,
            inode: inode(lock),
        });
        let remains = Remains { root: workspace, lock: lock.as_fd(), id, account: &account, leftover: true };
        match remains.destroy() {
            Ok(()) => self.removed += 1,
            Err(_) => self.left += 1,
        }
        if let Some(ledger) = ledger {
            match ledger.close(OUTCOME) {
                Ok(head) => self.heads.push(head),
                Err(failure) => {
                    tracing::error!(ledger = %ledger.id(), code = %failure.code, "a sweep could not be recorded");
                }
            }
        }
    }
}

/// Whether this directory belongs to this user and is closed to others. The mode may be 0711 if the
/// engine runs under a separate user id. The contents are not considered: an engine may have left
/// anything there.
fn is_private(directory: &OwnedFd) -> bool {
    rustix::fs::fstat(directory).is_ok_and(|stat| {
        let mode = Mode::from_raw_mode(stat.st_mode) - (Mode::XGRP | Mode::XOTH);
        stat.st_uid == rustix::process::geteuid().as_raw() && mode == Mode::RWXU
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Bench, swept};
    use super::super::{LAYOUT, Workspace};
    use super::*;
    use std::os::unix::fs::DirBuilderExt;
    use std::path::PathBuf;

    /// Leaves the workspace as a killed process would.
    fn abandon(mut workspace: Workspace) -> PathBuf {
        workspace.gone = true;
        workspace.root.path.clone()
    }

    /// Makes a directory with a file deep inside it.
    fn directory(place: &Path, name: &str, mode: u32, inside: &str) -> PathBuf {
        let path = place.join(name);
        std::fs::DirBuilder::new().mode(mode).create(&path).unwrap();
        std::fs::create_dir_all(path.join(inside)).unwrap();
        std::fs::write(path.join(inside).join("plan.dxf"), "plaintext").unwrap();
        path
    }

    #[test]
    fn the_living_stay_and_the_dead_go() {
        let place = tempfile::tempdir_in("/dev/shm").unwrap();
        let at = WorkspaceRoot::new(place.path().into(), false);
        let living = at.create().unwrap();
        let dead = directory(place.path(), "cadmill-workspace-0123456789abcdEF", 0o700, "in/deep");
        // The engine of this workspace had a separate user id.
        let entered = directory(place.path(), "cadmill-workspace-0123456789abcdEG", 0o711, "out/deep");
        assert_eq!(at.sweep(&|_| None).unwrap(), SweepReport { removed: 2, ..SweepReport::default() });
        assert!(!entered.exists());
        assert!(living.input().exists() && !dead.exists());
        assert_eq!(at.sweep(&|_| None).unwrap(), SweepReport::default());
        let kept = living.input().parent().unwrap().to_owned();
        living.remove().unwrap();
        assert!(!kept.exists());
    }

    /// A workspace at every step of its creation, as left by a process killed at that moment.
    #[test]
    fn the_remains_of_a_real_workspace_go_at_every_moment_of_its_making() {
        let place = tempfile::tempdir_in("/dev/shm").unwrap();
        let at = WorkspaceRoot::new(place.path().into(), false);
        for made in 0..=LAYOUT.len() {
            let workspace = at.create().unwrap();
            for (name, _) in &LAYOUT[made..] {
                std::fs::remove_dir(workspace.root.path.join(name)).unwrap();
            }
            let path = abandon(workspace);
            assert_eq!(
                swept(&at, &|_| None),
                SweepReport { removed: 1, ..SweepReport::default() },
                "{made} of it made"
            );
            assert!(!path.exists());
        }
    }

    /// A command leaves to a worker what a worker left of an attempt, and destroys the rest.
    #[test]
    fn commands_destroy_what_commands_left() {
        let bench = Bench::new();
        let ledger = bench.open();
        let of_worker = abandon(bench.at.create_recorded(Arc::clone(&ledger)).unwrap());
        let of_command = abandon(bench.at.create_recorded_by_command(Arc::clone(&ledger)).unwrap());
        let without = abandon(bench.at.create().unwrap());
        let asked = std::sync::Mutex::new(Vec::new());
        let recorder = |left| {
            asked.lock().unwrap().push(left);
            None
        };
        let swept = until_swept(|| bench.at.sweep_commands(&recorder), 2);
        assert_eq!((swept.removed, swept.left), (2, 0));
        let mut asked = asked.into_inner().unwrap();
        asked.sort();
        assert_eq!(asked, [None, Some(bench.id)]);
        assert!(of_worker.exists() && !of_command.exists() && !without.exists());
        let worker = until_swept(|| bench.at.sweep(&|_| None), 1);
        assert_eq!((worker.removed, of_worker.exists()), (1, false));
    }

    /// Sweeps until that many are removed: see [`swept`].
    fn until_swept(sweep: impl Fn() -> io::Result<SweepReport>, removed: u64) -> SweepReport {
        let mut all = SweepReport::default();
        for _ in 0..1000 {
            let swept = sweep().unwrap();
            all.removed += swept.removed;
            all.left += swept.left;
            if all.removed >= removed {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        all
    }

    /// The location is shared with other users of memory: data of `cadmill serve`, directories of
    /// scripts, directories of other users.
    #[test]
    fn what_is_no_workspace_stays() {
        let place = tempfile::tempdir_in("/dev/shm").unwrap();
        let at = WorkspaceRoot::new(place.path().into(), false);
        let others = [
            directory(place.path(), "somebody-elses", 0o700, "in"),
            directory(place.path(), "cadmill-data", 0o700, "in"),
            directory(place.path(), "cadmill-workspace-of-mine", 0o700, "in"),
            directory(place.path(), "cadmill-workspace-0123456789abcde", 0o700, "in"),
            directory(place.path(), "cadmill-workspace-0123456789abcd.F", 0o700, "in"),
            directory(place.path(), "cadmill-workspace-open567890abcdef", 0o755, "in"),
        ];
        let file = place.path().join("cadmill-workspace-file567890abcdef");
        std::fs::write(&file, "a file").unwrap();
        let link = place.path().join("cadmill-workspace-link567890abcdef");
        let target = directory(place.path(), "target", 0o700, "in");
        std::os::unix::fs::symlink(&target, &link).unwrap();
        assert_eq!(at.sweep(&|_| None).unwrap(), SweepReport::default());
        for path in others.iter().chain([&file, &link, &target]) {
            assert!(path.exists(), "{} is gone", path.display());
        }
    }
}
