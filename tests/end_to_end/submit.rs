//! `cadmill submit` against a server that follows the API, and that simulates failures of networks
//! and stores.

mod server;

use crate::support::{Bench, Run};
use server::{Events, Fault, Plan, Server, Size, content};
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::Stdio;

const TOKEN: &str = "a-token-that-nobody-sees-in-any-output";
const ID: &str = "0188a5eb-4c1d-4c3e-9a27-2f1d3c4b5a69";

/// A file of four parts, and the command that submits it.
fn prepare(bench: &Bench, server: &Server, more: &[&str]) -> std::process::Command {
    let input = bench.path("town.zip");
    std::fs::write(&input, content()).unwrap();
    let mut arguments = vec!["submit", input.to_str().unwrap(), "--to", "dxf", "--server", &server.url];
    arguments.extend(more);
    let mut command = bench.command(&arguments);
    for proxy in ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
        command.env_remove(proxy);
    }
    command.env_remove("CADMILL_SERVER").env("CADMILL_TOKEN", TOKEN);
    command
}

/// Submits the file. No confidential data may be printed in any case.
fn submit(bench: &Bench, server: &Server, more: &[&str]) -> Run {
    let run = Run::from(prepare(bench, server, more).output().unwrap());
    for secret in [TOKEN, "signature", "/store/"] {
        assert!(!run.stdout.contains(secret) && !run.stderr.contains(secret), "{secret}: {run:?}");
    }
    run
}

/// Files in the result directory, including hidden ones, without the input.
fn results(bench: &Bench) -> Vec<String> {
    let entries = std::fs::read_dir(bench.path("")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name != "town.zip").collect()
}

fn read(bench: &Bench, name: &str) -> Vec<u8> {
    std::fs::read(bench.path(name)).unwrap()
}

#[test]
fn parts_survive_a_broken_connection_and_an_expired_url() {
    let server = Server::start(Plan {
        size: Size::InParts,
        faults: vec![Fault::BusyAtCreate, Fault::BreakPart(2), Fault::ExpirePart(3)],
        ..Plan::default()
    });
    let bench = Bench::new();
    let run = submit(&bench, &server, &["-o", "out.dxf"]).succeeded();
    assert_eq!(run.stdout, "out.dxf\n");
    assert_eq!(read(&bench, "out.dxf"), server::RESULT);
    assert_eq!(results(&bench), ["out.dxf"]);
    let seen = server.seen();
    assert_eq!(seen.object, content());
    assert_eq!(seen.puts, [(1, 1), (2, 2), (3, 2), (4, 1)].into(), "tries of each part");
    assert_eq!((seen.creates, seen.orders), (2, 1));
    assert!(seen.acknowledged && !seen.deleted && seen.not_modified > 0, "{seen:?}");
    let told = ["PENDING", "PROCESSING fetch", "PROCESSING convert", "COMPLETED"];
    let places: Vec<usize> = told.iter().map(|line| run.stderr.find(line).expect(line)).collect();
    assert!(places.is_sorted(), "{run:?}");
    assert!(run.stderr.lines().any(|line| line.ends_with(" s  PENDING")), "{run:?}");
}

/// The status is asked for once, after the end, whether the stream comes in one piece or in two.
#[test]
fn a_stream_of_events_is_followed_to_the_end() {
    for (events, streams) in
        [(Events::Whole, vec![None]), (Events::CutOnce, vec![None, Some("1".to_owned())])]
    {
        let server = Server::start(Plan { events, ..Plan::default() });
        let bench = Bench::new();
        let run = submit(&bench, &server, &["-o", "out.dxf"]).succeeded();
        assert_eq!(read(&bench, "out.dxf"), server::RESULT);
        let told = ["PENDING", "PROCESSING fetch", "PROCESSING convert", "COMPLETED"];
        let places: Vec<usize> = told.iter().map(|line| run.stderr.find(line).expect(line)).collect();
        assert!(places.is_sorted() && run.stderr.matches("PENDING").count() == 1, "{run:?}");
        let seen = server.seen();
        assert_eq!(
            (seen.streams, seen.polls),
            (streams, 7),
            "{events:?}: the fake server begins with 6 polls"
        );
    }
}

