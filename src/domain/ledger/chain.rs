//! The chain: each line names the hash of the line before it. And the key under which
//! names and contents are told apart without being told.

use super::record::{Header, Record};
use super::{LedgerId, line};
use crate::domain::job::Millis;
use aws_lc_rs::hmac;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// `prev` of the first record.
pub const ZERO_HASH: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// SHA-256 of a line with its LF, in hexadecimal.
pub fn line_hash(line: &[u8]) -> String {
    hex::encode(Sha256::digest(line))
}

/// The end of a chain that grows.
#[derive(Debug, Clone)]
pub struct Chain {
    ledger: LedgerId,
    seq: u64,
    prev: String,
}

impl Chain {
    /// A chain without a record.
    pub fn new(ledger: LedgerId) -> Self {
        Self { ledger, seq: 0, prev: ZERO_HASH.to_owned() }
    }

    /// Number of the next record.
    pub fn next_seq(&self) -> u64 {
        self.seq
    }

    /// Hash of the last line, or zeros.
    pub fn last_hash(&self) -> &str {
        &self.prev
    }

    /// The line of the next record. Nothing changes until [`Chain::push`].
    pub fn line(&self, record: &Record, at_ms: Millis, mono_ms: Millis) -> String {
        let header = Header { ledger: self.ledger, seq: self.seq, prev: self.prev.clone(), at_ms, mono_ms };
        line::encode(&record.fields(&header))
    }

    /// The line is written: the chain ends with it.
    pub fn push(&mut self, line: &str) {
        self.prev = line_hash(line.as_bytes());
        self.seq += 1;
    }
}

/// A random key of one ledger. The same name gives the same digest in this ledger and
/// in no other, and nobody can try names against it when the key is gone: it is never
/// written anywhere and is overwritten when it is dropped.
pub struct NameKey {
    key: hmac::Key,
}

impl NameKey {
    /// The key that these random bytes are; they are overwritten.
    pub fn new(bytes: Zeroizing<[u8; 32]>) -> Self {
        // The library's own copy is overwritten by it (`HMAC_CTX_cleanup`).
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, bytes.as_ref()) }
    }

    /// Digest of a name: HMAC-SHA-256 over `name`, a zero byte and the name.
    pub fn name(&self, name: &[u8]) -> String {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(b"name\0");
        context.update(name);
        hex::encode(context.sign())
    }

    /// Begins the digest of a content: HMAC-SHA-256 over `content`, a zero byte and
    /// the bytes.
    pub fn content(&self) -> ContentDigest {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(b"content\0");
        ContentDigest { context, bytes: 0 }
    }
}

/// The digest of a content that comes by pieces.
pub struct ContentDigest {
    context: hmac::Context,
    bytes: u64,
}

impl ContentDigest {
    /// The next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.context.update(bytes);
        self.bytes += bytes.len() as u64;
    }

    /// Bytes so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The digest, in hexadecimal.
    pub fn finish(self) -> String {
        hex::encode(self.context.sign())
    }
}
