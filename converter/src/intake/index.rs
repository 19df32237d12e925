//! The index of a shapefile, made anew where it is missing.
//!
//! Portals and people leave the `.shx` file out. It has no data of its own: the position and the
//! length of each record of the `.shp` file (ESRI Shapefile Technical Description, 1998). GDAL can
//! make it, but only beside the input, where an engine must not write.
//!
//! Refused, by making none, is a `.shp` file that is not whole: GDAL then says that the index is
//! missing.

use crate::workspace::Folder;
use cadmill_core::domain::failure::Failure;
use cadmill_core::domain::ledger::record::FileRole;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt;

/// Length of the header of both files, in bytes.
const HEADER: usize = 100;

/// The file code at the beginning, big-endian.
const CODE: [u8; 4] = 9994_u32.to_be_bytes();

/// Bytes that are written at once.
const PIECE: usize = 64 << 10;

/// Makes the index of a shapefile in `folder`, if it has none. `name` is the path of the `.shp`
/// file. Returns the number of records in it; `None` if there is nothing to make.
///
/// # Errors
/// `infra.*` when the file cannot be made.
pub(crate) fn restore(folder: &Folder, name: &str) -> Result<Option<u64>, Failure> {
    let Some(stem) = name.len().checked_sub(4).and_then(|at| name.split_at_checked(at)) else {
        return Ok(None);
    };
    let (stem, extension) = stem;
    let is_there = |extension: &str| folder.open(format!("{stem}{extension}")).is_ok();
    if !extension.eq_ignore_ascii_case(".shp") || is_there(".shx") || is_there(".SHX") {
        return Ok(None);
    }
    let Ok(shapes) = folder.open(name) else { return Ok(None) };
    // Counted first: the length of the index stands in its header.
    let Some(records) = walk(&shapes, &mut |_, _| Ok(())).ok().flatten() else { return Ok(None) };
    let mut header = [0; HEADER];
    if shapes.read_exact_at(&mut header, 0).is_err() {
        return Ok(None);
    }
    let Ok(words) = u32::try_from((HEADER as u64 + records * 8) / 2) else { return Ok(None) };
    header[24..28].copy_from_slice(&words.to_be_bytes());
    let file = folder.create(&format!("{stem}.shx"), FileRole::Input)?;
    let mut content = file.content();
    let (mut piece, mut offset) = (header.to_vec(), 0);
    let mut write = |piece: &mut Vec<u8>| {
        content.iter_mut().for_each(|content| content.update(piece));
        file.file().write_all_at(piece, offset)?;
        offset += piece.len() as u64;
        piece.clear();
        io::Result::Ok(())
    };
    let written = walk(&shapes, &mut |at, length| {
        piece.extend(at.to_be_bytes());
        piece.extend(length.to_be_bytes());
        if piece.len() >= PIECE { write(&mut piece) } else { Ok(()) }
    });
    written
        .and_then(|_| write(&mut piece))
        .map_err(|e| Failure::in_workspace("writing the index of a shapefile", &e))?;
    file.complete(offset, content);
    Ok(Some(records))
}

/// Calls `each` with the position and the length of each record, in words of 16 bits. Returns their
/// number; `None` if the file is not whole.
fn walk(shapes: &File, each: &mut dyn FnMut(u32, u32) -> io::Result<()>) -> io::Result<Option<u64>> {
    let size = shapes.metadata()?.len();
    let mut header = [0; HEADER];
    shapes.read_exact_at(&mut header, 0)?;
    let declared = u64::from(u32::from_be_bytes([header[24], header[25], header[26], header[27]])) * 2;
    if !header.starts_with(&CODE) || declared > size || declared < HEADER as u64 {
        return Ok(None);
    }
    let mut reader = BufReader::with_capacity(PIECE, Positioned { file: shapes, at: HEADER as u64 });
    let (mut at, mut records) = (HEADER as u64, 0);
    while at < declared {
        let mut record = [0; 8];
        if at + 8 > declared {
            return Ok(None);
        }
        reader.read_exact(&mut record)?;
        let words = u32::from_be_bytes([record[4], record[5], record[6], record[7]]);
        let (content, next) = (u64::from(words) * 2, at + 8 + u64::from(words) * 2);
        let Ok(position) = u32::try_from(at / 2) else { return Ok(None) };
        if next > declared {
            return Ok(None);
        }
        each(position, words)?;
        skip(&mut reader, content)?;
        (at, records) = (next, records + 1);
    }
    Ok(Some(records))
}

fn skip(reader: &mut BufReader<Positioned<'_>>, bytes: u64) -> io::Result<()> {
    let held = reader.buffer().len() as u64;
    if bytes <= held {
        // Not more than the buffer holds.
        std::io::BufRead::consume(reader, bytes as usize);
    } else {
        std::io::BufRead::consume(reader, held as usize);
        reader.get_mut().at += bytes - held;
    }
    Ok(())
}

/// Reads a file from a position, without its cursor.
struct Positioned<'a> {
    file: &'a File,
    at: u64,
}

impl Read for Positioned<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A `.shp` file with records of these lengths in bytes.
    fn shapes(lengths: &[u32]) -> Vec<u8> {
        let mut bytes = CODE.to_vec();
        bytes.resize(HEADER, 0);
        for (number, length) in (1_u32..).zip(lengths) {
            bytes.extend(number.to_be_bytes());
            bytes.extend((length / 2).to_be_bytes());
            bytes.resize(bytes.len() + *length as usize, 7);
        }
        let words = (bytes.len() as u32 / 2).to_be_bytes();
        bytes[24..28].copy_from_slice(&words);
        bytes
    }

    fn restored(bytes: &[u8]) -> (Option<u64>, Option<Vec<u8>>) {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("a.shp"), bytes).unwrap();
        let folder = Folder::unrecorded(directory.path()).unwrap();
        let records = restore(&folder, "a.shp").unwrap();
        (records, std::fs::read(directory.path().join("a.shx")).ok())
    }

    #[test]
    fn an_index_has_the_position_and_length_of_each_record() {
        let (records, index) = restored(&shapes(&[20, 200_000, 4]));
        let index = index.unwrap();
        assert_eq!((records, index.len()), (Some(3), HEADER + 24));
        assert_eq!(index[24..28], (62_u32).to_be_bytes());
        let numbers: Vec<u32> =
            index[HEADER..].chunks_exact(4).map(|n| u32::from_be_bytes(n.try_into().unwrap())).collect();
        assert_eq!(numbers, [50, 10, 64, 100_000, 100_068, 2]);
        assert_eq!(restored(&shapes(&[])).0, Some(0));
        let many = vec![20; 20_000];
        assert_eq!(restored(&shapes(&many)).1.unwrap().len(), HEADER + 8 * 20_000);
    }

    #[test]
    fn a_file_that_is_not_whole_gets_none() {
        let whole = shapes(&[20, 20]);
        for bytes in [&whole[..whole.len() - 2], &whole[..HEADER + 3], &whole[..50], b"", &[0; 200]] {
            assert_eq!(restored(bytes), (None, None));
        }
    }
}
