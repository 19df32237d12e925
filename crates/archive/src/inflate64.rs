//! Deflate64 ("enhanced deflating", APPNOTE 4.4.5, method 9), streaming and strict.
//!
//! The format is Deflate (RFC 1951) with a window of 64 KiB, two more distance codes, and a length
//! code 285 with the base 3 and 16 extra bits. Windows Explorer writes it for files beyond 2 GB,
//! without a choice.
//!
//! Streams that decoders take differently are refused, by the rules of zlib: distances that reach
//! before the first byte, codes that are over-subscribed or incomplete, bytes after the end. The
//! crate `deflate64` accepts all three: it reads zeros from before the first byte, decodes
//! over-subscribed codes, and does not tell how much of the input it did not use.

use super::bits::{Bits, Damaged};
use super::huffman::Huffman;

/// Bytes that a distance can reach back.
const WINDOW: usize = 1 << 16;

/// Literal and length codes, distance codes, code length codes.
const LITERALS: usize = 288;
const DISTANCES: usize = 32;
const CODE_LENGTHS: usize = 19;
/// The literal and length codes of a dynamic block: 286 and 287 are never used.
const DYNAMIC_LITERALS: usize = 286;

const END_OF_BLOCK: u16 = 256;

/// The lengths from code 257 on, and their numbers of extra bits.
const LENGTHS: [u16; 29] = [
    3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195,
    227, 3,
];
const LENGTH_BITS: [u8; 29] =
    [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 16];

/// The order of the lengths of the code length codes (RFC 1951, 3.2.7).
const ORDER: [usize; CODE_LENGTHS] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/// Progress of one call, in bytes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Progress {
    pub(super) consumed: usize,
    pub(super) produced: usize,
    /// Set when the stream has ended: how many whole bytes were consumed, now or before, that are
    /// not part of it.
    pub(super) surplus: Option<usize>,
}

/// A stream being inflated. It takes about 70 KiB, whatever the stream.
#[derive(Debug)]
pub(super) struct Inflate64 {
    stage: Stage,
    is_last: bool,
    bits: Bits,
    window: Window,
    literals: Huffman<LITERALS>,
    distances: Huffman<DISTANCES>,
    block: DynamicBlock,
}

#[derive(Debug, Clone, Copy)]
enum Stage {
    Block,
    StoredLength,
    Stored(usize),
    /// The numbers of codes of a dynamic block, then the lengths of the code length codes, then
    /// those of the other codes.
    Counts,
    CodeLengthCodes,
    CodeLengths,
    Symbol,
    Distance(usize),
    Copy {
        length: usize,
        distance: usize,
    },
    End,
}

/// What is known of the codes of a dynamic block before all of it has been read.
#[derive(Debug)]
struct DynamicBlock {
    literals: usize,
    distances: usize,
    code_lengths: usize,
    codes: Huffman<CODE_LENGTHS>,
    /// The lengths so far, of whichever codes are being read.
    lengths: Vec<u8>,
}

impl Inflate64 {
    pub(super) fn new() -> Self {
        Self {
            stage: Stage::Block,
            is_last: false,
            bits: Bits::default(),
            window: Window { bytes: Box::new([0; WINDOW]), at: 0, written: 0 },
            literals: Huffman::empty(),
            distances: Huffman::empty(),
            block: DynamicBlock {
                literals: 0,
                distances: 0,
                code_lengths: 0,
                codes: Huffman::empty(),
                lengths: Vec::new(),
            },
        }
    }

    /// Consumes input and produces output until one of them is used up or the stream ends. With no
    /// room for output, the end is still found if no more output comes before it.
    ///
    /// # Errors
    /// [`Damaged`]. The stream must not be continued then.
    pub(super) fn inflate(&mut self, input: &[u8], output: &mut [u8]) -> Result<Progress, Damaged> {
        let (mut rest, mut room) = (input, Room { output, produced: 0 });
        while let Some(next) = self.step(&mut rest, &mut room)? {
            self.stage = next;
        }
        let surplus = matches!(self.stage, Stage::End).then_some(self.bits.count as usize / 8);
        Ok(Progress { consumed: input.len() - rest.len(), produced: room.produced, surplus })
    }

