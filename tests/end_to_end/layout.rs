//! The layout is the architecture: what docs/ARCHITECTURE.md says is absent, is.

use crate::support::repository;
use std::path::{Path, PathBuf};

fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// Source files that contain a text outside of comments, relative to the repository.
fn files_with(text: &str) -> Vec<String> {
    let mut files = Vec::new();
    for part in ["src", "crates", "native-sys", "converter", "api", "cli"] {
        sources(&repository().join(part), &mut files);
    }
    let mut found: Vec<String> = files
        .iter()
        .filter(|path| {
            let source = std::fs::read_to_string(path).unwrap();
            source.lines().any(|line| !line.trim_start().starts_with("//") && line.contains(text))
        })
        .map(|path| path.strip_prefix(repository()).unwrap().display().to_string())
        .collect();
    found.sort();
    found
}

#[test]
fn only_the_engine_host_names_native_sys() {
    let named = files_with("cadmill_native_sys");
    assert!(!named.is_empty(), "the search finds nothing at all");
    for file in named {
        assert!(file.starts_with("converter/src/engine/host/"), "{file}");
    }
}

#[test]
fn unsafe_code_has_two_addresses() {
    let found = files_with("unsafe {");
    assert!(!found.is_empty(), "the search finds nothing at all");
    for file in found {
        assert!(
            file.starts_with("native-sys/src/") || file.starts_with("converter/src/engine/sandbox/"),
            "{file}"
        );
    }
}

#[test]
fn the_api_depends_on_no_native_code() {
    let manifest = std::fs::read_to_string(repository().join("api/Cargo.toml")).unwrap();
    for crate_name in ["native-sys", "cadmill-converter", "libloading", "libc"] {
        assert!(!manifest.contains(crate_name), "api/Cargo.toml names {crate_name}");
    }
}

#[test]
fn no_command_is_prepared_after_a_fork() {
    assert_eq!(files_with("pre_exec"), Vec::<String>::new());
}

#[test]
fn only_the_aws_adapters_name_the_aws_sdk() {
    for name in ["aws_sdk_", "aws_config"] {
        let named = files_with(name);
        assert!(!named.is_empty(), "the search finds nothing at all");
        // A test of a server may be one of its clients.
        for file in named.iter().filter(|file| !file.contains("/tests/")) {
            assert!(file.starts_with("crates/stores/src/adapters/aws/"), "{file} names {name}");
        }
    }
}
