//! The table of all keys. It is the only list: the TOML paths, the variables, the
//! flags, `--print-config` and docs/CONFIGURATION.md come from it.

use super::kind::Kind;
use super::machine;
use super::program::Program;
use cadmill_core::domain::limits::MIN_MEMORY_BYTES;
use std::sync::LazyLock;

/// The default of a key.
#[derive(Debug, Clone, Copy)]
pub(super) enum KeyDefault {
    /// This value, as text.
    Value(&'static str),
    /// No value; the text says what that means.
    Unset(&'static str),
    /// A property of the machine: its description and the function that reads it.
    Machine(&'static str, fn() -> String),
}

/// One row of the table.
#[derive(Debug, Clone)]
pub(super) struct Key {
    pub(super) id: Id,
    /// Path in the TOML file, with dots.
    pub(super) path: &'static str,
    /// Environment variable, if it is not derived from the path; otherwise empty.
    own_variable: &'static str,
    pub(super) kind: Kind,
    pub(super) default: KeyDefault,
    /// Programs that read it.
    pub(super) uses: &'static [Program],
    /// One sentence, without the full stop.
    pub(super) help: &'static str,
}

impl Key {
    /// The environment variable.
    pub(super) fn variable(&self) -> &'static str {
        &NAMES[self.id as usize].0
    }

    /// The flag without its two hyphens; `None` for a secret, because every user of the machine
    /// can read the arguments of a process.
    pub(super) fn flag(&self) -> Option<&'static str> {
        (!self.kind.is_secret()).then_some(&NAMES[self.id as usize].1)
    }

    /// The path up to its last dot; empty for a key without a group.
    pub(super) fn group(&self) -> &'static str {
        self.path.rsplit_once('.').map_or("", |(group, _)| group)
    }
}

/// Variable and flag of each key.
static NAMES: LazyLock<Vec<(String, String)>> = LazyLock::new(|| {
    let variable = |key: &Key| match key.own_variable {
        "" => format!("CADMILL_{}", key.path.replace('.', "_").to_ascii_uppercase()),
        own => own.to_owned(),
    };
    KEYS.iter().map(|key| (variable(key), key.path.replace(['.', '_'], "-"))).collect()
});

macro_rules! keys {
    ($($id:ident = $path:literal $(@ $variable:literal)?, $kind:expr, $default:expr, $uses:expr, $help:literal;)+) => {
        /// A key, as the code names it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub(super) enum Id { $($id,)+ }

        /// Every key, in the order of the documented table and of [`Id`].
        pub(super) static KEYS: &[Key] = &[$(Key {
            id: Id::$id,
            path: $path,
            own_variable: concat!($($variable)?),
            kind: $kind,
            default: $default,
            uses: $uses,
            help: $help,
        },)+];
    };
}

impl Id {
    /// The row of this key.
    pub(super) fn key(self) -> &'static Key {
        &KEYS[self as usize]
    }
}

const EVERY: &[Program] = &[Program::Api, Program::Worker, Program::Cleanup, Program::Serve];
const API: &[Program] = &[Program::Api, Program::Serve];
const API_AND_CLEANUP: &[Program] = &[Program::Api, Program::Cleanup, Program::Serve];
const API_AND_WORKER: &[Program] = &[Program::Api, Program::Worker, Program::Serve];
const CLEANUP: &[Program] = &[Program::Cleanup, Program::Serve];
const WORKER: &[Program] = &[Program::Worker, Program::Serve];
const SERVE: &[Program] = &[Program::Serve];

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const TIB: u64 = 1 << 40;
const SECOND: u64 = 1000;
const HOUR: u64 = 3600 * SECOND;
const DAY: u64 = 24 * HOUR;

/// S3 presigned URLs are valid for at most seven days.
const URL_LIFETIME: Kind = Kind::Duration { min: 10 * SECOND, max: 7 * DAY };

const CONNECTIONS: Kind = Kind::Count { min: 1, max: 1_000_000 };
const CONNECTION_TIME: Kind = Kind::Duration { min: SECOND, max: HOUR };

/// The value that allows a workspace on a disk.
pub const DISK_WORDS: &str = "i-accept-plaintext-on-disk";

use KeyDefault::{Machine, Unset, Value};

