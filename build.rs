//! Stamps the git revision and the target into the build, so that `--version`
//! and every report can say exactly which code made an output.

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-env-changed=CADMILL_REVISION");
    // A path that does not exist would make cargo run this each time.
    for path in [".git/HEAD", ".git/logs/HEAD"].into_iter().filter(|path| std::path::Path::new(path).exists())
    {
        println!("cargo:rerun-if-changed={path}");
    }
    println!("cargo:rerun-if-changed=build.rs");
    // An image build has no .git directory and passes the revision instead.
    let revision =
        std::env::var("CADMILL_REVISION").ok().or_else(git_revision).unwrap_or_else(|| "unknown".to_owned());
    println!("cargo:rustc-env=CADMILL_REVISION={revision}");
    let target = std::env::var("TARGET").unwrap_or_else(|_| "unknown".to_owned());
    println!("cargo:rustc-env=CADMILL_TARGET={target}");
}

fn git_revision() -> Option<String> {
    let output = Command::new("git").args(["rev-parse", "--short=12", "HEAD"]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && !text.trim().is_empty()).then(|| text.trim().to_owned())
}
