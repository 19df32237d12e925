//! The posture as a list of checks: a verdict on each guard, and how to improve it.

use super::{InForce, KernelLandlock, Level, Machine, Posture, lacks, landlock};
use cadmill_core::domain::limits::display_size;
use serde::Serialize;
use std::borrow::Cow;

/// State of one guard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// In force.
    Ok,
    /// Not in force, and not required by the minimum.
    Weak,
    /// Not in force, and required by the minimum.
    Missing,
}

impl Verdict {
    /// The word that is displayed.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Weak => "weak",
            Self::Missing => "MISSING",
        }
    }
}

/// One line of `cadmill doctor`.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    /// The guard.
    pub name: &'static str,
    /// Its state.
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
    /// How to improve it; empty if no action is needed.
    pub hint: Cow<'static, str>,
}

/// All checks.
pub fn checks(posture: &Posture) -> Vec<Check> {
    let mut list = List { minimum: posture.minimum, checks: Vec::new() };
    list.add_calls(&posture.engine);
    list.add_files(&posture.engine, &posture.machine.landlock);
    list.add_tiers(&posture.engine);
    list.add_machine(&posture.machine);
    list.checks
}

struct List {
    minimum: Level,
    checks: Vec<Check>,
}

impl List {
    /// `needed` is the lowest level that requires the guard; `None` if no level does.
    fn add(
        &mut self,
        name: &'static str,
        good: bool,
        needed: Option<Level>,
        found: String,
        hint: impl Into<Cow<'static, str>>,
    ) {
        let verdict = match needed {
            _ if good => Verdict::Ok,
            Some(level) if level <= self.minimum => Verdict::Missing,
            _ => Verdict::Weak,
        };
        let hint = if good { Cow::Borrowed("") } else { hint.into() };
        self.checks.push(Check { name, verdict, found, hint });
    }

    fn add_calls(&mut self, engine: &InForce) {
        let syscalls = Some(Level::Syscalls);
        let filter =
            engine.seccomp.as_ref().map_or_else(|| "none".to_owned(), |sha256| format!("filter {sha256}"));
        self.add(
            "seccomp",
            engine.seccomp.is_some(),
            syscalls,
            filter,
            "The kernel needs CONFIG_SECCOMP_FILTER, and the container's profile must allow seccomp.",
        );
        let privileges = if engine.no_new_privs { "none can be gained" } else { "can be gained" };
        self.add(
            "privileges",
            engine.no_new_privs,
            syscalls,
            privileges.to_owned(),
            "The kernel must allow no_new_privs.",
        );
        let core = engine.limits.core_bytes == Some(0) && !engine.dumpable;
        let text = if core { "no core dump, not readable by others" } else { "core dumps are possible" };
        self.add(
            "memory",
            core,
            syscalls,
            text.to_owned(),
            "The engine host must be allowed to lower its limits.",
        );
        let limits = &engine.limits;
        let number = |value: Option<u64>| value.map_or_else(|| "none".to_owned(), |v| v.to_string());
        let size = |value: Option<u64>| value.map_or_else(|| "none".to_owned(), display_size);
        let text = format!(
            "data and file as the job says, stack {}, descriptors {}",
            size(limits.stack_bytes),
            number(limits.descriptors)
        );
        let all = [limits.data_bytes, limits.file_bytes, limits.stack_bytes, limits.descriptors];
        self.add(
            "limits",
            all.iter().all(Option::is_some),
            syscalls,
            text,
            "The engine host must be allowed to lower its limits.",
        );
    }

    fn add_files(&mut self, engine: &InForce, kernel: &KernelLandlock) {
        let landlock = &engine.landlock;
        let found = match landlock.abi {
            0 => kernel.why_none().to_owned(),
            abi => of_abi(abi),
        };
        let good = landlock.abi >= landlock::LEAST;
        self.add("files", good, Some(Level::Files), found, kernel.hint());
        let found = match (landlock.network, landlock.scopes) {
            (true, true) => "TCP, signals and abstract sockets denied twice",
            (true, false) => "TCP denied twice; signals and abstract sockets by the filter of calls alone",
            _ => "by the filter of calls alone",
        };
        let hint = "A second lock on network and signals comes with a kernel of 6.12 or later.";
        self.add("files and more", landlock.network && landlock.scopes, None, found.to_owned(), hint);
    }

