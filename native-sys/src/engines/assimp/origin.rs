//! Moves the coordinates of a model before Assimp reads them.
//!
//! Assimp has coordinates in single precision, which cannot have both the metres of a national grid
//! and its centimetres. So an offset must be subtracted from the text of the file, here in decimal
//! arithmetic, which is exact. Only OBJ is read in this way.
//!
//! `io.cadmill.assimp.Origin` does the same for the converter in Java.

use crate::engine::EngineError;
use crate::engine::EngineError::{OutOfMemory, Unfit};
use std::fmt;
use std::io;
use std::path::Path;

/// The largest number that an origin can have, and its decimals. With the limits of [`Decimal`],
/// all sums fit.
const MAX_ORIGIN: i128 = 100_000_000;
const MAX_ORIGIN_SCALE: u32 = 6;

/// Digits of a number in a file, and its decimals.
const MAX_DIGITS: usize = 30;

/// Whole units below which `auto` leaves a coordinate as it is: heights stay.
const SMALL: i128 = 1000;

/// What becomes zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// The first vertex, in whole units.
    Auto,
    At([Decimal; 3]),
}

/// A decimal number: `digits` divided by ten to the power of `scale`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Decimal {
    digits: i128,
    scale: u32,
}

/// A file whose coordinates were moved.
#[derive(Debug)]
pub(super) struct Moved {
    pub(super) content: Vec<u8>,
    pub(super) origin: [Decimal; 3],
}

/// Whether coordinates of this file can be moved.
pub(super) fn applies_to(input: &Path) -> bool {
    input.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("obj"))
}

impl Origin {
    /// The value of the option.
    pub(super) fn parse(value: &str) -> Result<Self, String> {
        if value == "auto" {
            return Ok(Self::Auto);
        }
        let numbers: Vec<&str> = value.split(',').map(str::trim).collect();
        let parsed: Option<Vec<Decimal>> = numbers.iter().map(|number| Self::number(number)).collect();
        parsed.and_then(|numbers| numbers.try_into().ok()).map(Self::At).ok_or_else(|| {
            format!(
                "option 'origin': write auto, or three numbers with commas, of at most {MAX_ORIGIN} and {MAX_ORIGIN_SCALE} decimals, not '{value}'"
            )
        })
    }

    fn number(text: &str) -> Option<Decimal> {
        let number = Decimal::parse(text.as_bytes())?;
        let is_small =
            number.scale <= MAX_ORIGIN_SCALE && number.digits.abs() <= MAX_ORIGIN * 10_i128.pow(number.scale);
        is_small.then_some(number)
    }

    /// Reads a file piece by piece, and moves its vertices.
    ///
    /// # Errors
    /// The file has no vertices, or one that is not three decimal numbers; reading failed.
    pub(super) fn moved(
        self,
        size: u64,
        mut read: impl FnMut(&mut [u8]) -> io::Result<usize>,
    ) -> Result<Moved, EngineError> {
        let mut mover = Mover { wanted: self, origin: None, line: 0, content: Vec::new() };
        mover.reserve(usize::try_from(size).unwrap_or(usize::MAX))?;
        let mut pending: Vec<u8> = Vec::new();
        let mut piece = vec![0; PIECE];
        loop {
            let length = read(&mut piece)
                .map_err(|e| EngineError::Rejected(format!("reading the input failed: {e}")))?;
            pending.extend_from_slice(&piece[..length]);
            let mut done = 0;
            while let Some(end) = pending[done..].iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
                mover.take(&pending[done..=done + end])?;
                done += end + 1;
            }
            pending.drain(..done);
            if length == 0 {
                mover.take(&pending)?;
                let origin = mover.origin.ok_or_else(|| {
                    Unfit("option 'origin': the file has no vertices in lines of OBJ".to_owned())
                })?;
                return Ok(Moved { content: mover.content, origin });
            }
        }
    }
}

/// Bytes that are read at once.
const PIECE: usize = 256 << 10;

struct Mover {
    wanted: Origin,
    /// Known from the first vertex on.
    origin: Option<[Decimal; 3]>,
    line: u64,
    content: Vec<u8>,
}

