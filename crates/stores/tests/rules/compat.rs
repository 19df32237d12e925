//! What is stored by one version is read by every later one, and means the same: the fixtures in
//! `tests/fixtures/compat`, one directory for each generation. A record that this version writes has nothing
//! that the newest generation lacks.
//!
//! `WRITE_COMPAT=2` writes generation 2, if there is none; see the README there.

mod made;

use cadmill_core::domain::crew::Crew;
use cadmill_core::domain::ids::JobId;
use cadmill_core::domain::job::Job;
use cadmill_core::domain::quota::Usage;
use cadmill_core::domain::stored::{self, Record};
use cadmill_core::domain::upload_event;
use cadmill_core::ports::job_store::{Created, Replaced, UsageReplaced};
use cadmill_core::ports::{EventQueue, JobStore};
use cadmill_stores::adapters::embedded::Database;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The generations, the oldest first.
fn generations() -> Vec<PathBuf> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/compat");
    let entries = std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path());
    let number = |path: &PathBuf| path.file_name()?.to_str()?.parse::<u32>().ok();
    let mut all: Vec<PathBuf> = entries.filter(|path| number(path).is_some()).collect();
    all.sort_by_key(number);
    all
}

/// The texts of a directory, by their names.
fn texts(directory: &Path) -> Vec<(String, String)> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut all: Vec<(String, String)> = entries
        .map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, std::fs::read_to_string(path).unwrap().trim_end().to_owned())
        })
        .collect();
    all.sort();
    all
}

/// What the stored value has and the known one has not, or has with another value.
fn differences(place: &str, stored: &Value, known: &Value) -> Vec<String> {
    match (stored, known) {
        (Value::Object(stored), Value::Object(known)) => stored
            .iter()
            .flat_map(|(name, stored)| {
                let known = known.get(name).unwrap_or(&Value::Null);
                differences(&format!("{place}/{name}"), stored, known)
            })
            .collect(),
        (Value::Array(stored), Value::Array(known)) if stored.len() == known.len() => {
            let pairs = stored.iter().zip(known);
            pairs.flat_map(|(stored, known)| differences(&format!("{place}/*"), stored, known)).collect()
        }
        _ if stored == known => Vec::new(),
        _ => vec![format!("{place}: {stored} is read as {known}")],
    }
}

/// A record that means to this version what it meant to the one that wrote it.
fn read<T: Record>(name: &str, text: &str) -> T {
    let record: T = stored::read(text).unwrap_or_else(|error| panic!("{name}: {error}"));
    let known = serde_json::to_value(&record).unwrap();
    assert_eq!(differences("", &serde_json::from_str(text).unwrap(), &known), [""; 0], "{name}");
    record
}

#[test]
fn records_of_every_generation_keep_their_meaning() {
    for generation in generations() {
        for (name, text) in texts(&generation.join("jobs")) {
            let job: Job = read(&name, &text);
            let state = match name.as_str() {
                "pending" | "uploading" | "waiting" | "again" => "PENDING",
                "processing" => "PROCESSING",
                "completed" | "delivered" => "COMPLETED",
                "failed" | "gone" => "FAILED",
                "cancelled" | "owing" => "CANCELLED",
                "expired" => "EXPIRED",
                other => panic!("{other} is not in this list"),
            };
            assert_eq!(job.state.as_str(), state, "{name}");
        }
        for (name, text) in texts(&generation.join("others")) {
            match name.as_str() {
                "crew" => drop(read::<Crew>(&name, &text)),
                _ => drop(read::<Usage>(&name, &text)),
            }
        }
    }
}

