//! What was deleted is in none of the files any more: neither in the database nor in its log.

use super::*;
use std::path::PathBuf;

/// In the name of a file, as clients send it.
const CANARY: &str = "canary-of-a-client";

/// The files of a database.
fn files(database: &Path) -> Vec<PathBuf> {
    let name = database.to_str().unwrap();
    ["", "-wal", "-shm"].map(|end| PathBuf::from(format!("{name}{end}"))).into()
}

/// The ends of the names of the files that have the canary.
fn found(database: &Path) -> Vec<String> {
    let has = |path: &PathBuf| {
        let content = std::fs::read(path).unwrap_or_default();
        content.windows(CANARY.len()).any(|window| window == CANARY.as_bytes())
    };
    let name = |path: PathBuf| path.extension().unwrap().to_str().unwrap().to_owned();
    files(database).into_iter().filter(has).map(name).collect()
}

async fn is_erased(database: &Path) {
    let since = Instant::now();
    while !found(database).is_empty() {
        assert!(since.elapsed() < SECOND * 60, "{:?} still have it", found(database));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A job whose record takes several pages, with the canary at its beginning and its end.
fn confidential() -> Job {
    let mut job = new_job(&new_owner(), 1);
    job.order.file_name = format!("{CANARY}.zip").parse().unwrap();
    job.order.options = (0..20).map(|n| (format!("{n}-{CANARY}"), "x".repeat(1000))).collect();
    job
}

async fn in_directory(directory: tempfile::TempDir) {
    let path = directory.path().join("state/jobs.sqlite");
    let (database, other) = (open(&directory, 5), open(&directory, 5));
    let (jobs, queue) = (database.jobs(), database.queue());
    let job = confidential();
    jobs.create(&job).await.unwrap();
    queue.send(&format!("an event of {CANARY}.zip")).await.unwrap();
    let message = queue.receive(1, SECOND, SECOND * 60).await.unwrap().remove(0);
    assert!(!found(&path).is_empty(), "the search finds it");

    // The message goes while the record stays.
    queue.delete(&message).await.unwrap();
    assert_eq!(other.jobs().delete(&job).await, Ok(true));
    is_erased(&path).await;

    // Also while there is always something to write.
    let job = confidential();
    jobs.create(&job).await.unwrap();
    let busy = tokio::spawn(async move {
        loop {
            other.jobs().create(&new_job(&new_owner(), 2)).await.unwrap();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    jobs.delete(&job).await.unwrap();
    is_erased(&path).await;
    busy.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleted_records_and_messages_are_erased_on_a_disk() {
    in_directory(tempfile::tempdir().unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleted_records_and_messages_are_erased_in_memory() {
    in_directory(tempfile::tempdir_in("/dev/shm").unwrap()).await;
}

/// A process that dies after a deletion leaves the row in the log. The next one empties the log, though it
/// deletes nothing itself.
#[tokio::test]
async fn the_log_of_a_dead_process_is_emptied_by_the_next() {
    let directory = tempfile::tempdir().unwrap();
    let (from, database) = (directory.path().join("state/jobs.sqlite"), open(&directory, 5));
    let job = confidential();
    database.jobs().create(&job).await.unwrap();
    database.jobs().delete(&job).await.unwrap();
    // As it is at this moment, before the log is emptied.
    let killed = tempfile::tempdir().unwrap();
    let to = killed.path().join("state/jobs.sqlite");
    std::fs::create_dir(killed.path().join("state")).unwrap();
    for (from, to) in files(&from).iter().zip(files(&to)).take(2) {
        std::fs::copy(from, to).unwrap();
    }
    assert_eq!(found(&to), ["sqlite-wal"], "the row is deleted, and in the log");
    let _next = open(&killed, 5);
    is_erased(&to).await;
}
