//! The configuration: every value is valid on its own and consistent with the others.

use super::token::Token;
use crate::adapters::aws::ObjectLock;
use crate::connections::Networks;
use cadmill_core::domain::limits::{ArchiveLimits, Caps};
use cadmill_core::domain::quota::Quota;
use cadmill_core::domain::state::Policy;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// The configuration: every value is valid on its own and consistent with the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where jobs, objects and events are kept.
    pub backend: Backend,
    /// Directory of the embedded backend.
    pub data_dir: PathBuf,
    /// Log lines.
    pub log: Log,
    /// Metrics.
    pub metrics: Metrics,
    /// All AWS services.
    pub aws: Aws,
    /// Objects.
    pub s3: S3,
    /// Name of the table of jobs; set with [`Backend::Aws`].
    pub dynamodb_table: Option<String>,
    /// Events.
    pub sqs: Sqs,
    /// The HTTP server.
    pub api: Api,
    /// Limits and time spans of jobs.
    pub policy: Policy,
    /// The cleanup.
    pub cleanup: Cleanup,
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
    /// Client connections that it keeps open; at least 1.
    pub embedded_s3_connections: usize,
    /// Client connections of one client; at least 1.
    pub embedded_s3_connections_per_client: usize,
    /// Minimum rate of an upload or download, in bytes per second; at least 1.
    pub embedded_s3_min_rate: u64,
}

/// Name of the database file in the data directory.
pub const DATABASE: &str = "jobs.sqlite";

impl Config {
    /// Database file with the jobs and the queue of the embedded backend.
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

/// Metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metrics {
    /// Address and port of the listener; none if `None`.
    pub listen: Option<SocketAddr>,
    /// Whether they are printed for CloudWatch.
    pub emf: bool,
}

impl Metrics {
    /// The address for the next program on this machine: the next port, or any free one.
    pub fn of_next(&self) -> Option<SocketAddr> {
        let listen = self.listen?;
        let port = if listen.port() == 0 { 0 } else { listen.port().checked_add(1)? };
        Some(SocketAddr::new(listen.ip(), port))
    }
}

/// All AWS services.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aws {
    /// Region; if `None`, the region that the SDK finds.
    pub region: Option<String>,
    /// Endpoint of DynamoDB and SQS; AWS if `None`.
    pub endpoint: Option<String>,
}

/// Objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3 {
    /// Bucket; set with [`Backend::Aws`].
    pub bucket: Option<String>,
    /// Endpoint: `s3.endpoint`, else `aws.endpoint`; AWS if `None`.
    pub endpoint: Option<String>,
    /// Endpoint for presigned URLs: `s3.public_endpoint`, else the endpoint.
    pub public_endpoint: Option<String>,
    /// Path-style requests: the bucket name is in the path.
    pub path_style: bool,
    /// Access key and secret key; if `None`, the keys that the SDK finds.
    pub keys: Option<(String, Secret)>,
}

/// Events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sqs {
    /// URL of the queue; set with [`Backend::Aws`].
    pub queue_url: Option<String>,
    /// URL of the dead-letter queue.
    pub dead_letter_url: Option<String>,
}

