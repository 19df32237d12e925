//! Workspace destruction alone, for `wipe.py`: alternates the real removal of a workspace with
//! files, recorded in a ledger, and a bare overwrite of the same files.
//!
//! Prints one JSON object on standard output, times in seconds.

use cadmill_converter::workspace::WorkspaceRoot;
use cadmill_core::domain::ids::JobId;
use cadmill_core::domain::ledger::LedgerId;
use cadmill_core::ledger::{Ledger, Opening};
use cadmill_core::ports::AuditSink;
use cadmill_core::ports::clock::SystemClock;
use cadmill_stores::adapters::ledger::FileAudit;
use clap::Parser;
use serde_json::json;
use std::collections::HashSet;
use std::error::Error;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

const CHUNK: usize = 1 << 20;

#[derive(Parser)]
struct Args {
    /// Where the files are made; memory, or it is not measured
    place: PathBuf,
    /// MiB in all
    mib: usize,
    /// Among how many files
    files: usize,
    /// How often, each way
    rounds: usize,
}

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let threads = std::thread::available_parallelism()?.get();
    let rounds: Vec<_> = (0..args.rounds).map(|_| round(&args, threads)).collect::<Result<_, _>>()?;
    println!("{}", json!({"threads": threads, "rounds": rounds}));
    Ok(())
}

fn round(args: &Args, threads: usize) -> Result<serde_json::Value, Box<dyn Error>> {
    let audit = tempfile::tempdir_in(&args.place)?;
    let sink = FileAudit::new(audit.path())?;
    let id = LedgerId::of_attempt(JobId::random(), 1);
    let opening = Opening { ledger: id, worker: "bench".to_owned(), posture: Default::default() };
    let ledger = Arc::new(Ledger::open(&sink, None, Arc::new(SystemClock), opening)?);
    let workspace = WorkspaceRoot::new(args.place.clone(), false).create_recorded(Arc::clone(&ledger))?;
    fill(&workspace.input(), args)?;
    let started = Instant::now();
    workspace.remove()?;
    let ours = started.elapsed().as_secs_f64();
    ledger.close("completed")?;
    let wiping = wiping(&sink.read(id)?)?;

    let mut bare = Vec::new();
    for threads in [1, threads] {
        let directory = tempfile::tempdir_in(&args.place)?;
        let files = fill(directory.path(), args)?;
        let started = Instant::now();
        overwrite(&files, threads)?;
        let overwritten = started.elapsed().as_secs_f64();
        files.iter().try_for_each(std::fs::remove_file)?;
        bare.push(
            json!({"threads": threads, "overwrite": overwritten, "whole": started.elapsed().as_secs_f64()}),
        );
    }
    Ok(json!({"ours": ours, "overwrite": wiping, "bare": bare}))
}

/// Seconds, with millisecond resolution, from the first announcement of an overwrite to the end of
/// the last one, according to the ledger.
fn wiping(ledger: &[u8]) -> Result<f64, Box<dyn Error>> {
    let mut first = None;
    let (mut announced, mut last) = (HashSet::new(), 0);
    for line in ledger.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let record: serde_json::Value = serde_json::from_slice(line)?;
        let at = record["mono_ms"].as_u64().unwrap_or_default();
        if record["type"] == "intent" && record["act"] == "wipe" {
            first.get_or_insert(at);
            announced.insert(record["seq"].as_u64());
        } else if record["type"] == "done" && announced.contains(&record["intent"].as_u64()) {
            last = at;
        }
    }
    Ok((last - first.ok_or("nothing was overwritten")?) as f64 / 1000.0)
}

/// Files of equal size with non-zero content.
fn fill(directory: &Path, args: &Args) -> std::io::Result<Vec<PathBuf>> {
    let size = args.mib * (1 << 20) / args.files;
    let content: Vec<u8> = (0..CHUNK).map(|at| (at % 251) as u8 + 1).collect();
    let paths: Vec<PathBuf> = (0..args.files).map(|n| directory.join(format!("{n}.dxf"))).collect();
    for path in &paths {
        let file = File::create_new(path)?;
        for start in (0..size).step_by(CHUNK) {
            file.write_all_at(&content[..CHUNK.min(size - start)], start as u64)?;
        }
    }
    Ok(paths)
}

/// Overwrites the files with zeros, without reading back, recording or checking.
fn overwrite(files: &[PathBuf], threads: usize) -> std::io::Result<()> {
    const PIECE: u64 = 64 << 20;
    let zeros = vec![0; CHUNK];
    let pieces: Vec<(&PathBuf, u64, u64)> = files
        .iter()
        .map(|path| Ok((path, path.metadata()?.len())))
        .collect::<std::io::Result<Vec<_>>>()?
        .into_iter()
        .flat_map(|(path, size)| {
            (0..size).step_by(PIECE as usize).map(move |start| (path, start, size.min(start + PIECE)))
        })
        .collect();
    let next = AtomicUsize::new(0);
    let work = || -> std::io::Result<()> {
        while let Some((path, start, end)) = pieces.get(next.fetch_add(1, Ordering::Relaxed)) {
            let file = OpenOptions::new().write(true).open(path)?;
            for at in (*start..*end).step_by(CHUNK) {
                file.write_all_at(&zeros[..CHUNK.min((end - at) as usize)], at)?;
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let mine = work();
        others.into_iter().try_for_each(|other| other.join().expect("a writer")).and(mine)
    })
}
