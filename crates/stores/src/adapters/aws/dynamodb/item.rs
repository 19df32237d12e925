//! Conversion of jobs to items, and the tokens of a listing's pages.
//!
//! An item is replaced as a whole. What it has beside the attributes of this version goes with the record
//! that was read from it ([`cadmill_core::domain::stored`]), and is written with the next change.

use super::super::error::{corrupt, refused};
use super::attribute;
use aws_sdk_dynamodb::types::AttributeValue;
use cadmill_core::domain::crew::Crew;
use cadmill_core::domain::due::Part;
use cadmill_core::domain::ids::{JobId, Owner};
use cadmill_core::domain::job::Job;
use cadmill_core::domain::quota::Usage;
use cadmill_core::domain::stored::{self, Record, Unknown, Unreadable};
use cadmill_core::ports::{PortError, PortResult};
use sha2::{Digest, Sha256};
use std::collections::HashMap;

/// An item, or a key of one.
pub(super) type Item = HashMap<String, AttributeValue>;

/// Index by owner, newest last. It contains keys only, so it is written once per job.
pub(super) const BY_OWNER: &str = "by_owner";

/// Index by due time, earliest first. It contains keys only, so it is written only when a job's due
/// time moves.
pub(super) const BY_DUE: &str = "by_due";
/// Key of the table: the job's id.
pub(super) const ID: &str = "id";
/// Partition key of the index by owner.
pub(super) const OWNER: &str = "owner";
/// Its sort key: the time of creation, and the id to order jobs with the same time.
pub(super) const CREATED: &str = "created";
/// Partition key of the index by due time. Jobs that are never due are not in it.
pub(super) const SHARD: &str = "due_shard";
/// Its sort key: the time when the job is due.
pub(super) const DUE: &str = "due";
/// The job itself, as JSON.
const RECORD: &str = "record";
/// Its number of changes.
const VERSION: &str = "version";
/// Its state, for operators.
const STATE: &str = "state";

/// The attributes of this version.
const OWN: &[&str] = &[ID, OWNER, CREATED, SHARD, DUE, RECORD, VERSION, STATE];

/// Maximum size of a record, in bytes: an item has at most 400 KB (Amazon DynamoDB Developer
/// Guide, "Quotas"), names and the other attributes included.
const MAX_RECORD_BYTES: usize = 400 * 1024 - 1024;

/// The item of a job.
pub(super) fn of(operation: &'static str, job: &Job) -> PortResult<Item> {
    let record = written(operation, job)?;
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let mut item = beside(&job.unknown);
    item.extend([
        (ID.to_owned(), text(&job.id.to_string())),
        (VERSION.to_owned(), number(job.version)),
        (STATE.to_owned(), text(job.state_name().unwrap_or_default())),
        (OWNER.to_owned(), text(job.order.owner.as_str())),
        (CREATED.to_owned(), created(job)),
        (RECORD.to_owned(), record),
    ]);
    if let Some(due) = job.due {
        item.insert(SHARD.to_owned(), AttributeValue::S(Part::of(job).to_string()));
        item.insert(DUE.to_owned(), number(due));
    }
    Ok(item)
}

/// Key of an owner's usage. The id of a job is a UUID, and an owner has no `/`.
pub(super) fn usage_id(owner: &Owner) -> String {
    format!("usage/{}", owner.as_str())
}

/// The item of an owner's usage. It has no key of an index, so it is in none.
pub(super) fn of_usage(operation: &'static str, usage: &Usage) -> PortResult<Item> {
    let mut item = beside(&usage.unknown);
    item.extend([
        (ID.to_owned(), AttributeValue::S(usage_id(&usage.owner))),
        (VERSION.to_owned(), number(usage.version)),
        (RECORD.to_owned(), written(operation, usage)?),
    ]);
    Ok(item)
}

/// Key of the crew. The id of a job is a UUID.
pub(super) const CREW_ID: &str = "crew/cleanup";

