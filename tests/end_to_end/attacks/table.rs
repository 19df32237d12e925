//! The table of attacks: the input of each, and its outcome.

/// How an attack ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum End {
    /// It worked: its effect is present.
    Works,
    /// The engine was killed for this system call; `""` for one without a name.
    Violation(&'static str),
    /// The system call failed with one of these reasons, and the engine reported it.
    Refused(&'static str),
    /// The conversion fails with this exit code and failure code.
    Failure(i32, &'static str),
    /// It works, or the kernel or the container refuses it: it needs a privilege, or a kernel
    /// feature. As root on a bare machine it must work, unless the kernel does not support it.
    WorksOrKernelRefuses,
}

/// What the first line of the input holds.
#[derive(Debug, Clone, Copy)]
pub(super) enum Given {
    /// Nothing.
    Nothing,
    /// This text.
    Text(&'static str),
    /// The path of the input itself.
    Input,
    /// Nothing, in an archive: the engine reads the unpacked file.
    Unpacked,
    /// The path of a file of another job, which contains a secret.
    Secret,
    /// The path of a symbolic link beside the input that points to `/etc/passwd`.
    Link,
    /// A path outside the job where no file exists.
    Elsewhere,
    /// The same; the file that appears there is the effect.
    Effect,
    /// The port of a server that answers with a secret.
    Port,
    /// The path of a Unix socket whose server answers with a secret.
    Socket,
    /// The name of such a socket in the abstract namespace.
    Abstract,
}

/// One attack.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attack {
    pub(super) family: &'static str,
    pub(super) name: &'static str,
    pub(super) given: Given,
    /// Flags of `cadmill convert`.
    pub(super) flags: &'static [&'static str],
    pub(super) confined: End,
    pub(super) unconfined: End,
    /// The outcome without Landlock, if only Landlock blocks the attack.
    pub(super) without_landlock: Option<End>,
    /// The outcome below a Java converter, if the rules for a JVM differ.
    pub(super) in_java: Option<End>,
    /// The outcome in an unconfined JVM, if the JVM itself gets in the way.
    pub(super) unconfined_in_java: Option<End>,
}

const fn attack(
    family: &'static str,
    name: &'static str,
    given: Given,
    confined: End,
    unconfined: End,
) -> Attack {
    Attack {
        family,
        name,
        given,
        flags: &[],
        confined,
        unconfined,
        without_landlock: None,
        in_java: None,
        unconfined_in_java: None,
    }
}

impl Attack {
    const fn landlock_alone(self, end: End) -> Self {
        Self { without_landlock: Some(end), ..self }
    }

    const fn in_java(self, end: End) -> Self {
        Self { in_java: Some(end), ..self }
    }

    const fn unconfined_in_java(self, end: End) -> Self {
        Self { unconfined_in_java: Some(end), ..self }
    }

    const fn flags(self, flags: &'static [&'static str]) -> Self {
        Self { flags, ..self }
    }
}

use End::{Failure, Refused, Violation, Works, WorksOrKernelRefuses};
use Given::{Abstract, Effect, Elsewhere, Input, Link, Nothing, Port, Secret, Socket, Text, Unpacked};

const DENIED: End = Refused("Permission denied");
const NOT_PERMITTED: End = Refused("Operation not permitted");
const UNSUPPORTED: End = Refused("Operation not supported");
const UNKNOWN_CALL: End = Refused("Function not implemented");
const CAPPED: &[&str] = &["--memory", "128M", "--timeout", "60s"];
const ONE_SECOND: &[&str] = &["--timeout", "1s"];
const SMALL_OUTPUT: &[&str] = &["--max-output", "64M", "--timeout", "60s"];
const TIME: End = Failure(13, "limit.time");
const OUTPUT: End = Failure(16, "limit.output");
const MESSAGES: End = Failure(16, "limit.messages");
const FILES: End = Failure(16, "limit.files");
const MEMORY: End = Failure(12, "limit.memory");
const NO_MEMORY: End = Refused("Cannot allocate memory");
const NO_ANSWER: End = Failure(17, "engine.no_answer");
const OPTION: End = Failure(2, "usage.option");
const CRASHED: End = Failure(14, "engine.crashed");
const UNFIT: End = Failure(27, "engine.unfit");
const MISBEHAVED: End = Failure(17, "engine.misbehaved");

