//! ezdxf, another reader and writer, from the Python environment that `make setup` installs.

use super::repository;
use std::path::Path;
use std::process::Command;

/// Runs a part of `tests/oracle.py` on a folder, and returns what it prints.
pub fn run(part: &str, folder: &Path) -> String {
    let python = repository().join("target/tools/bin/python3");
    assert!(python.exists(), "ezdxf is not installed; run `make setup`, which puts it into target/tools");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle.py");
    // Its caches are no business of the home directory.
    let output = Command::new(python)
        .arg(script)
        .arg(part)
        .arg(folder)
        .env("XDG_CACHE_HOME", folder)
        .env("XDG_CONFIG_HOME", folder)
        .env("PYTHONUTF8", "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    text
}
