//! The engine host as a process: started, watched, killed with its group, reaped.
//!
//! The host is started by `std` without `pre_exec`, so that the C library can use `posix_spawn`: a
//! fork would copy the page tables of a parent that may be large. The host leads its own process
//! group. The group is killed while its leader is still in the process table, so that the group id
//! cannot have been reused.

use crate::engine::frame;
use crate::engine::protocol::Command;
use crate::engine::sandbox::environment::KEPT;
use crate::linux::proc;
use crate::linux::reap::{Reaped, reap};
use crate::linux::signal::signal_thread;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, waitid};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{ChildStdin, Stdio};
use std::time::{Duration, Instant};

/// A host that is running, or dead and not yet reaped. Dropping it kills and reaps the process.
#[derive(Debug)]
pub(super) struct Process {
    pid: Pid,
    started: Instant,
    handle: OwnedFd,
    commands: ChildStdin,
    messages: Option<std::process::ChildStdout>,
    noise: Option<std::process::ChildStderr>,
    /// The processors of the thread that samples, before it kept to one.
    processors: Option<CpuSet>,
    /// Number of its threads when they were last moved to other processors.
    held_back: u64,
    reaped: bool,
}

/// Why [`Process::wait`] returned.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Ready {
    pub(super) messages: bool,
    pub(super) noise: bool,
    pub(super) ended: bool,
}

impl Process {
    /// Starts the host in `work`, which is also its directory for temporary files, by the path
    /// `temporaries`.
    pub(super) fn start(host: &Path, work: &Path, temporaries: &Path) -> io::Result<Self> {
        let mut command = std::process::Command::new(host);
        command
            .env_clear()
            .envs(KEPT.iter().zip(["C.UTF-8", "2"]))
            .env(KEPT[2], temporaries)
            .current_dir(work)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let started = Instant::now();
        let mut child = command.spawn()?;
        let pid = Pid::from_child(&child);
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let handle = rustix::process::pidfd_open(pid, PidfdFlags::empty());
        let (Ok(handle), (Some(commands), Some(messages), Some(noise))) = (handle, pipes) else {
            // Without the handle its end cannot be observed: end it now.
            let _ = child.kill();
            let _ = child.wait();
            return Err(io::Error::other("the engine host cannot be watched"));
        };
        // From here on, dropping the value ends the process.
        let process = Self {
            pid,
            started,
            handle,
            commands,
            messages: Some(messages),
            noise: Some(noise),
            processors: None,
            held_back: 0,
            reaped: false,
        };
        // The loop reads what is available and never blocks on one pipe.
        rustix::io::ioctl_fionbio(&process.commands, true)?;
        if let (Some(messages), Some(noise)) = (&process.messages, &process.noise) {
            rustix::io::ioctl_fionbio(messages, true)?;
            rustix::io::ioctl_fionbio(noise, true)?;
        }
        Ok(process)
    }

    pub(super) fn pid(&self) -> Pid {
        self.pid
    }

    /// Duplicates of the write end of the command pipe and of the process handle.
    pub(super) fn control(&self) -> io::Result<(OwnedFd, OwnedFd)> {
        Ok((self.commands.as_fd().try_clone_to_owned()?, self.handle.try_clone()?))
    }

    /// When it was started.
    pub(super) fn started(&self) -> Instant {
        self.started
    }

    /// Sends a command. It fits an empty pipe.
    ///
    /// # Errors
    /// `WouldBlock` if the process does not read its commands, or has filled the pipe itself:
    /// `/proc/self/fd` lets it open the other end.
    pub(super) fn send(&mut self, command: &Command) -> io::Result<()> {
        match frame::send(&mut self.commands, command) {
            // A host that died before it read the command is classified by its exit.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other.and_then(|()| self.commands.flush()),
        }
    }

