//! MapInfo tables that refer to other tables by name.
//!
//! A seamless table contains table names in its rows, a view in its text. GDAL resolves them
//! relative to the table's directory, but allows path traversal with `..`.

use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Larger than the text of any real table.
const MAX_TEXT: u64 = 1 << 20;

/// Whether a table refers to tables outside of its directory.
pub(super) fn leads_outside(input: &Path) -> bool {
    let Some(text) = text(input) else { return false };
    let text = String::from_utf8_lossy(&text).to_ascii_lowercase();
    if !text.trim_start_matches('\u{feff}').trim_start().starts_with("!table") {
        return false;
    }
    let is_view = text.contains("open table");
    (is_view && text.lines().any(|line| line.contains("open table") && leads_up(line.as_bytes())))
        || (text.contains("isseamless") && rows_lead_up(input))
}

fn text(input: &Path) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    File::open(input).ok()?.take(MAX_TEXT).read_to_end(&mut text).ok()?;
    Some(text)
}

/// Whether a row of the table contains such a name. The rows are in a file with the same stem
/// beside it; the case of its extension varies.
fn rows_lead_up(input: &Path) -> bool {
    let (Some(directory), Some(stem)) = (input.parent(), input.file_stem()) else { return true };
    let Ok(entries) = std::fs::read_dir(directory) else { return true };
    let is_rows = |path: &Path| {
        let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
        path.file_stem().is_some_and(|other| other.eq_ignore_ascii_case(stem))
            && (extension == "dat" || extension == "dbf")
    };
    entries.flatten().map(|entry| entry.path()).filter(|path| is_rows(path)).any(|path| file_leads_up(&path))
}

/// Searches a file for `../` or `..\`, in chunks; an unreadable file counts as a match.
fn file_leads_up(path: &Path) -> bool {
    let Ok(mut file) = File::open(path) else { return true };
    let mut piece = vec![0; 64 << 10];
    let mut kept = 0;
    loop {
        match file.read(&mut piece[kept..]) {
            Ok(0) => return false,
            Ok(length) => {
                let held = kept + length;
                if leads_up(&piece[..held]) {
                    return true;
                }
                // A name may span two chunks.
                kept = held.min(2);
                piece.copy_within(held - kept..held, 0);
            }
            Err(_) => return true,
        }
    }
}

fn leads_up(bytes: &[u8]) -> bool {
    bytes.windows(3).any(|window| window == b"../" || window == b"..\\")
}

#[cfg(test)]
mod tests {
    use super::leads_outside;

    #[test]
    fn names_that_lead_up_are_found() {
        let directory = tempfile::tempdir().unwrap();
        let table = directory.path().join("a.TAB");
        let seamless = "!table\n!version 300\nbegin_metadata\n\"\\IsSeamless\" = \"TRUE\"\nend_metadata\n";
        std::fs::write(&table, seamless).unwrap();
        for (rows, outside) in [
            (b"  part1.tab   ".to_vec(), false),
            (b" x../y/part1.tab ".to_vec(), true),
            ([vec![b' '; (64 << 10) - 1], b"..\\x.tab".to_vec()].concat(), true),
            ([vec![b' '; (64 << 10) - 2], b"../x.tab".to_vec()].concat(), true),
            (vec![b'.'; 200_000], false),
        ] {
            std::fs::write(directory.path().join("A.dat"), &rows).unwrap();
            std::fs::rename(directory.path().join("A.dat"), directory.path().join("a.Dat")).unwrap();
            assert_eq!(leads_outside(&table), outside, "{} bytes", rows.len());
        }
        std::fs::write(&table, "!table\nopen table \"../x\" hide\ncreate view v as select * from x, y")
            .unwrap();
        assert!(leads_outside(&table));
        std::fs::write(&table, "!table\nopen table \"x\" hide\n").unwrap();
        assert!(!leads_outside(&table));
        assert!(!leads_outside(directory.path()) && !leads_outside(&directory.path().join("none")));
    }
}
