//! Content codings of HTTP (RFC 9110, 8.4): a result may be stored encoded for a client whose order
//! says that it decodes it.
//!
//! An encoded object has two sizes and two digests: those of the bytes in the store, which a request
//! for a range counts in, and those of what the client has once it has decoded them.

use serde::{Deserialize, Serialize};

/// A content coding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Coding {
    /// One member of gzip (RFC 1952). Browsers do not decode a second member.
    Gzip,
}

impl Coding {
    /// Its name in `Content-Encoding`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
        }
    }

    /// The coding with this name, in any case (RFC 9110, 8.4.1); `None` for any other.
    pub fn named(name: &str) -> Option<Self> {
        // RFC 9110, 8.4.1.3: `x-gzip` is equivalent.
        ["gzip", "x-gzip"].iter().any(|known| name.eq_ignore_ascii_case(known)).then_some(Self::Gzip)
    }

    /// The coding that a `Content-Encoding` of the store names; `None` for several codings, or an
    /// unknown one. `aws-chunked` describes how a body was sent, and some servers keep it.
    pub fn of_header(value: &str) -> Option<Self> {
        let mut names = value.split(',').map(str::trim).filter(|name| !matches!(*name, "" | "aws-chunked"));
        let first = names.next()?;
        names.next().is_none().then(|| Self::named(first)).flatten()
    }
}

/// How an object is encoded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Encoded {
    /// Its `Content-Encoding`.
    pub coding: Coding,
    /// What its bytes decode to. The writer of an object knows it, the store does not.
    pub content: Option<Content>,
}

/// What the bytes of an encoded object decode to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// Its size, in bytes.
    pub size_bytes: u64,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_names_one_known_coding() {
        for header in ["gzip", "GZIP", " gzip ", "x-gzip", "gzip,aws-chunked", "aws-chunked, gzip"] {
            assert_eq!(Coding::of_header(header), Some(Coding::Gzip), "{header}");
        }
        for header in ["", "aws-chunked", "identity", "br", "gzip, gzip", "br,gzip", "gzip;q=1"] {
            assert_eq!(Coding::of_header(header), None, "{header}");
        }
        assert_eq!(Coding::named(Coding::Gzip.as_str()), Some(Coding::Gzip));
        assert_eq!(serde_json::to_string(&Coding::Gzip).unwrap(), "\"gzip\"");
    }
}
