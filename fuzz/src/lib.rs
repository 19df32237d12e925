//! The archive reader alone, with limits for fuzzing, and the mutator.

#[path = "../../tests/fixtures/archives/mod.rs"]
pub mod fixtures;

pub mod model;

use cadmill_archive::{Decoder, Entry, CentralDirectoryReader, Plan, Step};
use cadmill_core::domain::failure::Failure;
use cadmill_core::domain::limits::ArchiveLimits;

/// Small limits, for speed.
pub fn limits() -> ArchiveLimits {
    ArchiveLimits {
        entries: 64,
        expanded_bytes: 1 << 20,
        ratio_exempt_bytes: 64 << 10,
        ..ArchiveLimits::default()
    }
}

/// Returns name and content of every entry; reads and writes `piece` bytes at a time.
pub fn read(bytes: &[u8], piece: usize) -> Result<Vec<(String, Vec<u8>)>, Failure> {
    let mut opening = CentralDirectoryReader::new(bytes.len() as u64, &limits())?;
    while let Some(wanted) = opening.wants() {
        let wanted = &bytes[wanted.start as usize..wanted.end as usize];
        opening.feed(&wanted[..piece.min(wanted.len())])?;
    }
    let plan = opening.finish()?;
    judge_plan(&plan);
    let mut entries = Vec::new();
    for entry in plan.entries() {
        let content = content(bytes, entry, piece)?;
        if !entry.is_root() {
            entries.push((entry.name().to_owned(), content));
        }
    }
    Ok(entries)
}

/// Checks the guarantees of a plan.
fn judge_plan(plan: &Plan) {
    let mut at = 0;
    for entry in plan.entries() {
        assert_eq!(entry.segment().start, at, "the segments tile the file");
        at = entry.segment().end;
        if entry.is_root() {
            assert!(entry.is_directory() && entry.name().is_empty());
            continue;
        }
        let name = entry.name().strip_suffix('/').unwrap_or(entry.name());
        assert!(name.split('/').all(|p| !p.is_empty() && p != "." && p != ".."), "{name:?}");
        assert!(!name.contains(['\\', '\0']), "{name:?}");
    }
    assert_eq!(at, plan.body().end);
    assert!(plan.expanded_bytes() <= limits().expanded_bytes);
}

fn content(bytes: &[u8], entry: &Entry, piece: usize) -> Result<Vec<u8>, Failure> {
    let segment = &bytes[entry.segment().start as usize..entry.segment().end as usize];
    let mut decoder = Decoder::new(entry);
    let mut content = Vec::new();
    let mut output = vec![0; piece.min(1 << 16)];
    for mut input in segment.chunks(piece) {
        loop {
            let step = decoder.step(input, &mut output)?;
            input = &input[step.consumed..];
            content.extend(&output[..step.produced]);
            assert!(content.len() as u64 <= entry.expanded_bytes(), "no more than declared");
            if step == Step::default() {
                break;
            }
        }
        assert!(input.is_empty(), "the decoder takes all input");
    }
    decoder.finish()?;
    assert_eq!(content.len() as u64, entry.expanded_bytes());
    Ok(content)
}
