//! What GDAL does not take of a dBASE table as it stands.
//!
//! A number of 19 digits and more is a real number for GDAL, which keeps 15 to 17 of them: Korean
//! parcels (PNU) have 19. It reads such a field as whole numbers if it is asked to (`ADJUST_TYPE`), as
//! far as those have 64 bits. What stands elsewhere (memos) or is not written as text is not read, and
//! a text ends for it at the first NUL.

use super::dbase::{Field, Layout, read_layout, records};
use std::ffi::CString;
use std::fs::File;
use std::io::{self, BufReader};
use std::path::Path;

/// From this width on, GDAL takes whole numbers for real ones.
const WIDE: usize = 19;

/// Largest whole number up to which a real number has every other.
const EXACT: u64 = 1 << 53;

/// What the values of a field of whole numbers are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Whole {
    /// Values that a real number does not keep, and those of them that 64 bits do not have either.
    rounded: u64,
    beyond: u64,
    /// Whether there are values that are no whole numbers.
    has_others: bool,
}

/// The option with which GDAL keeps the digits of wide numbers; `None` if it keeps them anyway or does
/// not.
pub(super) fn option(table: &Path) -> Option<CString> {
    let fields = wide(table).ok()?;
    // The option is for all fields, and would cut others to whole numbers.
    let is_safe = fields.iter().all(|(_, whole)| !whole.has_others);
    let has_effect = fields.iter().any(|(_, whole)| whole.rounded > 0 && whole.beyond == 0);
    (is_safe && has_effect).then(|| c"ADJUST_TYPE=YES".to_owned())
}

/// What is lost of a table.
pub(super) fn losses(table: &Path) -> io::Result<Vec<String>> {
    let mut losses = Vec::new();
    let is_adjusted = option(table).is_some();
    for (field, whole) in wide(table)? {
        if whole.rounded > 0 && (!is_adjusted || whole.beyond > 0) {
            losses.push(format!(
                "{} values of the field {} were rounded: they have more digits than GDAL keeps",
                whole.rounded,
                name(&field)
            ));
        }
    }
    losses.extend(unread(table)?);
    Ok(losses)
}

fn open(table: &Path) -> io::Result<(BufReader<File>, Layout)> {
    let mut file = BufReader::with_capacity(1 << 18, File::open(table)?);
    let layout = read_layout(&mut file)?;
    Ok((file, layout))
}

/// The fields of wide whole numbers.
fn wide(table: &Path) -> io::Result<Vec<(Field, Whole)>> {
    let (mut file, layout) = open(table)?;
    let is_wide =
        |field: &&Field| b"NF".contains(&field.kind) && field.decimals == 0 && field.at.len() >= WIDE;
    let mut fields: Vec<(Field, Whole)> =
        layout.fields.iter().filter(is_wide).map(|field| (field.clone(), Whole::default())).collect();
    if !fields.is_empty() {
        records(
            &mut file,
            &layout,
            |_| false,
            |record, _| {
                for (field, whole) in &mut fields {
                    whole.see(record[field.at.clone()].trim_ascii());
                }
            },
        )?;
    }
    Ok(fields)
}

impl Whole {
    fn see(&mut self, value: &[u8]) {
        // A number that is not there: GDAL takes it for null.
        if value.is_empty() || value[0] == b'*' || value.iter().all(|byte| *byte == 0) {
            return;
        }
        let digits = value.strip_prefix(b"-").or(value.strip_prefix(b"+")).unwrap_or(value);
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            self.has_others = true;
            return;
        }
        let number = std::str::from_utf8(value).ok().and_then(|text| text.parse::<i64>().ok());
        let is_exact = number.is_some_and(|number| number.unsigned_abs() <= EXACT);
        self.rounded += u64::from(!is_exact);
        self.beyond += u64::from(number.is_none());
    }
}

/// Fields that are not text, by the letter of their type: memos and other objects in a file of their
/// own, and numbers and times that are written in bytes.
const ELSEWHERE: &[u8] = b"MGP";
const BINARY: &[u8] = b"BIOTY@+";

/// Values of a field that GDAL does not read, or not all of.
#[derive(Debug, Clone, Copy, Default)]
struct Unread {
    elsewhere: u64,
    binary: u64,
    cut: u64,
}