/// The item of the crew. It has no key of an index, so it is in none.
pub(super) fn of_crew(operation: &'static str, crew: &Crew) -> PortResult<Item> {
    let mut item = beside(&crew.unknown);
    item.extend([
        (ID.to_owned(), AttributeValue::S(CREW_ID.to_owned())),
        (VERSION.to_owned(), number(crew.version)),
        (RECORD.to_owned(), written(operation, crew)?),
    ]);
    Ok(item)
}

/// The crew of an item.
pub(super) fn crew(operation: &'static str, item: &Item) -> PortResult<Crew> {
    read(item).map_err(|_| corrupt(operation, "the record is not a crew"))
}

/// The usage of an item.
pub(super) fn usage(operation: &'static str, item: &Item) -> PortResult<Usage> {
    let own = |usage: &Usage| id(item) == Some(usage_id(&usage.owner).as_str());
    read(item).ok().filter(own).ok_or_else(|| corrupt(operation, "the record is not the usage of its owner"))
}

/// The job of an item.
pub(super) fn job(operation: &'static str, item: &Item) -> PortResult<Job> {
    read(item).map_err(|error| match error {
        Unreadable::Newer => PortError::Newer(operation),
        Unreadable::Damaged { .. } => corrupt(operation, "the record is not a job"),
    })
}

/// The job of an item, if it can be read and has the id of the item.
pub(super) fn readable(item: &Item) -> Result<Job, Unreadable> {
    let job: Job = read(item)?;
    let is_own = id(item).is_some_and(|id| id == job.id.to_string());
    if is_own { Ok(job) } else { Err(NO_RECORD) }
}

const NO_RECORD: Unreadable = Unreadable::Damaged { column: 0 };

fn read<T: Record>(item: &Item) -> Result<T, Unreadable> {
    let record = item.get(RECORD).and_then(|value| value.as_s().ok()).ok_or(NO_RECORD)?;
    let mut record: T = stored::read(record)?;
    let others = item.iter().filter(|(name, _)| !OWN.contains(&name.as_str()));
    record.unknown_mut().beside =
        others.filter_map(|(name, value)| Some((name.clone(), attribute::to_json(value)?))).collect();
    Ok(record)
}

fn written(operation: &'static str, record: &impl Record) -> PortResult<AttributeValue> {
    let record = stored::write(record).map_err(|_| refused(operation, "the record is not valid JSON"))?;
    if record.len() > MAX_RECORD_BYTES {
        return Err(refused(operation, "the record is larger than the 400 KB of an item"));
    }
    Ok(AttributeValue::S(record))
}

/// The attributes of another version.
fn beside(unknown: &Unknown) -> Item {
    let attributes = unknown.beside.iter();
    attributes.filter_map(|(name, value)| Some((name.clone(), attribute::of_json(value)?))).collect()
}

/// The key of an item.
pub(super) fn id(item: &Item) -> Option<&str> {
    item.get(ID)?.as_s().ok().map(String::as_str)
}

