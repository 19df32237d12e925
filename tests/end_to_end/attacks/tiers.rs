//! The additional barriers, where the host provides them. Each test first checks for them: a
//! container without privileges has nothing to show.

use super::rig::{archive_of, library_of, preceded, without_landlock, wrapped};
use crate::support::{Bench, Run, real, unique};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A bench whose workspace directory other users may enter.
pub(crate) fn open_bench() -> Bench {
    let bench = Bench::new().with("CADMILL_MIN_POSTURE", "syscalls");
    std::fs::set_permissions(bench.place(), std::fs::Permissions::from_mode(0o711)).unwrap();
    bench
}

pub(crate) fn engine(bench: &Bench) -> serde_json::Value {
    bench.run(&["doctor", "--json"]).succeeded().json()["engine"].clone()
}

/// An archive with one file.
fn archive(bench: &Bench, content: &str) -> PathBuf {
    let path = bench.path("input.zip");
    std::fs::write(&path, archive_of(content)).unwrap();
    path
}

/// A conversion with the engine `double` of an engines file.
pub(super) fn by_double(bench: &Bench, engines: &Path, input: &Path) -> Command {
    let arguments = ["convert", input.to_str().unwrap(), "--to", "stl", "--engine", "double", "--json"];
    bench.command(&[&arguments[..], &["--engines-file", engines.to_str().unwrap(), "-o", "out.stl"]].concat())
}

