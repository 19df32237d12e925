//! Local archives, with reads of any length. Objects of a store are tested on a real server, in
//! converter/tests/intake/.

use super::local::{ReadAt, expand, plan_of};
use super::*;
use cadmill_core::domain::failure::FailureCode;
use cadmill_core::domain::limits::ArchiveLimits;
use std::io::{self, Cursor, Write};
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicU64, Ordering};
use zip::write::SimpleFileOptions;

/// A file in memory whose reads return at most this many bytes, after one interrupted read.
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
fn input_files_are_read_only_and_their_directories_private() {
    let file = Short::new(archive(&[("d/", Vec::new()), ("d/e/a.obj", content(10))]), usize::MAX);
    let directory = unpack(&file).unwrap();
    let mode =
        |name: &str| std::fs::metadata(directory.path().join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("d/e/a.obj"), mode("d/e"), mode("d")), (0o400, 0o700, 0o700));
}

#[test]
fn cancelling_stops_the_expansion() {
    let file = Short::new(archive(&[("a.obj", content(1 << 20))]), usize::MAX);
    let plan = plan_of(&file, file.bytes.len() as u64, &ArchiveLimits::default()).unwrap().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let folder = Folder::unrecorded(directory.path()).unwrap();
    // It may finish before the cancellation is seen, but must not fail in another way.
    match expand(&file, &pieces(&plan), &folder, &AtomicBool::new(true), &mut |_| {}) {
        Ok(()) => assert!(directory.path().join("a.obj").exists()),
        Err(failure) => assert_eq!(failure.code, FailureCode::Cancelled),
    }
}

#[test]
fn only_archives_are_archives() {
    let plan = |bytes: &[u8]| {
        let file = Short::new(bytes.to_vec(), usize::MAX);
        plan_of(&file, bytes.len() as u64, &ArchiveLimits::default()).map(|plan| plan.is_some())
    };
    assert!(plan(&archive(&[("a", b"b".to_vec())])).unwrap());
    assert_eq!(plan(&archive(&[])).unwrap_err().code, FailureCode::ArchiveEmpty);
    assert!(!plan(b"PK\x03").unwrap());
    assert!(!plan(b"# obj file").unwrap());
}

#[test]
fn reads_of_any_length_give_the_same_files() {
    // Sizes around those of chunks and of the writing thread's queue.
    let sizes = [
        0,
        1,
        file_writer::CHUNK - 1,
        file_writer::CHUNK,
        file_writer::CHUNK + 1,
        file_writer::CHUNK * 40 + 7,
    ];
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
        let flow = DownloadConfig::with_buffer(buffer);
        assert_eq!((flow.part_bytes, flow.parts()), (part, parts));
    }
    assert_eq!(DownloadConfig::default(), DownloadConfig::with_buffer(DownloadConfig::BUFFER_BYTES));
}

#[test]
fn the_default_of_the_configuration_is_that_of_the_flow() {
    assert_eq!(cadmill_core::domain::limits::parse_size("48M"), Ok(DownloadConfig::BUFFER_BYTES));
}
