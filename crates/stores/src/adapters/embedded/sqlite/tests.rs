mod erased;
mod plans;

use super::*;
use crate::conformance;
use crate::conformance::job_store::{all_due, new_job, new_owner};
use crate::conformance::other_version;
use cadmill_core::domain::ids::JobId;
use cadmill_core::domain::job::Job;
use cadmill_core::ports::job_store::{Created, Replaced};
use cadmill_core::ports::{EventQueue, JobStore, PortError};
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);

fn open(directory: &tempfile::TempDir, max_deliveries: u32) -> Database {
    Database::open(&directory.path().join("state/jobs.sqlite"), max_deliveries).unwrap()
}

#[tokio::test]
async fn keeps_the_contract_of_a_job_store() {
    let directory = tempfile::tempdir().unwrap();
    conformance::job_store::suite(&open(&directory, 5).jobs()).await;
}

#[tokio::test]
async fn keeps_the_contract_of_a_queue() {
    let directory = tempfile::tempdir().unwrap();
    conformance::event_queue::suite(&open(&directory, 5).queue(), conformance::event_queue::Options::ALL)
        .await;
}

#[tokio::test]
async fn what_was_stored_is_there_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let job = new_job(&new_owner(), 1);
    let token = {
        let database = open(&directory, 2);
        let jobs = database.jobs();
        jobs.create(&job).await.unwrap();
        jobs.create(&new_job(&job.order.owner, 2)).await.unwrap();
        database.queue().send("one").await.unwrap();
        database.queue().send("two").await.unwrap();
        let message = database.queue().receive(1, SECOND, Duration::ZERO).await.unwrap().remove(0);
        database.queue().dead_letter(&message).await.unwrap();
        jobs.list(&job.order.owner, None, 1).await.unwrap().next.unwrap()
    };
    let database = open(&directory, 2);
    assert_eq!(database.jobs().get(job.id).await, Ok(Some(job.clone())));
    assert_eq!(database.queue().receive(10, SECOND, SECOND).await.unwrap().len(), 1);
    assert_eq!(database.queue().dead_letters().await, Ok(1));
    let page = database.jobs().list(&job.order.owner, Some(&token), 1).await.unwrap();
    assert_eq!(page.jobs, [job], "a page token outlives the process");
}

/// The handles are as those of two processes: each has its connections.
#[tokio::test]
async fn a_write_wakes_who_waits_in_another_process() {
    let directory = tempfile::tempdir().unwrap();
    let (one, two) = (open(&directory, 5), open(&directory, 5));
    let (writer, reader) = (two.jobs(), one.jobs());
    let mut writes = reader.writes().expect("an inotify instance");
    let quiet = tokio::time::timeout(Duration::from_millis(100), writes.next()).await;
    assert!(quiet.is_err(), "nothing was written");
    let mut job = new_job(&new_owner(), 1);
    writer.create(&job).await.unwrap();
    for version in 1..=100 {
        tokio::time::timeout(10 * SECOND, writes.next()).await.expect("the write before");
        assert_eq!(reader.get(job.id).await, Ok(Some(job.clone())), "it is seen by who was woken");
        job.version = version;
        assert_eq!(writer.replace(&job).await, Ok(Replaced::Done));
    }
    // Several writes may be one.
    tokio::time::timeout(10 * SECOND, writes.next()).await.expect("the last write");
    reader.get(job.id).await.unwrap();
    two.queue().send("a message is no job").await.unwrap();
    let quiet = tokio::time::timeout(Duration::from_millis(100), writes.next()).await;
    assert!(quiet.is_err(), "reads and messages wake no reader");
}

