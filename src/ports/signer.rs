//! Port: the key that signs ledger heads. Calls block, like those of the audit sink.

use super::PortResult;
use crate::domain::ledger::{PublicKey, Signature};

/// Signs with an Ed25519 key (RFC 8032, pure Ed25519).
pub trait Signer: Send + Sync {
    /// The public key, known since the signer was created.
    fn public_key(&self) -> PublicKey;

    /// Signs a message of at most 4096 bytes; returns the 64 bytes of the signature.
    fn sign(&self, message: &[u8]) -> PortResult<Vec<u8>>;

    /// Signs a message and adds the key's id.
    ///
    fn signature(&self, message: &[u8]) -> PortResult<Signature> {
        let bytes = self.sign(message)?;
        let key = self.public_key();
        if key.verify(message, &bytes) {
            Ok(Signature::new(&key, &bytes))
        } else {
            let reason = "the reply is not a signature by the key".to_owned();
            Err(super::PortError::Corrupt { operation: "signing a ledger's head", reason })
        }
    }
}
