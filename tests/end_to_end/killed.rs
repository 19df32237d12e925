//! What a `cadmill convert` leaves that does not come to its end: nothing after a signal that it
//! can handle, and nothing after the next conversion otherwise.

use crate::recorded::make_key;
use crate::support::{Bench, Run, real, traces_of, tree, zipped};
use cadmill_core::domain::ids::JobId;
use rustix::process::{Pid, Signal, kill_process};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};
use zip::CompressionMethod::Stored;

/// Starts a conversion that takes a while, and waits until its workspace has a file.
fn start(bench: &Bench) -> Child {
    let input = bench.path("in.zip");
    std::fs::write(&input, crate::pipeline::world::large_archive(400_000)).unwrap();
    let arguments = ["convert", input.to_str().unwrap(), "--to", "geojson", "-o", "out.geojson"];
    let child = bench.command(&arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let since = Instant::now();
    while files(&seen_by(&child, bench.place())) == 0 {
        assert!(since.elapsed() < Duration::from_secs(30), "nothing is unpacked");
        std::thread::sleep(Duration::from_millis(1));
    }
    child
}

/// The path by which a process's mounts are seen, which has its private workspace, if this user may
/// see them.
fn seen_by(process: &Child, place: &Path) -> PathBuf {
    let root = PathBuf::from(format!("/proc/{}/root", process.id()));
    let inside = root.join(place.strip_prefix("/").expect("an absolute path"));
    if inside.is_dir() { inside } else { place.to_owned() }
}

/// Number of files below a directory.
fn files(directory: &Path) -> usize {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| if entry.path().is_dir() { files(&entry.path()) } else { 1 }).sum()
}

#[test]
fn a_signal_that_can_be_handled_leaves_nothing() {
    let signals = [
        libc::SIGHUP,
        libc::SIGINT,
        libc::SIGQUIT,
        libc::SIGTERM,
        libc::SIGALRM,
        libc::SIGVTALRM,
        libc::SIGPROF,
        libc::SIGUSR1,
        libc::SIGUSR2,
        libc::SIGIO,
        libc::SIGPWR,
        libc::SIGSTKFLT,
        libc::SIGTRAP,
        libc::SIGXCPU,
        libc::SIGRTMIN(),
        libc::SIGRTMAX(),
    ];
    for signal in signals {
        let bench = Bench::new();
        let mut child = start(&bench);
        let kill = Command::new("kill").args([format!("-{signal}"), child.id().to_string()]).status();
        assert!(kill.unwrap().success(), "signal {signal}");
        let status = child.wait().unwrap();
        assert_eq!((status.code(), status.signal()), (Some(130), None), "signal {signal}");
        bench.assert_no_plaintext_left();
        assert!(!bench.path("out.geojson").exists(), "signal {signal}");
    }
}

/// A limit on the size of files is a failure like any other, and not the end of the process.
#[test]
fn a_limit_on_the_size_of_files_leaves_nothing() {
    let bench = Bench::new();
    let input = real("gis/naturalearth_lowres.zip");
    let cadmill = env!("CARGO_BIN_EXE_cadmill");
    let line = "ulimit -f 64; exec \"$0\" convert \"$1\" --to geojson -o out.geojson";
    let run = Command::new("bash")
        .args(["-c", line, cadmill, input.to_str().unwrap()])
        .current_dir(bench.path(""))
        .env("CADMILL_WORKSPACE", bench.place())
        .output()
        .unwrap();
    assert!(run.status.code().is_some_and(|code| code != 0), "{run:?}");
    bench.assert_no_plaintext_left();
}

/// Turns the private workspace off, so that the workspace is in the location itself.
const PRIVATE: &str = "CADMILL_PRIVATE_WORKSPACE";

/// Moments at which a run is killed, spread over the time that it takes.
const MOMENTS: u32 = 10;

/// What a command does with an input that has a marker in its names and in its content.
struct Victim {
    bench: Bench,
    marker: String,
    since: SystemTime,
    arguments: Vec<String>,
}

