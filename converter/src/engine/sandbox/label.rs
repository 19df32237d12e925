//! Step 2, second half: what every user of the machine can read about the process.
//!
//! The names of its threads (`/proc/PID/comm`, `/proc/PID/task/TID/comm`) and its command line
//! (`/proc/PID/cmdline`) are readable by all users, whatever else of the process is not, and they
//! appear in the output of `ps`, the kernel log and the audit log. An engine that could set them
//! could publish the content of its input. The name is therefore a constant, which the filter
//! protects from changes ([`super::syscalls`]), and the command line, which is in the process's own
//! memory, is removed from what the kernel shows.

use std::ffi::CStr;
use std::io;

/// The name of the process and of each of its threads, which inherit it.
pub const NAME: &CStr = c"cadmill-engine";

/// Sets the name of the process, and removes its command line. The kernel supports the latter if it
/// has `CONFIG_CHECKPOINT_RESTORE`, as distribution kernels do; otherwise the command line stays
/// where the engine can write to it.
///
/// # Errors
/// The error of setting the name.
pub fn reset() -> io::Result<()> {
    rustix::thread::set_name(NAME)?;
    // It fails only where the kernel does not support it.
    let _ = std::fs::read_to_string("/proc/self/stat").and_then(|stat| hide_command_line(&stat));
    Ok(())
}

/// `struct prctl_mm_map` of `linux/prctl.h`.
#[repr(C)]
struct MemoryMap {
    start_code: u64,
    end_code: u64,
    start_data: u64,
    end_data: u64,
    start_brk: u64,
    brk: u64,
    start_stack: u64,
    arg_start: u64,
    arg_end: u64,
    env_start: u64,
    env_end: u64,
    auxv: *const u64,
    auxv_size: u32,
    exe_fd: u32,
}

/// Describes the process to the kernel unchanged, except for an empty command line.
fn hide_command_line(stat: &str) -> io::Result<()> {
    let field = |number: usize| field(stat, number).ok_or(io::ErrorKind::InvalidData);
    // SAFETY: brk(0) changes nothing and returns the end of the heap.
    let heap_end = unsafe { libc::syscall(libc::SYS_brk, 0) };
    let arguments = field(48)?;
    // Field numbers of proc(5).
    let map = MemoryMap {
        start_code: field(26)?,
        end_code: field(27)?,
        start_data: field(45)?,
        end_data: field(46)?,
        start_brk: field(47)?,
        brk: heap_end.cast_unsigned(),
        start_stack: field(28)?,
        arg_start: arguments,
        arg_end: arguments,
        env_start: field(50)?,
        env_end: field(51)?,
        // The auxiliary vector and the executable stay unchanged.
        auxv: std::ptr::null(),
        auxv_size: 0,
        exe_fd: u32::MAX,
    };
    let size = libc::c_ulong::try_from(size_of::<MemoryMap>()).map_err(io::Error::other)?;
    // SAFETY: the kernel reads `size` bytes of `map`, which lives through the call. It keeps the
    // addresses for display in /proc and as the end of the heap; they are the process's own, and
    // the heap does not move meanwhile, as there is one thread.
    let done = unsafe {
        libc::prctl(libc::PR_SET_MM, libc::c_ulong::from(PR_SET_MM_MAP), &raw const map, size, NONE)
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// From `linux/prctl.h`.
const PR_SET_MM_MAP: u32 = 14;

/// An unused argument of the call.
const NONE: libc::c_ulong = 0;

/// A field of a `/proc/PID/stat`, numbered as in proc(5). The second field, the name, may contain
/// any character; the third follows its closing parenthesis.
fn field(stat: &str, number: usize) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(number.checked_sub(3)?)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_behind_any_name() {
        let stat = "7 (a) b 9 9) S 1 2 3";
        assert_eq!(
            [3, 4, 5, 6, 7].map(|number| field(stat, number)),
            [None, Some(1), Some(2), Some(3), None]
        );
        assert_eq!([0, 2].map(|number| field(stat, number)), [None, None]);
    }
}