#[tokio::test]
async fn databases_of_every_generation_are_read() {
    for generation in generations() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("jobs.sqlite");
        std::fs::copy(generation.join("jobs.sqlite"), &path).unwrap();
        let database = Database::open(&path, 5).unwrap();
        let jobs = texts(&generation.join("jobs"));
        for (name, text) in &jobs {
            let job: Job = read(name, text);
            let mut there = database.jobs().get(job.id).await.unwrap().unwrap();
            assert_eq!(there, job, "{name}");
            // It can be changed.
            there.version += 1;
            database.jobs().replace(&there).await.unwrap();
            assert_eq!(database.jobs().get(job.id).await, Ok(Some(there)), "{name}");
        }
        let others = texts(&generation.join("others"));
        let text = |wanted: &str| &others.iter().find(|(name, _)| name == wanted).unwrap().1;
        let (crew, usage): (Crew, Usage) = (read("crew", text("crew")), read("usage", text("usage")));
        assert_eq!(database.jobs().crew().await, Ok(Some(crew)));
        assert_eq!(database.jobs().usage(&usage.owner).await, Ok(Some(usage)));
        let messages = database.queue().receive(10, Duration::ZERO, Duration::from_secs(60)).await.unwrap();
        let bodies: BTreeSet<String> = messages.into_iter().map(|message| message.body).collect();
        let own =
            texts(&generation.join("messages")).into_iter().filter(|(name, _)| made_names().contains(name));
        assert_eq!(bodies, own.map(|(_, text)| text).collect());
    }
}

/// What another version has added to the tables is kept by every change of this one.
#[tokio::test]
async fn columns_and_tables_of_another_version_are_kept() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("jobs.sqlite");
    std::fs::copy(generations().pop().unwrap().join("jobs.sqlite"), &path).unwrap();
    let raw = rusqlite::Connection::open(&path).unwrap();
    raw.execute_batch(
        "CREATE TABLE tenants(id TEXT); INSERT INTO tenants VALUES('a');
         ALTER TABLE jobs ADD COLUMN tenant TEXT NOT NULL DEFAULT 'none';
         ALTER TABLE usage ADD COLUMN tenant TEXT; ALTER TABLE crew ADD COLUMN leader TEXT;
         UPDATE jobs SET tenant = 'a'; UPDATE usage SET tenant = 'a'; UPDATE crew SET leader = 'a';",
    )
    .unwrap();
    let database = Database::open(&path, 5).unwrap();
    let jobs = database.jobs();
    for (_, mut job) in made::jobs() {
        job.version += 1;
        assert_eq!(jobs.replace(&job).await, Ok(Replaced::Done));
    }
    let usage = Usage { version: made::usage().version + 1, ..made::usage() };
    assert_eq!(jobs.replace_usage(&usage).await, Ok(UsageReplaced::Done));
    assert_eq!(jobs.replace_crew(&made::crew().without("cleanup-1")).await, Ok(true));
    let fresh = Job { id: JobId::random(), ..made::jobs().remove(0).1 };
    assert_eq!(jobs.create(&fresh).await, Ok(Created::New));
    let count = |sql: &str| raw.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(
        count("SELECT count(*) FROM jobs WHERE tenant = 'a'"),
        i64::try_from(made::jobs().len()).unwrap()
    );
    assert_eq!(count("SELECT count(*) FROM jobs WHERE tenant = 'none'"), 1);
    assert_eq!(count("SELECT count(*) FROM usage, crew, tenants WHERE tenant = 'a' AND leader = 'a'"), 1);
}

/// The names of the messages that cadmill itself sends.
fn made_names() -> BTreeSet<String> {
    made::messages().into_iter().map(|(name, _)| name.to_owned()).collect()
}

/// The messages of every generation name the upload of the third job, and those of a newer one may say more.
#[test]
fn messages_of_every_generation_are_read() {
    let job = JobId::from_random_bytes([3; 16]);
    for generation in generations() {
        for (name, text) in texts(&generation.join("messages")) {
            let read =
                |text: &str| upload_event::parse(text).unwrap_or_else(|error| panic!("{name}: {error}"));
            let events = read(&text);
            assert_eq!(events.iter().map(|event| event.job).collect::<Vec<_>>(), [job], "{name}");
            assert_eq!(events[0].bucket, "bucket", "{name}");
            let sequencer = if name == "key" { "00" } else { "0055AED6DCD90281E5" };
            assert_eq!(events[0].sequencer, sequencer, "{name}");
            let mut more: Value = serde_json::from_str(&text).unwrap();
            cadmill_stores::conformance::other_version::plant(&mut more);
            assert_eq!(read(&more.to_string()), events, "{name} with more");
            let (again, _) = upload_event::sent_again(&more.to_string()).unwrap();
            let mut again: Value = serde_json::from_str(&again).unwrap();
            let sent = again.as_object_mut().unwrap().remove("cadmill-sent-again");
            assert!(sent.is_some() && differences("", &again, &more).is_empty(), "{name}: {again}");
        }
    }
}

