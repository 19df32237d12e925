//! Detects tokens that are too short by their SHA-256.
//!
//! A digest does not reveal the length of its token. But a token that is found here in a fraction
//! of a second can be found by anyone who sees the configuration, and most short tokens are
//! found: those of few characters, and words. A token that passes this check is still refused
//! when it is presented if it has fewer than 32 characters.

use sha2::{Digest, Sha256};
use std::collections::HashMap;

/// Words that are used as tokens in examples and in haste.
const WORDS: &[&str] = &[
    "",
    "abc123",
    "abcdef",
    "access",
    "admin",
    "alice",
    "api",
    "api-key",
    "api-token",
    "apikey",
    "apitoken",
    "auditor",
    "bearer",
    "bob",
    "cadmill",
    "change-me",
    "changeit",
    "changeme",
    "default",
    "demo",
    "dev",
    "development",
    "dummy",
    "example",
    "foo",
    "foobar",
    "guest",
    "hello",
    "hunter",
    "key",
    "letmein",
    "local",
    "localhost",
    "my-token",
    "mysecret",
    "mytoken",
    "owner",
    "pass",
    "passw0rd",
    "password",
    "prod",
    "production",
    "qwerty",
    "root",
    "sample",
    "secret",
    "secret-token",
    "secrettoken",
    "short",
    "short-token",
    "shorttoken",
    "staging",
    "super-secret",
    "supersecret",
    "team",
    "test",
    "test-token",
    "tester",
    "testing",
    "testtoken",
    "token",
    "user",
    "welcome",
    "xxx",
    "your-token",
];

/// Suffixes of a word; `echo` adds the last one.
const ENDINGS: &[&str] = &["", "1", "2", "12", "123", "1234", "12345", "123456", "!", "-1", "_1", "\n"];

/// Alphabets, and the maximum length that is tried with each.
const SHORT: &[(&[u8], u32)] = &[
    (b" !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~", 2),
    (b"abcdefghijklmnopqrstuvwxyz0123456789", 3),
    (b"0123456789", 4),
];

/// Returns the index of the first token that is found, and its length in characters. Digests are
/// in lower-case hexadecimal, each with its owner.
pub(super) fn find(tokens: &[(&str, &str)]) -> Option<(usize, usize)> {
    let known: HashMap<[u8; 32], usize> = tokens
        .iter()
        .enumerate()
        .filter_map(|(number, (_, digest))| {
            let mut bytes = [0; 32];
            hex::decode_to_slice(digest, &mut bytes).ok()?;
            Some((bytes, number))
        })
        .collect();
    if known.is_empty() {
        return None;
    }
    let is = |token: &[u8]| {
        let digest: [u8; 32] = Sha256::digest(token).into();
        known.get(&digest).map(|number| (*number, token.len()))
    };
    let owners = tokens.iter().map(|(owner, _)| *owner).filter(|owner| owner.len() < 24);
    let words = WORDS.iter().copied().chain(owners).flat_map(|word| {
        let capital = word.get(..1).map(|first| first.to_uppercase() + &word[1..]).unwrap_or_default();
        [word.to_owned(), word.to_uppercase(), capital]
    });
    let ended = words.flat_map(|word| ENDINGS.iter().map(move |ending| format!("{word}{ending}")));
    let repeated = (b'!'..=b'~').flat_map(|c| (1..32).map(move |n| vec![c; n]));
    let sequences = (1..32).map(|n| b"1234567890".iter().copied().cycle().take(n).collect());
    ended.map(String::into_bytes).chain(repeated).chain(sequences).find_map(|token| is(&token)).or_else(
        || SHORT.iter().find_map(|(alphabet, most)| (1..=*most).find_map(|n| every(alphabet, n, &is))),
    )
}

/// Tries every text of this length.
fn every<T>(alphabet: &[u8], length: u32, is: &impl Fn(&[u8]) -> Option<T>) -> Option<T> {
    let letters = alphabet.len() as u64;
    let mut text = vec![0; length as usize];
    (0..letters.pow(length)).find_map(|mut number| {
        for place in &mut text {
            *place = alphabet[usize::try_from(number % letters).unwrap_or_default()];
            number /= letters;
        }
        is(&text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_tokens_are_found_and_long_ones_are_not() {
        let digest = |token: &str| hex::encode(Sha256::digest(token));
        let long = digest("a-token-of-forty-characters-for-this-test");
        for short in [
            "",
            "\n",
            "a",
            "~~",
            "abc",
            "zz9",
            "9021",
            "hunter2",
            "Secret123",
            "TOKEN",
            "ann-1",
            "test-token",
            "1234567890",
            "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
            "token\n",
        ] {
            let found = find(&[("bob", &*long), ("ann", &*digest(short))]);
            assert_eq!(found, Some((1, short.len())), "{short:?}");
        }
        assert_eq!(find(&[("ann", &*long)]), None);
        assert_eq!(find(&[]), None);
    }
}
