//! Giving up plaintext before the end of the job: files that are not needed any more,
//! and ranges of a file that lie in the store by now.
//!
//! All of it goes through here, so that whatever must happen to bytes before their
//! memory is given back is done in one place. Today that is nothing: tmpfs gives the
//! pages back to the kernel, which clears them before anyone else gets them.

use rustix::fs::FallocateFlags;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::Path;

/// Gives the memory of a range of the file back; it reads as zeros then. The file keeps
/// its size. Where the file system cannot, the bytes stay until the file goes.
///
/// # Errors
/// The system's.
pub(crate) fn range(file: &File, range: Range<u64>) -> io::Result<()> {
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    if range.is_empty() {
        return Ok(());
    }
    match rustix::fs::fallocate(file, flags, range.start, range.end - range.start) {
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => Ok(()),
        result => Ok(result?),
    }
}

/// Removes one file.
///
/// # Errors
/// The system's.
pub(crate) fn file(path: &Path) -> io::Result<()> {
    std::fs::remove_file(path)
}

/// Removes a directory with all that is in it.
///
/// # Errors
/// The system's.
pub(crate) fn directory(path: &Path) -> io::Result<()> {
    std::fs::remove_dir_all(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn a_range_takes_no_memory_any_more() {
        let path = tempfile::Builder::new().tempfile_in("/dev/shm").unwrap().into_temp_path();
        std::fs::write(&path, vec![7; 1 << 20]).unwrap();
        let file = File::options().write(true).open(&path).unwrap();
        let before = file.metadata().unwrap().blocks();
        range(&file, 0..1 << 19).unwrap();
        range(&file, 5..5).unwrap();
        let after = file.metadata().unwrap();
        assert_eq!((after.len(), after.blocks()), (1 << 20, before / 2));
        let content = std::fs::read(&path).unwrap();
        assert!(content[..1 << 19].iter().all(|&b| b == 0) && content[1 << 19..].iter().all(|&b| b == 7));
    }
}
