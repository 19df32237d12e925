//! The archive reader on arbitrary bytes.
//!
//! - It does not panic, and keeps the invariants of its types.
//! - Fed byte by byte it gives the same verdict and the same content.
//! - Accepted archives are written to the directory that `CADMILL_FUZZ_ACCEPTED` names, with
//!   names and digests, for third-party readers to check: `fuzz/oracle.py`.

#![no_main]

use cadmill_core::domain::failure::{Failure, FailureCode};
use cadmill_fuzz::model::{Dice, mutate, parse};
use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::fmt::Write;
use std::path::PathBuf;
use std::sync::{LazyLock, Mutex};
use std::time::{Duration, Instant};

fuzz_target!(init: write_corpus(), |data: &[u8]| {
    let whole = cadmill_fuzz::read(data, usize::MAX >> 1);
    if data.len() <= 4096 {
        let bytes = cadmill_fuzz::read(data, 1);
        assert_eq!(whole.as_ref().map_err(verdict), bytes.as_ref().map_err(verdict));
    }
    if let Ok(entries) = whole {
        keep(data, &entries);
    }
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let mut dice = Dice::new(seed);
    let Some(mut zip) = parse(&data[..size]).filter(|_| dice.below(8) > 0) else {
        return fuzzer_mutate(data, size, max_size);
    };
    for _ in 0..=dice.below(3) {
        mutate(&mut zip, &mut dice);
    }
    let bytes = zip.bytes();
    if bytes.len() > max_size {
        return fuzzer_mutate(data, size, max_size);
    }
    data[..bytes.len()].copy_from_slice(&bytes);
    if dice.below(16) == 0 { fuzzer_mutate(data, bytes.len(), max_size) } else { bytes.len() }
});

/// The code of a refusal. Content with two defects may be reported with either code, depending
/// on how far the inflater got.
fn verdict(failure: &Failure) -> FailureCode {
    match failure.code {
        FailureCode::ArchiveDamagedData | FailureCode::ArchiveCrc => FailureCode::ArchiveSizeMismatch,
        code => code,
    }
}

/// Writes the generated archives, the initial corpus of the fuzzer, to the directory that
/// `CADMILL_FUZZ_CORPUS` names.
fn write_corpus() {
    let Some(directory) = std::env::var_os("CADMILL_FUZZ_CORPUS").map(PathBuf::from) else { return };
    for (n, case) in cadmill_fuzz::fixtures::cases().iter().enumerate() {
        if case.bytes.len() < 1 << 16 {
            let path = directory.join(format!("case-{n:03}.zip"));
            std::fs::write(path, &case.bytes).expect("the directory can be written to");
        }
    }
}

/// Third-party readers are slow: at most as many archives are kept as they can check.
const INTERVAL: Duration = Duration::from_millis(40);

struct Kept {
    directory: Option<PathBuf>,
    seen: HashSet<String>,
    last: Option<Instant>,
}

static KEPT: LazyLock<Mutex<Kept>> = LazyLock::new(|| {
    let directory = std::env::var_os("CADMILL_FUZZ_ACCEPTED").map(PathBuf::from);
    Mutex::new(Kept { directory, seen: HashSet::new(), last: None })
});

fn keep(data: &[u8], entries: &[(String, Vec<u8>)]) {
    let mut kept = KEPT.lock().expect("one thread");
    let Some(directory) = kept.directory.clone() else { return };
    if kept.last.is_some_and(|last| last.elapsed() < INTERVAL) {
        return;
    }
    let name = hex(data);
    if !kept.seen.insert(name.clone()) {
        return;
    }
    kept.last = Some(Instant::now());
    let listing: Vec<_> = entries.iter().map(|(name, content)| (name, hex(content))).collect();
    let listing = serde_json::to_string(&listing).expect("text");
    let path = |suffix: &str| directory.join(format!("{name}.{suffix}"));
    // The listing is renamed into place last: an archive with a listing is complete.
    std::fs::write(path("zip"), data)
        .and_then(|()| std::fs::write(path("part"), listing))
        .and_then(|()| std::fs::rename(path("part"), path("json")))
        .expect("the directory can be written to");
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
