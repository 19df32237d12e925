//! The confinement in force is reported, and an insufficient one is refused.

use super::rig::{
    Mode, Rig, Route, landlock_abi_2, landlock_not_enabled, unconfined_host, without_landlock, wrapped,
};
use super::table::{ATTACKS, Attack, End, Given};
use crate::support::{Bench, Run, children_of, real};
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

fn doctor(bench: &Bench, wrapper: Option<&Path>) -> Run {
    let command = bench.command(&["doctor", "--json"]);
    let mut command = match wrapper {
        Some(wrapper) => wrapped(wrapper, &command),
        None => command,
    };
    let run = Run::from(command.output().unwrap());
    bench.assert_no_plaintext_left();
    run
}

#[test]
fn the_doctor_tells_what_is_in_force() {
    let json = doctor(&Bench::new(), None).succeeded().json();
    assert_eq!(json["minimum"], "files");
    assert_eq!(json["sufficient"], true);
    assert!(["files", "isolated"].contains(&json["level"].as_str().unwrap()), "{json}");
    let engine = &json["engine"];
    assert!(engine["landlock"]["abi"].as_u64().unwrap() >= 2, "{json}");
    assert_eq!(engine["seccomp"].as_str().unwrap().len(), 64);
    assert_eq!((&engine["no_new_privs"], &engine["dumpable"]), (&true.into(), &false.into()));
    assert_eq!(engine["limits"]["core_bytes"], 0);
    let checks = json["checks"].as_array().unwrap();
    assert!(checks.len() > 10 && checks.iter().all(|c| c["verdict"] != "missing"), "{json}");
}

#[test]
fn without_landlock_the_minimum_refuses_and_a_lower_one_accepts() {
    let wrapper = without_landlock();
    let refused = doctor(&Bench::new(), Some(&wrapper));
    assert_eq!(refused.code, Some(19), "{refused:?}");
    let json = refused.json();
    assert_eq!((&json["level"], &json["sufficient"]), (&"syscalls".into(), &false.into()));
    assert_eq!(json["engine"]["landlock"]["abi"], 0);
    let missing: Vec<_> =
        json["checks"].as_array().unwrap().iter().filter(|c| c["verdict"] == "missing").collect();
    assert!(missing.len() == 1 && missing[0]["name"] == "files", "{missing:?}");
    doctor(&Bench::new().with("CADMILL_MIN_POSTURE", "syscalls"), Some(&wrapper)).succeeded();
}

/// As on Linux 6.1: the default minimum is reached, files are converted, and what the ABI lacks is
/// reported.
#[test]
fn landlock_of_abi_2_is_enough() {
    let wrapper = landlock_abi_2();
    let json = doctor(&Bench::new(), Some(&wrapper)).succeeded().json();
    assert_eq!((&json["minimum"], &json["sufficient"]), (&"files".into(), &true.into()));
    assert!(["files", "isolated"].contains(&json["level"].as_str().unwrap()), "{json}");
    let landlock = &json["engine"]["landlock"];
    assert_eq!(landlock, &serde_json::json!({"abi": 2, "network": false, "scopes": false}));
    assert_eq!(json["machine"]["landlock"]["support"], "enabled");
    assert_eq!(json["machine"]["landlock"]["abi"], 2);
    let lacks: Vec<_> =
        json["landlock_lacks"].as_array().unwrap().iter().map(|lack| lack["abi"].as_u64().unwrap()).collect();
    assert_eq!(lacks, [3, 4, 5, 6]);
    let check = |name: &str| json["checks"].as_array().unwrap().iter().find(|c| c["name"] == name).unwrap();
    assert_eq!(check("files")["verdict"], "ok");
    assert!(check("files")["found"].as_str().unwrap().contains("truncation (ABI 3)"), "{json}");
    assert_eq!(check("files and more")["verdict"], "weak");
    let bench = Bench::new();
    let input = real("mesh/rabbit.obj");
    let convert = bench.command(&["convert", input.to_str().unwrap(), "--to", "stl", "-o", "out.stl"]);
    Run::from(wrapped(&wrapper, &convert).output().unwrap()).succeeded();
    assert!(bench.path("out.stl").metadata().unwrap().len() > 1000);
    bench.assert_no_plaintext_left();
}

