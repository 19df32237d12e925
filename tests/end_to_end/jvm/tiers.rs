//! Java engines where the host supports less than usual: no Landlock, or neither namespaces nor
//! privileges, as on Fargate. Every behaviour of a converter has the same outcome there, or is
//! refused because of the minimum posture. And where the host supports more: a user id and a
//! control group.

use super::{Double, message, natives};
use crate::attacks::{BARE, SmallGroup, engine, landlock_abi_2, open_bench, preceded, without_landlock};
use crate::support::{Bench, Run, real};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

/// A behaviour of the double, flags, and the outcome: exit code and failure code. Behaviours of
/// native code use a library with the same name.
type Row = (&'static str, &'static [&'static str], i32, &'static str);

const MISBEHAVIOURS: &[Row] = &[
    ("exit", &[], 17, "engine.no_answer"),
    ("halt", &[], 17, "engine.no_answer"),
    ("exit-and-sleep", &["--timeout", "3s"], 13, "limit.time"),
    ("loop", &["--timeout", "3s"], 13, "limit.time"),
    ("allocate", &["--memory", "256M", "--timeout", "60s"], 12, "limit.memory"),
    ("allocate-outside", &["--memory", "256M", "--timeout", "60s"], 12, "limit.memory"),
    ("recurse", &[], 15, "engine.rejected"),
    ("segv", &[], 14, "engine.crashed"),
    ("abort", &[], 14, "engine.crashed"),
    ("trap", &[], 14, "engine.crashed"),
    ("leave", &[], 17, "engine.no_answer"),
    ("threads", &[], 16, "limit.threads"),
    ("flood", &["--timeout", "60s"], 16, "limit.messages"),
    ("endless-file", &["--max-output", "16M", "--timeout", "60s"], 16, "limit.output"),
    ("throw", &[], 15, "engine.rejected"),
    ("newer-class", &[], 15, "engine.rejected"),
    ("missing-class", &[], 15, "engine.rejected"),
    ("missing-native", &[], 15, "engine.rejected"),
    ("exec /dev/shm/cadmill-ran", &[], 15, "engine.rejected"),
    ("socket 1", &[], 15, "engine.rejected"),
];

/// Runs all of them behind another program. [`Double::watch`] checks that nothing is left.
fn each_ends_as_usual(before: &[&str], posture: &str) {
    let double = || Double::new().bench(Bench::new().with("CADMILL_MIN_POSTURE", posture)).before(before);
    for behaviour in ["ok", "ordinary", "hook"] {
        double().watch(behaviour).run.succeeded();
    }
    for (behaviour, flags, exit, code) in MISBEHAVIOURS {
        let native = super::doubles::NATIVES.iter().any(|(name, _)| name == behaviour);
        let keys = if native { format!("natives = {:?}", natives(behaviour)) } else { String::new() };
        let json = double().flags(flags).keys(keys).watch(behaviour).run.failed(*exit, code);
        assert!(!message(&json).contains(char::is_control), "{behaviour}: {json}");
    }
    assert!(!Path::new("/dev/shm/cadmill-ran").exists(), "another program ran");
}

#[ignore = "in `make nightly`"]
#[test]
fn without_landlock_whatever_a_converter_does_ends_as_usual() {
    each_ends_as_usual(&[without_landlock().to_str().unwrap()], "syscalls");
}

/// With the default minimum posture.
#[ignore = "in `make nightly`"]
#[test]
fn with_landlock_of_abi_2_whatever_a_converter_does_ends_as_usual() {
    each_ends_as_usual(&[landlock_abi_2().to_str().unwrap()], "files");
}

/// Only Landlock blocks these two, as for native libraries.
#[test]
fn without_landlock_a_converter_reads_and_writes_what_the_user_may() {
    let elsewhere = tempfile::tempdir().unwrap();
    let written = elsewhere.path().join("written");
    for (behaviour, got) in
        [("read /etc/passwd".to_owned(), "root:"), (format!("write {}", written.display()), "")]
    {
        let bench = Bench::new().with("CADMILL_MIN_POSTURE", "syscalls");
        let double = Double::new().bench(bench).before(&[without_landlock().to_str().unwrap()]);
        double.watch(&behaviour).run.succeeded();
        assert!(double.output().starts_with("ATTACK SUCCEEDED") && double.output().contains(got));
    }
    assert!(written.exists());
}

/// A posture below the minimum is refused before a JVM starts.
#[test]
fn without_landlock_the_usual_minimum_refuses_engines_in_java() {
    let double = Double::new().before(&[without_landlock().to_str().unwrap()]);
    let json = double.watch("ok").run.failed(19, "infra.confinement");
    assert_eq!((&json["error"]["level"], &json["error"]["minimum"]), (&"syscalls".into(), &"files".into()));
    assert!(json["engine"]["version"].is_null(), "a converter was asked: {json}");
}

/// As on Fargate: the level `files` is reached, and holds.
#[test]
fn without_any_namespace_whatever_a_converter_does_ends_as_usual() {
    let probe = preceded(&BARE, &Command::new("true")).output();
    if !probe.is_ok_and(|output| output.status.success()) {
        println!("skipped: this host lets the test make no user namespace");
        return;
    }
    each_ends_as_usual(&BARE, "files");
    let double = || Double::new().before(&BARE);
    let json = double().watch("read /etc/passwd").run.failed(15, "engine.rejected");
    assert!(message(&json).contains("/etc/passwd"), "{json}");
    let elsewhere = tempfile::tempdir().unwrap();
    let written = elsewhere.path().join("written");
    double().watch(&format!("write {}", written.display())).run.failed(15, "engine.rejected");
    assert!(!written.exists());
}

/// Copies the jars to where other users can read them.
fn readable_jars(to: &Path) {
    let output = Command::new("cp").arg("-R").arg(super::jars()).arg(to).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let output = Command::new("chmod").args(["-R", "a+rX"]).arg(to).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// A JVM starts and converts under a user id that owns nothing.
#[test]
fn an_own_user_converts_in_java() {
    let bench = open_bench();
    if engine(&bench)["own_uid"].is_null() {
        println!("skipped: this host gives no user id");
        return;
    }
    let readable = tempfile::tempdir().unwrap();
    std::fs::set_permissions(readable.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let jars = readable.path().join("java");
    readable_jars(&jars);
    let bench = bench.with("CADMILL_MIN_POSTURE", "isolated").with("CADMILL_JARS", &jars);
    let input = real("mesh/wuson_ply.zip");
    let arguments = ["convert", input.to_str().unwrap(), "--to", "glb2", "--engine", "assimp-jvm"];
    bench.run(&[&arguments[..], &["-o", "out.glb"]].concat()).succeeded();
    assert!(bench.path("out.glb").metadata().unwrap().len() > 1000);
}

/// When the group runs out of memory, the kernel kills the JVM. This is not reported as a crash.
#[test]
fn the_kernel_takes_the_jvm_first_and_that_is_told() {
    for tries in 1.. {
        let Some(group) = SmallGroup::new(160 << 20) else {
            println!("skipped: this host gives no control group");
            return;
        };
        let double = Double::new();
        let run = Run::from(group.around(&double.command("allocate-outside")).output().unwrap());
        // The memory of what the kernel has killed stays charged for some milliseconds. If the
        // supervisor allocates meanwhile, the kernel finds nothing else to kill. See docs/SECURITY.md.
        if run.code.is_none() && tries < 5 {
            println!("once more: the kernel has killed the supervisor as well");
            continue;
        }
        double.bench.assert_no_plaintext_left();
        run.failed(12, "limit.machine_memory");
        return;
    }
}
