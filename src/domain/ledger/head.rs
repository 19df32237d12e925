//! The head of a ledger: its id and its last record. The head is signed, so that the ledger cannot
//! be edited or truncated and then hashed again.

use super::key::PublicKey;
use super::{HEAD_FORMAT, LedgerId, line};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

/// The signed content. [`Head::message`] returns it as bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// [`HEAD_FORMAT`].
    pub format: String,
    /// SHA-256 of the last line including its LF, in hexadecimal.
    pub last_hash: String,
    /// Number of the last record.
    pub last_seq: u64,
    /// The ledger.
    pub ledger: LedgerId,
}

impl Head {
    /// Creates the head of a ledger with this last record.
    pub fn new(ledger: LedgerId, last_seq: u64, last_hash: &str) -> Self {
        Self { format: HEAD_FORMAT.to_owned(), last_hash: last_hash.to_owned(), last_seq, ledger }
    }

    /// The bytes that are signed: the head as a JSON object with sorted keys, without whitespace
    /// and without LF. `jq -jcS .head` prints the same bytes.
    pub fn message(&self) -> Vec<u8> {
        let text = |value: &str| line::Field::Text(value.to_owned().into());
        let fields = [
            ("format", text(&self.format)),
            ("last_hash", text(&self.last_hash)),
            ("last_seq", line::Field::Number(self.last_seq)),
            ("ledger", text(&self.ledger.to_string())),
        ];
        let fields = fields.into_iter().map(|(name, value)| (name.into(), value)).collect();
        let mut message = line::encode(&fields).into_bytes();
        message.pop();
        message
    }
}

/// An Ed25519 signature (RFC 8032) of a head, and its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    /// Id of the key: SHA-256 of its SubjectPublicKeyInfo (DER), in hexadecimal.
    pub key_id: String,
    /// The SubjectPublicKeyInfo (DER) in base64. Only a hint for finding the key: a forger can put
    /// any key here.
    pub public_key: String,
    /// The 64 bytes of the signature, in base64.
    pub signature: String,
}

impl Signature {
    /// Creates a signature by this key.
    pub fn new(key: &PublicKey, signature: &[u8]) -> Self {
        Self {
            key_id: key.id(),
            public_key: BASE64.encode(key.to_der()),
            signature: BASE64.encode(signature),
        }
    }

    /// The public key given as the hint.
    pub fn hinted_key(&self) -> Option<PublicKey> {
        PublicKey::from_der(&BASE64.decode(&self.public_key).ok()?).ok()
    }

    /// Whether this is a signature of this message by this key.
    pub fn is_good(&self, key: &PublicKey, message: &[u8]) -> bool {
        self.key_id == key.id()
            && BASE64.decode(&self.signature).is_ok_and(|signature| key.verify(message, &signature))
    }
}

/// A head with its signature, if the worker has a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedHead {
    /// The head.
    pub head: Head,
    /// Its signature; `None` if no key is configured, in which case the head proves nothing.
    pub signature: Option<Signature>,
}

impl SignedHead {
    /// The head as a file: JSON with sorted keys and a final LF.
    pub fn to_file(&self) -> Vec<u8> {
        // Converted to a JSON value first, because its maps are sorted.
        let value = serde_json::to_value(self).unwrap_or_default();
        format!("{value:#}\n").into_bytes()
    }
}
