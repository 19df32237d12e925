//! Local archives by reads of any length. What comes from a store is tested on a real
//! server: converter/tests/intake/.

use super::local::{ReadAt, expand, plan_of};
use super::*;
use cadmill_core::domain::failure::FailureCode;
use cadmill_core::domain::limits::ArchiveLimits;
use std::io::{self, Cursor, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use zip::write::SimpleFileOptions;

/// A file in memory whose reads give so many bytes at most, after one that is interrupted.
struct Short {
    bytes: Vec<u8>,
    most: usize,
    reads: AtomicU64,
}

impl Short {
    fn new(bytes: Vec<u8>, most: usize) -> Self {
        Self { bytes, most, reads: AtomicU64::new(0) }
    }
}

impl ReadAt for Short {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        if self.reads.fetch_add(1, Ordering::Relaxed).is_multiple_of(100) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let rest = &self.bytes[self.bytes.len().min(usize::try_from(offset).unwrap())..];
        let length = rest.len().min(buffer.len()).min(self.most);
        buffer[..length].copy_from_slice(&rest[..length]);
        Ok(length)
    }
}

fn content(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|i| (i / 3 % 251) as u8).collect()
}

fn archive(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in files {
        if name.ends_with('/') {
            writer.add_directory(*name, SimpleFileOptions::default()).unwrap();
        } else {
            writer.start_file(*name, SimpleFileOptions::default()).unwrap();
            writer.write_all(content).unwrap();
        }
    }
    writer.finish().unwrap().into_inner()
}

fn unpack(file: &Short) -> Result<tempfile::TempDir, Failure> {
    let plan = plan_of(file, file.bytes.len() as u64, &ArchiveLimits::default())?.expect("an archive");
    let directory = tempfile::tempdir().unwrap();
    let mut told = 0.0;
    let progress = &mut |fraction| told = fraction;
    let folder = Folder::unrecorded(directory.path()).unwrap();
    expand(file, &pieces(&plan), &folder, &AtomicBool::new(false), progress)?;
    assert!(told > 0.99, "{told}");
    Ok(directory)
}

#[test]
fn reads_of_any_length_give_the_same_files() {
    // Sizes around those of chunks and of the writing thread's queue.
    let sizes = [0, 1, write::CHUNK - 1, write::CHUNK, write::CHUNK + 1, write::CHUNK * 40 + 7];
    let names: Vec<String> = sizes.iter().map(|size| format!("d/{size}")).collect();
    let mut files: Vec<(&str, Vec<u8>)> =
        names.iter().zip(sizes).map(|(name, size)| (name.as_str(), content(size))).collect();
    files.push(("e/", Vec::new()));
    let bytes = archive(&files);
    for most in [1, 2, 1000, usize::MAX] {
        let directory = unpack(&Short::new(bytes.clone(), most)).unwrap();
        for (name, content) in &files[..sizes.len()] {
            assert!(
                std::fs::read(directory.path().join(name)).unwrap() == *content,
                "{name}, reads of {most}"
            );
        }
        assert!(directory.path().join("e").is_dir());
    }
}

#[test]
fn a_file_that_becomes_shorter_is_another() {
    let mut file = Short::new(archive(&[("a", content(100_000))]), usize::MAX);
    let size = file.bytes.len() as u64;
    file.bytes.truncate(50);
    let failure = plan_of(&file, size, &ArchiveLimits::default()).map(drop).unwrap_err();
    assert_eq!(failure.code, FailureCode::InputReplaced);
}

#[test]
fn a_small_buffer_has_small_parts() {
    for (buffer, part, parts) in
        [(48 << 20, 8 << 20, 6), (100 << 20, 8 << 20, 12), (3 << 20, 1 << 20, 3), (0, 1, 3)]
    {
        let flow = Flow::with_buffer(buffer);
        assert_eq!((flow.part_bytes, flow.parts()), (part, parts));
    }
    assert_eq!(Flow::default(), Flow::with_buffer(Flow::BUFFER_BYTES));
}

#[test]
fn the_default_of_the_configuration_is_that_of_the_flow() {
    assert_eq!(cadmill_core::domain::limits::parse_size("48M"), Ok(Flow::BUFFER_BYTES));
}
