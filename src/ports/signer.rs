//! Port: the key that heads are signed with. Its calls block, as those of the audit sink.

use super::PortResult;
use crate::domain::ledger::{PublicKey, Signature};

/// Signs with an Ed25519 key (RFC 8032, pure Ed25519).
pub trait Signer: Send + Sync {
    /// The public half, known since the signer was made.
    fn public_key(&self) -> PublicKey;

    /// The 64 bytes of the signature of this message, at most 4096 bytes.
    fn sign(&self, message: &[u8]) -> PortResult<Vec<u8>>;

    /// The signature with the key's name.
    ///
    /// # Errors
    /// Of [`Signer::sign`]; [`super::PortError::Corrupt`] when what comes back is no
    /// signature of this key: better no head than one that accuses an honest worker.
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
