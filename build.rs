//! Embeds the git revision and the target in the build, so that `--version` and every report
//! identify the exact code that produced an output.

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-env-changed=CADMILL_REVISION");
    // Resolved by git, so that this also works in a worktree. A path that does not exist would make
    // cargo rerun this script on every build.
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

/// Trimmed output of a git command; `None` if it fails or prints nothing.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && !text.trim().is_empty()).then(|| text.trim().to_owned())
}
