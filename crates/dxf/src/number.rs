//! Numbers as text.
//!
//! Reals are finite here: entities with others are refused before. Zero has no sign, but in what
//! must be GDAL's.

use std::io::Write as _;

/// Digits that a real has in GDAL's output (`%.15g`).
const OGR_DIGITS: usize = 15;

/// Characters of the longest number.
pub(crate) const LONGEST: usize = 32;

/// Appends the shortest digits that read back as the same number. Outside of 1e-5 to 1e16 an
/// exponent with sign is written, as AutoCAD does: `1.5E+20`.
pub(crate) fn push_shortest(out: &mut Vec<u8>, value: f64) {
    let size = value.abs();
    if size == 0.0 {
        return out.extend_from_slice(b"0.0");
    }
    let mut buffer = zmij::Buffer::new();
    let text = buffer.format_finite(value).as_bytes();
    if (1e-4..1e15).contains(&size) {
        return out.extend_from_slice(text);
    }
    let Some(e) = text.iter().position(|byte| *byte == b'e') else {
        return out.extend_from_slice(text);
    };
    let (mantissa, exponent) = (&text[..e], &text[e + 1..]);
    out.extend_from_slice(mantissa);
    if !mantissa.contains(&b'.') {
        out.extend_from_slice(b".0");
    }
    push_exponent(out, exponent, b'E');
}

fn push_exponent(out: &mut Vec<u8>, exponent: &[u8], letter: u8) {
    let digits = exponent.trim_ascii_start();
    let (sign, digits) = match digits {
        [b'-', rest @ ..] => (b'-', rest),
        [b'+', rest @ ..] => (b'+', rest),
        _ => (b'+', digits),
    };
    out.extend_from_slice(&[letter, sign]);
    if digits.len() < 2 {
        out.push(b'0');
    }
    out.extend_from_slice(digits);
}

/// Appends what C's `%.15g` gives, which GDAL writes.
///
/// The shortest digits are those of `%.15g` if there are no more than 15 of them. Otherwise they
/// are rounded to 15, which is right unless there are 16 and the last is a five: whether that one
/// is above or below the middle, only the exact value says.
pub(crate) fn push_ogr(out: &mut Vec<u8>, value: f64) {
    if value.is_sign_negative() {
        out.push(b'-');
    }
    if value == 0.0 {
        return out.push(b'0');
    }
    let mut buffer = zmij::Buffer::new();
    let text = buffer.format_finite(value.abs()).as_bytes();
    if (1.0..1e14).contains(&value.abs()) && push_fixed(out, text) {
        return;
    }
    let mut decimal = Decimal::parse(text);
    if decimal.length == OGR_DIGITS + 1 && decimal.digits[OGR_DIGITS] == b'5' {
        decimal = Decimal::exact(value.abs());
    }
    decimal.round();
    decimal.push(out);
}

/// Rounds a number of the form `123.45`, which most coordinates have, in place. Gives up, with nothing
/// appended, where the digits do not decide, or get one more before the point.
fn push_fixed(out: &mut Vec<u8>, text: &[u8]) -> bool {
    // The digits and the point.
    const ROOM: usize = OGR_DIGITS + 1;
    let mut digits = [b'0'; ROOM];
    let length = text.len().min(ROOM);
    digits[..length].copy_from_slice(&text[..length]);
    if let Some(next) = text.get(ROOM) {
        if text.len() == ROOM + 1 && *next == b'5' {
            return false;
        }
        if *next >= b'5' {
            let Some(at) = digits.iter().rposition(|digit| !matches!(digit, b'9' | b'.')) else {
                return false;
            };
            digits[at] += 1;
            digits[at + 1..].iter_mut().filter(|digit| **digit == b'9').for_each(|digit| *digit = b'0');
        }
    }
    let mut digits = &digits[..length];
    while let [rest @ .., b'0'] = digits {
        digits = rest;
    }
    out.extend_from_slice(digits.strip_suffix(b".").unwrap_or(digits));
    true
}