    /// The next stage; `None` if this one needs more input or more room, or is the end.
    fn step(&mut self, input: &mut &[u8], room: &mut Room<'_>) -> Result<Option<Stage>, Damaged> {
        match self.stage {
            Stage::Block => {
                let Some(head) = self.bits.take(3, input) else { return Ok(None) };
                self.is_last = head & 1 == 1;
                self.begin(head >> 1).map(Some)
            }
            Stage::StoredLength => {
                self.bits.align();
                let Some(lengths) = self.bits.take(32, input) else { return Ok(None) };
                let length = lengths & 0xffff;
                if length ^ lengths >> 16 == 0xffff { Ok(Some(Stage::Stored(length))) } else { Err(Damaged) }
            }
            Stage::Stored(0) => Ok(Some(self.end_of_block())),
            Stage::Stored(left) => {
                let copied = self.copy_stored(left, input, room);
                Ok((copied > 0).then(|| Stage::Stored(left - copied)))
            }
            Stage::Counts => {
                let Some(counts) = self.bits.take(14, input) else { return Ok(None) };
                self.block.literals = 257 + (counts & 0x1f);
                self.block.distances = 1 + (counts >> 5 & 0x1f);
                self.block.code_lengths = 4 + (counts >> 10);
                self.block.lengths.clear();
                if self.block.literals > DYNAMIC_LITERALS {
                    return Err(Damaged);
                }
                Ok(Some(Stage::CodeLengthCodes))
            }
            Stage::CodeLengthCodes => self.read_code_length_codes(input),
            Stage::CodeLengths => self.read_code_lengths(input),
            Stage::Symbol => self.inflate_symbols(input, room),
            Stage::Distance(length) => {
                Ok(self.read_distance(input)?.map(|distance| Stage::Copy { length, distance }))
            }
            Stage::Copy { length: 0, .. } => Ok(Some(Stage::Symbol)),
            Stage::Copy { length, distance } => {
                let copied = self.window.copy(length, distance, room);
                Ok((copied > 0).then(|| Stage::Copy { length: length - copied, distance }))
            }
            Stage::End => Ok(None),
        }
    }

    /// A block of this type.
    fn begin(&mut self, kind: usize) -> Result<Stage, Damaged> {
        match kind {
            0 => Ok(Stage::StoredLength),
            1 => {
                let length = |symbol: usize| match symbol {
                    144..=255 => 9,
                    256..=279 => 7,
                    _ => 8,
                };
                self.literals = Huffman::new(&std::array::from_fn::<u8, LITERALS, _>(length))?;
                self.distances = Huffman::new(&[5; DISTANCES])?;
                Ok(Stage::Symbol)
            }
            2 => Ok(Stage::Counts),
            _ => Err(Damaged),
        }
    }

    fn end_of_block(&self) -> Stage {
        if self.is_last { Stage::End } else { Stage::Block }
    }

    fn copy_stored(&mut self, left: usize, input: &mut &[u8], room: &mut Room<'_>) -> usize {
        let before = room.produced;
        let mut left = left.min(room.left());
        // First the bytes that have already been taken from the input.
        while left > 0 && self.bits.count > 0 {
            self.window.put(self.bits.next as u8, room);
            self.bits.skip(8);
            left -= 1;
        }
        if left > 0 {
            // What follows the bits is now taken from the input itself.
            self.bits.next = 0;
        }
        let (bytes, rest) = input.split_at(left.min(input.len()));
        bytes.iter().for_each(|&byte| self.window.put(byte, room));
        *input = rest;
        room.produced - before
    }

    fn read_code_length_codes(&mut self, input: &mut &[u8]) -> Result<Option<Stage>, Damaged> {
        while self.block.lengths.len() < self.block.code_lengths {
            let Some(length) = self.bits.take(3, input) else { return Ok(None) };
            self.block.lengths.push(length as u8);
        }
        let mut lengths = [0; CODE_LENGTHS];
        for (at, length) in ORDER.into_iter().zip(self.block.lengths.drain(..)) {
            lengths[at] = length;
        }
        self.block.codes = Huffman::new(&lengths)?;
        if self.block.codes.is_complete() { Ok(Some(Stage::CodeLengths)) } else { Err(Damaged) }
    }

    fn read_code_lengths(&mut self, input: &mut &[u8]) -> Result<Option<Stage>, Damaged> {
        let all = self.block.literals + self.block.distances;
        while self.block.lengths.len() < all {
            self.bits.refill(input);
            let Some((symbol, bits)) = self.block.codes.decode(&self.bits)? else { return Ok(None) };
            let (base, extra) = match symbol {
                0..=15 => (1, 0),
                16 => (3, 2),
                17 => (3, 3),
                _ => (11, 7),
            };
            if self.bits.count < bits + extra {
                return Ok(None);
            }
            self.bits.skip(bits);
            let repeat = base + self.bits.get(extra);
            let length = match symbol {
                0..=15 => symbol as u8,
                16 => *self.block.lengths.last().ok_or(Damaged)?,
                _ => 0,
            };
            self.block.lengths.resize(self.block.lengths.len() + repeat, length);
        }
        if self.block.lengths.len() > all {
            return Err(Damaged);
        }
        let (literals, distances) = self.block.lengths.split_at(self.block.literals);
        let has_end = literals[usize::from(END_OF_BLOCK)] > 0;
        // A length needs a distance: without distance codes, length codes are unused.
        let has_lengths = literals.len() > usize::from(END_OF_BLOCK) + 1;
        (self.literals, self.distances) = (Huffman::new(literals)?, Huffman::new(distances)?);
        let distances = &self.distances;
        let fits = distances.is_complete() || distances.is_single() || (distances.is_empty() && !has_lengths);
        if has_end && self.literals.is_complete() && fits { Ok(Some(Stage::Symbol)) } else { Err(Damaged) }
    }