#[tokio::test]
async fn two_handles_see_each_others_writes() {
    let directory = tempfile::tempdir().unwrap();
    let (one, two) = (open(&directory, 5), open(&directory, 5));
    let job = new_job(&new_owner(), 1);
    assert_eq!(one.jobs().create(&job).await, Ok(Created::New));
    assert!(matches!(two.jobs().create(&job).await, Ok(Created::Exists(_))));
    let next = Job { version: 1, ..job.clone() };
    assert_eq!(two.jobs().replace(&next).await, Ok(Replaced::Done));
    assert_eq!(one.jobs().get(job.id).await, Ok(Some(next)));

    // A waiting receiver gets messages from another process.
    let (sender, receiver) = (one.queue(), two.queue());
    let waiting = tokio::spawn(async move { receiver.receive(1, 20 * SECOND, SECOND).await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    sender.send("hello").await.unwrap();
    assert_eq!(waiting.await.unwrap().unwrap()[0].body, "hello");
}

#[tokio::test]
async fn many_handles_that_write_at_once_lose_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let handles: Vec<Database> = (0..4).map(|_| open(&directory, 5)).collect();
    let job = new_job(&new_owner(), 1);
    handles[0].jobs().create(&job).await.unwrap();
    let add = |database: Database| async move {
        let (jobs, mut done) = (database.jobs(), 0);
        while done < 25 {
            let now = jobs.get(job.id).await.unwrap().unwrap();
            let next = Job { version: now.version + 1, polls: now.polls + 1, ..now };
            done += u64::from(jobs.replace(&next).await.unwrap() == Replaced::Done);
        }
    };
    let tasks: Vec<_> = handles.iter().cloned().map(|database| tokio::spawn(add(database))).collect();
    for task in tasks {
        task.await.unwrap();
    }
    let end = handles[3].jobs().get(job.id).await.unwrap().unwrap();
    assert_eq!((end.polls, end.version), (100, 100));
}

/// Also while the machine is busy, so that time passes between two of them.
#[tokio::test]
async fn one_answer_has_each_message_once() {
    let directory = tempfile::tempdir().unwrap();
    let queue = open(&directory, 1000).queue();
    for number in 0..5 {
        queue.send(&number.to_string()).await.unwrap();
    }
    for _ in 0..30 {
        let messages = queue.receive(10, SECOND, Duration::ZERO).await.unwrap();
        let ids: std::collections::BTreeSet<_> = messages.iter().map(|message| &message.id).collect();
        assert_eq!(ids.len(), messages.len(), "a message is in the answer twice");
    }
}

#[tokio::test]
async fn a_message_that_came_too_often_is_dead() {
    let directory = tempfile::tempdir().unwrap();
    let queue = open(&directory, 2).queue();
    queue.send("poison").await.unwrap();
    for deliveries in 1..=2 {
        let message = queue.receive(1, SECOND, LONG).await.unwrap().remove(0);
        assert_eq!(message.deliveries, deliveries);
        queue.change_visibility(&message, Duration::ZERO).await.unwrap();
    }
    queue.send("good").await.unwrap();
    let bodies: Vec<String> =
        queue.receive(10, SECOND, LONG).await.unwrap().into_iter().map(|message| message.body).collect();
    assert_eq!(bodies, ["good"], "and it does not keep others from coming");
    assert_eq!(queue.dead_letters().await, Ok(1));
}

const LONG: Duration = Duration::from_secs(60);

/// The event of an upload of a new job of this owner.
async fn event(database: &Database, owner: &cadmill_core::domain::ids::Owner) -> (JobId, String) {
    let job = new_job(owner, 1);
    database.jobs().create(&job).await.unwrap();
    let key = cadmill_core::domain::ids::ObjectKey::upload(job.id, job.order.file_name);
    let object = cadmill_core::domain::job::Object {
        key,
        size_bytes: 1,
        etag: "e".to_owned(),
        version: None,
        sha256: None,
        encoded: None,
    };
    let body = cadmill_core::domain::upload_event::object_created("b", &object, "1", "Put", "id", 1);
    (job.id, body)
}

/// Whose messages are received, one at a time: the owners' numbers.
async fn served(queue: &SqliteQueue, bodies: &[&str], receives: usize) -> Vec<usize> {
    let mut owners = Vec::new();
    for _ in 0..receives {
        let message = queue.receive(1, Duration::ZERO, LONG).await.unwrap().remove(0);
        owners.push(bodies.iter().position(|body| **body == message.body).unwrap());
    }
    owners
}

#[tokio::test]
async fn an_owner_with_ten_thousand_messages_delays_another_by_one_delivery() {
    let directory = tempfile::tempdir().unwrap();
    let database = open(&directory, 5);
    let queue = database.queue();
    let (_, a) = event(&database, &new_owner()).await;
    queue.send(&a).await.unwrap();
    // As 9999 further calls of `send`, which take as many commits to the disk.
    let fill = database.pool.write("test", |connection| {
        let sql = "WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < 9999)
                   INSERT INTO messages(id, body, visible_at, owner)
                   SELECT 'm' || i, body, visible_at, owner FROM n, (SELECT * FROM messages LIMIT 1)";
        Ok(connection.execute(sql, [])?)
    });
    assert_eq!(fill.await.unwrap(), 9999);
    let began = Instant::now();
    assert_eq!(served(&queue, &[&a], 20).await, [0; 20]);
    let (_, b) = event(&database, &new_owner()).await;
    queue.send(&b).await.unwrap();
    let owners = served(&queue, &[&a, &b], 4).await;
    assert_eq!(owners.iter().position(|&owner| owner == 1), Some(1), "{owners:?}");
    assert_eq!(owners.iter().filter(|&&owner| owner == 1).count(), 1);
    println!("24 deliveries of 10,001 messages in {:?}", began.elapsed());
    // Many receives at once take them in turn, too.
    queue.send(&b).await.unwrap();
    let ten = queue.receive(10, Duration::ZERO, LONG).await.unwrap();
    assert_eq!(ten.iter().filter(|message| message.body == b).count(), 1);
}

/// Else an owner who sends one message after the other would always be before those who wait.
#[tokio::test]
async fn an_owner_who_comes_is_served_after_those_who_wait() {
    let directory = tempfile::tempdir().unwrap();
    let database = open(&directory, 9);
    let queue = database.queue();
    let (_, a) = event(&database, &new_owner()).await;
    let (_, b) = event(&database, &new_owner()).await;
    for _ in 0..4 {
        queue.send(&a).await.unwrap();
    }
    queue.send("of nobody").await.unwrap();
    queue.send("of nobody").await.unwrap();
    let mut owners = Vec::new();
    for _ in 0..6 {
        queue.send(&b).await.unwrap();
        let message = queue.receive(1, Duration::ZERO, LONG).await.unwrap().remove(0);
        owners.push(if message.body == a {
            'a'
        } else if message.body == b {
            'b'
        } else {
            '-'
        });
        if message.body == b {
            queue.delete(&message).await.unwrap();
        }
    }
    assert_eq!(owners, ['a', '-', 'b', 'a', '-', 'b']);
    // Messages that nobody may take give their turn to others; in the end all were delivered.
    let mut rest = 0;
    while !queue.receive(1, Duration::ZERO, LONG).await.unwrap().is_empty() {
        rest += 1;
    }
    assert_eq!(rest, 2 + 4);
}

#[tokio::test]
async fn a_stale_receipt_and_a_long_body_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let queue = open(&directory, 9).queue();
    queue.send("x").await.unwrap();
    let stale = queue.receive(1, SECOND, Duration::ZERO).await.unwrap().remove(0);
    let latest = queue.receive(1, SECOND, LONG).await.unwrap().remove(0);
    for answer in [
        queue.delete(&stale).await,
        queue.change_visibility(&stale, LONG).await,
        queue.dead_letter(&stale).await,
    ] {
        assert_eq!(answer, Err(PortError::NotFound("a received message")));
    }
    assert_eq!(queue.delete(&latest).await, Ok(()));
    assert!(queue.send(&"x".repeat(1 << 20)).await.is_ok());
    assert!(matches!(queue.send(&"x".repeat((1 << 20) + 1)).await, Err(PortError::Refused { .. })));
}

