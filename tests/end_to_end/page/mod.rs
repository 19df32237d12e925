//! The page under `/app/`, in a real browser: Chromium against `cadmill serve` with its own stores. The
//! object store is reached through a relay, which can cut the connections of the browser.

use crate::serve::Installation;
use crate::support::{real, repository, unique, zipped};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;
use zip::CompressionMethod;

/// SHA-256 of [`TOKEN`].
const DIGEST: &str = "d517fc9f7313d2eb373d45cf92cc328d001fcc3808786c27e47a9abbba6b5692";
const TOKEN: &str = "a-person-has-a-token-of-forty-characters";

/// A free port on loopback. Another program may take it in between, which hardly ever happens.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A program of the tests, run with Node.
fn node(arguments: &[&str]) -> (bool, String) {
    let output = Command::new("node").args(arguments).current_dir(repository()).output().expect("node");
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    (output.status.success(), text.into_owned())
}

/// The map of the world beside 20 MB that no engine reads, stored.
fn large_archive() -> Vec<u8> {
    let world = std::fs::File::open(real("gis/naturalearth_lowres.zip")).unwrap();
    let mut world = zip::ZipArchive::new(world).unwrap();
    let mut members: Vec<(String, Vec<u8>)> = Vec::new();
    for n in 0..world.len() {
        let mut member = world.by_index(n).unwrap();
        let mut content = Vec::new();
        std::io::Read::read_to_end(&mut member, &mut content).unwrap();
        members.push((member.name().unwrap().into_owned(), content));
    }
    let noise = unique().into_bytes();
    members.push(("notes.bin".to_owned(), noise.iter().copied().cycle().take(20_000_000).collect()));
    let entries: Vec<(&str, CompressionMethod, &[u8])> = members
        .iter()
        .map(|(name, content)| (name.as_str(), CompressionMethod::Stored, content.as_slice()))
        .collect();
    zipped(&entries)
}

#[test]
fn the_parts_of_the_page_do_what_they_say() {
    let run = Command::new("api/page/test.sh").current_dir(repository()).output().expect("api/page/test.sh");
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stdout));
}

#[test]
fn people_convert_files_in_a_browser() {
    assert!(
        repository().join("api/page/dist/index.html").is_file(),
        "the page is not built: run `make page`, and build the tests again"
    );
    let directory = tempfile::tempdir().unwrap();
    let large = directory.path().join("world.zip");
    std::fs::write(&large, large_archive()).unwrap();
    let installation = Installation::whole();
    let [relay, store] = [free_port(), free_port()];
    let served = installation.serve(&[
        "--api-auth",
        "tokens",
        "--api-tokens",
        &format!("person:{DIGEST}"),
        "--api-multipart-threshold",
        "6M",
        "--api-part-size",
        "5M",
        "--embedded-s3-listen",
        &format!("127.0.0.1:{store}"),
        "--s3-public-endpoint",
        &format!("http://127.0.0.1:{relay}"),
    ]);
    let pictures: PathBuf =
        std::env::var_os("CADMILL_PAGE_PICTURES").map_or_else(|| directory.path().into(), Into::into);
    let world = serde_json::json!({
        "url": served.url,
        "token": TOKEN,
        "relay": relay,
        "store": store,
        "packages": repository().join("target/browser-node/node_modules"),
        "fixtures": repository().join("tests/fixtures/real"),
        "large": large,
        "scratch": directory.path(),
        "pictures": pictures,
    });
    let (good, text) = node(&["tests/end_to_end/page/people.mjs", &world.to_string()]);
    assert!(good, "{text}\n{:#?}", served.lines().iter().rev().take(20).collect::<Vec<_>>());
    // Neither the token nor a file's name has come into the server's log.
    let logged = served.lines().join("\n");
    for secret in [TOKEN, "world.zip", "X-Amz-Signature", "moon_aborts"] {
        assert!(!logged.contains(secret), "the log has {secret}");
    }
}
