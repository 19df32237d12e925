//! The table of jobs, as DynamoDB keeps it: partitions that take 1,000 write units a second, and an
//! index of what is due that lags, and whose partitions throttle the writes of the table.

use crate::limits::{INDEX_LAG, TokenBucket};
use crate::random::Random;
use cadmill_core::domain::crew::Crew;
use cadmill_core::domain::due::{Part, SHARDS, Work};
use cadmill_core::domain::ids::JobId;
use cadmill_core::domain::job::{Job, Millis};
use cadmill_core::domain::quota::Usage;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::ops::RangeInclusive;

/// Bytes of an item beside its record: names and values of the attributes that conditions and indexes
/// need (crates/stores/src/adapters/aws/dynamodb/item.rs).
const OTHER_BYTES: u64 = 190;

/// A write that a partition did not take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Throttled {
    /// One of the table.
    Table,
    /// One of the index of what is due.
    Index,
}

/// A job in the table.
struct Row {
    job: Job,
    bytes: u64,
    due: Option<(Part, Millis)>,
}

/// A part of the due work in the index.
#[derive(Default)]
struct Listed {
    entries: BTreeSet<(Millis, JobId)>,
    /// Changes that the index does not show yet: when it does, whether an entry is added, and which.
    coming: VecDeque<(Millis, bool, (Millis, JobId))>,
}

impl Listed {
    fn change(&mut self, at: Millis, is_added: bool, entry: (Millis, JobId)) {
        // In the order of the writes.
        let at = self.coming.back().map_or(at, |(last, ..)| at.max(*last));
        self.coming.push_back((at, is_added, entry));
    }

    fn settle(&mut self, now: Millis) {
        while self.coming.front().is_some_and(|(at, ..)| *at <= now) {
            match self.coming.pop_front() {
                Some((_, true, entry)) => drop(self.entries.insert(entry)),
                Some((_, false, entry)) => drop(self.entries.remove(&entry)),
                None => {}
            }
        }
    }
}

/// The table.
pub(crate) struct Table {
    rows: HashMap<JobId, Row>,
    pub(crate) usages: HashMap<String, Usage>,
    pub(crate) crew: Option<Crew>,
    partitions: Vec<TokenBucket>,
    index: Vec<TokenBucket>,
    listed: Vec<Listed>,
}

impl Table {
    /// An empty one.
    pub(crate) fn new(partitions: usize, index_partitions: usize, units: f64) -> Self {
        Self {
            rows: HashMap::new(),
            usages: HashMap::new(),
            crew: None,
            partitions: vec![TokenBucket::new(units); partitions],
            index: vec![TokenBucket::new(units); index_partitions],
            listed: std::iter::repeat_with(Listed::default).take(2 * usize::from(SHARDS)).collect(),
        }
    }

    pub(crate) fn job(&self, id: JobId) -> Option<&Job> {
        self.rows.get(&id).map(|row| &row.job)
    }

    pub(crate) fn jobs(&self) -> impl Iterator<Item = &Job> {
        self.rows.values().map(|row| &row.job)
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Lets the partition of the index that has this part take so many write units in a second.
    pub(crate) fn set_index_rate(&mut self, part: Part, rate: f64) {
        let partition = number(part) % self.index.len();
        self.index[partition].set_rate(rate);
    }

    /// Most write units that a partition of the table took in a second, and one of the index.
    pub(crate) fn busiest(&self) -> [f64; 2] {
        [&self.partitions, &self.index].map(|all| all.iter().map(TokenBucket::most).fold(0.0, f64::max))
    }

    /// What the index shows by now of the part's jobs that are due within these times, the most overdue first.
    pub(crate) fn due(
        &mut self,
        part: Part,
        times: &RangeInclusive<Millis>,
        now: Millis,
        limit: usize,
    ) -> Vec<(Millis, JobId)> {
        let listed = &mut self.listed[number(part)];
        listed.settle(now);
        let due = listed.entries.iter().skip_while(|(due, _)| due < times.start());
        due.take_while(|(due, _)| due <= times.end()).take(limit).copied().collect()
    }

    /// Writes a job, whose condition holds; returns the write units.
    pub(crate) fn put(&mut self, job: &Job, now: Millis, random: &mut Random) -> Result<f64, Throttled> {
        let bytes = size(job);
        let due = job.due.map(|due| (Part::of(job), due));
        let old = self.rows.get(&job.id);
        let (old_bytes, old_due) = old.map_or((0, None), |row| (row.bytes, row.due));
        // A new job also gets an entry in the index by owner.
        let owner = f64::from(u8::from(old.is_none()));
        let units = self.charge(job.id, bytes.max(old_bytes), [old_due, due], owner, now)?;
        self.list(job.id, [old_due, due], now, random);
        self.rows.insert(job.id, Row { job: job.clone(), bytes, due });
        Ok(units)
    }

    /// Deletes a job, whose condition holds; returns the write units.
    pub(crate) fn delete(&mut self, id: JobId, now: Millis, random: &mut Random) -> Result<f64, Throttled> {
        let (bytes, due) = self.rows.get(&id).map_or((0, None), |row| (row.bytes, row.due));
        let units = self.charge(id, bytes, [due, None], 1.0, now)?;
        self.list(id, [due, None], now, random);
        self.rows.remove(&id);
        Ok(units)
    }

    /// Charges a small write that is in no index, or one whose condition does not hold.
    pub(crate) fn charge_small(
        &mut self,
        key: &impl Hash,
        bytes: u64,
        now: Millis,
    ) -> Result<f64, Throttled> {
        self.charge(key, bytes, [None, None], 0.0, now)
    }

    fn charge(
        &mut self,
        key: impl Hash,
        bytes: u64,
        [old, new]: [Option<(Part, Millis)>; 2],
        owner: f64,
        now: Millis,
    ) -> Result<f64, Throttled> {
        let units = bytes.div_ceil(1024).max(1) as f64;
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let partition = (hasher.finish() % self.partitions.len() as u64) as usize;
        if !self.partitions[partition].has(units, now) {
            return Err(Throttled::Table);
        }
        let moved: Vec<usize> = if old == new { [None, None] } else { [old, new] }
            .into_iter()
            .flatten()
            .map(|(part, _)| number(part) % self.index.len())
            .collect();
        let needed = moved.len() as f64;
        if !moved.iter().all(|&partition| self.index[partition].has(needed, now)) {
            return Err(Throttled::Index);
        }
        moved.iter().for_each(|&partition| self.index[partition].take(1.0));
        self.partitions[partition].take(units);
        Ok(units + needed + owner)
    }

    fn list(&mut self, id: JobId, [old, new]: [Option<(Part, Millis)>; 2], now: Millis, random: &mut Random) {
        if old == new {
            return;
        }
        for (entry, is_added) in [(old, false), (new, true)] {
            if let Some((part, due)) = entry {
                let shown = now + random.between(0, INDEX_LAG);
                self.listed[number(part)].change(shown, is_added, (due, id));
            }
        }
    }
}

fn number(part: Part) -> usize {
    let kind = usize::from(part.work == Work::Wake);
    kind * usize::from(SHARDS) + usize::from(part.shard)
}

/// The size of a job's item, in bytes: the record is the JSON that the adapter writes.
fn size(job: &Job) -> u64 {
    struct Counted(u64);
    impl io::Write for Counted {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len() as u64;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut counted = Counted(OTHER_BYTES);
    serde_json::to_writer(&mut counted, job).expect("a job is JSON");
    counted.0
}