/// An older server has no streams, one with too many refuses them, and a proxy may end them.
#[test]
fn without_a_stream_the_job_is_polled() {
    for (events, streams) in [(Events::Missing, 1), (Events::TooMany, 1), (Events::Empty, 3)] {
        let server = Server::start(Plan { events, ..Plan::default() });
        let bench = Bench::new();
        submit(&bench, &server, &["-o", "out.dxf"]).succeeded();
        assert_eq!(read(&bench, "out.dxf"), server::RESULT);
        let seen = server.seen();
        assert_eq!((seen.streams.len(), seen.polls), (streams, 7), "{events:?}");
    }
}

#[test]
fn an_order_whose_reply_was_lost_makes_one_job() {
    let faults = vec![Fault::LoseCreateReply, Fault::BreakPart(1)];
    let server = Server::start(Plan { faults, ..Plan::default() });
    let bench = Bench::new();
    let run = submit(&bench, &server, &["--json", "--root", "a/b.shp", "--opt", "x=y", "--preset", "plain"])
        .succeeded();
    let json = run.json();
    assert_eq!(json["outcome"], "converted");
    assert_eq!(json["output"]["path"], "town.dxf");
    assert_eq!(json["output"]["bytes"], server::RESULT.len());
    assert_eq!(json["stage_millis"]["convert"], 7);
    let seen = server.seen();
    assert_eq!((seen.creates, seen.orders), (2, 1));
    assert_eq!(json["job_id"], seen.order["job_id"]);
    assert_eq!(seen.order["root"], "a/b.shp");
    assert_eq!(seen.order["options"]["x"], "y");
    assert_eq!(seen.order["options"]["dxf.version"], "R2000");
    assert!(seen.order.get("preset").is_none(), "an older server takes it too");
    assert_eq!(seen.order["file_name"], "town.zip");
    assert_eq!(seen.order["size_bytes"], content().len());
    assert_eq!(seen.order["checksum_sha256"].as_str().map(str::len), Some(64));
    assert_eq!(seen.object, content());
}

#[test]
fn an_owner_with_too_much_in_flight_waits_and_is_told_why() {
    let server = Server::start(Plan { faults: vec![Fault::QuotaAtCreate], ..Plan::default() });
    let bench = Bench::new();
    let run = submit(&bench, &server, &["-o", "out.dxf"]).succeeded();
    assert_eq!(read(&bench, "out.dxf"), server::RESULT);
    let told = "waiting 1 s for a place: you have 2 jobs in flight\n";
    assert_eq!(run.stderr.matches(told).count(), 1, "{run:?}");
    assert_eq!(server.seen().creates, 2);
}

#[test]
fn a_job_is_taken_up_where_it_was_left() {
    let server = Server::start(Plan { size: Size::InParts, arrived: vec![1, 2], ..Plan::default() });
    let bench = Bench::new();
    submit(&bench, &server, &["--job-id", ID, "--parallel", "1"]).succeeded();
    let seen = server.seen();
    assert_eq!(seen.puts, [(3, 1), (4, 1)].into());
    assert_eq!(seen.object, content());
    assert_eq!(seen.order["job_id"], ID);
}

#[test]
fn a_broken_download_goes_on() {
    for ranges in [true, false] {
        let faults = vec![Fault::BreakDownload, Fault::ExpireDownload];
        let server = Server::start(Plan { faults, ranges, ..Plan::default() });
        let bench = Bench::new();
        submit(&bench, &server, &["--token-file", token_file(&bench).to_str().unwrap()]).succeeded();
        assert_eq!(read(&bench, "town.dxf"), server::RESULT);
        let half = format!("bytes={}-", server::RESULT.len() / 2);
        assert_eq!(server.seen().ranges, [half.clone(), half], "the first has no range");
    }
}

