//! Destroys a file in memory: its bytes are overwritten with zeros and read back, and it is unlinked
//! after that. A process that dies in between leaves a file, which the next start destroys.
//!
//! A download that runs has locked the file (`flock`). It is not to read zeros: the file is unlinked at
//! once then, and overwritten when the last reader has closed it.

use rustix::fs::{FlockOperation, OFlags};
use rustix::io::Errno;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

/// Bytes written and read back at once: two chunks fit in the CPU cache.
const CHUNK: usize = 128 << 10;

static ZEROS: [u8; CHUNK] = [0; CHUNK];

/// How often a file that is read is looked at.
const PAUSE: Duration = Duration::from_millis(200);

/// What became of a file.
#[derive(Debug)]
pub(super) enum Destroyed {
    /// Nothing of it is left.
    Done,
    /// It has no name any more, and is overwritten once its readers have closed it.
    Read(File),
}

/// Destroys a file. Blocks.
///
/// # Errors
/// Those of the operating system, [`io::ErrorKind::NotFound`] among them. A file that could not be
/// overwritten keeps its name, so that it can be tried again.
pub(super) fn destroy(path: &Path) -> io::Result<Destroyed> {
    // Not what a link points to, and no pipe, which would block.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).unwrap_or_default();
    let file = fs::OpenOptions::new().read(true).write(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    if !lock(&file)? {
        fs::remove_file(path)?;
        return Ok(Destroyed::Read(file));
    }
    overwrite(&file)?;
    fs::remove_file(path)?;
    Ok(Destroyed::Done)
}

/// Overwrites a file without a name when the last reader has closed it.
///
/// # Errors
/// Those of the operating system.
pub(super) async fn when_closed(file: File) -> io::Result<()> {
    while !lock(&file)? {
        tokio::time::sleep(PAUSE).await;
    }
    let overwritten = tokio::task::spawn_blocking(move || overwrite(&file)).await;
    overwritten.unwrap_or_else(|_| Err(io::Error::other("internal error")))
}

/// Locks the file for reading: it is not overwritten until it is closed.
///
/// # Errors
/// [`io::ErrorKind::NotFound`] if it is being destroyed, or was after it was opened.
pub(super) fn lock_for_reading(file: &impl AsFd) -> io::Result<()> {
    match rustix::fs::flock(file, FlockOperation::NonBlockingLockShared) {
        Err(Errno::WOULDBLOCK) => return Err(io::ErrorKind::NotFound.into()),
        locked => locked?,
    }
    match rustix::fs::fstat(file)?.st_nlink {
        0 => Err(io::ErrorKind::NotFound.into()),
        _ => Ok(()),
    }
}

/// Whether no one reads the file, and no one will.
fn lock(file: &File) -> io::Result<bool> {
    match rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => Ok(false),
        locked => Ok(locked.map(|()| true)?),
    }
}

fn overwrite(file: &File) -> io::Result<()> {
    let end = file.metadata()?.len();
    let mut read = vec![0xff; usize::try_from(end).unwrap_or(CHUNK).min(CHUNK)];
    let mut start = 0;
    while start < end {
        let length = usize::try_from(end - start).unwrap_or(CHUNK).min(CHUNK);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn in_memory(size: usize) -> (tempfile::TempDir, std::path::PathBuf) {
        let directory = tempfile::tempdir_in("/dev/shm").unwrap();
        let path = directory.path().join("file");
        fs::write(&path, vec![7; size]).unwrap();
        (directory, path)
    }

    /// The content of a file through a descriptor that was opened before.
    fn content(file: &File) -> Vec<u8> {
        let mut content = vec![1; usize::try_from(file.metadata().unwrap().len()).unwrap()];
        file.read_exact_at(&mut content, 0).unwrap();
        content
    }

    #[test]
    fn every_byte_becomes_zero_before_the_name_goes() {
        for size in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 5] {
            let (_directory, path) = in_memory(size);
            let seen = File::open(&path).unwrap();
            assert!(matches!(destroy(&path).unwrap(), Destroyed::Done));
            assert!(!path.exists() && content(&seen) == vec![0; size], "{size}");
        }
        let (_directory, path) = in_memory(1);
        assert_eq!(destroy(&path.with_file_name("none")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[tokio::test]
    async fn a_reader_reads_to_its_end_and_then_it_is_overwritten() {
        let (_directory, path) = in_memory(3 * CHUNK);
        let (reader, seen) = (File::open(&path).unwrap(), File::open(&path).unwrap());
        lock_for_reading(&reader).unwrap();
        let Destroyed::Read(file) = destroy(&path).unwrap() else { panic!("a reader is not waited for") };
        assert!(!path.exists());
        let waiting = tokio::spawn(when_closed(file));
        tokio::time::sleep(PAUSE * 3).await;
        assert!(content(&reader) == vec![7; 3 * CHUNK] && !waiting.is_finished());
        drop(reader);
        waiting.await.unwrap().unwrap();
        assert!(content(&seen) == vec![0; 3 * CHUNK]);
    }

    /// The reader has opened it before it was destroyed, and reads after that.
    #[test]
    fn what_was_destroyed_is_not_there_for_a_reader() {
        let (_directory, path) = in_memory(10);
        let reader = File::open(&path).unwrap();
        assert!(matches!(destroy(&path).unwrap(), Destroyed::Done));
        assert_eq!(lock_for_reading(&reader).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn what_a_link_points_to_is_not_overwritten() {
        let (_directory, path) = in_memory(10);
        let link = path.with_file_name("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(destroy(&link).is_err());
        assert_eq!(fs::read(&path).unwrap(), [7; 10]);
    }

    #[test]
    fn what_is_being_destroyed_is_not_there_for_a_reader() {
        let (_directory, path) = in_memory(10);
        let (destroyer, reader) = (File::open(&path).unwrap(), File::open(&path).unwrap());
        assert!(lock(&destroyer).unwrap());
        assert_eq!(lock_for_reading(&reader).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