    /// Literals and repetitions, up to the end of the block or of what there is.
    fn inflate_symbols(&mut self, input: &mut &[u8], room: &mut Room<'_>) -> Result<Option<Stage>, Damaged> {
        loop {
            self.bits.refill(input);
            let Some((symbol, bits)) = self.literals.decode(&self.bits)? else { return Ok(None) };
            let Some(code) = usize::from(symbol).checked_sub(usize::from(END_OF_BLOCK)) else {
                if room.left() == 0 {
                    return Ok(None);
                }
                self.bits.skip(bits);
                self.window.put(symbol as u8, room);
                continue;
            };
            let Some(code) = code.checked_sub(1) else {
                self.bits.skip(bits);
                return Ok(Some(self.end_of_block()));
            };
            let (length, extra) = LENGTHS.get(code).zip(LENGTH_BITS.get(code)).ok_or(Damaged)?;
            if self.bits.count < bits + u32::from(*extra) {
                return Ok(None);
            }
            self.bits.skip(bits);
            let length = usize::from(*length) + self.bits.get((*extra).into());
            let Some(distance) = self.read_distance(input)? else {
                return Ok(Some(Stage::Distance(length)));
            };
            let copied = self.window.copy(length, distance, room);
            if copied < length {
                return Ok(Some(Stage::Copy { length: length - copied, distance }));
            }
        }
    }

    fn read_distance(&mut self, input: &mut &[u8]) -> Result<Option<usize>, Damaged> {
        self.bits.refill(input);
        let Some((code, bits)) = self.distances.decode(&self.bits)? else { return Ok(None) };
        let code = usize::from(code);
        // RFC 1951, 3.2.5, continued to code 31: two codes for each number of extra bits.
        let extra = (code / 2).saturating_sub(1);
        if self.bits.count < bits + extra as u32 {
            return Ok(None);
        }
        self.bits.skip(bits);
        let base = if code < 4 { code } else { (2 + code % 2) << extra };
        let distance = base + 1 + self.bits.get(extra as u32);
        if distance as u64 > self.window.written {
            return Err(Damaged);
        }
        Ok(Some(distance))
    }
}

/// The last bytes of the output.
#[derive(Debug)]
struct Window {
    bytes: Box<[u8; WINDOW]>,
    /// Where the next byte goes, which is where the oldest one is.
    at: u16,
    written: u64,
}

impl Window {
    /// Adds a byte to the output, which has room.
    fn put(&mut self, byte: u8, room: &mut Room<'_>) {
        self.bytes[usize::from(self.at)] = byte;
        self.at = self.at.wrapping_add(1);
        self.written += 1;
        room.output[room.produced] = byte;
        room.produced += 1;
    }

    /// Repeats output from this distance, as far as there is room; returns the number of bytes.
    fn copy(&mut self, length: usize, distance: usize, room: &mut Room<'_>) -> usize {
        let length = length.min(room.left());
        for _ in 0..length {
            // The largest distance becomes 0: the oldest byte is where the next one goes.
            let byte = self.bytes[usize::from(self.at.wrapping_sub(distance as u16))];
            self.put(byte, room);
        }
        length
    }
}

struct Room<'a> {
    output: &'a mut [u8],
    produced: usize,
}

