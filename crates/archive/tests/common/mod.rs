//! Reading of whole archives, in large pieces and byte by byte.

use cadmill_archive::{CentralDirectoryReader, Decoder, Plan, Step};
use cadmill_core::domain::failure::Failure;
use cadmill_core::domain::limits::ArchiveLimits;
use std::collections::BTreeMap;

/// Name and content of each file.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

pub(crate) fn plan_of(bytes: &[u8], piece: usize) -> Result<Plan, Failure> {
    let mut opening = CentralDirectoryReader::new(bytes.len() as u64, &ArchiveLimits::default())?;
    while let Some(wanted) = opening.wants() {
        let end = wanted.end.min(wanted.start + piece as u64);
        opening.feed(&bytes[wanted.start as usize..end as usize])?;
    }
    opening.finish()
}

/// The files, read with input and output pieces of this size.
pub(crate) fn read_by(piece: usize, bytes: &[u8]) -> Result<Files, Failure> {
    let mut found = Files::new();
    let mut output = vec![0; piece];
    for entry in plan_of(bytes, piece)?.entries() {
        let mut decoder = Decoder::new(entry);
        let mut content = Vec::new();
        for mut input in bytes[entry.segment().start as usize..entry.segment().end as usize].chunks(piece) {
            loop {
                let step = decoder.step(input, &mut output)?;
                input = &input[step.consumed..];
                content.extend(&output[..step.produced]);
                if step == Step::default() {
                    break;
                }
            }
        }
        decoder.finish()?;
        if !entry.is_directory() {
            found.insert(entry.name().to_owned(), content);
        }
    }
    Ok(found)
}

/// The files, read in large pieces.
pub(crate) fn unpacked(bytes: &[u8]) -> Result<Files, Failure> {
    read_by(256 << 10, bytes)
}
