//! Names and ids, parsed once into types that are always valid.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

/// Why a text is not valid. The message does not include the text: it is untrusted, and the message
/// may be logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Not a UUID in its canonical form.
    #[error("a job id must be a UUID in lower-case hexadecimal with hyphens")]
    JobId,
    /// Not a valid file name.
    #[error(
        "a file name must have 1 to 255 bytes of UTF-8, without '/', '\\', control characters, and must not be '.' or '..'"
    )]
    FileName,
    /// Not a key in cadmill's format.
    #[error("an object key is uploads/{{job}}/{{file}} or processed/{{job}}/{{attempt}}/{{file}}")]
    ObjectKey,
    /// Not a valid owner.
    #[error("an owner must have 1 to 128 of the characters A-Z a-z 0-9 . _ @ : | -")]
    Owner,
}

/// A job's id: a UUID (RFC 9562).
///
/// - Its text is in canonical form: 36 characters, lower case, with hyphens. Other spellings are
///   rejected, so that each job has exactly one key.
/// - Clients may choose the id, so nothing is inferred from its version.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct JobId(Uuid);

impl JobId {
    /// A new id: 122 random bits.
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }

    /// An id from these random bytes (version 4).
    pub fn from_random_bytes(bytes: [u8; 16]) -> Self {
        Self(uuid::Builder::from_random_bytes(bytes).into_uuid())
    }
}

impl FromStr for JobId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        match Uuid::try_parse(text) {
            Ok(id) if id.to_string() == text => Ok(Self(id)),
            _ => Err(NameError::JobId),
        }
    }
}

/// The client's name for its file. It appears in object keys and downloads, never in a path on a
/// machine.
///
/// - 1 to 255 bytes of UTF-8.
/// - No `/`, `\` or control characters; not `.` or `..`.
/// - No U+FFFE or U+FFFF: XML, in which S3 lists keys, cannot represent them.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FileName(String);

impl FileName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for FileName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let bad = |c: char| matches!(c, '/' | '\\' | '\u{fffe}' | '\u{ffff}') || c.is_control();
        if text.is_empty() || text.len() > 255 || text == "." || text == ".." || text.contains(bad) {
            return Err(NameError::FileName);
        }
        Ok(Self(text.to_owned()))
    }
}

/// The owner of a job: the subject of a token.
///
/// - 1 to 128 characters, from a set that is safe in logs and keys.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Owner(String);

impl Owner {
    /// The owner as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Owner {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let good = |b: u8| b.is_ascii_alphanumeric() || b"._@:|-".contains(&b);
        if text.is_empty() || text.len() > 128 || !text.bytes().all(good) {
            return Err(NameError::Owner);
        }
        Ok(Self(text.to_owned()))
    }
}

/// Which of a job's two objects: input or result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// The client's upload.
    Upload,
    /// The worker's result.
    Processed,
}

impl Role {
    fn prefix(self) -> &'static str {
        match self {
            Self::Upload => "uploads",
            Self::Processed => "processed",
        }
    }
}

/// The key of an object in the bucket: `uploads/{job_id}/{file_name}` or
/// `processed/{job_id}/{attempt}/{file_name}`.
///
/// - The attempt keeps results apart: a worker that was presumed dead but goes on cannot overwrite
///   its successor's result (docs/adr/0007).
/// - Of an event's key only the job id is trusted: bucket, key and size come from the job's record.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ObjectKey {
    job: JobId,
    /// Set for a result only.
    attempt: Option<u32>,
    file: FileName,
}

impl ObjectKey {
    /// The key of the client's upload.
    pub fn upload(job: JobId, file: FileName) -> Self {
        Self { job, attempt: None, file }
    }

    /// The key of this attempt's result.
    pub fn processed(job: JobId, attempt: u32, file: FileName) -> Self {
        Self { job, attempt: Some(attempt), file }
    }

    /// Which of the job's objects this is.
    pub fn role(&self) -> Role {
        if self.attempt.is_some() { Role::Processed } else { Role::Upload }
    }

    /// The job.
    pub fn job(&self) -> JobId {
        self.job
    }

    /// The attempt that created it; `None` for an upload.
    pub fn attempt(&self) -> Option<u32> {
        self.attempt
    }

    /// The last path segment.
    pub fn file(&self) -> &FileName {
        &self.file
    }

    /// Common key prefix of the objects of all jobs with this role.
    pub fn root(role: Role) -> String {
        format!("{}/", role.prefix())
    }

    /// Common key prefix of all of a job's objects with this role.
    pub fn prefix(role: Role, job: JobId) -> String {
        format!("{}/{}/", role.prefix(), job)
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&Self::prefix(self.role(), self.job))?;
        match self.attempt {
            Some(attempt) => write!(f, "{attempt}/{}", self.file.as_str()),
            None => f.write_str(self.file.as_str()),
        }
    }
}

