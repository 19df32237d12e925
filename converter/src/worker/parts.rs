//! The parts of an output, in order: pieces of the file as it is, or of its gzip encoding.
//!
//! A part says which range of the file is no longer needed once it is stored. Encoded parts exist in
//! memory only: they are made while the earlier ones are uploaded.

use crate::digest::Digest;
use crate::gzip::{self, BLOCK, Block, Member};
use bytes::Bytes;
use cadmill_core::domain::coding::{Coding, Content, Encoded};
use cadmill_core::domain::failure::{Failure, FailureCode};
use cadmill_core::ports::object_store::MAX_PARTS;
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};

/// Size of a part of an output below [`LARGE`], in bytes.
const SMALL_PART: u64 = 8 << 20;
/// Size of a part of a larger output, in bytes: requests are charged, and a fourth of them is enough.
const LARGE_PART: u64 = 32 << 20;
/// From this size on, in bytes, an output is large.
const LARGE: u64 = 1 << 30;

/// Blocks that are compressed at a time, for each thread.
const BLOCKS_PER_THREAD: usize = 2;

/// Size of each part but the last, in bytes, of an output of this size: the encoded size is not known
/// in advance, so the number of parts is bounded by the largest that it can be.
pub(super) fn part_bytes(size: u64) -> u64 {
    let part = if size < LARGE { SMALL_PART } else { LARGE_PART };
    part.max(gzip::bound(size).div_ceil(u64::from(MAX_PARTS)))
}

/// A part.
pub(super) struct PartBody {
    pub(super) body: Bytes,
    /// The range of the file that is contained in this part and the ones before it, and not in the
    /// ones before it alone.
    pub(super) range: Range<u64>,
    pub(super) is_last: bool,
}

/// What all parts contain, joined.
pub(super) struct Whole {
    /// In bytes.
    pub(super) bytes: u64,
    pub(super) sha256: String,
    pub(super) encoded: Option<Encoded>,
}

/// The parts of a file.
pub(super) trait Parts {
    /// The content coding of the parts.
    fn coding(&self) -> Option<Coding>;

    /// The next part. A file has at least one, which may be empty.
    fn next(&mut self) -> Result<PartBody, Failure>;

    /// The whole, after the last part.
    fn whole(self: Box<Self>) -> Whole;
}

fn unreadable(error: io::Error) -> Failure {
    Failure::io("reading the output", &error)
}

/// The file as it is.
pub(super) struct Plain<'a> {
    file: &'a File,
    size: u64,
    at: u64,
    part_bytes: u64,
    digest: Digest,
}

impl<'a> Plain<'a> {
    pub(super) fn new(file: &'a File, size: u64) -> Self {
        Self { file, size, at: 0, part_bytes: part_bytes(size), digest: Digest::default() }
    }
}

impl Parts for Plain<'_> {
    fn coding(&self) -> Option<Coding> {
        None
    }

    fn next(&mut self) -> Result<PartBody, Failure> {
        let range = self.at..self.size.min(self.at + self.part_bytes);
        let mut body = vec![0; usize::try_from(range.end - range.start).unwrap_or(0)];
        self.file.read_exact_at(&mut body, range.start).map_err(unreadable)?;
        self.digest.update(&body);
        self.at = range.end;
        Ok(PartBody { body: body.into(), range, is_last: self.at == self.size })
    }

    fn whole(self: Box<Self>) -> Whole {
        Whole { bytes: self.at, sha256: self.digest.finish(), encoded: None }
    }
}

/// The file as gzip. It holds a part, and for each thread at most [`BLOCKS_PER_THREAD`] blocks of
/// content and as many compressed ones.
pub(super) struct Gzipped<'a> {
    file: &'a File,
    size: u64,
    /// What is read of the file.
    at: u64,
    part_bytes: usize,
    cancel: &'a AtomicBool,
    /// None once its end is written.
    member: Option<Member>,
    /// Compressed, and not yet in a part.
    blocks: VecDeque<Block>,
    /// The encoded bytes of the next part, and at most a block more.
    next: Vec<u8>,
    /// The content that is in `next` or in an earlier part, and where its last block begins.
    covered: u64,
    last_block: u64,
    /// Where the range of the next part begins.
    begin: u64,
    bytes: u64,
    digest: Digest,
    content: Digest,
}

impl<'a> Gzipped<'a> {
    pub(super) fn new(file: &'a File, size: u64, cancel: &'a AtomicBool) -> Self {
        Self::with_parts(file, size, part_bytes(size), cancel)
    }

