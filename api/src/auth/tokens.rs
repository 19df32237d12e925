//! Static tokens issued by the operator. The server stores only their SHA-256 digests.
//!
//! A plain SHA-256 is sufficient; a slow password hash would only cost time. The tokens are random
//! and at least 32 characters long, so they cannot be found by brute force, even from the digest.
//! Do not use a password that a person chose. Shorter tokens are never accepted, even if the table
//! lists them.

use super::caller::Caller;
use cadmill_stores::config::Token;
use sha2::{Digest, Sha256};

/// Shortest token, in characters.
pub const MIN_TOKEN_LENGTH: usize = 32;

/// Token digests with their owners. One owner may have several tokens.
#[derive(Clone, Default)]
pub struct Tokens(Vec<([u8; 32], Caller)>);

impl Tokens {
    /// Accepts these tokens.
    ///
    /// # Errors
    /// A message, for a malformed digest, a digest that is listed twice, or an empty list.
    pub fn new<'a>(tokens: impl IntoIterator<Item = &'a Token>) -> Result<Self, String> {
        let mut known: Vec<([u8; 32], Caller)> = Vec::new();
        for Token { owner, sha256, auditor } in tokens {
            let digest = from_hex(sha256).ok_or_else(|| {
                format!("the token of {}: its SHA-256 must be 64 hexadecimal digits", owner.as_str())
            })?;
            if known.iter().any(|(there, _)| *there == digest) {
                return Err(format!("the token of {}: it is listed twice", owner.as_str()));
            }
            known.push((digest, Caller { owner: owner.clone(), auditor: *auditor }));
        }
        if known.is_empty() {
            return Err("there are no tokens, so every request would be rejected".to_owned());
        }
        Ok(Self(known))
    }

    /// The SHA-256 of a token, in hexadecimal, as accepted by [`Tokens::new`].
    pub fn digest(token: &str) -> String {
        Sha256::digest(token.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The owner of this token. Runs in constant time for tokens of the same length: every digest
    /// is compared in full, also after a match.
    pub(super) fn caller(&self, token: &str) -> Option<Caller> {
        let presented: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let mut found = None;
        for (digest, caller) in &self.0 {
            let difference = digest.iter().zip(&presented).fold(0u8, |sum, (a, b)| sum | (a ^ b));
            if std::hint::black_box(difference) == 0 {
                found = Some(caller);
            }
        }
        let caller = found?;
        if token.len() < MIN_TOKEN_LENGTH {
            tracing::error!(
                owner = caller.owner.as_str(),
                length = token.len(),
                "a configured token is shorter than 32 characters and is not accepted; replace it"
            );
            return None;
        }
        Some(caller.clone())
    }
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let mut digest = [0; 32];
    hex::decode_to_slice(text, &mut digest).ok()?;
    Some(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_names_its_owner() {
        let (long, other, short) = ("a".repeat(32), "b".repeat(40), "short");
        let listed = [("ann", long.as_str()), ("bob", &other), ("eve", short)];
        let listed = listed.map(|(owner, token)| Token {
            owner: owner.parse().unwrap(),
            sha256: Tokens::digest(token),
            auditor: false,
        });
        let tokens = Tokens::new(&listed).unwrap();
        assert_eq!(tokens.caller(&long).unwrap().owner.as_str(), "ann");
        assert_eq!(tokens.caller(&other).unwrap().owner.as_str(), "bob");
        assert!(!tokens.caller(&long).unwrap().auditor);
        // Listed, but a token this short can be guessed.
        assert_eq!(tokens.caller(short), None);
        assert_eq!(tokens.caller(&"c".repeat(32)), None);
    }

    #[test]
    fn a_list_that_cannot_be_meant_is_refused() {
        let owner = || "ann".parse().unwrap();
        let digest = Tokens::digest("x");
        for bad in
            [vec![], vec!["zz".to_owned()], vec!["é".repeat(32)], vec![digest.clone(), digest.to_uppercase()]]
        {
            let listed = bad.into_iter().map(|sha256| Token { owner: owner(), sha256, auditor: false });
            assert!(Tokens::new(&listed.collect::<Vec<_>>()).is_err());
        }
    }
}
