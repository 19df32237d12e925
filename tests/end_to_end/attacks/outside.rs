//! The caps on what an engine writes, measured from outside: on the tmpfs that holds the workspace,
//! and by another job on the same tmpfs.
//!
//! The tmpfs is private to the test, in a mount namespace that ends with the run. A container
//! cannot mount one; there the tests use a tmpfs that was mounted when the container started.

use super::rig::{engine_in_java, landlock_abi_2, library_of, preceded, without_landlock, wrapped};
use super::table::{ATTACKS, Attack, End, Given};
use crate::support::{Bench, Run, real};
use rustix::fs::{CWD, Mode, OFlags, fstatvfs, openat, stat, statvfs};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const MIB: u64 = 1 << 20;

/// The caps of the attacks, in bytes and in files, and the overshoot allowed until the engine is
/// dead.
const CAP: u64 = 64 * MIB;
const FILES: u64 = 10_000;
const SLACK: u64 = 16 * MIB;

/// Kernel memory of an empty file, in bytes: an inode and a name.
const EMPTY_FILE: u64 = 1024;

/// A process waits this long on a busy machine only if the machine itself is stalled.
pub(super) const STALL: Duration = Duration::from_millis(20);

/// How often something is tried on a machine that stalls.
pub(super) const TRIES: u32 = 3;

/// What the closure returns, and the longest interval in which a thread of this process beside it did
/// not run.
pub(super) fn stalled<T>(run: impl FnOnce() -> T) -> (T, Duration) {
    let has_ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let sampler = scope.spawn(|| {
            let (mut last, mut longest) = (Instant::now(), Duration::ZERO);
            while !has_ended.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_micros(500));
                longest = longest.max(last.elapsed());
                last = Instant::now();
            }
            longest
        });
        let result = run();
        has_ended.store(true, Ordering::Relaxed);
        (result, sampler.join().expect("the sampler"))
    })
}

const NOBODY: &str = "65534";

/// More than any attack uses, so that the size of the tmpfs is not what stops the attack.
const LARGE: u64 = 1200 * MIB;

/// What an attack may use, and the 24 MiB that the neighbour needs at most.
const SMALL: u64 = CAP + SLACK + 24 * MIB;

/// The directory where a container has tmpfs mounts for these tests: one per size, named after its
/// MiB. The tests cannot mount inside a container.
const MOUNTED: &str = "CADMILL_TEST_MEMORY";

/// A tmpfs of a given size, used only by the commands of one test.
struct Memory {
    place: PathBuf,
    /// Prefix of a command that runs on this tmpfs.
    before: Vec<String>,
}

impl Memory {
    fn new(bench: &Bench, bytes: u64, user: &str) -> Self {
        if let Some(mounted) = mounted() {
            let place = mounted.join((bytes / MIB).to_string());
            let held = statvfs(&place).unwrap();
            assert_eq!(held.f_blocks * held.f_frsize, bytes, "the size of {}", place.display());
            assert_eq!(std::fs::read_dir(&place).unwrap().count(), 0, "{} is empty", place.display());
            return Self { place, before: Vec::new() };
        }
        let script = format!("mount -t tmpfs -o size={bytes},mode=777 none \"$0\" && exec \"$@\"");
        let place = bench.place().to_owned();
        let mut before: Vec<String> =
            ["unshare", "-m", "sh", "-c", &script, place.to_str().unwrap()].map(str::to_owned).into();
        if user != "0" {
            let other = ["setpriv", "--reuid", user, "--regid", user, "--clear-groups"];
            before.extend(other.map(str::to_owned));
        }
        Self { place, before }
    }

    /// The command, with its workspaces on this tmpfs.
    fn around(&self, command: &Command) -> Command {
        let before: Vec<&str> = self.before.iter().map(String::as_str).collect();
        let mut command = preceded(&before, command);
        command.env("CADMILL_WORKSPACE", &self.place);
        // What happens in a private workspace is not seen on this tmpfs. The watchdog is the same.
        command.env("CADMILL_PRIVATE_WORKSPACE", "no");
        command
    }
}

