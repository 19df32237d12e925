//! Other processes try to access a worker or its engine while a conversion runs: processes of the
//! worker's user and of another user, by each way that needs no privilege.

use super::world::{Worker, World};
use crate::support::{children_of, compile_c, zipped};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use zip::CompressionMethod::Stored;

/// An unprivileged user who owns nothing.
const NOBODY: u32 = 65534;

/// An input that keeps the engine double busy, with a marker that the outsider recognizes.
const BUSY: &[u8] = b"loop \nSECRET\n";
const SECRET: &[u8] = b"SECRET\n";

/// The attacking program: `tests/fixtures/doubles/outsider.c`.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("outsider");
        compile_c(&target, &["-O1", "-w"], "outsider.c");
        target
    })
}

/// The user of the attacking program.
#[derive(Debug, Clone, Copy, PartialEq)]
enum As {
    /// User `nobody`: not root, and the same user as a worker that runs as `nobody`.
    Nobody,
    /// Root, without capabilities.
    BareRoot,
}

/// The ways that worked, as reported by the outsider.
fn ways_in(who: As, process: u32, place: &Path) -> Vec<String> {
    let mut command = Command::new(program());
    match who {
        As::Nobody => command.uid(NOBODY).gid(NOBODY),
        As::BareRoot => command.arg("--bare"),
    };
    let output = command.arg(process.to_string()).arg(place).output().expect("the outsider starts");
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && told.lines().count() >= 10, "{told}{:?}", output.stderr);
    let worked = |line: &str| line.strip_suffix(" in").map(str::to_owned);
    told.lines().filter_map(worked).collect()
}

/// Each way works on an unprotected process; otherwise a refusal would prove nothing.
#[test]
fn the_outsider_gets_into_a_process_that_nothing_guards() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can become another user");
        return;
    }
    let place = tempfile::Builder::new().prefix("cadmill-open-").tempdir_in("/dev/shm").unwrap();
    std::fs::write(place.path().join("plan"), SECRET).unwrap();
    std::os::unix::fs::chown(place.path(), Some(NOBODY), None).unwrap();
    let mut open = Command::new("sleep").arg("60").uid(NOBODY).gid(NOBODY).spawn().unwrap();
    let ways = ways_in(As::Nobody, open.id(), place.path());
    open.kill().unwrap();
    open.wait().unwrap();
    let expected = ["root", "plaintext", "cwd", "descriptors", "memory", "environment", "vm_readv", "ptrace"];
    assert!(expected.iter().all(|way| ways.iter().any(|found| found == way)), "{ways:?}");
    assert!(ways.iter().any(|way| way == "setns_user"), "{ways:?}");
}

/// The engine of a worker, once it is converting.
async fn converting(worker: &Worker) -> u32 {
    let since = Instant::now();
    loop {
        for child in children_of(worker.id()) {
            let name = std::fs::read_to_string(format!("/proc/{child}/comm")).unwrap_or_default();
            let time = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
            // proc(5): the 14th field is CPU time; an engine that has loaded and loops has used
            // some.
            let ticks: u64 =
                time.rsplit(')').next().and_then(|r| r.split_whitespace().nth(11)?.parse().ok()).unwrap_or(0);
            if name.starts_with("cadmill-engine") && ticks > 20 {
                return child;
            }
        }
        assert!(since.elapsed() < Duration::from_secs(120), "no engine converts\n{}", worker.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// While a worker of `user` converts, outsiders try to access it and its engine. Returns whether
/// the worker reported private workspaces.
async fn tried_while_converting(user: Option<u32>, outsiders: &[As]) -> bool {
    let mut world = World::new().await.anywhere();
    world.use_double();
    if let Some(user) = user {
        world = world.of_user(user);
    }
    let archive = zipped(&[("model.obj", Stored, BUSY), ("secret.txt", Stored, SECRET)]);
    let id = world.submit(&archive, "stl").await;
    let worker = world.worker("attacked", None);
    world.wait(id, "taken", |job| job.attempt > 0).await;
    let engine = converting(&worker).await;
    let mut worked = Vec::new();
    for &who in outsiders {
        for (what, process) in [("worker", worker.id()), ("engine", engine)] {
            let ways = ways_in(who, process, world.place());
            worked.extend(ways.into_iter().map(|way| format!("{who:?} got into the {what} by {way}")));
        }
    }
    assert_eq!(children_of(worker.id()), [engine], "the engine converts on");
    let private = world.said("\"private_workspace\":true") > 0;
    world.jobs.send(id, &cadmill_core::domain::state::Event::Cancelled).await.unwrap();
    assert_eq!(worker.terminate(), Some(0));
    assert!(worked.is_empty(), "private: {private}\n{}", worked.join("\n"));
    private
}

/// A user namespace is accessible to every process of the user who created it. So a worker that is
/// not root does not use one, and reports that its workspaces are not private.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_gets_into_a_worker_of_the_same_user() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can become another user");
        return;
    }
    let private = tried_while_converting(Some(NOBODY), &[As::Nobody, As::BareRoot]).await;
    assert!(!private, "a process of the same user reads its workspaces where they lie");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gets_into_a_worker_of_root() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: it takes root");
        return;
    }
    let private = tried_while_converting(None, &[As::Nobody, As::BareRoot]).await;
    assert_eq!(private, super::private::is_given());
}