impl Room<'_> {
    fn left(&self) -> usize {
        self.output.len() - self.produced
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive_fixtures::deflate64::{Token, encode, meaning};
    use proptest::prelude::*;

    /// The content, by pieces of these sizes of input and output.
    fn inflated(stream: &[u8], input_piece: usize, output_piece: usize) -> Result<Vec<u8>, Damaged> {
        let (mut inflater, mut content, mut output) = (Inflate64::new(), Vec::new(), vec![0; output_piece]);
        let mut pieces = stream.chunks(input_piece);
        while let Some(mut input) = pieces.next() {
            loop {
                let Progress { consumed, produced, surplus } = inflater.inflate(input, &mut output)?;
                input = &input[consumed..];
                content.extend(&output[..produced]);
                if surplus.is_some() {
                    // Nor may a whole piece follow the end.
                    let is_whole = surplus == Some(0) && input.is_empty() && pieces.len() == 0;
                    return if is_whole { Ok(content) } else { Err(Damaged) };
                }
                if (consumed, produced) == (0, 0) {
                    break;
                }
            }
            assert!(input.is_empty());
        }
        Err(Damaged)
    }

    fn token() -> impl Strategy<Value = Token> {
        let length = prop_oneof![3u32..=10, 11u32..=258, 259u32..=2000, Just(65_538)];
        let distance = prop_oneof![1u32..=4, 5u32..=300, 1u32..=65_536];
        prop_oneof![
            3 => any::<u8>().prop_map(Token::Literal),
            1 => (length, distance).prop_map(|(length, distance)| Token::Repeat { length, distance }),
        ]
    }

    /// Whether no distance reaches before the first byte.
    fn is_valid(tokens: &[Token]) -> bool {
        let mut written = 0;
        tokens.iter().all(|token| match *token {
            Token::Literal(_) => {
                written += 1;
                true
            }
            Token::Repeat { length, distance } => {
                let is_valid = distance <= written;
                written += length;
                is_valid
            }
        })
    }

    proptest! {
        /// What was encoded is inflated, whatever the pieces; a distance too far is not.
        #[test]
        fn tokens_are_inflated(
            tokens in prop::collection::vec(token(), 0..60),
            input_piece in 1usize..50,
            output_piece in 1usize..5000,
        ) {
            let (stream, content) = (encode(&tokens), meaning(&tokens));
            let expected = if is_valid(&tokens) { Ok(content) } else { Err(Damaged) };
            prop_assert_eq!(&inflated(&stream, usize::MAX, 1 << 20), &expected);
            prop_assert_eq!(&inflated(&stream, input_piece, output_piece), &expected);
        }

        /// Deflate without repetitions of 258 bytes is Deflate64: blocks with their own codes.
        #[test]
        fn deflate_is_inflated(
            content in prop::collection::vec(prop_oneof![Just(b'a'), Just(b'b'), any::<u8>()], 0..5000),
            input_piece in 1usize..50,
        ) {
            let stream = crate::archive_fixtures::deflate(&content);
            let expected = Ok(content);
            prop_assert_eq!(&inflated(&stream, usize::MAX, 1 << 20), &expected);
            prop_assert_eq!(&inflated(&stream, input_piece, 100), &expected);
        }

        /// Any bytes have one result, whatever the pieces, and no byte is left or missing.
        #[test]
        fn any_bytes_have_one_result(
            stream in prop::collection::vec(any::<u8>(), 1..300),
            kind in 0u8..4,
            pieces in (1usize..50, 1usize..5000),
        ) {
            // The type of the first block, so that each is tried.
            let stream = [&[stream[0] & !0b110 | kind << 1], &stream[1..]].concat();
            let whole = inflated(&stream, usize::MAX, 1 << 20);
            prop_assert_eq!(&inflated(&stream, pieces.0, pieces.1), &whole);
            if whole.is_ok() {
                prop_assert!(inflated(&[&stream[..], &[0]].concat(), usize::MAX, 1 << 20).is_err());
                prop_assert!(inflated(&stream[..stream.len() - 1], usize::MAX, 1 << 20).is_err());
            }
        }
    }

    #[test]
    fn distances_reach_back_as_far_as_the_window() {
        let literals = b"abc".map(Token::Literal);
        let run = Token::Repeat { length: 65_533, distance: 1 };
        let far = |distance| [&literals[..], &[run, Token::Repeat { length: 300, distance }]].concat();
        let content = inflated(&encode(&far(65_536)), 100, 1000).unwrap();
        assert!(content == meaning(&far(65_536)) && content[65_536..].starts_with(b"abccc"));
        let content = inflated(&encode(&far(65_535)), 100, 1000).unwrap();
        assert!(content[65_536..].starts_with(b"bccc"));
    }

    #[test]
    fn bytes_after_the_end_are_damage_however_they_arrive() {
        // A literal, the end, and a byte.
        let stream = [155, 0, 40, 0];
        for piece in [1, 3, 4] {
            assert_eq!(inflated(&stream, piece, 1), Err(Damaged), "{piece}");
        }
        assert_eq!(inflated(&stream[..3], 1, 1), Ok(vec![144]));
    }

    #[test]
    fn the_end_is_found_without_room() {
        let stream = encode(&[Token::Literal(b'a')]);
        let mut inflater = Inflate64::new();
        let first = inflater.inflate(&stream[..1], &mut [0; 1]).unwrap();
        assert_eq!(first, Progress { consumed: 1, produced: 0, surplus: None });
        let Progress { produced, surplus, .. } = inflater.inflate(&stream[1..], &mut [0; 1]).unwrap();
        assert_eq!((produced, surplus), (1, Some(0)));
        assert_eq!(
            inflater.inflate(b"more", &mut []).unwrap(),
            Progress { surplus: Some(0), ..Progress::default() }
        );
    }
}
