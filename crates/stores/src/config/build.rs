//! Builds the typed configuration from values by key.

use super::file::Layer;
use super::key::{DISK_WORDS, Id};
use super::kind::{Value, split_token};
use super::program::Program;
use super::settings::Settings;
use super::values::{
    Api, Audit, Auth, Aws, Backend, Cleanup, Config, Log, Metrics, Oidc, S3, Secret, SignWith, SinkKind, Sqs,
    Worker,
};
use crate::adapters::aws::ObjectLock;
use crate::connections::Networks;
use cadmill_core::domain::job::Millis;
use cadmill_core::domain::limits::{ArchiveLimits, Caps};
use cadmill_core::domain::quota::Quota;
use cadmill_core::domain::state::Policy;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// Builds the configuration from these settings. A field that a bad value or a contradiction
/// leaves undefined gets an arbitrary value; the caller then refuses the configuration.
pub(super) fn build(settings: &Settings) -> Config {
    let get = Values(settings);
    let endpoint = get.text(Id::S3Endpoint).or(get.text(Id::AwsEndpoint));
    Config {
        backend: if get.word(Id::Backend) == "aws" { Backend::Aws } else { Backend::Embedded },
        data_dir: get.word(Id::DataDir).into(),
        log: Log { json: get.word(Id::LogFormat) == "json", level: get.word(Id::LogLevel) },
        metrics: Metrics {
            listen: get.text(Id::MetricsListen).and_then(|text| text.parse().ok()),
            emf: get.flag(Id::MetricsEmf),
        },
        aws: Aws { region: get.text(Id::AwsRegion), endpoint: get.text(Id::AwsEndpoint) },
        s3: S3 {
            bucket: get.text(Id::S3Bucket),
            public_endpoint: get.text(Id::S3PublicEndpoint).or_else(|| endpoint.clone()),
            endpoint,
            path_style: get.flag(Id::S3PathStyle),
            keys: get.text(Id::S3AccessKey).zip(get.text(Id::S3SecretKey).map(Secret)),
        },
        dynamodb_table: get.text(Id::DynamodbTable),
        sqs: Sqs { queue_url: get.text(Id::SqsQueueUrl), dead_letter_url: get.text(Id::SqsDeadLetterUrl) },
        api: api(get),
        policy: policy(get),
        cleanup: Cleanup { every: get.duration(Id::CleanupEvery), name: get.word(Id::CleanupName) },
        worker: worker(get),
        audit: audit(get),
        caps: Caps {
            memory_bytes: get.number(Id::LimitsMemory),
            time: get.duration(Id::LimitsTimeout),
            output_bytes: get.number(Id::LimitsMaxOutput),
            ..Caps::default()
        },
        archive: ArchiveLimits {
            entries: get.number(Id::LimitsMaxEntries),
            expanded_bytes: get.number(Id::LimitsMaxExpanded),
            ratio: get.number(Id::LimitsMaxRatio),
            ..ArchiveLimits::default()
        },
        embedded_s3_listen: get.address(Id::EmbeddedS3Listen),
        embedded_s3_connections: get.count(Id::EmbeddedS3Connections),
        embedded_s3_connections_per_client: get.count(Id::EmbeddedS3ConnectionsPerClient),
        embedded_s3_min_rate: get.number(Id::EmbeddedS3MinRate),
    }
}

impl Default for Api {
    /// The defaults of the table of keys.
    fn default() -> Self {
        let nothing = [Layer::default(), Layer::default(), Layer::default()];
        api(Values(&Settings::merge(nothing, Program::Api).0))
    }
}

fn api(get: Values<'_>) -> Api {
    let auth = match get.word(Id::ApiAuth).as_str() {
        "tokens" => {
            Auth::Tokens(get.list(Id::ApiTokens).iter().filter_map(|token| split_token(token)).collect())
        }
        "oidc" => Auth::Oidc(Oidc {
            issuer: get.word(Id::ApiOidcIssuer),
            audience: get.word(Id::ApiOidcAudience),
            jwks_url: get.text(Id::ApiOidcJwksUrl),
            owner_claim: get.word(Id::ApiOidcOwnerClaim),
            role_claim: get.text(Id::ApiOidcRoleClaim),
        }),
        _ => Auth::None,
    };
    Api {
        listen: get.address(Id::ApiListen),
        auth,
        cors_origins: get.list(Id::ApiCorsOrigins).to_vec(),
        formats: get.list(Id::ApiFormats).to_vec(),
        trusted_proxies: Networks(
            get.list(Id::ApiTrustedProxies).iter().filter_map(|text| text.parse().ok()).collect(),
        ),
        connections: get.count(Id::ApiConnections),
        connections_per_client: get.count(Id::ApiConnectionsPerClient),
        header_time: get.duration(Id::ApiHeaderTime),
        idle_time: get.duration(Id::ApiIdleTime),
        proxy_idle_time: get.duration(Id::ApiProxyIdleTime),
        rate_per_second: get.small(Id::ApiRatePerSecond),
        rate_burst: get.small(Id::ApiRateBurst),
        streams: get.count(Id::ApiStreams),
        streams_per_owner: get.count(Id::ApiStreamsPerOwner),
        ticket_key: get.text(Id::ApiTicketKey).map(Secret),
        ticket_lifetime: get.duration(Id::ApiTicketLifetime),
        upload_url_lifetime: get.duration(Id::ApiUploadUrlLifetime),
        upload_min_rate: get.number(Id::ApiUploadMinRate),
        download_url_lifetime: get.duration(Id::ApiDownloadUrlLifetime),
        multipart_threshold_bytes: get.number(Id::ApiMultipartThreshold),
        part_size_bytes: get.number(Id::ApiPartSize),
        quota: Quota { jobs: get.number(Id::ApiOwnerJobs), bytes: get.number(Id::ApiOwnerBytes) },
        max_upload_bytes: get.number(Id::ApiMaxUpload),
        page: get.flag(Id::ApiPage),
        require_cleanup: get.flag(Id::JobRequireCleanup),
    }
}