/// The report says whether the kernel lacks Landlock or was booted without it, and what to do.
#[test]
fn why_there_is_no_landlock_is_told() {
    // The kernel's own list, where readable, contradicts the wrapper.
    let modules = std::fs::read_to_string("/sys/kernel/security/lsm").unwrap_or_default();
    let hidden = modules.split(',').any(|module| module.trim() == "landlock");
    let not_built = if hidden { "container's profile" } else { "CONFIG_SECURITY_LANDLOCK" };
    for (wrapper, support, hint) in [
        (landlock_not_enabled(), "not_enabled", "lsm=landlock,"),
        (without_landlock(), "not_built", not_built),
    ] {
        let refused = doctor(&Bench::new(), Some(&wrapper));
        assert_eq!(refused.code, Some(19), "{refused:?}");
        let json = refused.json();
        assert_eq!(json["machine"]["landlock"]["support"], support, "{json}");
        // The machine's other security modules are not known everywhere.
        let parameter = &json["machine"]["landlock"]["boot_with"];
        assert!(parameter.is_null() || support == "not_enabled", "{json}");
        let bench = Bench::new();
        let command = wrapped(&wrapper, &bench.command(&["doctor"]));
        let run = Run::from({ command }.output().unwrap());
        assert!(run.stdout.contains(hint) && run.stdout.contains("MISSING files"), "{run:?}");
    }
}

/// Conversions, the server and the worker refuse alike.
#[test]
fn below_the_minimum_nothing_starts() {
    let (input, wrapper) = (real("mesh/rabbit.obj"), without_landlock());
    let convert = ["convert", input.to_str().unwrap(), "--to", "stl", "--json"];
    let bench = Bench::new();
    let run = Run::from(wrapped(&wrapper, &bench.command(&convert)).output().unwrap());
    let json = run.failed(19, "infra.confinement");
    assert_eq!((&json["error"]["level"], &json["error"]["minimum"]), (&"syscalls".into(), &"files".into()));
    bench.assert_no_plaintext_left();

    let serve = bench.command(&["serve", "--listen", "127.0.0.1:0", "--data", "store"]);
    let run = Run::from(wrapped(&wrapper, &serve).output().unwrap());
    assert_eq!(run.code, Some(19), "{run:?}");
    assert!(!bench.path("store").exists(), "it began to serve");

    let mut worker = bench.command::<&str>(&[]);
    worker.env("CADMILL_S3_ENDPOINT", "http://127.0.0.1:1").env("CADMILL_DATA_DIR", bench.path("store"));
    let mut worker = wrapped(&wrapper, &worker);
    let program = Path::new(env!("CARGO_BIN_EXE_cadmill")).with_file_name("cadmill-converter");
    let mut arguments: Vec<_> = worker.get_args().map(ToOwned::to_owned).collect();
    arguments[0] = program.into_os_string();
    arguments.push("worker".into());
    let environment: Vec<_> =
        worker.get_envs().filter_map(|(n, v)| Some((n.to_owned(), v?.to_owned()))).collect();
    worker = std::process::Command::new(&wrapper);
    let run =
        Run::from(worker.args(arguments).envs(environment).current_dir(bench.place()).output().unwrap());
    assert_eq!(run.code, Some(19), "{run:?}");
    assert!(run.stderr.contains("infra.confinement"), "{run:?}");
}

/// A host with less confinement is detected, whatever program it is.
#[test]
fn the_unconfined_host_is_refused_by_default() {
    let bench = Bench::new().with("CADMILL_ENGINE_HOST", unconfined_host());
    let input = real("mesh/rabbit.obj");
    let json = bench
        .run(&["convert", input.to_str().unwrap(), "--to", "stl", "--json"])
        .failed(19, "infra.confinement");
    assert_eq!(json["error"]["level"], "none");
    assert_eq!(doctor(&bench, None).code, Some(19));
}

