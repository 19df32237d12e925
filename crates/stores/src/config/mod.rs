//! One configuration for all programs: `cadmill-api`, `cadmill-converter` and
//! `cadmill serve`.
//!
//! A value comes from a flag, else from the environment, else from a TOML file,
//! else it is the default. One table ([`key`]) names every key; paths, variables,
//! flags and docs/CONFIGURATION.md come from it. What is unknown is refused, and all
//! that is wrong is told at once: a typing error must not become a default in
//! production, and nobody wants to start a service ten times to find ten of them.
//!
//! Secrets come from a file or the environment, never from a flag, and are never
//! shown: not by `--print-config`, not in an error, not by `Debug`.

mod build;
mod check;
mod environment;
mod file;
mod flags;
mod key;
mod kind;
mod machine;
mod problem;
mod settings;
#[cfg(test)]
mod tests;
mod weak;

pub use flags::{augment, wants_print};
pub use problem::{Origin, Problem, Problems};
pub use settings::Settings;

use crate::adapters::aws::ObjectLock;
use crate::connections::Networks;
use cadmill_core::domain::ids::Owner;
use cadmill_core::domain::limits::{ArchiveLimits, Caps};
use cadmill_core::domain::state::Policy;
use clap::ArgMatches;
use file::Said;
use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The program that is configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Binary {
    /// `cadmill-api`: the HTTP server.
    Api,
    /// `cadmill-converter`: the worker.
    Worker,
    /// `cadmill serve`: both, and the embedded backend.
    Serve,
}

impl Binary {
    /// The name of the program.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Api => "cadmill-api",
            Self::Worker => "cadmill-converter",
            Self::Serve => "cadmill serve",
        }
    }
}

/// Reads the configuration of this process: its flags, its environment, and the
/// file that one of them names. `matches` are those of a command from [`augment`].
///
/// # Errors
/// All that is wrong.
pub fn load(matches: &ArgMatches, binary: Binary) -> Result<(Config, Settings), Problems> {
    load_from(matches, std::env::vars_os(), binary)
}

/// The same, with the environment given.
///
/// # Errors
/// All that is wrong.
pub fn load_from(
    matches: &ArgMatches,
    environment: impl Iterator<Item = (OsString, OsString)>,
    binary: Binary,
) -> Result<(Config, Settings), Problems> {
    let file = match flags::file(matches) {
        None => Said::default(),
        Some(path) => match std::fs::read_to_string(&path) {
            Ok(text) => file::read(&path, &text),
            Err(error) => {
                let problem = Problem {
                    key: format!("--config {}", path.display()),
                    origin: Origin::Flag("--config, or env CADMILL_CONFIG".to_owned()),
                    text: format!("cannot read the file: {error}"),
                };
                Said { problems: vec![problem], ..Said::default() }
            }
        },
    };
    judge([file, environment::read(environment), flags::read(matches, binary)], binary)
}

/// The configuration that a TOML text is by itself: no flag and no variable counts.
///
/// # Errors
/// All that is wrong.
pub fn parse(text: &str, binary: Binary) -> Result<(Config, Settings), Problems> {
    let file = file::read(Path::new("the text"), text);
    judge([file, Said::default(), Said::default()], binary)
}

fn judge(said: [Said; 3], binary: Binary) -> Result<(Config, Settings), Problems> {
    let (settings, mut problems) = Settings::merge(said, binary);
    let config = build::build(&settings);
    problems.extend(check::contradictions(&config, &settings));
    if problems.is_empty() { Ok((config, settings)) } else { Err(Problems(problems)) }
}

/// The configuration, every value good by itself and with the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where jobs, objects and events are kept.
    pub backend: Backend,
    /// Directory of the embedded backend.
    pub data_dir: PathBuf,
    /// Log lines.
    pub log: Log,
    /// All AWS services.
    pub aws: Aws,
    /// Objects.
    pub s3: S3,
    /// Name of the table of jobs; there with [`Backend::Aws`].
    pub dynamodb_table: Option<String>,
    /// Events.
    pub sqs: Sqs,
    /// The HTTP server.
    pub api: Api,
    /// What the life of a job is measured by.
    pub policy: Policy,
    /// The worker.
    pub worker: Worker,
    /// Ledgers.
    pub audit: Audit,
    /// Caps on the engine of one conversion.
    pub caps: Caps,
    /// Limits on an archive.
    pub archive: ArchiveLimits,
    /// Address and port of the embedded S3 server; port 0 takes a free one.
    pub embedded_s3_listen: SocketAddr,
    /// Connections of clients that it keeps open; at least 1.
    pub embedded_s3_connections: usize,
    /// Those of one client; at least 1.
    pub embedded_s3_connections_per_client: usize,
    /// Bytes a second that an upload or download makes at least; at least 1.
    pub embedded_s3_min_rate: u64,
}

/// Name of the database file in the data directory.
pub const DATABASE: &str = "jobs.sqlite";

impl Config {
    /// File of jobs and queue of the embedded backend.
    pub fn database(&self) -> PathBuf {
        self.data_dir.join(DATABASE)
    }
}

/// Where jobs, objects and events are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// On this machine: SQLite and a server in the same process that speaks S3.
    Embedded,
    /// DynamoDB, S3 and SQS.
    Aws,
}

/// Log lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// JSON objects instead of text.
    pub json: bool,
    /// Least important level: off, error, warn, info, debug or trace.
    pub level: String,
}

