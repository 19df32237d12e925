//! A kernel-enforced limit on what an engine writes: a separate tmpfs per job for the directories
//! that its engine writes to.
//!
//! Where the worker may mount, in its own mount namespace, both directories are parts of one tmpfs
//! of the job's size, with as many inodes as the job may have files. The tmpfs is slightly larger
//! than the cap, so that counting, and not a failed write, determines which cap was hit. Elsewhere
//! counting alone enforces the cap.

use super::layout::{OUTPUT, SCRATCH};
use cadmill_core::domain::limits::MAX_WRITTEN_FILES;
use rustix::fs::{AtFlags, Mode};
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_bind, mount_move, mount_remount, unmount};
use std::ffi::CString;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

/// Temporary mount point, used until the parts are bound to their directories.
const WHOLE: &str = ".room";

/// Headroom beyond the cap, in bytes and in inodes.
const MORE_BYTES: u64 = 16 << 20;
const MORE_INODES: u64 = 1000;

const FLAGS: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV).union(MountFlags::NOEXEC);

/// The tmpfs of a workspace that is being made.
pub(super) struct Bounded<'a> {
    root: &'a Path,
}

impl<'a> Bounded<'a> {
    /// Mounts the tmpfs.
    ///
    /// # Errors
    /// The system's error; nothing is left mounted then.
    pub(super) fn mount(root: &'a Path) -> io::Result<Self> {
        let whole = root.join(WHOLE);
        rustix::fs::mkdir(&whole, Mode::RWXU)?;
        // Excluded from swap where the kernel supports it (Linux 6.4).
        let mounted = mount_with(&whole, ",noswap").or_else(|_| mount_with(&whole, ""));
        if let Err(error) = mounted {
            let _ = rustix::fs::rmdir(&whole);
            return Err(error);
        }
        let bounded = Self { root };
        for part in [OUTPUT, SCRATCH] {
            rustix::fs::mkdir(whole.join(part), Mode::RWXU)?;
        }
        Ok(bounded)
    }

    /// Bind-mounts the part for the directory of this name, if the engine writes to it.
    ///
    /// # Errors
    /// The system's error.
    pub(super) fn attach(&self, name: &str) -> io::Result<()> {
        if is_for_engine(name) {
            mount_bind(self.root.join(WHOLE).join(name), self.root.join(name))?;
        }
        Ok(())
    }
}

/// The bind mounts remain.
impl Drop for Bounded<'_> {
    fn drop(&mut self) {
        let whole = self.root.join(WHOLE);
        let gone = unmount(&whole, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW);
        if let Err(error) = gone.and_then(|()| rustix::fs::rmdir(&whole)) {
            tracing::warn!(error = %error, "memory of a job could not be unmounted");
        }
    }
}

/// Whether the engine writes to the directory of this name.
pub(super) fn is_for_engine(name: &str) -> bool {
    name == OUTPUT || name == SCRATCH
}

/// Whether the directory of this name is on its own tmpfs.
pub(super) fn is_bounded(root: impl AsFd, name: &str) -> bool {
    let device =
        |name: &str| rustix::fs::statat(&root, name, AtFlags::SYMLINK_NOFOLLOW).map(|stat| stat.st_dev);
    is_for_engine(name)
        && device(name).ok().zip(device(".").ok()).is_some_and(|(inside, outside)| inside != outside)
}

/// Sets the limit.
///
/// # Errors
/// The system's error, such as when the directory already holds more.
pub(super) fn resize(directory: &Path, cap_bytes: u64) -> io::Result<()> {
    Ok(mount_remount(directory, FLAGS, options(cap_bytes, "")?.as_c_str())?)
}

/// Moves the mount from one directory to another, which must be empty.
///
/// # Errors
/// The system's error.
pub(super) fn hand_over(from: &Path, to: &Path) -> io::Result<()> {
    Ok(mount_move(from, to)?)
}

/// Unmounts a directory. Its contents are freed when the last open descriptor is closed.
///
/// # Errors
/// The system's error.
pub(super) fn release(directory: &Path) -> io::Result<()> {
    Ok(unmount(directory, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)?)
}

fn mount_with(on: &Path, more: &str) -> io::Result<()> {
    Ok(mount("cadmill", on, "tmpfs", FLAGS, options(0, more)?.as_c_str())?)
}

