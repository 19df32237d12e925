//! The hash chain: each line contains the hash of the previous line. Also the key of the HMACs that
//! stand for names and contents without revealing them.

use super::record::{Header, Record};
use super::{LedgerId, line};
use crate::domain::job::Millis;
use aws_lc_rs::hmac;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// `prev` of the first record.
pub const ZERO_HASH: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// SHA-256 of a line including its LF, in hexadecimal.
pub fn line_hash(line: &[u8]) -> String {
    hex::encode(Sha256::digest(line))
}

/// The end of a growing chain.
#[derive(Debug, Clone)]
pub struct Chain {
    ledger: LedgerId,
    seq: u64,
    prev: String,
}

impl Chain {
    /// An empty chain.
    pub fn new(ledger: LedgerId) -> Self {
        Self { ledger, seq: 0, prev: ZERO_HASH.to_owned() }
    }

    /// The number of the next record.
    pub fn next_seq(&self) -> u64 {
        self.seq
    }

    /// The hash of the last line, or zeros.
    pub fn last_hash(&self) -> &str {
        &self.prev
    }

    /// Formats the line of the next record. The chain is unchanged until [`Chain::push`].
    pub fn line(&self, record: &Record, at_ms: Millis, mono_ms: Millis) -> String {
        let header = Header { ledger: self.ledger, seq: self.seq, prev: self.prev.clone(), at_ms, mono_ms };
        line::encode(&record.fields(&header))
    }

    /// Appends a written line to the chain.
    pub fn push(&mut self, line: &str) {
        self.prev = line_hash(line.as_bytes());
        self.seq += 1;
    }
}

/// The random key of one ledger. A name has the same digest throughout this ledger and a different
/// one in every other. The key is never stored and is zeroed on drop; after that, guessed names can
/// no longer be tested against the digests.
pub struct NameKey {
    key: hmac::Key,
}

impl NameKey {
    /// Creates a key from these random bytes, which are zeroed.
    pub fn new(bytes: Zeroizing<[u8; 32]>) -> Self {
        // AWS-LC zeroes its own copy (`HMAC_CTX_cleanup`).
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, bytes.as_ref()) }
    }

    /// Digest of a name: HMAC-SHA-256 over `name`, a zero byte and the name.
    pub fn name(&self, name: &[u8]) -> String {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(b"name\0");
        context.update(name);
        hex::encode(context.sign())
    }

    /// Begins the digest of a file's content: HMAC-SHA-256 over `content`, a zero byte and the
    /// bytes.
    pub fn content(&self) -> ContentDigest {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(b"content\0");
        ContentDigest { context, bytes: 0 }
    }
}

/// An incremental digest of content.
pub struct ContentDigest {
    context: hmac::Context,
    bytes: u64,
}

impl ContentDigest {
    /// Adds the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.context.update(bytes);
        self.bytes += bytes.len() as u64;
    }

    /// Number of bytes so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns the digest, in hexadecimal.
    pub fn finish(self) -> String {
        hex::encode(self.context.sign())
    }
}
