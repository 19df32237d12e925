//! The bits of a Deflate64 stream, lowest first (RFC 1951, 3.1.1), for [`inflate64`](super::inflate64).

/// The stream is damaged, or is not Deflate64.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Damaged;

/// Bits that were taken from the input and not yet used, the next one lowest. Those above `count` are
/// 0 or what follows in the input.
#[derive(Debug, Default)]
pub(super) struct Bits {
    pub(super) next: u64,
    pub(super) count: u32,
}

impl Bits {
    /// Takes input until there are at least 56 bits, or until it is used up.
    pub(super) fn refill(&mut self, input: &mut &[u8]) {
        if let Some(word) = input.first_chunk() {
            self.next |= u64::from_le_bytes(*word) << self.count;
            let bytes = (63 - self.count) / 8;
            (self.count, *input) = (self.count + 8 * bytes, &input[bytes as usize..]);
            return;
        }
        while self.count < 56
            && let Some((&byte, rest)) = input.split_first()
        {
            self.next |= u64::from(byte) << self.count;
            (self.count, *input) = (self.count + 8, rest);
        }
    }

    /// Uses up to 32 bits; `None` if the input does not have them.
    pub(super) fn take(&mut self, bits: u32, input: &mut &[u8]) -> Option<usize> {
        self.refill(input);
        (self.count >= bits).then(|| self.get(bits))
    }

    /// Uses bits that are there.
    pub(super) fn get(&mut self, bits: u32) -> usize {
        let value = self.next & ((1 << bits) - 1);
        self.skip(bits);
        value as usize
    }

    pub(super) fn skip(&mut self, bits: u32) {
        self.next >>= bits;
        self.count -= bits;
    }

    /// Skips to the next byte.
    pub(super) fn align(&mut self) {
        self.skip(self.count % 8);
    }
}