    fn with_parts(file: &'a File, size: u64, part_bytes: u64, cancel: &'a AtomicBool) -> Self {
        let part_bytes = usize::try_from(part_bytes).unwrap_or(usize::MAX);
        let mut next = Vec::with_capacity(Self::room(size, part_bytes));
        next.extend(Member::HEADER);
        Self {
            file,
            size,
            at: 0,
            part_bytes,
            cancel,
            member: Some(Member::default()),
            blocks: VecDeque::new(),
            next,
            covered: 0,
            last_block: 0,
            begin: 0,
            bytes: 0,
            digest: Digest::default(),
            content: Digest::default(),
        }
    }

    /// Room for a part and a block, if `left` bytes of content can fill it: a vector that grows would
    /// copy its content.
    fn room(left: u64, part_bytes: usize) -> usize {
        let most = usize::try_from(gzip::bound(left)).unwrap_or(usize::MAX).saturating_add(64);
        most.min(part_bytes.saturating_add(BLOCK + BLOCK / 16))
    }

    /// Compresses the next blocks of the file, and digests them meanwhile.
    fn compress(&mut self) -> Result<(), Failure> {
        if self.cancel.load(Ordering::Relaxed) {
            return Err(Failure::new(FailureCode::Cancelled, "cancelled while uploading"));
        }
        let most = (gzip::threads() * BLOCKS_PER_THREAD * BLOCK) as u64;
        let bytes = usize::try_from((self.size - self.at).min(most)).unwrap_or(0);
        let mut content = vec![0; bytes];
        self.file.read_exact_at(&mut content, self.at).map_err(unreadable)?;
        self.at += bytes as u64;
        let blocks: Vec<&[u8]> = content.chunks(BLOCK).collect();
        let digest = &mut self.content;
        let blocks = gzip::compress_all(&blocks, || digest.update(&content));
        self.blocks.extend(blocks.map_err(|error| Failure::io("compressing the output", &error))?);
        Ok(())
    }

    /// Adds encoded bytes to the next part: a block, or the end of the member. False if there is
    /// nothing left.
    fn grow(&mut self) -> Result<bool, Failure> {
        if self.blocks.is_empty() && self.at < self.size {
            self.compress()?;
        }
        if let (Some(block), Some(member)) = (self.blocks.pop_front(), &mut self.member) {
            member.add(&block);
            self.next.extend(&block.deflate);
            self.last_block = self.covered;
            self.covered += block.bytes;
        } else if let Some(member) = self.member.take() {
            self.next.extend(member.end());
        } else {
            return Ok(false);
        }
        Ok(true)
    }
}

