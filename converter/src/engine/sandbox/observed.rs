//! Reports what the confinement denies, for `cadmill engines check`.
//!
//! A further filter traps the calls that open or make a file, and the handler
//! ([`crate::engine::sandbox::sigsys`]) makes them itself, so that it sees what Landlock answers. A
//! call that the filter of step 10 forbids is reported and fails with `ENOSYS`, where otherwise the
//! process would end; so one run shows all of them. Nothing is allowed that would not be allowed
//! without observation. Calls that fail in a job, where the process goes on without them, are reported
//! if a library may depend on them: pipes.
//!
//! This runs in a signal handler: no allocation, no lock. The kernel ends a thread that blocks `SIGSYS`
//! at its first such call, so calls that block signals are answered here, and `SIGSYS` is left out.

use crate::engine::sandbox::signal_record::{self, Note};
use libc::{c_int, c_long};
use seccompiler::{
    SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};
use std::ffi::CStr;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// Calls that fail with `EPERM` in a job.
#[cfg(target_arch = "x86_64")]
const REFUSED: &[c_long] = &[libc::SYS_pipe2, libc::SYS_pipe];
#[cfg(not(target_arch = "x86_64"))]
const REFUSED: &[c_long] = &[libc::SYS_pipe2];

/// Whether this process is observed.
static IN_FORCE: AtomicBool = AtomicBool::new(false);

/// In the fifth argument of a call that a handler makes. The calls have four at most, and the
/// kernel ignores it. A library may use it too: the filter of step 10 applies as well.
pub(super) const MARK: u64 = 0x0B5E_17ED;
const MARKED: u8 = 4;

/// Bytes of a path that are reported.
const PATH_BYTES: usize = 512;

/// Reports of one process, so that a library that looks for many files does not exceed the cap on
/// messages.
const MAX_REPORTS: u32 = 400;

static REPORTS: AtomicU32 = AtomicU32::new(0);

#[cfg(target_arch = "x86_64")]
const OBSERVED: &[c_long] =
    &[libc::SYS_openat, libc::SYS_open, libc::SYS_creat, libc::SYS_mkdirat, libc::SYS_mkdir];
#[cfg(not(target_arch = "x86_64"))]
const OBSERVED: &[c_long] = &[libc::SYS_openat, libc::SYS_mkdirat];

/// Begins to observe, irrevocably. Must come before the filter of step 10, which allows no other.
///
/// # Errors
/// Errors of the underlying system calls.
pub(super) fn begin() -> io::Result<()> {
    let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(io::Error::other)?;
    let unmarked = || {
        let condition = SeccompCondition::new(MARKED, SeccompCmpArgLen::Qword, SeccompCmpOp::Ne, MARK)?;
        SeccompRule::new(vec![condition])
    };
    let trapped = OBSERVED.iter().chain(REFUSED).chain(&[libc::SYS_rt_sigprocmask]);
    let rules = trapped.map(|&number| Ok((number, vec![unmarked()?])));
    let rules = rules.collect::<Result<_, seccompiler::BackendError>>().map_err(io::Error::other)?;
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::Trap, arch);
    let program: seccompiler::BpfProgram = filter.and_then(TryInto::try_into).map_err(io::Error::other)?;
    IN_FORCE.store(true, Ordering::SeqCst);
    seccompiler::apply_filter(&program).map_err(io::Error::other)
}

/// Changes the signals that the interrupted thread blocks, as rt_sigprocmask(2) does, but for `SIGSYS`;
/// `None` if the call is another or the process is not observed.
///
/// # Safety
/// `number` and `arguments` must be those of a system call that the thread of `context` was about to
/// make. As in the kernel, its pointers are null or to a set of signals; unlike in the kernel, an invalid
/// pointer crashes the process.
pub(super) unsafe fn mask(
    number: c_long,
    arguments: [u64; 6],
    context: &mut libc::ucontext_t,
) -> Option<c_long> {
    if number != libc::SYS_rt_sigprocmask || !IN_FORCE.load(Ordering::SeqCst) {
        return None;
    }
    let [how, set, old, size, ..] = arguments;
    let invalid = Some(-c_long::from(libc::EINVAL));
    if size != 8 {
        return invalid;
    }
    // The kernel restores it when the handler returns. Its set is the first 64 bits of glibc's.
    let blocked = (&raw mut context.uc_sigmask).cast::<u64>();
    // SAFETY: `uc_sigmask` has more than 64 bits.
    let before = unsafe { blocked.read_unaligned() };
    if set != 0 {
        // SAFETY: guaranteed by the caller.
        let given = unsafe { (set as *const u64).read_unaligned() };
        let now = match how as c_int {
            libc::SIG_BLOCK => before | given,
            libc::SIG_UNBLOCK => before & !given,
            libc::SIG_SETMASK => given,
            _ => return invalid,
        };
        let never = [libc::SIGSYS, libc::SIGKILL, libc::SIGSTOP].map(|signal| 1 << (signal - 1));
        // SAFETY: as above.
        unsafe { blocked.write_unaligned(now & !never.into_iter().fold(0, |all, one: u64| all | one)) };
    }
    if old != 0 {
        // SAFETY: guaranteed by the caller.
        unsafe { (old as *mut u64).write_unaligned(before) };
    }
    Some(0)
}

