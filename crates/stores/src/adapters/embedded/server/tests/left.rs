//! Files that cannot be destroyed: a deletion is not confirmed while one of them is left, whatever happens to
//! the process, and they are destroyed as soon as that is possible.

use super::client::*;
use super::damage::{killed, start};
use crate::adapters::aws::S3Store;
use crate::adapters::embedded::Medium;
use crate::adapters::embedded::server::*;
use cadmill_core::domain::ids::{ObjectKey, Role};
use cadmill_core::ports::ObjectStore;
use cadmill_core::ports::object_store::Purged;
use std::fs::{self, File};
use std::io::Read;
use std::path::PathBuf;
use std::time::Instant;
use tempfile::TempDir;

const CANARY: &[u8] = b"confidential content of a drawing";

/// A file in whose place there is a directory: it can be neither overwritten nor unlinked.
struct Obstacle {
    file: PathBuf,
    aside: PathBuf,
    seen: File,
}

impl Obstacle {
    /// In the place of the newest file.
    fn new(directory: &TempDir) -> Self {
        let entries = fs::read_dir(data(directory).join("blobs")).unwrap().map(|entry| entry.unwrap().path());
        let files = entries.filter(|path| path.is_file() && path.file_name().unwrap() != "openings");
        let file = files.max_by_key(|path| path.metadata().unwrap().modified().unwrap()).expect("a file");
        let obstacle = Self { aside: data(directory).join("aside"), seen: File::open(&file).unwrap(), file };
        obstacle.raise();
        obstacle
    }

    fn raise(&self) {
        fs::rename(&self.file, &self.aside).unwrap();
        fs::create_dir(&self.file).unwrap();
        fs::write(self.file.join("x"), "x").unwrap();
    }

    fn lift(&self) {
        fs::remove_dir_all(&self.file).unwrap();
        fs::rename(&self.aside, &self.file).unwrap();
    }