impl Parts for Gzipped<'_> {
    fn coding(&self) -> Option<Coding> {
        Some(Coding::Gzip)
    }

    fn next(&mut self) -> Result<PartBody, Failure> {
        // One byte more than a part shows that it is not the last.
        while self.next.len() <= self.part_bytes && self.grow()? {}
        let is_last = self.next.len() <= self.part_bytes;
        let mut body = Vec::new();
        if !is_last {
            body.reserve(Self::room(self.size - self.last_block, self.part_bytes));
            body.extend(&self.next[self.part_bytes..]);
            self.next.truncate(self.part_bytes);
        }
        std::mem::swap(&mut body, &mut self.next);
        self.digest.update(&body);
        self.bytes += body.len() as u64;
        // Part of the last block may be in the next part.
        let end = if is_last { self.size } else { self.last_block };
        let range = self.begin..end.max(self.begin);
        self.begin = range.end;
        Ok(PartBody { body: body.into(), range, is_last })
    }

    fn whole(self: Box<Self>) -> Whole {
        let content = Content { size_bytes: self.at, sha256: self.content.finish() };
        Whole {
            bytes: self.bytes,
            sha256: self.digest.finish(),
            encoded: Some(Encoded { coding: Coding::Gzip, content: Some(content) }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest;
    use std::io::{Read, Write};

    /// Text, then bytes that cannot be compressed.
    fn content(text: usize, noise: usize) -> Vec<u8> {
        let lines =
            (0u64..).flat_map(|n| format!("{}\n", n.wrapping_mul(0x9e37_79b9) % 1_000_003).into_bytes());
        let step = |state: &u64| Some(state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
        let states = std::iter::successors(Some(1u64), step).map(|state| (state >> 56) as u8);
        lines.take(text).chain(states.take(noise)).collect()
    }

    fn file_of(content: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        file
    }

    fn all(mut parts: Box<dyn Parts + '_>) -> (Vec<PartBody>, Whole) {
        let mut all = Vec::new();
        loop {
            let part = parts.next().unwrap();
            let is_last = part.is_last;
            all.push(part);
            if is_last {
                return (all, parts.whole());
            }
        }
    }

    #[test]
    fn parts_grow_with_the_output_so_that_10000_are_enough() {
        assert_eq!([0, LARGE - 1, LARGE].map(part_bytes), [8 << 20, 8 << 20, 32 << 20]);
        for size in [LARGE, 80_000_000_000, 400_000_000_000, 5 << 40] {
            assert!(gzip::bound(size).div_ceil(part_bytes(size)) <= u64::from(MAX_PARTS), "{size}");
        }
    }

    #[test]
    fn a_file_in_parts_is_the_file() {
        for size in [0, 1, 8 << 20, (8 << 20) + 1, 17 << 20] {
            let content = content(size, 0);
            let file = file_of(&content);
            let (parts, whole) = all(Box::new(Plain::new(&file, size as u64)));
            assert_eq!(parts.len(), size.div_ceil(8 << 20).max(1), "{size}");
            assert!(parts.iter().flat_map(|part| &part.body).eq(&content), "{size}");
            assert_eq!((whole.bytes, whole.encoded), (size as u64, None));
            assert_eq!(whole.sha256, digest::sha256(&content[..]).unwrap());
        }
    }

    #[test]
    fn encoded_parts_decode_to_the_file_and_cover_it_once() {
        let cancel = AtomicBool::new(false);
        let sizes = [(0, 0), (1, 0), (BLOCK, 0), (BLOCK + 1, 0), (5 * BLOCK, 3 * BLOCK), (0, 9 * BLOCK + 7)];
        for (text, noise) in sizes {
            let content = content(text, noise);
            let size = content.len() as u64;
            let file = file_of(&content);
            for part_bytes in [BLOCK as u64 + 4321, 2_500_000, u64::MAX] {
                let gzipped = Gzipped::with_parts(&file, size, part_bytes, &cancel);
                let (parts, whole) = all(Box::new(gzipped));
                let (last, others) = parts.split_last().unwrap();
                assert!(others.iter().all(|part| part.body.len() as u64 == part_bytes), "each is full");
                assert!(!last.body.is_empty() && last.body.len() as u64 <= part_bytes);
                let joined: Vec<u8> = parts.iter().flat_map(|part| part.body.clone()).collect();
                let mut decoded = Vec::new();
                flate2::read::GzDecoder::new(&joined[..]).read_to_end(&mut decoded).unwrap();
                assert!(decoded == content, "{text} {noise} {part_bytes}: another content");
                let mut end = 0;
                for part in &parts {
                    assert_eq!(part.range.start, end);
                    end = part.range.end;
                    // What a range covers is in the parts up to its own.
                    assert!(end <= size && (part.is_last || end < size));
                }
                assert_eq!(end, size);
                assert_eq!(
                    (whole.bytes, whole.sha256),
                    (joined.len() as u64, digest::sha256(&joined[..]).unwrap())
                );
                let sha256 = digest::sha256(&content[..]).unwrap();
                let content = Some(Content { size_bytes: size, sha256 });
                assert_eq!(whole.encoded, Some(Encoded { coding: Coding::Gzip, content }));
            }
        }
    }

    /// The range of the file that a part gives up can be decoded from the parts up to it.
    #[test]
    fn no_range_is_given_up_before_it_is_in_a_part() {
        let content = content(3 * BLOCK, 6 * BLOCK);
        let (file, cancel) = (file_of(&content), AtomicBool::new(false));
        let gzipped = Gzipped::with_parts(&file, content.len() as u64, 2_000_000, &cancel);
        let (parts, _) = all(Box::new(gzipped));
        assert!(parts.len() > 3);
        let mut joined = Vec::new();
        for part in &parts {
            joined.extend_from_slice(&part.body);
            let mut decoded = Vec::new();
            let _ = flate2::read::GzDecoder::new(&joined[..]).read_to_end(&mut decoded);
            assert!(decoded.len() as u64 >= part.range.end, "{} of {:?}", decoded.len(), part.range);
        }
    }

    #[test]
    fn a_cancelled_output_is_not_compressed_to_its_end() {
        let content = content(2 * BLOCK, 0);
        let (file, cancel) = (file_of(&content), AtomicBool::new(true));
        let failure = Gzipped::new(&file, content.len() as u64, &cancel).next().err().unwrap();
        assert_eq!(failure.code, FailureCode::Cancelled);
    }
}
