//! The trace that a job belongs to: the header `traceparent` of the request that created it (W3C Trace
//! Context, version 00).
//!
//! It is a text of the client and is trusted for nothing. It is kept in the record and shown in log
//! lines, so that an operator finds a client's job. What is not valid is ignored: no new trace is begun
//! for it, because every line has the id of the job anyway. `tracestate` is not read.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A valid `traceparent`.
///
/// - Its version is 00, and it is 55 characters long.
/// - It has lower-case hexadecimal digits and hyphens only.
/// - Neither the trace id nor the parent id is zero.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TraceParent(String);

/// The lengths of the version, the trace id, the parent id and the flags.
const LENGTHS: [usize; 4] = [2, 32, 16, 2];

impl TraceParent {
    /// The trace id: 32 hexadecimal digits.
    pub fn trace_id(&self) -> &str {
        &self.0[3..35]
    }

    /// The whole text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a text is no `traceparent`. The text is not repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a traceparent of version 00")]
pub struct NotATraceParent;

impl FromStr for TraceParent {
    type Err = NotATraceParent;

    fn from_str(text: &str) -> Result<Self, NotATraceParent> {
        let fields: Vec<&str> = text.split('-').collect();
        let is_hex = |field: &str| field.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        let well_formed = fields.len() == LENGTHS.len()
            && fields.iter().zip(LENGTHS).all(|(field, length)| field.len() == length && is_hex(field));
        let is_zero = |field: &str| field.bytes().all(|b| b == b'0');
        if !well_formed || fields[0] != "00" || is_zero(fields[1]) || is_zero(fields[2]) {
            return Err(NotATraceParent);
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for TraceParent {
    type Error = NotATraceParent;

    fn try_from(text: String) -> Result<Self, NotATraceParent> {
        text.parse()
    }
}

impl From<TraceParent> for String {
    fn from(trace: TraceParent) -> Self {
        trace.0
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    #[test]
    fn a_traceparent_is_valid_or_none() {
        let table = [
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", true),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00", true),
            // Flags that are not defined yet.
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ff", true),
            ("00-00000000000000000000000000000001-0000000000000001-00", true),
            // Zero ids.
            ("00-00000000000000000000000000000000-00f067aa0ba902b7-01", false),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", false),
            // Other versions: 01 may exist one day, ff never.
            ("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", false),
            ("ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", false),
            // Upper case.
            ("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", false),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00F067AA0BA902B7-01", false),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0A", false),
            // No digits.
            ("00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01", false),
            ("00-4bf92f3577b34da6a3ce929d0e0e473\u{e9}-00f067aa0ba902b7-01", false),
            // Lengths and separators.
            ("00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01", false),
            ("00-4bf92f3577b34da6a3ce929d0e0e47361-00f067aa0ba902b7-01", false),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-", false),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-extra", false),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7", false),
            ("00_4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7_01", false),
            (" 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", false),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\n", false),
            ("", false),
            ("---", false),
        ];
        for (text, valid) in table {
            assert_eq!(text.parse::<TraceParent>().is_ok(), valid, "{text:?}");
        }
        assert_eq!(table[0].0.parse::<TraceParent>().unwrap().trace_id(), TRACE);
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in "[-0-9a-f\u{e9}]{0,60}") {
            if let Ok(trace) = text.parse::<TraceParent>() {
                prop_assert_eq!(trace.as_str(), &text);
                prop_assert_eq!(trace.trace_id().len(), 32);
            }
        }
    }
}
