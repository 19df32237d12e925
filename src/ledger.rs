//! Writing a ledger: every plaintext file is recorded before it is created.
//!
//! [`Ledger`] is shared by the threads of an attempt. Every act is recorded twice: an intent before
//! it, which returns a token, and the outcome after it, which consumes the token. An act that
//! creates plaintext requires its intent on record (*fail closed*): if recording fails, the act
//! must not happen, the ledger is poisoned, and every later intent fails immediately with
//! `infra.audit`. Destruction is never blocked: a poisoned ledger allows it and counts it as
//! unrecorded, but can never be closed, so it stays INCOMPLETE.
//!
//! A deletion from the object store is recorded when it is over, in a ledger of its own ([`deletion`]).

pub mod deletion;
mod sign;

pub use sign::LocalSigner;

use crate::domain::failure::{Failure, FailureCode};
use crate::domain::job::{Millis, Stage};
use crate::domain::ledger::chain::{Chain, ContentDigest, NameKey};
use crate::domain::ledger::record::{
    Boundary, CLOCK_STEPPED_BACK, Counts, Creation, Effect, FileId, FileRole, Header, Intent, Kind, Record,
};
use crate::domain::ledger::timeline::Timeline;
use crate::domain::ledger::verify::stepped_back;
use crate::domain::ledger::{Format, Head, LedgerId, SignedHead, chain};
use crate::ports::{AuditLog, AuditSink, Clock, PortError, Signer};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use zeroize::Zeroizing;

/// Parameters for opening a ledger.
#[derive(Debug, Clone)]
pub struct Opening {
    /// The ledger's id.
    pub ledger: LedgerId,
    /// Name of the worker.
    pub worker: String,
    /// The guards in force. Names match `[a-z0-9._]`; values contain no secrets.
    pub posture: BTreeMap<String, String>,
}

/// The ledger of one attempt, open for writing.
pub struct Ledger {
    id: LedgerId,
    key: NameKey,
    signer: Option<Arc<dyn Signer>>,
    clock: Arc<dyn Clock>,
    started: Instant,
    state: Mutex<State>,
    unrecorded: AtomicU64,
}

struct State {
    log: Box<dyn AuditLog>,
    chain: Chain,
    story: Timeline,
    last: Option<(Millis, Millis)>,
    next_file: FileId,
    /// Why no more records can be written.
    ended: Option<Ended>,
}

#[derive(Debug, Clone)]
enum Ended {
    Poisoned(String),
    Closed,
}

/// An announced act. The token must be returned to the ledger when the act is over.
#[derive(Debug)]
#[must_use = "an intent whose end is not recorded makes the ledger unclean"]
pub struct IntentId {
    file: FileId,
    /// `seq` of the intent; `None` if it could not be recorded.
    seq: Option<u64>,
}

impl IntentId {
    /// The file that the act affects.
    pub fn file(&self) -> FileId {
        self.file
    }
}

/// A file that is about to be created, or that was found.
#[derive(Debug, Clone, Copy)]
pub struct NewFile<'a> {
    /// A file or a directory.
    pub kind: Kind,
    /// What it is for.
    pub role: FileRole,
    /// The parent directory; 0 if the parent has no record.
    pub parent: FileId,
    /// Its name, or its path in the workspace. Only an HMAC of it is recorded.
    pub name: &'a [u8],
}

/// Maximum number of records in a ledger: enough for a million files, and far below the largest
/// integer that JSON represents exactly.
const MAX_RECORDS: u64 = 16 << 20;

impl Ledger {
    /// Opens a ledger and records the worker, the build and the guards. No plaintext may exist
    /// before.
    ///
    /// # Errors
    /// `infra.audit`, also if a ledger with this id already exists.
    pub fn open(
        sink: &dyn AuditSink,
        signer: Option<Arc<dyn Signer>>,
        clock: Arc<dyn Clock>,
        opening: Opening,
    ) -> Result<Self, Failure> {
        let mut secret = Zeroizing::new([0; 32]);
        getrandom::fill(secret.as_mut()).map_err(|_| failure("there is no randomness for its key"))?;
        let log = sink.begin(opening.ledger).map_err(|error| unrecorded(&error))?;
        let state = State {
            log,
            chain: Chain::new(opening.ledger),
            story: Timeline::default(),
            last: None,
            next_file: 1,
            ended: None,
        };
        let ledger = Self {
            id: opening.ledger,
            key: NameKey::new(secret),
            signer,
            clock,
            started: Instant::now(),
            state: Mutex::new(state),
            unrecorded: AtomicU64::new(0),
        };
        let (worker, build) = (opening.worker, crate::BUILD.to_owned());
        let posture = opening.posture.into_iter().map(|(name, value)| (plain(&name), plain(&value)));
        let (format, posture) = (Format::of(ledger.id), posture.collect());
        ledger.record_and_sync(&Record::Open { format, worker, build, posture })?;
        Ok(ledger)
    }

