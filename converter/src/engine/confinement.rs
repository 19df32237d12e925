//! Data types for the confinement of an engine process.
//!
//! [`InForce`] is the confinement of one engine process, as reported by that process after it
//! confined itself and, where the kernel shows it, read back from the kernel. [`Level`] grades it:
//! a minimum is configured, and below it no library is loaded.

use cadmill_core::domain::failure::{Failure, FailureCode};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The first Landlock ABI with which the level `files` can be reached: what ABI 3 adds, TRUNCATE,
/// is covered by the system call filter and the modes of the input files.
pub const LEAST_LANDLOCK_ABI: u32 = 2;

/// Environment variable that names the minimum [`Level`].
pub const MINIMUM_VARIABLE: &str = "CADMILL_MIN_POSTURE";

/// How well an engine process is confined. Each level includes all those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Nothing is required.
    None,
    /// The system call filter, the resource limits and `no_new_privs`: no network, no new process,
    /// no access to other processes.
    Syscalls,
    /// And Landlock, ABI 2 or later: no files except the job's and the libraries'.
    #[default]
    Files,
    /// And its own network namespace and user id.
    Isolated,
}

impl Level {
    /// All levels, lowest first.
    pub const ALL: [Self; 4] = [Self::None, Self::Syscalls, Self::Files, Self::Isolated];

    /// The name used in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Syscalls => "syscalls",
            Self::Files => "files",
            Self::Isolated => "isolated",
        }
    }

    /// The level that [`MINIMUM_VARIABLE`] names, or the default.
    ///
    /// # Errors
    /// `usage.invalid` if the value is not a level.
    pub fn from_environment() -> Result<Self, Failure> {
        match std::env::var(MINIMUM_VARIABLE) {
            Err(std::env::VarError::NotPresent) => Ok(Self::default()),
            Ok(word) => word.parse(),
            Err(_) => "".parse(),
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Level {
    type Err = Failure;

    fn from_str(word: &str) -> Result<Self, Failure> {
        let words = Self::ALL.map(Self::as_str).join(", ");
        Self::ALL.into_iter().find(|level| level.as_str() == word).ok_or_else(|| {
            let text = format!("{MINIMUM_VARIABLE} is not a level of confinement; expected one of {words}");
            Failure::new(FailureCode::UsageInvalid, text)
        })
    }
}

/// What Landlock restricts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Landlock {
    /// The Landlock ABI in use; 0 if Landlock is not in force.
    pub abi: u32,
    /// TCP is denied (ABI 4).
    pub network: bool,
    /// Signals to processes outside, and connections to abstract unix sockets outside, are denied
    /// (ABI 6).
    pub scopes: bool,
}

/// The kernel's limits on the process, as read back: bytes, or a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// `RLIMIT_DATA`, bytes of private data.
    pub data_bytes: Option<u64>,
    /// `RLIMIT_AS`, bytes of address space; lowered again when the engine is loaded.
    pub address_bytes: Option<u64>,
    /// `RLIMIT_FSIZE`, bytes in one file.
    pub file_bytes: Option<u64>,
    /// `RLIMIT_CORE`, bytes in a core file.
    pub core_bytes: Option<u64>,
    /// `RLIMIT_STACK`, bytes of the first thread's stack.
    pub stack_bytes: Option<u64>,
    /// `RLIMIT_NOFILE`, descriptors.
    pub descriptors: Option<u64>,
    /// `RLIMIT_NPROC`, threads and processes of the user; set only if the process has its own user
    /// id.
    pub processes: Option<u64>,
    /// `RLIMIT_SIGPENDING`, queued signals.
    pub signals: Option<u64>,
}

/// The confinement of one engine process.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InForce {
    /// Access to files.
    pub landlock: Landlock,
    /// SHA-256 of the system call filter; absent if no filter is in force.
    pub seccomp: Option<String>,
    /// `no_new_privs` is set.
    pub no_new_privs: bool,
    /// It leaves a core dump, and other processes may read its memory.
    pub dumpable: bool,
    /// Its limits.
    pub limits: Limits,
    /// Effective capabilities, as a bit mask of the kernel's numbers.
    pub capabilities: u64,
    /// It has its own, empty network namespace.
    pub network_namespace: bool,
    /// The user id that only this process has.
    pub own_uid: Option<u32>,
    /// It has its own control group, with limits. Reported by the supervisor.
    pub control_group: bool,
}

impl InForce {
    /// The level reached.
    pub fn level(&self) -> Level {
        let limits = &self.limits;
        let limited = limits.core_bytes == Some(0)
            && [limits.data_bytes, limits.address_bytes, limits.file_bytes]
                .iter()
                .chain(&[limits.stack_bytes, limits.descriptors, limits.signals])
                .all(Option::is_some);
        if self.seccomp.is_none() || !self.no_new_privs || self.dumpable || !limited {
            Level::None
        } else if self.landlock.abi < LEAST_LANDLOCK_ABI {
            Level::Syscalls
        } else if !self.network_namespace || self.own_uid.is_none() {
            Level::Files
        } else {
            Level::Isolated
        }
    }
}

/// The failure for a level below the minimum.
pub fn too_weak(level: Level, minimum: Level) -> Failure {
    let text = format!("the engine would be confined to the level '{level}' here, '{minimum}' is required");
    Failure::new(FailureCode::Confinement, text)
        .with("level", level.as_str())
        .with("minimum", minimum.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> InForce {
        let some = Some(1 << 20);
        InForce {
            landlock: Landlock { abi: 7, network: true, scopes: true },
            seccomp: Some("ab".repeat(32)),
            no_new_privs: true,
            dumpable: false,
            limits: Limits {
                data_bytes: some,
                address_bytes: some,
                file_bytes: some,
                core_bytes: Some(0),
                stack_bytes: some,
                descriptors: some,
                processes: some,
                signals: some,
            },
            capabilities: 0,
            network_namespace: true,
            own_uid: Some(1),
            control_group: true,
        }
    }

    #[test]
    fn each_missing_guard_costs_its_level() {
        type Loss = fn(&mut InForce);
        let losses: [(Loss, Level); 10] = [
            (|_| {}, Level::Isolated),
            (|f| f.control_group = false, Level::Isolated),
            (|f| f.own_uid = None, Level::Files),
            (|f| f.network_namespace = false, Level::Files),
            (|f| f.landlock.abi = 2, Level::Isolated),
            (|f| f.landlock.abi = 1, Level::Syscalls),
            (|f| f.seccomp = None, Level::None),
            (|f| f.no_new_privs = false, Level::None),
            (|f| f.dumpable = true, Level::None),
            (|f| f.limits.core_bytes = None, Level::None),
        ];
        for (place, (lose, level)) in losses.into_iter().enumerate() {
            let mut in_force = full();
            lose(&mut in_force);
            assert_eq!(in_force.level(), level, "loss {place}");
        }
        assert_eq!(InForce::default().level(), Level::None);
    }

    #[test]
    fn words_and_levels_go_both_ways() {
        for level in Level::ALL {
            assert_eq!(level.as_str().parse::<Level>().unwrap(), level);
            assert_eq!(serde_json::to_value(level).unwrap(), level.as_str());
        }
        assert_eq!("Files".parse::<Level>().unwrap_err().code, FailureCode::UsageInvalid);
        assert!(Level::None < Level::Syscalls && Level::Files < Level::Isolated);
    }
}
