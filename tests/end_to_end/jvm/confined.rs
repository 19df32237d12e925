//! Every behaviour of a Java converter has a defined outcome, and the converter reaches only its
//! own job. Each attack must work in an unconfined process, because otherwise the confined half
//! proves nothing.

use super::{Double, Watched, message, natives};
use crate::misbehaviour::is_alive;
use crate::support::{Run, children_of};
use std::io::Write;
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_good_converter_converts() {
    let double = Double::new();
    let json = double.watch("ok").run.succeeded().json();
    assert_eq!(
        (&json["engine"]["library"], &json["engine"]["version"]),
        (&"Misbehaving".into(), &"1.0".into())
    );
    assert_eq!(double.output(), "converted\n");
}

#[test]
fn what_harmless_converters_do_works_confined() {
    Double::new().watch("ordinary").run.succeeded();
}

#[test]
fn options_reach_the_converter() {
    let double = Double::new().flags(&["--opt", "a=1", "--opt", "größe=ü", "--opt", "a=2"]);
    double.watch("options").run.succeeded();
    let expected = "[Option[name=a, value=1], Option[name=größe, value=ü], Option[name=a, value=2]]";
    assert!(double.output().contains(expected), "{}", double.output());
    // It read the input before it blamed an option; without the input the message would differ.
    let blaming = Double::new().flags(&["--opt", "a=1"]);
    let blamed = blaming.watch("option").run.failed(27, "engine.unfit");
    assert!(message(&blamed).contains("does not fit this input"), "{blamed}");
    // There is no option to blame.
    Double::new().watch("option").run.failed(17, "engine.misbehaved");
}

#[test]
fn options_that_are_too_long_are_refused_before_anything_is_started() {
    let long = format!("a={}", "x".repeat(60_000));
    let json = Double::new().flags(&["--opt", &long]).watch("ok").run.failed(2, "usage.invalid");
    assert_eq!(message(&json), "the options are too long");
}

#[test]
fn ending_the_jvm_is_no_answer() {
    for (behaviour, exit) in [("exit", 3), ("halt", 4)] {
        let json = Double::new().watch(behaviour).run.failed(17, "engine.no_answer");
        assert_eq!(json["error"]["process_exit"], exit, "{behaviour}");
    }
}

#[test]
fn a_shutdown_hook_that_sleeps_delays_nothing() {
    let Watched { run, elapsed } = Double::new().watch("hook");
    run.succeeded();
    assert!(elapsed < 30 * SECOND, "{elapsed:?}");
    // The JVM waits for the hook on `exit`, and the cap on time ends it.
    Double::new().flags(&["--timeout", "3s"]).watch("exit-and-sleep").run.failed(13, "limit.time");
}

#[test]
fn an_endless_loop_hits_the_time_cap() {
    let json = Double::new().flags(&["--timeout", "3s"]).watch("loop").run.failed(13, "limit.time");
    assert_eq!(json["error"]["limit_ms"], 3000);
}

#[test]
fn memory_of_the_heap_and_beside_it_hits_the_memory_cap() {
    let capped = || Double::new().flags(&["--memory", "256M", "--timeout", "60s"]);
    for behaviour in ["allocate", "allocate-outside"] {
        let json = capped().watch(behaviour).run.failed(12, "limit.memory");
        assert_eq!(json["error"]["limit_bytes"], 256 << 20, "{behaviour}");
    }
    // The heap limit alone, below the cap.
    Double::new().keys("heap_mib = 32").watch("allocate").run.failed(12, "limit.memory");
    // A heap that does not fit in the cap.
    capped().keys("heap_mib = 1024").watch("allocate").run.failed(12, "limit.memory");
}

#[test]
fn a_crash_in_native_code_is_told_with_its_signal() {
    for (name, signal) in [("segv", 11), ("abort", 6), ("trap", 4)] {
        let keys = format!("natives = {:?}", natives(name));
        let json = Double::new().keys(keys).watch(name).run.failed(14, "engine.crashed");
        assert_eq!(json["error"]["signal"], signal, "{name}");
    }
}

#[test]
fn native_code_that_leaves_is_no_answer() {
    let keys = format!("natives = {:?}", natives("leave"));
    let json = Double::new().keys(keys).watch("leave").run.failed(17, "engine.no_answer");
    assert_eq!(json["error"]["process_exit"], 7);
}

#[test]
fn a_stack_that_overflows_is_an_exception() {
    let json = Double::new().watch("recurse").run.failed(15, "engine.rejected");
    assert!(message(&json).contains("java.lang.StackOverflowError"), "{json}");
}

