//! Step 10, the last: restricts which system calls may be made, by seccomp.
//!
//! The filters are data, `filters/*.json`, in the format of the crate `seccompiler`, each rule with
//! a comment that says what needs it. They are compiled when the program is built, because a
//! process for one conversion has no time for that. A call that is not on the list is not made: the
//! process gets `SIGSYS`, reports the number ([`crate::engine::sandbox::sigsys`]) and ends. A few
//! calls that harmless libraries try return an error instead. A call for another architecture, such
//! as the 32-bit calls of x86-64, ends the process at once.

use crate::digest::Digest;
use cadmill_core::domain::format::EngineKind;
use seccompiler::{BpfProgram, sock_filter};
use std::io;

/// Filters compiled by converter/build.rs: for native libraries, and for converters in Java, which
/// are allowed more calls, as a JVM needs them to start.
mod compiled {
    use seccompiler::sock_filter;

    include!(concat!(env!("OUT_DIR"), "/filters.rs"));
}

/// The filters for one process.
#[derive(Debug)]
pub struct Filter {
    programs: Vec<BpfProgram>,
    /// SHA-256 of the programs, without the process id: the same for each process.
    pub sha256: String,
}

/// The filter for this process, which will load an engine of this kind.
pub fn filter(kind: EngineKind) -> Filter {
    let programs = match kind {
        EngineKind::Jvm => compiled::JVM,
        EngineKind::Gdal | EngineKind::Assimp | EngineKind::Plugin => compiled::NATIVE,
    };
    let mut programs = programs.map(<[sock_filter]>::to_vec).to_vec();
    let sha256 = digest(&programs);
    for instruction in programs.iter_mut().flatten().filter(|i| i.k == compiled::ANYBODY) {
        instruction.k = std::process::id();
    }
    Filter { programs, sha256 }
}

/// Puts the filter in force, irrevocably, for this thread and the threads that it creates.
///
/// # Errors
/// Errors of the underlying system calls.
pub fn restrict(filter: &Filter) -> io::Result<()> {
    for program in &filter.programs {
        seccompiler::apply_filter(program).map_err(io::Error::other)?;
    }
    Ok(())
}

fn digest(programs: &[BpfProgram]) -> String {
    let mut hasher = Digest::default();
    for instruction in programs.iter().flatten() {
        hasher.update(&instruction.code.to_le_bytes());
        hasher.update(&[instruction.jt, instruction.jf]);
        hasher.update(&instruction.k.to_le_bytes());
    }
    hasher.finish()
}

/// The name of a system call that an engine does not need; its number if the name is unknown.
pub fn name(number: i64) -> String {
    let known = KNOWN.iter().chain(OLDER).find(|(known, _)| *known == number);
    known.map_or_else(|| number.to_string(), |(_, name)| (*name).to_owned())
}

macro_rules! names {
    ($($constant:ident),+ $(,)?) => { &[$((libc::$constant, stringify!($constant).split_at(4).1)),+] };
}

/// Calls that attacks make, or mistakes.
const KNOWN: &[(i64, &str)] = names![
    SYS_socket,
    SYS_socketpair,
    SYS_connect,
    SYS_bind,
    SYS_listen,
    SYS_accept4,
    SYS_sendto,
    SYS_sendmsg,
    SYS_clone,
    SYS_execve,
    SYS_execveat,
    SYS_wait4,
    SYS_setsid,
    SYS_setpgid,
    SYS_ptrace,
    SYS_process_vm_readv,
    SYS_process_vm_writev,
    SYS_kill,
    SYS_tkill,
    SYS_tgkill,
    SYS_prlimit64,
    SYS_setrlimit,
    SYS_prctl,
    SYS_io_uring_setup,
    SYS_userfaultfd,
    SYS_bpf,
    SYS_perf_event_open,
    SYS_keyctl,
    SYS_add_key,
    SYS_request_key,
    SYS_mount,
    SYS_umount2,
    SYS_pivot_root,
    SYS_unshare,
    SYS_setns,
    SYS_chroot,
    SYS_pipe2,
    SYS_memfd_create,
    SYS_memfd_secret,
    SYS_symlinkat,
    SYS_linkat,
    SYS_mknodat,
    SYS_truncate,
    SYS_setxattr,
    SYS_fsetxattr,
    SYS_fchmodat,
    SYS_fchownat,
    SYS_setuid,
    SYS_setresuid,
    SYS_setgid,
    SYS_capset,
    SYS_seccomp,
    SYS_landlock_create_ruleset,
    SYS_pidfd_open,
    SYS_pidfd_getfd,
    SYS_pidfd_send_signal,
    SYS_process_madvise,
    SYS_openat,
    SYS_openat2,
    SYS_open_by_handle_at,
    SYS_name_to_handle_at,
    SYS_inotify_init1,
    SYS_fanotify_init,
    SYS_shmget,
    SYS_msgget,
    SYS_semget,
    SYS_mq_open,
    SYS_init_module,
    SYS_finit_module,
    SYS_kexec_load,
    SYS_reboot,
    SYS_settimeofday,
    SYS_clock_settime,
    SYS_syslog,
    SYS_personality,
    SYS_rt_sigaction,
    SYS_fcntl,
    SYS_timer_create,
    SYS_io_setup,
    SYS_splice,
    SYS_vmsplice,
    SYS_tee,
    SYS_open_tree,
    SYS_move_mount,
    SYS_fsopen,
];

