//! The layout of a table in dBASE format, and its records.

use std::io::{self, Read};
use std::ops::Range;

/// Length of the file header and of a field descriptor, in bytes.
pub(super) const HEADER: usize = 32;
pub(super) const DESCRIPTOR: usize = 32;

/// Ends the field descriptors.
pub(super) const TERMINATOR: u8 = 0x0d;

/// A field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) name: Vec<u8>,
    /// The letter of its type, and the digits after the point.
    pub(super) kind: u8,
    pub(super) decimals: u8,
    /// Where its values lie in a record.
    pub(super) at: Range<usize>,
}

/// The layout of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    /// The language driver id.
    pub(super) language: u8,
    /// Number of records that the header declares, and the length of each.
    pub(super) records: u64,
    pub(super) record_bytes: usize,
    /// The fields whose values lie in the record.
    pub(super) fields: Vec<Field>,
    /// Names of all fields, as stored, with their positions in the file.
    pub(super) names: Vec<(usize, Vec<u8>)>,
}

impl Layout {
    /// Where the values of text fields lie. Numbers, dates and logical values are ASCII.
    pub(super) fn text(&self) -> Vec<Range<usize>> {
        let text = self.fields.iter().filter(|field| !b"NFLDT@IOB+".contains(&field.kind));
        text.map(|field| field.at.clone()).collect()
    }
}

/// Reads the header. `None` if it is not one.
fn layout(header: &[u8]) -> Option<Layout> {
    let record_bytes = usize::from(u16::from_le_bytes([*header.get(10)?, *header.get(11)?]));
    let records = u32::from_le_bytes(header.get(4..8)?.try_into().ok()?).into();
    let language = *header.get(29)?;
    let mut layout = Layout { language, records, record_bytes, fields: Vec::new(), names: Vec::new() };
    // The first byte of a record tells whether it is deleted.
    let mut at = 1;
    for (number, field) in header.get(HEADER..)?.chunks_exact(DESCRIPTOR).enumerate() {
        if field[0] == TERMINATOR {
            break;
        }
        let name = field[..11].split(|byte| *byte == 0).next().unwrap_or_default().to_vec();
        layout.names.push((HEADER + number * DESCRIPTOR, name.clone()));
        let end = at + usize::from(field[16]);
        if end <= record_bytes {
            layout.fields.push(Field { name, kind: field[11], decimals: field[17], at: at..end });
        }
        at = end;
    }
    (record_bytes > 0).then_some(layout)
}

pub(super) fn read_layout(file: &mut impl Read) -> io::Result<Layout> {
    let mut header = vec![0; HEADER];
    file.read_exact(&mut header)?;
    let length = usize::from(u16::from_le_bytes([header[8], header[9]])).max(HEADER);
    header.resize(length, 0);
    file.read_exact(&mut header[HEADER..])?;
    layout(&header).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
}

/// Calls `each` with the records that are not deleted, and their numbers from 1. Of records that are
/// `plain` together, none is given.
pub(super) fn records(
    file: &mut impl Read,
    layout: &Layout,
    plain: impl Fn(&[u8]) -> bool,
    mut each: impl FnMut(&[u8], u64),
) -> io::Result<()> {
    let at_once = (1_usize << 18).div_ceil(layout.record_bytes);
    let mut records = vec![0; layout.record_bytes * at_once];
    let mut done = 0;
    loop {
        let length = fill(file, &mut records)?;
        // Bytes after the last record are ignored.
        let left = usize::try_from(layout.records - done).unwrap_or(usize::MAX);
        let whole = (length / layout.record_bytes).min(left);
        if whole == 0 {
            return Ok(());
        }
        let records = &records[..whole * layout.record_bytes];
        if !plain(records) {
            for (record, number) in records.chunks_exact(layout.record_bytes).zip(done + 1..) {
                if record[0] != b'*' {
                    each(record, number);
                }
            }
        }
        done += whole as u64;
    }
}

/// Calls `each` with the values at `fields` that are not ASCII alone, and with the width of the field.
pub(super) fn values(
    file: &mut impl Read,
    layout: &Layout,
    fields: &[Range<usize>],
    each: &mut dyn FnMut(&[u8], usize),
) -> io::Result<()> {
    if fields.is_empty() {
        return Ok(());
    }
    records(file, layout, <[u8]>::is_ascii, |record, _| {
        if record.is_ascii() {
            return;
        }
        for field in fields {
            let value = record[field.clone()].split(|byte| *byte == 0).next().unwrap_or_default();
            let value = value.trim_ascii_end();
            if !value.is_ascii() {
                each(value, field.len());
            }
        }
    })
}

/// Reads until the buffer is full or the file ends.
pub(super) fn fill(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match file.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}