impl Mover {
    /// Takes one line, with its end.
    fn take(&mut self, line: &[u8]) -> Result<(), EngineError> {
        self.line += u64::from(!line.starts_with(b"\n"));
        match vertex_of(line) {
            None => self.push(line),
            Some(vertex) => {
                let moved = self.moved(vertex).ok_or_else(|| {
                    Unfit(format!(
                        "option 'origin': line {} has a vertex that is not three decimal numbers",
                        self.line
                    ))
                })?;
                self.push(&moved)
            }
        }
    }

    /// The line of a vertex, of which this is what follows the `v`.
    fn moved(&mut self, vertex: &[u8]) -> Option<Vec<u8>> {
        let (mut rest, mut place) = (vertex, [Decimal { digits: 0, scale: 0 }; 3]);
        for number in &mut place {
            rest = trim(rest);
            let end = rest.iter().position(|byte| byte.is_ascii_whitespace()).unwrap_or(rest.len());
            *number = Decimal::parse(&rest[..end])?;
            rest = &rest[end..];
        }
        let others: Vec<&[u8]> =
            rest.split(u8::is_ascii_whitespace).filter(|part| !part.is_empty()).collect();
        // A weight divides the coordinates.
        if let [weight] = others.as_slice()
            && !Decimal::parse(weight)?.is_one()
        {
            return None;
        }
        if vertex.contains(&b'\\') {
            return None;
        }
        let origin = *self.origin.get_or_insert(match self.wanted {
            Origin::At(origin) => origin,
            Origin::Auto => place.map(Decimal::whole_if_large),
        });
        let [x, y, z] = [0, 1, 2].map(|axis| place[axis].minus(origin[axis]));
        let mut line = format!("v {} {} {}", x?, y?, z?).into_bytes();
        line.extend_from_slice(rest);
        Some(line)
    }

    fn push(&mut self, line: &[u8]) -> Result<(), EngineError> {
        self.reserve(line.len())?;
        self.content.extend_from_slice(line);
        Ok(())
    }

    fn reserve(&mut self, more: usize) -> Result<(), EngineError> {
        self.content.try_reserve(more).map_err(|e| OutOfMemory(format!("moving the coordinates: {e}")))
    }
}

/// What follows the `v` of a line with a vertex.
fn vertex_of(line: &[u8]) -> Option<&[u8]> {
    match trim(line).strip_prefix(b"v") {
        Some(rest @ [b' ' | b'\t', ..]) => Some(rest),
        _ => None,
    }
}

fn trim(text: &[u8]) -> &[u8] {
    let start = text.iter().position(|byte| !matches!(byte, b' ' | b'\t')).unwrap_or(text.len());
    &text[start..]
}

