//! The history that a ledger records: each file from creation to removal, and the counts.
//!
//! It is built from any sequence of records, complete or not, as far as they go. Contradictions are
//! reported; whether the records are authentic is not checked here.

use super::record::{Act, Boundary, Counts, Creation, Effect, FileId, Header, Intent, Kind, Purge, Record};
use super::{Format, LedgerId};
use crate::domain::job::{Millis, Stage};
use std::collections::BTreeMap;

/// A file or directory. Times are in milliseconds since the ledger was opened, by its monotonic
/// clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileHistory {
    /// What was known when it appeared.
    pub birth: Creation,
    /// Whether it was created outside the ledger, and found.
    pub found: bool,
    /// When it was created or found.
    pub created: Millis,
    /// Its size in bytes, if known.
    pub bytes: Option<u64>,
    /// HMAC of its content; empty if it was not computed.
    pub content: String,
    /// When it was completely overwritten and verified.
    pub wiped: Option<Millis>,
    /// The method of overwriting.
    pub method: String,
    /// When it was removed.
    pub gone: Option<Millis>,
}

impl FileHistory {
    /// How long it existed, in milliseconds; `None` if it still exists.
    pub fn lifetime(&self) -> Option<Millis> {
        self.gone.map(|gone| gone.saturating_sub(self.created))
    }

    /// Whether the file was removed without having been overwritten.
    fn unwiped(&self) -> bool {
        self.birth.kind == Kind::File && self.gone.is_some() && self.wiped.is_none() && self.bytes != Some(0)
    }
}

/// An anomaly recorded in the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incident {
    /// When, by the ledger's monotonic clock.
    pub at: Millis,
    /// Its code.
    pub code: String,
    /// The affected file; 0 for none.
    pub file: FileId,
    /// The note.
    pub note: String,
}

/// The ledger of another worker, whose leftovers were destroyed in this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Predecessor {
    /// Its id.
    pub ledger: LedgerId,
    /// Its last record, as seen by the sweep.
    pub last_seq: u64,
    /// Hash of its last line.
    pub last_hash: String,
}

/// The history recorded in a ledger.
#[derive(Debug, Clone, Default)]
pub struct Timeline {
    /// Its format; `None` without an `open`.
    pub format: Option<Format>,
    /// Name of the worker.
    pub worker: String,
    /// Version of the program.
    pub build: String,
    /// The guards in force.
    pub posture: BTreeMap<String, String>,
    /// Wall clock of the first record.
    pub opened_at: Millis,
    /// Monotonic clock of the last record.
    pub length: Millis,
    /// Every file and directory, by number.
    pub lives: BTreeMap<FileId, FileHistory>,
    /// Stages: stage, beginning, end.
    pub stages: Vec<(Stage, Millis, Option<Millis>)>,
    /// Incidents.
    pub incidents: Vec<Incident>,
    /// Ledgers that this one ends.
    pub sweeps: Vec<Predecessor>,
    /// Deletions from the object store.
    pub purges: Vec<Purge>,
    /// How it ended; `None` without a `close`.
    pub outcome: Option<String>,
    open: BTreeMap<u64, (FileId, Act, String)>,
    destroyed: u64,
}

