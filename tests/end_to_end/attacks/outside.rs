//! The caps on what an engine writes, as seen from outside: by the memory that the workspace
//! lies in, and by another job in it.
//!
//! The memory is a tmpfs of the test's own, in a mount namespace that goes with the run. A
//! host that gives none, such as a container, runs the attacks of the table only.

use super::rig::{engine_in_java, landlock_abi_2, library_of, preceded, without_landlock, wrapped};
use super::table::{ATTACKS, Attack, End, Given};
use crate::support::{Bench, Run, real};
use rustix::fs::{CWD, Mode, OFlags, fstatvfs, openat, stat};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

const MIB: u64 = 1 << 20;

/// The caps of the attacks, in bytes and in files, and what may come on top of them until the
/// engine is dead.
const CAP: u64 = 64 * MIB;
const FILES: u64 = 10_000;
const SLACK: u64 = 16 * MIB;

/// What the kernel takes for a file without content, in bytes: an inode and a name.
const EMPTY_FILE: u64 = 1024;

const NOBODY: &str = "65534";

/// What comes before a command that is to have memory of its own at `place`.
fn in_memory(place: &Path, bytes: u64, user: &str) -> Vec<String> {
    let script = format!("mount -t tmpfs -o size={bytes},mode=777 none \"$0\" && exec \"$@\"");
    let place = place.to_str().unwrap();
    let mut before: Vec<String> = ["unshare", "-m", "sh", "-c", &script, place].map(str::to_owned).into();
    if user != "0" {
        let other = ["setpriv", "--reuid", user, "--regid", user, "--clear-groups"];
        before.extend(other.map(str::to_owned));
    }
    before
}

fn is_given() -> bool {
    let place = tempfile::tempdir().unwrap();
    let before = in_memory(place.path(), MIB, NOBODY);
    // The programs may lie where others may not go.
    let mut command = Command::new(&before[0]);
    command.args(&before[1..]).arg(env!("CARGO_BIN_EXE_cadmill")).arg("--version");
    let given = command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|s| s.success());
    if !given {
        println!("skipped: this host gives no mount namespace");
    }
    given
}

/// The most that was held at once, while a command ran: bytes, and files.
struct Watched {
    run: Run,
    bytes: u64,
    files: u64,
}

fn watched(place: &Path, command: &mut Command) -> Watched {
    let outside = stat(place).unwrap().st_dev;
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let inside = format!("/proc/{}/root{}", child.id(), place.display());
    let mut memory: Option<OwnedFd> = None;
    let (mut bytes, mut files) = (0, 0);
    while child.try_wait().unwrap().is_none() {
        if let Some(memory) = &memory {
            let held = fstatvfs(memory).unwrap();
            bytes = bytes.max((held.f_blocks - held.f_bfree) * held.f_frsize);
            files = files.max(held.f_files - held.f_ffree);
        } else {
            let opened = openat(CWD, inside.as_str(), OFlags::DIRECTORY | OFlags::RDONLY, Mode::empty());
            memory = opened.ok().filter(|fd| rustix::fs::fstat(fd).unwrap().st_dev != outside);
        }
        std::thread::sleep(Duration::from_micros(500));
    }
    assert!(memory.is_some(), "the memory of the command was seen");
    Watched { run: Run::from(child.wait_with_output().unwrap()), bytes, files }
}

/// As whom, where and below what an attack is made.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Tier {
    Root,
    Nobody,
    LandlockAbi2,
    WithoutLandlock,
    BelowJava,
}

impl Tier {
    fn user(self) -> &'static str {
        if self == Self::Root { "0" } else { NOBODY }
    }

    /// How an attack of the table ends here, if it ends by a cap.
    fn end(self, attack: &Attack) -> Option<(i32, &'static str)> {
        let end = match self {
            Self::BelowJava => attack.in_java.unwrap_or(attack.confined),
            Self::WithoutLandlock => attack.without_landlock.unwrap_or(attack.confined),
            _ => attack.confined,
        };
        if let End::Failure(exit, code) = end { Some((exit, code)) } else { None }
    }
}