    fn add_tiers(&mut self, engine: &InForce) {
        let isolated = Some(Level::Isolated);
        let found = if engine.network_namespace {
            "an empty namespace of its own"
        } else {
            "no namespace of its own"
        };
        let hint = "The host must allow namespaces: to root, or to everyone (user.max_user_namespaces).";
        self.add("network", engine.network_namespace, isolated, found.to_owned(), hint);
        let found = engine.own_uid.map_or_else(
            || "that of cadmill".to_owned(),
            |uid| format!("{uid}, of this process alone, where all that it reads lies in the workspace"),
        );
        let hint = "Run the worker as root in its container, with CAP_SETUID, CAP_SETGID and CAP_CHOWN, a place \
                    for workspaces that others may enter (mode 0711) and libraries that others may read.";
        self.add("user", engine.own_uid.is_some(), isolated, found, hint);
        let found = format!("{:#x}", engine.capabilities);
        self.add(
            "capabilities",
            engine.capabilities == 0,
            None,
            found,
            "Run cadmill as a user that is not root.",
        );
        let found = if engine.control_group { "a group of its own" } else { "none of its own" };
        let hint = "The host must let cadmill make control groups; without one the limits and the watchdog stand alone.";
        self.add("control group", engine.control_group, None, found.to_owned(), hint);
    }

    fn add_machine(&mut self, machine: &Machine) {
        let swap = machine.swap_bytes;
        let found = match swap {
            Some(0) => "off".to_owned(),
            Some(bytes) => format!("{} on", display_size(bytes)),
            None => "unknown".to_owned(),
        };
        self.add(
            "swap",
            !machine.may_swap(),
            None,
            found,
            "Turn swap off, or mount the workspace's tmpfs with noswap: plaintext may reach a disk.",
        );
        let free = machine.workspace_free_bytes.map_or_else(|| "unknown".to_owned(), display_size);
        let memory = matches!(machine.workspace_kind.as_str(), "tmpfs" | "ramfs");
        let found = format!("{}, {free} free", machine.workspace_kind);
        self.add("workspace", memory, None, found, "Mount a tmpfs and name it in CADMILL_WORKSPACE.");
        let private = machine.workspace_private;
        let found = match &machine.workspace_entered {
            Some(ways) if ways.is_empty() => {
                "in a mount namespace of its own, which a process outside could not enter".to_owned()
            }
            Some(ways) => {
                format!("in a mount namespace that a process outside entered by {}", ways.join(", "))
            }
            None => "in the machine's file system".to_owned(),
        };
        let hint = "Run the worker as root with CAP_SYS_ADMIN, so that it can make a mount namespace; without one, permissions guard its files, from other users only, and the next worker removes what SIGKILL leaves.";
        self.add("worker's files", private, None, found, hint);
        let pattern = machine.core_pattern.clone().unwrap_or_else(|| "unknown".to_owned());
        // Accepted whatever it is: the processes that hold plaintext are not dumpable.
        self.add("core pattern", true, None, pattern, "");
        self.add("kernel", true, None, machine.kernel.clone(), "");
    }
}

/// The ABI, and the rights that it lacks.
fn of_abi(abi: u32) -> String {
    let lacks: Vec<String> =
        lacks(abi).iter().map(|lack| format!("{} (ABI {})", lack.what, lack.abi)).collect();
    match lacks.as_slice() {
        [] => format!("Landlock ABI {abi}"),
        lacks => format!(
            "Landlock ABI {abi}, which does not judge {}; what is not judged is denied otherwise",
            lacks.join(", ")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_abi_lacks_stands_beside_it() {
        assert_eq!((of_abi(6), of_abi(9)), ("Landlock ABI 6".to_owned(), "Landlock ABI 9".to_owned()));
        let text = of_abi(2);
        assert!(
            text.starts_with("Landlock ABI 2, which does not judge truncation (ABI 3), TCP (ABI 4)"),
            "{text}"
        );
    }

    #[test]
    fn what_the_minimum_asks_for_is_missing_and_the_rest_is_weak() {
        let of = |minimum: Level| {
            let posture = Posture {
                engine: InForce::default(),
                machine: Machine::default(),
                level: Level::None,
                minimum,
            };
            checks(&posture)
        };
        let count = |minimum| of(minimum).iter().filter(|c| c.verdict == Verdict::Missing).count();
        assert_eq!([Level::None, Level::Syscalls, Level::Files, Level::Isolated].map(count), [0, 4, 5, 7]);
        for check in of(Level::Isolated) {
            assert_eq!(check.verdict == Verdict::Ok, check.hint.is_empty(), "{check:?}");
            assert!(check.verdict == Verdict::Ok || check.hint.ends_with('.'), "{check:?}");
        }
    }
}
