//! Opens the audit sink and the signer that a configuration names.

use super::service;
use crate::adapters::aws::{KmsSettings, KmsSigner, S3Audit, S3AuditSettings};
use crate::adapters::ledger::{FileAudit, StreamAudit, TeeAudit};
use crate::adapters::metered::{MeteredAudit, MeteredSigner};
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
        let signer = signer(config)?.map(|signer| Arc::new(MeteredSigner::new(signer)) as Arc<dyn Signer>);
        Ok(Self { sink: Arc::new(MeteredAudit::new(sink)), signer })
    }
}

fn sink(config: &Config, kind: SinkKind) -> Result<Arc<dyn AuditSink>, Failure> {
    Ok(match kind {
        SinkKind::File => Arc::new(FileAudit::new(&config.audit.directory).map_err(|e| failed(&e))?),
        SinkKind::Stdout => Arc::new(StreamAudit::stdout()),
        SinkKind::S3 => {
            let bucket = config.audit.bucket.clone().ok_or_else(|| service::missing("audit.bucket"))?;
            let settings = S3AuditSettings {
                s3: service::bucket(config, bucket)?,
                prefix: S3_PREFIX.to_owned(),
                lock: config.audit.lock,
            };
            Arc::new(S3Audit::new(settings).map_err(|e| failed(&e))?)
        }
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
            let settings = KmsSettings { key: key.clone(), service: service::of_aws(config)? };
            Some(Arc::new(KmsSigner::new(settings).map_err(|e| failed(&e))?))
        }
    })
}

fn failed(error: &PortError) -> Failure {
    Failure::new(FailureCode::Audit, error.to_string())
}