/// Significant digits, and the power of ten of the first.
struct Decimal {
    digits: [u8; 24],
    length: usize,
    exponent: i32,
}

impl Decimal {
    /// Of a positive number in the form of zmij or of `{:e}`.
    fn parse(text: &[u8]) -> Self {
        let mut decimal = Self { digits: [b'0'; 24], length: 0, exponent: 0 };
        // Digits before the point, counted from the first that is not zero; zeros after the point.
        let (mut before, mut leading, mut point, mut shift) = (0i32, 0i32, false, 0i32);
        for (at, byte) in text.iter().enumerate() {
            match byte {
                b'.' => point = true,
                b'e' => {
                    shift =
                        std::str::from_utf8(&text[at + 1..]).ok().and_then(|e| e.parse().ok()).unwrap_or(0);
                    break;
                }
                b'0' if decimal.length == 0 => leading += i32::from(point),
                digit => {
                    before += i32::from(!point);
                    if decimal.length < decimal.digits.len() {
                        decimal.digits[decimal.length] = *digit;
                        decimal.length += 1;
                    }
                }
            }
        }
        decimal.exponent = if before > 0 { before - 1 } else { -leading - 1 } + shift;
        decimal.strip();
        decimal
    }

    fn exact(value: f64) -> Self {
        let mut room = [0u8; 40];
        let mut cursor = &mut room[..];
        // The room is enough for 15 digits, a point and an exponent.
        let _ = write!(cursor, "{value:.14e}");
        let left = cursor.len();
        Self::parse(&room[..room.len() - left])
    }

    fn strip(&mut self) {
        while self.length > 1 && self.digits[self.length - 1] == b'0' {
            self.length -= 1;
        }
    }

    fn round(&mut self) {
        if self.length <= OGR_DIGITS {
            return;
        }
        let up = self.digits[OGR_DIGITS] >= b'5';
        self.length = OGR_DIGITS;
        if up {
            let mut at = OGR_DIGITS;
            while at > 0 && self.digits[at - 1] == b'9' {
                self.digits[at - 1] = b'0';
                at -= 1;
            }
            if at == 0 {
                self.digits[0] = b'1';
                self.exponent += 1;
            } else {
                self.digits[at - 1] += 1;
            }
        }
        self.strip();
    }

    fn push(&self, out: &mut Vec<u8>) {
        let digits = &self.digits[..self.length];
        if !(-4..OGR_DIGITS as i32).contains(&self.exponent) {
            out.push(digits[0]);
            if digits.len() > 1 {
                out.push(b'.');
                out.extend_from_slice(&digits[1..]);
            }
            let mut exponent = itoa::Buffer::new();
            return push_exponent(out, exponent.format(self.exponent).as_bytes(), b'e');
        }
        if self.exponent < 0 {
            out.extend_from_slice(&b"0.000"[..(1 - self.exponent) as usize]);
            return out.extend_from_slice(digits);
        }
        let whole = self.exponent as usize + 1;
        if digits.len() <= whole {
            out.extend_from_slice(digits);
            out.extend(std::iter::repeat_n(b'0', whole - digits.len()));
        } else {
            out.extend_from_slice(&digits[..whole]);
            out.push(b'.');
            out.extend_from_slice(&digits[whole..]);
        }
    }
}

/// Characters of a number that may be replaced in place.
pub(crate) const FIXED_WIDTH: usize = 24;

