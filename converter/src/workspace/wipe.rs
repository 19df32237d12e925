//! Overwrites the bytes of a file with zeros. Each chunk is read back while it is still in the CPU
//! cache.
//!
//! Only ranges that hold data are written. A range that was never written, or was deallocated after
//! it was overwritten, occupies no memory, and writing there would allocate some. The caller
//! distributes files among threads, and decides which file is split.

use rustix::fs::SeekFrom;
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes written and read back at once: two chunks fit in the CPU cache.
const CHUNK: usize = 128 << 10;

/// Bytes of a file that a thread takes at a time.
const PIECE: u64 = 16 << 20;

/// Maximum number of threads: they share the memory bus.
const MAX_THREADS: usize = 4;

/// Files up to this size are not worth splitting among threads.
pub(super) const LARGE: u64 = 2 * PIECE;

static ZEROS: [u8; CHUNK] = [0; CHUNK];

/// The result of overwriting a file.
#[derive(Debug)]
pub(super) struct Overwritten {
    /// The size of the file. Unless there is an error, all data in it was overwritten.
    pub(super) bytes: u64,
    /// Why the file may not be overwritten completely.
    pub(super) error: Option<io::Error>,
}

/// Overwrites all data of the file, with several threads if `split` is set.
pub(super) fn file(file: &File, split: bool) -> Overwritten {
    let bytes = match file.metadata() {
        Ok(metadata) => metadata.len(),
        Err(error) => return Overwritten { bytes: 0, error: Some(error) },
    };
    let done = data_of(file, 0..bytes).and_then(|data| pieces(file, &data, split));
    Overwritten { bytes, error: done.err() }
}

/// Overwrites the data of a range, on this thread.
///
/// # Errors
/// The system's error; [`io::ErrorKind::InvalidData`] if different bytes are read back.
pub(super) fn range(file: &File, range: Range<u64>) -> io::Result<()> {
    pieces(file, &data_of(file, range)?, false)
}

/// Number of threads that overwrite at once.
pub(super) fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS)
}

/// Runs the work of each index below `count` on a suitable number of threads; on the calling thread
/// if that is one.
pub(super) fn in_parallel(count: usize, work: &(dyn Fn(usize) + Sync)) {
    let next = AtomicUsize::new(0);
    let take = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= count {
                return;
            }
            work(index);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads().min(count) {
            // If a thread cannot be started, the others do its work.
            let _ = std::thread::Builder::new().name("wipe".to_owned()).spawn_scoped(scope, take);
        }
        take();
    });
}

fn pieces(file: &File, data: &[Range<u64>], parallel: bool) -> io::Result<()> {
    if !parallel {
        return data.iter().try_for_each(|range| pass(file, range.clone()));
    }
    let pieces: Vec<Range<u64>> = data
        .iter()
        .flat_map(|range| {
            let end = range.end;
            let step = usize::try_from(PIECE).unwrap_or(usize::MAX);
            range.clone().step_by(step).map(move |start| start..end.min(start + PIECE))
        })
        .collect();
    let failed = std::sync::Mutex::new(None);
    in_parallel(pieces.len(), &|index| {
        if let Err(error) = pass(file, pieces[index].clone()) {
            failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get_or_insert(error);
        }
    });
    let failed = failed.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    failed.map_or(Ok(()), Err)
}

fn pass(file: &File, range: Range<u64>) -> io::Result<()> {
    let chunk = |start: u64| usize::try_from(range.end - start).unwrap_or(CHUNK).min(CHUNK);
    // As small as possible: it is filled here, and cleared when it is freed.
    let mut read = vec![0xff; chunk(range.start)];
    let mut start = range.start;
    while start < range.end {
        let length = chunk(start);
        file.write_all_at(&ZEROS[..length], start)?;
        let read = &mut read[..length];
        file.read_exact_at(read, start)?;
        if *read != ZEROS[..length] {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "other bytes were read back"));
        }
        start += length as u64;
    }
    Ok(())
}

/// The parts of a range that hold data; the whole range if the file system does not report them.
fn data_of(file: &File, within: Range<u64>) -> io::Result<Vec<Range<u64>>> {
    let mut found = Vec::new();
    let mut at = within.start;
    while at < within.end {
        let start = match rustix::fs::seek(file, SeekFrom::Data(at)) {
            Ok(start) => start,
            // There is no data beyond this offset.
            Err(Errno::NXIO) => break,
            Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok(vec![within]),
            Err(error) => return Err(error.into()),
        };
        if start >= within.end {
            break;
        }
        let end = rustix::fs::seek(file, SeekFrom::Hole(start))?.min(within.end);
        found.push(start..end);
        at = end;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    fn in_memory() -> File {
        tempfile::tempfile_in("/dev/shm").unwrap()
    }

    fn is_zero(file: &File) -> bool {
        let mut content = vec![1; usize::try_from(file.metadata().unwrap().len()).unwrap()];
        file.read_exact_at(&mut content, 0).unwrap();
        content.iter().all(|&byte| byte == 0)
    }

    #[test]
    fn every_byte_becomes_zero_whatever_the_size() {
        let sizes = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, PIECE as usize * 3 + 5];
        for (size, split) in sizes.into_iter().flat_map(|size| [(size, false), (size, true)]) {
            let target = in_memory();
            target.write_all_at(&vec![7; size], 0).unwrap();
            let done = file(&target, split);
            assert!(done.error.is_none() && done.bytes == size as u64, "{done:?}");
            assert!(is_zero(&target), "{size}");
        }
    }

    #[test]
    fn holes_stay_holes() {
        let target = in_memory();
        target.write_all_at(&[7; 5000], 0).unwrap();
        target.write_all_at(&[7; 5000], 1 << 30).unwrap();
        target.set_len(1 << 40).unwrap();
        let before = target.metadata().unwrap().blocks();
        let done = file(&target, false);
        assert!(done.error.is_none() && done.bytes == 1 << 40, "{done:?}");
        assert_eq!(target.metadata().unwrap().blocks(), before);
        let mut content = [1; 5000];
        for place in [0, 1 << 30] {
            target.read_exact_at(&mut content, place).unwrap();
            assert!(content.iter().all(|&byte| byte == 0));
        }
    }

    #[test]
    fn a_range_leaves_the_rest() {
        let target = in_memory();
        target.write_all_at(&vec![7; 3 * CHUNK], 0).unwrap();
        range(&target, 10..(2 * CHUNK) as u64).unwrap();
        let mut content = vec![1; 3 * CHUNK];
        target.read_exact_at(&mut content, 0).unwrap();
        assert!(content[..10].iter().chain(&content[2 * CHUNK..]).all(|&byte| byte == 7));
        assert!(content[10..2 * CHUNK].iter().all(|&byte| byte == 0));
    }

    #[test]
    fn what_cannot_be_written_is_told() {
        let path = tempfile::NamedTempFile::new_in("/dev/shm").unwrap();
        path.as_file().write_all_at(&[7; 10], 0).unwrap();
        let read_only = File::open(path.path()).unwrap();
        assert!(file(&read_only, false).error.is_some());
    }
}