/// The members of a record, of all that are in it. The names in a map are not members of the record.
fn members(place: &str, value: &Value, found: &mut BTreeSet<String>) {
    const MAPS: &[&str] = &["/order/options", "/facts", "/marks", "/members"];
    match value {
        Value::Object(all) => {
            for (name, value) in all {
                let name = if MAPS.contains(&place) { "*" } else { name };
                members(&format!("{place}/{name}"), value, found);
            }
        }
        Value::Array(all) => all.iter().for_each(|value| members(&format!("{place}/*"), value, found)),
        Value::Null => {}
        // A word is one of a list, and each of them counts.
        Value::String(word)
            if place.ends_with("/state") || place.ends_with("/step") || place.ends_with("/stage") =>
        {
            found.insert(format!("{place}={word}"));
        }
        _ => {
            found.insert(place.to_owned());
        }
    }
}

/// The newest generation has every field and state that this version writes: what is new since is to be frozen
/// as a new generation, before a program writes it.
#[test]
fn the_newest_generation_has_everything_that_is_written() {
    let newest = generations().pop().unwrap();
    let mut frozen = BTreeSet::new();
    for directory in ["jobs", "others"] {
        for (_, text) in texts(&newest.join(directory)) {
            members("", &serde_json::from_str(&text).unwrap(), &mut frozen);
        }
    }
    let mut written = BTreeSet::new();
    let mut note = |text: String| members("", &serde_json::from_str(&text).unwrap(), &mut written);
    made::jobs().iter().for_each(|(_, job)| note(stored::write(job).unwrap()));
    note(stored::write(&made::usage()).unwrap());
    note(stored::write(&made::crew()).unwrap());
    let new: Vec<&String> = written.difference(&frozen).collect();
    assert!(new.is_empty(), "not in {}; see the README there: {new:?}", newest.display());
}

/// Writes a generation, if it is asked for.
#[tokio::test]
async fn a_generation_is_written_when_it_is_asked_for() {
    let Some(number) = std::env::var_os("WRITE_COMPAT") else { return };
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/compat").join(number);
    let write = |directory: &str, name: &str, text: &str| {
        std::fs::create_dir_all(root.join(directory)).unwrap();
        let path = root.join(directory).join(name).with_extension("json");
        assert!(!path.exists(), "{} is frozen", path.display());
        std::fs::write(path, format!("{text}\n")).unwrap();
    };
    std::fs::create_dir_all(&root).unwrap();
    let path = root.join("jobs.sqlite");
    assert!(!path.exists(), "{} is frozen", path.display());
    let directory = tempfile::tempdir().unwrap();
    let written = directory.path().join("jobs.sqlite");
    let database = Database::open(&written, 5).unwrap();
    for (name, job) in made::jobs() {
        write("jobs", name, &stored::write(&job).unwrap());
        database.jobs().create(&job).await.unwrap();
    }
    let first = Usage { version: 1, ..made::usage() };
    database.jobs().replace_usage(&first).await.unwrap();
    for version in 2..=made::usage().version {
        database.jobs().replace_usage(&Usage { version, ..made::usage() }).await.unwrap();
    }
    for version in 1..=made::crew().version {
        database.jobs().replace_crew(&Crew { version, ..made::crew() }).await.unwrap();
    }
    write("others", "usage", &stored::write(&made::usage()).unwrap());
    write("others", "crew", &stored::write(&made::crew()).unwrap());
    for (name, text) in made::messages() {
        write("messages", name, &text);
        database.queue().send(&text).await.unwrap();
    }
    let raw = rusqlite::Connection::open(&written).unwrap();
    raw.execute("VACUUM INTO ?1", [path.to_str().unwrap()]).unwrap();
}