#[test]
fn exceptions_are_told_by_class_and_message_and_cleaned() {
    let run = Double::new().watch("throw").run;
    let all = format!("{}{}", run.stdout, run.stderr);
    let json = run.failed(15, "engine.rejected");
    let text = message(&json);
    assert!(text.contains("java.lang.IllegalStateException: "), "{text:?}");
    assert!(text.contains("[31mforged  line"), "{text:?}");
    assert!(!text.contains(|c: char| c.is_control() || c == '\u{202e}'), "{text:?}");
    for trace in ["at Misbehaving", "Misbehaving.java", "\tat "] {
        assert!(!all.contains(trace), "a stack trace is told: {all}");
    }
    let json = Double::new().watch("throw-hostile").run.failed(15, "engine.rejected");
    assert!(message(&json).contains("Misbehaving$Hostile"), "{json}");
}

#[test]
fn classes_and_libraries_that_a_converter_misses_with_the_input_in_hand_are_its_own_words() {
    for (behaviour, named) in [
        ("newer-class", "UnsupportedClassVersionError"),
        ("missing-class", "Misbehaving$Absent"),
        ("missing-native", "cadmill-nowhere"),
    ] {
        let json = Double::new().watch(behaviour).run.failed(15, "engine.rejected");
        assert!(message(&json).contains(named), "{json}");
    }
}

#[test]
fn a_flood_of_threads_text_or_output_hits_its_cap() {
    Double::new().watch("threads").run.failed(16, "limit.threads");
    Double::new().flags(&["--timeout", "60s"]).watch("flood").run.failed(16, "limit.messages");
    let small = Double::new().flags(&["--max-output", "16M", "--timeout", "60s"]);
    let json = small.watch("endless-file").run.failed(16, "limit.output");
    assert_eq!(json["error"]["limit_bytes"], 16 << 20);
}

#[test]
fn other_programs_files_and_hosts_are_out_of_reach() {
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = server.accept() {
            let _ = stream.write_all(b"credentials-of-the-task-role");
        }
    });
    let elsewhere = tempfile::tempdir().unwrap();
    let written = elsewhere.path().join("written");
    let ran = elsewhere.path().join("ran");
    let attacks = [
        (format!("socket {port}"), 15, "engine.rejected", "Operation not permitted", "credentials-of"),
        ("read /etc/passwd".to_owned(), 15, "engine.rejected", "/etc/passwd", "root:"),
        (format!("write {}", written.display()), 15, "engine.rejected", "AccessDenied", "written"),
        // A JVM creates pipes first, which is refused.
        (format!("exec {}", ran.display()), 15, "engine.rejected", "Operation not permitted", "ran"),
    ];
    for (behaviour, exit, code, reason, evidence) in &attacks {
        let json = Double::new().watch(behaviour).run.failed(*exit, code);
        assert!(message(&json).contains(reason), "{behaviour}: {json}");
        assert!(!json.to_string().contains("credentials-of"), "the secret is out");
        assert!(!written.exists() && !ran.exists(), "{behaviour}: it left something");
        let free = Double::new().unconfined(true);
        free.watch(behaviour).run.succeeded();
        let got = free.output();
        assert!(
            got.starts_with("ATTACK SUCCEEDED") && got.contains(evidence),
            "{behaviour} is hollow: {got}"
        );
        for path in [&written, &ran] {
            let _ = std::fs::remove_file(path);
        }
    }
}

#[test]
fn cancelling_ends_in_a_dead_process_and_an_empty_place() {
    use rustix::process::{Pid, Signal, kill_process};
    for (behaviour, with) in [("until-cancelled", Signal::INT), ("loop", Signal::TERM)] {
        let double = Double::new();
        let mut command = double.command(behaviour);
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stderr = std::io::BufReader::new(child.stderr.take().unwrap());
        let loaded = std::io::BufRead::lines(stderr)
            .map_while(Result::ok)
            .any(|line| line.starts_with("engine double: Misbehaving"));
        let hosts = children_of(child.id());
        kill_process(Pid::from_child(&child), with).unwrap();
        let asked = Instant::now();
        let run = Run::from(child.wait_with_output().unwrap());
        assert!(loaded && hosts.len() == 1, "{run:?}");
        assert!(asked.elapsed() < 2 * SECOND, "{behaviour}: {:?}", asked.elapsed());
        run.failed(130, "job.cancelled");
        assert!(!is_alive(hosts[0]), "{behaviour}: the engine process is left");
        double.bench.assert_no_plaintext_left();
    }
}