/// The conversion by an attack, with its workspace in memory of its own.
fn attacked(bench: &Bench, attack: &Attack, tier: Tier, memory: u64) -> Command {
    let Given::Text(parameter) = attack.given else { panic!("{} has a parameter", attack.name) };
    let input = bench.path("input.obj");
    std::fs::write(&input, format!("{parameter}\n")).unwrap();
    let library = library_of(attack);
    let engines = if tier == Tier::BelowJava {
        engine_in_java(bench, &library)
    } else {
        crate::misbehaviour::engines_file(bench, &library, "")
    };
    open_for_others(bench);
    let mut arguments = vec!["convert", input.to_str().unwrap(), "--to", "stl", "--engine", "double"];
    arguments.extend(["--engines-file", engines.to_str().unwrap(), "-o", "out.stl", "--json"]);
    arguments.extend(attack.flags);
    let named = format!("library={}", library.file_name().unwrap().to_str().unwrap());
    if tier == Tier::BelowJava {
        arguments.extend(["--opt", &named]);
    }
    let mut command = bench.command(&arguments);
    match tier {
        Tier::LandlockAbi2 => command = wrapped(&landlock_abi_2(), &command),
        Tier::WithoutLandlock => {
            command.env("CADMILL_MIN_POSTURE", "syscalls");
            command = wrapped(&without_landlock(), &command);
        }
        Tier::Root | Tier::Nobody | Tier::BelowJava => {}
    }
    let before = in_memory(bench.place(), memory, tier.user());
    let before: Vec<&str> = before.iter().map(String::as_str).collect();
    preceded(&before, &command)
}

fn open_for_others(bench: &Bench) {
    for path in [bench.place(), &bench.path("")] {
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    }
}

/// As root; and as a user without privileges who owns all that the engine makes, with every
/// lock and without some, natively and below Java.
#[test]
fn no_attack_holds_more_than_the_cap() {
    if !is_given() {
        return;
    }
    let mut wrong = Vec::new();
    for tier in [Tier::Root, Tier::Nobody, Tier::LandlockAbi2, Tier::WithoutLandlock, Tier::BelowJava] {
        for attack in ATTACKS.iter().filter(|attack| attack.family == "storage") {
            let Some((exit, code)) = tier.end(attack) else { continue };
            let bench = Bench::new();
            let mut command = attacked(&bench, attack, tier, 1200 * MIB);
            let Watched { run, bytes, files } = watched(bench.place(), &mut command);
            run.failed(exit, code);
            let told = format!("{} {tier:?}: {} MiB, {files} files, {code}", attack.name, bytes / MIB);
            println!("{told}");
            if bytes > CAP + SLACK || files > FILES + SLACK / EMPTY_FILE {
                wrong.push(told);
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Another job in the same memory has what an attack may not take, at any moment.
#[test]
fn a_neighbour_is_unharmed() {
    if !is_given() {
        return;
    }
    for name in ["unreadable_directory", "long_path", "kept_size", "many_writers"] {
        let attack = ATTACKS.iter().find(|attack| attack.name == name).unwrap();
        let bench = Bench::new();
        // What the neighbour needs is 24 MiB at most.
        let command = attacked(&bench, attack, Tier::Nobody, CAP + SLACK + 24 * MIB);
        let script = "\
            (for n in 1 2 3 4; do \"$@\" >attack-$n.json; done; : >over) &
            ran=0
            while [ ! -e over ]; do
                \"$CADMILL\" convert \"$NEIGHBOUR\" --to stl -o neighbour-$ran.stl --json || exit 9
                ran=$((ran + 1))
            done
            wait
            echo \"ran $ran times\" >&2";
        // The script stands between the memory and the attack.
        let arguments: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
        let attack_begins = arguments.iter().position(|a| a == env!("CARGO_BIN_EXE_cadmill")).unwrap();
        let mut whole = Command::new(command.get_program());
        whole
            .args(&arguments[..attack_begins])
            .args(["sh", "-c", script, "sh"])
            .args(&arguments[attack_begins..]);
        whole.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        whole.env("CADMILL", env!("CARGO_BIN_EXE_cadmill")).env("NEIGHBOUR", real("mesh/rabbit.obj"));
        let run = Run::from(whole.current_dir(bench.path("")).stdin(Stdio::null()).output().unwrap());
        println!("{name}: {}", run.stderr.trim());
        assert_eq!(run.code, Some(0), "{name}: the neighbour failed: {run:?}");
        assert!(!run.stderr.contains("ran 0 times"), "{run:?}");
        for number in 1..=4 {
            let told = std::fs::read_to_string(bench.path(&format!("attack-{number}.json"))).unwrap();
            assert!(told.contains("\"error\"") && !told.contains("infra."), "{name}: {told}");
        }
    }
}
