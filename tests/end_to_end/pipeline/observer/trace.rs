//! Runs `strace` on a worker from its first instruction, and parses the log.
//!
//! The tracer is a grandchild (`-D`), so the process that the test started is the worker itself. It
//! follows all threads and child processes, and its log puts all calls in one order. A call appears
//! twice if another came between: its beginning, and its end (`<... name resumed>`); the end
//! counts. A call during which the process was killed has no end: it may or may not have happened.

use crate::misbehaviour::is_alive;
use std::collections::{HashMap, HashSet};
use std::path::{Component, Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Every call that creates, renames or removes a name; those that show processes and their current
/// directories; and `write`, for the ledgers.
const CALLS: &str = "open,openat,openat2,creat,mkdir,mkdirat,link,linkat,symlink,symlinkat,mknod,mknodat,\
    rename,renameat,renameat2,unlink,unlinkat,rmdir,chdir,fchdir,clone,clone3,fork,vfork,execve,write";

/// Bytes of each write in the log: enough to distinguish two records.
const SHOWN: usize = 160;

/// Timeout of waiting for the tracer.
const PATIENCE: Duration = Duration::from_secs(60);

/// A tracer and its log.
#[derive(Debug, Clone)]
pub(crate) struct Observer {
    log: PathBuf,
    tracer: u32,
}

/// One observed event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    /// The thread that did it.
    pub(crate) thread: u32,
    /// The kind of process that the thread belongs to.
    pub(crate) who: Who,
    pub(crate) what: What,
    /// Whether it is known to have happened: false for a call that did not return.
    pub(crate) sure: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Who {
    Worker,
    Engine,
    /// A process that executed another program.
    Other,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    File,
    Directory,
    /// A symbolic link, a pipe, a socket, or an unnamed file.
    Other,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    /// A name was created, or an existing file was opened by a call that would have created it.
    Make {
        path: PathBuf,
        kind: Kind,
        exclusive: bool,
    },
    Remove {
        path: PathBuf,
        directory: bool,
    },
    Rename {
        from: PathBuf,
        to: PathBuf,
    },
    /// A line of a ledger, as far as the log shows it.
    Record {
        ledger: PathBuf,
        text: String,
    },
}

impl Event {
    /// Whether a directory was made or removed.
    pub(crate) fn is_of_directory(&self) -> bool {
        matches!(self.what, What::Make { kind: Kind::Directory, .. } | What::Remove { directory: true, .. })
    }
}

impl Observer {
    /// A command that runs a program under an observer that logs to `log`.
    pub(crate) fn command(log: &Path, program: &Path) -> Command {
        let mut command = Command::new("strace");
        let calls = CALLS.split(',').map(|name| format!("?{}", name.trim())).collect::<Vec<_>>().join(",");
        command
            .args([
                "-D",
                "-q",
                "-f",
                "--seccomp-bpf",
                "-y",
                "-s",
                &SHOWN.to_string(),
                "-e",
                &format!("trace={calls}"),
            ])
            .args(["-e", "signal=all", "-o"])
            .arg(log)
            .arg(program);
        command
    }

    /// Whether this user may trace processes that are not dumpable (ptrace(2)).
    pub(crate) fn is_allowed() -> bool {
        /// Its number in linux/capability.h.
        const CAP_SYS_PTRACE: u32 = 19;
        let status = std::fs::read_to_string("/proc/self/status").expect("this process");
        let field = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
        let held = u64::from_str_radix(field.unwrap_or_default().trim(), 16).expect("capabilities");
        held >> CAP_SYS_PTRACE & 1 == 1
    }

    /// The observer of a process that was started with [`Self::command`].
    pub(crate) fn of(process: u32, log: PathBuf) -> Self {
        let since = Instant::now();
        loop {
            let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
            let line = status.lines().find_map(|line| line.strip_prefix("TracerPid:"));
            match line.and_then(|id| id.trim().parse().ok()) {
                Some(tracer) if tracer != 0 => return Self { log, tracer },
                _ => assert!(since.elapsed() < PATIENCE, "strace does not trace: {status}"),
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Whether the process has stopped itself.
    pub(crate) fn saw_it_stop(&self) -> bool {
        std::fs::read_to_string(&self.log).is_ok_and(|log| log.contains("--- stopped by SIGSTOP ---"))
    }

    /// All observed events, once every watched process is dead.
    pub(crate) fn saw(&self) -> Vec<Event> {
        let since = Instant::now();
        while is_alive(self.tracer) {
            assert!(since.elapsed() < PATIENCE, "strace does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
        read(&std::fs::read_to_string(&self.log).expect("the log of strace"))
    }
}

/// A call, as it appears in the log.
#[derive(Debug)]
struct Call<'a> {
    thread: u32,
    name: &'a str,
    arguments: Vec<String>,
    result: Ended,
}

#[derive(Debug, PartialEq, Eq)]
enum Ended {
    With(u64, Option<PathBuf>),
    Failed,
    Never,
}

/// Parses the events of a log.
pub(super) fn read(log: &str) -> Vec<Event> {
    let calls = calls(log);
    let processes = Processes::of(&calls);
    let mut here = HashMap::new();
    let mut events = Vec::new();
    for call in &calls {
        let process = processes.of_thread(call.thread);
        follow(call, process, &mut here);
        if call.result == Ended::Failed {
            continue;
        }
        let empty = PathBuf::new();
        if let Some(what) = call.what(here.get(&process).unwrap_or(&empty)) {
            let sure = call.result != Ended::Never;
            if let What::Rename { from, to } = &what {
                for place in here.values_mut() {
                    if let Ok(below) = place.strip_prefix(from) {
                        *place = to.join(below).components().collect();
                    }
                }
            }
            events.push(Event { thread: call.thread, who: processes.who(process), what, sure });
        }
    }
    events
}

/// Tracks the current directory of each process: strace shows it for calls with a directory
/// argument, but not for calls that are always relative to the current directory.
fn follow(call: &Call<'_>, process: u32, here: &mut HashMap<u32, PathBuf>) {
    for argument in &call.arguments {
        if let Some(path) = argument.strip_prefix("AT_FDCWD").and_then(shown_path) {
            here.insert(process, path);
        }
    }
    if matches!(call.result, Ended::With(0, _)) {
        match (call.name, call.arguments.first()) {
            ("chdir", Some(path)) => {
                let base = here.get(&process).cloned().unwrap_or_default();
                here.insert(process, joined(&base, &unquoted(path)));
            }
            ("fchdir", Some(directory)) => drop(shown_path(directory).map(|path| here.insert(process, path))),
            _ => {}
        }
    }
}

/// The process of each thread, and the program of each process.
struct Processes {
    /// For a thread that is not a process: the thread that created it.
    made_by: HashMap<u32, u32>,
    programs: HashMap<u32, String>,
}

impl Processes {
    fn of(calls: &[Call<'_>]) -> Self {
        let (mut made_by, mut programs) = (HashMap::new(), HashMap::new());
        for call in calls {
            let Ended::With(result, _) = call.result else { continue };
            let is_thread = call.arguments.iter().any(|argument| argument.contains("CLONE_THREAD"));
            match call.name {
                "clone" | "clone3" if is_thread => {
                    made_by.insert(u32::try_from(result).expect("a thread's number"), call.thread);
                }
                "execve" => drop(programs.insert(call.thread, unquoted(&call.arguments[0]))),
                _ => {}
            }
        }
        Self { made_by, programs }
    }

    fn of_thread(&self, mut thread: u32) -> u32 {
        while let Some(maker) = self.made_by.get(&thread) {
            thread = *maker;
        }
        thread
    }

    fn who(&self, process: u32) -> Who {
        match self.programs.get(&process).and_then(|program| program.rsplit('/').next()) {
            Some("cadmill-converter") => Who::Worker,
            Some("cadmill-engine-host") => Who::Engine,
            _ => Who::Other,
        }
    }
}

fn calls(log: &str) -> Vec<Call<'_>> {
    let mut begun: HashMap<u32, &str> = HashMap::new();
    let mut found = Vec::new();
    let mut dead = HashSet::new();
    for line in log.lines() {
        let (thread, rest) = line.split_once(' ').expect("a thread's number");
        let (thread, rest) = (thread.parse().expect("a thread's number"), rest.trim_start());
        if rest.starts_with("---") {
            continue;
        }
        if rest.starts_with("+++") {
            dead.insert(thread);
            continue;
        }
        if let Some(beginning) = rest.strip_suffix("<unfinished ...>") {
            begun.insert(thread, beginning);
            continue;
        }
        let resumed = rest.strip_prefix("<... ").and_then(|rest| rest.split_once(" resumed>"));
        let whole = match resumed {
            Some((_, end)) => format!("{}{end}", begun.remove(&thread).unwrap_or_default()),
            None => rest.to_owned(),
        };
        found.extend(Call::read(thread, rest, &whole));
    }
    // For these the log has no end: the tracer died first.
    assert!(begun.keys().all(|thread| dead.contains(thread)), "calls without an end: {begun:?}");
    found.extend(begun.iter().filter_map(|(thread, beginning)| {
        Call::read(*thread, beginning, &format!("{beginning}<unfinished ...>) = ?"))
    }));
    found
}

impl<'a> Call<'a> {
    /// `line` is the whole call; the name is borrowed from `shown`, its part of the log.
    fn read(thread: u32, shown: &'a str, line: &str) -> Option<Self> {
        let name = match shown.strip_prefix("<... ") {
            Some(rest) => rest.split(' ').next()?,
            None => shown.split('(').next()?,
        };
        let inside = line.strip_prefix(name)?.strip_prefix('(')?;
        let (arguments, end) = arguments(inside);
        let result = inside[end..].split_once(" = ").map(|(_, result)| Ended::read(result));
        Some(Self { thread, name, arguments, result: result.unwrap_or(Ended::Never) })
    }

    fn what(&self, here: &Path) -> Option<What> {
        let argument = |index: usize| self.arguments.get(index).map(String::as_str).unwrap_or_default();
        let at = |index: usize| {
            let base = shown_path(argument(index)).unwrap_or_else(|| here.to_owned());
            joined(&base, &known(here, &unquoted(argument(index + 1))))
        };
        let alone = |index: usize| joined(here, &known(here, &unquoted(argument(index))));
        let make = |path, kind| Some(What::Make { path, kind, exclusive: true });
        let remove = |path, directory| Some(What::Remove { path, directory });
        match self.name {
            "open" => self.opened(alone(0), argument(1)),
            "creat" => self.opened(alone(0), "O_CREAT|O_TRUNC"),
            "openat" | "openat2" => self.opened(at(0), argument(2)),
            "mkdir" => make(alone(0), Kind::Directory),
            "mkdirat" => make(at(0), Kind::Directory),
            "mknod" => make(alone(0), Kind::Other),
            "mknodat" => make(at(0), Kind::Other),
            "link" | "symlink" => make(alone(1), Kind::Other),
            "linkat" => make(at(2), Kind::Other),
            "symlinkat" => make(at(1), Kind::Other),
            "rename" => Some(What::Rename { from: alone(0), to: alone(1) }),
            "renameat" | "renameat2" => Some(What::Rename { from: at(0), to: at(2) }),
            "unlink" => remove(alone(0), false),
            "rmdir" => remove(alone(0), true),
            "unlinkat" => remove(at(0), argument(2).contains("AT_REMOVEDIR")),
            "write" => self.recorded(),
            _ => None,
        }
    }

    fn opened(&self, named: PathBuf, flags: &str) -> Option<What> {
        let exclusive = flags.contains("O_EXCL");
        // The path that the kernel resolved, unless it is already gone.
        let led = match &self.result {
            Ended::With(_, Some(path)) if !path.as_os_str().as_encoded_bytes().ends_with(b" (deleted)") => {
                path
            }
            _ => &named,
        };
        if flags.contains("O_TMPFILE") {
            return Some(What::Make { path: named.join("(nameless)"), kind: Kind::Other, exclusive: true });
        }
        flags.contains("O_CREAT").then(|| What::Make { path: led.clone(), kind: Kind::File, exclusive })
    }

    fn recorded(&self) -> Option<What> {
        let ledger = shown_path(self.arguments.first()?)?;
        let is_ledger = ledger.extension().is_some_and(|e| e == "jsonl");
        let text = unquoted(self.arguments.get(1)?);
        is_ledger.then_some(What::Record { ledger, text })
    }
}

impl Ended {
    fn read(text: &str) -> Self {
        if text.starts_with('-') {
            return Self::Failed;
        }
        let number: String = text.chars().take_while(char::is_ascii_digit).collect();
        number.parse().map_or(Self::Never, |number| Self::With(number, shown_path(text)))
    }
}

/// The arguments of a call, and the offset where they end.
fn arguments(text: &str) -> (Vec<String>, usize) {
    let (mut all, mut current, mut depth) = (Vec::new(), String::new(), 0_u32);
    let (mut quoted, mut escaped, mut path) = (false, false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' if !path => quoted = !quoted,
            _ if quoted => {}
            '<' => path = true,
            '>' if path => path = false,
            _ if path => {}
            '[' | '{' | '(' => depth += 1,
            ')' if depth == 0 => {
                all.push(current.trim().to_owned());
                return (all, at);
            }
            ']' | '}' | ')' => depth -= 1,
            ',' if depth == 0 => {
                all.push(std::mem::take(&mut current).trim().to_owned());
                continue;
            }
            _ => {}
        }
        current.push(c);
    }
    all.push(current);
    (all, text.len())
}

/// Replaces the `/proc/self/cwd/` prefix, which a JVM is given for its temporary files.
fn known(here: &Path, path: &str) -> String {
    match path.strip_prefix("/proc/self/cwd/") {
        Some(rest) => joined(here, rest).display().to_string(),
        None => path.to_owned(),
    }
}

/// The path that strace shows after a descriptor: `7</a/b>`.
fn shown_path(text: &str) -> Option<PathBuf> {
    let (_, rest) = text.split_once('<')?;
    let path = unescaped(rest.split_once('>')?.0);
    path.starts_with('/').then(|| PathBuf::from(path))
}

/// The text between the quotation marks; strace appends three dots to shortened texts.
fn unquoted(text: &str) -> String {
    let inner = text.strip_prefix('"').and_then(|rest| rest.rsplit_once('"')).map(|(inner, _)| inner);
    inner.map(unescaped).unwrap_or_default()
}

/// Decodes C escapes. The names in the tests are UTF-8.
fn unescaped(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, more @ ..] = rest {
        rest = more;
        if *first != b'\\' {
            bytes.push(*first);
            continue;
        }
        let octal = rest.iter().take(3).take_while(|byte| (b'0'..b'8').contains(byte)).count();
        if octal > 0 {
            let digits = std::str::from_utf8(&rest[..octal]).expect("digits");
            bytes.push(u8::from_str_radix(digits, 8).expect("a byte in octal"));
            rest = &rest[octal..];
        } else if let [letter, more @ ..] = rest {
            let letters = [(b'n', b'\n'), (b't', b'\t'), (b'r', b'\r'), (b'v', 11), (b'f', 12)];
            bytes.push(letters.iter().find(|(name, _)| name == letter).map_or(*letter, |(_, byte)| *byte));
            rest = more;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A path without `.`, `..` and empty parts.
fn joined(base: &Path, name: &str) -> PathBuf {
    let mut path = PathBuf::new();
    for part in base.join(name).components() {
        match part {
            Component::ParentDir => drop(path.pop()),
            Component::CurDir => {}
            part => path.push(part),
        }
    }
    path
}

#[test]
fn a_log_is_read_as_strace_writes_it() {
    let log = r#"10 execve("/x/cadmill-converter", ["c", "worker"], 0x7f /* 3 vars */) = 0
10 openat(AT_FDCWD</w>, "/etc/ld.so.cache", O_RDONLY|O_CLOEXEC) = 3</etc/ld.so.cache>
10 clone3({flags=CLONE_VM|CLONE_THREAD, child_tid=0x7f}, 88) = 11
11 write(9</a/1-0.jsonl>, "{\"act\":\"create\",\"file\":1}\n", 26) = 26
11 mkdirat(4</w/x \74y\76>, "\303\244, b", 0700 <unfinished ...>
10 openat(5</w>, "in", O_RDWR|O_CREAT|O_EXCL, 0600) = -1 EEXIST (File exists)
11 <... mkdirat resumed>)            = 0
10 vfork( <unfinished ...>
12 execve("/x/cadmill-engine-host", [], 0x7f /* 0 vars */) = 0
10 <... vfork resumed>) = 12
12 openat(AT_FDCWD</w/tmp>, "/lib/x", O_RDONLY) = 3</lib/x>
12 rename("a", "/proc/self/cwd/../b") = 0
12 --- SIGSYS {si_signo=SIGSYS} ---
12 unlink("../b" <unfinished ...>) = ?
12 +++ killed by SIGKILL +++
10 openat2(4</w>, "n", {flags=O_RDWR|O_CREAT|O_EXCL|O_CLOEXEC, mode=0600, resolve=RESOLVE_BENEATH}, 24) = 7</w/n>
"#;
    let events = read(log);
    let event = |thread, who, what, sure| Event { thread, who, what, sure };
    let (worker, engine) = (Who::Worker, Who::Engine);
    let text = "{\"act\":\"create\",\"file\":1}\n".to_owned();
    assert_eq!(
        events,
        [
            event(11, worker, What::Record { ledger: "/a/1-0.jsonl".into(), text }, true),
            event(
                11,
                worker,
                What::Make { path: "/w/x <y>/ä, b".into(), kind: Kind::Directory, exclusive: true },
                true
            ),
            event(12, engine, What::Rename { from: "/w/tmp/a".into(), to: "/w/b".into() }, true),
            event(12, engine, What::Remove { path: "/w/b".into(), directory: false }, false),
            event(10, worker, What::Make { path: "/w/n".into(), kind: Kind::File, exclusive: true }, true),
        ]
    );
}
