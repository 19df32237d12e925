//! Prefix codes of Deflate (RFC 1951, 3.2.2), for [`inflate64`](super::inflate64).

use super::bits::{Bits, Damaged};

/// Length of the longest code, in bits.
pub(super) const MAX_BITS: usize = 15;

/// Codes of up to this length are looked up in a table, longer ones bit by bit.
const TABLE_BITS: usize = 10;

/// A set of codes for up to `N` symbols. It is never over-subscribed, so each input has one meaning.
#[derive(Debug)]
pub(super) struct Huffman<const N: usize> {
    /// By the next bits of the input: the symbol and, in the low four bits, the length of its code;
    /// 0 if the code is longer or there is none.
    table: [u16; 1 << TABLE_BITS],
    /// Number of codes of each length.
    counts: [u16; MAX_BITS + 1],
    /// The symbols in the order of their codes.
    symbols: [u16; N],
    is_complete: bool,
}

impl<const N: usize> Huffman<N> {
    /// A set without codes.
    pub(super) fn empty() -> Self {
        Self { table: [0; 1 << TABLE_BITS], counts: [0; MAX_BITS + 1], symbols: [0; N], is_complete: false }
    }

    /// The codes that these lengths define; a symbol of length 0 has none. At most `N` lengths, each
    /// at most [`MAX_BITS`].
    ///
    /// # Errors
    /// [`Damaged`] if there are more codes of some length than possible.
    pub(super) fn new(lengths: &[u8]) -> Result<Self, Damaged> {
        let mut codes = Self::empty();
        for &length in lengths.iter().filter(|&&length| length > 0) {
            codes.counts[usize::from(length)] += 1;
        }
        // The first code of each length, and the place of its symbol.
        let (mut firsts, mut places) = ([0u32; MAX_BITS + 1], [0usize; MAX_BITS + 1]);
        let (mut code, mut place) = (0u32, 0usize);
        for length in 1..=MAX_BITS {
            code <<= 1;
            (firsts[length], places[length]) = (code, place);
            code += u32::from(codes.counts[length]);
            place += usize::from(codes.counts[length]);
            if code > 1 << length {
                return Err(Damaged);
            }
        }
        codes.is_complete = code == 1 << MAX_BITS;
        for (symbol, &length) in (0u16..).zip(lengths).filter(|(_, length)| **length > 0) {
            let length = usize::from(length);
            codes.symbols[places[length]] = symbol;
            if length <= TABLE_BITS {
                // The first bit of a code is its highest, and the lowest of the input.
                let first = (firsts[length].reverse_bits() >> (32 - length)) as usize;
                let entry = symbol << 4 | length as u16;
                codes.table.iter_mut().skip(first).step_by(1 << length).for_each(|place| *place = entry);
            }
            (firsts[length], places[length]) = (firsts[length] + 1, places[length] + 1);
        }
        Ok(codes)
    }

    /// Whether every input begins with a code.
    pub(super) fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// Whether the set is empty.
    pub(super) fn is_empty(&self) -> bool {
        self.counts.iter().all(|&count| count == 0)
    }

    /// Whether there is one code, of one bit: how an encoder writes the only distance.
    pub(super) fn is_single(&self) -> bool {
        self.counts[1] == 1 && self.counts[2..].iter().all(|&count| count == 0)
    }

    /// The symbol that the input begins with and the length of its code in bits; `None` if that
    /// takes more input.
    ///
    /// # Errors
    /// [`Damaged`] if it begins with no code.
    pub(super) fn decode(&self, bits: &Bits) -> Result<Option<(u16, u32)>, Damaged> {
        let entry = self.table[bits.next as usize & ((1 << TABLE_BITS) - 1)];
        if entry == 0 {
            return self.decode_long(bits);
        }
        let length = u32::from(entry & 0xf);
        Ok((length <= bits.count).then_some((entry >> 4, length)))
    }

    /// Bit by bit: of each length, the codes are consecutive numbers.
    fn decode_long(&self, bits: &Bits) -> Result<Option<(u16, u32)>, Damaged> {
        let (mut code, mut first, mut place) = (0usize, 0usize, 0usize);
        for length in 1..=MAX_BITS {
            if length as u32 > bits.count {
                return Ok(None);
            }
            code = code << 1 | (bits.next >> (length - 1) & 1) as usize;
            first <<= 1;
            let count = usize::from(self.counts[length]);
            if code < first + count {
                return Ok(Some((self.symbols[place + code - first], length as u32)));
            }
            (first, place) = (first + count, place + count);
        }
        Err(Damaged)
    }
}
