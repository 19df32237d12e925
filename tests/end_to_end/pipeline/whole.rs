//! The whole pipeline, from a client's file to its result: API, presigned uploads, events, worker,
//! status, download; on an emulator of the AWS services, with the permissions of the deployment, and on
//! this machine alone. The results are
//! those of `cadmill convert`.

use super::policies::{Cloud, without_versions};
use super::processes::{Server, Service};
use super::stores::Stores;
use super::world::large_archive;
use crate::support::{Bench, real};
use std::path::{Path, PathBuf};

/// Submits a file and compares the result with the output of `cadmill convert`.
fn comes_back_converted(server: &Server, input: &Path, format: &str) {
    let bench = Bench::new().with("CADMILL_SERVER", &server.url);
    let (ours, direct) = (bench.path(&format!("ours.{format}")), bench.path(&format!("direct.{format}")));
    let name = |path: &PathBuf| path.to_str().expect("a path in UTF-8").to_owned();
    let input = input.to_str().expect("a path in UTF-8");
    // The worker names its output after the file, not after the client's path.
    std::fs::create_dir(bench.path("d")).expect("a directory");
    let converted = bench.run(&["convert", input, "--to", format, "-o", &name(&bench.path("d"))]).succeeded();
    let made = bench.path("").join(converted.stdout.trim());
    std::fs::rename(made, &direct).expect("the output of convert");
    let run = bench.run(&["submit", input, "--to", format, "-o", &name(&ours)]);
    assert_eq!(run.code, Some(0), "{run:?}\n{}", server.logs());
    for state in ["PENDING", "COMPLETED"] {
        assert!(run.stderr.contains(state), "{state} is not told: {run:?}");
    }
    // The owner is told what the output lacks, as `cadmill convert` tells it.
    let fields = |run: &crate::support::Run| {
        let line = run.stderr.lines().find(|line| line.starts_with("warning: the output format cannot"));
        line.map(str::to_owned)
    };
    assert_eq!(fields(&run), fields(&converted), "{run:?}");
    assert_eq!(fields(&run).is_some(), format == "dxf" && input.contains("naturalearth"), "{run:?}");
    let read = |path: &Path| std::fs::read(path).expect("a result");
    assert!(read(&ours) == read(&direct), "the result is another one");
}

fn both_engines_and_both_uploads(server: &Server) {
    comes_back_converted(server, &real("gis/naturalearth_lowres.zip"), "dxf");
    comes_back_converted(server, &real("mesh/logo3d_obj.zip"), "glb");
    let large = tempfile::Builder::new().suffix(".zip").tempfile().expect("a file");
    std::fs::write(large.path(), large_archive(150_000)).expect("an archive");
    comes_back_converted(server, large.path(), "dxf");
    // A failure of the engine is reported with its code.
    let bench = Bench::new().with("CADMILL_SERVER", &server.url);
    let hostile = real("hostile/moon_aborts_assimp.3mf");
    let run = bench.run(&["submit", hostile.to_str().expect("UTF-8"), "--to", "glb", "--json"]);
    run.failed(14, "engine.crashed");
    // What was read and written is told, and a strict order fails if it differs.
    let input = bench.path("a.geojson");
    let none = r#"{"type":"Feature","properties":{},"geometry":null}"#;
    let point = r#"{"type":"Feature","properties":{},"geometry":{"type":"Point","coordinates":[1,2]}}"#;
    std::fs::write(&input, format!(r#"{{"type":"FeatureCollection","features":[{point},{none}]}}"#))
        .expect("an input");
    let arguments = ["submit", input.to_str().expect("UTF-8"), "--to", "dxf", "--json", "-o", "out.dxf"];
    let json = bench.run(&arguments).succeeded().json();
    let counts = serde_json::json!({"unit": "features", "read": 2, "written": 1, "skipped": 1});
    assert_eq!((&json["counts"], &json["losses"]), (&counts, &1.into()), "{json}");
    let failed = bench.run(&[&arguments[..], &["--strict"]].concat()).failed(28, "engine.incomplete");
    assert!(failed["error"]["message"].as_str().unwrap_or_default().contains("without geometry"), "{failed}");
}

/// The smallest part size, so that 17 MB need several parts.
const PARTS: [(&str, &str); 2] = [("CADMILL_API_MULTIPART_THRESHOLD", "6M"), ("CADMILL_API_PART_SIZE", "5M")];

#[test]
fn on_one_machine() {
    let server = Server::embedded(&PARTS);
    both_engines_and_both_uploads(&server);
    server.stops_well();
}

#[test]
fn on_aws_services() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let cloud = runtime.block_on(Cloud::new());
    let mut cleaner = cloud.cleanup(&PARTS);
    cleaner.wait_for("cleaning up every");
    let server = Server::of(cloud.api(&PARTS), cloud.worker(&PARTS));
    both_engines_and_both_uploads(&server);
    server.stops_well();
    cloud.suffices(&without_versions());
}

/// The same without moto: dynalite, ElasticMQ, and the object server of `cadmill serve`, which
/// verifies signatures.
#[test]
#[ignore = "in `make nightly`"]
fn on_other_servers() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let data = tempfile::tempdir().expect("a directory");
    let stores = runtime.block_on(Stores::others_with_embedded_s3(data.path()));
    let mut variables = stores.variables().to_vec();
    variables.extend(PARTS.map(|(name, value)| (name, value.to_owned())));
    let worker = Service::worker(&variables);
    let mut cleaner = Service::start("cadmill-cleanup", &[], &variables);
    cleaner.wait_for("cleaning up every");
    variables.push(("CADMILL_API_LISTEN", "127.0.0.1:0".to_owned()));
    let server = Server::of(Service::start("cadmill-api", &[], &variables), worker);
    both_engines_and_both_uploads(&server);
    server.stops_well();
}

/// The service names are checked at start, and errors are reported.
#[test]
fn a_worker_without_its_services_says_which() {
    let service = Service::worker(&[
        ("CADMILL_BACKEND", "aws".to_owned()),
        ("CADMILL_AWS_REGION", "us-east-1".to_owned()),
        // Nothing listens there.
        ("CADMILL_AWS_ENDPOINT", "http://127.0.0.1:9".to_owned()),
        ("CADMILL_S3_BUCKET", "b".to_owned()),
        ("CADMILL_DYNAMODB_TABLE", "t".to_owned()),
        ("CADMILL_SQS_QUEUE_URL", "http://127.0.0.1:9/q".to_owned()),
        ("AWS_ACCESS_KEY_ID", "k".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "s".to_owned()),
    ]);
    let (code, log) = service.ended();
    assert_eq!(code, Some(20), "{log}");
    assert!(log.contains("infra.store_unavailable"), "{log}");
}
