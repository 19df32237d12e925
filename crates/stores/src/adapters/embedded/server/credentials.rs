//! The credentials of the server's only client, stored beside the objects so that they survive a
//! restart and the processes of one user can read them.

use crate::adapters::aws::StaticCredentials;
use cadmill_core::ports::{PortError, PortResult};
use serde::{Deserialize, Serialize};
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

const FILE: &str = "credentials.json";
const OPERATION: &str = "reading the object server's keys";

/// A pair of keys. No `Debug`: the secret key must not be shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    /// Identifies the signer.
    pub access_key: String,
    /// The key that signs.
    pub secret_key: String,
}

impl From<Credentials> for StaticCredentials {
    fn from(Credentials { access_key, secret_key }: Credentials) -> Self {
        Self { access_key, secret_key }
    }
}

impl Credentials {
    /// Reads the credentials of the server of this directory, for another process of its user.
    ///
    /// # Errors
    /// [`PortError::NotFound`] before a server was started there, [`PortError::Refused`] if the
    /// user may not read them.
    pub fn read(data_dir: &Path) -> PortResult<Self> {
        let text = fs::read(data_dir.join(FILE)).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => PortError::NotFound(OPERATION),
            kind => PortError::Refused { operation: OPERATION, reason: kind.to_string() },
        })?;
        serde_json::from_slice(&text).map_err(|_| PortError::Corrupt {
            operation: OPERATION,
            reason: format!("{FILE} is not a key pair; delete it to create a new one"),
        })
    }

    /// The same, but creates them if there are none.
    pub(super) fn read_or_make(data_dir: &Path) -> PortResult<Self> {
        match Self::read(data_dir) {
            Err(PortError::NotFound(_)) => {}
            known => return known,
        }
        let made =
            Self { access_key: format!("CADMILL{}", random_name::<8>()?), secret_key: random_name::<32>()? };
        made.write(data_dir).map_err(|error| PortError::Refused {
            operation: "writing the object server's keys",
            reason: error.kind().to_string(),
        })?;
        Ok(made)
    }

    /// Written to a temporary file, then renamed: the file is never incomplete.
    fn write(&self, data_dir: &Path) -> io::Result<()> {
        let aside = data_dir.join(format!("{FILE}.new"));
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
        serde_json::to_writer(&mut file, self)?;
        file.flush()?;
        file.sync_all()?;
        fs::rename(aside, data_dir.join(FILE))?;
        fs::File::open(data_dir)?.sync_all()
    }
}

/// `N` random bytes in upper-case hexadecimal.
pub(super) fn random_name<const N: usize>() -> PortResult<String> {
    let mut bytes = [0u8; N];
    getrandom::fill(&mut bytes).map_err(|_| PortError::Unavailable {
        operation: "making a name",
        reason: "no random bytes".to_owned(),
    })?;
    Ok(hex::encode_upper(bytes))
}