keys! {
    Backend = "backend", Kind::Choice(&["embedded", "aws"]), Value("embedded"), EVERY, "Where jobs, objects and events are kept: on this machine, or in DynamoDB, S3 and SQS";
    DataDir = "data_dir", Kind::Path, Value("cadmill-data"), EVERY, "Directory of the embedded backend; uploads and results lie there as plain files until they are purged";

    LogFormat = "log.format", Kind::Choice(&["text", "json"]), Value("text"), EVERY, "Form of the log lines on standard error";
    LogLevel = "log.level", Kind::Choice(&["off", "error", "warn", "info", "debug", "trace"]), Value("info"), EVERY, "Minimum level of the lines that are logged";

    MetricsListen = "metrics.listen", Kind::AddressOrPort, Unset("no metrics"), EVERY, "Address and port, or a port on loopback, of /metrics, /healthz and /readyz, without authentication; the worker of cadmill serve takes the next port";
    MetricsEmf = "metrics.emf", Kind::Flag, Value("false"), EVERY, "Print the metrics that alarms depend on once a minute on standard output, in the Embedded Metric Format of CloudWatch";

    AwsRegion = "aws.region", Kind::Text, Unset("as the AWS SDK finds it"), EVERY, "AWS region";
    AwsEndpoint = "aws.endpoint", Kind::Url, Unset("AWS"), EVERY, "Endpoint of all services, for emulators";

    S3Bucket = "s3.bucket", Kind::Text, Unset("none"), EVERY, "Bucket of uploads and results";
    S3Endpoint = "s3.endpoint", Kind::Url, Unset("aws.endpoint"), EVERY, "Endpoint of S3";
    S3PublicEndpoint = "s3.public_endpoint", Kind::Url, Unset("s3.endpoint"), EVERY, "Endpoint of S3 as clients see it; presigned URLs are made with it";
    S3PathStyle = "s3.path_style", Kind::Flag, Value("false"), EVERY, "Put the bucket into the path instead of the host name";
    S3AccessKey = "s3.access_key", Kind::Text, Unset("as the AWS SDK finds it"), EVERY, "Access key for S3";
    S3SecretKey = "s3.secret_key", Kind::Secret, Unset("as the AWS SDK finds it"), EVERY, "Secret key for S3; from a file or the environment only";

    DynamodbTable = "dynamodb.table", Kind::Text, Unset("none"), EVERY, "Table of jobs";
    SqsQueueUrl = "sqs.queue_url", Kind::Url, Unset("none"), EVERY, "Queue of events";
    SqsDeadLetterUrl = "sqs.dead_letter_url", Kind::Url, Unset("none"), EVERY, "Dead-letter queue of events";

    ApiListen = "api.listen", Kind::Address, Value("127.0.0.1:8080"), API, "Address and port of the API";
    ApiAuth = "api.auth", Kind::Choice(&["none", "tokens", "oidc"]), Value("none"), API, "How callers authenticate; none is for loopback only";
    ApiTokens = "api.tokens", Kind::Tokens, Value(""), API, "Bearer tokens: their owners and their SHA-256; with :auditor behind it a token may read the audit of every job";
    ApiOidcIssuer = "api.oidc.issuer", Kind::Url, Unset("none"), API, "Issuer that tokens must name";
    ApiOidcAudience = "api.oidc.audience", Kind::Text, Unset("none"), API, "Audience that tokens must name";
    ApiOidcJwksUrl = "api.oidc.jwks_url", Kind::Url, Unset("as the issuer's discovery document says"), API, "Where the issuer's keys are";
    ApiOidcOwnerClaim = "api.oidc.owner_claim", Kind::Text, Value("sub"), API, "Claim that names the owner of a job";
    ApiOidcRoleClaim = "api.oidc.role_claim", Kind::Text, Unset("no caller is an auditor"), API, "Claim that makes a caller an auditor if it is cadmill.auditor, or contains that word";
    ApiCorsOrigins = "api.cors_origins", Kind::Origins, Value(""), API, "Web origins whose pages may call the API";
    ApiFormats = "api.formats", Kind::Formats, Value(""), API, "Format ids and extensions that the engines file of the workers adds; jobs may name them as target_format. cadmill serve reads the engines file itself";
    ApiTrustedProxies = "api.trusted_proxies", Kind::Networks, Value(""), API, "Networks of the proxies before this server, such as 10.0.0.0/16; from them the client's address is taken from X-Forwarded-For, and only the total limits their connections";
    ApiConnections = "api.connections", CONNECTIONS, Value("4096"), API, "Connections that the API keeps open; fewer where RLIMIT_NOFILE leaves room for fewer";
    ApiConnectionsPerClient = "api.connections_per_client", CONNECTIONS, Value("256"), API, "Connections of one client, which is an IPv4 address or an IPv6 network of 64 bits";
    ApiHeaderTime = "api.header_time", CONNECTION_TIME, Value("10s"), API, "How long a client may take for the head of a request";
    ApiIdleTime = "api.idle_time", CONNECTION_TIME, Value("15s"), API, "How long a connection is kept without a request";
    ApiProxyIdleTime = "api.proxy_idle_time", CONNECTION_TIME, Value("75s"), API, "The same for a connection of api.trusted_proxies; longer than the proxy keeps an idle connection";
    ApiRatePerSecond = "api.rate_per_second", Kind::Count { min: 1, max: 100_000 }, Value("50"), API, "Requests a second that one owner may make in the long run";
    ApiRateBurst = "api.rate_burst", Kind::Count { min: 1, max: 100_000 }, Value("200"), API, "Requests that one owner may make at once";
    ApiStreams = "api.streams", Kind::Count { min: 1, max: 1_000_000 }, Value("2048"), API, "Event streams that the API keeps open; at most half of api.connections";
    ApiStreamsPerOwner = "api.streams_per_owner", Kind::Count { min: 1, max: 1_000_000 }, Value("20"), API, "Event streams of one owner; a client beyond them polls";
    ApiTicketKey = "api.ticket_key", Kind::Secret, Unset("a random key of the process"), API, "Key of tickets for jobs, 32 characters at least; several API processes need the same one. From a file or the environment only";
    ApiTicketLifetime = "api.ticket_lifetime", URL_LIFETIME, Value("24h"), API, "Lifetime of a ticket for a job";
    ApiUploadUrlLifetime = "api.upload_url_lifetime", URL_LIFETIME, Value("15m"), API_AND_CLEANUP, "Maximum lifetime of an upload URL";
    ApiUploadMinRate = "api.upload_min_rate", Kind::Size { min: KIB, max: TIB }, Value("256K"), API, "Bytes that a client uploads in a second at least; a URL is good for a minute and as long as its bytes take at this rate";
    ApiDownloadUrlLifetime = "api.download_url_lifetime", URL_LIFETIME, Value("5m"), API, "Lifetime of a download URL";
    ApiMultipartThreshold = "api.multipart_threshold", Kind::Size { min: 1, max: 5 * GIB }, Value("64M"), API, "Uploads larger than this are made in parts";
    ApiPartSize = "api.part_size", Kind::Size { min: 5 * MIB, max: 5 * GIB }, Value("16M"), API, "Size of a part, 5 MiB to 5 GiB; larger where a file would have more than 10000 parts";
    ApiOwnerJobs = "api.owner_jobs", Kind::Count { min: 1, max: 1_000_000 }, Value("1000"), API, "Jobs that one owner may have in flight, from their creation to their end";
    ApiOwnerBytes = "api.owner_bytes", Kind::Size { min: 1, max: 1024 * TIB }, Value("1T"), API, "Sum of the sizes of the uploads of these jobs; a single larger upload is refused";
    ApiMaxUpload = "api.max_upload", Kind::Size { min: 1, max: 5 * TIB }, Value("8G"), API, "Largest upload";
    ApiPage = "api.page", Kind::Flag, Value("true"), API, "Serve the page for people under /app/";

    JobUploadWindow = "job.upload_window", Kind::Duration { min: SECOND, max: 30 * DAY }, Value("2h"), EVERY, "How long a job waits for its upload after its creation";
    JobLease = "job.lease", Kind::Duration { min: SECOND, max: HOUR }, Value("30s"), EVERY, "How long a lease is valid without renewal";
    JobRedeliver = "job.redeliver", Kind::Duration { min: SECOND, max: DAY }, Value("5m"), EVERY, "How long until an uploaded job that no worker has claimed is announced again";
    JobMaxAttempts = "job.max_attempts", Kind::Count { min: 1, max: 100 }, Value("3"), EVERY, "Maximum number of attempts of a job";
    JobRetention = "job.retention", Kind::Duration { min: SECOND, max: 30 * DAY }, Value("30m"), EVERY, "How long a result is kept if it is not downloaded";
    JobLinger = "job.linger", Kind::Duration { min: SECOND, max: 30 * DAY }, Value("20m"), EVERY, "How long until the objects of an ended job are deleted once more";
    JobRecord = "job.record", Kind::Duration { min: SECOND, max: 3650 * DAY }, Value("7d"), EVERY, "How long the record of an ended job is kept";
    JobRequireCleanup = "job.require_cleanup", Kind::Flag, Value("true"), API_AND_WORKER, "Refuse new jobs while no cleanup program is alive, since nothing would delete their files; workers say so and go on";

    CleanupEvery = "cleanup.every", Kind::Duration { min: SECOND, max: HOUR }, Value("15s"), CLEANUP, "How often what is due is done; a cleanup program that has not renewed its lease for three times as long counts as dead";
    CleanupName = "cleanup.name", Kind::Text, Machine("host name and random digits", machine::name), CLEANUP, "Name in leases, logs and the evidence of deletions; no two cleanup programs may share one";

    WorkerName = "worker.name", Kind::Text, Machine("host name and random digits", machine::name), WORKER, "Name in leases and logs; no two workers may share one";
    WorkerConcurrency = "worker.concurrency", Kind::Count { min: 1, max: 1024 }, Machine("number of processors", machine::processors), WORKER, "Conversions at the same time";
    WorkerMemory = "worker.memory", Kind::SizeOrAuto { min: MIN_MEMORY_BYTES, max: 1024 * TIB }, Value("auto"), WORKER, "Memory for all conversions together, files in memory included; auto takes what the machine or the container has";
    WorkerFetchBuffer = "worker.fetch_buffer", Kind::Size { min: 3 * MIB, max: TIB }, Value("48M"), WORKER, "Memory for parts of an upload that are on their way, for each conversion; parts are 8 MiB, or a third of this";
    WorkerWorkspace = "worker.workspace" @ "CADMILL_WORKSPACE", Kind::Path, Value("/dev/shm"), WORKER, "Memory-backed directory for the files of running jobs";
    WorkerAllowDisk = "worker.allow_disk" @ "CADMILL_ALLOW_DISK_WORKSPACE", Kind::Choice(&["no", DISK_WORDS]), Value("no"), WORKER, "Accept a workspace on a disk, where deleted plaintext may be found later";
    WorkerPrivateWorkspace = "worker.private_workspace" @ "CADMILL_PRIVATE_WORKSPACE", Kind::Choice(&["auto", "no", "required"]), Value("auto"), WORKER, "Private tmpfs for the workspaces in a separate mount namespace, as large as worker.memory: auto uses it where the host allows it, required does not start without it";
    WorkerEnginesFile = "worker.engines_file" @ "CADMILL_ENGINES_FILE", Kind::Path, Unset("the built-in engines"), WORKER, "TOML file that declares engines";
    WorkerEngineHost = "worker.engine_host" @ "CADMILL_ENGINE_HOST", Kind::Path, Unset("beside the program"), WORKER, "The cadmill-engine-host binary";
    WorkerWarm = "worker.warm", Kind::Text, Unset("none"), WORKER, "Engines, by name with commas between, for which a warm process waits for the next job; each takes 96 MiB of worker.memory";
    WorkerStopWithin = "worker.stop_within", Kind::Duration { min: SECOND, max: HOUR }, Value("25s"), WORKER, "Time to finish or release all jobs on shutdown";
    WorkerNice = "worker.nice", Kind::Count { min: 0, max: 19 }, Value("0"), WORKER, "Niceness of conversions; the default of `cadmill serve` is 10";
    WorkerMinPosture = "worker.min_posture" @ "CADMILL_MIN_POSTURE", Kind::Choice(&["none", "syscalls", "files", "isolated"]), Value("files"), WORKER, "Minimum confinement of engines; `cadmill doctor` shows what the host supports";

    AuditSinks = "audit.sinks", Kind::Words(&["file", "s3", "stdout", "none"]), Value("file"), EVERY, "Where ledgers are kept; every record is written to each of them. With none the API leaves the ledgers of its deletions to the cleanup, and the cleanup keeps none";
    AuditDirectory = "audit.directory", Kind::Path, Unset("audit in data_dir"), EVERY, "Directory of the ledgers of the sink file";
    AuditBucket = "audit.bucket", Kind::Text, Unset("none"), EVERY, "Bucket of the ledgers of the sink s3, below audit/; another than s3.bucket, whose objects are deleted";
    AuditLock = "audit.lock", Kind::Choice(&["none", "governance", "compliance"]), Value("none"), EVERY, "Object Lock of the ledgers in S3; the bucket must have been made with it";
    AuditLockFor = "audit.lock_for", Kind::Duration { min: DAY, max: 36_500 * DAY }, Value("365d"), EVERY, "How long a locked ledger cannot be deleted";
    AuditSignWith = "audit.sign_with", Kind::Choice(&["nothing", "key", "kms"]), Value("nothing"), EVERY, "What signs the heads of ledgers; unsigned they prove nothing";
    AuditKeyFile = "audit.key_file", Kind::Path, Unset("none"), EVERY, "File of the Ed25519 signing key, PKCS#8 in PEM";
    AuditKey = "audit.key", Kind::Pem, Unset("none"), EVERY, "The signing key itself, if audit.key_file is not set; from a file or the environment only";
    AuditKmsKey = "audit.kms_key", Kind::Text, Unset("none"), EVERY, "Id, ARN or alias of the signing key in AWS KMS, of the spec ECC_NIST_EDWARDS25519";

    LimitsMemory = "limits.memory", Kind::Size { min: MIN_MEMORY_BYTES, max: 1024 * TIB }, Value("4G"), WORKER, "Memory that the engine may use for one conversion";
    LimitsTimeout = "limits.timeout", Kind::Duration { min: SECOND, max: 30 * DAY }, Value("30m"), WORKER, "Time that the engine may take for one conversion";
    LimitsMaxOutput = "limits.max_output", Kind::Size { min: 1, max: 1024 * TIB }, Value("16G"), WORKER, "Bytes that the engine may write for one conversion";
    LimitsMaxEntries = "limits.max_entries", Kind::Count { min: 1, max: 10_000_000 }, Value("10000"), WORKER, "Entries that an archive may have";
    LimitsMaxExpanded = "limits.max_expanded", Kind::Size { min: 1, max: 1024 * TIB }, Value("16G"), WORKER, "Bytes that an archive may expand to";
    LimitsMaxRatio = "limits.max_ratio", Kind::Count { min: 1, max: 100_000 }, Value("250"), WORKER, "Times that one entry of more than 64 MiB may expand";

    EmbeddedS3Listen = "embedded.s3_listen", Kind::Address, Value("127.0.0.1:0"), SERVE, "Address and port of the embedded S3 server; port 0 takes a free one";
    EmbeddedS3Connections = "embedded.s3_connections", CONNECTIONS, Value("1024"), SERVE, "Connections of clients that the embedded S3 server keeps open; fewer where RLIMIT_NOFILE leaves room for fewer";
    EmbeddedS3ConnectionsPerClient = "embedded.s3_connections_per_client", CONNECTIONS, Value("256"), SERVE, "Those of one client, which is an IPv4 address or an IPv6 network of 64 bits; api.trusted_proxies are not counted";
    EmbeddedS3MinRate = "embedded.s3_min_rate", Kind::Size { min: 1, max: GIB }, Value("8K"), SERVE, "Bytes a second that an upload or download makes on average at least; it may also rest for up to 60 s at a time";
}

