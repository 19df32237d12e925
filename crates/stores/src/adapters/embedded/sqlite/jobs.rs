//! [`JobStore`] in SQLite: the record as JSON, and columns for what is searched.

use super::pool::{Fault, Pool};
use super::writes::Mark;
use async_trait::async_trait;
use cadmill_core::domain::crew::Crew;
use cadmill_core::domain::due::Part;
use cadmill_core::domain::ids::{JobId, Owner};
use cadmill_core::domain::job::{Job, Millis};
use cadmill_core::domain::quota::Usage;
use cadmill_core::domain::stored::{self, Record};
use cadmill_core::ports::job_store::{
    Created, Due, JobStore, Page, Replaced, Unreadable, UsageReplaced, Writes,
};
use cadmill_core::ports::{PortError, PortResult};
use rusqlite::{Connection, OptionalExtension, params};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

/// Number of unreadable records that a search for due jobs skips, for each job that it may
/// return.
const PASSED_OVER: usize = 10;
/// Minimum pause between writes that only report progress: a write takes a millisecond, and makes
/// the next status current.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);

/// The jobs of a part that are due within these times, the most overdue first.
pub(super) const DUE: &str = "SELECT record, CAST(id AS TEXT), rowid, due FROM jobs
                              WHERE part = ?1 AND due BETWEEN ?2 AND ?3 ORDER BY due, id";
/// The record of a job.
pub(super) const RECORD: &str = "SELECT record FROM jobs WHERE id = ?1";

const READING_USAGE: &str = "reading the usage of an owner";

/// Bytes that are written to check whether writing works.
const PROBE: i64 = 16 << 10;

/// The jobs of a [`super::Database`]. Clones are cheap.
#[derive(Clone)]
pub struct SqliteJobs {
    pool: Arc<Pool>,
    mark: Mark,
}

impl SqliteJobs {
    pub(super) fn new(pool: Arc<Pool>, mark: Mark) -> Self {
        Self { pool, mark }
    }
}

#[async_trait]
impl JobStore for SqliteJobs {
    async fn create(&self, job: &Job) -> PortResult<Created> {
        const OPERATION: &str = "creating a job";
        let row = Row::of(job, OPERATION)?;
        self.pool
            .write_then(OPERATION, self.mark.clone(), move |connection| {
                let stored = connection.execute(
                    "INSERT INTO jobs(id, owner, created, state, version, due, record, part)
                     VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO NOTHING",
                    params![
                        row.id,
                        row.owner,
                        row.created,
                        row.state,
                        row.version,
                        row.due,
                        row.record,
                        row.part
                    ],
                )?;
                if stored == 1 {
                    return Ok(Created::New);
                }
                let there = find(connection, &row.id, OPERATION)?.ok_or_else(|| corrupt(OPERATION))?;
                Ok(Created::Exists(Box::new(there)))
            })
            .await
    }

    async fn get(&self, id: JobId) -> PortResult<Option<Job>> {
        let id = id.to_string();
        self.pool.read("reading a job", move |connection| find(connection, &id, "reading a job")).await
    }

    async fn get_many(&self, ids: &[JobId]) -> PortResult<Vec<Job>> {
        let ids: BTreeSet<String> = ids.iter().map(JobId::to_string).collect();
        self.pool
            .read("reading jobs", move |connection| {
                let mut statement = connection.prepare(RECORD)?;
                let mut jobs = Vec::with_capacity(ids.len());
                for id in &ids {
                    let mut rows = statement.query([id])?;
                    jobs.extend(rows.next()?.and_then(|row| readable(row, id).ok()));
                }
                Ok(jobs)
            })
            .await
    }

    fn writes(&self) -> Option<Box<dyn Writes>> {
        self.mark.watch()
    }

