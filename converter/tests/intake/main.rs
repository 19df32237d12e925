//! The intake, on a real object server behind a failing network. Every run ends with the whole
//! content or with a specific failure code, and never hangs.

mod proxy;

use cadmill_converter::intake::{DownloadConfig, Remote, Source};
use cadmill_converter::workspace::Folder;
use cadmill_core::domain::failure::{Failure, FailureCode};
use cadmill_core::domain::ids::{JobId, ObjectKey, Role};
use cadmill_core::domain::job::{JobSpec, Object};
use cadmill_core::domain::limits::ArchiveLimits;
use cadmill_core::ports::{ObjectStore, PortError};
use cadmill_stores::adapters::aws::s3::S3Store;
use cadmill_stores::adapters::embedded::{Database, EmbeddedS3};
use proxy::{Act, Proxy, Seen};
use sha2::{Digest, Sha256};
use std::io::{Cursor, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use zip::write::SimpleFileOptions;

/// Small parts, so that small archives have many; short pauses, so that tests are fast.
const FLOW: DownloadConfig = DownloadConfig {
    part_bytes: 64 << 10,
    buffer_bytes: 4 * (64 << 10),
    requests: 3,
    tries: 4,
    pause: Duration::from_millis(5),
    hedge_after: Duration::from_secs(60),
    hedge_first_after: Duration::from_secs(60),
};

/// Longer than any of these tests takes, on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(120);

struct World {
    direct: Arc<dyn ObjectStore>,
    store: Arc<dyn ObjectStore>,
    proxy: Proxy,
    _server: EmbeddedS3,
    _data: TempDir,
}

impl World {
    async fn new() -> Self {
        let data = tempfile::tempdir().unwrap();
        let queue = Arc::new(Database::open(&data.path().join("jobs.sqlite"), 9).unwrap().queue());
        let listen = ([127, 0, 0, 1], 0).into();
        let server = EmbeddedS3::start(data.path(), listen, queue, &[]).await.unwrap();
        let proxy = Proxy::before(&server.endpoint()).await;
        let mut settings = server.settings();
        let direct = Arc::new(S3Store::new(settings.clone()).await);
        settings.service.endpoint = Some(proxy.endpoint());
        let store = Arc::new(S3Store::new(settings).await);
        Self { direct, store, proxy, _server: server, _data: data }
    }

    async fn upload(&self, bytes: &[u8], name: &str) -> (JobSpec, Object) {
        let key = ObjectKey::upload(JobId::random(), name.parse().unwrap());
        self.direct.put(&key, bytes.to_vec().into()).await.unwrap();
        let order = JobSpec {
            owner: "tester".parse().unwrap(),
            file_name: name.parse().unwrap(),
            size_bytes: bytes.len() as u64,
            sha256: Some(sha256(bytes)),
            format: "dxf".to_owned(),
            root: None,
            options: Default::default(),
            compress: Default::default(),
            strict: false,
            accept_gzip: false,
            result_ttl_seconds: None,
        };
        (order, self.direct.head(&key).await.unwrap())
    }

    async fn open(&self, order: &JobSpec, object: &Object, flow: DownloadConfig) -> Result<Remote, Failure> {
        let limits = ArchiveLimits::default();
        let opened = Remote::open(Arc::clone(&self.store), order, object.clone(), &limits, flow);
        opened.await.map_err(Failure::from)?
    }

    /// Uploads an archive and opens it: its central directory is read, its body is not.
    async fn opened(&self, bytes: &[u8], flow: DownloadConfig) -> (Remote, Object) {
        let (order, object) = self.upload(bytes, "plan.zip").await;
        let remote = self.open(&order, &object, flow).await.unwrap();
        (remote, object)
    }
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Expands on a separate thread, as an attempt does.
async fn expand(remote: Remote) -> Result<TempDir, Failure> {
    expand_until(remote, Arc::default()).await
}

async fn expand_until(remote: Remote, cancel: Arc<AtomicBool>) -> Result<TempDir, Failure> {
    let work = tokio::task::spawn_blocking(move || {
        let directory = tempfile::Builder::new().prefix("cadmill-test-").tempdir_in("/dev/shm").unwrap();
        let mut latest = 0.0;
        let progress = &mut |fraction: f64| {
            assert!((latest..=1.0).contains(&fraction), "{fraction} after {latest}");
            latest = fraction;
        };
        let folder = Folder::unrecorded(directory.path()).unwrap();
        if remote.plan().is_some() {
            remote.expand(&folder, &cancel, progress)?;
        } else {
            remote.place(&folder, &cancel, progress)?;
        }
        Ok(directory)
    });
    tokio::time::timeout(PATIENCE, work).await.expect("it ends").unwrap()
}

/// Numbers as text, as in many CAD formats.
fn drawing(seed: u64, bytes: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2) + 1;
    let mut text = String::with_capacity(bytes + 64);
    while text.len() < bytes {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        text.push_str(&format!("VERTEX\n10\n{}.{:03}\n", state >> 44, (state >> 20) % 1000));
    }
    text.truncate(bytes);
    text.into_bytes()
}

type Files = Vec<(String, Vec<u8>)>;

fn files(sizes: &[usize]) -> Files {
    let file = |(n, &size): (usize, &usize)| (format!("d{}/f{n}.txt", n % 3), drawing(n as u64, size));
    sizes.iter().enumerate().map(file).collect()
}

fn archive(files: &Files) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (n, (name, content)) in files.iter().enumerate() {
        let method =
            if n % 4 == 3 { zip::CompressionMethod::Stored } else { zip::CompressionMethod::Deflated };
        let options = SimpleFileOptions::default().compression_method(method);
        writer.start_file(name.as_str(), options).unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

#[track_caller]
fn same(directory: &TempDir, files: &Files) {
    for (name, content) in files {
        let found = std::fs::read(directory.path().join(name)).unwrap();
        assert!(found == *content, "{name}: {} bytes of {}", found.len(), content.len());
    }
    let mut count = 0;
    let mut pending = vec![directory.path().to_owned()];
    while let Some(path) = pending.pop() {
        for entry in std::fs::read_dir(path).unwrap().flatten() {
            let is_directory = entry.file_type().unwrap().is_dir();
            if is_directory { pending.push(entry.path()) } else { count += 1 }
        }
    }
    assert_eq!(count, files.len());
}

const SIZES: &[usize] = &[2_000_000, 10, 300_000, 500_000, 0, 70_000, 1_000_000, 1];

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_is_expanded_while_it_comes() {
    let world = World::new().await;
    let files = files(SIZES);
    let bytes = archive(&files);
    let (remote, _) = world.opened(&bytes, FLOW).await;
    world.proxy.rule(|_| Act::Pass);
    same(&expand(remote).await.unwrap(), &files);
    assert_eq!(world.proxy.body_bytes(), bytes.len() as u64, "each byte once");
}

/// The buffer is smaller than some entries and larger than others. There are entries of several
/// parts and parts of several entries, with one thread and with several.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_stands_still_however_small_the_buffer() {
    let world = World::new().await;
    let files = files(&[300_000, 1, 1, 1, 200_000, 0, 0, 100_000, 2, 3, 150_000, 150_000]);
    let bytes = archive(&files);
    for (part_bytes, parts, requests) in
        [(1000, 2, 1), (1000, 2, 8), (4096, 3, 2), (100_000, 2, 4), (1 << 20, 2, 2)]
    {
        let flow = DownloadConfig { part_bytes, buffer_bytes: part_bytes * parts, requests, ..FLOW };
        let (remote, _) = world.opened(&bytes, flow).await;
        same(&expand(remote).await.unwrap(), &files);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_of_one_byte_make_the_same_files() {
    let world = World::new().await;
    let files = files(&[900, 0, 1, 500]);
    let (remote, _) = world
        .opened(&archive(&files), DownloadConfig { part_bytes: 1, buffer_bytes: 8, requests: 8, ..FLOW })
        .await;
    same(&expand(remote).await.unwrap(), &files);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_come_byte_by_byte_make_the_same_files() {
    let world = World::new().await;
    world.proxy.rule(|_| Act::Dribble(1));
    let files = files(&[20_000, 0, 1, 5000]);
    let (remote, _) = world.opened(&archive(&files), FLOW).await;
    same(&expand(remote).await.unwrap(), &files);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_break_are_made_again() {
    let world = World::new().await;
    let files = files(SIZES);
    let bytes = archive(&files);
    world.proxy.rule(|seen| if seen.before < 2 { Act::Cut(seen.number * 7919 % 3) } else { Act::Pass });
    let (remote, _) = world.opened(&bytes, FLOW).await;
    // Each part is cut off twice, at different offsets.
    world.proxy.rule(|seen| match seen.before {
        0 => Act::Cut(seen.number * 7919 % 300),
        1 => Act::Cut(0),
        _ => Act::Pass,
    });
    same(&expand(remote).await.unwrap(), &files);
    let parts = bytes.len().div_ceil(64 << 10);
    assert_eq!(world.proxy.seen().len(), parts * 3, "the third request for each part answers");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_always_break_are_the_stores_failure() {
    let world = World::new().await;
    let (remote, _) = world.opened(&archive(&files(SIZES)), FLOW).await;
    world.proxy.rule(|seen| if seen.number < 3 { Act::Pass } else { Act::Cut(1000) });
    assert_eq!(expand(remote).await.unwrap_err().code, FailureCode::StoreUnavailable);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_busy_for_a_while_is_asked_again() {
    let world = World::new().await;
    let files = files(SIZES);
    // The client itself tries three times; here it fails once and is retried.
    let busy = |seen: &Seen| if seen.before < 4 && seen.number < 40 { Act::Refuse(503) } else { Act::Pass };
    world.proxy.rule(busy);
    let (remote, _) = world.opened(&archive(&files), FLOW).await;
    world.proxy.rule(busy);
    same(&expand(remote).await.unwrap(), &files);
    assert!(world.proxy.seen().iter().any(|seen| seen.before == 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_stays_busy_is_the_stores_failure() {
    let world = World::new().await;
    let (order, object) = world.upload(&archive(&files(SIZES)), "plan.zip").await;
    let flow = DownloadConfig { tries: 2, ..FLOW };
    let remote = world.open(&order, &object, flow).await.unwrap();
    world.proxy.rule(|_| Act::Refuse(503));
    let failure = expand(remote).await.unwrap_err();
    assert_eq!(failure.code, FailureCode::StoreUnavailable);
    assert!(failure.code.retryable() && !failure.message.contains("plan"), "{failure}");
    let limits = ArchiveLimits::default();
    let opened = Remote::open(Arc::clone(&world.store), &order, object, &limits, flow).await;
    assert!(matches!(opened, Err(PortError::Unavailable { .. })), "the job is not to blame");
}

/// Another object of the same size is put under the key while it is read.
#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_is_replaced_is_noticed() {
    let world = World::new().await;
    let content = files(SIZES);
    let bytes = archive(&content);
    let (remote, object) = world.opened(&bytes, FLOW).await;
    let (job, key) = (object.key.job(), object.key.clone());
    let (direct, runtime) = (Arc::clone(&world.direct), tokio::runtime::Handle::current());
    let mut other = bytes.clone();
    other.reverse();
    world.proxy.rule(move |seen| {
        if seen.number == 5 {
            let (direct, key, other) = (Arc::clone(&direct), key.clone(), other.clone());
            tokio::task::block_in_place(|| {
                runtime.block_on(async {
                    direct.purge(Role::Upload, job).await.unwrap();
                    direct.put(&key, other.into()).await.unwrap();
                });
            });
        }
        Act::Pass
    });
    assert_eq!(expand(remote).await.unwrap_err().code, FailureCode::InputReplaced);
    assert!(world.proxy.seen().len() > 5);
}

/// The failure of the download is reported, and not its effect on the entry that it cuts off. Both
/// are detected at the same moment, so the test repeats it many times.
#[tokio::test(flavor = "multi_thread")]
async fn a_download_that_fails_is_not_taken_for_a_damaged_archive() {
    let world = World::new().await;
    let bytes = archive(&files(&[400_000]));
    // Many requests that must be cancelled.
    let flow = DownloadConfig { tries: 1, part_bytes: 1000, buffer_bytes: 200_000, requests: 100, ..FLOW };
    let (order, object) = world.upload(&bytes, "plan.zip").await;
    for _ in 0..50 {
        let remote = world.open(&order, &object, flow).await.unwrap();
        world.proxy.rule(|seen| {
            if seen.range.as_ref().is_some_and(|r| r.start == 0) { Act::Pass } else { Act::Cut(0) }
        });
        assert_eq!(expand(remote).await.unwrap_err().code, FailureCode::StoreUnavailable);
        world.proxy.rule(|_| Act::Pass);
    }
}

/// The object may also be replaced between the announcement and the first read.
#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_was_replaced_before_is_noticed() {
    let world = World::new().await;
    let bytes = archive(&files(SIZES));
    let (order, object) = world.upload(&bytes, "plan.zip").await;
    let stale = Object { etag: "\"0123456789abcdef0123456789abcdef\"".to_owned(), ..object };
    let failure = world.open(&order, &stale, FLOW).await.map(drop).unwrap_err();
    assert_eq!(failure.code, FailureCode::InputReplaced);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_hangs_gets_another_beside_it() {
    let world = World::new().await;
    let files = files(SIZES);
    let flow = DownloadConfig { hedge_after: Duration::from_millis(100), ..FLOW };
    let (remote, _) = world.opened(&archive(&files), flow).await;
    let stalled = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&stalled);
    world.proxy.rule(move |seen| {
        if seen.number == 6 {
            count.fetch_add(1, Ordering::Relaxed);
            return Act::Stall(PATIENCE * 2);
        }
        Act::Pass
    });
    same(&expand(remote).await.unwrap(), &files);
    assert_eq!(stalled.load(Ordering::Relaxed), 1);
    let seen = world.proxy.seen();
    let again = seen.iter().filter(|s| s.range == seen[6].range).count();
    assert_eq!(again, 2, "the one that hung, and the one beside it");
}

/// If the central directory shows that the archive must be refused, its body is not read.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_directory_condemns_is_not_downloaded() {
    let world = World::new().await;
    let mut files: Files =
        vec![("big.bin".to_owned(), drawing(1, 12 << 20)), ("road.shp".to_owned(), vec![1])];
    files.extend((0..3000).map(|n| (format!("dir/{n:060}.txt"), vec![b'x'])));
    files.push(("ROAD.SHP".to_owned(), vec![2]));
    let bytes = archive(&files);
    let directory = bytes.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
    let directory_bytes = (bytes.len() - directory) as u64;
    let (order, object) = world.upload(&bytes, "plan.zip").await;
    world.proxy.rule(|_| Act::Pass);
    let failure = world.open(&order, &object, DownloadConfig::default()).await.map(drop).unwrap_err();
    assert_eq!(failure.code, FailureCode::ArchiveDuplicateName);
    let read = world.proxy.body_bytes();
    assert!(read > 0 && read < (1 << 20) + directory_bytes, "{read} bytes of {}", bytes.len());
    assert!(bytes.len() as u64 > 2 * ((1 << 20) + directory_bytes), "the bound means something");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_size_is_refused_unread() {
    let world = World::new().await;
    let (order, object) = world.upload(&archive(&files(SIZES)), "plan.zip").await;
    let order = JobSpec { size_bytes: order.size_bytes + 1, ..order };
    world.proxy.rule(|_| Act::Pass);
    let failure = world.open(&order, &object, FLOW).await.map(drop).unwrap_err();
    assert_eq!(failure.code, FailureCode::InputSizeMismatch);
    assert!(world.proxy.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn another_digest_is_refused_when_all_has_been_read() {
    let world = World::new().await;
    let (order, object) = world.upload(&archive(&files(SIZES)), "plan.zip").await;
    let order = JobSpec { sha256: Some(sha256(b"another file")), ..order };
    let remote = world.open(&order, &object, FLOW).await.unwrap();
    assert_eq!(expand(remote).await.unwrap_err().code, FailureCode::InputDigestMismatch);
    // Without a declared digest nothing is compared, and the central directory is not read again.
    let order = JobSpec { sha256: None, ..order };
    let remote = world.open(&order, &object, FLOW).await.unwrap();
    let end = remote.plan().unwrap().body().end;
    world.proxy.rule(|_| Act::Pass);
    expand(remote).await.unwrap();
    assert_eq!(world.proxy.body_bytes(), end);
}

/// S3 computes its own checksum of every object. The value here is that of the digits 1 to 9, the
/// check value in the definition of the algorithm.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_store_keeps_is_compared_with_what_came() {
    let world = World::new().await;
    world.proxy.tell_crc("rosUhgp5mIg=");
    for (content, expected) in [(b"123456789", Ok(())), (b"123456780", Err(FailureCode::StoreUnavailable))] {
        let (order, object) = world.upload(content, "plan.obj").await;
        for sha256 in [order.sha256.clone(), None] {
            let order = JobSpec { sha256, ..order.clone() };
            let remote = world.open(&order, &object, FLOW).await.unwrap();
            assert_eq!(expand(remote).await.map(drop).map_err(|f| f.code), expected);
        }
    }
}

/// Every part of a result carries the digest of its bytes, which the store verifies.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_changed_on_its_way_up_is_refused() {
    let world = World::new().await;
    let key = ObjectKey::processed(JobId::random(), 1, "out.dxf".parse().unwrap());
    let upload = world.store.begin_multipart(&key).await.unwrap();
    let body = drawing(3, 6 << 20);
    let part = world.store.put_part(&key, &upload, 1, body.clone().into()).await.unwrap();
    world.proxy.spoil_uploads();
    world.store.put_part(&key, &upload, 2, body.clone().into()).await.unwrap_err();
    world.store.put(&key, body.into()).await.unwrap_err();
    assert_eq!(world.direct.parts(&key, &upload).await.unwrap(), [part]);
    assert!(matches!(world.direct.head(&key).await, Err(PortError::NotFound(_))));
}

/// The first invalid entry ends the download.
#[tokio::test(flavor = "multi_thread")]
async fn damage_ends_the_download() {
    let world = World::new().await;
    let mut bytes = archive(&files(&[100_000, 6 << 20]));
    bytes[20_000] ^= 0x55;
    let (remote, _) = world.opened(&bytes, FLOW).await;
    world.proxy.rule(|_| Act::Pass);
    let failure = expand(remote).await.unwrap_err();
    assert!(failure.code.as_str().starts_with("input.archive."), "{failure:?}");
    let read = world.proxy.body_bytes();
    assert!(read < bytes.len() as u64 / 2, "{read} bytes of {}", bytes.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_ends_a_download_that_hangs() {
    let world = World::new().await;
    let (remote, _) = world.opened(&archive(&files(SIZES)), FLOW).await;
    world.proxy.rule(|seen| if seen.number < 2 { Act::Pass } else { Act::Stall(PATIENCE * 2) });
    let cancel = Arc::new(AtomicBool::new(false));
    let wish = Arc::clone(&cancel);
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(300)).await;
        wish.store(true, Ordering::Relaxed);
    });
    let started = Instant::now();
    assert_eq!(expand_until(remote, cancel).await.unwrap_err().code, FailureCode::Cancelled);
    assert!(started.elapsed() < PATIENCE / 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_archive_is_stored_as_it_is() {
    let world = World::new().await;
    let content = drawing(7, 1_234_567);
    let (order, object) = world.upload(&content, "plan.obj").await;
    world.proxy.rule(|seen| if seen.before == 0 { Act::Cut(10) } else { Act::Pass });
    let remote = world.open(&order, &object, FLOW).await.unwrap();
    assert!(remote.plan().is_none());
    assert_eq!(remote.needs_bytes(), content.len() as u64);
    same(&expand(remote).await.unwrap(), &vec![("plan.obj".to_owned(), content)]);
}
