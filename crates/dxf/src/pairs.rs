//! Pairs of a group code and a value, which are all that a drawing consists of.

use crate::dialect::Dialect;
use crate::number;

/// Pairs as text.
pub(crate) struct Pairs {
    text: Vec<u8>,
    dialect: Dialect,
}

impl Pairs {
    pub(crate) fn new(dialect: Dialect) -> Self {
        Self { text: Vec::new(), dialect }
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.text
    }

    pub(crate) fn clear(&mut self) {
        self.text.clear();
    }

    /// Appends pairs that are text already.
    pub(crate) fn append(&mut self, pairs: &[u8]) {
        self.text.extend_from_slice(pairs);
    }

    pub(crate) fn line_end(&self) -> &'static [u8] {
        self.dialect.line_end()
    }

    /// Begins a section.
    pub(crate) fn section(&mut self, name: &str) {
        self.str(0, "SECTION");
        self.str(2, name);
    }

    fn code(&mut self, code: u16) {
        let digit = |n: u16| b'0' + (n % 10) as u8;
        let blank = |is: bool, n: u16| if is { b' ' } else { digit(n) };
        if code >= 1000 {
            self.text.push(digit(code / 1000));
        }
        let [cr, lf] = *b"\r\n";
        let (tens, hundreds) = (blank(code < 10, code / 10), blank(code < 100, code / 100));
        match self.dialect {
            Dialect::Plain => self.text.extend_from_slice(&[hundreds, tens, digit(code), cr, lf]),
            Dialect::Ogr => self.text.extend_from_slice(&[hundreds, tens, digit(code), lf]),
        }
    }

    fn end(&mut self) {
        match self.dialect {
            Dialect::Plain => self.text.extend_from_slice(b"\r\n"),
            Dialect::Ogr => self.text.push(b'\n'),
        }
    }

    /// A value that is encoded and legal.
    pub(crate) fn bytes(&mut self, code: u16, value: &[u8]) {
        self.code(code);
        self.text.extend_from_slice(value);
        self.end();
    }

    /// A value of the format's own, in ASCII.
    pub(crate) fn str(&mut self, code: u16, value: &str) {
        self.bytes(code, value.as_bytes());
    }

    pub(crate) fn int(&mut self, code: u16, value: i64) {
        self.code(code);
        let mut buffer = itoa::Buffer::new();
        self.text.extend_from_slice(buffer.format(value).as_bytes());
        self.end();
    }

    pub(crate) fn real(&mut self, code: u16, value: f64) {
        self.code(code);
        self.text.reserve(number::LONGEST + 2);
        match self.dialect {
            Dialect::Plain => number::push_shortest(&mut self.text, value),
            Dialect::Ogr => number::push_ogr(&mut self.text, value),
        }
        self.end();
    }

    /// A handle, which is hexadecimal.
    pub(crate) fn handle(&mut self, code: u16, value: u64) {
        self.code(code);
        let digits = (64 - value.leading_zeros()).div_ceil(4).max(1) as usize;
        let text: [u8; 16] = std::array::from_fn(|place| {
            let digit = (value >> (4 * (15 - place)) & 15) as u8;
            if digit < 10 { b'0' + digit } else { b'A' + digit - 10 }
        });
        self.text.extend_from_slice(&text[16 - digits..]);
        self.end();
    }

    /// The first two coordinates of a point, the first of which has this code.
    pub(crate) fn point2(&mut self, code: u16, x: f64, y: f64) {
        self.real(code, x);
        self.real(code + 10, y);
    }

    pub(crate) fn point3(&mut self, code: u16, [x, y, z]: [f64; 3]) {
        self.point2(code, x, y);
        self.real(code + 20, z);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs() {
        let mut pairs = Pairs::new(Dialect::Plain);
        pairs.str(0, "POINT");
        pairs.handle(5, 0x2_000F);
        pairs.int(70, -1);
        pairs.point3(10, [1.0, -2.5, 0.0]);
        pairs.str(1001, "X");
        let text = str::from_utf8(pairs.as_slice()).unwrap().replace("\r\n", "|");
        assert_eq!(text, "  0|POINT|  5|2000F| 70|-1| 10|1.0| 20|-2.5| 30|0.0|1001|X|");
    }

    #[test]
    fn pairs_of_ogr() {
        let mut pairs = Pairs::new(Dialect::Ogr);
        pairs.handle(5, 0);
        pairs.point2(10, 1.0, 0.1);
        assert_eq!(pairs.as_slice(), b"  5\n0\n 10\n1\n 20\n0.1\n");
    }
}