    /// Waits for an event, at most for `timeout`.
    pub(super) fn wait(&self, timeout: Duration) -> io::Result<Ready> {
        let timeout = Timespec::try_from(timeout).map_err(io::Error::other)?;
        let mut fds = vec![PollFd::new(&self.handle, PollFlags::IN)];
        if let Some(messages) = &self.messages {
            fds.push(PollFd::new(messages, PollFlags::IN));
        }
        if let Some(noise) = &self.noise {
            fds.push(PollFd::new(noise, PollFlags::IN));
        }
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(Ready::default()),
            Err(error) => return Err(error.into()),
        }
        let mut answers = fds.iter().map(|fd| !fd.revents().is_empty());
        let mut next = |present: bool| present && answers.next().unwrap_or(false);
        Ok(Ready {
            ended: next(true),
            messages: next(self.messages.is_some()),
            noise: next(self.noise.is_some()),
        })
    }

    /// Reads the available bytes of messages; closes the pipe at its end.
    pub(super) fn read_messages(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        read_available(&mut self.messages, buffer)
    }

    /// Reads the available bytes of noise; closes the pipe at its end.
    pub(super) fn read_noise(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        read_available(&mut self.noise, buffer)
    }

    pub(super) fn close_messages(&mut self) {
        self.messages = None;
    }

    /// Whether unread bytes of messages are available.
    pub(super) fn has_messages(&self) -> io::Result<bool> {
        let Some(messages) = &self.messages else { return Ok(false) };
        Ok(rustix::io::ioctl_fionread(messages)? > 0)
    }

    /// Kills the process and every process in its group.
    pub(super) fn kill_group(&self) -> io::Result<()> {
        self.signal_group(Signal::KILL)
    }

    /// Asks the group to stop for a moment, so that it changes nothing; see
    /// [`Process::has_stopped`]. [`Process::go_on`] must follow.
    ///
    /// The signal goes to each thread. One for the whole process is handled by its first thread,
    /// which may have to wait for a processor while hundreds of others write.
    pub(super) fn stop_group(&self) -> io::Result<()> {
        self.signal_group(Signal::STOP)?;
        proc::threads(self.pid).try_for_each(|thread| signal_thread(self.pid, thread, Signal::STOP))
    }

    /// Whether all threads have stopped, or the process is gone. A thread that allocates or writes
    /// much in one system call stops after it: only SIGKILL interrupts these.
    pub(super) fn has_stopped(&self) -> bool {
        let stopped = waitid(WaitId::Pid(self.pid), WaitIdOptions::STOPPED | WaitIdOptions::NOHANG);
        !matches!(stopped, Ok(None) | Err(Errno::INTR))
    }

    /// Lets a stopped group continue.
    pub(super) fn go_on(&self) -> io::Result<()> {
        self.signal_group(Signal::CONT)
    }

    /// Leaves the last processor to the calling thread, which samples, and to others that do: moves
    /// every thread of the process to the other processors, if there are several. Threads that
    /// these create stay there as well.
    ///
    /// Priorities do not do that: beside hundreds of runnable threads Linux 6.18 lets a thread of
    /// niceness 0 wait for 100 ms, and even longer if the others are nicer.
    ///
    /// A worker that runs as root without `CAP_SYS_NICE` may not do that to an engine with another
    /// user id, which then keeps its processors.
    ///
    /// Does nothing unless it has more `threads` than the last time.
    pub(super) fn hold_back(&mut self, threads: u64) {
        if threads <= self.held_back {
            return;
        }
        self.held_back = threads;
        let Some(ours) = self.processors.or_else(|| sched_getaffinity(None).ok()) else { return };
        let (Some(last), 2..) = ((0..CpuSet::MAX_CPU).rfind(|&n| ours.is_set(n)), ours.count()) else {
            return;
        };
        let (mut its, mut mine) = (ours, CpuSet::new());
        its.unset(last);
        mine.set(last);
        if self.processors.is_none() && sched_setaffinity(None, &mine).is_ok() {
            self.processors = Some(ours);
        }
        // A thread that was not moved yet may create others meanwhile.
        for _ in 0..3 {
            let mut moved = false;
            for thread in proc::threads(self.pid) {
                if sched_getaffinity(Some(thread)).is_ok_and(|now| now != its) {
                    moved |= sched_setaffinity(Some(thread), &its).is_ok();
                }
            }
            if !moved {
                break;
            }
        }
    }

    /// Gives the calling thread its processors back.
    fn spread_out(&mut self) {
        if let Some(ours) = self.processors.take() {
            let _ = sched_setaffinity(None, &ours);
        }
    }

    fn signal_group(&self, signal: Signal) -> io::Result<()> {
        debug_assert!(!self.reaped, "the number of a reaped process may be another's");
        match rustix::process::kill_process_group(self.pid, signal) {
            // No process is left in the group.
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes the dead process from the process table.
    pub(super) fn reap(&mut self) -> io::Result<Reaped> {
        self.spread_out();
        let remains = reap(self.pid)?;
        self.reaped = true;
        Ok(remains)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.spread_out();
        if !self.reaped {
            let _ = self.kill_group();
            let _ = reap(self.pid);
        }
    }
}

fn read_available<R: Read>(source: &mut Option<R>, buffer: &mut [u8]) -> io::Result<usize> {
    let Some(reader) = source else { return Ok(0) };
    match reader.read(buffer) {
        Ok(0) => {
            *source = None;
            Ok(0)
        }
        Ok(length) => Ok(length),
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(0),
        Err(error) => Err(error),
    }
}