#[test]
fn a_word_that_is_no_level_is_refused() {
    let bench = Bench::new().with("CADMILL_MIN_POSTURE", "high");
    let json = bench.run(&["convert", "x", "--to", "stl", "--json"]).failed(2, "usage.invalid");
    assert!(json["error"]["message"].as_str().unwrap().contains("isolated"), "{json}");
}

/// The confinement of each thread of the process, as the kernel reports it from outside.
#[test]
fn the_kernel_confirms_it() {
    let bench = Bench::new();
    let input = bench.path("input.obj");
    std::fs::write(&input, "stubborn \n").unwrap();
    let engines = crate::misbehaviour::engines_file(&bench, crate::misbehaviour::double(), "");
    let mut child = bench
        .command(&[
            "convert",
            input.to_str().unwrap(),
            "--to",
            "stl",
            "--engine",
            "double",
            "--engines-file",
            engines.to_str().unwrap(),
        ])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut confirmed = false;
    while !confirmed && Instant::now() < deadline {
        confirmed = children_of(child.id()).iter().any(|&host| is_confined(host));
        std::thread::sleep(Duration::from_millis(5));
    }
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::TERM)
        .unwrap();
    child.wait().unwrap();
    assert!(confirmed, "no engine process with NoNewPrivs and a filter on each thread was seen");
}

fn is_confined(process: u32) -> bool {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{process}/task")) else { return false };
    let statuses: Vec<String> =
        threads.flatten().filter_map(|t| std::fs::read_to_string(t.path().join("status")).ok()).collect();
    let has = |status: &String, line: &str| status.lines().any(|l| l == line);
    let score = std::fs::read_to_string(format!("/proc/{process}/oom_score_adj")).unwrap_or_default();
    !statuses.is_empty()
        && score.trim() == "1000"
        && statuses.iter().all(|s| has(s, "NoNewPrivs:\t1") && has(s, "Seccomp:\t2"))
}

/// Thread names and the command line are readable by every user. A confined engine cannot write to
/// them; an unconfined one can.
#[test]
fn an_engine_cannot_write_into_the_list_of_processes() {
    let cases = [
        (Mode::Confined, Route::Native, "told-confined"),
        (Mode::Confined, Route::Java, "told-confined-j"),
        (Mode::Unconfined, Route::Native, "told-freely"),
        (Mode::Unconfined, Route::Java, "told-freely-j"),
    ];
    for (mode, route, label) in cases {
        let attack = ATTACKS.iter().find(|attack| attack.name == "label_process").unwrap();
        let attack: &'static Attack = Box::leak(Box::new(Attack { given: Given::Text(label), ..*attack }));
        let over = AtomicBool::new(false);
        let (run, shown) = std::thread::scope(|scope| {
            let watcher = scope.spawn(|| {
                let mut shown = Vec::new();
                while !over.load(Ordering::Relaxed) {
                    shown.extend(labels().into_iter().filter(|text| text.contains(label)));
                    std::thread::sleep(Duration::from_millis(20));
                }
                shown
            });
            let rig = Rig::new(attack, mode, route);
            let run = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| rig.run()));
            over.store(true, Ordering::Relaxed);
            (run.expect("the attack is run"), watcher.join().unwrap())
        });
        let free = mode == Mode::Unconfined;
        let expected = if free { End::Works } else { End::Violation("kill") };
        assert_eq!(mode.expected(attack, route), expected);
        assert_eq!(run.code, Some(if free { 0 } else { 18 }), "{mode:?} {route:?}: {run:?}");
        assert_eq!(!shown.is_empty(), free, "{mode:?} {route:?}: {shown:?}");
    }
}

/// What `ps` shows for all processes and their threads.
fn labels() -> Vec<String> {
    let read = |path: std::path::PathBuf| {
        String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
    };
    let mut texts = Vec::new();
    for process in std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path()) {
        let Ok(threads) = std::fs::read_dir(process.join("task")) else { continue };
        texts.push(read(process.join("cmdline")));
        texts.extend(threads.flatten().map(|thread| read(thread.path().join("comm"))));
    }
    texts
}