    /// Opens the first unused part of this attempt, for a sweep.
    ///
    /// # Errors
    /// `infra.audit`.
    pub fn open_next_part(
        sink: &dyn AuditSink,
        signer: Option<Arc<dyn Signer>>,
        clock: Arc<dyn Clock>,
        mut opening: Opening,
    ) -> Result<Self, Failure> {
        /// Bounds the number of sweeps of one attempt: a sweep that dies is itself swept.
        const MAX_PARTS: u32 = 1000;
        for _ in 0..MAX_PARTS {
            opening.ledger = opening.ledger.next_part();
            match sink.begin(opening.ledger) {
                Err(PortError::Precondition(_)) => {}
                Err(error) => return Err(unrecorded(&error)),
                Ok(log) => return Self::open(&Begun(Mutex::new(Some(log))), signer, clock, opening),
            }
        }
        Err(failure("this attempt was swept too often"))
    }

    /// The ledger's id.
    pub fn id(&self) -> LedgerId {
        self.id
    }

    /// Announces that a file or directory is about to be created.
    ///
    /// # Errors
    /// `infra.audit`: the caller must not create it.
    pub fn create(&self, file: NewFile<'_>) -> Result<IntentId, Failure> {
        let birth = self.birth(file);
        let mut state = self.lock();
        state.check()?;
        let file = state.new_file();
        self.intent(&mut state, file, Intent::Create(birth))
    }

    /// Announces that a file is about to be written.
    ///
    /// # Errors
    /// `infra.audit`: the caller must not write it.
    pub fn write(&self, file: FileId) -> Result<IntentId, Failure> {
        self.intent(&mut self.lock(), file, Intent::Write)
    }

    /// Announces that a file is about to be overwritten. `method` is an identifier such as
    /// `zeros-1`.
    pub fn wipe(&self, file: FileId, method: &str) -> IntentId {
        self.destroying(file, Intent::Wipe { method: method.to_owned() })
    }

    /// Announces that a file is about to be unlinked.
    pub fn unlink(&self, file: FileId) -> IntentId {
        self.destroying(file, Intent::Unlink)
    }

    /// Announces that a directory is about to be removed.
    pub fn rmdir(&self, file: FileId) -> IntentId {
        self.destroying(file, Intent::Rmdir)
    }

    /// Records that the file was created.
    ///
    /// # Errors
    /// `infra.audit`: the file exists and must be removed.
    pub fn created(&self, token: IntentId, ok: bool) -> Result<FileId, Failure> {
        let file = token.file;
        self.done(token, ok, Effect::Create).map(|()| file)
    }

    /// Records that the file was written: its size, and the digest if one was computed
    /// ([`Ledger::content`]). `ok` is false if writing was aborted.
    ///
    pub fn written(
        &self,
        token: IntentId,
        ok: bool,
        bytes: u64,
        content: Option<ContentDigest>,
    ) -> Result<(), Failure> {
        let content = content.map(ContentDigest::finish).unwrap_or_default();
        self.done(token, ok, Effect::Write { bytes, content })
    }

    /// Records that the file was overwritten. `verified` is whether every byte was read back as
    /// written.
    pub fn wiped(&self, token: IntentId, ok: bool, bytes: u64, verified: bool) {
        self.destroyed(token, ok, Effect::Wipe { bytes, verified });
    }

    /// Records that the file was unlinked.
    pub fn unlinked(&self, token: IntentId, ok: bool) {
        self.destroyed(token, ok, Effect::Unlink);
    }

    /// Records that the directory was removed.
    pub fn rmdired(&self, token: IntentId, ok: bool) {
        self.destroyed(token, ok, Effect::Rmdir);
    }

    /// Records a file created outside this ledger: by the engine, or by a worker that was killed.
    /// The file gets a number even if the record cannot be written, because it must still be
    /// destroyed; [`Ledger::check`] reports the error.
    pub fn found(&self, file: NewFile<'_>, bytes: u64) -> FileId {
        let birth = self.birth(file);
        let mut state = self.lock();
        let file = state.new_file();
        let _ = self.record(&mut state, &Record::Found { file, birth, bytes });
        file
    }

    /// Records the beginning or the end of a stage.
    ///
    /// # Errors
    /// `infra.audit`.
    pub fn stage(&self, stage: Stage, mark: Boundary) -> Result<(), Failure> {
        self.record_and_sync(&Record::Stage { stage, mark })
    }