impl FromStr for ObjectKey {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let parse = || {
            let (prefix, rest) = text.split_once('/')?;
            let (job, rest) = rest.split_once('/')?;
            let role = [Role::Upload, Role::Processed].into_iter().find(|r| r.prefix() == prefix)?;
            let (attempt, file) = match role {
                Role::Upload => (None, rest),
                Role::Processed => {
                    let (attempt, file) = rest.split_once('/')?;
                    let number: u32 = attempt.parse().ok()?;
                    // Each attempt has exactly one spelling.
                    (number.to_string() == attempt).then_some((Some(number), file))?
                }
            };
            Some(Self { job: job.parse().ok()?, attempt, file: file.parse().ok()? })
        };
        parse().ok_or(NameError::ObjectKey)
    }
}

impl TryFrom<String> for ObjectKey {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<ObjectKey> for String {
    fn from(key: ObjectKey) -> Self {
        key.to_string()
    }
}

/// The conversions of all text types, and a `Debug` that prints ids but not the file names given by
/// clients.
macro_rules! text_type {
    ($type:ident, $shown:expr) => {
        impl TryFrom<String> for $type {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(value: $type) -> Self {
                value.0.to_string()
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let shown: fn(&Self) -> String = $shown;
                write!(f, "{}({})", stringify!($type), shown(self))
            }
        }
    };
}

text_type!(JobId, |id| id.0.to_string());
text_type!(Owner, |owner| owner.0.clone());
text_type!(FileName, |_| "…".to_owned());

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Debug for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ObjectKey({}…)", Self::prefix(self.role(), self.job))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn random_bits_make_an_id_of_version_4(bytes in any::<[u8; 16]>()) {
            let text = JobId::from_random_bytes(bytes).to_string();
            prop_assert_eq!(text.parse::<JobId>().map(|id| id.to_string()), Ok(text.clone()));
            prop_assert_eq!(&text[14..15], "4");
        }

        #[test]
        fn a_key_reads_back(bytes in any::<[u8; 16]>(), file in "[^/\\\\\\x00-\\x1f\\x7f-\\x9f\u{fffe}\u{ffff}]{1,60}", upload in any::<bool>(), attempt in any::<u32>()) {
            prop_assume!(file != "." && file != "..");
            let (id, file) = (JobId::from_random_bytes(bytes), file.parse().unwrap());
            let key = if upload { ObjectKey::upload(id, file) } else { ObjectKey::processed(id, attempt, file) };
            let role = key.role();
            prop_assert_eq!(key.to_string().parse::<ObjectKey>(), Ok(key.clone()));
            prop_assert!(key.to_string().starts_with(&ObjectKey::prefix(role, key.job())));
        }

        #[test]
        fn any_text_is_judged_without_a_panic(text in any::<String>()) {
            let _ = (text.parse::<JobId>(), text.parse::<FileName>(), text.parse::<Owner>(), text.parse::<ObjectKey>());
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let id = "0188a5eb-4c1d-7c3e-9a27-2f1d3c4b5a69";
        assert!(id.parse::<JobId>().is_ok());
        for bad in [
            "",
            "0188A5EB-4C1D-7C3E-9A27-2F1D3C4B5A69",
            "0188a5eb4c1d7c3e9a272f1d3c4b5a69",
            "../../etc/passwd",
        ] {
            assert_eq!(bad.parse::<JobId>(), Err(NameError::JobId), "{bad}");
        }
        for bad in ["", ".", "..", "a/b", "a\\b", "a\nb", "a\0", "a\u{ffff}", &"x".repeat(256)] {
            assert_eq!(bad.parse::<FileName>(), Err(NameError::FileName), "{bad:?}");
        }
        for bad in [
            "uploads",
            "uploads/x/y",
            &format!("other/{id}/y"),
            &format!("uploads/{id}/a/b"),
            &format!("uploads/{id}/"),
            &format!("processed/{id}/y"),
            &format!("processed/{id}/01/y"),
            &format!("processed/{id}/-1/y"),
        ] {
            assert_eq!(bad.parse::<ObjectKey>(), Err(NameError::ObjectKey), "{bad}");
        }
        for bad in ["", "a b", "a\n", &"x".repeat(129)] {
            assert_eq!(bad.parse::<Owner>(), Err(NameError::Owner), "{bad:?}");
        }
    }

    #[test]
    fn debug_output_does_not_tell_file_names() {
        let id = JobId::from_random_bytes([7; 16]);
        let key = ObjectKey::upload(id, "secret.zip".parse().unwrap());
        let shown = format!("{key:?} {:?}", key.file());
        assert!(!shown.contains("secret") && shown.contains(&id.to_string()), "{shown}");
    }
}