pub(super) const ATTACKS: &[Attack] = &[
    attack("files", "read_passwd", Nothing, DENIED, Works).landlock_alone(Works),
    // Landlock does not check this access mode. It needs write permission.
    attack("files", "open_for_neither", Nothing, Violation("openat"), WorksOrKernelRefuses),
    attack("files", "read_beside_libraries", Nothing, DENIED, Works).landlock_alone(Works),
    // Root may; other users may not, because the process is not dumpable.
    attack("files", "read_own_environ", Nothing, DENIED, Works).landlock_alone(WorksOrKernelRefuses),
    // `cadmill` is not dumpable either, so this needs a privilege.
    attack("files", "read_parent_environ", Nothing, DENIED, WorksOrKernelRefuses),
    attack("files", "read_parent_memory", Nothing, DENIED, WorksOrKernelRefuses),
    attack("files", "list_processes", Nothing, DENIED, Works).landlock_alone(Works),
    attack("files", "read_given", Secret, DENIED, Works).landlock_alone(Works),
    attack("files", "read_given", Link, DENIED, Works).landlock_alone(Works),
    attack("files", "write_input", Input, DENIED, Works).landlock_alone(Works),
    attack("files", "empty_input", Input, DENIED, Works).landlock_alone(Works),
    // Landlock before ABI 3 does not check truncation.
    attack("files", "empty_input_for_reading", Input, Violation("openat"), Works),
    attack("files", "empty_input_for_neither", Input, Violation("openat"), Works),
    attack("files", "empty_input_and_create", Input, Violation("openat"), Works),
    attack("files", "empty_input_by_wide_flags", Input, Violation("openat"), Works),
    attack("files", "empty_input_by_openat2", Input, UNKNOWN_CALL, Works),
    #[cfg(target_arch = "x86_64")]
    attack("files", "empty_input_by_open", Input, Violation("open"), Works),
    #[cfg(target_arch = "x86_64")]
    attack("files", "empty_input_by_creat", Input, Violation("creat"), Works),
    #[cfg(target_arch = "x86_64")]
    attack("files", "empty_input_by_x32", Input, Violation("1073742081"), WorksOrKernelRefuses),
    attack("files", "truncate_input", Input, Violation("truncate"), Works),
    // The file mode, 0400, is a second barrier. Root bypasses it, but no engine runs as root.
    attack("files", "write_own_input", Unpacked, DENIED, WorksOrKernelRefuses),
    attack("files", "empty_own_input", Unpacked, DENIED, WorksOrKernelRefuses),
    attack("files", "rename_input", Input, DENIED, Works).landlock_alone(Works),
    attack("files", "remove_input", Input, DENIED, Works).landlock_alone(Works),
    attack("files", "chmod_input", Input, Violation("chmod"), Works),
    attack("files", "fchmod_input", Input, Refused("Operation not permitted"), Works),
    attack("files", "create_elsewhere", Elsewhere, DENIED, Works).landlock_alone(Works),
    attack("files", "rename_across", Nothing, Refused("Invalid cross-device link"), Works)
        .landlock_alone(Works),
    attack("files", "link_across", Nothing, Violation("link"), Works),
    attack("files", "make_socket_file", Nothing, Violation("mknodat"), Works),
    attack("files", "unnamed_file", Nothing, UNSUPPORTED, Works),
    attack("files", "unnamed_output", Nothing, UNSUPPORTED, Works),
    attack("files", "unnamed_by_openat2", Nothing, UNKNOWN_CALL, Works),
    #[cfg(target_arch = "x86_64")]
    attack("files", "unnamed_by_open", Nothing, UNSUPPORTED, Works),
    attack("network", "tcp", Port, Violation("socket"), Works).in_java(NOT_PERMITTED),
    attack("network", "tcp_listen", Port, Violation("socket"), Works).in_java(NOT_PERMITTED),
    attack("network", "udp", Port, Violation("socket"), Works).in_java(NOT_PERMITTED),
    attack("network", "unix_path", Socket, Violation("socket"), Works).in_java(NOT_PERMITTED),
    attack("network", "unix_abstract", Abstract, Violation("socket"), Works).in_java(NOT_PERMITTED),
    attack("network", "netlink", Nothing, Violation("socket"), Works).in_java(NOT_PERMITTED),
    attack("network", "vsock", Nothing, Violation("socket"), WorksOrKernelRefuses).in_java(NOT_PERMITTED),
    attack("network", "raw", Nothing, Violation("socket"), WorksOrKernelRefuses).in_java(NOT_PERMITTED),
    // A JVM needs a socket pair: it owns both ends and cannot connect either of them.
    attack("network", "pair", Nothing, Violation("socketpair"), Works).in_java(Works),
    attack("network", "pair_of_internet", Nothing, Violation("socketpair"), WorksOrKernelRefuses)
        .in_java(NOT_PERMITTED),
    attack("network", "pair_connects", Nothing, Violation("socketpair"), Works).in_java(Violation("connect")),
    attack("network", "pair_sends", Nothing, Violation("socketpair"), Works).in_java(Violation("sendmsg")),
    attack("processes", "fork_of_libc", Nothing, Violation("clone"), Works),
    #[cfg(target_arch = "x86_64")]
    attack("processes", "fork_raw", Nothing, Violation("fork"), Works),
    #[cfg(target_arch = "x86_64")]
    attack("processes", "vfork_raw", Nothing, Violation("vfork"), Works),
    attack("processes", "clone_raw", Nothing, Violation("clone"), Works),
    attack("processes", "clone_thread_with_namespace", Nothing, Violation("clone"), WorksOrKernelRefuses),
    attack("processes", "clone_with_own_descriptors", Nothing, Violation("clone"), Works),
    attack("processes", "clone3_raw", Nothing, Refused("Function not implemented"), WorksOrKernelRefuses),
    attack("processes", "exec_shell", Effect, Violation("execve"), Works),
    attack("processes", "exec_descriptor", Effect, Violation("execveat"), Works),
    attack("processes", "exec_memory", Effect, Violation("memfd_create"), Works),
    attack("processes", "ptrace_parent", Nothing, Violation("ptrace"), WorksOrKernelRefuses),
    attack("processes", "read_parent", Nothing, Violation("process_vm_readv"), WorksOrKernelRefuses),
    attack("processes", "kill_parent", Nothing, Violation("kill"), Works),
    attack("processes", "tgkill_parent", Nothing, Violation("tgkill"), Works),
    attack("processes", "pidfd_parent", Nothing, Violation("pidfd_open"), Works),
    attack("processes", "limits_of_parent", Nothing, Violation("prlimit64"), Works),
    // A JVM sets its descriptor limit to the current value; a higher one needs a privilege.
    attack("processes", "limits_of_itself", Nothing, Violation("prlimit64"), Works).in_java(Works),
    attack("processes", "more_descriptors", Nothing, Violation("prlimit64"), WorksOrKernelRefuses)
        .in_java(NOT_PERMITTED),
    attack("processes", "daemonize", Effect, Violation("clone"), Works),
    #[cfg(target_arch = "x86_64")]
    attack("processes", "int80", Nothing, Violation(""), WorksOrKernelRefuses),
    #[cfg(target_arch = "x86_64")]
    attack("processes", "x32", Nothing, Violation("1073741863"), WorksOrKernelRefuses),
    attack("processes", "handle_sigsys", Nothing, Violation("rt_sigaction"), Works),
    attack("processes", "block_sigsys", Nothing, Violation(""), Works),
    // A note without the system call has no effect: the conversion continues.
    attack("processes", "forge_violation", Nothing, Works, Works),
    // What every user can read about the process; `posture.rs` looks from outside.
    attack("processes", "name_thread", Nothing, Refused("the thread keeps its name"), Works),
    attack("processes", "name_thread_by_file", Nothing, DENIED, Works).landlock_alone(WorksOrKernelRefuses),
    attack("processes", "name_memory", Nothing, Refused("the mapping has no name"), WorksOrKernelRefuses),
    attack("processes", "label_process", Text("labelled"), Violation("kill"), Works),
    attack("kernel", "io_uring", Nothing, Violation("io_uring_setup"), WorksOrKernelRefuses),
    attack("kernel", "userfaultfd", Nothing, Violation("userfaultfd"), WorksOrKernelRefuses),
    attack("kernel", "bpf", Nothing, Violation("bpf"), WorksOrKernelRefuses),
    attack("kernel", "perf_event", Nothing, Violation("perf_event_open"), WorksOrKernelRefuses),
    attack("kernel", "keyctl", Nothing, Violation("keyctl"), WorksOrKernelRefuses),
    attack("kernel", "mount_tmpfs", Nothing, Violation("mount"), WorksOrKernelRefuses),
    attack("kernel", "unshare_names", Nothing, Violation("unshare"), WorksOrKernelRefuses),
    attack("kernel", "enter_namespace", Nothing, Violation("setns"), WorksOrKernelRefuses),
    attack("kernel", "change_root", Nothing, Violation("chroot"), WorksOrKernelRefuses),
    attack("kernel", "open_by_handle", Nothing, Violation("name_to_handle_at"), WorksOrKernelRefuses),
    attack("kernel", "memory_file", Nothing, Violation("memfd_create"), Works),
    attack("kernel", "shared_memory", Nothing, Violation("shmget"), WorksOrKernelRefuses),
    attack("resources", "malloc_bomb", Text("128"), Refused("Cannot allocate memory"), Works).flags(CAPPED),
    attack("resources", "mmap_bomb", Text("128"), Refused("Cannot allocate memory"), Works).flags(CAPPED),
    // The threads of a JVM have stacks of a fixed size, whatever the limit is.
    attack("resources", "stack_bomb", Nothing, CRASHED, Works).unconfined_in_java(CRASHED),
    attack("resources", "descriptor_bomb", Nothing, Refused("Too many open files"), Works),
    // From here on the supervisor ends the attacks, whatever the host is. The same libraries work
    // if they stay moderate, or if the cap is higher.
    attack("resources", "queued_signals", Nothing, Refused("Resource temporarily unavailable"), Works),
    attack("resources", "thread_bomb", Nothing, Failure(16, "limit.threads"), Failure(16, "limit.threads")),
    attack("resources", "file_bomb", Nothing, FILES, FILES),
    attack("resources", "deep_bomb", Nothing, FILES, FILES),
    attack("resources", "locked_directory", Nothing, Works, Works),
    attack("resources", "sparse_bomb", Nothing, OUTPUT, OUTPUT).flags(SMALL_OUTPUT),
    attack("resources", "sparse_bomb", Nothing, Works, Works).flags(&["--max-output", "2T"]),
    attack("resources", "busy_loop", Text("0"), TIME, TIME).flags(ONE_SECOND),
    attack("resources", "busy_loop", Text("100"), Works, Works),
    attack("resources", "sleep_loop", Text("0"), TIME, TIME).flags(ONE_SECOND),
    attack("resources", "sleep_loop", Text("100"), Works, Works),
    attack("resources", "deaf_loop", Text("0"), TIME, TIME).flags(ONE_SECOND),
    attack("resources", "flood", Text("0"), MESSAGES, MESSAGES),
    attack("resources", "flood", Text("16"), Works, Works),
    attack("resources", "escapes", Nothing, Refused("forged: line"), Refused("forged: line")),
    // Memory that RLIMIT_DATA does not count: the kernel refuses it, or RLIMIT_AS does. Unconfined,
    // the watchdog ends the engine at the same cap.
    attack("memory", "shared_anonymous", Text("128"), NOT_PERMITTED, MEMORY).flags(CAPPED),
    attack("memory", "shared_anonymous", Text("8"), NOT_PERMITTED, Works).flags(CAPPED),
    // Unconfined, only the kernel sees this memory.
    attack("memory", "shared_not_resident", Text("128"), NOT_PERMITTED, Works).flags(CAPPED),
    attack("memory", "shared_device", Text("128"), DENIED, MEMORY).flags(CAPPED).landlock_alone(NO_MEMORY),
    attack("memory", "grows_down", Text("128"), NOT_PERMITTED, MEMORY).flags(CAPPED),
    attack("memory", "grows_down", Text("8"), NOT_PERMITTED, Works).flags(CAPPED),
    attack("memory", "huge_pages", Nothing, NOT_PERMITTED, WorksOrKernelRefuses),
    attack("memory", "read_only_after", Text("128"), MEMORY, MEMORY).flags(CAPPED),
    attack("memory", "read_only_after", Text("8"), Works, Works).flags(CAPPED),
    attack("memory", "moved_stack", Text("128"), NO_MEMORY, MEMORY).flags(CAPPED),
    attack("memory", "moved_stack", Text("8"), Works, Works).flags(CAPPED),
    attack("memory", "pieces_of_stack", Text("128"), MEMORY, MEMORY).flags(CAPPED),
    attack("memory", "page_tables", Text("128"), NO_MEMORY, MEMORY).flags(CAPPED),
    attack("memory", "full_pipes", Text("24"), NOT_PERMITTED, Works),
    attack("memory", "full_pairs", Text("32"), Violation("socketpair"), Works)
        .in_java(Refused("Broken pipe")),
    attack("memory", "lock_files", Nothing, Refused("No locks available"), Works),
    attack("memory", "more_addresses", Nothing, NOT_PERMITTED, WorksOrKernelRefuses),
    attack("output", "leave_silently", Nothing, NO_ANSWER, NO_ANSWER),
    // Without confinement the attack itself works, and its result is refused.
    attack("output", "as_link", Nothing, Violation("symlink"), MISBEHAVED),
    attack("output", "as_fifo", Nothing, Violation("mknodat"), MISBEHAVED),
    attack("output", "with_second_name", Nothing, Violation("link"), MISBEHAVED),
    attack("output", "without_first_thread", Text("128"), MISBEHAVED, MISBEHAVED).flags(CAPPED),
    // The published file is the one that was there when the process was dead.
    attack("output", "answer_first", Nothing, Works, Works),
    attack("output", "change_later", Nothing, Violation("clone"), Works),
    // Three times the cap, or ten times; and an amount far below it, which works.
    attack("storage", "unreadable_directory", Text("200"), OUTPUT, OUTPUT).flags(SMALL_OUTPUT),
    attack("storage", "unreadable_directory", Text("20"), Works, Works),
    attack("storage", "masked_directory", Text("200"), OUTPUT, OUTPUT).flags(SMALL_OUTPUT),
    attack("storage", "masked_directory", Text("20"), Works, Works),
    attack("storage", "readable_below_unreadable", Text("200"), OUTPUT, OUTPUT).flags(SMALL_OUTPUT),
    attack("storage", "readable_below_unreadable", Text("20"), Works, Works),
    // No path reaches there, whatever the size.
    attack("storage", "long_path", Text("200"), FILES, FILES).flags(SMALL_OUTPUT),
    attack("storage", "long_path", Text("1"), FILES, FILES),
    attack("storage", "long_path_of_a_file", Text("200"), FILES, FILES).flags(SMALL_OUTPUT),
    attack("storage", "long_path_of_a_file", Text("1"), FILES, FILES),
    // Files grow by writing only.
    attack("storage", "kept_size", Text("200"), UNSUPPORTED, OUTPUT).flags(SMALL_OUTPUT),
    attack("storage", "kept_size", Text("20"), UNSUPPORTED, Works),
    attack("storage", "punched", Text("0"), UNSUPPORTED, Works),
    attack("storage", "allocated", Text("200"), UNSUPPORTED, OUTPUT).flags(SMALL_OUTPUT),
    attack("storage", "allocated", Text("20"), UNSUPPORTED, Works),
    attack("storage", "mapped", Text("200"), OUTPUT, OUTPUT).flags(SMALL_OUTPUT),
    attack("storage", "mapped", Text("20"), Works, Works),
    attack("storage", "copied", Text("200"), OUTPUT, OUTPUT).flags(SMALL_OUTPUT),
    attack("storage", "copied", Text("20"), Works, Works),
    attack("storage", "sent", Text("200"), OUTPUT, OUTPUT).flags(SMALL_OUTPUT),
    attack("storage", "sent", Text("20"), Works, Works),
    attack("storage", "many_writers", Text("200"), OUTPUT, OUTPUT).flags(SMALL_OUTPUT),
    attack("storage", "many_writers", Text("20"), Works, Works),
    attack("storage", "shuffled", Text("200"), OUTPUT, OUTPUT).flags(SMALL_OUTPUT),
    attack("storage", "crowd_fills", Text("400"), OUTPUT, OUTPUT).flags(SMALL_OUTPUT),
    attack("storage", "crowd_fills", Text("40"), Works, Works),
    attack("storage", "crowd_makes_directories", Text("20000"), FILES, FILES).flags(SMALL_OUTPUT),
    attack("storage", "shuffled", Text("20"), Works, Works),
    // Removed files are moved aside; unconfined, they are unlinked and only open.
    attack("storage", "cut_off", Text("200"), OUTPUT, OUTPUT).flags(SMALL_OUTPUT),
    attack("storage", "cut_off", Text("4"), Works, Works),
    attack("storage", "removed_files", Text("200"), OUTPUT, Works).flags(SMALL_OUTPUT),
    attack("storage", "removed_files", Text("20"), Works, Works),
    attack("storage", "replaced_files", Text("200"), OUTPUT, Works).flags(SMALL_OUTPUT),
    attack("storage", "replaced_files", Text("20"), Works, Works),
    attack("storage", "empty_files", Text("100000"), FILES, FILES),
    attack("storage", "empty_files", Text("500"), Works, Works),
    attack("storage", "empty_directories", Text("100000"), FILES, FILES),
    attack("storage", "empty_directories", Text("500"), Works, Works),
    attack("storage", "unreadable_files", Text("100000"), FILES, FILES),
    attack("storage", "unreadable_files", Text("500"), Works, Works),
    attack("storage", "attribute", Text("0"), Violation("fsetxattr"), WorksOrKernelRefuses),
    // The supervisor reads these messages, whatever the host is.
    attack("words", "forge_setup", Nothing, MISBEHAVED, MISBEHAVED),
    attack("words", "forge_missing", Nothing, MISBEHAVED, MISBEHAVED),
    attack("words", "forge_symbol", Nothing, MISBEHAVED, MISBEHAVED),
    attack("words", "forge_version", Nothing, MISBEHAVED, MISBEHAVED),
    attack("words", "forge_pin", Nothing, MISBEHAVED, MISBEHAVED),
    attack("words", "forge_not_built", Nothing, MISBEHAVED, MISBEHAVED),
    // Below Java it has an option to blame.
    attack("words", "forge_option", Nothing, MISBEHAVED, MISBEHAVED).in_java(UNFIT).unconfined_in_java(UNFIT),
    attack("words", "forge_probed", Nothing, MISBEHAVED, MISBEHAVED),
    attack("words", "forge_described", Nothing, MISBEHAVED, MISBEHAVED),
    attack("words", "forge_cancelled", Nothing, MISBEHAVED, MISBEHAVED),
    attack("words", "forge_began", Nothing, MISBEHAVED, MISBEHAVED),
    attack("words", "forge_loading", Nothing, MISBEHAVED, MISBEHAVED),
    attack("words", "forge_twice", Nothing, MISBEHAVED, MISBEHAVED),
    attack("words", "junk", Nothing, MISBEHAVED, MISBEHAVED),
    attack("words", "junk_of_any_length", Nothing, MISBEHAVED, MISBEHAVED),
    attack("words", "half_a_message", Nothing, MISBEHAVED, MISBEHAVED),
    attack("words", "early_setup", Nothing, MISBEHAVED, MISBEHAVED),
    attack("words", "early_missing", Nothing, MISBEHAVED, MISBEHAVED),
    attack("words", "early_symbol", Nothing, MISBEHAVED, MISBEHAVED),
    attack("words", "early_version", Nothing, MISBEHAVED, MISBEHAVED),
    attack("words", "early_pin", Nothing, MISBEHAVED, MISBEHAVED),
    // Below Java, a constructor runs in the middle of a conversion. It blames the converter's
    // option whether the input is there or not, as a converter may that does not know the option.
    attack("words", "early_option", Nothing, MISBEHAVED, MISBEHAVED)
        .in_java(OPTION)
        .unconfined_in_java(OPTION),
    attack("words", "early_probed", Nothing, MISBEHAVED, MISBEHAVED),
    attack("words", "unreadable_file", Nothing, MISBEHAVED, MISBEHAVED),
    attack("words", "unreadable_directory", Nothing, MISBEHAVED, MISBEHAVED),
    // What a plugin lists as its data is shown to the operator, and widens nothing.
    attack("plugin", "widened_by_data", Nothing, DENIED, Works).landlock_alone(Works),
    // What it says of itself is checked in its own process, whatever the host is.
    attack("plugin", "path_as_id", Nothing, MISBEHAVED, MISBEHAVED),
    attack("plugin", "path_as_extension", Nothing, MISBEHAVED, MISBEHAVED),
    attack("plugin", "absolute_extension", Nothing, MISBEHAVED, MISBEHAVED),
    attack("plugin", "parent_as_id", Nothing, MISBEHAVED, MISBEHAVED),
    attack("plugin", "path_as_option", Nothing, MISBEHAVED, MISBEHAVED),
    attack("plugin", "escapes_as_name", Nothing, MISBEHAVED, MISBEHAVED),
    attack("plugin", "endless_outputs", Nothing, MISBEHAVED, MISBEHAVED),
    attack("plugin", "name_without_end", Nothing, MISBEHAVED, MISBEHAVED),
    attack("plugin", "name_beyond_memory", Nothing, CRASHED, CRASHED),
    // Texts are read to 4096 bytes, and no pointer can be verified.
    attack("plugin", "text_without_end", Nothing, Works, Works),
    attack("plugin", "text_beyond_memory", Nothing, CRASHED, CRASHED),
    attack("plugin", "texts_nowhere", Nothing, Works, Works),
    attack("plugin", "huge_texts", Nothing, Works, Works),
    attack("plugin", "facts_with_escapes", Nothing, Works, Works),
    attack("plugin", "many_lines", Text("0"), MESSAGES, MESSAGES),
    attack("plugin", "many_lines", Text("1000"), Works, Works),
    attack("plugin", "many_facts", Text("0"), MESSAGES, MESSAGES),
    attack("plugin", "many_facts", Text("1000"), Works, Works),
    attack("plugin", "many_reports", Text("0"), TIME, TIME).flags(ONE_SECOND),
    attack("plugin", "many_reports", Text("100000"), Works, Works),
    attack("plugin", "calls_from_threads", Nothing, Works, Works),
    // Their reasons for a failure contradict the success.
    attack("plugin", "calls_after_return", Nothing, MISBEHAVED, MISBEHAVED),
    attack("plugin", "ends_its_thread", Nothing, CRASHED, CRASHED),
    // A process without a handler cannot be asked; it has no answer either.
    attack("plugin", "handles_crashes", Nothing, NO_ANSWER, NO_ANSWER),
    attack("plugin", "survives_crashes", Nothing, Works, Works),
];
