//! The intake alone, for `intake.py`: a server, a file to serve, the real download and unpacking,
//! and the bare loops that these are compared with.
//!
//! Each mode prints one JSON object on standard output.

use bytes::Bytes;
use cadmill_archive::{Decoder, Entry, Plan};
use cadmill_converter::intake::{DownloadConfig, Local, Remote, Source};
use cadmill_converter::workspace::Folder;
use cadmill_core::domain::ids::{JobId, ObjectKey};
use cadmill_core::domain::job::{Compress, JobSpec, Object};
use cadmill_core::domain::limits::ArchiveLimits;
use cadmill_core::ports::ObjectStore;
use cadmill_stores::adapters::aws::S3Store;
use cadmill_stores::adapters::embedded::server::{Credentials, settings};
use cadmill_stores::adapters::embedded::{Database, EmbeddedS3};
use clap::{Parser, Subcommand};
use flate2::{Decompress, FlushDecompress, Status};
use futures_util::StreamExt;
use serde_json::{Value, json};
use std::error::Error;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;
use zip::write::SimpleFileOptions;

type Outcome = Result<Value, Box<dyn Error>>;

const MIB: usize = 1 << 20;
const CHUNK: usize = 256 << 10;

/// The id of the job that owns the only object.
const JOB: &str = "11111111-2222-4333-8444-555555555555";

#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    mode: Mode,
}

#[derive(Subcommand)]
enum Mode {
    /// Make an archive that expands to about so many MiB
    Generate { file: PathBuf, mib: usize },
    /// Serve S3 from a directory until standard input ends
    Serve { data: PathBuf },
    /// Put the file into the store, in parts
    Put { data: PathBuf, endpoint: String, file: PathBuf },
    /// Download and expand, as a worker does
    Fetch { data: PathBuf, endpoint: String, sha256: String, directory: PathBuf },
    /// Expand a local archive, as `cadmill convert` does
    Unpack { file: PathBuf, directory: PathBuf },
    /// Ranged requests whose bytes go nowhere
    BareGets { data: PathBuf, endpoint: String },
    /// The archive reader alone, on one thread: the content goes nowhere
    Decode { file: PathBuf },
    /// zlib-rs and CRC-32 in a plain loop, on one thread: the content goes nowhere
    BareInflate { file: PathBuf },
    /// New files of the entries' sizes in the directory
    BareWrite { file: PathBuf, directory: PathBuf },
}

/// Memory that held plaintext, names or keys reads as zeros after it is freed.
#[global_allocator]
static MEMORY: zeroizing_alloc::ZeroAlloc<std::alloc::System> =
    zeroizing_alloc::ZeroAlloc(std::alloc::System);

fn main() -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let answer = match Args::parse().mode {
        Mode::Generate { file, mib } => generate(&file, mib * MIB)?,
        Mode::Serve { data } => runtime.block_on(serve(&data))?,
        Mode::Put { data, endpoint, file } => runtime.block_on(put(&data, endpoint, &file))?,
        Mode::Fetch { data, endpoint, sha256, directory } => {
            let (remote, started) = runtime.block_on(open(&data, endpoint, sha256))?;
            remote.expand(&Folder::unrecorded(&directory)?, &AtomicBool::new(false), &mut |_| {})?;
            timed(started, remote.plan().map_or(0, Plan::expanded_bytes))
        }
        Mode::Unpack { file, directory } => {
            let started = Instant::now();
            let local = Local::open(&file, &limits())?;
            local.expand(&Folder::unrecorded(&directory)?, &AtomicBool::new(false), &mut |_| {})?;
            timed(started, local.plan().map_or(0, Plan::expanded_bytes))
        }
        Mode::BareGets { data, endpoint } => runtime.block_on(bare_gets(&data, endpoint))?,
        Mode::Decode { file } => each_entry(&file, decode)?,
        Mode::BareInflate { file } => each_entry(&file, bare_inflate)?,
        Mode::BareWrite { file, directory } => bare_write(&file, &directory)?,
    };
    println!("{answer}");
    Ok(())
}

fn limits() -> ArchiveLimits {
    ArchiveLimits { expanded_bytes: 64 << 30, ..ArchiveLimits::default() }
}

fn timed(started: Instant, bytes: u64) -> Value {
    json!({"seconds": started.elapsed().as_secs_f64(), "bytes": bytes})
}

