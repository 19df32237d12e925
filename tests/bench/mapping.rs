//! Compares mapping a file into memory (`memmap2`) with reading and writing it, for what a job does
//! with whole files: hashing, wiping and sending the output. See docs/adr/0016-no-mapping.md.
//!
//! ```text
//! mapping [MIB] [RUNS]
//! ```
//!
//! The file is on the tmpfs /dev/shm. Each run is a separate process, so that its resident memory
//! can be measured; the two ways alternate.

use cadmill_converter::digest::Digest;
use memmap2::{Advice, Mmap, MmapMut};
use std::error::Error;
use std::fs::File;
use std::hint::black_box;
use std::io::{Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// What the converter hashes and wipes at once, and the part that it uploads at once, in bytes.
const HASHED: usize = 256 << 10;
const WIPED: usize = 128 << 10;
const SENT: usize = 8 << 20;

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

fn main() -> Outcome {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [once, work, way, path] = arguments.as_slice()
        && once == "once"
    {
        return once_in_this_process(work, way, Path::new(path));
    }
    let number = |at: usize, default| arguments.get(at).map_or(Ok(default), |text| text.parse::<usize>());
    compare(number(0, 1024)?, number(1, 7)?)
}

fn compare(mib: usize, runs: usize) -> Outcome {
    let mut file = tempfile::Builder::new().prefix("cadmill-bench-").tempfile_in("/dev/shm")?;
    // Bytes that no page shares with another.
    let mut state = 1_u64;
    for _ in 0..mib {
        let block: Vec<u8> = (0..1 << 17)
            .flat_map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                state.to_le_bytes()
            })
            .collect();
        file.write_all(&block)?;
    }
    println!("{mib} MiB, median of {runs} runs each\n");
    println!("| work | read or written, GB/s | mapped, GB/s | mapped / read or written | resident, MiB |");
    println!("|---|---|---|---|---|");
    for work in ["hash", "wipe", "send"] {
        let mut seen = [Vec::new(), Vec::new()];
        for _ in 0..runs {
            for (way, seen) in ["read", "mapped"].into_iter().zip(&mut seen) {
                let mut command = Command::new(std::env::current_exe()?);
                let output = command.args(["once", work, way]).arg(file.path()).output()?;
                let text = String::from_utf8(output.stdout)?;
                let (seconds, resident) = text.trim().split_once(' ').ok_or("a run failed")?;
                seen.push((seconds.parse::<f64>()?, resident.parse::<u64>()?));
            }
        }
        let [read, mapped] = seen.map(|mut seen| {
            seen.sort_by(|a, b| a.0.total_cmp(&b.0));
            seen[seen.len() / 2]
        });
        let rate = |seconds: f64| (mib << 20) as f64 / seconds / 1e9;
        println!(
            "| {work} | {:.2} | {:.2} | {:.2} | {} and {} |",
            rate(read.0),
            rate(mapped.0),
            mapped.0 / read.0,
            read.1,
            mapped.1
        );
    }
    holes()
}

/// What reading a hole allocates.
fn holes() -> Outcome {
    const SIZE: u64 = 64 << 20;
    println!("\nA hole of {} MiB, after each byte of it was read:\n", SIZE >> 20);
    for (way, read) in [
        ("read", hash_by_reading as fn(&File) -> Outcome),
        ("mapped", hash_by_mapping as fn(&File) -> Outcome),
    ] {
        let file = tempfile::tempfile_in("/dev/shm")?;
        file.set_len(SIZE)?;
        read(&file)?;
        println!("- {way}: {} MiB allocated", (file.metadata()?.blocks() * 512) >> 20);
    }
    Ok(())
}

fn once_in_this_process(work: &str, way: &str, path: &Path) -> Outcome {
    let file = File::options().read(true).write(true).open(path)?;
    let size = usize::try_from(file.metadata()?.len())?;
    let begun = Instant::now();
    match (work, way) {
        ("hash", "read") => hash_by_reading(&file)?,
        ("hash", "mapped") => hash_by_mapping(&file)?,
        ("wipe", "read") => wipe_by_writing(&file, size)?,
        ("wipe", "mapped") => wipe_by_mapping(&file)?,
        ("send", "read") => send(size, |to| send_by_reading(&file, size, to))?,
        ("send", "mapped") => send(size, |to| send_by_mapping(&file, to))?,
        _ => return Err("hash, wipe or send; read or mapped".into()),
    }
    println!("{} {}", begun.elapsed().as_secs_f64(), resident_mib()?);
    Ok(())
}

fn hash_by_reading(mut file: &File) -> Outcome {
    let (mut digest, mut buffer) = (Digest::default(), vec![0; HASHED]);
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            n => digest.update(&buffer[..n]),
        }
    }
    black_box(digest.finish());
    Ok(())
}

fn hash_by_mapping(file: &File) -> Outcome {
    let memory = mapped(file)?;
    let mut digest = Digest::default();
    digest.update(&memory);
    black_box(digest.finish());
    Ok(())
}

/// As the converter does: each piece is read back while it is in the cache.
fn wipe_by_writing(file: &File, size: usize) -> Outcome {
    let (zeros, mut read) = (vec![0; WIPED], vec![0xff; WIPED]);
    for start in (0..size).step_by(WIPED) {
        let length = WIPED.min(size - start);
        file.write_all_at(&zeros[..length], start as u64)?;
        file.read_exact_at(&mut read[..length], start as u64)?;
        if read[..length] != zeros[..length] {
            return Err("other bytes were read back".into());
        }
    }
    Ok(())
}

fn wipe_by_mapping(file: &File) -> Outcome {
    // SAFETY: no other process changes the size of the file, which belongs to this benchmark.
    let mut memory = unsafe { MmapMut::map_mut(file)? };
    for piece in memory.chunks_mut(WIPED) {
        piece.fill(0);
        if black_box(&*piece).iter().any(|byte| *byte != 0) {
            return Err("other bytes were read back".into());
        }
    }
    Ok(())
}

/// Sends over a socket whose other end reads everything.
fn send(size: usize, from: impl FnOnce(&mut UnixStream) -> Outcome) -> Outcome {
    let (mut ours, mut theirs) = UnixStream::pair()?;
    let reader = std::thread::spawn(move || {
        let mut buffer = vec![0; 64 << 10];
        let mut left = size;
        while left > 0 {
            left -= theirs.read(&mut buffer)?;
        }
        Ok::<(), std::io::Error>(())
    });
    from(&mut ours)?;
    reader.join().map_err(|_| "the reader has panicked")??;
    Ok(())
}

fn send_by_reading(file: &File, size: usize, to: &mut UnixStream) -> Outcome {
    for start in (0..size).step_by(SENT) {
        let mut part = vec![0; SENT.min(size - start)];
        file.read_exact_at(&mut part, start as u64)?;
        to.write_all(&part)?;
    }
    Ok(())
}

fn send_by_mapping(file: &File, to: &mut UnixStream) -> Outcome {
    for part in mapped(file)?.chunks(SENT) {
        to.write_all(part)?;
    }
    Ok(())
}

fn mapped(file: &File) -> Outcome<Mmap> {
    // SAFETY: no other process changes the file, which belongs to this benchmark.
    let memory = unsafe { Mmap::map(file)? };
    memory.advise(Advice::Sequential)?;
    Ok(memory)
}

/// The largest resident set of this process (proc(5)).
fn resident_mib() -> Outcome<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? >> 10)
}
