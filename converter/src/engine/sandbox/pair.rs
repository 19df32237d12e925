//! Results for a JVM that calls socketpair(2), and for a library that calls pipe(2).
//!
//! Bytes buffered in a socket or a pipe are kernel memory: they are charged to no process, and with
//! a thousand descriptors they amount to some hundred MiB. Native libraries need neither. A JVM
//! creates one pair of sockets for its file channels, closes one end, and duplicates the other over
//! descriptors that it is about to close, so that pending reads return end of file. It therefore
//! gets copies of one socket whose peer was closed before: reads return end of file, writes fail,
//! and no data passes.
//!
//! This runs in a signal handler ([`crate::engine::sandbox::sigsys`]): no allocation and no lock.

use libc::{c_int, c_long};
use std::io;
use std::sync::atomic::{AtomicI32, Ordering};

/// The socket without a peer; -1 in the process of a native library.
static ENDED: AtomicI32 = AtomicI32::new(-1);

/// Creates the socket that is duplicated.
///
/// # Errors
/// Errors of the underlying system calls.
pub(super) fn keep_one() -> io::Result<()> {
    let mut ends = [-1; 2];
    // SAFETY: `ends` has space for two descriptors.
    if unsafe {
        libc::socketpair(libc::AF_UNIX, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0, ends.as_mut_ptr())
    } != 0
    {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was created above, and has no other owner.
    unsafe { libc::close(ends[1]) };
    ENDED.store(ends[0], Ordering::SeqCst);
    Ok(())
}

/// The result of the call; `None` if it is another call.
///
/// # Safety
/// `number` and `arguments` must be those of a system call that the calling thread was about to
/// make. As in the kernel, its pointer is to space for two descriptors; unlike in the kernel, an
/// invalid pointer crashes the process.
pub(super) unsafe fn answer(number: c_long, arguments: [u64; 6]) -> Option<c_long> {
    match number {
        #[cfg(target_arch = "x86_64")]
        libc::SYS_pipe => Some(-c_long::from(libc::EPERM)),
        libc::SYS_socketpair if ENDED.load(Ordering::SeqCst) >= 0 => {
            // SAFETY: guaranteed by the caller.
            Some(unsafe { copies(arguments[3] as *mut c_int) })
        }
        _ => None,
    }
}

/// # Safety
/// `to` must have space for two descriptors.
unsafe fn copies(to: *mut c_int) -> c_long {
    let mut made = [-1; 2];
    for copy in &mut made {
        // SAFETY: the descriptor is open, or the call fails; async-signal-safe.
        *copy = unsafe { libc::fcntl(ENDED.load(Ordering::SeqCst), libc::F_DUPFD_CLOEXEC, 0) };
        if *copy < 0 {
            // SAFETY: as above. An invalid descriptor is rejected.
            unsafe { libc::close(made[0]) };
            return -c_long::from(libc::EMFILE);
        }
    }
    // SAFETY: guaranteed by the caller.
    unsafe { to.cast::<[c_int; 2]>().write_unaligned(made) };
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_two_copies_of_a_socket_that_has_ended() {
        // SAFETY: no pointer is used: the socket does not exist yet.
        assert_eq!(unsafe { answer(libc::SYS_socketpair, [1, 1, 0, 0, 0, 0]) }, None);
        keep_one().unwrap();
        let mut ends: [c_int; 2] = [-1; 2];
        // SAFETY: there is space for two descriptors.
        let answered = unsafe { answer(libc::SYS_socketpair, [1, 1, 0, ends.as_mut_ptr() as u64, 0, 0]) };
        assert_eq!(answered, Some(0));
        for end in ends {
            let mut byte = 0u8;
            // SAFETY: there is space for a byte; the descriptor is open and owned by this test.
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
