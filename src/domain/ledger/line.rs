//! The line of a record: a JSON object in canonical form.
//!
//! - Keys are sorted by their bytes, there is no whitespace between tokens, and the line ends with
//!   LF.
//! - ASCII only. `"` and `\` are escaped by `\`; control characters, DEL and non-ASCII characters
//!   by `\uXXXX` in lower case, as a surrogate pair beyond U+FFFF.
//! - Values are strings and integers from 0 to 2^53 - 1, which every JSON parser represents exactly
//!   (RFC 8259, section 6). No null, true, fraction or list.
//!
//! A line with the same content in another form is rejected: the hash is over bytes, and two
//! readers must not interpret a line differently.

use serde::Deserialize;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write;

/// Maximum integer: 2^53 - 1.
pub const MAX_NUMBER: u64 = (1 << 53) - 1;
/// Maximum length of a line, in bytes, including its LF. The longest record written is `open` with
/// its posture, which is far shorter.
pub const MAX_LINE_BYTES: usize = 64 << 10;

/// A value.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Field {
    /// An integer.
    Number(u64),
    /// A string.
    Text(Cow<'static, str>),
}

/// The members of an object, sorted by their keys.
pub type Fields = BTreeMap<Cow<'static, str>, Field>;

/// Why a line is invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// It contains a byte that is not printable ASCII.
    #[error("it has bytes that are not printable ASCII")]
    NotAscii,
    /// It is longer than [`MAX_LINE_BYTES`].
    #[error("it is longer than any record")]
    TooLong,
    /// It is not a JSON object of strings and integers.
    #[error("it is not a JSON object of strings and integers")]
    NotAnObject,
    /// It is not in canonical form.
    #[error("it is not in the canonical form")]
    NotCanonical,
}

/// Formats a line, including its LF.
pub fn encode(fields: &Fields) -> String {
    // Enough for any record: a growing string would be moved and the old copy zeroed each time.
    let mut line = String::with_capacity(512);
    let mut separator = '{';
    for (key, value) in fields {
        line.push(separator);
        separator = ',';
        quote(&mut line, key);
        line.push(':');
        match value {
            Field::Number(number) => drop(write!(line, "{number}")),
            Field::Text(text) => quote(&mut line, text),
        }
    }
    line.push_str(if fields.is_empty() { "{}\n" } else { "}\n" });
    line
}

/// Parses the members of a line, without its LF.
///
pub fn parse(line: &[u8]) -> Result<Fields, LineError> {
    if line.len() >= MAX_LINE_BYTES {
        return Err(LineError::TooLong);
    }
    if !line.iter().all(|byte| matches!(byte, 0x20..=0x7e)) {
        return Err(LineError::NotAscii);
    }
    let fields: Fields = serde_json::from_slice(line).map_err(|_| LineError::NotAnObject)?;
    let exact = |value: &Field| !matches!(value, Field::Number(number) if *number > MAX_NUMBER);
    if !fields.values().all(exact) {
        return Err(LineError::NotAnObject);
    }
    // Detects repeated keys, other escapes, spaces and another order.
    if encode(&fields).as_bytes().strip_suffix(b"\n") == Some(line) {
        Ok(fields)
    } else {
        Err(LineError::NotCanonical)
    }
}

fn quote(line: &mut String, text: &str) {
    line.push('"');
    // The common case: almost every text needs no escapes.
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\') {
        line.push_str(text);
        line.push('"');
        return;
    }
    for c in text.chars() {
        match c {
            '"' | '\\' => line.extend(['\\', c]),
            ' '..='~' => line.push(c),
            _ => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = write!(line, "\\u{unit:04x}");
                }
            }
        }
    }
    line.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn field() -> impl Strategy<Value = Field> {
        prop_oneof![
            (0..=MAX_NUMBER).prop_map(Field::Number),
            any::<String>().prop_map(|text| Field::Text(text.into()))
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(fields in prop::collection::btree_map(any::<String>().prop_map(Cow::from), field(), 0..9)) {
            let line = encode(&fields);
            prop_assert!(line.is_ascii());
            prop_assert_eq!(parse(line.trim_end_matches('\n').as_bytes()), Ok(fields.clone()));
            // Other JSON parsers accept it too.
            let other: serde_json::Value = serde_json::from_str(&line).unwrap();
            prop_assert_eq!(other.as_object().unwrap().len(), fields.len());
        }

        #[test]
        fn any_bytes_are_judged_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..99)) {
            let _ = parse(&bytes);
        }
    }

    #[test]
    fn there_is_one_form() {
        let good = r#"{"a":1,"b":"\u00e4\ud83d\ude00\u000a\"\\/"}"#;
        let fields = parse(good.as_bytes()).unwrap();
        assert_eq!(fields["b"], Field::Text("ä😀\n\"\\/".into()));
        let rows: &[(&str, LineError)] = &[
            (r#"{"b":1,"a":2}"#, LineError::NotCanonical),
            (r#"{"a":1,"a":1}"#, LineError::NotCanonical),
            (r#"{"a": 1}"#, LineError::NotCanonical),
            (r#"{"a":"\n"}"#, LineError::NotCanonical),
            (r#"{"a":"\u00E4"}"#, LineError::NotCanonical),
            (r#"{"a":"\/"}"#, LineError::NotCanonical),
            ("{\"a\":\"\u{e4}\"}", LineError::NotAscii),
            (r#"{"a":1.0}"#, LineError::NotAnObject),
            (r#"{"a":-1}"#, LineError::NotAnObject),
            (r#"{"a":null}"#, LineError::NotAnObject),
            (r#"{"a":true}"#, LineError::NotAnObject),
            (r#"{"a":[]}"#, LineError::NotAnObject),
            (r#"{"a":9007199254740992}"#, LineError::NotAnObject),
            (r#"[1]"#, LineError::NotAnObject),
            ("", LineError::NotAnObject),
        ];
        for (line, error) in rows {
            assert_eq!(parse(line.as_bytes()), Err(*error), "{line}");
        }
        assert_eq!(parse(&vec![b' '; MAX_LINE_BYTES]), Err(LineError::TooLong));
    }
}
