//! [`EventQueue`] in SQLite.
//!
//! Times are counted from the start of the machine. All processes that share the file have this
//! clock in common, and it cannot be set. After a reboot, or on another machine, every message is
//! visible, because its receiver no longer exists.
//!
//! Owners are served in turn: of the owners with a visible message, the one whose last delivery is
//! longest ago, or who came after it. So a message waits for at most one delivery of each other
//! owner, however many messages they have. Messages about no known job count as one owner's.

use super::pool::Pool;
use async_trait::async_trait;
use cadmill_core::domain::upload_event;
use cadmill_core::ports::clock::{Clock, SystemClock, uptime};
use cadmill_core::ports::event_queue::{Depth, EventQueue, Message};
use cadmill_core::ports::{PortError, PortResult};
use rusqlite::{Connection, OptionalExtension, params};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

/// Maximum size of a body, in bytes: that of Amazon SQS, so that a body that is accepted here is
/// accepted there (Amazon SQS Developer Guide, "Message quotas").
const MAX_BODY_BYTES: usize = 1 << 20;
/// Interval at which a waiting receiver checks for messages from other processes.
const POLL: Duration = Duration::from_millis(75);
const MAX_WAIT: Duration = Duration::from_secs(20);

/// The queue of a [`super::Database`]. Clones are cheap.
#[derive(Clone)]
pub struct SqliteQueue {
    pool: Arc<Pool>,
    sent: Arc<Notify>,
    max_deliveries: u32,
    /// The id after which the dead letters are looked through.
    looked: Arc<Mutex<String>>,
}

impl SqliteQueue {
    pub(super) fn new(pool: Arc<Pool>, sent: Arc<Notify>, max_deliveries: u32) -> Self {
        Self { pool, sent, max_deliveries, looked: Arc::default() }
    }

    /// Takes messages that are visible now. Checks with a reading connection first, so that an
    /// empty queue needs no write lock.
    async fn take(&self, max: u32, hidden: Duration) -> PortResult<Vec<Message>> {
        const OPERATION: &str = "receiving messages";
        let any = self.pool.read(OPERATION, |connection| {
            let sql = "SELECT EXISTS(SELECT 1 FROM messages WHERE visible_at <= ?1)";
            Ok(connection.query_row(sql, [now()], |row| row.get::<_, bool>(0))?)
        });
        if !any.await? {
            return Ok(Vec::new());
        }
        let max_deliveries = self.max_deliveries;
        let receipts = (0..max).map(|_| random(OPERATION)).collect::<PortResult<Vec<_>>>()?;
        self.pool
            .write(OPERATION, move |connection| {
                // One time for all: a message that stays visible must not be taken a second time.
                let now = now();
                let mut messages = Vec::new();
                for receipt in receipts {
                    match next(connection, now, receipt, hidden, max_deliveries)? {
                        Some(message) => messages.push(message),
                        None => break,
                    }
                }
                Ok(messages)
            })
            .await
    }
}

/// Delivers one message that is visible at this time. Messages that were delivered too often become dead letters on
/// the way.
fn next(
    connection: &Connection,
    now: i64,
    receipt: String,
    hidden: Duration,
    max_deliveries: u32,
) -> rusqlite::Result<Option<Message>> {
    loop {
        let found = connection
            .query_row(
                // Each owner costs one look at an index, however many messages there are.
                "SELECT id, body, deliveries, owner FROM messages
                 WHERE visible_at <= ?1 AND owner = (
                     SELECT owner FROM turns WHERE EXISTS(
                         SELECT 1 FROM messages WHERE owner = turns.owner AND visible_at <= ?1)
                     ORDER BY turn LIMIT 1)
                 ORDER BY visible_at LIMIT 1",
                [now],
                |row| {
                    let (id, body): (String, String) = (row.get(0)?, row.get(1)?);
                    Ok((id, body, row.get::<_, u32>(2)?, row.get::<_, String>(3)?))
                },
            )
            .optional()?;
        let Some((id, body, deliveries, owner)) = found else { return Ok(None) };
        if deliveries >= max_deliveries {
            entomb(connection, &id)?;
            continue;
        }
        let deliveries = deliveries + 1;
        // Later than now even if the message is hidden for no time: it must not be returned twice
        // in one answer.
        let visible_at = after(now, hidden).max(now + 1);
        connection.execute(
            "UPDATE messages SET visible_at = ?2, deliveries = ?3, receipt = ?4 WHERE id = ?1",
            params![id, visible_at, deliveries, receipt],
        )?;
        let sql = "UPDATE turns SET turn = (SELECT max(turn) + 1 FROM turns) WHERE owner = ?1";
        connection.execute(sql, [owner])?;
        return Ok(Some(Message { id, receipt, body, deliveries }));
    }
}

