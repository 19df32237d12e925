//! Memory used by the memory attacks, as counted by the kernel in a control group that the test
//! creates and that the supervisor does not know. A container cannot create one; there the test
//! samples the group of the whole container while an attack runs alone in it.

use super::outside::{STALL, TRIES, stalled};
use super::rig::{Route, engine_as_plugin, engine_in_java, library_of, preceded};
use super::table::{ATTACKS, Attack};
use super::tiers::{SmallGroup, by_double};
use crate::support::{Bench, Run, real};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

const CAP: u64 = 128 << 20;

/// Overshoot allowed above the cap, in bytes.
const TOLERANCE: u64 = 16 << 20;

/// More than any attack uses, so that this group is not what stops it.
const ROOM: u64 = 3 << 30;

const NOBODY: &str = "65534";

/// As an unprivileged user, who cannot create a control group.
const AS_NOBODY: [&str; 6] =
    ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all"];

/// The peak memory of a run while another conversion runs, and its outcome.
fn peak(bench: &Bench, engines: &Path, given: &str, java: Option<&str>, before: &[&str]) -> (u64, Run) {
    let input = bench.path("input.obj");
    std::fs::write(&input, format!("{given}\n")).unwrap();
    let mut command = by_double(bench, engines, &input);
    command.args(["--memory", "128M", "--timeout", "60s"]);
    if let Some(library) = java {
        command.args(["--opt", &format!("library={library}")]);
    }
    if !before.is_empty() {
        command = preceded(before, &command);
    }
    if is_in_container() {
        let alone = sampled(&mut command);
        beside_a_neighbour(|| command.output().unwrap());
        return alone;
    }
    let group = SmallGroup::new(ROOM).expect("another group");
    let run = beside_a_neighbour(|| group.around(&command).output().unwrap());
    (group.peak(), Run::from(run))
}

/// Runs an attack while another conversion runs, which must succeed.
fn beside_a_neighbour(attack: impl FnOnce() -> Output) -> Output {
    let neighbour = Bench::new();
    let mut other = neighbour.command(&["convert", real("mesh/rabbit.obj").to_str().unwrap(), "--to", "stl"]);
    let other = other.args(["--engine", "assimp", "-o", "out.stl"]).spawn().unwrap();
    let output = attack();
    let other = other.wait_with_output().unwrap();
    assert!(other.status.success(), "the neighbour's job failed");
    output
}

fn is_in_container() -> bool {
    super::outside::mounted().is_some()
}

/// The peak memory sampled in the container's group while a command runs, and its outcome.
fn sampled(command: &mut Command) -> (u64, Run) {
    const HELD: [&str; 2] = ["/sys/fs/cgroup/memory/memory.usage_in_bytes", "/sys/fs/cgroup/memory.current"];
    let held = || {
        let text = HELD.iter().find_map(|file| std::fs::read_to_string(file).ok());
        text.and_then(|text| text.trim().parse::<u64>().ok()).expect("what the container's group holds")
    };
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut most = 0;
    while child.try_wait().unwrap().is_none() {
        most = most.max(held());
        std::thread::sleep(Duration::from_micros(500));
    }
    (most, Run::from(child.wait_with_output().unwrap()))
}

/// Whether this user may run the programs.
fn may_run(bench: &Bench, before: &[&str]) -> bool {
    let command = bench.command(&["--version"]);
    before.is_empty() || preceded(before, &command).output().is_ok_and(|output| output.status.success())
}

/// The peak memory of one attack, and its outcome; none if this user may not run the programs.
fn once(attack: &Attack, given: &str, route: Route, before: &[&str]) -> Option<(u64, Run)> {
    let bench = Bench::new();
    let library = library_of(attack);
    let engines = match route {
        Route::Native => crate::misbehaviour::engines_file(&bench, &library, ""),
        Route::Java => engine_in_java(&bench, &library),
        Route::Plugin => engine_as_plugin(&bench, &library),
    };
    if !before.is_empty() {
        for path in [bench.place(), bench.path("").as_path(), engines.as_path()] {
            let owner = NOBODY.parse().ok().map(rustix::fs::Uid::from_raw);
            rustix::fs::chown(path, owner, None).unwrap();
        }
        if !may_run(&bench, before) {
            println!("skipped: the programs lie where others may not go");
            return None;
        }
    }
    let name = library.file_name().unwrap().to_str().unwrap();
    let measured = peak(&bench, &engines, given, (route == Route::Java).then_some(name), before);
    bench.assert_no_plaintext_left();
    Some(measured)
}

/// Runs each memory attack confined, and returns those that used more than [`TOLERANCE`] above the
/// cap.
fn exceeding(route: Route, before: &[&str]) -> Vec<String> {
    let all = ATTACKS.iter().filter(|a| a.family == "memory" || a.name == "without_first_thread");
    let capped: Vec<&Attack> = all.filter(|a| matches!(a.given, super::table::Given::Text("128"))).collect();
    assert!(capped.len() > 5);
    let mut wrong = Vec::new();
    // Memory of the programs themselves does not count against the attack.
    let mut base = None;
    for attack in [capped[0]].into_iter().chain(capped) {
        let given = if base.is_none() { "0" } else { "128" };
        for tries in 1.. {
            let (measured, stalled) = stalled(|| once(attack, given, route, before));
            let Some((peak, run)) = measured else { return wrong };
            let Some(base) = base else {
                base = Some(peak);
                break;
            };
            let taken = peak.saturating_sub(base);
            let line = format!("{}: {} MiB, exit {:?}", attack.name, taken >> 20, run.code);
            println!("{line}");
            if taken <= CAP + TOLERANCE && run.code != Some(0) {
                break;
            }
            // A machine that stalls every process stalls the supervisor too.
            if run.code == Some(0) || stalled < STALL || tries == TRIES {
                wrong.push(line);
                break;
            }
            println!("once more: this process was not run for {stalled:?}");
        }
    }
    wrong
}

fn shown(route: Route, before: &[&str]) {
    if is_in_container() && !before.is_empty() {
        println!("skipped: a container without privileges gives no other user");
        return;
    }
    if !is_in_container() && SmallGroup::new(ROOM).is_none() {
        println!("skipped: this host gives no control group");
        return;
    }
    let wrong = exceeding(route, before);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn no_attack_takes_more_memory_than_the_cap() {
    shown(Route::Native, &[]);
}

#[test]
fn no_attack_takes_more_memory_than_the_cap_without_privileges() {
    shown(Route::Native, &AS_NOBODY);
}

#[test]
fn below_java_no_attack_takes_more_memory_than_the_cap() {
    shown(Route::Java, &[]);
}

#[test]
fn below_java_no_attack_takes_more_memory_than_the_cap_without_privileges() {
    shown(Route::Java, &AS_NOBODY);
}

#[ignore = "in `make nightly`"]
#[test]
fn in_a_plugin_no_attack_takes_more_memory_than_the_cap() {
    shown(Route::Plugin, &[]);
}
