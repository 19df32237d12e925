//! What a JVM gets when it asks for a pair of sockets, and what a library gets that asks for a
//! pipe.
//!
//! Bytes that wait in a socket or a pipe are in the kernel: they count in no process, and with
//! a thousand descriptors they are some hundred MiB. Native libraries need neither. A JVM makes
//! one pair of sockets for its file channels, closes one end, and puts the other in the place
//! of descriptors that it is about to close, so that whoever reads from them reads the end.
//! So it gets copies of one socket whose other end was closed before: it reads as ended,
//! takes no bytes, and leads nowhere.
//!
//! This runs in a signal handler ([`crate::engine::sandbox::sigsys`]): no allocation and no lock.

use libc::{c_int, c_long};
use std::io;
use std::sync::atomic::{AtomicI32, Ordering};

/// The socket without another end; none in the process of a native library.
static ENDED: AtomicI32 = AtomicI32::new(-1);

/// Makes the socket that copies are given of.
///
/// # Errors
/// The system's.
pub(super) fn keep_one() -> io::Result<()> {
    let mut ends = [-1; 2];
    // SAFETY: `ends` has room for two descriptors.
    if unsafe {
        libc::socketpair(libc::AF_UNIX, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0, ends.as_mut_ptr())
    } != 0
    {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was made above, and nothing else has it.
    unsafe { libc::close(ends[1]) };
    ENDED.store(ends[0], Ordering::SeqCst);
    Ok(())
}

/// What the call would have answered; None if it is another.
///
/// # Safety
/// `number` and `arguments` are those of a system call that the calling thread was about to
/// make. As in the kernel, its pointer is to room for two descriptors; unlike there, one that
/// is not crashes the process.
pub(super) unsafe fn answer(number: c_long, arguments: [u64; 6]) -> Option<c_long> {
    match number {
        #[cfg(target_arch = "x86_64")]
        libc::SYS_pipe => Some(-c_long::from(libc::EPERM)),
        libc::SYS_socketpair if ENDED.load(Ordering::SeqCst) >= 0 => {
            // SAFETY: the caller's promise.
            Some(unsafe { copies(arguments[3] as *mut c_int) })
        }
        _ => None,
    }
}

/// # Safety
/// `to` has room for two descriptors.
unsafe fn copies(to: *mut c_int) -> c_long {
    let mut made = [-1; 2];
    for copy in &mut made {
        // SAFETY: the descriptor is open, or the answer an error; async-signal-safe.
        *copy = unsafe { libc::fcntl(ENDED.load(Ordering::SeqCst), libc::F_DUPFD_CLOEXEC, 0) };
        if *copy < 0 {
            // SAFETY: as above. What was not made is refused.
            unsafe { libc::close(made[0]) };
            return -c_long::from(libc::EMFILE);
        }
    }
    // SAFETY: the caller's promise.
    unsafe { to.cast::<[c_int; 2]>().write_unaligned(made) };
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_two_copies_of_a_socket_that_has_ended() {
        // SAFETY: no pointer is used: there is no socket yet.
        assert_eq!(unsafe { answer(libc::SYS_socketpair, [1, 1, 0, 0, 0, 0]) }, None);
        keep_one().unwrap();
        let mut ends: [c_int; 2] = [-1; 2];
        // SAFETY: there is room for two descriptors.
        let answered = unsafe { answer(libc::SYS_socketpair, [1, 1, 0, ends.as_mut_ptr() as u64, 0, 0]) };
        assert_eq!(answered, Some(0));
        for end in ends {
            let mut byte = 0u8;
            // SAFETY: there is room for a byte; the descriptor is open and this test's.
            let (read, sent) = unsafe {
                let read = libc::read(end, (&raw mut byte).cast(), 1);
                let sent = libc::send(end, (&raw const byte).cast(), 1, libc::MSG_NOSIGNAL);
                libc::close(end);
                (read, sent)
            };
            assert_eq!((read, sent), (0, -1));
        }
    }
}
