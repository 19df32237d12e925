//! What confines an engine process, as data.
//!
//! [`InForce`] is what one engine process has got, told by that process after it confined
//! itself and, where the kernel shows it, read back from the kernel. [`Level`] is the
//! yardstick: a minimum is configured, and below it no library is loaded.

use cadmill_core::domain::failure::{Failure, FailureCode};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The first Landlock ABI with which files are confined: what ABI 3 adds, TRUNCATE, the
/// filter of system calls and the modes of the input take away.
pub const LEAST_LANDLOCK_ABI: u32 = 2;

/// Environment variable that names the least [`Level`].
pub const MINIMUM_VARIABLE: &str = "CADMILL_MIN_POSTURE";

/// How well an engine process is confined. Each level has all of those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Nothing is asked for.
    None,
    /// The filter of system calls, the resource limits and `no_new_privs`: no
    /// network, no new process, no other process touched.
    Syscalls,
    /// And Landlock, ABI 2 or later: no file but the job's and the libraries'.
    #[default]
    Files,
    /// And a network namespace and a user id of its own.
    Isolated,
}

impl Level {
    /// Every level, the least first.
    pub const ALL: [Self; 4] = [Self::None, Self::Syscalls, Self::Files, Self::Isolated];

    /// The word of the configuration.
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
    /// `usage.invalid` for a word that is no level.
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

/// What Landlock holds back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Landlock {
    /// Version of the kernel's interface that is used; 0 when there is none in force.
    pub abi: u32,
    /// TCP is denied (ABI 4).
    pub network: bool,
    /// Signals to processes and connections to abstract unix sockets beyond the
    /// process are denied (ABI 6).
    pub scopes: bool,
}

/// Limits of the kernel on the process, as it reads them back. Bytes, or a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// `RLIMIT_DATA`, bytes of private data.
    pub data_bytes: Option<u64>,
    /// `RLIMIT_AS`, bytes of addresses; lowered once more when the engine is loaded.
    pub address_bytes: Option<u64>,
    /// `RLIMIT_FSIZE`, bytes in one file.
    pub file_bytes: Option<u64>,
    /// `RLIMIT_CORE`, bytes in a core file.
    pub core_bytes: Option<u64>,
    /// `RLIMIT_STACK`, bytes of the first thread's stack.
    pub stack_bytes: Option<u64>,
    /// `RLIMIT_NOFILE`, descriptors.
    pub descriptors: Option<u64>,
    /// `RLIMIT_NPROC`, threads and processes of the user; set with a user id of its own.
    pub processes: Option<u64>,
}

/// What one engine process has got.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InForce {
    /// Access to files.
    pub landlock: Landlock,
    /// SHA-256 of the filter of system calls; absent when none is in force.
    pub seccomp: Option<String>,
    /// It can gain no privilege.
    pub no_new_privs: bool,
    /// It leaves a core dump, and others may look into its memory.
    pub dumpable: bool,
    /// Its limits.
    pub limits: Limits,
    /// Effective capabilities, as the kernel numbers them.
    pub capabilities: u64,
    /// It has a network namespace of its own, with nothing in it.
    pub network_namespace: bool,
    /// The user id that it has to itself.
    pub own_uid: Option<u32>,
    /// It has a control group of its own, with limits. Told by the supervisor.
    pub control_group: bool,
}

impl InForce {
    /// The level that this amounts to.
    pub fn level(&self) -> Level {
        let limits = &self.limits;
        let limited = limits.core_bytes == Some(0)
            && [limits.data_bytes, limits.address_bytes, limits.file_bytes]
                .iter()
                .chain(&[limits.stack_bytes, limits.descriptors])
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

/// The refusal.
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
