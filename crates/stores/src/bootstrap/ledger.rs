//! Opens the audit sink and the signer that a configuration names, for workers, and for programs that
//! delete.

use super::service;
use crate::adapters::aws::{KmsSettings, KmsSigner, S3Audit, S3AuditSettings};
use crate::adapters::ledger::{FileAudit, StreamAudit, TeeAudit};
use crate::adapters::metered::{MeteredAudit, MeteredSigner};
use crate::config::{Config, Program, SignWith, SinkKind};
use cadmill_core::cleanup::evidence::{Keeper, Ledgers, Writer};
use cadmill_core::domain::failure::{Failure, FailureCode};
use cadmill_core::ledger::LocalSigner;
use cadmill_core::ports::{AuditSink, PortError, Signer};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// Prefix of the keys of ledgers in a bucket.
pub const S3_PREFIX: &str = "audit";

/// How long the start of a program that deletes waits for its sinks.
const OPENING: Duration = Duration::from_secs(5);

/// Where ledgers go and what signs them.
#[derive(Clone)]
pub struct Auditing {
    /// The sink.
    pub sink: Arc<dyn AuditSink>,
    /// The signer; `None` if heads are not signed.
    pub signer: Option<Arc<dyn Signer>>,
}

impl Auditing {
    /// The same, on another thread, for a program that may be asked to stop meanwhile: `None` if `stopped`
    /// completes first.
    ///
    /// # Errors
    /// As for [`Auditing::open`].
    pub async fn open_unless(
        config: &Config,
        stopped: impl Future<Output = ()>,
    ) -> Result<Option<Self>, Failure> {
        let config = config.clone();
        let opening = tokio::task::spawn_blocking(move || Self::open(&config));
        tokio::pin!(stopped, opening);
        let mut is_late = false;
        loop {
            tokio::select! {
                opened = &mut opening => return opened.unwrap_or_else(|_| Err(defect())).map(Some),
                () = &mut stopped => return Ok(None),
                () = tokio::time::sleep(OPENING), if !is_late => {
                    is_late = true;
                    tracing::error!("the audit sinks do not answer; nothing is converted until they do");
                }
            }
        }
    }

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

/// Who writes the evidence of the deletions of this program. Opens the sink and the signer; if they
/// are not available now, or do not answer for five seconds, they are opened when they are needed, because
/// nothing keeps a program from deleting.
///
/// # Errors
/// `usage.invalid`.
pub async fn of_deletions(config: &Config, program: Program) -> Result<Ledgers, Failure> {
    if config.audit.sinks.is_empty() {
        return Ok(if program == Program::Api { Ledgers::Elsewhere } else { Ledgers::Nowhere });
    }
    let config = config.clone();
    let writer = Writer::opening(Box::new(move || {
        let Auditing { sink, signer } = Auditing::open(&config)?;
        Ok(Keeper { sink, signer })
    }));
    let opening = writer.clone();
    // Opening blocks, for ever if a sink hangs, and starts runtimes of its own.
    let opened = tokio::task::spawn_blocking(move || opening.open());
    let opened = match tokio::time::timeout(OPENING, opened).await {
        Ok(opened) => opened.unwrap_or_else(|_| Err(defect())),
        Err(_) => Err(Failure::new(FailureCode::Audit, "the audit sinks do not answer")),
    };
    match opened {
        Err(failure) if failure.code == FailureCode::UsageInvalid => return Err(failure),
        Err(failure) => tracing::error!(
            code = failure.code.as_str(),
            error = failure.message,
            "the ledgers of deletions cannot be written; files are deleted all the same"
        ),
        Ok(keeper) if keeper.signer.is_none() => {
            tracing::warn!("audit.sign_with is nothing: the heads of ledgers are unsigned and prove nothing");
        }
        Ok(_) => {}
    }
    Ok(Ledgers::Here(writer))
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

fn defect() -> Failure {
    Failure::new(FailureCode::Audit, "internal error while opening the audit sinks")
}

fn failed(error: &PortError) -> Failure {
    Failure::new(FailureCode::Audit, error.to_string())
}
