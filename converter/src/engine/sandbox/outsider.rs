//! A process that stays outside the worker's mount namespace and tries to get in.
//!
//! The posture reports a private workspace by what this process was denied, not by what the
//! namespace should do. The process has the worker's user id and no capability, like a neighbour in
//! the same container, and tries each way into a process that the kernel grants by user id: its
//! files in `/proc`, ptrace, its namespaces.
//!
//! It first tries to get into an unguarded process of its own: if that fails, a denial proves
//! nothing.

use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions};
use rustix::thread::{CapabilitySet, CapabilitySets, ThreadNameSpaceType};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

/// The ways, in the words of the posture, in the order of the bits in an answer.
const WAYS: [&str; 7] =
    ["its root", "its directory", "its descriptors", "its memory", "ptrace", "its namespaces", "the path"];

/// The answer if the ways do not work even on an unguarded process.
const UNPROVEN: u8 = 0x80;

/// A child process that waits for targets. Dropping it ends the process.
#[derive(Debug)]
pub struct Outsider {
    pid: Pid,
    /// Process ids of targets are written here; answers are read from `answers`.
    targets: File,
    answers: File,
}

impl Outsider {
    /// Starts the process. `point` is the future mount point: seen from outside it must stay empty.
    ///
    /// Call it while the process has one thread, and before it leaves the namespaces that the
    /// outsider is to stay in.
    ///
    /// # Errors
    /// Errors of the underlying system calls.
    pub fn start(point: &Path) -> io::Result<Self> {
        let (targets, give) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        let (take, answers) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        let point = point.to_owned();
        match fork()? {
            None => {
                drop((give, take));
                live(File::from(targets), File::from(answers), &point)
            }
            Some(pid) => Ok(Self { pid, targets: File::from(give), answers: File::from(take) }),
        }
    }

    /// Tries to get into a process, and returns the ways that worked.
    ///
    /// # Errors
    /// `Other` if the attempt proves nothing, and the operating system's error if the outsider is
    /// gone.
    pub fn attack(&mut self, target: Pid) -> io::Result<Vec<&'static str>> {
        self.targets.write_all(&target.as_raw_nonzero().get().to_le_bytes())?;
        let mut answer = [0];
        self.answers.read_exact(&mut answer)?;
        if answer[0] & UNPROVEN != 0 {
            return Err(io::Error::other("the outsider does not get into an unguarded process either"));
        }
        Ok(WAYS
            .into_iter()
            .enumerate()
            .filter(|(bit, _)| answer[0] >> bit & 1 == 1)
            .map(|(_, way)| way)
            .collect())
    }
}

impl Drop for Outsider {
    fn drop(&mut self) {
        let _ = rustix::process::kill_process(self.pid, Signal::KILL);
        let _ = rustix::process::waitpid(Some(self.pid), WaitOptions::empty());
    }
}

/// Forks. Returns the child's id; `None` in the child.
fn fork() -> io::Result<Option<Pid>> {
    // SAFETY: the caller has one thread, so no lock is held in the child. The child runs none of
    // this program's own work and ends by `_exit` or a signal.
    let pid = unsafe { libc::fork() };
    if pid < 0 { Err(io::Error::last_os_error()) } else { Ok(Pid::from_raw(pid)) }
}

/// The main loop of the outsider: it answers until the pipe is closed.
fn live(mut targets: File, mut answers: File, point: &Path) -> ! {
    let ready = rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).is_ok()
        && drop_capabilities().is_ok();
    let mut target = [0; 4];
    while ready && targets.read_exact(&mut target).is_ok() {
        let Some(pid) = Pid::from_raw(i32::from_le_bytes(target)) else { break };
        let answer = if in_a_copy(proven) == 1 { in_a_copy(|| ways_into(pid, point)) } else { UNPROVEN };
        if answers.write_all(&[answer]).is_err() {
            break;
        }
    }
    leave(0)
}

fn leave(code: u8) -> ! {
    // SAFETY: `_exit` has no preconditions; nothing here needs a destructor.
    unsafe { libc::_exit(code.into()) }
}