#[tokio::test]
async fn records_that_cannot_be_read_are_told_of_and_quote_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let database = open(&directory, 5);
    let (bad, good) = (new_job(&new_owner(), 1), new_job(&new_owner(), 2));
    for job in [&bad, &good] {
        database.jobs().create(job).await.unwrap();
    }
    let (id, other) = (bad.id.to_string(), serde_json::to_string(&good).unwrap());
    for record in ["{", "{\"id\":\"secret.zip\"}", "\u{0}", &other] {
        let (id, record) = (id.clone(), record.to_owned());
        let change = database.pool.write("test", move |connection| {
            connection.execute("UPDATE jobs SET record = ?2 WHERE id = ?1", [id, record])?;
            Ok(())
        });
        change.await.unwrap();
        let error = database.jobs().get(bad.id).await.unwrap_err();
        assert!(matches!(error, PortError::Corrupt { .. }), "{error}");
        assert!(!error.to_string().contains("secret"), "{error}");
        assert!(matches!(database.jobs().create(&bad).await, Err(PortError::Corrupt { .. })));
    }
    let broken = database.pool.write("test", move |connection| {
        connection.execute("UPDATE jobs SET record = x'00ff' WHERE id = ?1", [id])?;
        Ok(())
    });
    broken.await.unwrap();
    assert!(matches!(database.jobs().get(bad.id).await, Err(PortError::Corrupt { .. })));
    // One unreadable record does not hide the readable ones from the cleanup.
    let due = all_due(&database.jobs(), u64::MAX).await.unwrap();
    assert_eq!((due.jobs, due.unreadable.len()), (vec![good], 1));
    let listed = database.jobs().list(&bad.order.owner, None, 10).await.unwrap();
    assert_eq!((listed.jobs.len(), listed.unreadable), (0, 1));
}

