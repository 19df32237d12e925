//! A signing key held in this process, read from a PEM file or an environment variable.

use crate::domain::failure::{Failure, FailureCode};
use crate::domain::ledger::PublicKey;
use crate::domain::ledger::key::KeyError;
use crate::ports::{PortError, PortResult, Signer};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use std::fmt;
use std::path::Path;
use zeroize::Zeroizing;

/// Maximum size of a key file; a key takes about 120 bytes.
const MAX_FILE_BYTES: u64 = 16 << 10;

/// An Ed25519 key pair in memory.
pub struct LocalSigner {
    pair: Ed25519KeyPair,
    public: PublicKey,
}

impl LocalSigner {
    /// Parses a PEM file with a `PRIVATE KEY` (PKCS#8, unencrypted), as written by `openssl genpkey
    /// -algorithm ed25519`.
    ///
    pub fn from_pem(text: &[u8]) -> Result<Self, KeyError> {
        let pem = pem::parse(text).map_err(|_| KeyError::Pem("PRIVATE KEY"))?;
        let is_private = pem.tag() == "PRIVATE KEY";
        let der = Zeroizing::new(pem.into_contents());
        if !is_private {
            return Err(KeyError::Pem("PRIVATE KEY"));
        }
        let pair = Ed25519KeyPair::from_pkcs8(&der).map_err(|_| KeyError::Kind)?;
        let raw = pair.public_key().as_ref().try_into().map_err(|_| KeyError::Kind)?;
        Ok(Self { pair, public: PublicKey::from_raw(raw) })
    }

    /// Reads a key file.
    ///
    /// # Errors
    /// `infra.audit`, with the file's path.
    pub fn from_file(path: &Path) -> Result<Self, Failure> {
        use std::io::Read;
        let failed = |why: &dyn fmt::Display| {
            Failure::new(FailureCode::Audit, format!("the signing key in {}: {why}", path.display()))
        };
        let file = std::fs::File::open(path).map_err(|error| failed(&error))?;
        // Allocated at full size, so that no reallocation leaves a copy of the key in freed memory.
        let mut text = Zeroizing::new(Vec::with_capacity(MAX_FILE_BYTES as usize + 1));
        file.take(MAX_FILE_BYTES).read_to_end(&mut text).map_err(|error| failed(&error))?;
        Self::from_pem(&text).map_err(|error| failed(&error))
    }
}

impl Signer for LocalSigner {
    fn public_key(&self) -> PublicKey {
        self.public
    }

    fn sign(&self, message: &[u8]) -> PortResult<Vec<u8>> {
        let signed = self.pair.try_sign(message).map_err(|_| PortError::Refused {
            operation: "signing a ledger's head",
            reason: "the key cannot sign".to_owned(),
        })?;
        Ok(signed.as_ref().to_vec())
    }
}

impl fmt::Debug for LocalSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LocalSigner({})", self.public.id())
    }
}
