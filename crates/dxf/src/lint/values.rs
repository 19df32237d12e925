//! Values by their group codes.

use super::document::Tag;
use super::findings::{Findings, Rule};
use cadmill_core::domain::text::Charset;

enum Type {
    Text,
    Real,
    Int16,
    Int,
    Handle,
    Other,
}

/// The type of a group's value, by the reference of Autodesk ("Group code value types").
fn type_of(code: u16) -> Type {
    match code {
        5 | 105 | 320..=369 | 390..=399 | 480..=481 | 1005 => Type::Handle,
        0..=9 | 100..=102 | 300..=309 | 410..=419 | 430..=439 | 470..=479 | 1000..=1003 => Type::Text,
        10..=59 | 110..=149 | 210..=239 | 460..=469 | 1010..=1059 => Type::Real,
        60..=79 | 170..=179 | 270..=289 | 370..=389 | 400..=409 | 1060..=1070 => Type::Int16,
        80..=99 | 160..=169 | 290..=299 | 420..=429 | 440..=459 | 1071 => Type::Int,
        _ => Type::Other,
    }
}

/// Bytes of a string, by the reference; extended data have fewer.
const LONGEST: usize = 2049;
const LONGEST_OF_DATA: usize = 255;

pub(super) fn check(tags: &[Tag<'_>], charset: Charset, findings: &mut Findings) {
    for Tag { code, value, line } in tags {
        if value.chars().any(|c| matches!(c, '\0'..='\u{1f}' | '\u{7f}')) {
            findings.add(Rule::ControlCharacter, *line, format!("{value:?}"));
        }
        match type_of(*code) {
            Type::Text => {
                let longest = if *code >= 1000 { LONGEST_OF_DATA } else { LONGEST };
                let fits = value.len() <= longest || encoded_length(value, charset) <= longest;
                findings.expect(fits, Rule::StringLength, *line, "a string is too long");
            }
            Type::Real => {
                findings.expect(is_real(value), Rule::Real, *line, value);
            }
            Type::Int16 => {
                // Flags are written as unsigned by some.
                let fits = integer(value).is_some_and(|number| (-32_768..=65_535).contains(&number));
                findings.expect(fits, Rule::Integer, *line, value);
            }
            Type::Int => {
                findings.expect(integer(value).is_some(), Rule::Integer, *line, value);
            }
            Type::Handle => {
                let digits = value.trim_matches(' ');
                let is_handle =
                    (1..=16).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
                findings.expect(is_handle, Rule::HandleForm, *line, value);
            }
            Type::Other => {}
        }
    }
}

fn encoded_length(value: &str, charset: Charset) -> usize {
    let mut bytes = Vec::new();
    charset.encode(value, &mut bytes, |_, _| {});
    bytes.len()
}

fn integer(value: &str) -> Option<i64> {
    let digits = value.trim_matches(' ');
    digits.parse().ok().filter(|_| !digits.starts_with('+'))
}

/// Whether a value is a finite number in decimal, perhaps with an exponent.
fn is_real(value: &str) -> bool {
    let number = value.trim_matches(' ');
    let form = number.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    form && number.parse().is_ok_and(f64::is_finite)
}
