//! The handler for system calls that the filter traps.
//!
//! For such a call the filter raises `SIGSYS`, and the call is not made. If the call would have
//! removed a name, [`unlink_guard`] emulates it and the engine continues; [`pair`] answers calls
//! that a JVM cannot do without; [`observed`] lets a process go on whose denied calls are collected.
//! For any other call the handler reports the number, and the process ends. If the signal is blocked,
//! the kernel ends the process itself in all cases; then only the number is lost. The filter does not
//! allow replacing the handler.

use super::{observed, pair};
use crate::engine::sandbox::signal_record;
use crate::engine::sandbox::unlink_guard;
use std::io;

/// `si_code` of a signal that the filter raised (siginfo.h).
const SYS_SECCOMP: i32 = 1;

/// The part of `siginfo_t` that is filled in for `SIGSYS` on 64-bit Linux (sigaction(2)).
#[repr(C)]
struct Info {
    _signal: i32,
    _errno: i32,
    code: i32,
    _padding: i32,
    _call_address: u64,
    syscall: i32,
    _arch: u32,
}

/// Installs the handler. Messages go to the descriptor that was passed to
/// [`crate::engine::sandbox::crash_handler::install`].
///
/// # Errors
/// Errors of the underlying system calls.
pub fn install() -> io::Result<()> {
    // SAFETY: all zeros is a valid `sigaction`; the relevant fields are set below.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = on_signal as *const () as usize;
    // Without NODEFER: the signal is blocked in the handler, so a forbidden call there ends the
    // process. Without ONSTACK: a thread that makes calls has space on its stack, and the alternate
    // stack may be smaller than a path.
    action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
    // SAFETY: the handler has the signature for SA_SIGINFO, and uses async-signal-safe calls only.
    if unsafe { libc::sigaction(libc::SIGSYS, &action, std::ptr::null_mut()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

extern "C" fn on_signal(signal: i32, info: *const Info, context: *mut libc::ucontext_t) {
    // SAFETY: the kernel passes a whole `siginfo_t`, which is larger than `Info`.
    let info = unsafe { &*info };
    // A signal that the filter did not raise does not stand for a call.
    if info.code == SYS_SECCOMP {
        // SAFETY: the kernel passes the registers of the interrupted thread, which have no other
        // reference.
        let registers = unsafe { &mut *context };
        // SAFETY: the address of the calling thread's errno is always valid.
        let errno = unsafe { libc::__errno_location() };
        // SAFETY: as above.
        let before = unsafe { *errno };
        // SAFETY: number and arguments are those of the call that the thread is about to make.
        let answer = unsafe {
            let (number, arguments) = (info.syscall.into(), arguments(registers));
            let answer = observed::mask(number, arguments, registers);
            answer.or_else(|| {
                let removed = unlink_guard::answer(number, arguments);
                let answer = removed.or_else(|| pair::answer(number, arguments));
                observed::answer(number, arguments, answer)
            })
        };
        if let Some(answer) = answer {
            // SAFETY: as above.
            unsafe { *errno = before };
            return give(registers, answer);
        }
        signal_record::send_violation(u64::from(info.syscall.cast_unsigned()));
    }
    end(signal)
}

/// Ends the process by the signal, which is blocked here.
fn end(signal: i32) -> ! {
    // The default action cannot be restored in the usual way, because the filter protects the
    // handler. But a signal that the filter raises while it is blocked ends the process.
    // SAFETY: no system call has this number. With the filter in force this ends the process.
    unsafe { libc::syscall(NO_CALL) };
    // Otherwise no filter is in force, and the signal was sent explicitly, as by kill(2).
    // SAFETY: `signal`, `raise` and `_exit` are async-signal-safe. The raised signal is delivered when
    // it is unblocked; in either case the process ends here.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        libc::raise(signal);
        let mut signals: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut signals);
        libc::sigaddset(&mut signals, signal);
        libc::sigprocmask(libc::SIG_UNBLOCK, &signals, std::ptr::null_mut());
        libc::_exit(128 + signal)
    }
}

/// A number that no system call has.
const NO_CALL: libc::c_long = 0x7FFF_FFFF;

/// The arguments of a system call, from the registers in which the kernel takes them (syscall(2)).
#[cfg(target_arch = "x86_64")]
fn arguments(context: &libc::ucontext_t) -> [u64; 6] {
    use libc::{REG_R8, REG_R9, REG_R10, REG_RDI, REG_RDX, REG_RSI};
    let of = |register: i32| context.uc_mcontext.gregs[register as usize].cast_unsigned();
    [of(REG_RDI), of(REG_RSI), of(REG_RDX), of(REG_R10), of(REG_R8), of(REG_R9)]
}

/// Sets the return value of the interrupted call to `answer`.
#[cfg(target_arch = "x86_64")]
fn give(context: &mut libc::ucontext_t, answer: libc::c_long) {
    context.uc_mcontext.gregs[libc::REG_RAX as usize] = answer;
}

#[cfg(target_arch = "aarch64")]
fn arguments(context: &libc::ucontext_t) -> [u64; 6] {
    std::array::from_fn(|index| context.uc_mcontext.regs[index])
}

#[cfg(target_arch = "aarch64")]
fn give(context: &mut libc::ucontext_t, answer: libc::c_long) {
    context.uc_mcontext.regs[0] = answer.cast_unsigned();
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::{offset_of, size_of};

    #[test]
    fn the_layout_is_that_of_the_kernel() {
        assert_eq!(offset_of!(Info, code), offset_of!(libc::siginfo_t, si_code));
        assert_eq!(offset_of!(Info, syscall), 24);
        assert!(size_of::<Info>() <= size_of::<libc::siginfo_t>());
    }
}