/// Moves a message to the dead letters.
fn entomb(connection: &Connection, id: &str) -> rusqlite::Result<()> {
    connection.execute(
        "INSERT OR REPLACE INTO dead_letters(id, body, deliveries, buried_at)
         SELECT id, body, deliveries, ?2 FROM messages WHERE id = ?1",
        params![id, integer(SystemClock.now())],
    )?;
    connection.execute("DELETE FROM messages WHERE id = ?1", [id])?;
    Ok(())
}

#[async_trait]
impl EventQueue for SqliteQueue {
    async fn send_later(&self, body: &str, delay: Duration) -> PortResult<()> {
        const OPERATION: &str = "sending a message";
        if body.len() > MAX_BODY_BYTES {
            let reason = format!("a body has at most {MAX_BODY_BYTES} bytes");
            return Err(PortError::Refused { operation: OPERATION, reason });
        }
        let (id, body) = (random(OPERATION)?, body.to_owned());
        let job = upload_event::parse(&body).ok().and_then(|events| Some(events.first()?.job.to_string()));
        self.pool
            .write(OPERATION, move |connection| {
                let sql = "INSERT INTO messages(id, body, visible_at, owner)
                           VALUES(?1, ?2, ?3, coalesce((SELECT owner FROM jobs WHERE id = ?4), ''))";
                connection.execute(sql, params![id, body, after(now(), delay), job])?;
                Ok(())
            })
            .await?;
        self.sent.notify_waiters();
        Ok(())
    }

    async fn receive(&self, max: u32, wait: Duration, hidden: Duration) -> PortResult<Vec<Message>> {
        let end = Instant::now() + wait.min(MAX_WAIT);
        loop {
            let sent = self.sent.notified();
            tokio::pin!(sent);
            // From here on a message that is sent wakes this receiver, so none is missed in
            // between.
            sent.as_mut().enable();
            let messages = self.take(max.clamp(1, 10), hidden).await?;
            let now = Instant::now();
            if !messages.is_empty() || now >= end {
                return Ok(messages);
            }
            let _ = timeout_at(end.min(now + POLL), sent).await;
        }
    }

    async fn change_visibility(&self, message: &Message, hidden: Duration) -> PortResult<()> {
        let (id, receipt) = (message.id.clone(), message.receipt.clone());
        self.pool
            .write("changing the visibility of a message", move |connection| {
                let sql = "UPDATE messages SET visible_at = ?3 WHERE id = ?1 AND receipt = ?2";
                let changed = connection.execute(sql, params![id, receipt, after(now(), hidden)])?;
                if changed == 1 { Ok(()) } else { Err(PortError::NotFound("a received message").into()) }
            })
            .await?;
        if hidden.is_zero() {
            self.sent.notify_waiters();
        }
        Ok(())
    }

    async fn delete(&self, message: &Message) -> PortResult<()> {
        let (id, receipt) = (message.id.clone(), message.receipt.clone());
        self.pool
            .delete("deleting a message", move |connection| {
                let sql = "DELETE FROM messages WHERE id = ?1 AND receipt = ?2";
                let changed = connection.execute(sql, params![id, receipt])?;
                if changed == 1 { Ok(()) } else { Err(PortError::NotFound("a received message").into()) }
            })
            .await
    }

    async fn dead_letter(&self, message: &Message) -> PortResult<()> {
        let (id, receipt) = (message.id.clone(), message.receipt.clone());
        self.pool
            .write("moving a message to the dead-letter queue", move |connection| {
                let sql = "SELECT 1 FROM messages WHERE id = ?1 AND receipt = ?2";
                let held = connection.query_row(sql, params![id, receipt], |_| Ok(())).optional()?;
                held.ok_or(PortError::NotFound("a received message"))?;
                Ok(entomb(connection, &id)?)
            })
            .await
    }

