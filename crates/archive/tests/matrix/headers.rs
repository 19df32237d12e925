//! Whether an archive is what its cell says: else a test that reads it would say nothing.

use crate::cell::{Cell, Method, Output, Zip64};
use crate::member;
use std::collections::BTreeSet;

const CENTRAL: &[u8] = b"PK\x01\x02";
const END: &[u8] = b"PK\x05\x06";
const END64: &[u8] = b"PK\x06\x06";
const DEFLATE: u16 = 8;
const HAS_DESCRIPTOR: u16 = 8;
/// Header id of the zip64 field.
const FIELD64: u16 = 1;

struct Header<'a> {
    flags: u16,
    method: u16,
    name: &'a [u8],
    extra: &'a [u8],
    /// Extra fields of the local header, unless its place is in the zip64 field.
    local_extra: &'a [u8],
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes[at..at + 2].try_into().unwrap())
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn last(bytes: &[u8], signature: &[u8]) -> Option<usize> {
    bytes.windows(4).rposition(|four| four == signature)
}

/// The headers of the central directory, which lies before the end records.
fn headers(bytes: &[u8]) -> Vec<Header<'_>> {
    let eocd = last(bytes, END).expect("an end record");
    let size = u32_at(bytes, eocd + 12);
    let record = last(bytes, END64);
    let size = match (size, record) {
        (u32::MAX, Some(record)) => u64::from_le_bytes(bytes[record + 40..record + 48].try_into().unwrap()),
        (size, _) => size.into(),
    };
    let end = record.unwrap_or(eocd);
    let mut rest = &bytes[end - size as usize..end];
    let mut found = Vec::new();
    while !rest.is_empty() {
        assert!(rest.starts_with(CENTRAL));
        let [name, extra, comment] = [28, 30, 32].map(|at| usize::from(u16_at(rest, at)));
        found.push(Header {
            flags: u16_at(rest, 8),
            method: u16_at(rest, 10),
            name: &rest[46..46 + name],
            extra: &rest[46 + name..46 + name + extra],
            local_extra: local_extra(bytes, u32_at(rest, 42)),
        });
        rest = &rest[46 + name + extra + comment..];
    }
    found
}

fn local_extra(bytes: &[u8], at: u32) -> &[u8] {
    if at == u32::MAX {
        return &[];
    }
    let header = &bytes[at as usize..];
    let [name, extra] = [26, 28].map(|at| usize::from(u16_at(header, at)));
    &header[30 + name..30 + name + extra]
}

fn has_field64(mut extra: &[u8]) -> bool {
    while !extra.is_empty() {
        if u16_at(extra, 0) == FIELD64 {
            return true;
        }
        extra = &extra[4 + usize::from(u16_at(extra, 2))..];
    }
    false
}

/// Whether the archive has the method, the names, the zip64 and the descriptors of its cell; else what
/// it lacks.
pub(crate) fn check(cell: Cell, bytes: &[u8]) -> Result<(), String> {
    let headers = headers(bytes);
    let deflates = headers.iter().any(|h| h.method == DEFLATE);
    if deflates != (cell.method == Method::Deflate) {
        return Err("the method is another".to_owned());
    }
    let names: BTreeSet<&[u8]> = headers.iter().map(|h| h.name).collect();
    for member in member::members() {
        if !names.contains(member.bytes(cell.names)) {
            return Err(format!("no {}: {:x?}", member.name(cell.names), names));
        }
    }
    let wide = |h: &Header<'_>| has_field64(h.extra) || has_field64(h.local_extra);
    if cell.zip64 == Zip64::Always && last(bytes, END64).is_none() && !headers.iter().any(wide) {
        return Err("no zip64".to_owned());
    }
    let streams = || headers.iter().any(|h| h.flags & HAS_DESCRIPTOR != 0);
    if cell.method == Method::Deflate && cell.output == Output::Stream && !streams() {
        return Err("no descriptor".to_owned());
    }
    Ok(())
}
