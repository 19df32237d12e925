//! Landlock in this kernel: what its ABI lacks and which guard covers that instead; if Landlock is
//! not available, the reason and the remedy.
//!
//! The facts are from the kernel's documentation, `userspace-api/landlock.rst`.

use serde::Serialize;
use std::path::Path;

/// The lowest ABI that the level `files` accepts. What ABI 3 adds, control of truncation, is
/// covered by other guards: docs/adr/0015.
pub(super) const LEAST: u32 = 2;

/// What Landlock does not restrict before an ABI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Lack {
    /// The ABI that adds it.
    pub abi: u32,
    /// The first Linux with that ABI.
    pub linux: &'static str,
    /// What it restricts.
    pub what: &'static str,
    /// The guard that denies it where Landlock does not.
    pub instead: &'static str,
}

/// The rights that are used, by ABI. ABIs later than 6 add nothing that is used: messages to the
/// kernel's log, threads, and sockets, which an engine cannot create.
const RIGHTS: [Lack; 5] = [
    Lack {
        abi: 2,
        linux: "5.19",
        what: "moves between directories",
        instead: "all of them are refused, also those that a rule would allow",
    },
    Lack {
        abi: 3,
        linux: "6.2",
        what: "truncation",
        instead: "the filter of calls lets no file be truncated but by opening it for writing, which Landlock \
                  judges; input files that were unpacked are read-only",
    },
    Lack {
        abi: 4,
        linux: "6.7",
        what: "TCP",
        instead: "the filter of calls lets no socket be made that reaches anything",
    },
    Lack {
        abi: 5,
        linux: "6.10",
        what: "commands to devices",
        instead: "the filter of calls has a list of them, and no device may be opened but /dev/null and those of \
                  random numbers",
    },
    Lack {
        abi: 6,
        linux: "6.12",
        what: "signals and abstract sockets",
        instead: "the filter of calls lets no signal reach another process, and no socket be made that reaches \
                  anything",
    },
];

/// The rights that this ABI lacks; all of them for 0, which means no Landlock.
pub fn lacks(abi: u32) -> Vec<Lack> {
    RIGHTS.into_iter().filter(|right| right.abi > abi).collect()
}

/// Whether the kernel has Landlock, by its answer to the query for the ABI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Support {
    /// Not queried.
    #[default]
    Unknown,
    /// Enabled.
    Enabled,
    /// Built into the kernel, but not enabled at boot.
    NotEnabled,
    /// Not built into the kernel, or hidden by a layer in between.
    NotBuilt,
    /// The query is refused by a layer in between: the profile of a container.
    Refused,
}

/// Landlock on this machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct KernelLandlock {
    /// Whether it is available.
    pub support: Support,
    /// The kernel's ABI, which may be later than the one used.
    pub abi: Option<u32>,
    /// The active security modules, as the kernel lists them; absent if securityfs is not mounted.
    pub modules: Option<String>,
    /// If Landlock is built in but not enabled: the boot parameter that enables it, if the
    /// machine's other modules are known.
    pub boot_with: Option<String>,
}

impl KernelLandlock {
    /// Queries the kernel.
    pub(super) fn look(kernel: &str) -> Self {
        let modules = read("/sys/kernel/security/lsm");
        let (support, abi) = match crate::engine::sandbox::files::kernel_abi() {
            Ok(abi) => (Support::Enabled, Some(abi)),
            Err(libc::EOPNOTSUPP) => (Support::NotEnabled, None),
            Err(libc::ENOSYS) => (Support::NotBuilt, None),
            Err(_) => (Support::Refused, None),
        };
        let boot_with = (support == Support::NotEnabled).then(|| {
            let parameters = read("/proc/cmdline").unwrap_or_default();
            let config = read(format!("/boot/config-{kernel}"))
                .or_else(|| read(format!("/lib/modules/{kernel}/config")))
                .unwrap_or_default();
            boot_with(modules.as_deref(), &parameters, &config)
        });
        Self { support, abi, modules, boot_with: boot_with.flatten() }
    }

