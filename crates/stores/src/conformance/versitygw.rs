//! S3 by [versitygw](https://github.com/versity/versitygw) on a directory. It verifies signatures,
//! signed lengths and checksums, and keeps versions, as AWS does. It takes minutes to compile, so
//! only the tests of `make nightly` use it.
//!
//! Differences from AWS: it sends no events, so a test that needs one puts it into the queue; a
//! conditional write over a delete marker is refused.

use super::process::{Server, free_port, tied};
use super::world::{REGION, keys};
use crate::adapters::aws::s3::Keeps;
use crate::adapters::aws::{S3Settings, S3Store, Service};
use std::path::PathBuf;
use std::time::Duration;
use tempfile::TempDir;

/// The variable with the path of the program, which `make nightly` sets. A name that begins with
/// `CADMILL_` would be refused by the programs that are tested.
pub const VARIABLE: &str = "TEST_VERSITYGW";

/// Attempts to find a port that is still free when the server binds it.
const TRIES: u32 = 5;

/// Waits until something listens there: the server says that it does shortly before.
async fn answers(address: &str) {
    for _ in 0..500 {
        if tokio::net::TcpStream::connect(address).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("versitygw does not listen");
}

/// A running server; dropping it ends it.
pub struct Versitygw {
    _server: Server,
    endpoint: String,
    _data: TempDir,
}

impl Versitygw {
    /// Starts a server, which takes a fifth of a second. Its objects are deleted with it.
    ///
    /// # Panics
    /// If versitygw or `setpriv` is missing.
    pub async fn start() -> Self {
        let program = std::env::var_os(VARIABLE).map(PathBuf::from).filter(|path| path.is_file());
        let program = program.unwrap_or_else(|| {
            panic!("versitygw is missing: `make nightly` compiles it and sets {VARIABLE} to its path")
        });
        let data = tempfile::tempdir().expect("a directory");
        let [accounts, versions, objects] = ["accounts", "versions", "objects"].map(|name| {
            let path = data.path().join(name);
            std::fs::create_dir(&path).expect("a directory");
            path
        });
        let mut refusals = String::new();
        for _ in 0..TRIES {
            let address = format!("127.0.0.1:{}", free_port());
            let mut command = tied(&program);
            command.env("ROOT_ACCESS_KEY", keys().access_key).env("ROOT_SECRET_KEY", keys().secret_key);
            command.args(["--port", &address, "--region", REGION]);
            command.arg("--iam-dir").arg(&accounts);
            command.arg("posix").arg("--versioning-dir").arg(&versions).arg(&objects);
            match Server::start(command, "service listening on").await {
                Ok((server, _)) => {
                    answers(&address).await;
                    let endpoint = format!("http://{address}");
                    return Self { _server: server, endpoint, _data: data };
                }
                Err(said) => refusals += &said,
            }
        }
        panic!("versitygw does not start:\n{refusals}")
    }

    /// A new bucket.
    ///
    /// # Panics
    /// If it cannot be created.
    pub async fn bucket(&self, keeps: Keeps) -> S3Settings {
        let service = Service {
            region: REGION.to_owned(),
            endpoint: Some(self.endpoint.clone()),
            credentials: Some(keys()),
        };
        let bucket = format!("cadmill-{}", uuid::Uuid::new_v4());
        let settings = S3Settings { bucket, service, public_endpoint: None, path_style: true };
        S3Store::new(settings.clone()).await.create_bucket(keeps).await.expect("a bucket");
        settings
    }
}