    async fn replace(&self, next: &Job) -> PortResult<Replaced> {
        const OPERATION: &str = "replacing a job";
        let row = Row::of(next, OPERATION)?;
        self.pool
            .write_then(OPERATION, self.mark.clone(), move |connection| {
                let stored = connection.execute(
                    "UPDATE jobs SET state = ?2, version = ?3, due = ?4, record = ?5, part = ?6
                     WHERE id = ?1 AND version = ?3 - 1",
                    params![row.id, row.state, row.version, row.due, row.record, row.part],
                )?;
                if stored == 1 {
                    return Ok(Replaced::Done);
                }
                Ok(Replaced::Conflict(find(connection, &row.id, OPERATION)?.map(Box::new)))
            })
            .await
    }

    async fn delete(&self, job: &Job) -> PortResult<bool> {
        let (id, version, created) = (job.id.to_string(), integer(job.version), integer(job.times.created));
        self.pool
            .delete("deleting a job", move |connection| {
                let sql = "DELETE FROM jobs WHERE id = ?1 AND version = ?2 AND created = ?3";
                Ok(connection.execute(sql, params![id, version, created])? == 1)
            })
            .await
    }

    async fn list(&self, owner: &Owner, page: Option<&str>, limit: u32) -> PortResult<Page> {
        const OPERATION: &str = "listing jobs";
        if limit == 0 {
            return Ok(Page::default());
        }
        let (owner, page) = (owner.as_str().to_owned(), page.map(str::to_owned));
        self.pool
            .read(OPERATION, move |connection| {
                let key: Vec<u8> = connection.query_row(
                    "SELECT value FROM settings WHERE name = 'page_key'",
                    [],
                    |row| row.get(0),
                )?;
                let (created, id) = match &page {
                    None => (i64::MAX, "~".to_owned()),
                    Some(token) => {
                        read_token(&key, &owner, token).ok_or(PortError::NotFound("a page of a listing"))?
                    }
                };
                let mut statement = connection.prepare(
                    "SELECT record, id, created FROM jobs WHERE owner = ?1 AND (created, id) < (?2, ?3)
                     ORDER BY created DESC, id DESC LIMIT ?4",
                )?;
                let mut rows = statement.query(params![owner, created, id, i64::from(limit) + 1])?;
                let (mut page, mut last) = (Page::default(), None);
                while let Some(row) = rows.next()? {
                    if page.jobs.len() + page.unreadable as usize == limit as usize {
                        page.next =
                            last.map(|(created, id): (i64, String)| token(&key, &owner, created, &id));
                        break;
                    }
                    let id: String = row.get(1)?;
                    match readable(row, &id).ok().filter(|job| job.order.owner.as_str() == owner) {
                        Some(job) => page.jobs.push(job),
                        None => page.unreadable += 1,
                    }
                    last = Some((row.get(2)?, id));
                }
                Ok(page)
            })
            .await
    }

    async fn due(&self, part: Part, times: RangeInclusive<Millis>, limit: u32) -> PortResult<Due> {
        const OPERATION: &str = "finding what is due";
        let (from, to, part) = (integer(*times.start()), integer(*times.end()), part.to_string());
        self.pool
            .read(OPERATION, move |connection| {
                let mut statement = connection.prepare(DUE)?;
                let mut rows = statement.query(params![part, from, to])?;
                // Unreadable records do not take the place of readable ones, and many of them do
                // not make the search long.
                let (limit, mut due, mut last) = (limit as usize, Due::default(), from);
                while due.jobs.len() < limit && due.unreadable.len() < PASSED_OVER * limit {
                    let Some(row) = rows.next()? else { return Ok(due) };
                    last = row.get(3)?;
                    let id =
                        String::from_utf8_lossy(row.get_ref(1)?.as_bytes().unwrap_or_default()).into_owned();
                    match readable(row, &id) {
                        Ok(job) => due.jobs.push(job),
                        Err(why) => {
                            let place = row.get::<_, i64>(2)?.to_string();
                            let is_newer = why == stored::Unreadable::Newer;
                            due.unreadable.push(Unreadable { id, place, is_newer });
                        }
                    }
                }
                due.next = Some(last.unsigned_abs());
                Ok(due)
            })
            .await
    }

