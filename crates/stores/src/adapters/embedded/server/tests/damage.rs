//! A data directory that is incomplete: the start fails, reports what is missing and how to
//! continue, and deletes nothing.

use super::client::*;
use crate::adapters::embedded::Database;
use crate::adapters::embedded::server::*;
use std::fs;
use std::path::PathBuf;
use tempfile::TempDir;

/// A directory as a killed server leaves it: copied while the server runs.
pub(super) fn killed(world: &World) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    let (from, to) = (data(&world.directory), data(&copy));
    fs::create_dir_all(to.join("blobs")).unwrap();
    for directory in ["", "blobs"] {
        for entry in fs::read_dir(from.join(directory)).unwrap().map(Result::unwrap) {
            if entry.path().is_file() {
                fs::copy(entry.path(), to.join(directory).join(entry.file_name())).unwrap();
            }
        }
    }
    copy
}

/// Names and contents of the files in `blobs`.
fn blobs(directory: &TempDir) -> Vec<(PathBuf, Vec<u8>)> {
    let Ok(entries) = fs::read_dir(data(directory).join("blobs")) else { return Vec::new() };
    let mut files: Vec<_> = entries
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect();
    files.sort();
    files
}

pub(super) async fn start(directory: &TempDir) -> PortResult<EmbeddedS3> {
    let database = Database::open(&directory.path().join("jobs.sqlite"), 5).unwrap();
    EmbeddedS3::start(&data(directory), loopback(), Arc::new(database.queue()), &[]).await
}