impl Timeline {
    /// Adds a record.
    ///
    /// # Errors
    /// How it contradicts the earlier records.
    pub fn tell(&mut self, header: &Header, record: &Record) -> Result<(), String> {
        let now = header.mono_ms;
        self.length = self.length.max(now);
        if self.outcome.is_some() {
            return Err("it comes after the close".to_owned());
        }
        if header.seq > 0 && header.ledger.is_of_deletions() && !belongs_to_deletions(record) {
            return Err("the ledger of a deletion has no such record".to_owned());
        }
        match record {
            Record::Open { format, worker, build, posture } => {
                if header.seq != 0 {
                    return Err("a ledger is opened once, by its first record".to_owned());
                }
                (self.format, self.opened_at) = (Some(*format), header.at_ms);
                (self.worker, self.build, self.posture) = (worker.clone(), build.clone(), posture.clone());
                Ok(())
            }
            _ if header.seq == 0 => Err("the first record of a ledger is an open".to_owned()),
            Record::Intent { file, intent } => self.intent(header.seq, *file, intent, now),
            Record::Done { file, intent, ok, effect } => self.done(*file, *intent, *ok, effect, now),
            Record::Found { file, birth, bytes } => self.found(*file, birth, *bytes, now),
            Record::Stage { stage, mark } => self.stage(*stage, *mark, now),
            Record::Incident { code, file, note } => {
                self.known(*file, true)?;
                let (code, note) = (code.clone(), note.clone());
                self.incidents.push(Incident { at: now, code, file: *file, note });
                Ok(())
            }
            Record::Sweep { ledger, last_seq, last_hash } => {
                let (last_seq, last_hash) = (*last_seq, last_hash.clone());
                self.sweeps.push(Predecessor { ledger: *ledger, last_seq, last_hash });
                Ok(())
            }
            Record::Purge(purge) => self.purged(header.ledger, purge),
            Record::Close { outcome, counts } => {
                if header.ledger.is_of_deletions() && self.purges.is_empty() {
                    return Err("it closes the ledger of a deletion, and no deletion is on record".to_owned());
                }
                let recounted = self.counts();
                self.outcome = Some(outcome.clone());
                if *counts == recounted {
                    Ok(())
                } else {
                    Err(format!("the counts of the close are not those of the records: {recounted:?}"))
                }
            }
        }
    }

    /// The counts so far.
    pub fn counts(&self) -> Counts {
        let created = self.lives.values().filter(|life| life.created != NEVER).count() as u64;
        Counts {
            created,
            destroyed: self.destroyed,
            residual: created - self.destroyed,
            unfinished: self.open.len() as u64,
            incidents: self.incidents.len() as u64,
        }
    }

    /// Files that still exist, at the last record.
    pub fn residual(&self) -> impl Iterator<Item = FileId> {
        self.lives.iter().filter(|(_, life)| life.created != NEVER && life.gone.is_none()).map(|(id, _)| *id)
    }

    /// Files that were removed without having been completely overwritten.
    pub fn unwiped(&self) -> impl Iterator<Item = FileId> {
        self.lives.iter().filter(|(_, life)| life.unwiped()).map(|(id, _)| *id)
    }

    /// Acts that were begun without a recorded end.
    pub fn unfinished(&self) -> impl Iterator<Item = (FileId, Act)> {
        self.open.values().map(|(file, act, _)| (*file, *act))
    }

    /// Files that were created or found.
    pub fn made(&self) -> impl Iterator<Item = (FileId, &FileHistory)> {
        self.lives.iter().filter(|(_, life)| life.created != NEVER).map(|(id, life)| (*id, life))
    }

    fn known(&self, file: FileId, or_none: bool) -> Result<(), String> {
        let there = self.lives.contains_key(&file) || or_none && file == 0;
        if there { Ok(()) } else { Err(format!("there is no file {file}")) }
    }

    fn born(&mut self, file: FileId, birth: &Creation, found: bool, now: Millis) -> Result<(), String> {
        self.known(birth.parent, true)?;
        if file == 0 || self.lives.contains_key(&file) {
            return Err(format!("file {file} was there before"));
        }
        let (content, method) = (String::new(), String::new());
        let life = FileHistory {
            birth: birth.clone(),
            found,
            created: now,
            bytes: None,
            content,
            wiped: None,
            method,
            gone: None,
        };
        self.lives.insert(file, life);
        Ok(())
    }

    fn found(&mut self, file: FileId, birth: &Creation, bytes: u64, now: Millis) -> Result<(), String> {
        self.born(file, birth, true, now)?;
        if let Some(life) = self.lives.get_mut(&file) {
            life.bytes = Some(bytes);
        }
        Ok(())
    }