pub(super) fn mounted() -> Option<PathBuf> {
    std::env::var_os(MOUNTED).map(PathBuf::from)
}

fn is_given() -> bool {
    let bench = Bench::new();
    open_for_others(&bench);
    let given = mounted().is_some() || {
        // The build directory may not be accessible to other users.
        let mut command = Memory::new(&bench, MIB, NOBODY).around(&bench.command(&["--version"]));
        command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|s| s.success())
    };
    if !given {
        println!("skipped: this host gives no mount namespace");
    }
    given
}

/// The peak use while a command ran: bytes and files.
struct Watched {
    run: Run,
    bytes: u64,
    files: u64,
    /// The longest interval in which this process did not sample.
    stalled: Duration,
}

fn watched(memory: &Memory, command: &Command) -> Watched {
    let outside = stat(&memory.place).unwrap().st_dev;
    let mut command = memory.around(command);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // In a private mount namespace it becomes visible once it is mounted. In a container there is
    // none, and the process itself hides what /proc has of it.
    let inside = match memory.before.as_slice() {
        [] => memory.place.display().to_string(),
        _ => format!("/proc/{}/root{}", child.id(), memory.place.display()),
    };
    let open = |path: &str| openat(CWD, path, OFlags::DIRECTORY | OFlags::RDONLY, Mode::empty());
    let is_it = |fd: &OwnedFd| memory.before.is_empty() || rustix::fs::fstat(fd).unwrap().st_dev != outside;
    let mut seen: Option<OwnedFd> = None;
    let (mut bytes, mut files) = (0, 0);
    let (mut last, mut stalled) = (Instant::now(), Duration::ZERO);
    while child.try_wait().unwrap().is_none() {
        if let Some(seen) = &seen {
            let held = fstatvfs(seen).unwrap();
            bytes = bytes.max((held.f_blocks - held.f_bfree) * held.f_frsize);
            files = files.max(held.f_files - held.f_ffree);
        } else {
            seen = open(&inside).ok().filter(is_it);
        }
        stalled = stalled.max(last.elapsed());
        last = Instant::now();
        std::thread::sleep(Duration::from_micros(500));
    }
    assert!(seen.is_some(), "the memory of the command was seen");
    Watched { run: Run::from(child.wait_with_output().unwrap()), bytes, files, stalled }
}

/// The user and the confinement that an attack runs under.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Tier {
    Root,
    Nobody,
    LandlockAbi2,
    WithoutLandlock,
    BelowJava,
}

impl Tier {
    /// The tiers available here: a container has one user.
    fn all() -> &'static [Self] {
        let all = &[Self::Root, Self::Nobody, Self::LandlockAbi2, Self::WithoutLandlock, Self::BelowJava];
        if mounted().is_some() { &all[1..] } else { all }
    }

    fn user(self) -> &'static str {
        if self == Self::Root { "0" } else { NOBODY }
    }

    /// How an attack of the table ends in this tier, if it ends by a cap.
    fn end(self, attack: &Attack) -> Option<(i32, &'static str)> {
        let end = match self {
            Self::BelowJava => attack.in_java.unwrap_or(attack.confined),
            Self::WithoutLandlock => attack.without_landlock.unwrap_or(attack.confined),
            _ => attack.confined,
        };
        if let End::Failure(exit, code) = end { Some((exit, code)) } else { None }
    }
}

/// The conversion that runs the attack.
fn attacked(bench: &Bench, attack: &Attack, tier: Tier) -> Command {
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
    command
}

fn open_for_others(bench: &Bench) {
    for path in [bench.place(), &bench.path("")] {
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    }
}

/// As root, and as an unprivileged user who owns everything that the engine creates, with all and
/// with only some of the confinement, natively and below Java: each attack in one of these tiers,
/// each in another.
#[test]
fn no_attack_holds_more_than_the_cap() {
    hold_within_the_cap(|place, tier| place % Tier::all().len() == tier);
}

