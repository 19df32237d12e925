//! Ledgers in S3: `PREFIX/JOB/ATTEMPT-PART/00000000.jsonl`, and so on by segments, and the head
//! as `head.json` beside them. An object is written once (`If-None-Match: *`) and never again;
//! with Object Lock it cannot be deleted during the retention period.
//!
//! S3 objects cannot be appended to, and a PUT takes tens of milliseconds, so one PUT per intent
//! would take longer than the conversion. Lines are buffered in memory, up to 32 KiB or until
//! they are synced. Synced lines survive the loss of the worker, the machine and the disk; lines
//! appended since then do not survive the worker's death. If both are needed, combine this sink
//! with the sink of files. No line is acknowledged after a segment has failed.

use super::blocking::Blocking;
use super::error::{Effect, corrupt, port_error};
use super::s3::S3Settings;
use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::{ByteStream, DateTime};
use aws_sdk_s3::types::{ChecksumAlgorithm, ObjectLockMode};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use cadmill_core::domain::job::Millis;
use cadmill_core::domain::ledger::{LedgerId, SignedHead};
use cadmill_core::ports::clock::SystemClock;
use cadmill_core::ports::{AuditLog, AuditSink, Clock, PortError, PortResult};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::time::Duration;

/// Size at which a segment is written, in bytes.
const SEGMENT_BYTES: usize = 32 << 10;
// Names of the operations, for errors.
const OPERATION_BEGIN: &str = "beginning a ledger";
const OPERATION_READ: &str = "reading a ledger";
const OPERATION_HEAD: &str = "reading a head";

/// How long and how strictly ledgers are protected from deletion. The bucket must have been
/// created with Object Lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectLock {
    /// Compliance mode: not even the account's root user can shorten the retention. Otherwise,
    /// governance mode: a user with the permission to bypass it can.
    pub compliance: bool,
    /// Counted from the writing of each object.
    pub retention: Duration,
}

/// Settings of the sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3AuditSettings {
    /// The bucket and how to reach it.
    pub s3: S3Settings,
    /// Prefix of each key, without a slash at its end, e.g. `audit`.
    pub prefix: String,
    /// Protection of the objects, if they are locked.
    pub lock: Option<ObjectLock>,
}

/// Ledgers in a bucket.
#[derive(Clone)]
pub struct S3Audit(Arc<Shared>);

struct Shared {
    blocking: Blocking,
    client: Client,
    bucket: String,
    prefix: String,
    lock: Option<ObjectLock>,
}

struct S3Log {
    shared: Arc<Shared>,
    ledger: LedgerId,
    segment: u32,
    pending: Vec<u8>,
    failed: bool,
}

impl S3Audit {
    /// Creates a sink. Sends nothing yet. Blocks.
    ///
    /// # Errors
    /// [`PortError::Refused`] if no thread can be started.
    pub fn new(settings: S3AuditSettings) -> PortResult<Self> {
        let blocking = Blocking::new()?;
        let S3AuditSettings { s3, prefix, lock } = settings;
        let bucket = s3.bucket.clone();
        let client = blocking
            .run("reaching the bucket of the ledgers", async move { Ok(super::s3::client(&s3).await) })?;
        Ok(Self(Arc::new(Shared { blocking, client, bucket, prefix, lock })))
    }
}

impl Shared {
    fn directory(&self, ledger: LedgerId) -> String {
        format!("{}/{}/{}-{}", self.prefix, ledger.job, ledger.attempt, ledger.part)
    }

    fn segment(&self, ledger: LedgerId, number: u32) -> String {
        format!("{}/{number:08}.jsonl", self.directory(ledger))
    }

    fn head(&self, ledger: LedgerId) -> String {
        format!("{}/head.json", self.directory(ledger))
    }

    /// Writes an object that must not exist yet.
    fn put(&self, operation: &'static str, key: String, body: &[u8]) -> PortResult<()> {
        let put = self
            .client
            .put_object()
            .bucket(&self.bucket)
            .key(&key)
            .if_none_match("*")
            .content_type("application/x-ndjson")
            // Object Lock requires a checksum and the header that names it (Amazon S3 API
            // Reference, "PutObject"); a ledger should have one in any case.
            .checksum_algorithm(ChecksumAlgorithm::Sha256)
            .checksum_sha256(BASE64.encode(Sha256::digest(body)))
            .body(ByteStream::from(body.to_vec()));
        let put = match self.lock {
            None => put,
            Some(lock) => put
                .object_lock_mode(if lock.compliance {
                    ObjectLockMode::Compliance
                } else {
                    ObjectLockMode::Governance
                })
                .object_lock_retain_until_date(until(SystemClock.now(), lock.retention)),
        };
        self.blocking.run(operation, async move {
            put.send().await.map(drop).map_err(|error| port_error(operation, Effect::Write, &error))
        })
    }