/// The result of the call in an observed process; in another `answer`, which is that of other
/// handlers, if they have one.
///
/// # Safety
/// `number` and `arguments` must be those of a system call that the calling thread was about to
/// make.
pub(super) unsafe fn answer(number: c_long, arguments: [u64; 6], answer: Option<c_long>) -> Option<c_long> {
    if !IN_FORCE.load(Ordering::SeqCst) {
        return answer;
    }
    if REFUSED.contains(&number) {
        report_call(number);
        return Some(-c_long::from(libc::EPERM));
    }
    if let Some(answer) = answer {
        if is_denial(answer, true) {
            // SAFETY: guaranteed by the caller.
            unsafe { report(number, true, removed_path(number, arguments)) };
        }
        return Some(answer);
    }
    if !OBSERVED.contains(&number) {
        report_call(number);
        return Some(-c_long::from(libc::ENOSYS));
    }
    let [first, second, third, fourth, ..] = arguments;
    // SAFETY: the call that the thread was about to make, with the same arguments.
    let result = unsafe { libc::syscall(number, first, second, third, fourth, MARK) };
    if result >= 0 {
        return Some(result);
    }
    // SAFETY: the address of the calling thread's errno is always valid.
    let result = -c_long::from(unsafe { *libc::__errno_location() });
    let (path, writes) = match number {
        libc::SYS_openat => (second, is_write(third)),
        libc::SYS_mkdirat => (second, true),
        #[cfg(target_arch = "x86_64")]
        libc::SYS_open => (first, is_write(second)),
        _ => (first, true),
    };
    if is_denial(result, writes) {
        // SAFETY: the kernel has read the path at this address.
        unsafe { report(number, writes, path) };
    }
    Some(result)
}

fn report_call(number: c_long) {
    if REPORTS.fetch_add(1, Ordering::Relaxed) < MAX_REPORTS {
        signal_record::send_violation(number.unsigned_abs());
    }
}

/// Whether the error is that of a guard. To a process that would write, a file system that is mounted
/// for reading only says the same.
fn is_denial(result: c_long, writes: bool) -> bool {
    let is = |error: c_int| result == -c_long::from(error);
    is(libc::EACCES) || (writes && (is(libc::EROFS) || is(libc::EPERM)))
}

fn is_write(flags: u64) -> bool {
    let flags = flags as c_int;
    flags & libc::O_ACCMODE != libc::O_RDONLY || flags & (libc::O_CREAT | libc::O_TRUNC) != 0
}

/// The address of the path that is removed.
fn removed_path(number: c_long, arguments: [u64; 6]) -> u64 {
    match number {
        libc::SYS_unlinkat | libc::SYS_renameat | libc::SYS_renameat2 => arguments[1],
        _ => arguments[0],
    }
}

/// # Safety
/// `path` is 0 or the address of a text that ends with a NUL.
unsafe fn report(number: c_long, writes: bool, path: u64) {
    if path == 0 || REPORTS.fetch_add(1, Ordering::Relaxed) >= MAX_REPORTS {
        return;
    }
    // SAFETY: guaranteed by the caller.
    let path = unsafe { CStr::from_ptr(path as *const libc::c_char) }.to_bytes();
    let mut note = Note::<{ 2 * PATH_BYTES + 128 }>::new();
    note.text(b"{\"denied\":{\"syscall\":");
    note.number(number.unsigned_abs());
    note.text(if writes { b",\"writes\":true,\"path\":\"" } else { b",\"writes\":false,\"path\":\"" });
    for byte in &path[..path.len().min(PATH_BYTES)] {
        let digit = |value: u8| b"0123456789abcdef"[usize::from(value)];
        note.text(&[digit(byte >> 4), digit(byte & 15)]);
    }
    note.text(b"\"}}");
    note.send();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_observation_nothing_is_answered() {
        // SAFETY: no pointer is used.
        unsafe {
            assert_eq!(answer(libc::SYS_openat, [0; 6], None), None);
            assert_eq!(answer(libc::SYS_unlinkat, [0; 6], Some(-13)), Some(-13));
        }
    }

    #[test]
    fn a_call_that_may_write_is_told_from_one_that_reads() {
        for (flags, writes) in [
            (libc::O_RDONLY, false),
            (libc::O_RDONLY | libc::O_CLOEXEC | libc::O_DIRECTORY, false),
            (libc::O_RDONLY | libc::O_CREAT, true),
            (libc::O_WRONLY, true),
            (libc::O_RDWR | libc::O_TRUNC, true),
        ] {
            assert_eq!(is_write(flags.cast_unsigned().into()), writes, "{flags:o}");
        }
        assert!(
            is_denial(-13, false) && is_denial(-30, true) && !is_denial(-30, false) && !is_denial(-2, true)
        );
    }
}
