//! The code follows docs/ARCHITECTURE.md: what it says is absent, is absent.

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

/// Source files that contain a text outside comments, relative to the repository.
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
fn unsafe_code_has_four_addresses() {
    let found = files_with("unsafe {");
    assert!(!found.is_empty(), "the search finds nothing at all");
    for file in found {
        let addresses = [
            "native-sys/src/",
            "crates/plugin/src/",
            "converter/src/engine/sandbox/",
            "converter/src/linux/",
        ];
        assert!(addresses.iter().any(|address| file.starts_with(address)), "{file}");
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
        // A server's tests may include one of its clients.
        for file in named.iter().filter(|file| !file.contains("/tests/")) {
            assert!(file.starts_with("crates/stores/src/adapters/aws/"), "{file} names {name}");
        }
    }
}

/// The packages that this package depends on.
fn built_of(package: &str) -> Vec<String> {
    let run = std::process::Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()))
        .args([
            "tree",
            "-p",
            package,
            "-e",
            "normal",
            "--prefix",
            "none",
            "--format",
            "{p}",
            "--locked",
            "--offline",
        ])
        .current_dir(repository())
        .output()
        .unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let text = String::from_utf8(run.stdout).unwrap();
    text.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

#[test]
fn the_core_is_built_of_no_sdk_no_database_and_no_server() {
    let packages = built_of("cadmill-core");
    assert!(packages.iter().any(|package| package == "serde"), "{packages:?}");
    let absent = ["aws-config", "rusqlite", "libsqlite3-sys", "hyper", "s3s", "clap", "axum", "ureq"];
    for package in packages {
        let refused = absent.contains(&package.as_str()) || package.starts_with("aws-sdk-");
        assert!(!refused && !package.starts_with("aws-smithy-"), "the core is built of {package}");
    }
}

#[test]
fn the_archive_reader_and_the_drawing_writer_are_built_of_the_core_alone_of_ours() {
    for package in ["cadmill-archive", "cadmill-dxf"] {
        let packages = built_of(package);
        let ours: std::collections::BTreeSet<&str> =
            packages.iter().map(String::as_str).filter(|package| package.starts_with("cadmill-")).collect();
        assert_eq!(ours, [package, "cadmill-core"].into());
        for absent in ["tokio", "rustix", "libc", "aws-lc-rs", "tempfile"] {
            assert!(!packages.iter().any(|other| other == absent), "{package} is built of {absent}");
        }
    }
}