fn policy(get: Values<'_>) -> Policy {
    Policy {
        max_attempts: get.small(Id::JobMaxAttempts),
        upload_window: get.millis(Id::JobUploadWindow),
        lease: get.millis(Id::JobLease),
        redeliver: get.millis(Id::JobRedeliver),
        retention: get.millis(Id::JobRetention),
        linger: get.millis(Id::JobLinger),
        record: get.millis(Id::JobRecord),
    }
}

fn worker(get: Values<'_>) -> Worker {
    Worker {
        name: get.word(Id::WorkerName),
        concurrency: usize::try_from(get.number(Id::WorkerConcurrency)).unwrap_or(1).max(1),
        memory_bytes: match get.0.value(Id::WorkerMemory) {
            Some(Value::Number(bytes)) => Some(*bytes),
            _ => None,
        },
        fetch_buffer_bytes: get.number(Id::WorkerFetchBuffer),
        workspace: get.word(Id::WorkerWorkspace).into(),
        allow_disk: get.word(Id::WorkerAllowDisk) == DISK_WORDS,
        private_workspace: get.word(Id::WorkerPrivateWorkspace),
        engines_file: get.text(Id::WorkerEnginesFile).map(Into::into),
        engine_host: get.text(Id::WorkerEngineHost).map(Into::into),
        warm: get.text(Id::WorkerWarm),
        stop_within: get.duration(Id::WorkerStopWithin),
        min_posture: get.word(Id::WorkerMinPosture),
        nice: u8::try_from(get.number(Id::WorkerNice)).unwrap_or_default(),
    }
}

fn audit(get: Values<'_>) -> Audit {
    let data_dir = || std::path::PathBuf::from(get.word(Id::DataDir)).join("audit");
    let lock = |compliance| Some(ObjectLock { compliance, retention: get.duration(Id::AuditLockFor) });
    Audit {
        sinks: get
            .list(Id::AuditSinks)
            .iter()
            .filter_map(|word| match word.as_str() {
                "s3" => Some(SinkKind::S3),
                "stdout" => Some(SinkKind::Stdout),
                "none" => None,
                _ => Some(SinkKind::File),
            })
            .collect(),
        directory: get.text(Id::AuditDirectory).map_or_else(data_dir, Into::into),
        bucket: get.text(Id::AuditBucket),
        lock: match get.word(Id::AuditLock).as_str() {
            "governance" => lock(false),
            "compliance" => lock(true),
            _ => None,
        },
        sign_with: match get.word(Id::AuditSignWith).as_str() {
            "key" => match get.text(Id::AuditKeyFile) {
                Some(path) => SignWith::File(path.into()),
                None => SignWith::Pem(Secret(get.word(Id::AuditKey))),
            },
            "kms" => SignWith::Kms(get.word(Id::AuditKmsKey)),
            _ => SignWith::Nothing,
        },
    }
}

/// Values by type. The kind of a key determines the type of its value; a value of another type
/// than requested counts as absent. A test compares all defaults.
#[derive(Clone, Copy)]
struct Values<'a>(&'a Settings);

impl<'a> Values<'a> {
    fn text(self, id: Id) -> Option<String> {
        match self.0.value(id) {
            Some(Value::Text(text)) => Some(text.clone()),
            _ => None,
        }
    }

    fn word(self, id: Id) -> String {
        self.text(id).unwrap_or_default()
    }

    fn number(self, id: Id) -> u64 {
        match self.0.value(id) {
            Some(Value::Number(number)) => *number,
            _ => 0,
        }
    }

    fn small(self, id: Id) -> u32 {
        u32::try_from(self.number(id)).unwrap_or(u32::MAX)
    }

    fn count(self, id: Id) -> usize {
        usize::try_from(self.number(id)).unwrap_or(usize::MAX).max(1)
    }

    fn flag(self, id: Id) -> bool {
        matches!(self.0.value(id), Some(Value::Flag(true)))
    }

    fn duration(self, id: Id) -> Duration {
        match self.0.value(id) {
            Some(Value::Duration(duration)) => *duration,
            _ => Duration::ZERO,
        }
    }

    fn millis(self, id: Id) -> Millis {
        u64::try_from(self.duration(id).as_millis()).unwrap_or(u64::MAX)
    }

    fn address(self, id: Id) -> SocketAddr {
        let address = self.text(id).and_then(|text| text.parse().ok());
        address.unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
    }

    fn list(self, id: Id) -> &'a [String] {
        match self.0.value(id) {
            Some(Value::List(items)) => items,
            _ => &[],
        }
    }
}
