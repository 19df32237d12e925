//! Signing with a key that never leaves AWS KMS.
//!
//! The key has the spec `ECC_NIST_EDWARDS25519` and signs with `ED25519_SHA_512` on the
//! raw message: plain Ed25519 (RFC 8032), which openssl verifies with the public key
//! alone. (AWS KMS Developer Guide, "Key spec reference": the other algorithm of such
//! keys, `ED25519_PH_SHA_512`, signs digests and is another scheme.)

use super::Service;
use super::blocking::Blocking;
use super::error::{Effect, corrupt, port_error};
use aws_sdk_kms::Client;
use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::{MessageType, SigningAlgorithmSpec};
use cadmill_core::domain::ledger::PublicKey;
use cadmill_core::ports::{PortResult, Signer};
use std::time::Duration;

/// The key and how to reach it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KmsSettings {
    /// Its id, ARN or alias.
    pub key: String,
    /// Where its service is.
    pub service: Service,
}

/// Timeout of one attempt.
const ATTEMPT: Duration = Duration::from_secs(5);
/// Timeout of one call.
const OPERATION: Duration = Duration::from_secs(15);

/// A key in KMS.
pub struct KmsSigner {
    blocking: Blocking,
    client: Client,
    key: String,
    public: PublicKey,
}

impl KmsSigner {
    /// Fetches the public key. Blocks.
    ///
    /// # Errors
    /// Those of KMS; [`cadmill_core::ports::PortError::Corrupt`] if it is not an Ed25519 key.
    pub fn new(settings: KmsSettings) -> PortResult<Self> {
        const ASKING: &str = "asking for the public signing key";
        let blocking = Blocking::new()?;
        let key = settings.key.clone();
        let (client, der) = blocking.run(ASKING, async move {
            let client = Client::new(&settings.service.config(ATTEMPT, OPERATION).await);
            let reply = client.get_public_key().key_id(&settings.key).send().await;
            let reply = reply.map_err(|error| port_error(ASKING, Effect::Read, &error))?;
            let der = reply.public_key.ok_or_else(|| corrupt(ASKING, "the reply has no key"))?;
            Ok((client, der.into_inner()))
        })?;
        let public = PublicKey::from_der(&der).map_err(|_| corrupt(ASKING, "it is not an Ed25519 key"))?;
        Ok(Self { blocking, client, key, public })
    }
}

impl Signer for KmsSigner {
    fn public_key(&self) -> PublicKey {
        self.public
    }

    fn sign(&self, message: &[u8]) -> PortResult<Vec<u8>> {
        const SIGNING: &str = "signing a ledger's head";
        let call = self
            .client
            .sign()
            .key_id(&self.key)
            .message(Blob::new(message))
            .message_type(MessageType::Raw)
            .signing_algorithm(SigningAlgorithmSpec::Ed25519Sha512);
        self.blocking.run(SIGNING, async move {
            // Signing changes nothing, so it may be retried.
            let reply = call.send().await.map_err(|error| port_error(SIGNING, Effect::Read, &error))?;
            let signature = reply.signature.ok_or_else(|| corrupt(SIGNING, "the reply has no signature"))?;
            Ok(signature.into_inner())
        })
    }
}