    fn intent(&mut self, seq: u64, file: FileId, intent: &Intent, now: Millis) -> Result<(), String> {
        let act = intent.act();
        let mut method = String::new();
        match intent {
            // The file does not exist until its creation is done.
            Intent::Create(birth) => {
                self.born(file, birth, false, now)?;
                self.lives.entry(file).and_modify(|life| life.created = NEVER);
            }
            Intent::Wipe { method: way } => method.clone_from(way),
            Intent::Write | Intent::Unlink | Intent::Rmdir => {}
        }
        self.known(file, false)?;
        let life = &self.lives[&file];
        if act != Act::Create && (life.created == NEVER || life.gone.is_some()) {
            return Err(format!("file {file} is not there"));
        }
        let directory = life.birth.kind == Kind::Directory;
        if matches!(act, Act::Write | Act::Wipe | Act::Unlink) && directory || act == Act::Rmdir && !directory
        {
            return Err(format!("{} is nothing to do with file {file}, by its kind", act.as_str()));
        }
        self.open.insert(seq, (file, act, method));
        Ok(())
    }

    fn done(
        &mut self,
        file: FileId,
        intent: u64,
        ok: bool,
        effect: &Effect,
        now: Millis,
    ) -> Result<(), String> {
        match self.open.get(&intent) {
            Some((of, act, _)) if *of == file && *act == effect.act() => {}
            _ => return Err(format!("record {intent} is not an open intent of this act on this file")),
        }
        let (_, _, method) = self.open.remove(&intent).unwrap_or((0, Act::Create, String::new()));
        let Some(life) = self.lives.get_mut(&file) else { return Ok(()) };
        match effect {
            Effect::Write { bytes, content } => {
                // A written file must be wiped (again), even if writing failed.
                (life.bytes, life.content, life.wiped) = (Some(*bytes), content.clone(), None);
            }
            _ if !ok => {}
            Effect::Create => life.created = now,
            Effect::Wipe { bytes, verified } => {
                life.bytes = Some((*bytes).max(life.bytes.unwrap_or(0)));
                let whole = life.bytes == Some(*bytes);
                life.wiped = (*verified && whole).then_some(now);
                life.method = method;
            }
            Effect::Unlink | Effect::Rmdir => {
                life.gone = Some(now);
                self.destroyed += 1;
            }
        }
        Ok(())
    }

    fn purged(&mut self, ledger: LedgerId, purge: &Purge) -> Result<(), String> {
        if self.format < Some(Format::V2) {
            return Err(format!("a ledger of {} has no record of a deletion", Format::V1.as_str()));
        }
        if !ledger.is_of_deletions() {
            return Err("the ledger of an attempt has no record of a deletion".to_owned());
        }
        let is_empty = (purge.objects, purge.marks, purge.uploads) == (0, 0, 0);
        if is_empty && purge.oldest_age_ms.is_some() {
            return Err("it has the age of the oldest, and nothing was deleted".to_owned());
        }
        self.purges.push(purge.clone());
        Ok(())
    }

    fn stage(&mut self, stage: Stage, mark: Boundary, now: Millis) -> Result<(), String> {
        let open = self.stages.iter_mut().rev().find(|(of, _, end)| *of == stage && end.is_none());
        match (mark, open) {
            (Boundary::Begin, None) => self.stages.push((stage, now, None)),
            (Boundary::End, Some((_, _, end))) => *end = Some(now),
            _ => return Err(format!("stage {} does not alternate", stage.as_str())),
        }
        Ok(())
    }
}

/// Whether a record can be in the ledger of a deletion, which has no files.
fn belongs_to_deletions(record: &Record) -> bool {
    matches!(record, Record::Open { .. } | Record::Incident { .. } | Record::Purge(_) | Record::Close { .. })
}

/// Creation time of a file whose creation was only announced.
const NEVER: Millis = Millis::MAX;