impl Decimal {
    /// A number with or without decimals and an exponent.
    fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let (number, exponent) = match text.split_once(['e', 'E']) {
            // `parse` takes what Assimp does: digits after an optional sign.
            Some((number, exponent)) if exponent.len() <= 4 => (number, exponent.parse::<i64>().ok()?),
            Some(_) => return None,
            None => (text, 0),
        };
        let (negative, number) = match number.as_bytes().first()? {
            b'-' => (true, &number[1..]),
            b'+' => (false, &number[1..]),
            _ => (false, number),
        };
        let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
        let all = [whole, decimals].concat();
        if all.is_empty() || all.len() > MAX_DIGITS || !all.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let scale = decimals.len() as i64 - exponent;
        if scale > MAX_DIGITS as i64 || all.len() as i64 - scale.min(0) > MAX_DIGITS as i64 {
            return None;
        }
        let shift = u32::try_from(-scale.min(0)).ok()?;
        let digits = all.parse::<i128>().ok()?.checked_mul(10_i128.checked_pow(shift)?)?;
        Some(Self {
            digits: if negative { -digits } else { digits },
            scale: u32::try_from(scale.max(0)).ok()?,
        })
    }

    fn minus(self, other: Self) -> Option<Self> {
        let scale = self.scale.max(other.scale);
        let at_scale = |number: Self| number.digits.checked_mul(10_i128.checked_pow(scale - number.scale)?);
        Some(Self { digits: at_scale(self)?.checked_sub(at_scale(other)?)?, scale })
    }

    fn is_one(self) -> bool {
        10_i128.checked_pow(self.scale) == Some(self.digits)
    }

    /// The whole units below it; zero if they are few, or too many for an origin.
    fn whole_if_large(self) -> Self {
        let whole = self.digits.div_euclid(10_i128.pow(self.scale));
        let is_moved = (SMALL..=MAX_ORIGIN).contains(&whole.abs());
        Self { digits: if is_moved { whole } else { 0 }, scale: 0 }
    }

    pub(super) fn negative(self) -> Self {
        Self { digits: -self.digits, ..self }
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, scale) = (10_u128.pow(self.scale), self.scale as usize);
        let digits = self.digits.unsigned_abs();
        let sign = if self.digits < 0 { "-" } else { "" };
        match scale {
            0 => write!(f, "{sign}{digits}"),
            _ => write!(f, "{sign}{}.{:0scale$}", digits / unit, digits % unit),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text after it was moved, read in pieces of so many bytes.
    fn moved(origin: &str, text: &str, piece: usize) -> Result<(String, String), String> {
        let mut left = text.as_bytes();
        let moved = Origin::parse(origin)?
            .moved(text.len() as u64, |buffer| {
                let length = piece.min(left.len()).min(buffer.len());
                buffer[..length].copy_from_slice(&left[..length]);
                left = &left[length..];
                Ok(length)
            })
            .map_err(|error| error.to_string())?;
        let origin = moved.origin.map(|number| number.negative().to_string()).join(" ");
        Ok((String::from_utf8(moved.content).unwrap(), origin))
    }

    #[test]
    fn vertices_are_moved_and_all_else_stays() {
        let text = "# v 1 2 3\nv 200000.120 550000.340 10.000\r\n  v\t2.0000013e5  550000.35 -9.5 0.1 0.2 0.3\nvn 0 0 1\nvt 0.5 0.5\nv 0 0 0 1.0\nf 1 2 3";
        let expected = "# v 1 2 3\nv 0.120 0.340 10.000\r\nv 0.13 0.35 -9.5 0.1 0.2 0.3\nvn 0 0 1\nvt 0.5 0.5\nv -200000 -550000 0 1.0\nf 1 2 3";
        for piece in [1, 7, 1000] {
            let (content, by) = moved("auto", text, piece).unwrap();
            assert_eq!((content.as_str(), by.as_str()), (expected, "-200000 -550000 0"));
        }
        let (content, by) = moved("0.5,-2, 1e2", "v 1 2 3\nv .25 -0.0 3.", 5).unwrap();
        assert_eq!((content.as_str(), by.as_str()), ("v 0.5 4 -97\nv -0.25 2.0 -97", "-0.5 2 -100"));
        assert_eq!(moved("auto", "v -200000.5 0 0\n", 5).unwrap().0, "v 0.5 0 0\n");
    }

    #[test]
    fn what_cannot_be_moved_is_refused() {
        for line in [
            "v 1 2",
            "v 1 2 x",
            "v nan 0 0",
            "v 1 2 \\\n3",
            "v 1 2 3 0.5",
            "v 1e99 0 0",
            "v 1e-40 0 0",
            "v 1.0000000000000000000000000000001 0 0",
            "v . 0 0",
            "v 0x10 0 0",
        ] {
            let error = moved("auto", &format!("\r\n\r\n{line}\nv 1 2 3\n"), 9).unwrap_err();
            assert!(error.contains("line 3 has a vertex"), "{line}: {error}");
        }
        assert!(moved("auto", "solid x\nvertex 1 2 3\n", 9).unwrap_err().contains("no vertices"));
        for value in ["", "1,2", "1,2,3,4", "a,b,c", "100000001,0,0", "0.1234567,0,0", "AUTO"] {
            assert!(moved(value, "v 1 2 3", 9).unwrap_err().contains("three numbers"), "{value}");
        }
    }

    #[test]
    fn the_largest_numbers_fit() {
        let line = format!("v {} 0.{} 1e-30\n", "9".repeat(30), "9".repeat(29));
        let (content, _) = moved("-100000000,100000000,0.000001", &line, 100).unwrap();
        assert!(content.starts_with("v 1000000000000000000000099999999 -99999999.0"), "{content}");
        let line = format!("v 1e29 0.{} 1\n", "0".repeat(29));
        assert!(moved("99999999.999999,-99999999.999999,0", &line, 100).is_ok());
    }
}
