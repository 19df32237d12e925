//! Stamps the git revision and the target into the build, so that `--version`
//! and every report can say exactly which code made an output.

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-env-changed=CADMILL_REVISION");
    // Where they lie, in a worktree too. A path that does not exist would make cargo run this
    // each time.
    for path in ["HEAD", "logs/HEAD"].into_iter().filter_map(|name| git(&["rev-parse", "--git-path", name])) {
        if std::path::Path::new(&path).exists() {
            println!("cargo:rerun-if-changed={path}");
        }
    }
    println!("cargo:rerun-if-changed=build.rs");
    // An image build has no .git directory and passes the revision instead.
    let revision = std::env::var("CADMILL_REVISION").ok();
    let revision = revision.or_else(|| git(&["rev-parse", "--short=12", "HEAD"]));
    let revision = revision.unwrap_or_else(|| "unknown".to_owned());
    println!("cargo:rustc-env=CADMILL_REVISION={revision}");
    let target = std::env::var("TARGET").unwrap_or_else(|_| "unknown".to_owned());
    println!("cargo:rustc-env=CADMILL_TARGET={target}");
}

/// What git answers.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && !text.trim().is_empty()).then(|| text.trim().to_owned())
}