    /// Waits until nothing is left of the file: in memory it is overwritten.
    async fn until_gone(mut self, medium: Medium) {
        let since = Instant::now();
        while self.file.exists() {
            assert!(since.elapsed() < MINUTE, "it is never destroyed");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let mut content = Vec::new();
        self.seen.read_to_end(&mut content).unwrap();
        let expected = if medium == Medium::Memory { vec![0; CANARY.len()] } else { CANARY.to_vec() };
        assert!(content == expected, "{medium:?}");
    }
}

fn directories() -> [(TempDir, Medium); 2] {
    let (memory, disk) = (tempfile::tempdir_in("/dev/shm").unwrap(), tempfile::tempdir().unwrap());
    [memory, disk].map(|directory| {
        let medium = Medium::of(directory.path()).unwrap();
        (directory, medium)
    })
}

async fn store(server: &EmbeddedS3) -> S3Store {
    S3Store::new(server.settings()).await
}

async fn delete(world: &World, key: &ObjectKey) -> Result<(), String> {
    let delete = world.s3.delete_object().bucket(BUCKET).key(key.to_string());
    delete.send().await.map(drop).map_err(|error| code(&error))
}

/// Versions and markers of everything, in pages of this size.
async fn versions(s3: &aws_sdk_s3::Client, page: i32) -> (Vec<String>, Vec<(String, bool)>) {
    let (mut versions, mut markers) = (Vec::new(), Vec::new());
    let (mut key, mut version) = (None, None);
    loop {
        let list = s3.list_object_versions().bucket(BUCKET).max_keys(page);
        let found = list.set_key_marker(key).set_version_id_marker(version).send().await.unwrap();
        versions.extend(found.versions().iter().map(|version| version.key().unwrap().to_owned()));
        let marker = |one: &aws_sdk_s3::types::DeleteMarkerEntry| {
            (one.key().unwrap().to_owned(), one.is_latest().unwrap())
        };
        markers.extend(found.delete_markers().iter().map(marker));
        if found.is_truncated != Some(true) {
            return (versions, markers);
        }
        (key, version) = (found.next_key_marker, found.next_version_id_marker);
    }
}

#[tokio::test]
async fn a_deletion_is_not_confirmed_while_a_file_is_left() {
    for (directory, medium) in directories() {
        let world = world_in(directory).await;
        let (key, other) = (upload("a.zip"), upload("b.zip"));
        world.put(&other, b"of another job").await.unwrap();
        world.put(&key, CANARY).await.unwrap();
        let obstacle = Obstacle::new(&world.directory);
        for _ in 0..2 {
            assert_eq!(delete(&world, &key).await, Err("ServiceUnavailable".to_owned()));
        }
        // It is deleted for every reader, and something of it is left.
        let objects = store(&world.server).await;
        assert_eq!(world.get(&key, None).await, Err("NoSuchKey".to_owned()));
        assert!(matches!(objects.find(&key).await, Err(PortError::NotFound(_))));
        assert_eq!(versions(&world.s3, 1000).await.1, [(key.to_string(), true)]);
        let failed = objects.purge(Role::Upload, key.job()).await;
        assert!(failed.as_ref().is_err_and(PortError::is_transient), "{failed:?}");
        assert_eq!(objects.purge(Role::Upload, other.job()).await.unwrap().objects, 1, "others are deleted");
        assert_eq!(objects.stored().await, Ok(vec![key.job()]));
        assert_eq!(world.server.jobs()().await, Ok(vec![key.job()]));

        // Also after a restart, which it does not prevent.
        let world = world.again().await;
        let objects = store(&world.server).await;
        assert!(objects.purge(Role::Upload, key.job()).await.is_err());
        assert_eq!(world.put(&other, b"it goes on").await, Ok(()));

        obstacle.lift();
        let purged = objects.purge(Role::Upload, key.job()).await.unwrap();
        assert!(purged == Purged::default() || purged.marks == 1, "{purged:?}");
        obstacle.until_gone(medium).await;
        assert_eq!(versions(&world.s3, 1000).await, (vec![other.to_string()], Vec::new()));
    }
}

#[tokio::test]
async fn what_is_left_is_destroyed_without_another_request() {
    for (directory, medium) in directories() {
        let world = world_in(directory).await;
        let key = upload("a.zip");
        world.put(&key, CANARY).await.unwrap();
        let obstacle = Obstacle::new(&world.directory);
        assert!(delete(&world, &key).await.is_err());
        obstacle.lift();
        obstacle.until_gone(medium).await;
        assert_eq!(store(&world.server).await.purge(Role::Upload, key.job()).await, Ok(Purged::default()));
        assert_eq!(delete(&world, &key).await, Ok(()));
    }
}

/// Killed after the index was changed, and before the file was destroyed.
#[tokio::test]
async fn a_process_that_dies_leaves_it_to_the_next_one() {
    let world = world().await;
    let key = upload("a.zip");
    world.put(&key, CANARY).await.unwrap();
    let obstacle = Obstacle::new(&world.directory);
    assert!(delete(&world, &key).await.is_err());
    let copy = killed(&world);
    let name = obstacle.file.file_name().unwrap();
    let left = data(&copy).join("blobs").join(name);
    fs::copy(&obstacle.aside, &left).unwrap();
    // With the file, and without it: killed before the row went.
    for _ in 0..2 {
        let server = start(&copy).await.unwrap();
        assert!(!left.exists());
        assert_eq!(store(&server).await.purge(Role::Upload, key.job()).await, Ok(Purged::default()));
        server.stop().await;
    }
}

#[tokio::test]
async fn an_aborted_part_and_a_replaced_object_are_left_in_the_same_way() {
    for (directory, medium) in directories() {
        let world = world_in(directory).await;
        let objects = store(&world.server).await;
        let (whole, parts) = (upload("whole.zip"), upload("parts.zip"));
        let id = world.begin(&parts).await;
        let part = world.s3.upload_part().bucket(BUCKET).key(parts.to_string()).upload_id(&id);
        part.part_number(1).body(CANARY.to_vec().into()).send().await.unwrap();
        let obstacle = Obstacle::new(&world.directory);
        let abort = || world.s3.abort_multipart_upload().bucket(BUCKET).key(parts.to_string()).upload_id(&id);
        assert_eq!(abort().send().await.map_err(|e| code(&e)).unwrap_err(), "ServiceUnavailable");
        assert_eq!(abort().send().await.map_err(|e| code(&e)).unwrap_err(), "NoSuchUpload");
        assert!(objects.purge(Role::Upload, parts.job()).await.is_err(), "a part is left");
        obstacle.lift();
        assert!(objects.purge(Role::Upload, parts.job()).await.is_ok());
        obstacle.until_gone(medium).await;

        // A part that is sent twice, and an object.
        let id = world.begin(&parts).await;
        for body in [CANARY, b"another part"] {
            let part = world.s3.upload_part().bucket(BUCKET).key(parts.to_string()).upload_id(&id);
            let obstacle = (body != CANARY).then(|| Obstacle::new(&world.directory));
            part.part_number(1).body(body.to_vec().into()).send().await.unwrap();
            if let Some(obstacle) = obstacle {
                assert_eq!(versions(&world.s3, 1000).await.1, [(parts.to_string(), true)]);
                obstacle.lift();
                obstacle.until_gone(medium).await;
            }
        }
        world.put(&whole, CANARY).await.unwrap();
        let obstacle = Obstacle::new(&world.directory);
        let put = world.s3.put_object().bucket(BUCKET).key(whole.to_string());
        put.body(b"new".to_vec().into()).send().await.unwrap();
        assert_eq!(world.get(&whole, None).await.as_deref(), Ok(&b"new"[..]));
        assert!(objects.find(&whole).await.is_ok(), "the object is the latest version");
        assert_eq!(
            versions(&world.s3, 1000).await,
            (vec![whole.to_string()], vec![(whole.to_string(), false)])
        );
        assert!(objects.purge(Role::Upload, whole.job()).await.is_err());
        obstacle.lift();
        assert!(objects.purge(Role::Upload, whole.job()).await.is_ok());
        obstacle.until_gone(medium).await;
        objects.purge(Role::Upload, parts.job()).await.unwrap();
        assert_eq!((versions(&world.s3, 1000).await, world.files()), ((Vec::new(), Vec::new()), 0));
    }
}

/// The index of an earlier build has no such table.
#[tokio::test]
async fn an_index_of_an_earlier_build_is_opened() {
    let world = world().await;
    let key = upload("a.zip");
    world.put(&key, CANARY).await.unwrap();
    let World { directory, database, server, .. } = world;
    server.stop().await;
    drop(database);
    super::damage::closed(&directory).await;
    let index = rusqlite::Connection::open(data(&directory).join("objects.sqlite")).unwrap();
    index.execute_batch("DROP TABLE removals").unwrap();
    drop(index);
    let world = world_in(directory).await;
    assert_eq!(delete(&world, &key).await, Ok(()));
    assert_eq!(world.files(), 0);
}

/// Each version once, in order, whatever the size of a page; and the jobs, each once.
#[tokio::test]
async fn pages_of_versions_and_of_jobs_are_whole() {
    let world = world().await;
    let mut keys: Vec<ObjectKey> = (0..4).map(|_| upload("a.zip")).collect();
    keys.push(ObjectKey::upload(keys[0].job(), "b.zip".parse().unwrap()));
    keys.push(ObjectKey::processed(keys[1].job(), 1, "a.dxf".parse().unwrap()));
    keys.sort_by_key(ToString::to_string);
    for key in &keys {
        world.put(key, CANARY).await.unwrap();
    }
    // Some are replaced, and some are deleted: what is left of them stays in the way.
    let mut obstacles = Vec::new();
    for (number, key) in keys.iter().enumerate().filter(|(number, _)| number % 2 == 0) {
        for body in [&b"1"[..], b"2"] {
            let put = world.s3.put_object().bucket(BUCKET).key(key.to_string());
            put.body(body.to_vec().into()).send().await.unwrap();
            let obstacle = Obstacle::new(&world.directory);
            fs::rename(&obstacle.aside, data(&world.directory).join(format!("aside-{}", obstacles.len())))
                .unwrap();
            obstacles.push(obstacle);
        }
        if number > 0 {
            assert!(delete(&world, key).await.is_err());
        }
    }
    let expected = versions(&world.s3, 1000).await;
    let names = |keys: &[&ObjectKey]| keys.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(expected.0, names(&[&keys[0], &keys[1], &keys[3], &keys[5]]));
    let latest = |number: usize, is_latest| (keys[number].to_string(), is_latest);
    assert_eq!(
        expected.1,
        [latest(0, false), latest(2, true), latest(2, false), latest(4, true), latest(4, false)]
    );
    for page in 1..12 {
        assert_eq!(versions(&world.s3, page).await, expected, "pages of {page}");
    }
    let mut jobs: Vec<JobId> = keys.iter().map(ObjectKey::job).collect();
    jobs.sort_by_key(ToString::to_string);
    jobs.dedup();
    assert_eq!(store(&world.server).await.stored().await, Ok(jobs.clone()));
    for page in 1..8 {
        let (mut found, mut marker) = (Vec::new(), None);
        loop {
            let list = world.s3.list_object_versions().bucket(BUCKET).prefix("uploads/").delimiter("/");
            let list = list.max_keys(page).set_key_marker(marker).send().await.unwrap();
            assert!(list.versions().is_empty() && list.delete_markers().is_empty());
            found.extend(list.common_prefixes().iter().map(|one| one.prefix().unwrap().to_owned()));
            if list.is_truncated != Some(true) {
                break;
            }
            marker = list.next_key_marker;
        }
        let expected: Vec<_> = jobs.iter().map(|job| format!("uploads/{job}/")).collect();
        assert_eq!(found, expected, "pages of {page}");
    }
    let other = world.s3.list_object_versions().bucket(BUCKET).delimiter("x").send().await;
    assert_eq!(other.map_err(|error| code(&error)).unwrap_err(), "NotImplemented");
}

/// A write whose outcome is unknown leaves a file of which only the index knows whether it is in use.
#[tokio::test]
async fn a_file_that_is_in_use_is_never_destroyed() {
    let world = world().await;
    let key = upload("a.zip");
    world.put(&key, CANARY).await.unwrap();
    let entries = fs::read_dir(data(&world.directory).join("blobs")).unwrap();
    let mut names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let used = names.find(|name| name != "openings").unwrap();
    let unused = "0123456789ABCDEF0123456789ABCDEF".to_owned();
    let left = data(&world.directory).join("blobs").join(&unused);
    fs::write(&left, CANARY).unwrap();
    let files = [used, unused].map(|name| (Some(key.to_string()), name));
    world.server.index.condemn(files.to_vec()).await.unwrap();
    let since = Instant::now();
    while left.exists() {
        assert!(since.elapsed() < MINUTE, "it is never destroyed");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(world.get(&key, None).await.as_deref(), Ok(CANARY));
    // The row goes when the file has gone.
    while !world.server.index.removals(0, 10).await.unwrap().is_empty() {
        assert!(since.elapsed() < MINUTE, "it is never forgotten");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
