//! Compares the decoder with a bare loop of inflate and CRC-32 over the same bytes, on one core:
//! alternating rounds, and the ratio of the medians. Build it without the fuzzer's
//! instrumentation: `cargo run --release --bin unpack-speed`.

use cadmill_archive::{Decoder, CentralDirectoryReader, Step};
use cadmill_core::domain::limits::ArchiveLimits;
use cadmill_fuzz::fixtures::{Member, Zip};
use flate2::{Decompress, FlushDecompress, Status};
use std::time::{Duration, Instant};

const CHUNK: usize = 128 << 10;
const ROUNDS: usize = 15;

/// Vertices as text, which deflates to about a third.
fn text(bytes: usize) -> Vec<u8> {
    let mut state = 1u64;
    let mut text = Vec::with_capacity(bytes + 64);
    while text.len() < bytes {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let (x, y) = ((state >> 40) as f64 / 1e4, (state >> 20 & 0xf_ffff) as f64 / 1e3);
        text.extend(format!("v {x:.4} {y:.3} 0.000\n").into_bytes());
    }
    text
}

fn bare(packed: &[u8], output: &mut [u8]) -> u32 {
    let (mut inflater, mut crc) = (Decompress::new(false), crc32fast::Hasher::new());
    loop {
        let (input, before) = (&packed[inflater.total_in() as usize..], inflater.total_out());
        let input = &input[..input.len().min(CHUNK)];
        let status = inflater.decompress(input, output, FlushDecompress::None).expect("good data");
        crc.update(&output[..(inflater.total_out() - before) as usize]);
        if status == Status::StreamEnd {
            return crc.finalize();
        }
    }
}

fn main() {
    let content = text(64 << 20);
    let bytes = Zip::of([Member::deflated("a.obj", &content)]).build();
    let mut opening = CentralDirectoryReader::new(bytes.bytes.len() as u64, &ArchiveLimits::default()).expect("an archive");
    while let Some(wanted) = opening.wants() {
        opening.feed(&bytes.bytes[wanted.start as usize..wanted.end as usize]).expect("an archive");
    }
    let plan = opening.finish().expect("an archive");
    let entry = &plan.entries()[0];
    let packed = &bytes.bytes[30 + "a.obj".len()..bytes.directory];
    let expected = crc32fast::hash(&content);
    let mut output = vec![0; CHUNK];
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let mut decoder = Decoder::new(entry);
        for mut input in bytes.bytes[..bytes.directory].chunks(CHUNK) {
            loop {
                let step = decoder.step(input, &mut output).expect("good data");
                input = &input[step.consumed..];
                if step == Step::default() {
                    break;
                }
            }
        }
        decoder.finish().expect("good data");
        ours.push(start.elapsed());
        let start = Instant::now();
        let crc = bare(packed, &mut output);
        theirs.push(start.elapsed());
        assert_eq!(crc, expected);
    }
    let (ours, theirs) = (median(&mut ours), median(&mut theirs));
    let rate = |time: Duration| content.len() as f64 / time.as_secs_f64() / 1e6;
    println!("decoder {:.0} MB/s, bare loop {:.0} MB/s", rate(ours), rate(theirs));
    println!("decoder / bare loop: {:.3}", theirs.as_secs_f64() / ours.as_secs_f64());
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times[times.len() / 2]
}