fn unread(table: &Path) -> io::Result<Vec<String>> {
    let (mut file, layout) = open(table)?;
    let mut found = vec![Unread::default(); layout.fields.len()];
    let is_text = |field: &Field| !ELSEWHERE.contains(&field.kind) && !BINARY.contains(&field.kind);
    let is_all_text = layout.fields.iter().all(is_text);
    let is_plain = |records: &[u8]| is_all_text && !records.contains(&0);
    records(&mut file, &layout, is_plain, |record, _| {
        for (field, found) in layout.fields.iter().zip(&mut found) {
            let value = &record[field.at.clone()];
            if ELSEWHERE.contains(&field.kind) {
                // The number of a block, in digits or in bytes; none is blank or zero.
                found.elsewhere += u64::from(value.iter().any(|byte| !matches!(byte, 0 | b' ' | b'0')));
            } else if BINARY.contains(&field.kind) {
                found.binary += u64::from(value.iter().any(|byte| !matches!(byte, 0 | b' ')));
            } else if let Some(end) = value.iter().position(|byte| *byte == 0) {
                found.cut += u64::from(value[end..].iter().any(|byte| !matches!(byte, 0 | b' ')));
            }
        }
    })?;
    let mut losses = Vec::new();
    for (field, Unread { elsewhere, binary, cut }) in layout.fields.iter().zip(found) {
        let name = name(field);
        let kind = char::from(field.kind);
        if elsewhere > 0 {
            losses.push(format!(
                "{elsewhere} values of the field {name} were left out: it is a memo (type {kind}), which lies in a file of its own that GDAL does not read; the number of its block stands for it"
            ));
        }
        if binary > 0 {
            losses.push(format!(
                "{binary} values of the field {name} were lost: GDAL does not read a field of the type {kind}, and takes its bytes for text"
            ));
        }
        if cut > 0 {
            losses.push(format!(
                "{cut} values of the field {name} were cut at a NUL character: what follows it was left out"
            ));
        }
    }
    Ok(losses)
}

fn name(field: &Field) -> String {
    String::from_utf8_lossy(&field.name).chars().filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::dbase::{DESCRIPTOR, HEADER, TERMINATOR};
    use super::*;

    /// A table with one field of this type and width, and one value in each record.
    fn of(kind: u8, width: u8, decimals: u8, values: &[&[u8]]) -> (Option<String>, String) {
        let mut bytes = vec![0; HEADER];
        bytes[4] = u8::try_from(values.len()).unwrap();
        bytes[8] = u8::try_from(HEADER + DESCRIPTOR + 1).unwrap();
        bytes[10] = width + 1;
        let mut field = [0; DESCRIPTOR];
        field[..3].copy_from_slice(b"PNU");
        (field[11], field[16], field[17]) = (kind, width, decimals);
        bytes.extend(field);
        bytes.push(TERMINATOR);
        for value in values {
            let mut value = value.to_vec();
            value.resize(width.into(), b' ');
            bytes.push(b' ');
            bytes.extend(value);
        }
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.dbf");
        std::fs::write(&path, bytes).unwrap();
        let option = option(&path).map(|option| option.into_string().unwrap());
        (option, losses(&path).unwrap().join("; "))
    }

    #[test]
    fn wide_numbers_keep_their_digits() {
        let adjusted = || (Some("ADJUST_TYPE=YES".to_owned()), String::new());
        let plain = || (None, String::new());
        let lost = |count| {
            let text = format!(
                "{count} values of the field PNU were rounded: they have more digits than GDAL keeps"
            );
            (None, text)
        };
        let pnu: &[u8] = b"1111010100100010001";
        for (kind, width) in [(b'N', 19), (b'N', 24), (b'F', 19)] {
            assert_eq!(of(kind, width, 0, &[pnu, b"", b"  -4", b"*******************"]), adjusted());
        }
        assert_eq!(of(b'N', 18, 0, &[b"111101010010001000"]), plain());
        assert_eq!(of(b'N', 19, 0, &[b"9007199254740992", b"12.5"]), plain());
        assert_eq!(of(b'N', 24, 15, &[b"1234567.1234567890123456"]), plain());
        assert_eq!(of(b'F', 19, 11, &[b"1.11101010010e+018"]), plain());
        assert_eq!(of(b'N', 19, 0, &[pnu, b"12.5"]), lost(1));
        assert_eq!(of(b'N', 20, 0, &[pnu, b"12345678901234567890"]), lost(2));
    }

    #[test]
    fn what_is_not_read_is_told() {
        for kind in *b"MGP" {
            assert!(
                of(kind, 10, 0, &[b"         1", b"", b"         0"])
                    .1
                    .starts_with("1 values of the field PNU")
            );
            assert_eq!(of(kind, 10, 0, &[b""]).1, "");
        }
        assert!(of(b'M', 4, 0, &[b"\x07\0\0\0", b"\0\0\0\0"]).1.contains("it is a memo (type M)"));
        assert!(of(b'I', 4, 0, &[b"\x07\0\0\0"]).1.contains("a field of the type I"));
        assert!(
            of(b'C', 10, 0, &[b"a\0b", b"c"]).1.starts_with("1 values of the field PNU were cut at a NUL")
        );
        for good in [&b"a\0\0\0\0\0\0\0\0\0"[..], b"a\0  ", b" a", b""] {
            assert_eq!(of(b'C', 10, 0, &[good]).1, "", "{good:?}");
        }
        assert_eq!(of(b'L', 1, 0, &[b"T", b"?"]).1, "");
        assert_eq!(of(b'D', 8, 0, &[b"20240101"]).1, "");
    }
}
