//! How many entries an archive says it has, read from its last bytes alone.
//!
//! The zip reader takes the whole directory into memory before it tells the
//! number. This looks at the end record first (APPNOTE 4.3.16, and 4.3.14 and
//! 4.3.15 for zip64), so that a directory of a million entries is refused for
//! the price of one read.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// The end record without its comment, and the longest comment.
const RECORD: usize = 22;
const MAX_COMMENT: usize = 0xffff;

/// The number of entries, by the end record that reaches exactly to the end of
/// the file; nothing when there is none. Whether the archive keeps its word is
/// for the reader to find out.
///
/// # Errors
/// The system's.
pub(super) fn entries(file: &File) -> io::Result<Option<u64>> {
    let size = file.metadata()?.len();
    let length = size.min((RECORD + MAX_COMMENT) as u64);
    let start = size - length;
    let mut tail = vec![0; length as usize];
    file.read_exact_at(&mut tail, start)?;
    let Some(at) = find_record(&tail) else { return Ok(None) };
    let count = u64::from(u16_at(&tail, at + 10));
    // 0xffff stands for "see the zip64 record".
    if count == 0xffff
        && let Some(wide) = zip64_entries(file, start + at as u64)?
    {
        return Ok(Some(wide));
    }
    Ok(Some(count))
}

fn find_record(tail: &[u8]) -> Option<usize> {
    let reaches_the_end = |at: usize| at + RECORD + usize::from(u16_at(tail, at + 20)) == tail.len();
    (0..=tail.len().checked_sub(RECORD)?)
        .rev()
        .find(|&at| tail[at..].starts_with(b"PK\x05\x06") && reaches_the_end(at))
}

/// By the zip64 locator just before the end record, and the record that it points to.
fn zip64_entries(file: &File, end_record: u64) -> io::Result<Option<u64>> {
    let Some(at) = end_record.checked_sub(20) else { return Ok(None) };
    let mut locator = [0; 20];
    file.read_exact_at(&mut locator, at)?;
    if !locator.starts_with(b"PK\x06\x07") {
        return Ok(None);
    }
    let mut record = [0; 40];
    match file.read_exact_at(&mut record, u64_at(&locator, 8)) {
        Ok(()) => {}
        Err(error) if error.raw_os_error().is_none() => return Ok(None),
        // An offset beyond what the system can count is no offset.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => return Ok(None),
        Err(error) => return Err(error),
    }
    Ok(record.starts_with(b"PK\x06\x06").then(|| u64_at(&record, 32)))
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..at + 2).map_or(0, |b| u16::from_le_bytes([b[0], b[1]]))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut value = [0; 8];
    if let Some(found) = bytes.get(at..at + 8) {
        value.copy_from_slice(found);
    }
    u64::from_le_bytes(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use zip::write::SimpleFileOptions;

    fn archive(files: usize, comment: &str) -> File {
        let mut writer = zip::ZipWriter::new(tempfile::tempfile().unwrap());
        writer.set_comment(comment).unwrap();
        let options = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
        for n in 0..files {
            writer.start_file(format!("f{n}"), options).unwrap();
        }
        writer.finish().unwrap()
    }

    #[test]
    fn the_count_is_that_of_the_writer() {
        for files in [0, 1, 300] {
            assert_eq!(entries(&archive(files, "")).unwrap(), Some(files as u64));
            assert_eq!(
                entries(&archive(files, "a comment with PK\x05\x06 in it")).unwrap(),
                Some(files as u64)
            );
        }
    }

    #[test]
    fn a_zip64_archive_tells_more_than_two_bytes_hold() {
        assert_eq!(entries(&archive(70_000, "")).unwrap(), Some(70_000));
    }

    #[test]
    fn files_without_a_record_have_no_count() {
        for bytes in [&b""[..], b"PK\x05\x06", &[0; 100], b"PK\x05\x06 and then something that is no comment"]
        {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(bytes).unwrap();
            assert_eq!(entries(&file).unwrap(), None);
        }
    }
}
