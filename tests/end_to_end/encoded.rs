//! Results in gzip, as clients get them: without an order for it, what `curl` writes is the result by
//! its SHA-256; with one, what `curl --compressed` writes is, and ranges are joined before they are
//! decoded.

use crate::pipeline::world::large_archive;
use crate::serve::Installation;
use crate::support::{Bench, Run, real};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::io::Read;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// What `curl` prints, without any configuration of the user.
fn curl(arguments: &[&str]) -> Vec<u8> {
    let output = Command::new("curl").args(["-q", "-sS", "--noproxy", "*"]).args(arguments).output();
    let output = output.expect("curl is installed by make setup");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn answer(arguments: &[&str]) -> Value {
    serde_json::from_slice(&curl(arguments)).expect("an answer in JSON")
}

/// Converts a file to DXF as a client of the API does, and returns how to download the result.
fn converted(server: &str, input: &Path, more: Value) -> Value {
    let bytes = std::fs::read(input).unwrap();
    let mut order = json!({"file_name": "town.zip", "size_bytes": bytes.len(), "target_format": "dxf"});
    order.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let jobs = format!("{server}/api/jobs");
    let made = answer(&["--json", &order.to_string(), &jobs]);
    let mut put = vec!["-T".to_owned(), input.display().to_string()];
    for (name, value) in made["upload"]["headers"].as_object().unwrap() {
        put.extend(["-H".to_owned(), format!("{name}: {}", value.as_str().unwrap())]);
    }
    put.push(made["upload"]["url"].as_str().unwrap().to_owned());
    curl(&put.iter().map(String::as_str).collect::<Vec<_>>());
    let status = format!("{server}{}", made["status_url"].as_str().unwrap());
    let begun = Instant::now();
    loop {
        let status = answer(&[&status]);
        if status["state"] == "COMPLETED" {
            return status["download"].clone();
        }
        assert!(["PENDING", "PROCESSING"].contains(&status["state"].as_str().unwrap()), "{status}");
        assert!(begun.elapsed() < Duration::from_secs(120), "{status}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn text<'a>(download: &'a Value, field: &str) -> &'a str {
    download[field].as_str().unwrap_or_default()
}

#[test]
fn what_a_client_without_flags_fetches_is_the_result() {
    let installation = Installation::whole();
    let server = installation.serve(&[]);
    let input = real("gis/countries_50m.zip");
    let plain = converted(&server.url, &input, json!({}));
    let expected = curl(&[text(&plain, "url")]);
    assert!(expected.len() > 1 << 20 && expected.ends_with(b"EOF\r\n"));
    assert_eq!(text(&plain, "sha256"), sha256(&expected));
    assert_eq!((&plain["size_bytes"], &plain["content_encoding"]), (&json!(expected.len()), &Value::Null));
    assert_eq!(plain["stored_bytes"], plain["size_bytes"]);
    // Even if it says in the request that it would decode gzip.
    assert_eq!(sha256(&curl(&["--compressed", text(&plain, "url")])), text(&plain, "sha256"));

    let encoded = converted(&server.url, &input, json!({"accept_encoding": ["gzip"]}));
    let (url, stored) = (text(&encoded, "url"), encoded["stored_bytes"].as_u64().unwrap());
    assert_eq!(text(&encoded, "content_encoding"), "gzip");
    assert_eq!(
        (text(&encoded, "sha256"), &encoded["size_bytes"]),
        (text(&plain, "sha256"), &plain["size_bytes"])
    );
    assert_eq!(sha256(&curl(&["--compressed", url])), text(&encoded, "sha256"));
    let raw = curl(&[url]);
    assert_eq!((raw.len() as u64, sha256(&raw).as_str()), (stored, text(&encoded, "stored_sha256")));
    assert!(stored < plain["size_bytes"].as_u64().unwrap() / 2, "{encoded}");

    // Two ranges, fetched apart.
    let half = stored / 2;
    let ranges = [format!("0-{}", half - 1), format!("{half}-")];
    let joined: Vec<u8> = ranges.iter().flat_map(|range| curl(&["-r", range, url])).collect();
    assert_eq!(joined, raw);
    let mut content = Vec::new();
    flate2::read::GzDecoder::new(&joined[..]).read_to_end(&mut content).unwrap();
    assert!(content == expected, "another result");
}

/// A result of several parts, through `cadmill submit`, as gzip and as it is.
#[test]
fn a_result_in_several_parts_is_the_same_both_ways() {
    let installation = Installation::whole();
    let server = installation.serve(&[]);
    let bench = Bench::new().with("CADMILL_SERVER", &server.url);
    std::fs::write(bench.path("line.zip"), large_archive(400_000)).unwrap();
    let fetch = |output: &str, more: &[&str]| {
        let arguments = ["submit", "line.zip", "--to", "dxf", "-o", output, "--json"];
        let run: Run = bench.run(&[&arguments[..], more].concat()).succeeded();
        (std::fs::read(bench.path(output)).unwrap(), run.json())
    };
    let (plain, as_is) = fetch("plain.dxf", &["--no-gzip"]);
    let (decoded, gzip) = fetch("decoded.dxf", &[]);
    assert!(plain.len() > 8 << 20, "{} bytes", plain.len());
    assert!(plain == decoded, "another result");
    assert_eq!(as_is["output"]["sha256"], gzip["output"]["sha256"]);
    assert_eq!(as_is["downloaded_bytes"], plain.len());
    assert!(gzip["downloaded_bytes"].as_u64().unwrap() < plain.len() as u64 / 3, "{gzip}");

    // Each was followed by a stream to its end, and asked for once after that. The end was written by the worker,
    // which is another process.
    let with = |text: &str| server.lines().iter().filter(|line| line.contains(text)).count();
    let begun = Instant::now();
    while with("stream.by=\"end\"") < 2 && begun.elapsed() < Duration::from_secs(10) {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!((with("stream.by=\"end\""), with("poll.n=")), (2, 2), "{:#?}", server.lines());
}