    async fn set_aside(&self, record: &Unreadable, until: Millis) -> PortResult<()> {
        let (place, until) = (record.place.parse::<i64>().ok(), integer(until));
        self.pool
            .write("setting a record aside", move |connection| {
                let sql = "UPDATE jobs SET due = ?2 WHERE rowid = ?1 AND due < ?2";
                connection.execute(sql, params![place, until])?;
                Ok(())
            })
            .await
    }

    async fn usage(&self, owner: &Owner) -> PortResult<Option<Usage>> {
        let owner = owner.as_str().to_owned();
        self.pool.read(READING_USAGE, move |connection| usage_of(connection, &owner, READING_USAGE)).await
    }

    async fn replace_usage(&self, next: &Usage) -> PortResult<UsageReplaced> {
        const OPERATION: &str = "changing the usage of an owner";
        let record = written(next, OPERATION)?;
        let (owner, version) = (next.owner.as_str().to_owned(), integer(next.version));
        self.pool
            .write(OPERATION, move |connection| {
                let sql = if version == 1 {
                    "INSERT INTO usage(owner, version, record) VALUES(?1, ?2, ?3) ON CONFLICT DO NOTHING"
                } else {
                    "UPDATE usage SET version = ?2, record = ?3 WHERE owner = ?1 AND version = ?2 - 1"
                };
                if connection.execute(sql, params![owner, version, record])? == 1 {
                    return Ok(UsageReplaced::Done);
                }
                Ok(UsageReplaced::Conflict(usage_of(connection, &owner, OPERATION)?.map(Box::new)))
            })
            .await
    }

    async fn crew(&self) -> PortResult<Option<Crew>> {
        const OPERATION: &str = "reading the cleanup programs";
        self.pool
            .read(OPERATION, |connection| {
                let sql = "SELECT record FROM crew";
                let record: Option<String> = connection.query_row(sql, [], |row| row.get(0)).optional()?;
                let crew = record.map(|record| stored::read(&record)).transpose();
                Ok(crew.map_err(|_| PortError::Corrupt {
                    operation: OPERATION,
                    reason: "the record is not a crew".to_owned(),
                })?)
            })
            .await
    }

    async fn replace_crew(&self, next: &Crew) -> PortResult<bool> {
        const OPERATION: &str = "changing the cleanup programs";
        let record = written(next, OPERATION)?;
        let version = integer(next.version);
        self.pool
            .write(OPERATION, move |connection| {
                let sql = if version == 1 {
                    "INSERT INTO crew(one, version, record) VALUES(1, ?1, ?2) ON CONFLICT DO NOTHING"
                } else {
                    "UPDATE crew SET version = ?1, record = ?2 WHERE version = ?1 - 1"
                };
                Ok(connection.execute(sql, params![version, record])? == 1)
            })
            .await
    }

    fn progress_interval(&self) -> Option<Duration> {
        Some(PROGRESS_INTERVAL)
    }

    async fn check(&self) -> PortResult<()> {
        self.pool
            .read("checking the job store", |connection| {
                connection.query_row("SELECT count(*) FROM (SELECT 1 FROM jobs LIMIT 1)", [], |_| Ok(()))?;
                Ok(())
            })
            .await
    }

    /// Writes more than the size of a record, so that it needs space as a record does: even free
    /// pages of the file are written to the log.
    async fn can_write(&self) -> PortResult<()> {
        self.pool
            .write("writing to the job store", |connection| {
                let sql = "INSERT OR REPLACE INTO settings(name, value) VALUES('probe', randomblob(?1))";
                connection.execute(sql, [PROBE])?;
                connection.execute("UPDATE settings SET value = x'' WHERE name = 'probe'", [])?;
                Ok(())
            })
            .await
    }
}

/// A job as its row.
struct Row {
    id: String,
    owner: String,
    created: i64,
    state: &'static str,
    version: i64,
    due: Option<i64>,
    record: String,
    part: String,
}

