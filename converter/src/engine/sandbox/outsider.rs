//! A process that stays outside the worker's mount namespace and tries to get in.
//!
//! What the posture says of a private workspace is what this process was refused, not
//! what the namespace is meant for. It has the worker's user id and no capability, which
//! is what a neighbour in the same container has, and tries each way into a process that
//! the kernel grants by the user id: its files in `/proc`, ptrace, its namespaces.
//!
//! It first gets into a process of its own that nothing guards: where that fails, a
//! refusal proves nothing.

use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions};
use rustix::thread::{CapabilitySet, CapabilitySets, ThreadNameSpaceType};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

/// The ways, by the words of the posture. The order is that of the bits in an answer.
const WAYS: [&str; 7] =
    ["its root", "its directory", "its descriptors", "its memory", "ptrace", "its namespaces", "the path"];

/// The answer when the ways do not even lead into an unguarded process.
const UNPROVEN: u8 = 0x80;

/// A child process that waits for a target. Dropping it ends it.
#[derive(Debug)]
pub struct Outsider {
    pid: Pid,
    /// Target process ids go here, answers come from there.
    targets: File,
    answers: File,
}

impl Outsider {
    /// Starts it. `point` is the directory that something is to be mounted on: seen from
    /// outside it must stay empty.
    ///
    /// Call it before the process has a second thread, and before it leaves the
    /// namespaces that the outsider is to stay in.
    ///
    /// # Errors
    /// The system's.
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

    /// Tries to get into a process, and names the ways that worked.
    ///
    /// # Errors
    /// `Other` when the attempt proves nothing, and the system's when the outsider is gone.
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

/// A copy of this process; nothing in the copy.
fn fork() -> io::Result<Option<Pid>> {
    // SAFETY: the caller has one thread, so that the copy finds no lock taken. The copy
    // runs none of this program's own work and leaves by `_exit` or a signal.
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
    // SAFETY: `_exit` has no conditions; nothing here needs a destructor.
    unsafe { libc::_exit(code.into()) }
}

fn drop_capabilities() -> io::Result<()> {
    let none = CapabilitySet::empty();
    let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
    rustix::thread::clear_ambient_capability_set()?;
    Ok(rustix::thread::set_capabilities(None, sets)?)
}

/// The answer of a copy of this process, which may change itself: enter a namespace, trace.
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

/// Whether the first way leads into a process of the same user that nothing guards.
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
            // The bait opens itself up at once; until then it is as closed as its parent.
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

/// Every way, and which of them worked.
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

/// A file of the process in `/proc`.
fn opened(target: Pid, name: &str) -> io::Result<OwnedFd> {
    let path = PathBuf::from(format!("/proc/{}/{name}", target.as_raw_nonzero()));
    Ok(rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?)
}

fn has_entries(directory: &OwnedFd) -> bool {
    let Ok(entries) = rustix::fs::Dir::read_from(directory) else { return false };
    entries.flatten().any(|entry| !matches!(entry.file_name().to_bytes(), b"." | b".."))
}

/// Whether one of the descriptors in this list says what it is open on. Root may list their
/// numbers without a capability, and learns nothing by it.
fn leads_somewhere(descriptors: &OwnedFd) -> bool {
    let Ok(entries) = rustix::fs::Dir::read_from(descriptors) else { return false };
    entries.flatten().any(|entry| rustix::fs::readlinkat(descriptors, entry.file_name(), Vec::new()).is_ok())
}

/// Whether it may be traced. It is let go when this process ends, and never stopped.
fn traced(target: Pid) -> bool {
    const NOTHING: usize = 0;
    // SAFETY: `PTRACE_SEIZE` takes a process id, no address and options as a number; it
    // changes no memory of this process.
    unsafe { libc::ptrace(libc::PTRACE_SEIZE, target.as_raw_nonzero().get(), NOTHING, NOTHING) == 0 }
}

/// Whether one of its namespaces can be opened, or entered by a handle of the process. One
/// in which this process is already counts as entered by neither.
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