/// With a separate user id the engine cannot read another job's files, even without Landlock.
#[test]
fn an_own_user_keeps_other_jobs_apart_without_landlock() {
    let bench = open_bench();
    if engine(&bench)["own_uid"].is_null() {
        println!("skipped: this host gives no user id");
        return;
    }
    let other = tempfile::Builder::new().prefix("cadmill-other-").tempdir_in("/dev/shm").unwrap();
    std::fs::set_permissions(other.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
    let secret = other.path().join("model.obj");
    std::fs::write(&secret, "secret").unwrap();
    let input = archive(&bench, &format!("{}\n", secret.display()));
    let attack = super::ATTACKS.iter().find(|attack| attack.name == "read_given").unwrap();
    let library = library_of(attack);
    // The user id can read world-readable files.
    let readable = bench.place().join("library.so");
    std::fs::copy(&library, &readable).unwrap();
    std::fs::set_permissions(&readable, std::fs::Permissions::from_mode(0o644)).unwrap();
    let engines = crate::misbehaviour::engines_file(&bench, &readable, "");
    let run = Run::from(wrapped(&without_landlock(), &by_double(&bench, &engines, &input)).output().unwrap());
    std::fs::remove_file(&readable).unwrap();
    bench.assert_no_plaintext_left();
    let json = run.failed(15, "engine.rejected");
    assert!(json["error"]["message"].as_str().unwrap().contains("Permission denied"), "{json}");
}

/// Real libraries work under a separate user id, and leave nothing that this user could not remove.
#[test]
fn an_own_user_converts() {
    let bench = open_bench();
    if engine(&bench)["own_uid"].is_null() {
        println!("skipped: this host gives no user id");
        return;
    }
    let bench = bench.with("CADMILL_MIN_POSTURE", "isolated");
    for (input, format) in [("gis/naturalearth_lowres.zip", "gpkg"), ("mesh/wuson_ply.zip", "glb")] {
        let out = format!("out.{format}");
        let input = real(input);
        bench.run(&["convert", input.to_str().unwrap(), "--to", format, "-o", &out]).succeeded();
        assert!(bench.path(&out).metadata().unwrap().len() > 1000);
    }
}

/// An input that is read in place may belong to any user: the user id stays.
#[test]
fn an_input_of_the_user_is_read_as_the_user() {
    let bench = open_bench().with("CADMILL_MIN_POSTURE", "files");
    let input = bench.path("private.obj");
    std::fs::copy(real("mesh/rabbit.obj"), &input).unwrap();
    std::fs::set_permissions(&input, std::fs::Permissions::from_mode(0o600)).unwrap();
    bench.run(&["convert", input.to_str().unwrap(), "--to", "stl", "-o", "out.stl"]).succeeded();
}

/// A control group created by the test, where the machine allows it.
pub(crate) struct SmallGroup(PathBuf);

impl SmallGroup {
    pub(crate) fn new(bytes: u64) -> Option<Self> {
        let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
        // cgroups(7): number, controllers, path; version 2 has no controllers.
        let below = |root: &str, controllers: &str| {
            let found = groups.lines().find_map(|line| line.split_once(':')?.1.strip_prefix(controllers));
            Some(Path::new(root).join(found?.trim_start_matches('/')))
        };
        let parents = [
            (below("/sys/fs/cgroup/memory", "memory:"), "memory.limit_in_bytes"),
            (below("/sys/fs/cgroup", ":"), "memory.max"),
        ];
        let name = format!("cadmill-test-{}-{}", std::process::id(), unique());
        parents.into_iter().find_map(|(parent, limit)| {
            let directory = parent?.join(&name);
            std::fs::create_dir(&directory).ok()?;
            let group = Self(directory);
            std::fs::write(group.0.join(limit), bytes.to_string()).ok()?;
            Some(group)
        })
    }

    /// Its peak memory, in bytes.
    pub(crate) fn peak(&self) -> u64 {
        let files = ["memory.max_usage_in_bytes", "memory.peak"];
        let text = files.iter().find_map(|file| std::fs::read_to_string(self.0.join(file)).ok());
        text.and_then(|text| text.trim().parse().ok()).expect("the group's peak")
    }

    /// The command, run in the group.
    pub(crate) fn around(&self, command: &Command) -> Command {
        let join = "echo $$ >\"$0/cgroup.procs\" && exec \"$@\"";
        preceded(&["sh", "-c", join, self.0.to_str().unwrap()], command)
    }
}

impl Drop for SmallGroup {
    fn drop(&mut self) {
        for _ in 0..100 {
            if std::fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

/// When the group runs out of memory, the kernel kills the engine and not the supervisor. The
/// supervisor distinguishes this from a crash, and wipes.
#[test]
fn the_kernel_takes_the_engine_first_and_that_is_told() {
    let bench = Bench::new();
    let Some(group) = SmallGroup::new(128 << 20) else {
        println!("skipped: this host gives no control group");
        return;
    };
    let attack = super::ATTACKS.iter().find(|attack| attack.name == "read_only_after").unwrap();
    let engines = crate::misbehaviour::engines_file(&bench, &library_of(attack), "");
    // The engine uses four times as much: twice what the group has, and less than the cap.
    let input = archive(&bench, "64\n");
    let run = Run::from(group.around(&by_double(&bench, &engines, &input)).output().unwrap());
    bench.assert_no_plaintext_left();
    run.failed(12, "limit.machine_memory");
}

/// Prefix of a command that runs without privileges and without the ability to create namespaces.
/// It runs in a separate user namespace, so that the machine's limit is unchanged.
pub(crate) const BARE: [&str; 9] = [
    "unshare",
    "--user",
    "--map-user=1000",
    "--map-group=1000",
    "--keep-caps",
    "sh",
    "-c",
    "echo 0 >/proc/sys/user/max_user_namespaces && \
        exec setpriv --ambient-caps=-all --inh-caps=-all --bounding-set=-all \"$@\"",
    "sh",
];

/// As an unprivileged user who cannot create user namespaces: as on Fargate. The base confinement
/// holds, the tiers are reported as missing, and files are converted.
#[test]
fn without_any_namespace_the_base_holds() {
    let bench = Bench::new();
    let bare = |command: &Command| Run::from(preceded(&BARE, command).output().unwrap());
    let told = bare(&bench.command(&["doctor", "--json"]));
    if !told.stderr.is_empty() && told.stdout.is_empty() {
        println!("skipped: this host lets the test make no user namespace: {}", told.stderr);
        return;
    }
    let json = told.succeeded().json();
    assert_eq!(json["level"], "files", "{json}");
    let engine = &json["engine"];
    assert_eq!((&engine["own_uid"], &engine["network_namespace"]), (&serde_json::Value::Null, &false.into()));
    assert_eq!((&json["machine"]["workspace_private"], &engine["capabilities"]), (&false.into(), &0.into()));
    let input = archive(&bench, &std::fs::read_to_string(real("mesh/rabbit.obj")).unwrap());
    bare(&bench.command(&["convert", input.to_str().unwrap(), "--to", "stl", "-o", "out.stl"])).succeeded();
    bench.assert_no_plaintext_left();
    let json =
        bare(&bench.with("CADMILL_PRIVATE_WORKSPACE", "required").command(&["doctor", "--json"])).json();
    assert_eq!(json["error"]["code"], "infra.workspace_unavailable", "{json}");
}

/// An unprivileged user gets no private workspace even where user namespaces would allow one: every
/// process of that user could enter it. The posture reports this.
#[test]
fn a_plain_user_gets_no_private_workspace_and_is_told_so() {
    const NOBODY: u32 = 65534;
    let bench = Bench::new();
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can become another user");
        return;
    }
    let place = bench.place();
    rustix::fs::chown(place, rustix::fs::Uid::from_raw(NOBODY).into(), None).unwrap();
    let as_nobody = |command: &mut Command| {
        command.uid(NOBODY).gid(NOBODY).current_dir(place).stdin(Stdio::null()).output()
    };
    let run = match as_nobody(&mut bench.command(&["doctor", "--json"])) {
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            println!("skipped: the programs lie where others may not go");
            return;
        }
        output => Run::from(output.unwrap()),
    };
    let json = run.succeeded().json();
    let machine = &json["machine"];
    assert_eq!(
        (&machine["workspace_private"], &machine["workspace_entered"]),
        (&false.into(), &serde_json::Value::Null)
    );
    bench.assert_no_plaintext_left();
}
