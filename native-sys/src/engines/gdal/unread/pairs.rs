//! The lines of a drawing, in pairs: a group code and its value.

use std::io::{self, BufRead};

/// Bytes that are kept of a line. Names and types are shorter; the rest of a longer line is skipped.
const KEPT: usize = 1024;

/// Reads pairs.
pub(super) struct Pairs<R> {
    file: R,
    line: Vec<u8>,
    /// Whether the last line ended with a carriage return: a line feed after it belongs to it.
    after_return: bool,
}

impl<R: BufRead> Pairs<R> {
    pub(super) fn new(file: R) -> Self {
        Self { file, line: Vec::with_capacity(KEPT), after_return: false }
    }

    /// The next pair. `None` at the end of the file, and where a group code should be and is none:
    /// what follows is no drawing.
    pub(super) fn next(&mut self) -> io::Result<Option<(u32, &[u8])>> {
        if !self.read_line()? {
            return Ok(None);
        }
        let code = std::str::from_utf8(self.line.trim_ascii()).ok().and_then(|text| text.parse::<i32>().ok());
        let Some(code) = code else { return Ok(None) };
        // Negative codes are in files of the program's own only.
        let code = u32::try_from(code).unwrap_or(u32::MAX);
        Ok(self.read_line()?.then_some((code, self.line.as_slice())))
    }

    /// Reads a line without its end, which is a line feed, a carriage return, or both. Returns whether
    /// there is one.
    fn read_line(&mut self) -> io::Result<bool> {
        self.line.clear();
        let mut is_line = false;
        loop {
            let buffer = self.file.fill_buf()?;
            if buffer.is_empty() {
                return Ok(is_line);
            }
            if self.after_return {
                self.after_return = false;
                if buffer[0] == b'\n' {
                    self.file.consume(1);
                    continue;
                }
            }
            is_line = true;
            let end = buffer.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            let text = &buffer[..end.unwrap_or(buffer.len())];
            let room = KEPT.saturating_sub(self.line.len());
            self.line.extend_from_slice(&text[..text.len().min(room)]);
            let Some(end) = end else {
                let length = buffer.len();
                self.file.consume(length);
                continue;
            };
            self.after_return = buffer[end] == b'\r';
            self.file.consume(end + 1);
            return Ok(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::BufReader;

    fn all(text: &str, room: usize) -> Vec<(u32, String)> {
        let mut pairs = Pairs::new(BufReader::with_capacity(room, text.as_bytes()));
        let mut found = Vec::new();
        while let Some((code, value)) = pairs.next().unwrap() {
            found.push((code, String::from_utf8(value.to_vec()).unwrap()));
        }
        found
    }

    #[test]
    fn lines_end_in_three_ways() {
        for end in ["\n", "\r\n", "\r"] {
            let text = ["  0", "LINE", "8", "", "  2", " a b", "-5", "x", ""].join(end);
            let expected = [(0, "LINE"), (8, ""), (2, " a b"), (u32::MAX, "x")];
            for room in [1, 2, 3, 1 << 10] {
                assert_eq!(
                    all(&text, room),
                    expected.map(|(code, value)| (code, value.to_owned())),
                    "{end:?}"
                );
            }
        }
    }

    #[test]
    fn what_is_no_drawing_ends() {
        assert_eq!(all("0\nLINE\nx\ny\n0\nLINE\n", 8).len(), 1);
        assert_eq!(all("0\n", 8), []);
        let long = format!("1\n{}\n0\nEOF", "x".repeat(1 << 16));
        let found = all(&long, 1 << 12);
        assert_eq!((found[0].1.len(), found[1].1.as_str()), (KEPT, "EOF"));
    }
}