fn options(cap_bytes: u64, more: &str) -> io::Result<CString> {
    let bytes = cap_bytes.saturating_add(MORE_BYTES);
    let inodes = MAX_WRITTEN_FILES + MORE_INODES;
    CString::new(format!("mode=0700,size={bytes},nr_inodes={inodes}{more}")).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::super::tests::Bench;
    use super::super::{Privacy, Workspace, WorkspaceRoot};
    use super::*;
    use cadmill_core::domain::ledger::verify::Verdict;
    use rustix::fs::statvfs;
    use std::sync::Arc;

    const MIB: u64 = 1 << 20;

    /// Runs the test on a separate thread, so that its mount namespace ends with the thread.
    fn in_private(test: impl FnOnce(&WorkspaceRoot, &Bench) + Send + 'static) {
        let thread = std::thread::spawn(move || {
            let bench = Bench::new();
            let mut at = bench.at.clone();
            if !rustix::process::geteuid().is_root() {
                return println!("skipped: only root may mount");
            }
            match at.make_private(Privacy::Auto, 256 * MIB).unwrap() {
                Some(_private) => test(&at, &bench),
                None => println!("skipped: this host gives no mount namespace"),
            }
        });
        thread.join().unwrap();
    }

    fn mounts() -> usize {
        std::fs::read_to_string("/proc/thread-self/mountinfo").unwrap().lines().count()
    }

    fn held(place: &Path) -> u64 {
        let stat = statvfs(place).unwrap();
        (stat.f_blocks - stat.f_bfree) * stat.f_frsize
    }

    fn write_until_refused(workspace: &Workspace) -> io::Error {
        let block = vec![1; MIB as usize];
        (0..64).find_map(|n| std::fs::write(workspace.scratch().join(format!("{n}")), &block).err()).unwrap()
    }

    #[test]
    fn the_kernel_holds_the_bound_and_the_place_has_its_room() {
        in_private(|at, bench| {
            let before = mounts();
            let ledger = bench.open();
            let workspace = at.create_recorded(Arc::clone(&ledger)).unwrap();
            workspace.bound(2 * MIB);
            let place = workspace.input();
            let free = held(&place);
            for _ in 0..2 {
                assert_eq!(write_until_refused(&workspace).kind(), io::ErrorKind::StorageFull);
                assert!(held(&workspace.output()) <= 2 * MIB + MORE_BYTES);
                assert!(held(&place) - free < MIB, "the place has its room");
                workspace.scan().unwrap();
                workspace.clear_output().unwrap();
            }
            let made = (0..20_000)
                .take_while(|n| std::fs::File::create(workspace.output().join(n.to_string())).is_ok())
                .count() as u64;
            assert!(made > MAX_WRITTEN_FILES && made <= MAX_WRITTEN_FILES + MORE_INODES, "{made}");
            workspace.remove().unwrap();
            ledger.close("limit.files").unwrap();
            let audit = bench.audit(bench.id);
            assert_eq!((audit.verdict, audit.findings, audit.remarks), (Verdict::Valid, vec![], vec![]));
            assert_eq!(audit.story.counts().residual, 0);
            assert_eq!(mounts(), before);
        });
    }

    #[test]
    fn a_waiting_hosts_directories_are_handed_over_with_their_bound() {
        in_private(|at, bench| {
            let before = mounts();
            let ledger = bench.open();
            let workspace = at.create_recorded(Arc::clone(&ledger)).unwrap();
            let waiting = at.create().unwrap();
            waiting.bound(64 * MIB);
            std::fs::write(waiting.scratch().join("loaded"), "of the library").unwrap();
            assert!(workspace.take_over(&waiting).unwrap());
            assert!(
                workspace.scratch().join("loaded").exists() && !waiting.scratch().join("loaded").exists()
            );
            workspace.bound(MIB);
            assert_eq!(write_until_refused(&workspace).kind(), io::ErrorKind::StorageFull);
            waiting.remove().unwrap();
            workspace.scan().unwrap();
            workspace.remove().unwrap();
            ledger.close("completed").unwrap();
            let audit = bench.audit(bench.id);
            assert_eq!((audit.verdict, audit.findings, audit.remarks), (Verdict::Valid, vec![], vec![]));
            assert_eq!(mounts(), before);
        });
    }
}
