//! `cadmill convert --audit`: its ledgers, as `cadmill audit` and the commands of docs/AUDIT.md take
//! them.

use crate::support::{Bench, real};
use cadmill_core::ledger::LocalSigner;
use cadmill_core::ports::Signer;
use cadmill_stores::conformance::audit_sink::signing_key;
use std::path::PathBuf;

/// Writes a signing key to `key.pem` in the directory for results, and returns the file of its
/// public key.
pub(crate) fn make_key(bench: &Bench) -> String {
    let key = signing_key();
    let public = LocalSigner::from_pem(key.as_bytes()).unwrap().public_key();
    std::fs::write(bench.path("key.pem"), key).unwrap();
    std::fs::write(bench.path("pub.pem"), public.to_pem()).unwrap();
    bench.path("pub.pem").to_str().unwrap().to_owned()
}

/// The only ledger in a directory.
fn ledger_in(bench: &Bench, directory: &str) -> PathBuf {
    let files = crate::support::tree(&bench.path(directory));
    let mut ledgers = files.into_iter().filter(|path| path.extension().is_some_and(|e| e == "jsonl"));
    let only = ledgers.next().expect("a ledger");
    assert_eq!(ledgers.next(), None);
    only
}

#[test]
fn a_conversion_has_a_ledger_that_holds() {
    for private in ["auto", "no"] {
        let bench = Bench::new().with("CADMILL_PRIVATE_WORKSPACE", private);
        let key = make_key(&bench);
        let input = real("gis/naturalearth_lowres.zip");
        let arguments = ["convert", input.to_str().unwrap(), "--to", "dxf", "-o", "out.dxf", "--json"];
        let recorded = [&arguments[..], &["--audit", "ledgers", "--audit-key", "key.pem"]].concat();
        let json = bench.run(&recorded).succeeded().json();
        let path = ledger_in(&bench, "ledgers");
        assert_eq!(bench.path(json["ledger"].as_str().unwrap()), path);
        assert!(private == "auto" || json["private_workspace"] == false, "{json}");

        let verified = bench.run(&["audit", "verify", "ledgers", "--key", &key, "--json"]).succeeded().json();
        let ledger = &verified["ledgers"][0];
        assert_eq!((&verified["verdict"], &ledger["outcome"]), (&"VALID".into(), &"completed".into()));
        // Root and layout, the input made again; five files of the archive, and what the engine made.
        assert!(ledger["created"].as_u64().unwrap() > 10, "{ledger}");
        assert_eq!(ledger["residual"], 0);
        let shown = bench.run(&["audit", "show", path.to_str().unwrap(), "--key", &key]).succeeded().stdout;
        for stage in ["fetch", "convert", "publish", "wipe"] {
            assert!(shown.lines().any(|line| line.starts_with(stage)), "{stage}: {shown}");
        }
        assert!(shown.contains("worker cadmill convert") && shown.contains("posture level: "), "{shown}");
        bench.run(&["audit", "report", "ledgers", "-o", "report.html", "--key", &key]).succeeded();
        // Names are in it as digests only.
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!text.contains("lowres") && !text.contains("out.dxf"), "{text}");

        let tampered = text.replacen("\"bytes\":", "\"bytes\":1", 1);
        assert_ne!(tampered, text);
        std::fs::write(&path, tampered).unwrap();
        assert_eq!(bench.run(&["audit", "verify", "ledgers", "--key", &key]).code, Some(30));
    }
}

#[test]
fn without_a_key_the_ledger_is_unsigned() {
    let bench = Bench::new();
    let input = real("mesh/moon_ascii.stl");
    let arguments = ["convert", input.to_str().unwrap(), "--to", "obj", "-o", "o.obj", "--audit", "ledgers"];
    let run = bench.run(&arguments).succeeded();
    assert!(run.stderr.contains("unsigned") && run.stderr.contains("ledger: ledgers/"), "{run:?}");
    let verified = bench.run(&["audit", "verify", "ledgers", "--json"]);
    assert_eq!(verified.code, Some(32), "{verified:?}");
    let json = verified.json();
    // A file that is read in place is not among them: the workspace with its parts, and the output.
    assert_eq!(json["ledgers"][0]["residual"], 0, "{json}");
    let shown = bench.run(&["audit", "show", ledger_in(&bench, "ledgers").to_str().unwrap()]).stdout;
    assert!(!shown.contains("file       input") && shown.contains("file       output"), "{shown}");
}

/// The outcome of a conversion that fails is the code of its failure.
#[test]
fn a_conversion_that_fails_has_a_ledger_too() {
    let bench = Bench::new();
    let key = make_key(&bench);
    let input = real("hostile/moon_aborts_assimp.3mf");
    let arguments = ["convert", input.to_str().unwrap(), "--to", "glb", "-o", "moon.glb", "--json"];
    let recorded = [&arguments[..], &["--audit", "ledgers", "--audit-key", "key.pem"]].concat();
    let json = bench.run(&recorded).failed(14, "engine.crashed");
    assert!(json["ledger"].as_str().unwrap().ends_with("1-0.jsonl"), "{json}");
    let verified = bench.run(&["audit", "verify", "ledgers", "--key", &key, "--json"]).succeeded().json();
    assert_eq!(verified["ledgers"][0]["outcome"], "engine.crashed");
}

/// Without a ledger there is no plaintext: nothing is unpacked, nothing is written.
#[test]
fn a_ledger_that_cannot_be_opened_refuses_the_conversion() {
    let bench = Bench::new();
    make_key(&bench);
    std::fs::write(bench.path("file"), "not a directory").unwrap();
    let input = real("gis/naturalearth_lowres.zip");
    let arguments = ["convert", input.to_str().unwrap(), "--to", "dxf", "-o", "out.dxf", "--json"];
    for audit in [
        &["--audit", "file"][..],
        &["--audit", "ledgers", "--audit-key", "missing.pem"],
        &["--audit", "ledgers", "--audit-key", "pub.pem"],
        &["--audit", "/proc/ledgers"],
    ] {
        bench.run(&[&arguments[..], audit].concat()).failed(20, "infra.audit");
        assert!(!bench.path("out.dxf").exists(), "{audit:?}");
    }
    bench.run(&[&arguments[..], &["--audit-key", "key.pem"]].concat()).failed(2, "usage.invalid");
}

#[test]
fn a_directory_without_ledgers_is_not_verified() {
    let bench = Bench::new();
    std::fs::create_dir_all(bench.path("empty/job")).unwrap();
    let run = bench.run(&["audit", "verify", "empty"]);
    assert!(run.code == Some(10) && run.stderr.contains("without ledgers"), "{run:?}");
}
