//! What a deletion leaves: nothing in memory, and on a disk no name.

use super::client::*;
use crate::adapters::embedded::Medium;
use crate::adapters::embedded::server::*;
use cadmill_core::domain::ids::ObjectKey;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::time::Instant;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const CANARY: &[u8] = b"confidential content of a drawing";
const NAME: &str = "canary-of-a-client";

fn on_disk() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(Medium::of(directory.path()).unwrap(), Medium::Disk, "TMPDIR is on a disk");
    directory
}

fn in_memory() -> TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap()
}

/// The file of the only object or part.
fn blob(world: &World) -> PathBuf {
    let files = std::fs::read_dir(data(&world.directory).join("blobs")).unwrap();
    let mut names = files.map(|file| file.unwrap().path()).filter(|path| !path.ends_with("openings"));
    let found = names.next().expect("a file");
    assert_eq!(names.next(), None);
    found
}

/// What is at the place of a file that was opened before it was removed.
fn content(mut file: File) -> Vec<u8> {
    let mut content = Vec::new();
    file.read_to_end(&mut content).unwrap();
    content
}

async fn until(what: &str, is: impl Fn() -> bool) {
    let since = Instant::now();
    while !is() {
        assert!(since.elapsed() < MINUTE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn delete(world: &World, key: &ObjectKey) {
    world.s3.delete_object().bucket(BUCKET).key(key.to_string()).send().await.unwrap();
}

#[tokio::test]
async fn a_deleted_object_is_overwritten_in_memory_and_unlinked_on_a_disk() {
    for (directory, medium) in [(in_memory(), Medium::Memory), (on_disk(), Medium::Disk)] {
        let world = world_in(directory).await;
        assert_eq!(world.server.medium(), medium);
        let (whole, parts) = (upload("whole.zip"), upload("parts.zip"));
        let left = match medium {
            Medium::Memory => vec![0; CANARY.len()],
            Medium::Disk => CANARY.to_vec(),
        };
        world.put(&whole, CANARY).await.unwrap();
        let seen = File::open(blob(&world)).unwrap();
        delete(&world, &whole).await;
        assert_eq!(world.files(), 0);
        assert!(content(seen) == left, "{medium:?}");

        // An upload that is aborted, by its part.
        let id = world.begin(&parts).await;
        let part = world.s3.upload_part().bucket(BUCKET).key(parts.to_string()).upload_id(&id);
        part.part_number(1).body(CANARY.to_vec().into()).send().await.unwrap();
        let seen = File::open(blob(&world)).unwrap();
        let abort = world.s3.abort_multipart_upload().bucket(BUCKET).key(parts.to_string());
        abort.upload_id(id).send().await.unwrap();
        assert_eq!(world.files(), 0);
        assert!(content(seen) == left, "{medium:?}");
    }
}

#[tokio::test]
async fn a_file_that_a_dead_process_left_is_overwritten_at_the_next_start() {
    let world = world_in(in_memory()).await;
    let path = data(&world.directory).join("blobs/0123456789ABCDEF0123456789ABCDEF");
    std::fs::write(&path, CANARY).unwrap();
    let seen = File::open(&path).unwrap();
    let _world = world.again().await;
    assert!(!path.exists() && content(seen) == vec![0; CANARY.len()]);
}

/// The client breaks off; what has arrived is in the file.
#[tokio::test]
async fn an_upload_that_breaks_off_is_overwritten() {
    let world = world_in(in_memory()).await;
    let body = vec![b'x'; 1 << 20];
    let request = world.presigned(&upload("part.zip"), 2 * body.len()).await;
    let rest = request.uri().strip_prefix("http://").unwrap();
    let (host, path) = rest.split_at(rest.find('/').unwrap());
    let mut head = format!("PUT {path} HTTP/1.1\r\nhost: {host}\r\n");
    signed(&request).iter().for_each(|(name, value)| head += &format!("{name}: {value}\r\n"));
    let mut stream = TcpStream::connect(host).await.unwrap();
    stream.write_all(format!("{head}\r\n").as_bytes()).await.unwrap();
    stream.write_all(&body).await.unwrap();
    until("a file with content", || {
        world.files() == 1 && blob(&world).metadata().is_ok_and(|file| file.len() > 100_000)
    })
    .await;
    let seen = File::open(blob(&world)).unwrap();
    drop(stream);
    until("no file", || world.files() == 0).await;
    let content = content(seen);
    assert!(content.len() > 100_000 && content.iter().all(|&byte| byte == 0));
}

/// A download that has begun is not to end with zeros.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_download_that_runs_reads_to_its_end_and_then_the_file_is_overwritten() {
    let world = world_in(in_memory()).await;
    let (key, body) = (upload("large.zip"), b"0123456789abcdef".repeat(1 << 20));
    world.put(&key, &body).await.unwrap();
    let seen = File::open(blob(&world)).unwrap();
    let reply = world.s3.get_object().bucket(BUCKET).key(key.to_string()).send().await.unwrap();
    let mut reader = reply.body.into_async_read();
    let mut read = vec![0; 1000];
    reader.read_exact(&mut read).await.unwrap();
    delete(&world, &key).await;
    assert_eq!(world.files(), 0);
    assert_eq!(world.get(&key, None).await, Err("NoSuchKey".to_owned()));
    tokio::time::sleep(Duration::from_millis(500)).await;
    reader.read_to_end(&mut read).await.unwrap();
    assert!(read == body, "a download of other bytes");
    drop(reader);
    let is_zero = || content(seen.try_clone().unwrap()).iter().all(|&byte| byte == 0);
    let rewound = || {
        use std::io::Seek;
        (&seen).rewind().unwrap();
        is_zero()
    };
    until("overwritten", rewound).await;
}

/// Keys have the names of files. In the index and its log they are gone soon after their objects.
#[tokio::test]
async fn the_key_of_a_deleted_object_is_erased_from_the_index() {
    for directory in [in_memory(), on_disk()] {
        let world = world_in(directory).await;
        let key = upload(&format!("{NAME}.zip"));
        let has = || {
            let files =
                ["objects.sqlite", "objects.sqlite-wal"].map(|name| data(&world.directory).join(name));
            files.iter().any(|path| {
                let content = std::fs::read(path).unwrap_or_default();
                content.windows(NAME.len()).any(|window| window == NAME.as_bytes())
            })
        };
        world.put(&key, CANARY).await.unwrap();
        assert!(has(), "the search finds it");
        // The event has the key too, until the queue has it.
        world.notices(1).await;
        delete(&world, &key).await;
        until("no key", || !has()).await;
        assert_eq!(world.put(&upload("next.zip"), b"x").await, Ok(()), "it goes on");
    }
}