fn drop_capabilities() -> io::Result<()> {
    let none = CapabilitySet::empty();
    let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
    rustix::thread::clear_ambient_capability_set()?;
    Ok(rustix::thread::set_capabilities(None, sets)?)
}

/// The answer of a forked child, which may change its own state: enter a namespace, trace.
fn in_a_copy(act: impl FnOnce() -> u8) -> u8 {
    match fork() {
        Ok(None) => leave(act()),
        Ok(Some(pid)) => match rustix::process::waitpid(Some(pid), WaitOptions::empty()) {
            Ok(Some((_, status))) => {
                status.exit_status().and_then(|code| u8::try_from(code).ok()).unwrap_or(UNPROVEN)
            }
            _ => UNPROVEN,
        },
        Err(_) => UNPROVEN,
    }
}

/// Whether the first way works on an unguarded process of the same user.
fn proven() -> u8 {
    let Ok((wait, keep)) = rustix::pipe::pipe() else { return 0 };
    match fork() {
        Ok(None) => {
            drop(keep);
            let open = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::Dumpable);
            let _ = File::from(wait).read(&mut [0]);
            leave(u8::from(open.is_err()))
        }
        Ok(Some(bait)) => {
            drop(wait);
            // The child makes itself dumpable at once; until then it is as protected as its parent.
            let opened = (0..200).any(|_| {
                std::thread::sleep(std::time::Duration::from_millis(1));
                opened(bait, "root/").is_ok()
            });
            drop(keep);
            let _ = rustix::process::waitpid(Some(bait), WaitOptions::empty());
            opened.into()
        }
        Err(_) => 0,
    }
}

/// Tries every way; returns the bits of those that worked.
fn ways_into(target: Pid, point: &Path) -> u8 {
    let tried = [
        opened(target, "root/").is_ok(),
        opened(target, "cwd/").is_ok(),
        opened(target, "fd/").is_ok_and(|list| leads_somewhere(&list)),
        opened(target, "mem").is_ok(),
        traced(target),
        namespaces_entered(target),
        rustix::fs::open(point, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            .is_ok_and(|list| has_entries(&list)),
    ];
    tried.into_iter().enumerate().fold(0, |all, (bit, worked)| all | u8::from(worked) << bit)
}

/// Opens a file of the process in `/proc`.
fn opened(target: Pid, name: &str) -> io::Result<OwnedFd> {
    let path = PathBuf::from(format!("/proc/{}/{name}", target.as_raw_nonzero()));
    Ok(rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?)
}

fn has_entries(directory: &OwnedFd) -> bool {
    let Ok(entries) = rustix::fs::Dir::read_from(directory) else { return false };
    entries.flatten().any(|entry| !matches!(entry.file_name().to_bytes(), b"." | b".."))
}

/// Whether the target of one of these descriptors can be read. Root may list their numbers without
/// a capability, which reveals nothing.
fn leads_somewhere(descriptors: &OwnedFd) -> bool {
    let Ok(entries) = rustix::fs::Dir::read_from(descriptors) else { return false };
    entries.flatten().any(|entry| rustix::fs::readlinkat(descriptors, entry.file_name(), Vec::new()).is_ok())
}

/// Whether it may be traced. It is never stopped, and is detached when this process ends.
fn traced(target: Pid) -> bool {
    const NOTHING: usize = 0;
    // SAFETY: `PTRACE_SEIZE` takes a process id, no address, and options as a number; it changes no
    // memory of this process.
    unsafe { libc::ptrace(libc::PTRACE_SEIZE, target.as_raw_nonzero().get(), NOTHING, NOTHING) == 0 }
}

/// Whether one of its namespaces can be opened, or entered through a pidfd. A namespace that this
/// process is already in counts as not entered.
fn namespaces_entered(target: Pid) -> bool {
    let by_file = ["ns/user", "ns/mnt"].iter().any(|name| opened(target, name).is_ok());
    let by_handle = rustix::process::pidfd_open(target, PidfdFlags::empty()).is_ok_and(|handle| {
        let spaces = [ThreadNameSpaceType::USER, ThreadNameSpaceType::MOUNT];
        spaces
            .into_iter()
            .any(|space| rustix::thread::move_into_thread_name_spaces(handle.as_fd(), space).is_ok())
    });
    by_file || by_handle
}