    /// The same for an object that no other process writes. If it already exists with the same
    /// content, the reply to an earlier attempt was lost, and the write succeeded.
    fn put_own(&self, operation: &'static str, key: String, body: &[u8]) -> PortResult<()> {
        let written = self.put(operation, key.clone(), body);
        let doubtful = matches!(written, Err(PortError::Precondition(_) | PortError::Unknown { .. }));
        if doubtful && self.get(operation, key).is_ok_and(|there| there == body) {
            return Ok(());
        }
        written
    }

    fn get(&self, operation: &'static str, key: String) -> PortResult<Vec<u8>> {
        let get = self.client.get_object().bucket(&self.bucket).key(key);
        self.blocking.run(operation, async move {
            let reply = get.send().await.map_err(|error| port_error(operation, Effect::Read, &error))?;
            let body = reply.body.collect().await;
            body.map(|bytes| bytes.to_vec())
                .map_err(|_| PortError::Unavailable { operation, reason: "the reply broke off".to_owned() })
        })
    }
}

fn until(now: Millis, retention: Duration) -> DateTime {
    let seconds = (now / 1000).saturating_add(retention.as_secs());
    DateTime::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX))
}

impl AuditSink for S3Audit {
    /// Writes a marker object, `begun`, so that of two that begin at once one wins, and a sink
    /// that cannot be written is detected before any file exists.
    fn begin(&self, ledger: LedgerId) -> PortResult<Box<dyn AuditLog>> {
        let shared = Arc::clone(&self.0);
        let mut mark = [0; 16];
        getrandom::fill(&mut mark).map_err(|_| PortError::Refused {
            operation: OPERATION_BEGIN,
            reason: "there is no randomness".to_owned(),
        })?;
        // Random, so that after a lost reply the object is recognised as this call's.
        let body = hex::encode(mark);
        shared.put_own(OPERATION_BEGIN, format!("{}/begun", shared.directory(ledger)), body.as_bytes())?;
        Ok(Box::new(S3Log { shared, ledger, segment: 0, pending: Vec::new(), failed: false }))
    }

    fn read(&self, ledger: LedgerId) -> PortResult<Vec<u8>> {
        let mut lines = Vec::new();
        for number in 0.. {
            match self.0.get(OPERATION_READ, self.0.segment(ledger, number)) {
                Ok(segment) => lines.extend(segment),
                Err(PortError::NotFound(_)) if number > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(lines)
    }

    fn read_head(&self, ledger: LedgerId) -> PortResult<SignedHead> {
        let bytes = self.0.get(OPERATION_HEAD, self.0.head(ledger))?;
        serde_json::from_slice(&bytes).map_err(|_| corrupt(OPERATION_HEAD, "it is not a ledger head"))
    }
}

impl AuditLog for S3Log {
    fn append(&mut self, line: &[u8]) -> PortResult<()> {
        self.pending.extend_from_slice(line);
        if self.failed || self.pending.len() >= SEGMENT_BYTES { self.sync() } else { Ok(()) }
    }

    fn sync(&mut self) -> PortResult<()> {
        const OPERATION: &str = "writing a part of a ledger";
        if self.failed {
            return Err(PortError::Refused {
                operation: OPERATION,
                reason: "an earlier one failed".to_owned(),
            });
        }
        if self.pending.is_empty() {
            return Ok(());
        }
        let key = self.shared.segment(self.ledger, self.segment);
        let written = self.shared.put_own(OPERATION, key, &self.pending);
        self.failed = written.is_err();
        if written.is_ok() {
            self.segment += 1;
            self.pending.clear();
        }
        written
    }

    fn seal(&mut self, head: &SignedHead) -> PortResult<()> {
        self.sync()?;
        self.shared.put_own("keeping a head", self.shared.head(self.ledger), &head.to_file())
    }
}