/// An encoded result is decoded on the way, and its pieces are joined before that.
#[test]
fn a_result_in_gzip_is_decoded() {
    for (faults, ranges) in
        [(vec![], true), (vec![Fault::BreakDownload], true), (vec![Fault::BreakDownload], false)]
    {
        let is_broken = !faults.is_empty();
        let server = Server::start(Plan { faults, ranges, gzip: true, ..Plan::default() });
        let bench = Bench::new();
        let json = submit(&bench, &server, &["--json"]).succeeded().json();
        assert!(read(&bench, "town.dxf") == server::RESULT, "{ranges}: another result");
        assert_eq!(json["output"]["bytes"], server::RESULT.len());
        let seen = server.seen();
        assert_eq!(seen.order["accept_encoding"], serde_json::json!(["gzip"]));
        let received = json["downloaded_bytes"].as_u64().unwrap();
        // The server stores, it does not compress, so that a half of it decodes to nearly a half.
        assert!(received > server::RESULT.len() as u64);
        let half = vec![format!("bytes={}-", received / 2); usize::from(is_broken)];
        assert_eq!((seen.ranges, seen.acknowledged), (half, true));
    }
    let server = Server::start(Plan { gzip: true, ..Plan::default() });
    let bench = Bench::new();
    let json = submit(&bench, &server, &["--json", "--no-gzip"]).succeeded().json();
    assert_eq!(read(&bench, "town.dxf"), server::RESULT);
    assert_eq!(json["downloaded_bytes"], server::RESULT.len());
    assert!(server.seen().order.get("accept_encoding").is_none());
}

#[test]
fn a_result_in_bad_gzip_leaves_no_file() {
    for (fault, said) in [
        (Fault::CutGzip, "not valid gzip"),
        (Fault::LongGzip, "not valid gzip"),
        (Fault::BombGzip, "decodes to more"),
        (Fault::WrongDigest, "SHA-256"),
        (Fault::OtherCoding, "not requested"),
    ] {
        let server = Server::start(Plan { faults: vec![fault], gzip: true, ..Plan::default() });
        let bench = Bench::new();
        std::fs::write(bench.path("out.dxf"), "earlier").unwrap();
        let json = submit(&bench, &server, &["--json", "-o", "out.dxf"]).failed(20, "infra.io");
        assert!(json["error"]["message"].as_str().unwrap().contains(said), "{fault:?}: {json}");
        assert_eq!(results(&bench), ["out.dxf"], "{fault:?}");
        assert_eq!(read(&bench, "out.dxf"), b"earlier", "{fault:?}");
        assert!(!server.seen().acknowledged);
    }
}

#[test]
fn a_server_that_knows_no_gzip_is_asked_without() {
    let server = Server::start(Plan { faults: vec![Fault::Older], ..Plan::default() });
    let bench = Bench::new();
    submit(&bench, &server, &[]).succeeded();
    assert_eq!(read(&bench, "town.dxf"), server::RESULT);
    let seen = server.seen();
    assert_eq!((seen.creates, seen.orders), (2, 1));
    assert!(seen.order.get("accept_encoding").is_none());
}

#[test]
fn an_upload_that_the_store_has_dropped_is_sent_again() {
    let faults = vec![Fault::DropUpload];
    let server = Server::start(Plan { size: Size::InParts, faults, ..Plan::default() });
    let bench = Bench::new();
    submit(&bench, &server, &[]).succeeded();
    let seen = server.seen();
    assert_eq!((seen.completions, seen.object == content()), (2, true));
    assert_eq!(seen.puts, [(1, 2), (2, 2), (3, 2), (4, 2)].into());
}

fn token_file(bench: &Bench) -> PathBuf {
    let path = bench.path("token");
    std::fs::write(&path, format!("{TOKEN}\n")).unwrap();
    path
}

#[test]
fn a_result_that_is_not_what_was_announced_leaves_no_file() {
    let server = Server::start(Plan { faults: vec![Fault::WrongDigest], ..Plan::default() });
    let bench = Bench::new();
    let json = submit(&bench, &server, &["--json", "-o", "out.dxf"]).failed(20, "infra.io");
    assert!(json["error"]["message"].as_str().unwrap().contains("SHA-256"), "{json}");
    assert!(results(&bench).is_empty());
    assert!(!server.seen().acknowledged);
}

/// Neither a range beyond its end nor the whole of it again is progress.
#[test]
fn a_result_that_stays_shorter_than_announced_is_given_up() {
    is_given_up(Fault::ShortResult);
}