    /// Records an anomaly. `code` is an identifier such as `wipe.failed`; `file` is 0 if no file is
    /// affected; `note` is a sentence without names or content.
    pub fn incident(&self, code: &str, file: FileId, note: &str) {
        let (code, note) = (code.to_owned(), note.to_owned());
        if self.record_and_sync(&Record::Incident { code, file, note }).is_err() {
            self.unrecorded.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Records that the leftovers of another worker are destroyed here. `lines` is what remains of
    /// that worker's ledger, as the sink returns it; `None` if nothing remains.
    ///
    /// # Errors
    /// `infra.audit`.
    pub fn sweep(&self, ledger: LedgerId, lines: Option<&[u8]>) -> Result<(), Failure> {
        let whole =
            lines.and_then(|lines| lines.iter().rposition(|byte| *byte == b'\n').map(|at| &lines[..=at]));
        let (last_seq, last_hash) = match whole {
            None => (0, chain::ZERO_HASH.to_owned()),
            Some(whole) => {
                let before = whole[..whole.len() - 1].iter().rposition(|byte| *byte == b'\n');
                let last = &whole[before.map_or(0, |at| at + 1)..];
                let count = whole.iter().filter(|byte| **byte == b'\n').count() as u64;
                (count - 1, chain::line_hash(last))
            }
        };
        self.record_and_sync(&Record::Sweep { ledger, last_seq, last_hash })
    }

    /// Begins the digest of a file's content, to be passed to [`Ledger::written`].
    pub fn content(&self) -> ContentDigest {
        self.key.content()
    }

    /// Whether everything so far has been recorded.
    ///
    /// # Errors
    /// `infra.audit` when the ledger is poisoned or closed.
    pub fn check(&self) -> Result<(), Failure> {
        self.lock().check()
    }

    /// Number of destructions and incidents that could not be recorded.
    pub fn unrecorded(&self) -> u64 {
        self.unrecorded.load(Ordering::Relaxed)
    }

    /// The counts so far.
    pub fn counts(&self) -> Counts {
        self.lock().story.counts()
    }

    /// Closes the ledger after everything is destroyed. `outcome` is how the attempt ended:
    /// `completed`, or a failure code. Returns the head for the job's record. No records can be
    /// added afterwards.
    ///
    pub fn close(&self, outcome: &str) -> Result<SignedHead, Failure> {
        let mut state = self.lock();
        state.check()?;
        let record = Record::Close { outcome: outcome.to_owned(), counts: state.story.counts() };
        self.record(&mut state, &record)?;
        state.sync()?;
        let head = Head::new(self.id, state.chain.next_seq() - 1, state.chain.last_hash());
        let signed = self.signer.as_ref().map(|signer| signer.signature(&head.message())).transpose();
        let head = SignedHead { signature: signed.map_err(|error| state.poison(&error))?, head };
        let sealed = state.log.seal(&head);
        sealed.map_err(|error| state.poison(&error))?;
        state.ended = Some(Ended::Closed);
        Ok(head)
    }

    /// Threads that destroy many small files contend for this lock at each record. Writing a record
    /// takes microseconds, waking a sleeping thread tens of them, so the lock spins briefly before
    /// it blocks.
    fn lock(&self) -> MutexGuard<'_, State> {
        const LOOKS: u32 = 100;
        const PAUSES: u32 = 32;
        for _ in 0..LOOKS {
            if let Ok(state) = self.state.try_lock() {
                return state;
            }
            (0..PAUSES).for_each(|_| std::hint::spin_loop());
        }
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn birth(&self, file: NewFile<'_>) -> Creation {
        let NewFile { kind, role, parent, name } = file;
        Creation { kind, role, parent, name: self.key.name(name) }
    }

    fn intent(&self, state: &mut State, file: FileId, intent: Intent) -> Result<IntentId, Failure> {
        let seq = self.record(state, &Record::Intent { file, intent })?;
        Ok(IntentId { file, seq: Some(seq) })
    }

    fn destroying(&self, file: FileId, intent: Intent) -> IntentId {
        self.intent(&mut self.lock(), file, intent).unwrap_or_else(|_| {
            self.unrecorded.fetch_add(1, Ordering::Relaxed);
            IntentId { file, seq: None }
        })
    }

    fn done(&self, token: IntentId, ok: bool, effect: Effect) -> Result<(), Failure> {
        let mut state = self.lock();
        let Some(intent) = token.seq else { return state.check() };
        self.record(&mut state, &Record::Done { file: token.file, intent, ok, effect }).map(drop)
    }

    fn destroyed(&self, token: IntentId, ok: bool, effect: Effect) {
        let announced = token.seq.is_some();
        if self.done(token, ok, effect).is_err() && announced {
            self.unrecorded.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn record_and_sync(&self, record: &Record) -> Result<(), Failure> {
        let mut state = self.lock();
        self.record(&mut state, record)?;
        state.sync()
    }

    /// Adds a record and returns its number. A record that contradicts the ledger is a bug in the
    /// caller and is never written: an honest writer's ledger must not look tampered with.
    fn record(&self, state: &mut State, record: &Record) -> Result<u64, Failure> {
        state.check()?;
        let (at, mono) = (self.clock.now(), self.mono());
        if let Some(by) = state.clock_stepped_back(self.id, at, mono) {
            let note = format!("the wall clock went back by {by} ms");
            let incident = Record::Incident { code: CLOCK_STEPPED_BACK.to_owned(), file: 0, note };
            // Written before the close record, whose counts are therefore recomputed below.
            state.append(self.id, &incident, at, mono)?;
        }
        match record {
            Record::Close { outcome, .. } => {
                let counts = state.story.counts();
                state.append(self.id, &Record::Close { outcome: outcome.clone(), counts }, at, mono)
            }
            _ => state.append(self.id, record, at, mono),
        }
    }

    fn mono(&self) -> Millis {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(Millis::MAX)
    }
}

impl State {
    fn check(&self) -> Result<(), Failure> {
        match &self.ended {
            None => Ok(()),
            Some(Ended::Closed) => Err(failure("it is closed")),
            Some(Ended::Poisoned(why)) => Err(failure(why)),
        }
    }

    fn new_file(&mut self) -> FileId {
        self.next_file += 1;
        self.next_file - 1
    }

    fn append(&mut self, id: LedgerId, record: &Record, at: Millis, mono: Millis) -> Result<u64, Failure> {
        let seq = self.chain.next_seq();
        if seq >= MAX_RECORDS {
            return Err(self.poison_with("it has too many records"));
        }
        let header = Header { ledger: id, seq, prev: String::new(), at_ms: at, mono_ms: mono };
        if let Err(why) = self.story.tell(&header, record) {
            return Err(self.poison_with(&format!("a record would contradict it: {why}")));
        }
        let line = self.chain.line(record, at, mono);
        if line.len() > crate::domain::ledger::line::MAX_LINE_BYTES {
            return Err(self.poison_with("a record is too long"));
        }
        if let Err(error) = self.log.append(line.as_bytes()) {
            return Err(self.poison(&error));
        }
        self.chain.push(&line);
        self.last = Some((at, mono));
        Ok(seq)
    }

    fn sync(&mut self) -> Result<(), Failure> {
        self.log.sync().map_err(|error| self.poison(&error))
    }

    fn clock_stepped_back(&self, ledger: LedgerId, at_ms: Millis, mono_ms: Millis) -> Option<Millis> {
        let header = |at_ms, mono_ms| Header { ledger, seq: 0, prev: String::new(), at_ms, mono_ms };
        self.last.and_then(|(at, mono)| stepped_back(&header(at, mono), &header(at_ms, mono_ms)))
    }

    fn poison(&mut self, error: &PortError) -> Failure {
        self.poison_with(&error.to_string())
    }

    fn poison_with(&mut self, why: &str) -> Failure {
        tracing::error!(error = why, "the ledger cannot be written: it stays incomplete");
        self.ended = Some(Ended::Poisoned(why.to_owned()));
        failure(why)
    }
}

/// A sink that returns an already begun log, once.
struct Begun(Mutex<Option<Box<dyn AuditLog>>>);

impl AuditSink for Begun {
    fn begin(&self, _: LedgerId) -> crate::ports::PortResult<Box<dyn AuditLog>> {
        let log = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        log.ok_or(PortError::Precondition("beginning a ledger"))
    }

    fn read(&self, _: LedgerId) -> crate::ports::PortResult<Vec<u8>> {
        Err(PortError::NotFound("reading a ledger"))
    }

    fn read_head(&self, _: LedgerId) -> crate::ports::PortResult<SignedHead> {
        Err(PortError::NotFound("reading a head"))
    }
}

/// Replaces control characters: a newline would break the format over which the posture is
/// digested.
fn plain(text: &str) -> String {
    text.replace(char::is_control, " ")
}

fn unrecorded(error: &PortError) -> Failure {
    failure(&error.to_string())
}

fn failure(why: &str) -> Failure {
    Failure::new(FailureCode::Audit, format!("the ledger cannot be written: {why}"))
}
