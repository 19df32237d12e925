//! Ed25519 public keys, as `openssl pkey -pubout` writes them.

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use sha2::{Digest, Sha256};
use std::fmt;

/// The DER prefix of an Ed25519 SubjectPublicKeyInfo, before the 32 bytes of the key (RFC 8410,
/// sections 3 and 4).
const PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// Why a key cannot be parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not a PEM file with this label.
    #[error("it is not a PEM file with the label {0}")]
    Pem(&'static str),
    /// Not an Ed25519 key.
    #[error("it is not an Ed25519 key")]
    Kind,
}

/// An Ed25519 public key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// Creates a key from its 32 bytes (RFC 8032, 5.1.5).
    pub fn from_raw(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Parses a SubjectPublicKeyInfo in DER.
    ///
    /// # Errors
    /// [`KeyError::Kind`].
    pub fn from_der(der: &[u8]) -> Result<Self, KeyError> {
        let raw = der.strip_prefix(&PREFIX).ok_or(KeyError::Kind)?;
        raw.try_into().map(Self).map_err(|_| KeyError::Kind)
    }

    /// Parses a PEM file with a `PUBLIC KEY`.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn from_pem(text: &[u8]) -> Result<Self, KeyError> {
        let pem = pem::parse(text).map_err(|_| KeyError::Pem("PUBLIC KEY"))?;
        if pem.tag() != "PUBLIC KEY" {
            return Err(KeyError::Pem("PUBLIC KEY"));
        }
        Self::from_der(pem.contents())
    }

    /// The SubjectPublicKeyInfo in DER.
    pub fn to_der(self) -> Vec<u8> {
        [PREFIX.as_slice(), &self.0].concat()
    }

    /// The key as a PEM file.
    pub fn to_pem(self) -> String {
        let config = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
        pem::encode_config(&pem::Pem::new("PUBLIC KEY", self.to_der()), config)
    }

    /// The key's id: SHA-256 of the SubjectPublicKeyInfo (DER), in hexadecimal.
    pub fn id(self) -> String {
        hex::encode(Sha256::digest(self.to_der()))
    }

    /// Whether the signature of this message verifies with this key.
    pub fn verify(self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.0).verify(message, signature).is_ok()
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.id())
    }
}