    /// Why Landlock is not in force, in words.
    pub(super) fn why_none(&self) -> &'static str {
        match self.support {
            Support::NotEnabled => "none: the kernel has Landlock built in, and was booted without it",
            Support::NotBuilt if self.is_loaded() => "none: the container's profile hides Landlock",
            Support::NotBuilt => {
                "none: the kernel was built without Landlock, or the container's profile hides it"
            }
            Support::Refused => "none: the container's profile refuses Landlock's calls",
            Support::Unknown | Support::Enabled => "none",
        }
    }

    /// How to get more.
    pub(super) fn hint(&self) -> String {
        let profile = "The container's profile must allow landlock_create_ruleset, landlock_add_rule and \
                       landlock_restrict_self.";
        match (self.support, &self.boot_with) {
            (Support::NotEnabled, Some(parameter)) => format!(
                "Boot with {parameter}: the modules that this machine has, and Landlock before them. Nothing need \
                 be built."
            ),
            (Support::NotEnabled, None) => {
                "Boot with lsm=landlock, and behind the comma the modules that this \
                                            machine has: as in /sys/kernel/security/lsm on the host once \
                                            securityfs is mounted, or in CONFIG_LSM of its kernel."
                    .to_owned()
            }
            (Support::NotBuilt, _) if self.is_loaded() => profile.to_owned(),
            (Support::NotBuilt, _) => format!(
                "Use a kernel of 5.19 or later that is built with CONFIG_SECURITY_LANDLOCK. {profile}"
            ),
            (Support::Refused, _) => profile.to_owned(),
            (Support::Unknown | Support::Enabled, _) => {
                "Use a kernel of 5.19 or later with Landlock among its lsm=.".to_owned()
            }
        }
    }

    fn is_loaded(&self) -> bool {
        self.modules.as_deref().is_some_and(|modules| modules.split(',').any(|module| module == "landlock"))
    }
}

fn read(path: impl AsRef<Path>) -> Option<String> {
    std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

/// `lsm=` with Landlock before the modules that the machine has: the active ones; if they cannot be
/// read, those of the boot parameters, of which the last `lsm=` counts; otherwise those that the
/// kernel was built with.
fn boot_with(modules: Option<&str>, parameters: &str, config: &str) -> Option<String> {
    let booted = || parameters.split_whitespace().rev().find_map(|word| word.strip_prefix("lsm="));
    let built = || {
        config.lines().find_map(|line| line.strip_prefix("CONFIG_LSM=")).map(|list| list.trim_matches('"'))
    };
    let list = modules.or_else(booted).or_else(built)?;
    // The capability module is always active, and is not named in `lsm=`.
    let others = list.split(',').map(str::trim).filter(|name| !["", "capability", "landlock"].contains(name));
    Some(format!("lsm={}", std::iter::once("landlock").chain(others).collect::<Vec<_>>().join(",")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_abi_lacks_what_later_ones_bring() {
        let abis = |abi| lacks(abi).iter().map(|lack| lack.abi).collect::<Vec<_>>();
        assert_eq!(abis(0), [2, 3, 4, 5, 6]);
        assert_eq!((abis(1), abis(2)), (vec![2, 3, 4, 5, 6], vec![3, 4, 5, 6]));
        assert_eq!((abis(5), abis(6), abis(7)), (vec![6], vec![], vec![]));
    }

    #[test]
    fn landlock_is_put_before_the_modules_that_there_are() {
        let config = "CONFIG_X=y\nCONFIG_LSM=\"lockdown,yama,integrity,selinux\"\n";
        let parameters = "root=/dev/vda lsm=selinux lsm=yama,bpf quiet";
        for (modules, parameters, config, expected) in [
            (Some("capability,yama,apparmor"), parameters, config, Some("lsm=landlock,yama,apparmor")),
            (Some("lockdown,capability"), "", "", Some("lsm=landlock,lockdown")),
            (None, parameters, config, Some("lsm=landlock,yama,bpf")),
            (None, "quiet", config, Some("lsm=landlock,lockdown,yama,integrity,selinux")),
            (None, "lsm=", "", Some("lsm=landlock")),
            (None, "xlsm=yama", "# CONFIG_LSM is not set", None),
        ] {
            assert_eq!(
                boot_with(modules, parameters, config).as_deref(),
                expected,
                "{modules:?} {parameters}"
            );
        }
    }

    #[test]
    fn every_reason_has_a_text_and_a_hint() {
        let of = |support, modules: Option<&str>, parameter: Option<&str>| KernelLandlock {
            support,
            abi: None,
            modules: modules.map(str::to_owned),
            boot_with: parameter.map(str::to_owned),
        };
        for (landlock, why, hint) in [
            (
                of(Support::NotEnabled, None, Some("lsm=landlock,yama")),
                "booted without",
                "lsm=landlock,yama:",
            ),
            (of(Support::NotEnabled, None, None), "booted without", "CONFIG_LSM"),
            (of(Support::NotBuilt, None, None), "built without", "CONFIG_SECURITY_LANDLOCK"),
            (of(Support::NotBuilt, Some("capability,landlock"), None), "profile hides", "profile must allow"),
            (of(Support::Refused, None, None), "refuses", "profile must allow"),
            (of(Support::Enabled, None, None), "none", "5.19"),
        ] {
            assert!(landlock.why_none().contains(why), "{landlock:?}");
            assert!(landlock.hint().contains(hint) && landlock.hint().ends_with('.'), "{landlock:?}");
        }
    }
}