#[tokio::test]
async fn unreadable_records_are_set_aside() {
    let directory = tempfile::tempdir().unwrap();
    let database = open(&directory, 5);
    let spoil = |id: JobId, record: &'static str| {
        let change = database.pool.write("test", move |connection| {
            let sql = "UPDATE jobs SET record = ?2 WHERE id = ?1";
            connection.execute(sql, [id.to_string(), record.to_owned()])?;
            Ok(())
        });
        async move { change.await.unwrap() }
    };
    crate::conformance::job_store::sets_unreadable_records_aside(&database.jobs(), spoil).await;
}

#[tokio::test]
async fn records_of_another_version_are_kept_and_left() {
    let directory = tempfile::tempdir().unwrap();
    let database = open(&directory, 5);
    let (jobs, raw) = (Arc::new(database.jobs()), Rows(&database));
    other_version::keeps_what_it_does_not_know(Arc::clone(&jobs) as Arc<dyn JobStore>, &raw).await;
    other_version::leaves_what_it_cannot_read(Arc::clone(&jobs) as Arc<dyn JobStore>, &raw).await;
    other_version::keeps_other_records(&*jobs, &raw).await;
}

/// The records of a database as they are stored.
struct Rows<'a>(&'a Database);

impl Rows<'_> {
    async fn get(&self, sql: &'static str, key: String) -> String {
        let read = self
            .0
            .pool
            .read("test", move |connection| Ok(connection.query_row(sql, [key], |row| row.get(0))?));
        read.await.unwrap()
    }

    async fn set(&self, sql: &'static str, key: String, record: String) {
        let written =
            self.0.pool.write("test", move |connection| Ok(connection.execute(sql, [key, record])?));
        assert_eq!(written.await, Ok(1));
    }
}

#[async_trait::async_trait]
impl other_version::Raw for Rows<'_> {
    async fn read(&self, id: JobId) -> String {
        self.get("SELECT record FROM jobs WHERE id = ?1", id.to_string()).await
    }

    async fn write(&self, id: JobId, record: String) {
        self.set("UPDATE jobs SET record = ?2 WHERE id = ?1", id.to_string(), record).await;
    }
}

#[async_trait::async_trait]
impl other_version::Others for Rows<'_> {
    async fn usage(&self, owner: &str) -> String {
        self.get("SELECT record FROM usage WHERE owner = ?1", owner.to_owned()).await
    }

    async fn set_usage(&self, owner: &str, record: String) {
        self.set("UPDATE usage SET record = ?2 WHERE owner = ?1", owner.to_owned(), record).await;
    }

    async fn crew(&self) -> String {
        self.get("SELECT record FROM crew WHERE one = ?1", "1".to_owned()).await
    }

    async fn set_crew(&self, record: String) {
        self.set("UPDATE crew SET record = ?2 WHERE one = ?1", "1".to_owned(), record).await;
    }
}

/// A database that cannot grow is full, whatever space its disk has; a read-only one accepts no
/// write at all.
#[tokio::test]
async fn a_store_that_takes_no_writes_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let database = open(&directory, 5);
    let pragma = |sql: &'static str| {
        let change = database.pool.write("test", move |connection| Ok(connection.execute_batch(sql)?));
        async move { change.await.unwrap() }
    };
    let jobs = database.jobs();
    pragma("PRAGMA max_page_count = 1").await;
    let full = jobs.can_write().await;
    assert!(matches!(full, Err(PortError::Unavailable { .. })), "{full:?}");
    assert_eq!(jobs.check().await, Ok(()), "it answers all the same");
    pragma("PRAGMA max_page_count = 1000000").await;
    assert_eq!(jobs.can_write().await, Ok(()));
    pragma("PRAGMA query_only = ON").await;
    let read_only = jobs.can_write().await;
    assert!(matches!(read_only, Err(PortError::Refused { .. })), "{read_only:?}");
}

#[test]
fn a_file_of_a_newer_version_or_of_others_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("jobs.sqlite");
    drop(Database::open(&path, 1).unwrap());
    let raw = rusqlite::Connection::open(&path).unwrap();
    raw.execute_batch("PRAGMA user_version = 99").unwrap();
    let error = Database::open(&path, 1).err().unwrap();
    assert!(matches!(error, PortError::Refused { .. }), "{error}");
    assert!(
        error.to_string().contains("schema version 99") && error.to_string().contains("newer"),
        "{error}"
    );

    let foreign = directory.path().join("foreign.sqlite");
    rusqlite::Connection::open(&foreign).unwrap().execute_batch("CREATE TABLE x(y)").unwrap();
    assert!(matches!(Database::open(&foreign, 1), Err(PortError::Refused { .. })));

    let text = directory.path().join("text");
    std::fs::write(&text, "no database ".repeat(500)).unwrap();
    let error = Database::open(&text, 1).err().unwrap();
    assert!(matches!(error, PortError::Damaged { .. }), "{error}");
    assert!(matches!(Database::open(directory.path(), 1), Err(PortError::Damaged { .. })));
}

