//! The bucket of the ledgers, and the key that signs them. Nothing is written: an object under Object
//! Lock could not be deleted again.

use super::finding::{Findings, is_denied};
use super::who::Who;
use cadmill_core::ports::PortError;
use cadmill_stores::bootstrap::deployment::Deployment;
use cadmill_stores::bootstrap::ledger::S3_PREFIX;
use cadmill_stores::config::Config;

const BUCKET: &str = "ledgers.bucket";
const WRITE: &str = "ledgers.write";
const LIFECYCLE: &str = "ledgers.lifecycle";
const LOCK: &str = "ledgers.lock";
const KEY: &str = "ledgers.key";

pub(super) async fn check(findings: &mut Findings, deployment: &Deployment, config: &Config, who: Who) {
    if let Some(bucket) = &deployment.ledgers {
        if config.audit.bucket == config.s3.bucket {
            let hint = "Its objects are deleted, its lifecycle would delete evidence, and Object Lock needs versions: give audit.bucket another bucket.";
            findings.fault(BUCKET, "ledgers are in the bucket of the files", hint, "LedgerBucket");
        } else {
            findings.ok(BUCKET, "ledgers have a bucket of their own");
        }
        match bucket.try_ledger(S3_PREFIX).await {
            Ok(()) => findings.ok(WRITE, "ledgers can be written"),
            Err(error) if error.is_transient() => findings.unseen(WRITE, error.to_string()),
            Err(error) if !is_denied(&error) => {
                let hint = "Without a ledger a worker converts nothing: see that audit.bucket is there, in this region.";
                findings.fault(WRITE, error.to_string(), hint, "LedgerBucket");
            }
            Err(error) => {
                let hint = "Without a ledger a worker converts nothing: give the role s3:PutObject on audit/, and s3:PutObjectRetention with audit.lock.";
                findings.fault(WRITE, error.to_string(), hint, &format!("LedgerBucket, {}", who.role()));
            }
        }
        match bucket.expirations().await {
            Ok(rules) if rules.iter().any(|rule| is_of_ledgers(&rule.prefix)) => {
                let hint =
                    "Evidence is deleted by its age: take the rule away, or limit it to another prefix.";
                findings.fault(LIFECYCLE, "a lifecycle rule deletes ledgers", hint, "LedgerBucket");
            }
            Ok(_) => findings.ok(LIFECYCLE, "S3 deletes no ledger by its age"),
            Err(error) if is_denied(&error) => {
                findings.unseen(LIFECYCLE, "s3:GetLifecycleConfiguration on ledgers is not granted");
            }
            Err(error) => findings.unseen(LIFECYCLE, error.to_string()),
        }
        if config.audit.lock.is_some() {
            match bucket.locks_objects().await {
                Ok(true) => findings.ok(LOCK, "the bucket locks objects"),
                Ok(false) => {
                    let hint =
                        "S3 refuses each ledger: audit.lock needs a bucket that was made with Object Lock.";
                    findings.fault(LOCK, "the bucket cannot lock objects", hint, "LedgerBucket");
                }
                Err(error) if is_denied(&error) => {
                    findings.unseen(LOCK, "s3:GetBucketObjectLockConfiguration on ledgers is not granted");
                }
                Err(error) => findings.unseen(LOCK, error.to_string()),
            }
        }
    }
    if deployment.signs_with_kms() {
        match deployment.sign().await {
            Ok(()) => findings.ok(KEY, "the key signs"),
            Err(PortError::Corrupt { .. }) => {
                let hint = "audit.kms_key must be a key with the spec ECC_NIST_EDWARDS25519 for SIGN_VERIFY.";
                findings.fault(KEY, "it is not an Ed25519 key", hint, "LedgerKey");
            }
            Err(error) => {
                let hint = if is_denied(&error) {
                    "Without it no ledger is signed and no worker starts: give the role kms:Sign and kms:GetPublicKey, also in the key's policy."
                } else {
                    "Without it no ledger is signed and no worker starts: see that audit.kms_key is enabled and in this region."
                };
                findings.fault(KEY, error.to_string(), hint, &format!("LedgerKey, {}", who.role()));
            }
        }
    }
}

/// Whether a rule with this prefix is about some ledger.
fn is_of_ledgers(prefix: &str) -> bool {
    let ledgers = format!("{S3_PREFIX}/");
    prefix.starts_with(&ledgers) || ledgers.starts_with(prefix)
}