#[test]
fn a_result_that_comes_byte_by_byte_is_given_up() {
    is_given_up(Fault::DripResult);
}

fn is_given_up(fault: Fault) {
    let server = Server::start(Plan { faults: vec![fault], ..Plan::default() });
    let bench = Bench::new();
    submit(&bench, &server, &["--json"]).failed(20, "infra.store_unavailable");
    assert!(results(&bench).is_empty());
    assert!(!server.seen().acknowledged);
}

#[test]
fn a_result_that_was_confirmed_is_not_there_again() {
    let server = Server::start(Plan { faults: vec![Fault::GoneResult], ..Plan::default() });
    let bench = Bench::new();
    let json = submit(&bench, &server, &["--json", "--job-id", ID]).failed(23, "job.ended");
    assert!(json["error"]["message"].as_str().unwrap().contains("already downloaded"), "{json}");
    assert!(results(&bench).is_empty());
}

#[test]
fn a_failed_job_ends_with_its_own_code() {
    let server = Server::start(Plan { faults: vec![Fault::JobFails], ..Plan::default() });
    let bench = Bench::new();
    let json = submit(&bench, &server, &["--json"]).failed(12, "limit.memory");
    assert_eq!(json["error"]["message"], "the engine needed more");
    assert_eq!(json["state"], "FAILED");
    assert!(results(&bench).is_empty());
}

#[test]
fn what_the_server_says_is_told() {
    let server = Server::start(Plan { faults: vec![Fault::NotFound], ..Plan::default() });
    let run = submit(&Bench::new(), &server, &[]);
    assert_eq!(run.code, Some(20), "{run:?}");
    assert!(run.stderr.contains("the server says (404): nothing of the kind [no.such_code]"), "{run:?}");
}

#[test]
fn names_from_the_server_stay_in_the_directory() {
    for name in ["../../evil", ".bashrc", "a\\b", "x\u{1b}"] {
        let server = Server::start(Plan { served_name: name, ..Plan::default() });
        let bench = Bench::new();
        let run = submit(&bench, &server, &["--keep"]).succeeded();
        assert_eq!(run.stdout, "town.result\n", "{name}");
        assert_eq!(results(&bench), ["town.result"], "{name}");
        assert!(!server.seen().acknowledged, "--keep");
    }
    // A result must not replace its own input file either.
    let server = Server::start(Plan { served_name: "town.zip", ..Plan::default() });
    let bench = Bench::new();
    submit(&bench, &server, &["--json"]).failed(2, "usage.invalid");
    assert_eq!(read(&bench, "town.zip"), content());
}

#[test]
fn an_interrupt_cancels_the_job() {
    let server = Server::start(Plan { faults: vec![Fault::Hang], ..Plan::default() });
    let bench = Bench::new();
    let mut child =
        prepare(&bench, &server, &[]).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().ends_with("PROCESSING fetch")), "it never got so far");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{rest:?}");
    assert!(server.seen().deleted, "{rest:?}");
    assert!(results(&bench).is_empty());
}

#[test]
fn a_token_on_the_command_line_is_refused() {
    let server = Server::start(Plan::default());
    let run = Run::from(prepare(&Bench::new(), &server, &["--token", "x"]).output().unwrap());
    assert_eq!(run.code, Some(2), "{run:?}");
    let help = Run::from(Bench::new().command(&["submit", "--help"]).output().unwrap()).succeeded();
    assert!(help.stdout.contains("every user of a machine can read the arguments"), "{help:?}");
    let run =
        Run::from(prepare(&Bench::new(), &server, &[]).env("CADMILL_TOKEN", "two words").output().unwrap());
    assert!(run.code == Some(2) && !run.stderr.contains("two words"), "{run:?}");
    let short = "x".repeat(31);
    let run = Run::from(prepare(&Bench::new(), &server, &[]).env("CADMILL_TOKEN", &short).output().unwrap());
    assert!(run.code == Some(2) && run.stderr.contains("31 characters"), "{run:?}");
    assert!(!run.stderr.contains(&short), "{run:?}");
    assert_eq!(server.seen().creates, 0);
}
