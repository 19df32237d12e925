//! Writes gzip (RFC 1952) on several threads: one member, whose deflate stream consists of blocks
//! that are compressed independently of one another.
//!
//! A block ends with a sync flush (an empty stored block), which aligns it to a byte, so that the
//! next one can follow it; the member's CRC-32 is combined from those of the blocks. Each block as a
//! member of its own would be simpler, but browsers do not decode a second member.
//!
//! The same content gives the same bytes, whatever the number of threads: the header has neither a
//! name nor a time.

use crate::stack;
use crc32fast::Hasher;
use flate2::{Compress, Compression, FlushCompress};
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Content of a block, in bytes; the last one has less. A block cannot refer to the one before it,
/// which costs a window of 32 KiB and so less than a hundredth.
pub(crate) const BLOCK: usize = 1 << 20;

/// Maximum number of threads. More would take the processors from the engines of other jobs, and
/// few stores take as much as four threads compress.
const MAX_THREADS: usize = 4;

/// Level 3 compresses text about four times, at 110 MB/s for each thread. Level 6 needs 2.7 times as
/// long for 4 % less.
const LEVEL: u32 = 3;

/// How much the niceness of the threads exceeds the worker's: more than that of the engines, so that
/// those of other jobs have precedence.
const NICER: i32 = 10;

/// Maximum size of the compressed form of `bytes` bytes of content: incompressible content is stored,
/// with 5 bytes for each 16 KiB at least, and each block has its flush.
pub(crate) fn bound(bytes: u64) -> u64 {
    bytes + bytes / 2048 + (bytes / BLOCK as u64 + 1) * 64
}

/// Number of threads that compress at once.
pub(crate) fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS)
}

/// A compressed block.
pub(crate) struct Block {
    /// A piece of a deflate stream (RFC 1951) that ends at a byte, and is not the last.
    pub(crate) deflate: Vec<u8>,
    /// Size of its content, in bytes.
    pub(crate) bytes: u64,
    crc: Hasher,
}

/// A member that is being written.
#[derive(Default)]
pub(crate) struct Member {
    crc: Hasher,
    bytes: u64,
}

impl Member {
    /// What comes before the blocks (RFC 1952, 2.3): deflate, no flags, no time, and an unknown
    /// operating system.
    pub(crate) const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

    /// Counts a block that follows the earlier ones.
    pub(crate) fn add(&mut self, block: &Block) {
        self.crc.combine(&block.crc);
        self.bytes += block.bytes;
    }

    /// What comes after the blocks: an empty last block, CRC-32, and the size modulo 2 to the 32nd.
    pub(crate) fn end(self) -> [u8; 10] {
        let mut end = [3, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        end[2..6].copy_from_slice(&self.crc.finalize().to_le_bytes());
        end[6..].copy_from_slice(&(self.bytes as u32).to_le_bytes());
        end
    }
}

/// Compresses these contents of blocks on [`threads`] threads, and does `meanwhile` on this one.
///
/// # Errors
/// The compressor's error.
pub(crate) fn compress_all(contents: &[&[u8]], meanwhile: impl FnOnce()) -> io::Result<Vec<Block>> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::with_capacity(contents.len()));
    let work = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(content) = contents.get(index) else { return };
            let block = compress(content);
            done.lock().unwrap_or_else(PoisonError::into_inner).push((index, block));
        }
    };
    std::thread::scope(|scope| {
        let mut started = 0;
        for _ in 0..threads().min(contents.len()) {
            let thread = || {
                // On Linux it is that of the thread. If it cannot be changed, it stays.
                let _ = rustix::process::nice(NICER);
                stack::cleared(work);
            };
            let spawned = std::thread::Builder::new().name("gzip".to_owned()).spawn_scoped(scope, thread);
            started += usize::from(spawned.is_ok());
        }
        meanwhile();
        if started == 0 {
            work();
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, block)| block).collect()
}