impl Victim {
    fn new(private: &str, command: &[&str]) -> Self {
        let bench = Bench::new().with(PRIVATE, private);
        let marker = JobId::random().to_string().replace('-', "");
        let input = bench.path("in.zip");
        let name = format!("{marker}.geojson");
        let line = |n: u32| {
            let at = format!("[[{}.5,{}.25],[3,4]]", n % 170, n % 80);
            let properties = format!(r#"{{"name":"{marker}"}}"#);
            format!(
                r#"{{"type":"Feature","properties":{properties},"geometry":{{"type":"LineString","coordinates":{at}}}}}"#
            )
        };
        let lines: Vec<String> = (0..20_000).map(line).collect();
        let content = format!(r#"{{"type":"FeatureCollection","features":[{}]}}"#, lines.join(","));
        let notes = format!("{marker}.txt");
        let entries = [(&*name, Stored, content.as_bytes()), (&*notes, Stored, &[b'.'; 4 << 20][..])];
        std::fs::write(&input, zipped(&entries)).unwrap();
        let arguments = command.iter().map(|word| word.replace("INPUT", input.to_str().unwrap())).collect();
        Self { bench, marker, since: SystemTime::now() - Duration::from_secs(1), arguments }
    }

    fn spawn(&self) -> Child {
        let mut command = self.bench.command(&self.arguments);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// Runs it, and kills it at each moment. Calls `check` after each kill.
    fn kill(&self, mut check: impl FnMut(&Self)) {
        let since = Instant::now();
        assert!(self.spawn().wait().unwrap().success());
        let whole = since.elapsed();
        for moment in 0..MOMENTS {
            let mut child = self.spawn();
            std::thread::sleep(whole * moment / MOMENTS);
            kill_process(Pid::from_raw(child.id() as i32).unwrap(), Signal::KILL).unwrap();
            child.wait().unwrap();
            check(self);
        }
    }

    /// Any other conversion, after which nothing of this one may be left.
    fn next(&self, more: &[&str]) -> Run {
        let input = real("mesh/moon_ascii.stl");
        let arguments = ["convert", input.to_str().unwrap(), "--to", "obj", "-o", "moon.obj"];
        let run = self.bench.run(&[&arguments[..], more].concat()).succeeded();
        let mut left = traces_of(&self.marker, self.since, &["/dev/shm", "/tmp", "/run"].map(Path::new));
        // The input and the output themselves, which this test put there.
        left.retain(|path| !path.starts_with(self.bench.path("")));
        assert!(left.is_empty(), "left behind: {left:?}");
        run
    }
}

const CONVERT: &[&str] = &["convert", "INPUT", "--to", "dxf", "-o", "out.dxf"];

/// After SIGKILL, at ten moments, the next conversion of the same user destroys what is left.
#[test]
fn the_next_conversion_destroys_what_a_killed_one_left() {
    for command in [CONVERT, &["inspect", "INPUT"]] {
        let (mut left, mut told) = (0, 0);
        Victim::new("no", command).kill(|victim| {
            left += files(victim.bench.place());
            told += usize::from(victim.next(&[]).stderr.contains("destroyed the files of 1 conversions"));
        });
        assert!(left > 0 && told > 0, "{command:?}: no kill left a file");
    }
}

/// Where the host allows it, a killed one leaves nothing but the empty directory of its mount.
#[test]
fn a_private_workspace_is_gone_with_its_command() {
    for command in [CONVERT, &["inspect", "INPUT"]] {
        let mut points = 0;
        let victim = Victim::new("auto", command);
        if !is_private(&victim.bench) {
            return println!("skipped: this host gives no private workspace");
        }
        victim.kill(|victim| {
            let left = tree(victim.bench.place());
            points += left.len();
            let empty = |path: &PathBuf| path.is_dir() && path.parent() == Some(victim.bench.place());
            assert!(left.iter().all(empty), "{left:?}");
            assert!(!victim.next(&[]).stderr.contains("destroyed"));
        });
        assert!(points > 0, "{command:?}: no kill came while it had a workspace");
    }
}

/// Whether a conversion has a private workspace on this host.
fn is_private(bench: &Bench) -> bool {
    let input = real("mesh/moon_ascii.stl");
    let run = bench.run(&["convert", input.to_str().unwrap(), "--to", "obj", "-o", "moon.obj", "--json"]);
    run.succeeded().json()["private_workspace"] == true
}

/// What is destroyed of a killed conversion with a ledger is on record, if the one that destroys it
/// has ledgers too.
#[test]
fn what_is_destroyed_of_a_killed_conversion_is_on_record() {
    let command = [CONVERT, &["--audit", "ledgers", "--audit-key", "key.pem"]].concat();
    let victim = Victim::new("no", &command);
    let key = make_key(&victim.bench);
    let recorded = ["--audit", "ledgers", "--audit-key", "key.pem"];
    let mut sweeps = 0;
    victim.kill(|victim| {
        let run = victim.next(&recorded);
        let Some((_, sweep)) = run.stderr.split_once("ledger of that: ") else { return };
        sweeps += 1;
        let sweep = sweep.lines().next().unwrap();
        let killed = sweep.replace("1-1.jsonl", "1-0.jsonl");
        let verify = |files: &[&str]| {
            let arguments = [&["audit", "verify", "--key", &key][..], files].concat();
            victim.bench.run(&arguments)
        };
        let own = verify(&[sweep]);
        assert_eq!(own.code, Some(0), "{own:?}");
        assert!(own.stdout.contains("swept"), "{own:?}");
        let both = verify(&[&killed, sweep]);
        assert_eq!(both.code, Some(31), "{both:?}");
        assert!(both.stdout.contains("saw the same last record"), "{both:?}");
    });
    assert!(sweeps > 0, "no kill left a workspace");
    let all = victim.bench.run(&["audit", "verify", "ledgers", "--key", &key, "--json"]).json();
    let verdicts = all["ledgers"].as_array().unwrap().iter().map(|ledger| &ledger["verdict"]);
    let incomplete = verdicts.filter(|verdict| **verdict == "INCOMPLETE").count();
    assert!(incomplete >= sweeps && incomplete <= MOMENTS as usize, "{all}");
}

/// A conversion without ledgers destroys it too; the ledger of the killed one stays incomplete.
#[test]
fn without_ledgers_what_is_left_of_one_with_a_ledger_is_destroyed() {
    let victim = Victim::new("no", &[CONVERT, &["--audit", "ledgers"]].concat());
    let mut told = 0;
    victim.kill(|victim| told += usize::from(victim.next(&[]).stderr.contains("destroyed the files of 1")));
    assert!(told > 0, "no kill left a workspace");
    let run = victim.bench.run(&["audit", "verify", "ledgers"]);
    assert_eq!(run.code, Some(31), "{run:?}");
    assert!(run.stdout.contains("no sweep that ends it is among these"), "{run:?}");
}

/// What is destroyed of a conversion without a ledger is on record if there are ledgers now.
#[test]
fn what_is_destroyed_of_one_without_a_ledger_has_a_new_ledger() {
    let victim = Victim::new("no", CONVERT);
    let mut sweeps = 0;
    victim.kill(|victim| {
        let run = victim.next(&["--audit", "ledgers"]);
        let Some((_, sweep)) = run.stderr.split_once("ledger of that: ") else { return };
        sweeps += 1;
        let own = victim.bench.run(&["audit", "verify", sweep.lines().next().unwrap()]);
        assert!(own.code == Some(32) && own.stdout.contains("swept"), "{own:?}");
    });
    assert!(sweeps > 0, "no kill left a workspace");
}

/// The workspace of a conversion that goes on stays.
#[test]
fn a_conversion_that_goes_on_is_not_disturbed() {
    let bench = Bench::new();
    let mut child = start(&bench);
    let input = real("mesh/moon_ascii.stl");
    let arguments = ["convert", input.to_str().unwrap(), "--to", "obj", "-o", "moon.obj"];
    let run = bench.command(&arguments).output().unwrap();
    assert!(run.status.success(), "{run:?}");
    assert!(child.wait().unwrap().success());
    assert!(bench.path("out.geojson").exists());
    bench.assert_no_plaintext_left();
}
