//! Conversion of jobs to items, and the tokens of a listing's pages.

use super::super::error::{corrupt, refused};
use aws_sdk_dynamodb::types::AttributeValue;
use cadmill_core::domain::crew::Crew;
use cadmill_core::domain::due::Part;
use cadmill_core::domain::ids::{JobId, Owner};
use cadmill_core::domain::job::Job;
use cadmill_core::domain::quota::Usage;
use cadmill_core::ports::PortResult;
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

/// Maximum size of a record, in bytes: an item has at most 400 KB (Amazon DynamoDB Developer
/// Guide, "Quotas"), names and the other attributes included.
const MAX_RECORD_BYTES: usize = 400 * 1024 - 1024;

/// The item of a job.
pub(super) fn of(operation: &'static str, job: &Job) -> PortResult<Item> {
    let record = serde_json::to_string(job).map_err(|_| refused(operation, "the job is not valid JSON"))?;
    if record.len() > MAX_RECORD_BYTES {
        return Err(refused(operation, "the record is larger than the 400 KB of an item"));
    }
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let mut item = Item::from([
        (ID.to_owned(), text(&job.id.to_string())),
        ("version".to_owned(), number(job.version)),
        ("state".to_owned(), text(job.state.as_str())),
        (OWNER.to_owned(), text(job.order.owner.as_str())),
        (CREATED.to_owned(), created(job)),
        (RECORD.to_owned(), AttributeValue::S(record)),
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
    let record =
        serde_json::to_string(usage).map_err(|_| refused(operation, "the usage is not valid JSON"))?;
    if record.len() > MAX_RECORD_BYTES {
        return Err(refused(operation, "the usage is larger than the 400 KB of an item"));
    }
    Ok(Item::from([
        (ID.to_owned(), AttributeValue::S(usage_id(&usage.owner))),
        ("version".to_owned(), number(usage.version)),
        (RECORD.to_owned(), AttributeValue::S(record)),
    ]))
}

/// Key of the crew. The id of a job is a UUID.
pub(super) const CREW_ID: &str = "crew/cleanup";

/// The item of the crew. It has no key of an index, so it is in none.
pub(super) fn of_crew(operation: &'static str, crew: &Crew) -> PortResult<Item> {
    let record = serde_json::to_string(crew).map_err(|_| refused(operation, "the crew is not valid JSON"))?;
    Ok(Item::from([
        (ID.to_owned(), AttributeValue::S(CREW_ID.to_owned())),
        ("version".to_owned(), number(crew.version)),
        (RECORD.to_owned(), AttributeValue::S(record)),
    ]))
}

/// The crew of an item.
pub(super) fn crew(operation: &'static str, item: &Item) -> PortResult<Crew> {
    let record = item.get(RECORD).and_then(|value| value.as_s().ok());
    let crew = record.and_then(|record| serde_json::from_str(record).ok());
    crew.ok_or_else(|| corrupt(operation, "the record is not a crew"))
}

/// The usage of an item.
pub(super) fn usage(operation: &'static str, item: &Item) -> PortResult<Usage> {
    let record = item.get(RECORD).and_then(|value| value.as_s().ok());
    let usage: Option<Usage> = record.and_then(|record| serde_json::from_str(record).ok());
    let own = |usage: &Usage| id(item) == Some(usage_id(&usage.owner).as_str());
    usage.filter(own).ok_or_else(|| corrupt(operation, "the record is not the usage of its owner"))
}

/// The job of an item.
pub(super) fn job(operation: &'static str, item: &Item) -> PortResult<Job> {
    let record = item.get(RECORD).and_then(|value| value.as_s().ok());
    let record = record.ok_or_else(|| corrupt(operation, "the item has no record"))?;
    serde_json::from_str(record).map_err(|_| corrupt(operation, "the record is not a job"))
}

/// The job of an item, if it can be read and has the id of the item.
pub(super) fn readable(item: &Item) -> Option<Job> {
    let job = job("reading a job", item).ok()?;
    (id(item)? == job.id.to_string()).then_some(job)
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