/// Variables that begin with `CADMILL_` but are not keys; `*` stands for any suffix.
pub(super) const OTHER_VARIABLES: &[&str] = &[
    // Path of the configuration file.
    "CADMILL_CONFIG",
    // Read by `cadmill-converter task`.
    "CADMILL_JOB",
    "CADMILL_EVENT",
    "CADMILL_KEY",
    // Directories of the bridge to Java and of the plugins.
    "CADMILL_JARS",
    "CADMILL_PLUGINS",
    // Read by `cadmill submit`.
    "CADMILL_TOKEN",
    "CADMILL_SERVER",
    // Read by tests.
    "CADMILL_FAILPOINT*",
    "CADMILL_NEXT_VERSION",
    "CADMILL_TEST_MEMORY",
    // Set by the build; cargo passes them to the programs that it runs.
    "CADMILL_REVISION",
    "CADMILL_TARGET",
    "CADMILL_ASSIMP_INCLUDE",
    "CADMILL_GDAL_INCLUDE",
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn rows_stand_where_their_ids_say_and_no_name_is_used_twice() {
        let (mut variables, mut flags) = (HashSet::new(), HashSet::new());
        for (place, key) in KEYS.iter().enumerate() {
            assert_eq!(key.id as usize, place, "{}", key.path);
            assert!(variables.insert(key.variable()), "{}", key.variable());
            assert!(!OTHER_VARIABLES.contains(&key.variable()), "{}", key.variable());
            assert!(key.flag().is_none_or(|flag| flags.insert(flag)), "{}", key.path);
            assert!(!key.uses.is_empty() && !key.help.ends_with('.'), "{}", key.path);
        }
    }

    #[test]
    fn every_default_is_a_good_value() {
        for key in KEYS {
            let text = match key.default {
                Value(text) => text.to_owned(),
                Machine(_, ask) => ask(),
                Unset(_) => continue,
            };
            assert!(key.kind.parse(&text).is_some(), "{}: {text}", key.path);
        }
    }

    #[test]
    fn names_follow_the_path_unless_they_are_older() {
        assert_eq!(Id::JobMaxAttempts.key().variable(), "CADMILL_JOB_MAX_ATTEMPTS");
        assert_eq!(Id::JobMaxAttempts.key().flag(), Some("job-max-attempts"));
        assert_eq!(Id::WorkerWorkspace.key().variable(), "CADMILL_WORKSPACE");
        assert_eq!(Id::S3SecretKey.key().flag(), None);
    }
}