impl Row {
    fn of(job: &Job, operation: &'static str) -> PortResult<Self> {
        let record = written(job, operation)?;
        Ok(Self {
            id: job.id.to_string(),
            owner: job.order.owner.as_str().to_owned(),
            created: integer(job.times.created),
            state: job.state_name().unwrap_or_default(),
            version: integer(job.version),
            due: job.due.map(integer),
            record,
            part: Part::of(job).to_string(),
        })
    }
}

/// SQLite's integers are signed; no time and no count comes near their maximum.
fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn find(connection: &Connection, id: &str, operation: &'static str) -> Result<Option<Job>, Fault> {
    let record: Option<String> = connection.query_row(RECORD, [id], |row| row.get(0)).optional()?;
    match record.map(|record| parse(&record, operation)).transpose()? {
        Some(job) if job.id.to_string() != id => Err(corrupt(operation).into()),
        job => Ok(job),
    }
}

fn usage_of(connection: &Connection, owner: &str, operation: &'static str) -> Result<Option<Usage>, Fault> {
    let sql = "SELECT record FROM usage WHERE owner = ?1";
    let record: Option<String> = connection.query_row(sql, [owner], |row| row.get(0)).optional()?;
    let usage = record.map(|record| stored::read(&record)).transpose();
    let usage = usage
        .ok()
        .filter(|usage: &Option<Usage>| usage.as_ref().is_none_or(|usage| usage.owner.as_str() == owner));
    let reason = || "the usage of an owner is not valid".to_owned();
    Ok(usage.ok_or_else(|| PortError::Corrupt { operation, reason: reason() })?)
}

/// The job of a row whose first column is the record, if it has this id.
fn readable(row: &rusqlite::Row<'_>, id: &str) -> Result<Job, stored::Unreadable> {
    const DAMAGED: stored::Unreadable = stored::Unreadable::Damaged { column: 0 };
    let record = row.get_ref(0).ok().and_then(|record| record.as_str().ok()).ok_or(DAMAGED)?;
    let job: Job = stored::read(record)?;
    if job.id.to_string() == id { Ok(job) } else { Err(DAMAGED) }
}

/// Of the parser's message only the position is kept: the rest may quote the record.
fn parse(record: &str, operation: &'static str) -> PortResult<Job> {
    stored::read(record).map_err(|error| match error {
        stored::Unreadable::Newer => PortError::Newer(operation),
        stored::Unreadable::Damaged { column } => PortError::Corrupt {
            operation,
            reason: format!("a job's record is not a valid job, see its column {column}"),
        },
    })
}

fn written(record: &impl Record, operation: &'static str) -> PortResult<String> {
    let reason = "the record is not valid JSON";
    stored::write(record).map_err(|_| PortError::Refused { operation, reason: reason.to_owned() })
}

fn corrupt(operation: &'static str) -> PortError {
    PortError::Corrupt { operation, reason: "a job's row and its record differ".to_owned() }
}

/// Where the page after this job begins: creation time, id, and a digest that only this store can
/// compute and that is valid for this owner only.
fn token(key: &[u8], owner: &str, created: i64, id: &str) -> String {
    let place = format!("{created:016x}{id}");
    let seal = seal(key, owner, &place);
    place + &seal
}

fn read_token(key: &[u8], owner: &str, token: &str) -> Option<(i64, String)> {
    let (place, sealed) = token.split_at_checked(16 + 36)?;
    if seal(key, owner, place) != sealed {
        return None;
    }
    let (created, id) = place.split_at_checked(16)?;
    Some((integer(u64::from_str_radix(created, 16).ok()?), id.to_owned()))
}

fn seal(key: &[u8], owner: &str, place: &str) -> String {
    let mut digest = Sha256::new();
    digest.update(key);
    digest.update((owner.len() as u64).to_be_bytes());
    digest.update(owner.as_bytes());
    digest.update(place.as_bytes());
    digest.finalize()[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}
