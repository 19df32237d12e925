//! Where pairs go. They gather, and are written out when there are many.
//!
//! [`Sink::spill`] is called between entities and within long ones, so that memory does not grow with
//! them.

use crate::dialect::Dialect;
use crate::pairs::Pairs;
use std::io::{self, Write};

/// Bytes that are written out at once.
const FULL: usize = 128 << 10;

pub(crate) struct Sink<W> {
    pub(crate) pairs: Pairs,
    out: W,
    /// Bytes that the output has.
    written: u64,
}

impl<W: Write> Sink<W> {
    pub(crate) fn new(out: W, dialect: Dialect) -> Self {
        Self { pairs: Pairs::new(dialect), out, written: 0 }
    }

    /// Bytes so far.
    pub(crate) fn position(&self) -> u64 {
        self.written + self.pairs.as_slice().len() as u64
    }

    /// Writes out what there is if it is much.
    #[inline]
    pub(crate) fn spill(&mut self) -> io::Result<()> {
        if self.pairs.as_slice().len() >= FULL { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.write_all(self.pairs.as_slice())?;
        self.written += self.pairs.as_slice().len() as u64;
        self.pairs.clear();
        Ok(())
    }

    /// Appends pairs that are text already, without another copy.
    pub(crate) fn append(&mut self, pairs: &[u8]) -> io::Result<()> {
        self.flush()?;
        self.out.write_all(pairs)?;
        self.written += pairs.len() as u64;
        Ok(())
    }

    /// Writes out the rest.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.flush()?;
        self.out.flush()?;
        Ok(self.out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_much_is_written_out() {
        let mut sink = Sink::new(Vec::new(), Dialect::Plain);
        for _ in 0..100_000 {
            sink.pairs.int(70, 1);
            sink.spill().unwrap();
            assert!(sink.pairs.as_slice().len() < FULL + 16);
        }
        sink.append(b" 70\r\n1\r\n").unwrap();
        assert_eq!(sink.position(), 800_008);
        assert_eq!(sink.finish().unwrap().len(), 800_008);
    }
}