fn compress(content: &[u8]) -> io::Result<Block> {
    let mut compressor = Compress::new(Compression::new(LEVEL), false);
    let room = usize::try_from(bound(content.len() as u64)).map_err(io::Error::other)?;
    let mut deflate = Vec::with_capacity(room);
    loop {
        let read = usize::try_from(compressor.total_in()).map_err(io::Error::other)?;
        compressor.compress_vec(&content[read..], &mut deflate, FlushCompress::Sync)?;
        // The flush is complete once there is room left after it.
        if deflate.len() < deflate.capacity() {
            break;
        }
        deflate.reserve(BLOCK / 16);
    }
    let mut crc = Hasher::new();
    crc.update(content);
    Ok(Block { deflate, bytes: content.len() as u64, crc })
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::bufread::{GzDecoder, MultiGzDecoder};
    use proptest::prelude::*;
    use std::io::{Read, Write};
    use std::process::{Command, Stdio};

    /// The member of these contents of blocks.
    fn encoded(contents: &[&[u8]]) -> Vec<u8> {
        let (mut member, mut bytes, mut called) = (Member::default(), Member::HEADER.to_vec(), false);
        for block in compress_all(contents, || called = true).unwrap() {
            assert!(block.deflate.len() as u64 <= bound(block.bytes), "{}", block.bytes);
            member.add(&block);
            bytes.extend(block.deflate);
        }
        assert!(called);
        bytes.extend(member.end());
        bytes
    }

    /// What one member decodes to; there is nothing after it.
    fn decoded(bytes: &[u8]) -> Vec<u8> {
        let (mut decoder, mut content) = (GzDecoder::new(bytes), Vec::new());
        decoder.read_to_end(&mut content).unwrap();
        assert!(decoder.into_inner().is_empty(), "there is more than one member");
        let mut all = Vec::new();
        MultiGzDecoder::new(bytes).read_to_end(&mut all).unwrap();
        assert!(content == all, "another content");
        content
    }

    /// Text of numbers, as in a drawing.
    fn text(bytes: usize) -> Vec<u8> {
        let lines =
            (0u64..).flat_map(|n| format!("{}\n", n.wrapping_mul(0x9e37_79b9) % 1_000_003).into_bytes());
        lines.take(bytes).collect()
    }

    /// Bytes that cannot be compressed.
    fn noise(bytes: usize) -> Vec<u8> {
        let step = |state: &u64| Some(state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
        std::iter::successors(Some(1u64), step).map(|state| (state >> 56) as u8).take(bytes).collect()
    }

    /// What another decoder, a program, makes of it.
    fn by(program: &str, arguments: &[&str], bytes: &[u8]) -> Vec<u8> {
        let command =
            Command::new(program).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = command.unwrap_or_else(|error| panic!("{program}: {error}"));
        let (mut stdin, sent) = (child.stdin.take().unwrap(), bytes.to_vec());
        let writer = std::thread::spawn(move || stdin.write_all(&sent));
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap().unwrap();
        assert!(output.status.success(), "{program}: {}", output.status);
        output.stdout
    }

    #[test]
    fn every_decoder_reads_one_member() {
        // Raw inflate stops at the end of the first member, as browsers do.
        const PYTHON: &str = "import sys, zlib; d = zlib.decompressobj(31); \
            sys.stdout.buffer.write(d.decompress(sys.stdin.buffer.read()) + d.flush()); \
            assert d.eof and not d.unused_data";
        const NODE: &str = "process.stdout.write(require('zlib').gunzipSync(require('fs').readFileSync(0)))";
        let (text, noise) = (text(2 * BLOCK + 12_345), noise(BLOCK + 1));
        for content in [&text, &noise, &b"x".to_vec()] {
            let bytes = encoded(&content.chunks(BLOCK).collect::<Vec<_>>());
            assert!(decoded(&bytes) == *content);
            let programs: [(&str, &[&str]); 3] =
                [("gzip", &["-dc"]), ("python3", &["-c", PYTHON]), ("node", &["-e", NODE])];
            for (program, arguments) in programs {
                assert!(by(program, arguments, &bytes) == *content, "{program}: another content");
            }
        }
        let bytes = encoded(&text.chunks(BLOCK).collect::<Vec<_>>());
        assert!(bytes.len() < text.len() / 2, "{} of {} bytes", bytes.len(), text.len());
        assert_eq!(encoded(&[]), [&Member::HEADER[..], &[3, 0], &[0; 8]].concat());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_split_decodes_to_the_content(
            pieces in proptest::collection::vec(
                (any::<bool>(), prop_oneof![1usize..40, 16_000usize..17_000, 60_000usize..140_000]),
                0..12,
            )
        ) {
            let contents: Vec<Vec<u8>> = pieces
                .iter()
                .map(|&(is_text, bytes)| if is_text { text(bytes) } else { noise(bytes) })
                .collect();
            let bytes = encoded(&contents.iter().map(Vec::as_slice).collect::<Vec<_>>());
            prop_assert!(decoded(&bytes) == contents.concat());
        }
    }
}
