//! Attacks from inside the engine process: one library per attack, with one typed outcome.
//!
//! The libraries are `tests/fixtures/doubles/attacks/*.c`. Each shows by an effect of its own
//! whether it worked. The same libraries run four times: confined, where each must end as the table
//! says; with Landlock of the lowest ABI that the default minimum posture accepts, where each must
//! end the same way; in a host without confinement, where each must work, because otherwise the
//! other runs prove nothing; and without Landlock, which shows what Landlock alone blocks. All of
//! this runs three times: the library is loaded by the engine host, in place of Assimp; by a Java
//! converter, which has a different seccomp filter; and by the engine host, as a plugin, whose code
//! describes itself and calls the host. `plugin.c` has attacks on the plugin interface itself.

mod outside;
mod peak;
mod posture;
mod rig;
mod table;
mod tiers;

use rig::{Mode, Rig, Route};
pub(crate) use rig::{landlock_abi_2, preceded, unconfined_host, without_landlock};
use table::{ATTACKS, Attack};
pub(crate) use tiers::{BARE, SmallGroup, engine, open_bench};

/// Runs the attacks of a family and reports every unexpected outcome.
fn run(family: &str, mode: Mode, route: Route) {
    let attacks: Vec<&Attack> = ATTACKS.iter().filter(|attack| attack.family == family).collect();
    assert!(!attacks.is_empty(), "no attack of {family}");
    let wrong: Vec<String> = attacks
        .iter()
        .filter_map(|attack| {
            let rig = Rig::new(attack, mode, route);
            let run = rig.run();
            let expected = mode.expected(attack, route);
            rig.compare(&run, &expected).err().map(|text| {
                format!("{} {mode:?} {route:?}: expected {expected:?}: {text}\n  {run:?}", attack.name)
            })
        })
        .collect();
    println!("{family} {mode:?} {route:?}: {} attacks, {} wrong", attacks.len(), wrong.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The tests of a family in a plugin.
macro_rules! in_plugins {
    ($family:ident: confined $(#[$confined:meta])?, unconfined $(#[$unconfined:meta])?) => {
        $(#[$confined])?
        #[test]
        fn confined_each_attack_in_a_plugin_fails() {
            super::run(stringify!($family), super::Mode::Confined, super::Route::Plugin);
        }

        $(#[$unconfined])?
        #[test]
        fn unconfined_each_attack_in_a_plugin_works() {
            super::run(stringify!($family), super::Mode::Unconfined, super::Route::Plugin);
        }

        #[ignore = "in `make nightly`"]
        #[test]
        fn without_landlock_only_those_in_a_plugin_work_that_it_alone_stops() {
            super::run(stringify!($family), super::Mode::WithoutLandlock, super::Route::Plugin);
        }

        #[ignore = "in `make nightly`"]
        #[test]
        fn with_landlock_of_abi_2_each_attack_in_a_plugin_fails() {
            super::run(stringify!($family), super::Mode::LandlockAbi2, super::Route::Plugin);
        }
    };
}

/// The tests of a family. `make test` leaves out, by an attribute, the modes that repeat others for
/// most families: no attack but those on files depends on the ABI of Landlock, few depend on
/// Landlock at all, and few on what is loaded below them, a library, Java or a plugin.
macro_rules! family {
    ($family:ident: abi_2 $(#[$abi_2:meta])?, landlock $(#[$landlock:meta])?, java $(#[$java:meta])?,
     plugin $(#[$plugin:meta])?) => {
        mod $family {
            use super::{Mode, Route, run};

            #[test]
            fn confined_each_attack_fails() {
                run(stringify!($family), Mode::Confined, Route::Native);
            }

            #[test]
            fn unconfined_each_attack_works() {
                run(stringify!($family), Mode::Unconfined, Route::Native);
            }

            $(#[$landlock])?
            #[test]
            fn without_landlock_only_those_work_that_it_alone_stops() {
                run(stringify!($family), Mode::WithoutLandlock, Route::Native);
            }

            $(#[$abi_2])?
            #[test]
            fn with_landlock_of_abi_2_each_attack_fails() {
                run(stringify!($family), Mode::LandlockAbi2, Route::Native);
            }

            $(#[$java])?
            #[test]
            fn confined_each_attack_below_java_fails() {
                run(stringify!($family), Mode::Confined, Route::Java);
            }

            #[ignore = "in `make nightly`"]
            #[test]
            fn with_landlock_of_abi_2_each_attack_below_java_fails() {
                run(stringify!($family), Mode::LandlockAbi2, Route::Java);
            }

            $(#[$abi_2])?
            #[test]
            fn unconfined_each_attack_below_java_works() {
                run(stringify!($family), Mode::Unconfined, Route::Java);
            }

            #[ignore = "in `make nightly`"]
            #[test]
            fn without_landlock_only_those_below_java_work_that_it_alone_stops() {
                run(stringify!($family), Mode::WithoutLandlock, Route::Java);
            }

            in_plugins!($family: confined $(#[$plugin])?, unconfined $(#[$abi_2])?);
        }
    };
    // The modes that `make test` runs of a family.
    ($family:ident) => { family!($family: abi_2, landlock, java, plugin); };
    ($family:ident, landlock and java) => {
        family!($family: abi_2 #[ignore = "in `make nightly`"], landlock, java, plugin);
    };
    ($family:ident, plain) => {
        family!(
            $family: abi_2 #[ignore = "in `make nightly`"],
            landlock #[ignore = "in `make nightly`"],
            java #[ignore = "in `make nightly`"],
            plugin
        );
    };
    ($family:ident, long) => {
        family!(
            $family: abi_2 #[ignore = "in `make nightly`"],
            landlock #[ignore = "in `make nightly`"],
            java #[ignore = "in `make nightly`"],
            plugin #[ignore = "in `make nightly`"]
        );
    };
}

family!(files);
family!(processes, landlock and java);
family!(memory, landlock and java);
family!(storage, long);
family!(output, plain);
family!(network, plain);
family!(kernel, plain);
family!(resources, long);
family!(words, plain);

/// Attacks on the interface of plugins, which no other engine has.
mod plugin {
    in_plugins!(plugin: confined, unconfined);
}

/// The words in backquotes in a section of docs/SECURITY.md, without duplicates.
fn told(part: &str) -> Vec<String> {
    let security = std::fs::read_to_string(crate::support::repository().join("docs/SECURITY.md")).unwrap();
    let (_, rest) = security.split_once(&format!("<!-- {part} -->")).expect("the part of docs/SECURITY.md");
    let words = rest.split("<!-- end -->").next().unwrap().split('`').skip(1).step_by(2);
    sorted(words.collect())
}

fn sorted(mut names: Vec<&str>) -> Vec<String> {
    names.sort_unstable();
    names.dedup();
    names.into_iter().map(str::to_owned).collect()
}

#[test]
fn what_landlock_alone_stops_is_told() {
    let alone = ATTACKS.iter().filter(|attack| attack.without_landlock.is_some()).map(|attack| attack.name);
    assert_eq!(told("landlock alone"), sorted(alone.collect()));
}

#[test]
fn what_ends_otherwise_below_java_is_told() {
    let otherwise = ATTACKS.iter().filter(|attack| attack.in_java.is_some()).map(|attack| attack.name);
    assert_eq!(told("below java"), sorted(otherwise.collect()));
}

/// Each promise in docs/SECURITY.md names existing tests, and each attack belongs to a promise.
#[test]
fn promises_are_tested() {
    let repository = crate::support::repository();
    let security = std::fs::read_to_string(repository.join("docs/SECURITY.md")).unwrap();
    let (_, rest) = security.split_once("<!-- promises -->").expect("the part of docs/SECURITY.md");
    let rows: Vec<&str> = rest
        .split("<!-- end -->")
        .next()
        .unwrap()
        .lines()
        .filter(|line| line.starts_with("| "))
        .skip(1)
        .collect();
    assert!(rows.len() > 10, "{rows:?}");
    let mut named = Vec::new();
    for row in rows {
        let shown_by = row.trim_end_matches(" |").rsplit(" | ").next().unwrap();
        let tests: Vec<&str> = shown_by.split('`').skip(1).step_by(2).collect();
        assert!(!tests.is_empty(), "nothing shows that {row}");
        for test in tests {
            if let Some(name) = test.strip_prefix("attack:") {
                assert!(ATTACKS.iter().any(|attack| attack.name == name), "no attack {name}");
                named.push(name);
            } else {
                let (file, function) = test.split_once("::").expect("a file and a function");
                let source = std::fs::read_to_string(repository.join(file)).unwrap();
                assert!(has_test(&source, function), "{file} has no test {function}");
            }
        }
    }
    let unnamed: Vec<&str> = ATTACKS.iter().map(|a| a.name).filter(|name| !named.contains(name)).collect();
    assert!(unnamed.is_empty(), "no promise stands behind {unnamed:?}");
}

fn has_test(source: &str, function: &str) -> bool {
    let (plain, waits) = (format!("fn {function}() {{"), format!("async fn {function}() {{"));
    let lines = || source.lines().map(str::trim_start);
    lines().zip(lines().skip(1)).any(|(attribute, line)| {
        (attribute == "#[test]" && line == plain) || (attribute.starts_with("#[tokio::test") && line == waits)
    })
}
