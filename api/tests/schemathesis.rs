//! Property tests: schemathesis generates requests from the OpenAPI document and compares every
//! response with it.

#![allow(unreachable_pub, reason = "a test has no outside")]

#[path = "http/shelf.rs"]
mod shelf;

use cadmill_api::auth::{Auth, Tokens};
use cadmill_api::listener::serve;
use cadmill_api::settings::ApiSettings;
use cadmill_api::state::Server;
use cadmill_core::cleanup::crew::Membership;
use cadmill_core::domain::state::Policy;
use cadmill_core::jobs::Jobs;
use cadmill_core::ports::clock::SystemClock;
use cadmill_stores::adapters::embedded::Database;
use cadmill_stores::config::Token;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

const TOKEN: &str = "a-token-for-this-test-of-forty-characters";

/// A different number of examples or another seed may produce other findings.
const EXAMPLES: &str = "60";
const SEED: &str = "20240229";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_description_holds_for_any_request() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let tool = root.join("target/tools/bin/schemathesis");
    assert!(
        tool.exists(),
        "schemathesis is not installed; run `make setup`, which puts it into target/tools"
    );

    let directory = tempfile::tempdir().unwrap();
    let database = Database::open(&directory.path().join("jobs.db"), 5).unwrap();
    let jobs = Jobs::new(Arc::new(database.jobs()), Arc::new(SystemClock), Policy::default());
    let token = Token { owner: "ann".parse().unwrap(), sha256: Tokens::digest(TOKEN), auditor: false };
    let tokens = Tokens::new(&[token]).unwrap();
    // The lease of a cleanup program: without one, no job is taken in.
    let cleanup = Membership::new(jobs.clone(), "cleanup".to_owned(), Duration::from_secs(2));
    cleanup.renew().await.unwrap();
    let cleanup = tokio::spawn(async move { cleanup.keep().await });
    let mut settings = ApiSettings { auth: Auth::Tokens(tokens), ..ApiSettings::default() };
    // As high as possible: the rate limit is not under test.
    settings.config.rate_per_second = 1_000_000;
    settings.config.rate_burst = 1_000_000;
    // Small, so that some of its orders become multipart uploads.
    settings.config.multipart_threshold_bytes = 1 << 20;
    // A stream of a job that goes on would not end.
    settings.stream_life = Duration::from_millis(100);
    let objects = Arc::new(shelf::Shelf::default());
    let state = Server::new(settings, objects, jobs, Arc::new(database.queue())).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(serve(listener, state, std::future::pending()));

    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/schemathesis.toml");
    let work = directory.path().to_owned();
    let output = tokio::task::spawn_blocking(move || {
        Command::new(tool)
            .arg("--config-file")
            .arg(config)
            .args(["run", &format!("http://{address}/openapi.json")])
            .args(["--header", &format!("Authorization: Bearer {TOKEN}")])
            .args(["--checks", "all", "--max-examples", EXAMPLES, "--seed", SEED])
            // `--checks all` re-enables this check, even if the configuration file disables it.
            .args(["--exclude-checks", "use_after_free"])
            .args(["--continue-on-failure", "--no-color"])
            .env("PYTHONDONTWRITEBYTECODE", "1")
            // A persistent example database would make runs depend on each other.
            .current_dir(work)
            .output()
            .unwrap()
    });
    let output = output.await.unwrap();
    server.abort();
    cleanup.abort();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    // A run without any request would have no findings either.
    assert!(text.contains("passed") || text.contains("No issues found"), "{text}");
}