/// A number as DynamoDB writes it.
pub(super) fn number(number: u64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

/// The time at which an item is due.
pub(super) fn due(item: &Item) -> Option<u64> {
    item.get(DUE)?.as_n().ok()?.parse().ok()
}

/// The time of a job's creation as its item has it.
pub(super) fn created(job: &Job) -> AttributeValue {
    AttributeValue::S(created_place(job.times.created, job.id))
}

fn created_place(at: u64, id: JobId) -> String {
    format!("{at:016x}#{id}")
}

/// A token for the page after this item.
pub(super) fn token(owner: &Owner, last: &Item) -> Option<String> {
    let place = last.get(CREATED)?.as_s().ok()?.replacen('#', "", 1);
    Some(format!("{place}{}", seal(owner, &place)))
}

/// Where the page of a token begins, if the token is one of this owner. The token need not be
/// secret: a forged one only finds jobs of the owner that asks.
pub(super) fn start(owner: &Owner, token: &str) -> Option<Item> {
    let (place, sealed) = token.split_at_checked(16 + 36)?;
    if sealed != seal(owner, place) {
        return None;
    }
    let (at, id) = place.split_at_checked(16)?;
    let (at, id) = (u64::from_str_radix(at, 16).ok()?, id.parse().ok()?);
    let text = |name: &str, value| (name.to_owned(), AttributeValue::S(value));
    Some(Item::from([
        text(ID, JobId::to_string(&id)),
        text(OWNER, owner.as_str().to_owned()),
        text(CREATED, created_place(at, id)),
    ]))
}

/// Half of the digest of owner and place, in hexadecimal.
fn seal(owner: &Owner, place: &str) -> String {
    let digest = Sha256::digest(format!("page\n{}\n{place}", owner.as_str()));
    digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Map, Value};
    use std::path::{Path, PathBuf};

    const COMPAT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/compat");

    fn json(item: &Item) -> Map<String, Value> {
        item.iter().map(|(name, value)| (name.clone(), attribute::to_json(value).unwrap())).collect()
    }

    /// The item as this version writes it, of one that it has read.
    fn again(name: &str, item: &Item) -> Item {
        const OPERATION: &str = "test";
        match name {
            "crew" => of_crew(OPERATION, &crew(OPERATION, item).unwrap()),
            "usage" => of_usage(OPERATION, &usage(OPERATION, item).unwrap()),
            _ => of(OPERATION, &readable(item).unwrap()),
        }
        .unwrap()
    }

    fn files(directory: &Path) -> Vec<(String, String)> {
        let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
        let name = |path: &PathBuf| path.file_stem().unwrap().to_str().unwrap().to_owned();
        entries
            .map(|path| (name(&path), std::fs::read_to_string(path).unwrap().trim_end().to_owned()))
            .collect()
    }

    /// See the README of the fixtures.
    fn write(generation: &Path) {
        let directory = generation.join("items");
        assert!(!directory.exists(), "{} is frozen", directory.display());
        std::fs::create_dir_all(&directory).unwrap();
        let all = [files(&generation.join("jobs")), files(&generation.join("others"))].concat();
        for (name, record) in all {
            let mut item = Item::from([(RECORD.to_owned(), AttributeValue::S(record))]);
            let id = match name.as_str() {
                "crew" => CREW_ID.to_owned(),
                "usage" => usage_id(&read::<Usage>(&item).unwrap().owner),
                _ => read::<Job>(&item).unwrap().id.to_string(),
            };
            item.insert(ID.to_owned(), AttributeValue::S(id));
            let text = Value::Object(json(&again(&name, &item))).to_string();
            std::fs::write(directory.join(name).with_extension("json"), text + "\n").unwrap();
        }
    }

    #[test]
    fn items_of_every_generation_are_read_and_written_alike() {
        if let Some(number) = std::env::var_os("WRITE_COMPAT") {
            write(&Path::new(COMPAT).join(number));
        }
        for entry in std::fs::read_dir(COMPAT).unwrap() {
            let path = entry.unwrap().path().join("items");
            if !path.is_dir() {
                continue;
            }
            for (name, text) in files(&path) {
                let mut frozen: Map<String, Value> = serde_json::from_str(&text).unwrap();
                let item = |json: &Map<String, Value>| -> Item {
                    json.iter().map(|(n, value)| (n.clone(), attribute::of_json(value).unwrap())).collect()
                };
                let mut written = json(&again(&name, &item(&frozen)));
                // The record is compared by what it says, in the tests of records.
                assert!(frozen.remove(RECORD).is_some() && written.remove(RECORD).is_some());
                frozen.iter().for_each(|(n, value)| assert_eq!(written.get(n), Some(value), "{name}: {n}"));
            }
        }
    }
}