/// Waits until the index is closed, which the thread of its connection does asynchronously.
pub(super) async fn closed(directory: &TempDir) {
    let log = data(directory).join("objects.sqlite-wal");
    for _ in 0..3000 {
        if !log.exists() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the index is never closed");
}

/// Damages a directory.
type Damage = fn(&Path);

const DAMAGES: [(&str, &str, Damage); 13] = [
    ("no index", "it does not exist", |data| {
        fs::remove_file(data.join("objects.sqlite")).unwrap();
        fs::remove_file(data.join("objects.sqlite-wal")).unwrap();
    }),
    ("a log without its index", "it does not exist", |data| {
        fs::remove_file(data.join("objects.sqlite")).unwrap();
    }),
    ("an empty index", "it is empty", |data| {
        fs::write(data.join("objects.sqlite"), "").unwrap();
        fs::remove_file(data.join("objects.sqlite-wal")).unwrap();
    }),
    ("an index of no tables", "it is empty", |data| {
        fs::remove_file(data.join("objects.sqlite-wal")).unwrap();
        fs::remove_file(data.join("objects.sqlite")).unwrap();
        let empty = rusqlite::Connection::open(data.join("objects.sqlite")).unwrap();
        empty.execute_batch("PRAGMA journal_mode = WAL").unwrap();
    }),
    ("no log", "its write-ahead log", |data| fs::remove_file(data.join("objects.sqlite-wal")).unwrap()),
    ("rubbish", "NotADatabase", |data| {
        fs::write(data.join("objects.sqlite"), [7; 8192]).unwrap();
        fs::remove_file(data.join("objects.sqlite-wal")).unwrap();
    }),
    ("an index that was cut", "objects.sqlite", |data| {
        let file = fs::File::options().write(true).open(data.join("objects.sqlite")).unwrap();
        file.set_len(file.metadata().unwrap().len() / 2).unwrap();
        fs::remove_file(data.join("objects.sqlite-wal")).unwrap();
    }),
    ("pages of zeros", "objects.sqlite", |data| {
        let mut bytes = fs::read(data.join("objects.sqlite")).unwrap();
        bytes[4096..].fill(0);
        fs::write(data.join("objects.sqlite"), bytes).unwrap();
        fs::remove_file(data.join("objects.sqlite-wal")).unwrap();
    }),
    ("a directory", "not a regular file", |data| {
        fs::remove_file(data.join("objects.sqlite")).unwrap();
        fs::create_dir(data.join("objects.sqlite")).unwrap();
    }),
    ("a socket", "not a regular file", |data| {
        fs::remove_file(data.join("objects.sqlite")).unwrap();
        drop(std::os::unix::net::UnixListener::bind(data.join("objects.sqlite")).unwrap());
    }),
    ("no files", "2 of 2 files", |data| fs::remove_dir_all(data.join("blobs")).unwrap()),
    ("a file too few", "1 of 2 files", |data| {
        let mut files = fs::read_dir(data.join("blobs")).unwrap().map(|file| file.unwrap().path());
        fs::remove_file(files.find(|file| !file.ends_with("openings")).unwrap()).unwrap();
    }),
    ("another's index", "another application", |data| {
        let other = rusqlite::Connection::open(data.join("objects.sqlite")).unwrap();
        other.execute_batch("PRAGMA application_id = 7").unwrap();
    }),
];

#[tokio::test]
async fn a_damaged_directory_is_refused_and_loses_nothing() {
    let world = world().await;
    for name in ["a", "b"] {
        world.put(&upload(name), b"confidential").await.unwrap();
    }
    for (what, told, damage) in DAMAGES {
        let copy = killed(&world);
        damage(&data(&copy));
        let before = blobs(&copy);
        // Refused twice: the first refusal must not count as a start.
        for _ in 0..2 {
            let error = start(&copy).await.err().unwrap_or_else(|| panic!("{what}: it starts"));
            let text = error.to_string();
            assert!(text.contains(told), "{what}: {text}");
            assert!(text.contains(data(&copy).to_str().unwrap()), "{what} names the file: {text}");
            if what != "another's index" {
                assert!(matches!(error, PortError::Damaged { .. }), "{what}: {error:?}");
                assert!(text.contains("give the objects up: move"), "{what} says how to go on: {text}");
            }
            assert_eq!(blobs(&copy), before, "{what}");
            // Where a log is missing, the refusal must not make one: the next start would take it
            // for the one that is missing.
            assert!(what != "no log" || !data(&copy).join("objects.sqlite-wal").exists());
        }
        // As the message advises: the existing files are moved away.
        fs::remove_dir_all(data(&copy)).unwrap();
        start(&copy).await.unwrap_or_else(|error| panic!("{what}: {error}")).stop().await;
    }
}

/// An older index that was closed cleanly: it does not know the files written since.
#[tokio::test]
async fn an_older_copy_of_the_index_is_refused() {
    let world = world().await;
    world.put(&upload("old"), b"confidential").await.unwrap();
    let copy = killed(&world);
    start(&copy).await.unwrap().stop().await;
    let index = data(&copy).join("objects.sqlite");
    closed(&copy).await;
    let old = fs::read(&index).unwrap();
    let server = start(&copy).await.unwrap();
    let s3 = client(&server, &server.credentials().secret_key);
    let put = s3.put_object().bucket(BUCKET).key(upload("new").to_string());
    put.body(aws_sdk_s3::primitives::ByteStream::from_static(b"confidential")).send().await.unwrap();
    server.stop().await;
    closed(&copy).await;
    fs::write(&index, old).unwrap();
    let before = blobs(&copy);
    let error = start(&copy).await.err().expect("it starts");
    assert!(error.to_string().contains("a copy that is older than blobs"), "{error}");
    assert_eq!(blobs(&copy), before);
}

/// A killed or a stopped server leaves a complete directory, and a copy of it is complete too.
#[tokio::test]
async fn a_directory_that_is_whole_is_served() {
    let world = world().await;
    let key = upload("part.zip");
    world.put(&key, b"kept").await.unwrap();
    let copy = killed(&world);
    // Half an upload, and an entry that is not cadmill's.
    let ours = data(&copy).join("blobs").join("0123456789ABCDEF0123456789ABCDEF");
    let others = data(&copy).join("blobs/lost+found");
    fs::write(&ours, b"half").unwrap();
    fs::create_dir(&others).unwrap();
    for _ in 0..2 {
        let server = start(&copy).await.unwrap();
        let s3 = client(&server, &server.credentials().secret_key);
        let get = s3.get_object().bucket(BUCKET).key(key.to_string()).send().await.unwrap();
        assert_eq!(get.body.collect().await.unwrap().to_vec(), b"kept");
        assert!(!ours.exists() && others.is_dir());
        server.stop().await;
    }
    // A closed index needs no log.
    closed(&copy).await;
    // If it is dropped without a stop, as after an error at the start, SQLite closes it.
    drop(start(&copy).await.unwrap());
    closed(&copy).await;
    start(&copy).await.unwrap().stop().await;
}

/// Each answer contains the time, whatever the clock does.
#[tokio::test]
async fn every_answer_tells_the_time() {
    let world = world().await;
    let url = format!("{}/{BUCKET}/nobody", world.server.endpoint());
    for method in ["GET", "PUT", "OPTIONS", "DELETE"] {
        let answer = send(&url, method, &[], b"").await;
        assert_eq!(answer.head.matches("\r\ndate: ").count(), 1, "{method}: {}", answer.head);
        assert_eq!(answer.head.matches("\r\nx-cadmill-time: ").count(), 1, "{method}: {}", answer.head);
    }
}
