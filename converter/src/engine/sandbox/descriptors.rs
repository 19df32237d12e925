//! Step 1: makes the two pipes private and closes all other descriptors.
//!
//! The host starts with three descriptors: commands on 0, messages on 1, noise on 2. Libraries
//! print to 1 and some read 0, so the pipes move to higher numbers, 0 becomes `/dev/null`, and 1
//! becomes a copy of 2: output printed by a library is noise and cannot forge a message.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// The host's two pipes.
#[derive(Debug)]
pub struct Channel {
    /// Commands from the supervisor.
    pub commands: File,
    /// Messages to the supervisor.
    pub messages: File,
}

impl Channel {
    /// Takes the pipes from the standard descriptors. Call it once, first in `main`.
    ///
    /// # Errors
    /// Errors of any of the system calls.
    pub fn take() -> io::Result<Self> {
        // SAFETY: descriptors 0, 1 and 2 are open: the runtime opens /dev/null in place of a closed
        // one. They are only borrowed, for calls that do not close them.
        let (stdin, stdout, stderr) =
            unsafe { (BorrowedFd::borrow_raw(0), BorrowedFd::borrow_raw(1), BorrowedFd::borrow_raw(2)) };
        let commands = rustix::io::fcntl_dupfd_cloexec(stdin, LOWEST)?;
        let messages = rustix::io::fcntl_dupfd_cloexec(stdout, LOWEST)?;
        let null = File::open("/dev/null")?;
        replace(null.as_fd(), 0)?;
        replace(stderr, 1)?;
        drop(null);
        close_others(&commands, &messages)?;
        Ok(Self { commands: File::from(commands), messages: File::from(messages) })
    }

    /// The descriptor number for messages, for the crash handler.
    pub fn messages_fd(&self) -> RawFd {
        self.messages.as_raw_fd()
    }
}

/// Lowest number for the private descriptors: just above the standard ones.
const LOWEST: RawFd = 3;

/// Makes `target`, a standard descriptor, a duplicate of `source`.
fn replace(source: BorrowedFd<'_>, target: RawFd) -> io::Result<()> {
    // SAFETY: `target` is 0 or 1, and no value of this program owns it; it stays open, so wrapping
    // it in a value that is never dropped is sound.
    let mut owned = std::mem::ManuallyDrop::new(unsafe { OwnedFd::from_raw_fd(target) });
    rustix::io::dup2(source, &mut owned)?;
    Ok(())
}

/// Closes every descriptor except the standard ones and these two.
fn close_others(commands: &OwnedFd, messages: &OwnedFd) -> io::Result<()> {
    let mut kept = [commands.as_raw_fd().cast_unsigned(), messages.as_raw_fd().cast_unsigned()];
    kept.sort_unstable();
    close_range(3, kept[0] - 1)?;
    close_range(kept[0] + 1, kept[1] - 1)?;
    close_range(kept[1] + 1, u32::MAX)
}

fn close_range(first: u32, last: u32) -> io::Result<()> {
    if first > last {
        return Ok(());
    }
    // SAFETY: this closes descriptors that no value of this program owns: it runs first in `main`,
    // and the two owned ones are outside the ranges.
    let answer = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