/// A real in exactly [`FIXED_WIDTH`] characters, with as many decimals as fit.
pub(crate) fn fixed(value: f64) -> String {
    let value = value + 0.0;
    let text = if value.abs() < 1e15 {
        let whole = format!("{:.0}", value.trunc()).len() + usize::from(value < 0.0 && value > -1.0);
        format!("{value:.*}", FIXED_WIDTH.saturating_sub(whole + 1).min(20))
    } else {
        let mut text = format!("{value:.15E}");
        if let Some(at) = text.find('E')
            && !text[at + 1..].starts_with('-')
        {
            text.insert(at + 1, '+');
        }
        text
    };
    format!("{text:>FIXED_WIDTH$}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shortest(value: f64) -> String {
        let mut out = Vec::new();
        push_shortest(&mut out, value);
        String::from_utf8(out).unwrap()
    }

    fn ogr(value: f64) -> String {
        let mut out = Vec::new();
        push_ogr(&mut out, value);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn shortest_form() {
        for (value, expected) in [
            (0.0, "0.0"),
            (-0.0, "0.0"),
            (200_000.0, "200000.0"),
            (-0.5, "-0.5"),
            (0.1, "0.1"),
            (1e20, "1.0E+20"),
            (-1.5e-7, "-1.5E-07"),
            (1.25e-300, "1.25E-300"),
        ] {
            assert_eq!(shortest(value), expected);
        }
    }

    #[test]
    fn ogr_form() {
        for (value, expected) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (200_000.0, "200000"),
            (1e-7, "1e-07"),
            (0.0001, "0.0001"),
            (0.00012345, "0.00012345"),
            (1e15, "1e+15"),
            (123_456_789_012_345.0, "123456789012345"),
            (1_234_567_890_123_456.0, "1.23456789012346e+15"),
            (200_000.0 + 1.0 / 3.0, "200000.333333333"),
            (0.1 + 0.2, "0.3"),
            (1.0 / 3.0, "0.333333333333333"),
            (2.0 / 3.0, "0.666666666666667"),
            (0.999_999_999_999_999_9, "1"),
            (9.999_999_999_999_999, "10"),
            (1e300, "1e+300"),
        ] {
            assert_eq!(ogr(value), expected);
        }
    }

    #[test]
    fn fixed_width() {
        for value in [
            0.0,
            -0.0,
            -0.25,
            1.0,
            200_000.25,
            -1e14,
            999_999_999_999_999.9,
            1e15,
            1e20,
            -1e20,
            -1e-300,
            1e300,
        ] {
            let text = fixed(value);
            assert_eq!(text.len(), FIXED_WIDTH, "{text:?}");
            let read: f64 = text.trim().parse().unwrap();
            assert!((read - value).abs() <= value.abs() * 1e-14 + 1e-19, "{text:?}");
        }
        assert_eq!(fixed(1e20), "   1.000000000000000E+20");
    }

    /// What `%.15g` gives, by its definition and the exact digits of the standard library.
    fn by_definition(value: f64) -> String {
        if value == 0.0 {
            return if value.is_sign_negative() { "-0" } else { "0" }.to_owned();
        }
        let text = format!("{value:.14e}");
        let (mantissa, exponent) = text.split_once('e').unwrap();
        let exponent: i32 = exponent.parse().unwrap();
        let strip = |text: &str| match text.contains('.') {
            true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
            false => text.to_owned(),
        };
        if (-4..15).contains(&exponent) {
            return strip(&format!("{value:.*}", (14 - exponent) as usize));
        }
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{}e{sign}{:02}", strip(mantissa), exponent.abs())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]
        #[test]
        fn any_real_reads_back(value in proptest::num::f64::NORMAL | proptest::num::f64::ZERO) {
            prop_assert_eq!(shortest(value).parse::<f64>().unwrap(), value);
            prop_assert_eq!(ogr(value), by_definition(value));
        }

        #[test]
        fn coordinates_are_those_of_c(value in -1e7f64..1e7, digits in 0i32..12) {
            let rounded = (value * 10f64.powi(digits)).round() / 10f64.powi(digits);
            prop_assert_eq!(ogr(value), by_definition(value));
            prop_assert_eq!(ogr(rounded), by_definition(rounded));
        }
    }
}