/// The HTTP server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Api {
    /// Address and port.
    pub listen: SocketAddr,
    /// How callers authenticate.
    pub auth: Auth,
    /// Web origins whose pages may make requests.
    pub cors_origins: Vec<String>,
    /// Ids and extensions of formats that engines of an engines file write.
    pub formats: Vec<String>,
    /// Reverse proxies in front of the server.
    pub trusted_proxies: Networks,
    /// Open connections; at least 1.
    pub connections: usize,
    /// Open connections of one client; at least 1.
    pub connections_per_client: usize,
    /// Time limit for a client to send the head of a request.
    pub header_time: Duration,
    /// Time that a connection is kept open without a request.
    pub idle_time: Duration,
    /// The same for a connection of a proxy.
    pub proxy_idle_time: Duration,
    /// Sustained requests per second of one owner; at least 1.
    pub rate_per_second: u32,
    /// Burst of requests of one owner; at least 1.
    pub rate_burst: u32,
    /// Event streams that may be open.
    pub streams: usize,
    /// Those of one owner.
    pub streams_per_owner: usize,
    /// Key of tickets; a random one of the process if `None`.
    pub ticket_key: Option<Secret>,
    /// Lifetime of a ticket for a job.
    pub ticket_lifetime: Duration,
    /// Lifetime of an upload URL.
    pub upload_url_lifetime: Duration,
    /// Minimum upload rate of a client, in bytes per second.
    pub upload_min_rate: u64,
    /// Lifetime of a download URL.
    pub download_url_lifetime: Duration,
    /// Uploads of more bytes are multipart uploads.
    pub multipart_threshold_bytes: u64,
    /// Size of each part but the last, 5 MiB to 5 GiB; larger if the upload would otherwise need
    /// more than 10,000 parts.
    pub part_size_bytes: u64,
    /// What one owner may have in flight.
    pub quota: Quota,
    /// Largest upload, at most 5 TiB.
    pub max_upload_bytes: u64,
    /// Whether the page is served under `/app/`.
    pub page: bool,
    /// Whether new jobs are refused while no cleanup program is alive.
    pub require_cleanup: bool,
}

/// How callers authenticate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Auth {
    /// Without authentication; on loopback only.
    None,
    /// With one of these bearer tokens.
    Tokens(Vec<Token>),
    /// With a token of an OpenID provider.
    Oidc(Oidc),
}

/// An OpenID provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Oidc {
    /// Required `iss` of a token.
    pub issuer: String,
    /// Required `aud` of a token.
    pub audience: String,
    /// URL of the key set; if `None`, the issuer's discovery document names it.
    pub jwks_url: Option<String>,
    /// Claim that names the owner of a job.
    pub owner_claim: String,
    /// Claim that makes a caller an auditor; if `None`, there are no auditors.
    pub role_claim: Option<String>,
}

/// The cleanup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cleanup {
    /// Interval of its passes.
    pub every: Duration,
    /// Name in leases, logs and evidence.
    pub name: String,
}

/// The worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Worker {
    /// Name in leases and logs.
    pub name: String,
    /// Concurrent conversions; at least 1.
    pub concurrency: usize,
    /// Memory for all conversions together, in bytes; if `None`, the memory of the machine or the
    /// container.
    pub memory_bytes: Option<u64>,
    /// Memory for the parts of an upload that are being fetched, in bytes; for each conversion.
    pub fetch_buffer_bytes: u64,
    /// Directory for the files of running jobs.
    pub workspace: PathBuf,
    /// Whether the workspace may be on a disk.
    pub allow_disk: bool,
    /// Whether workspaces are in a tmpfs private to the worker: `auto`, `no`, `required`.
    pub private_workspace: String,
    /// TOML file that declares engines; if `None`, the built-in engines.
    pub engines_file: Option<PathBuf>,
    /// Path of the engine host binary; if `None`, the one beside the program.
    pub engine_host: Option<PathBuf>,
    /// Engines for which a warm process waits for the next job, separated by commas.
    pub warm: Option<String>,
    /// Time limit to finish or release all jobs on shutdown.
    pub stop_within: Duration,
    /// Minimum confinement of engines, by the name of its level.
    pub min_posture: String,
    /// Niceness of conversions, 0 to 19.
    pub nice: u8,
}

/// Ledgers: where they are kept and what signs their heads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audit {
    /// Every sink must accept every record. Empty in a program that keeps no ledgers.
    pub sinks: Vec<SinkKind>,
    /// Directory of [`SinkKind::File`].
    pub directory: PathBuf,
    /// Bucket of [`SinkKind::S3`]; set with it.
    pub bucket: Option<String>,
    /// Object Lock of [`SinkKind::S3`].
    pub lock: Option<ObjectLock>,
    /// What signs the heads.
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
    /// Nothing: unsigned heads prove nothing.
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
