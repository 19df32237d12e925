//! Shell completions and manual pages, as a shell and `man` use them.

use crate::support::Bench;
use std::process::Command;

/// What bash offers after these words.
fn offered(script: &str, words: &[&str]) -> Vec<String> {
    let run = r#"
        eval "$0"
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
        handler=$(complete -p cadmill) && handler=${handler##* -F } && handler=${handler%% *}
        "$handler" cadmill "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    let output = Command::new("bash").args(["-c", run, script]).args(words).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_and_options() {
    let script = Bench::new().run(&["completions", "bash"]).succeeded().stdout;
    assert_eq!(offered(&script, &["cadmill", "conv"]), ["convert"]);
    assert_eq!(offered(&script, &["cadmill", "submit", "--job"]), ["--job-id"]);
    assert_eq!(offered(&script, &["cadmill", "audit", "ver"]), ["verify"]);
}

#[test]
fn every_shell_has_completions_and_others_are_refused() {
    let bench = Bench::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = bench.run(&["completions", shell]).succeeded().stdout;
        assert!(script.contains("max-expanded") && script.contains("report"), "{shell}: {script}");
    }
    assert_eq!(bench.run(&["completions", "csh"]).code, Some(2));
}

#[test]
fn every_command_has_a_page() {
    let bench = Bench::new();
    bench.run(&["manual", "man/man1"]).succeeded();
    let commands =
        ["convert", "engines", "doctor", "submit", "serve", "audit", "audit-verify", "completions"];
    for command in commands {
        let page = std::fs::read_to_string(bench.path(&format!("man/man1/cadmill-{command}.1"))).unwrap();
        assert!(page.contains(&format!(".TH cadmill-{command} 1")), "{page}");
    }
    let page = std::fs::read_to_string(bench.path("man/man1/cadmill-convert.1")).unwrap();
    assert!(page.contains("\\-\\-max\\-expanded"), "{page}");
    // A directory that cannot be created is reported.
    std::fs::write(bench.path("file"), "").unwrap();
    assert_eq!(bench.run(&["manual", "file/man1"]).code, Some(20));
}
