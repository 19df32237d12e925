//! Archives beyond 4 GiB, too large for disk or memory: the bytes are generated while they are
//! read.

use crate::archives::zip64;
use cadmill_archive::{CentralDirectoryReader, Decoder, Step};
use cadmill_core::domain::limits::ArchiveLimits;
use std::ops::Range;

/// Uncompressed size of each large entry, in bytes: slightly more than 4 GiB.
const LARGE: u64 = (4 << 30) + (1 << 20);
const PIECE: usize = 1 << 20;

/// Literal bytes, or a number of zeros.
enum Part {
    Bytes(Vec<u8>),
    Zeros(u64),
}

impl Part {
    fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Zeros(length) => *length,
        }
    }
}

/// A file made of parts.
#[derive(Default)]
struct Virtual(Vec<Part>);

impl Virtual {
    fn len(&self) -> u64 {
        self.0.iter().map(Part::len).sum()
    }

    fn put(&mut self, bytes: Vec<u8>) {
        self.0.push(Part::Bytes(bytes));
    }

    fn read(&self, range: &Range<u64>, buffer: &mut Vec<u8>) {
        buffer.clear();
        let mut at = 0;
        for part in &self.0 {
            let (from, to) = (range.start.clamp(at, at + part.len()), range.end.clamp(at, at + part.len()));
            match part {
                Part::Bytes(bytes) => buffer.extend(&bytes[(from - at) as usize..(to - at) as usize]),
                Part::Zeros(_) => buffer.resize(buffer.len() + (to - from) as usize, 0),
            }
            at += part.len();
        }
    }
}

struct Sizes {
    method: u16,
    flags: u16,
    crc: u32,
    packed: u64,
}

fn header(name: &str, sizes: &Sizes, crc: u32, extra: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for number in [45, sizes.flags, sizes.method, 0, 0x21] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend(crc.to_le_bytes());
    bytes.extend([0xff; 8]);
    bytes.extend((name.len() as u16).to_le_bytes());
    bytes.extend((extra.len() as u16).to_le_bytes());
    bytes
}

/// Compressed blocks of zeros. Each block is flushed to a byte boundary and independent of the
/// previous ones, so that it can be repeated.
fn deflated_zeros(blocks: u64, block: usize) -> Vec<u8> {
    let mut encoder = flate2::Compress::new(flate2::Compression::best(), false);
    let mut one = Vec::with_capacity(1 << 20);
    encoder.compress_vec(&vec![0; block], &mut one, flate2::FlushCompress::Full).unwrap();
    assert_eq!(encoder.total_in(), block as u64);
    let mut all = one.repeat(blocks as usize);
    // An empty final block (RFC 1951, 3.2.6).
    all.extend([3, 0]);
    all
}

/// CRC-32 of this many blocks of [`PIECE`] zeros.
fn crc_of_zeros(blocks: u64) -> u32 {
    let mut one = crc32fast::Hasher::new();
    one.update(&vec![0; PIECE]);
    let mut all = crc32fast::Hasher::new();
    for _ in 0..blocks {
        all.combine(&one);
    }
    all.finalize()
}

/// A stored entry with known sizes, and a deflated one with sizes after the data. Both are larger
/// than 4 GiB, and the second one starts beyond 4 GiB.
fn archive() -> Virtual {
    let crc = crc_of_zeros(LARGE / PIECE as u64);
    let packed = deflated_zeros(LARGE / PIECE as u64, PIECE);
    let stored = Sizes { method: 0, flags: 0, crc, packed: LARGE };
    let streamed = Sizes { method: 8, flags: 8, crc, packed: packed.len() as u64 };
    let mut file = Virtual::default();
    let extra = zip64(&[LARGE, LARGE]);
    file.put(
        [b"PK\x03\x04".to_vec(), header("stored", &stored, crc, &extra), b"stored".to_vec(), extra].concat(),
    );
    file.0.push(Part::Zeros(LARGE));
    let second_at = file.len();
    let extra = zip64(&[0, 0]);
    let local =
        [b"PK\x03\x04".to_vec(), header("streamed", &streamed, 0, &extra), b"streamed".to_vec(), extra];
    file.put(local.concat());
    file.put(packed);
    let descriptor = [streamed.packed, LARGE].map(u64::to_le_bytes).concat();
    file.put([&b"PK\x07\x08"[..], &crc.to_le_bytes(), &descriptor].concat());
    let directory = file.len();
    file.put(central("stored", &stored, &[LARGE, LARGE], 0));
    file.put(central("streamed", &streamed, &[LARGE, second_at], u32::MAX));
    let end = file.len();
    let mut record =
        [b"PK\x06\x06".to_vec(), 44u64.to_le_bytes().to_vec(), vec![45, 0, 45, 0], vec![0; 8]].concat();
    for number in [2, 2, end - directory, directory] {
        record.extend(number.to_le_bytes());
    }
    record.extend(b"PK\x06\x07\0\0\0\0");
    record.extend(end.to_le_bytes());
    record.extend(b"\x01\0\0\0PK\x05\x06\0\0\0\0\x02\0\x02\0");
    record.extend(((end - directory) as u32).to_le_bytes());
    record.extend(u32::MAX.to_le_bytes());
    record.extend([0; 2]);
    file.put(record);
    file
}

fn central(name: &str, sizes: &Sizes, numbers: &[u64], at: u32) -> Vec<u8> {
    let extra = zip64(numbers);
    let mut common = header(name, sizes, sizes.crc, &extra);
    if sizes.packed < u64::from(u32::MAX) {
        common[14..18].copy_from_slice(&(sizes.packed as u32).to_le_bytes());
    }
    let head = [
        &b"PK\x01\x02"[..],
        &[45, 3],
        &common,
        &[0; 6],
        &(0o100_644u32 << 16).to_le_bytes(),
        &at.to_le_bytes(),
    ];
    [&head.concat(), name.as_bytes(), &extra].concat()
}

#[ignore = "in `make nightly`"]
#[test]
fn zip64_beyond_four_gibibytes() {
    let file = archive();
    let limits = ArchiveLimits { ratio: 2000, ..ArchiveLimits::default() };
    let mut opening = CentralDirectoryReader::new(file.len(), &limits).unwrap();
    let mut buffer = Vec::new();
    while let Some(wanted) = opening.wants() {
        file.read(&wanted, &mut buffer);
        opening.feed(&buffer).unwrap();
    }
    let plan = opening.finish().unwrap();
    assert_eq!(plan.names(), ["stored", "streamed"]);
    assert_eq!(plan.expanded_bytes(), 2 * LARGE);
    let mut output = vec![1; PIECE];
    for entry in plan.entries() {
        let mut decoder = Decoder::new(entry);
        let mut segment = entry.segment();
        let mut produced = 0;
        while !segment.is_empty() {
            let range = segment.start..segment.end.min(segment.start + PIECE as u64);
            file.read(&range, &mut buffer);
            segment.start = range.end;
            produced += fed(&mut decoder, &buffer, &mut output);
        }
        decoder.finish().unwrap();
        assert_eq!(produced, LARGE);
    }
    assert!(output.iter().all(|&byte| byte == 0));
}

fn fed(decoder: &mut Decoder, mut input: &[u8], output: &mut [u8]) -> u64 {
    let mut produced = 0;
    loop {
        let step = decoder.step(input, output).unwrap();
        input = &input[step.consumed..];
        produced += step.produced as u64;
        if step == Step::default() {
            return produced;
        }
    }
}