/// One large drawing, a smaller one, and many small files, identical in every run.
fn generate(file: &Path, bytes: usize) -> Outcome {
    let mut writer = zip::ZipWriter::new(BufWriter::new(File::create(file)?));
    let options = SimpleFileOptions::default().last_modified_time(zip::DateTime::default());
    let small = 200;
    let sizes = [bytes / 20 * 11, bytes / 20 * 7].into_iter();
    for (n, size) in sizes.chain((0..small).map(|_| bytes / 10 / small)).enumerate() {
        // Zip64 that is not needed is refused.
        let options = options.large_file(size + MIB >= u32::MAX as usize);
        writer.start_file(format!("plan/layer-{n}.dxf"), options)?;
        drawing(n as u64, size, &mut writer)?;
    }
    let done = writer.finish()?.into_inner()?;
    Ok(json!({"bytes": done.metadata()?.len()}))
}

/// Polylines in DXF: group codes, and coordinates from a random walk.
fn drawing(seed: u64, bytes: usize, target: &mut impl Write) -> std::io::Result<()> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let (mut x, mut y) = (3_500_000u64, 5_400_000u64);
    let (mut text, mut written, mut left) = (String::new(), 0, 0);
    while written < bytes {
        text.clear();
        while text.len() < CHUNK {
            if left == 0 {
                left = 4 + random() % 60;
                let (handle, layer) = (random() >> 40, random() % 12);
                let _ = write!(
                    text,
                    "  0\nLWPOLYLINE\n  5\n{handle:X}\n100\nAcDbEntity\n  8\nLAYER_{layer}\n100\nAcDbPolyline\n 90\n{left}\n 70\n0\n"
                );
            }
            left -= 1;
            (x, y) = (x + random() % 9, y + random() % 9);
            let (part_x, part_y) = (random() % 1_000_000_000, random() % 1_000_000_000);
            let _ = write!(text, " 10\n{x}.{part_x:09}\n 20\n{y}.{part_y:09}\n");
        }
        target.write_all(text.as_bytes())?;
        written += text.len();
    }
    Ok(())
}

async fn serve(data: &Path) -> Outcome {
    std::fs::create_dir_all(data)?;
    let queue = Arc::new(Database::open(&data.join("jobs.sqlite"), 9)?.queue());
    let server = EmbeddedS3::start(data, ([127, 0, 0, 1], 0).into(), queue, &[]).await?;
    let Credentials { access_key, secret_key } = server.credentials();
    let key = key().to_string();
    println!(
        "{}",
        json!({
            "endpoint": server.endpoint(), "bucket": server.bucket(), "key": key,
            "access_key": access_key, "secret_key": secret_key,
        })
    );
    tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink())).await??;
    server.stop().await;
    Ok(Value::Null)
}

fn key() -> ObjectKey {
    let job: JobId = JOB.parse().expect("a UUID");
    ObjectKey::upload(job, "plan.zip".parse().expect("a name"))
}

async fn store(data: &Path, endpoint: String) -> Result<S3Store, Box<dyn Error>> {
    Ok(S3Store::new(settings(endpoint, Credentials::read(data)?)).await)
}

async fn put(data: &Path, endpoint: String, file: &Path) -> Outcome {
    let (store, key) = (store(data, endpoint).await?, key());
    let upload = store.begin_multipart(&key).await?;
    let mut file = File::open(file)?;
    let (mut parts, mut bytes) = (Vec::new(), 0);
    for number in 1.. {
        let mut part = Vec::new();
        (&mut file).take(16 << 20).read_to_end(&mut part)?;
        if part.is_empty() {
            break;
        }
        bytes += part.len();
        parts.push(store.put_part(&key, &upload, number, part.into()).await?);
    }
    store.complete_multipart(&key, &upload, &parts).await?;
    Ok(json!({"bytes": bytes}))
}

async fn open(data: &Path, endpoint: String, sha256: String) -> Result<(Remote, Instant), Box<dyn Error>> {
    let store: Arc<dyn ObjectStore> = Arc::new(store(data, endpoint).await?);
    let started = Instant::now();
    let object = store.head(&key()).await?;
    let order = JobSpec {
        owner: "bench".parse()?,
        file_name: "plan.zip".parse()?,
        size_bytes: object.size_bytes,
        sha256: Some(sha256),
        format: "dxf".to_owned(),
        root: None,
        options: Default::default(),
        compress: Compress::Never,
        strict: false,
        accept_gzip: false,
        result_ttl_seconds: None,
    };
    let remote = Remote::open(store, &order, object, &limits(), DownloadConfig::default()).await??;
    Ok((remote, started))
}