/// All AWS services.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aws {
    /// Region; as the SDK finds it when there is none.
    pub region: Option<String>,
    /// Endpoint of DynamoDB and SQS; AWS when there is none.
    pub endpoint: Option<String>,
}

/// Objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3 {
    /// Bucket; there with [`Backend::Aws`].
    pub bucket: Option<String>,
    /// Endpoint: `s3.endpoint`, else `aws.endpoint`; AWS when there is none.
    pub endpoint: Option<String>,
    /// Endpoint for presigned URLs: `s3.public_endpoint`, else the endpoint.
    pub public_endpoint: Option<String>,
    /// Put the bucket into the path.
    pub path_style: bool,
    /// Access key and secret key; as the SDK finds them when there are none.
    pub keys: Option<(String, Secret)>,
}

/// Events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sqs {
    /// Queue; there with [`Backend::Aws`].
    pub queue_url: Option<String>,
    /// Queue of what nobody could handle.
    pub dead_letter_url: Option<String>,
}

/// The HTTP server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Api {
    /// Address and port.
    pub listen: SocketAddr,
    /// How callers prove who they are.
    pub auth: Auth,
    /// Web origins whose pages may call.
    pub cors_origins: Vec<String>,
    /// Proxies before the server.
    pub trusted_proxies: Networks,
    /// Connections that are kept open; at least 1.
    pub connections: usize,
    /// Those of one client; at least 1.
    pub connections_per_client: usize,
    /// How long a client may take for the head of a request.
    pub header_time: Duration,
    /// How long a connection is kept without a request.
    pub idle_time: Duration,
    /// The same for a connection of a proxy.
    pub proxy_idle_time: Duration,
    /// Requests a second of one owner, in the long run; at least 1.
    pub rate_per_second: u32,
    /// Requests of one owner at once; at least 1.
    pub rate_burst: u32,
    /// How long an upload URL is good.
    pub upload_url_lifetime: Duration,
    /// Bytes a second that a client sends at least.
    pub upload_min_rate: u64,
    /// How long a download URL is good.
    pub download_url_lifetime: Duration,
    /// Uploads of more bytes are made in parts.
    pub multipart_threshold_bytes: u64,
    /// Size of each part but the last, 5 MiB to 5 GiB; larger where more than 10,000
    /// such parts would be needed.
    pub part_size_bytes: u64,
    /// Largest upload, at most 5 TiB.
    pub max_upload_bytes: u64,
}

/// How callers prove who they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Auth {
    /// Not at all; on loopback only.
    None,
    /// By one of these bearer tokens.
    Tokens(Vec<Token>),
    /// By a token of an OpenID provider.
    Oidc(Oidc),
}

/// A bearer token, as it is configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Whose it is.
    pub owner: Owner,
    /// Its SHA-256, in lower-case hexadecimal.
    pub sha256: String,
    /// It may read the audit of every job.
    pub auditor: bool,
}

/// An OpenID provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Oidc {
    /// `iss` of its tokens.
    pub issuer: String,
    /// `aud` that they must have.
    pub audience: String,
    /// Where its keys are; otherwise the issuer's discovery document says it.
    pub jwks_url: Option<String>,
    /// Claim that names the owner of a job.
    pub owner_claim: String,
    /// Claim that makes a caller an auditor; none when nobody is.
    pub role_claim: Option<String>,
}

/// The worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Worker {
    /// Name in leases and logs.
    pub name: String,
    /// Conversions at the same time; at least 1.
    pub concurrency: usize,
    /// Memory for all conversions together, in bytes; what the machine or the
    /// container has when there is none.
    pub memory_bytes: Option<u64>,
    /// Memory for the parts of an upload that are on their way, in bytes; for each conversion.
    pub fetch_buffer_bytes: u64,
    /// Directory for the files of running jobs.
    pub workspace: PathBuf,
    /// Accept a workspace on a disk.
    pub allow_disk: bool,
    /// Whether workspaces are made in memory of the worker's own: `auto`, `no`, `required`.
    pub private_workspace: String,
    /// TOML file that declares engines; the built-in ones when there is none.
    pub engines_file: Option<PathBuf>,
    /// The engine host's binary; beside the program when there is none.
    pub engine_host: Option<PathBuf>,
    /// Engines for which a process waits ahead of the next job, with commas between.
    pub warm: Option<String>,
    /// Time to finish or give back all jobs when told to stop.
    pub stop_within: Duration,
    /// Least confinement of engines, by the word of its level.
    pub min_posture: String,
    /// Niceness of conversions, 0 to 19.
    pub nice: u8,
}

/// Ledgers: where they are kept and what signs their heads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audit {
    /// Each of them has to take every record.
    pub sinks: Vec<SinkKind>,
    /// Directory of [`SinkKind::File`].
    pub directory: PathBuf,
    /// Bucket of [`SinkKind::S3`]; there with it.
    pub bucket: Option<String>,
    /// Object Lock of [`SinkKind::S3`].
    pub lock: Option<ObjectLock>,
    /// What signs.
    pub sign_with: SignWith,
}

/// A place for ledgers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SinkKind {
    /// Files in a directory.
    File,
    /// Objects in a bucket.
    S3,
    /// Lines of the standard output.
    Stdout,
}

/// What signs the heads of ledgers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignWith {
    /// Nothing: they prove nothing.
    Nothing,
    /// The Ed25519 key in this PEM file.
    File(PathBuf),
    /// This key, in PEM.
    Pem(Secret),
    /// This key of AWS KMS.
    Kms(String),
}

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text itself, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}
