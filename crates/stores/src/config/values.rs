//! The configuration, every value good by itself and with the others.

use super::token::Token;
use crate::adapters::aws::ObjectLock;
use crate::connections::Networks;
use cadmill_core::domain::limits::{ArchiveLimits, Caps};
use cadmill_core::domain::state::Policy;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

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
    /// Lifetime of a download URL.
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
    /// Time to finish or release all jobs on shutdown.
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
pub struct Secret(pub(super) String);

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