    async fn depth(&self) -> PortResult<Depth> {
        self.pool
            .read("counting messages", |connection| {
                let sql = "SELECT count(*) FILTER (WHERE visible_at <= ?1), count(*) FROM messages";
                let (ready, all): (i64, i64) =
                    connection.query_row(sql, [now()], |row| Ok((row.get(0)?, row.get(1)?)))?;
                let [ready, all] = [ready, all].map(i64::unsigned_abs);
                Ok(Depth { ready, hidden: all.saturating_sub(ready) })
            })
            .await
    }

    async fn dead_letters(&self) -> PortResult<u64> {
        self.pool
            .read("counting dead letters", |connection| {
                let sql = "SELECT count(*) FROM dead_letters";
                let count: i64 = connection.query_row(sql, [], |row| row.get(0))?;
                Ok(count.unsigned_abs())
            })
            .await
    }

    /// In the order of their ids, from where the last call of this queue and its clones ended; a call that
    /// finds none begins again.
    async fn receive_dead(&self, max: u32, _: Duration) -> PortResult<Vec<Message>> {
        let after = self.looked.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let letters = self.pool.read("reading dead letters", move |connection| {
            let sql = "SELECT id, body, deliveries FROM dead_letters WHERE id > ?1 ORDER BY id LIMIT ?2";
            let mut statement = connection.prepare(sql)?;
            let rows = statement.query_map(params![after, max], |row| {
                let id: String = row.get(0)?;
                Ok(Message { receipt: id.clone(), id, body: row.get(1)?, deliveries: row.get(2)? })
            })?;
            Ok(rows.collect::<Result<Vec<_>, _>>()?)
        });
        let letters = letters.await?;
        let last = letters.last().map(|letter| letter.id.clone()).unwrap_or_default();
        *self.looked.lock().unwrap_or_else(PoisonError::into_inner) = last;
        Ok(letters)
    }

    async fn delete_dead(&self, message: &Message) -> PortResult<()> {
        let id = message.id.clone();
        self.pool
            .delete("deleting a dead letter", move |connection| {
                match connection.execute("DELETE FROM dead_letters WHERE id = ?1", [id])? {
                    0 => Err(PortError::NotFound("a dead letter").into()),
                    _ => Ok(()),
                }
            })
            .await
    }

    async fn check(&self) -> PortResult<()> {
        self.pool
            .read("checking the queue", |connection| {
                connection
                    .query_row("SELECT count(*) FROM (SELECT 1 FROM messages LIMIT 1)", [], |_| Ok(()))?;
                Ok(())
            })
            .await
    }
}

/// Milliseconds since the machine started.
fn now() -> i64 {
    integer(uptime())
}

fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Makes messages visible if their times are from before a reboot.
pub(super) fn begin(connection: &Connection) -> rusqlite::Result<()> {
    let boot = boot();
    let sql = "SELECT value = ?1 FROM settings WHERE name = 'boot'";
    let known: Option<bool> = connection.query_row(sql, [boot.as_bytes()], |row| row.get(0)).optional()?;
    if known != Some(true) {
        connection.execute("UPDATE messages SET visible_at = 0", [])?;
        let sql = "INSERT OR REPLACE INTO settings VALUES('boot', ?1)";
        connection.execute(sql, [boot.as_bytes()])?;
    }
    Ok(())
}

/// Identifies this boot of the machine.
fn boot() -> String {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
    // If the kernel does not report an id, each process that opens the file makes messages
    // visible. A message may then be delivered twice, which events allow.
    id.map(|id| id.trim().to_owned())
        .unwrap_or_else(|_| cadmill_core::domain::ids::JobId::random().to_string())
}

fn after(now: i64, hidden: Duration) -> i64 {
    now.saturating_add(i64::try_from(hidden.as_millis()).unwrap_or(i64::MAX))
}

/// 128 random bits in hexadecimal.
fn random(operation: &'static str) -> PortResult<String> {
    let mut bytes = [0u8; 16];
    getrandom::fill(&mut bytes)
        .map_err(|_| PortError::Unavailable { operation, reason: "no random bytes".to_owned() })?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
