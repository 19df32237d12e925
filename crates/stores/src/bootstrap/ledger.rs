//! Opens the audit sink and the signer that a configuration names.

use crate::adapters::aws::{KmsSettings, KmsSigner, S3Audit, S3AuditSettings, S3Settings, StaticCredentials};
use crate::adapters::ledger::{FileAudit, StreamAudit, TeeAudit};
use crate::config::{Config, SignWith, SinkKind};
use cadmill_core::domain::failure::{Failure, FailureCode};
use cadmill_core::ledger::LocalSigner;
use cadmill_core::ports::{AuditSink, PortError, Signer};
use std::sync::Arc;

/// Prefix of the keys of ledgers in a bucket.
pub const S3_PREFIX: &str = "audit";

/// Where ledgers go and what signs them.
#[derive(Clone)]
pub struct Auditing {
    /// The sink.
    pub sink: Arc<dyn AuditSink>,
    /// The signer; `None` if heads are not signed.
    pub signer: Option<Arc<dyn Signer>>,
}

impl Auditing {
    /// Opens the sink and the signer of the configuration. Blocks: the public key is fetched from
    /// KMS.
    ///
    /// # Errors
    /// `infra.audit` and `usage.invalid`.
    pub fn open(config: &Config) -> Result<Self, Failure> {
        let sinks: Result<Vec<_>, Failure> =
            config.audit.sinks.iter().map(|kind| sink(config, *kind)).collect();
        let mut sinks = sinks?;
        let sink = match sinks.len() {
            1 => sinks.remove(0),
            _ => Arc::new(TeeAudit::new(sinks)),
        };
        Ok(Self { sink, signer: signer(config)? })
    }
}

fn sink(config: &Config, kind: SinkKind) -> Result<Arc<dyn AuditSink>, Failure> {
    Ok(match kind {
        SinkKind::File => Arc::new(FileAudit::new(&config.audit.directory).map_err(|e| failed(&e))?),
        SinkKind::Stdout => Arc::new(StreamAudit::stdout()),
        SinkKind::S3 => {
            let settings = S3AuditSettings {
                s3: bucket(config)?,
                prefix: S3_PREFIX.to_owned(),
                lock: config.audit.lock,
            };
            Arc::new(S3Audit::new(settings).map_err(|e| failed(&e))?)
        }
    })
}

fn bucket(config: &Config) -> Result<S3Settings, Failure> {
    let bucket = config.audit.bucket.clone().ok_or_else(|| missing("audit.bucket"))?;
    Ok(S3Settings {
        bucket,
        region: region(config)?,
        endpoint: config.s3.endpoint.clone().or_else(|| config.aws.endpoint.clone()),
        public_endpoint: None,
        credentials: config.s3.keys.as_ref().map(|(access_key, secret)| StaticCredentials {
            access_key: access_key.clone(),
            secret_key: secret.expose().to_owned(),
        }),
        path_style: config.s3.path_style,
    })
}

fn signer(config: &Config) -> Result<Option<Arc<dyn Signer>>, Failure> {
    Ok(match &config.audit.sign_with {
        SignWith::Nothing => None,
        SignWith::File(path) => Some(Arc::new(LocalSigner::from_file(path)?)),
        SignWith::Pem(secret) => {
            let signer = LocalSigner::from_pem(secret.expose().as_bytes());
            let failed = |why| Failure::new(FailureCode::Audit, format!("audit.key: {why}"));
            Some(Arc::new(signer.map_err(failed)?))
        }
        SignWith::Kms(key) => {
            let settings = KmsSettings {
                key: key.clone(),
                region: region(config)?,
                endpoint: config.aws.endpoint.clone(),
                credentials: None,
            };
            Some(Arc::new(KmsSigner::new(settings).map_err(|e| failed(&e))?))
        }
    })
}

fn region(config: &Config) -> Result<String, Failure> {
    let region = config.aws.region.clone().or_else(crate::bootstrap::stores::region_of_environment);
    region.ok_or_else(|| missing("aws.region"))
}

fn missing(key: &str) -> Failure {
    Failure::new(FailureCode::UsageInvalid, format!("{key} is not set"))
}

fn failed(error: &PortError) -> Failure {
    Failure::new(FailureCode::Audit, error.to_string())
}