#[tokio::test]
async fn files_are_their_owners_only() {
    let directory = tempfile::tempdir().unwrap();
    let database = open(&directory, 5);
    database.queue().send("x").await.unwrap();
    let state = directory.path().join("state");
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&state), 0o700);
    let files: Vec<_> = std::fs::read_dir(&state).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(files.len() >= 2, "the log lies beside the file");
    for file in files {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}

/// Clients poll: reads must not queue up behind fsync. The limit is far above the measured time,
/// so that a slow machine passes.
#[tokio::test]
async fn many_clients_can_poll() {
    let directory = tempfile::tempdir().unwrap();
    let database = open(&directory, 5);
    let job = new_job(&new_owner(), 1);
    database.jobs().create(&job).await.unwrap();
    let began = Instant::now();
    for _ in 0..20 {
        let jobs = database.jobs();
        let many = (0..500).map(|_| jobs.get(job.id));
        assert!(futures_util::future::join_all(many).await.iter().all(Result::is_ok));
    }
    let took = began.elapsed();
    println!("10000 reads in {took:?}");
    assert!(took < Duration::from_secs(60), "{took:?}");
}

/// Messages are hidden by the time since the machine started, which cannot be set; after a reboot
/// all are visible.
#[tokio::test]
async fn a_message_is_hidden_whatever_the_clock_says() {
    let directory = tempfile::tempdir().unwrap();
    let database = open(&directory, 5);
    database.queue().send("one").await.unwrap();
    let hidden = Duration::from_secs(3600);
    assert_eq!(database.queue().receive(1, SECOND, hidden).await.unwrap().len(), 1);
    let file = rusqlite::Connection::open(directory.path().join("state/jobs.sqlite")).unwrap();
    let visible: i64 = file.query_row("SELECT visible_at FROM messages", [], |row| row.get(0)).unwrap();
    let up = std::fs::read_to_string("/proc/uptime").unwrap();
    let up: f64 = up.split(' ').next().unwrap().parse().unwrap();
    assert!((visible as f64 / 1000.0 - up - 3600.0).abs() < 60.0, "{visible} at {up}");
    // The same boot: still hidden.
    assert!(open(&directory, 5).queue().receive(1, Duration::ZERO, SECOND).await.unwrap().is_empty());
    file.execute("UPDATE settings SET value = x'00' WHERE name = 'boot'", []).unwrap();
    assert_eq!(open(&directory, 5).queue().receive(1, SECOND, SECOND).await.unwrap().len(), 1);
}

#[test]
fn a_damaged_file_is_named_with_the_way_on() {
    type Damage = (&'static str, fn(&Path));
    let damages: [Damage; 4] = [
        ("NotADatabase", |path| std::fs::write(path, [7; 8192]).unwrap()),
        ("SQLite", |path| {
            let file = std::fs::File::options().write(true).open(path).unwrap();
            file.set_len(file.metadata().unwrap().len() / 2 / 4096 * 4096).unwrap();
        }),
        ("quick_check", |path| {
            let mut bytes = std::fs::read(path).unwrap();
            let last = bytes.len() - 4096;
            bytes[last..].fill(0xff);
            std::fs::write(path, bytes).unwrap();
        }),
        ("not a regular file", |path| {
            std::fs::remove_file(path).unwrap();
            std::fs::create_dir(path).unwrap();
        }),
    ];
    for (told, damage) in damages {
        let directory = tempfile::tempdir().unwrap();
        drop(open(&directory, 5));
        let path = directory.path().join("state/jobs.sqlite");
        // The threads of the connections close the file asynchronously. If two close it at one
        // moment, the log stays, and the next that closes it alone empties it.
        let log = path.with_extension("sqlite-wal");
        let since = std::time::Instant::now();
        while log.exists() {
            assert!(since.elapsed() < Duration::from_secs(60), "{} stays", log.display());
            std::thread::sleep(Duration::from_millis(200));
            if log.exists() {
                drop(open(&directory, 5));
            }
        }
        damage(&path);
        let error = Database::open(&path, 5).map(drop).unwrap_err();
        assert!(matches!(error, PortError::Damaged { .. }), "{told}: {error:?}");
        let text = error.to_string();
        assert!(text.contains(told) && text.contains("give the jobs up: move"), "{told}: {text}");
        assert!(text.starts_with(path.to_str().unwrap()), "{text}");
    }
}