/// As many concurrent requests, of the same size, as the intake makes.
async fn bare_gets(data: &Path, endpoint: String) -> Outcome {
    let store = Arc::new(store(data, endpoint).await?);
    let started = Instant::now();
    let object = store.head(&key()).await?;
    let flow = DownloadConfig::default();
    let starts = (0..object.size_bytes).step_by(usize::try_from(flow.part_bytes)?);
    let get = |start: u64| {
        let (store, object): (Arc<S3Store>, Object) = (Arc::clone(&store), object.clone());
        let end = object.size_bytes.min(start + flow.part_bytes);
        async move { tokio::spawn(async move { store.read(&object, start..end).await }).await }
    };
    let mut parts = futures_util::stream::iter(starts.map(get)).buffered(flow.requests);
    while let Some(part) = parts.next().await {
        drop::<Bytes>(part??);
    }
    Ok(timed(started, object.size_bytes))
}

fn each_entry(
    file: &Path,
    work: impl Fn(&Entry, &File, &mut [u8], &mut [u8]) -> Result<(), Box<dyn Error>>,
) -> Outcome {
    let local = Local::open(file, &limits())?;
    let plan = local.plan().ok_or("no archive")?;
    let file = File::open(file)?;
    let started = Instant::now();
    let (mut input, mut output) = (vec![0; CHUNK], vec![0; CHUNK]);
    for entry in plan.entries() {
        work(entry, &file, &mut input, &mut output)?;
    }
    Ok(timed(started, plan.expanded_bytes()))
}

fn decode(entry: &Entry, file: &File, input: &mut [u8], output: &mut [u8]) -> Result<(), Box<dyn Error>> {
    let mut decoder = Decoder::new(entry);
    let mut segment = entry.segment();
    while !segment.is_empty() {
        let length = usize::try_from(segment.end - segment.start)?.min(input.len());
        file.read_exact_at(&mut input[..length], segment.start)?;
        segment.start += length as u64;
        let mut left = &input[..length];
        loop {
            let step = decoder.step(left, output)?;
            left = &left[step.consumed..];
            if step.consumed == 0 && step.produced == 0 {
                break;
            }
        }
    }
    Ok(decoder.finish()?)
}

/// The minimum work of any unzipping.
fn bare_inflate(
    entry: &Entry,
    file: &File,
    input: &mut [u8],
    output: &mut [u8],
) -> Result<(), Box<dyn Error>> {
    let mut header = [0; 30];
    let segment = entry.segment();
    file.read_exact_at(&mut header, segment.start)?;
    let length = |at: usize| u64::from(u16::from_le_bytes([header[at], header[at + 1]]));
    let mut at = segment.start + 30 + length(26) + length(28);
    let (mut inflater, mut crc) = (Decompress::new(false), crc32fast::Hasher::new());
    let (mut from, mut to) = (0, 0);
    loop {
        if from == to {
            to = file.read_at(input, at)?;
            (from, at) = (0, at + to as u64);
        }
        let (before_in, before_out) = (inflater.total_in(), inflater.total_out());
        let status = inflater.decompress(&input[from..to], output, FlushDecompress::None)?;
        from += usize::try_from(inflater.total_in() - before_in)?;
        crc.update(&output[..usize::try_from(inflater.total_out() - before_out)?]);
        if status == Status::StreamEnd {
            break;
        }
    }
    std::hint::black_box(crc.finalize());
    Ok(())
}

fn bare_write(file: &Path, directory: &Path) -> Outcome {
    let local = Local::open(file, &limits())?;
    let plan = local.plan().ok_or("no archive")?;
    let chunk: Vec<u8> = (0..CHUNK).map(|i| (i * 7 % 251) as u8).collect();
    let started = Instant::now();
    for (n, entry) in plan.entries().iter().enumerate() {
        let mut file = File::create_new(directory.join(n.to_string()))?;
        let mut left = usize::try_from(entry.expanded_bytes())?;
        while left > 0 {
            let length = left.min(CHUNK);
            file.write_all(&chunk[..length])?;
            left -= length;
        }
    }
    Ok(timed(started, plan.expanded_bytes()))
}