/// Calls that aarch64 never had.
#[cfg(target_arch = "x86_64")]
const OLDER: &[(i64, &str)] = names![
    SYS_fork,
    SYS_vfork,
    SYS_symlink,
    SYS_link,
    SYS_mknod,
    SYS_open,
    SYS_creat,
    SYS_pipe,
    SYS_chmod,
    SYS_chown,
    SYS_iopl,
    SYS_ioperm,
    SYS_modify_ldt
];
#[cfg(not(target_arch = "x86_64"))]
const OLDER: &[(i64, &str)] = &[];

/// Used by the build script to compile; used by the tests for each architecture.
#[cfg(test)]
mod filter_file;

#[cfg(test)]
mod tests {
    use super::*;

    use filter_file::{ANYBODY, PARTS, X86_64, programs};
    use seccompiler::TargetArch;

    const NATIVE: &str = include_str!("filters/native.json");
    const JVM: &str = include_str!("filters/jvm.json");
    const ARCHITECTURES: [TargetArch; 2] = [TargetArch::x86_64, TargetArch::aarch64];

    #[test]
    fn every_filter_compiles_for_every_architecture() {
        for file in [NATIVE, JVM] {
            for arch in ARCHITECTURES {
                let programs = programs(file, arch).unwrap();
                assert_eq!(programs.len(), PARTS.len());
                assert!(programs.iter().all(|p| p.len() > 4 && p.len() < 4096), "{arch:?}");
            }
        }
    }

    #[test]
    fn what_was_built_in_is_what_the_files_say() {
        let here = TargetArch::try_from(std::env::consts::ARCH).unwrap();
        for (file, kind) in [(NATIVE, EngineKind::Assimp), (NATIVE, EngineKind::Gdal), (JVM, EngineKind::Jvm)]
        {
            let programs = programs(file, here).unwrap();
            assert_eq!(filter(kind).sha256, digest(&programs), "{kind:?}");
            let lengths = |programs: &[BpfProgram]| programs.iter().map(Vec::len).collect::<Vec<_>>();
            assert_eq!(lengths(&filter(kind).programs), lengths(&programs), "{kind:?}");
        }
    }

    #[test]
    fn every_rule_says_who_needs_it() {
        for file in [NATIVE, JVM] {
            let parts: serde_json::Map<String, serde_json::Value> = serde_json::from_str(file).unwrap();
            let known = |name: &String| PARTS.contains(&name.strip_suffix(X86_64).unwrap_or(name));
            assert!(parts.keys().all(known), "{:?}", parts.keys());
            for rule in parts.values().flat_map(|part| part["filter"].as_array().unwrap()) {
                assert!(rule["comment"].as_str().is_some_and(|text| text.len() > 3), "{rule}");
            }
        }
    }

    #[test]
    fn the_digest_tells_filters_apart_and_the_process_is_named_once() {
        let arch = TargetArch::x86_64;
        let native = programs(NATIVE, arch).unwrap();
        assert_ne!(digest(&native), digest(&programs(JVM, arch).unwrap()));
        assert_ne!(digest(&native), digest(&programs(NATIVE, TargetArch::aarch64).unwrap()));
        assert_eq!(native.iter().flatten().filter(|i| i.k == ANYBODY).count(), 1);
        let filter = filter(EngineKind::Assimp);
        assert_eq!(filter.sha256.len(), 64);
        let named = filter.programs.iter().flatten().filter(|i| i.k == std::process::id()).count();
        assert!(named >= 1 && !filter.programs.iter().flatten().any(|i| i.k == ANYBODY));
    }

    #[test]
    fn calls_are_told_by_name() {
        assert_eq!(name(libc::SYS_socket), "socket");
        assert_eq!(name(libc::SYS_process_vm_readv), "process_vm_readv");
        assert_eq!(name(99_999), "99999");
    }
}