#[ignore = "in `make nightly`"]
#[test]
fn no_attack_holds_more_than_the_cap_in_any_tier() {
    hold_within_the_cap(|_, _| true);
}

/// Runs the attacks in the tiers that `chosen` picks by the places of both.
fn hold_within_the_cap(chosen: impl Fn(usize, usize) -> bool) {
    if !is_given() {
        return;
    }
    let mut wrong = Vec::new();
    for (number, &tier) in Tier::all().iter().enumerate() {
        let attacks = ATTACKS.iter().filter(|attack| attack.family == "storage").enumerate();
        for (_, attack) in attacks.filter(|(place, _)| chosen(*place, number)) {
            let Some((exit, code)) = tier.end(attack) else { continue };
            for tries in 1.. {
                let bench = Bench::new();
                let memory = Memory::new(&bench, LARGE, tier.user());
                let watched = watched(&memory, &attacked(&bench, attack, tier));
                let Watched { run, bytes, files, stalled } = watched;
                run.failed(exit, code);
                let told = format!("{} {tier:?}: {} MiB, {files} files, {code}", attack.name, bytes / MIB);
                println!("{told}");
                if bytes <= CAP + SLACK && files <= FILES + SLACK / EMPTY_FILE {
                    break;
                }
                // A machine that stalls every process stalls the supervisor too.
                if stalled < STALL || tries == TRIES {
                    wrong.push(told);
                    break;
                }
                println!("once more: this process was not run for {stalled:?}");
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Runs the attack repeatedly, and the neighbour's conversion beside it until the attacks end.
const SIDE_BY_SIDE: &str = "\
    (for n in 1 2; do \"$@\" >attack-$n.json; done; : >over) &
    ran=0
    while [ ! -e over ]; do
        \"$CADMILL\" convert \"$NEIGHBOUR\" --to stl -o neighbour-$ran.stl --json || exit 9
        ran=$((ran + 1))
    done
    wait
    echo \"ran $ran times\" >&2";

/// Another job on the same tmpfs always has the space that an attack must not use.
#[test]
fn a_neighbour_is_unharmed() {
    if !is_given() {
        return;
    }
    let names = ["unreadable_directory", "long_path", "mapped", "many_writers", "removed_files"];
    for (name, &tier) in names.iter().flat_map(|name| Tier::all().iter().map(move |tier| (name, tier))) {
        let attack = ATTACKS.iter().find(|attack| attack.name == *name).unwrap();
        let Some((exit, code)) = tier.end(attack) else { panic!("{name} ends by a cap") };
        let mut tries = 1;
        let (bench, run) = loop {
            let bench = Bench::new();
            let both = preceded(&["sh", "-c", SIDE_BY_SIDE, "sh"], &attacked(&bench, attack, tier));
            let mut both = Memory::new(&bench, SMALL, tier.user()).around(&both);
            both.env("CADMILL", env!("CARGO_BIN_EXE_cadmill")).env("NEIGHBOUR", real("mesh/rabbit.obj"));
            both.current_dir(bench.path("")).stdin(Stdio::null());
            let (output, stalled) = stalled(|| both.output().unwrap());
            let run = Run::from(output);
            // A machine that stalls every process stalls the supervisor too.
            if run.code == Some(0) || stalled < STALL || tries == TRIES {
                break (bench, run);
            }
            println!("{name} {tier:?} once more: this process was not run for {stalled:?}");
            tries += 1;
        };
        println!("{name} {tier:?}: {}", run.stderr.lines().last().unwrap_or_default());
        assert_eq!(run.code, Some(0), "{name} {tier:?}: the neighbour failed: {run:?}");
        assert!(!run.stderr.contains("ran 0 times"), "{run:?}");
        for number in 1..=2 {
            let told = std::fs::read_to_string(bench.path(&format!("attack-{number}.json"))).unwrap();
            let told: serde_json::Value = serde_json::from_str(&told).unwrap();
            assert_eq!(
                (&told["error"]["exit_code"], &told["error"]["code"]),
                (&exit.into(), &code.into()),
                "{name} {tier:?}: {told}"
            );
        }
    }
}
