//! The supervisor: one engine process from start to death.
//!
//! Owns the caps (wall time, memory, output, messages), cancellation, and the
//! judgement of how the process ended. Whatever the engine does, [`Supervisor::run`]
//! returns within the time cap plus a moment, and the process group is dead then.
//!
//! It waits in one `poll` for messages, noise and the end of the process, and
//! wakes every 20 to 50 ms to look at the caps. It makes no thread, and its memory
//! does not depend on what the engine says.

mod host;
mod judge;
mod process;
mod text;

use crate::probe;
use crate::protocol::{Answer, Command, Decoder, Message, Request};
use cadmill_core::domain::limits::Caps;
use process::Process;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

pub use host::{HOST_VARIABLE, engine_host};
pub use text::clean;

/// How often the caps are looked at: at first, when most that goes wrong goes
/// wrong at once, and later, when looking has its price.
fn tick(elapsed: Duration) -> Duration {
    Duration::from_millis(if elapsed < Duration::from_secs(2) { 20 } else { 50 })
}

/// How long a cancelled engine may take to stop by itself.
const GRACE: Duration = Duration::from_millis(300);

/// Warnings that are kept for the report.
const MAX_WARNINGS: usize = 20;

/// Starts engine hosts.
#[derive(Debug, Clone)]
pub struct Supervisor {
    host: PathBuf,
}

/// What the engine says while it works.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The library is loaded.
    Loaded(Identity),
    /// So much of the work is done, from 0 to 1.
    Progress(f64),
    /// A line of the library's log; cleaned of control characters.
    Log {
        /// Whether the library calls it an error; else it is a warning.
        error: bool,
        /// The line.
        line: String,
    },
}

/// The library that did the work, as it told.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize)]
pub struct Identity {
    /// The library's name.
    pub library: String,
    /// Its version.
    pub version: String,
    /// The file that was loaded.
    pub path: PathBuf,
}

/// How one engine process ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It answered; the answer is about the work, not about the process.
    Answered(Answer),
    /// A signal ended it.
    Crashed {
        /// The signal's number.
        signal: i32,
    },
    /// It exited by itself and never answered.
    NoAnswer {
        /// Its exit code.
        exit: i32,
    },
    /// It hit a cap and was ended.
    Cap(Cap),
    /// It was cancelled and has ended.
    Cancelled,
    /// It broke the protocol and was ended.
    Protocol(String),
}

/// A cap that was hit: which, its value, and what was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cap {
    /// Memory, in bytes.
    Memory {
        /// The cap.
        limit: u64,
        /// What was seen.
        observed: u64,
    },
    /// Wall time.
    Time {
        /// The cap.
        limit: Duration,
        /// What was seen.
        observed: Duration,
    },
    /// Files written, in bytes.
    Output {
        /// The cap.
        limit: u64,
        /// What was seen.
        observed: u64,
    },
    /// Text printed and messages sent, in bytes.
    Messages {
        /// The cap.
        limit: u64,
        /// What was seen.
        observed: u64,
    },
}

/// All that is known of one engine process after its death.
#[derive(Debug, Clone)]
pub struct Report {
    /// How it ended.
    pub outcome: Outcome,
    /// The library, if it got that far.
    pub identity: Option<Identity>,
    /// From the start to the loaded library.
    pub load_time: Option<Duration>,
    /// From the start to the end of the process.
    pub wall_time: Duration,
    /// Processor time, user and system.
    pub processor_time: Duration,
    /// Largest resident set that was seen, in bytes.
    pub peak_memory_bytes: u64,
    /// The first warnings and errors of the library's log.
    pub warnings: Vec<String>,
    /// Bytes that the library printed by itself. The text is dropped: it may hold
    /// names and content.
    pub noise_bytes: u64,
}

impl Supervisor {
    /// Starts hosts from this binary.
    pub fn new(host: PathBuf) -> Self {
        Self { host }
    }

    /// Runs one request to its end.
    ///
    /// `work` is the directory that the host starts in and puts temporaries into,
    /// `output` the one for results; the size of both together is capped. `events` is called on this
    /// thread. The kernel ends the host when the calling *thread* ends.
    ///
    /// # Errors
    /// When the host cannot be started, or the system refuses to watch it.
    pub fn run(
        &self,
        request: &Request,
        caps: &Caps,
        work: &Path,
        output: &Path,
        cancel: &AtomicBool,
        events: &mut dyn FnMut(Event),
    ) -> io::Result<Report> {
        let process = Process::start(&self.host, work)?;
        let mut watch = Watch {
            caps: *caps,
            written: [work, output],
            started: Instant::now(),
            process,
            decoder: Decoder::default(),
            seen: Seen::default(),
            events,
        };
        watch.process.send(&Command::Run(Box::new(request.clone())))?;
        watch.until_death(cancel)?;
        watch.bury()
    }
}

/// What was observed of a process, for the judgement.
#[derive(Debug, Default)]
struct Seen {
    answer: Option<Answer>,
    dying: Option<judge::Dying>,
    /// Why we killed it.
    killed: Option<Outcome>,
    cancelled_at: Option<Instant>,
    identity: Option<Identity>,
    load_time: Option<Duration>,
    warnings: Vec<String>,
    noise_bytes: u64,
    message_bytes: u64,
    peak_resident: u64,
    peak_data: u64,
}

struct Watch<'a> {
    caps: Caps,
    written: [&'a Path; 2],
    started: Instant,
    process: Process,
    decoder: Decoder,
    seen: Seen,
    events: &'a mut dyn FnMut(Event),
}

impl Watch<'_> {
    fn until_death(&mut self, cancel: &AtomicBool) -> io::Result<()> {
        let mut next_look = Instant::now();
        loop {
            let ready = self.process.wait(next_look.saturating_duration_since(Instant::now()))?;
            if ready.messages {
                self.take_messages()?;
            }
            if ready.noise {
                self.take_noise()?;
            }
            if ready.ended {
                return Ok(());
            }
            let now = Instant::now();
            if now >= next_look {
                next_look = now + tick(now - self.started);
                self.look(cancel, now)?;
            }
        }
    }

    /// Looks at every cap and at the wish to cancel.
    fn look(&mut self, cancel: &AtomicBool, now: Instant) -> io::Result<()> {
        if self.seen.killed.is_some() {
            // Death is on its way; SIGKILL cannot be refused.
            return Ok(());
        }
        let usage = probe::memory(self.process.pid());
        self.seen.peak_resident = self.seen.peak_resident.max(usage.peak_resident);
        self.seen.peak_data = self.seen.peak_data.max(usage.data);
        let elapsed = now - self.started;
        let printed = self.seen.noise_bytes + self.seen.message_bytes;
        let caps = &self.caps;
        let cap = if usage.resident > caps.memory_bytes {
            Some(Cap::Memory { limit: caps.memory_bytes, observed: usage.resident })
        } else if elapsed > caps.time {
            Some(Cap::Time { limit: caps.time, observed: elapsed })
        } else if printed > caps.message_bytes {
            Some(Cap::Messages { limit: caps.message_bytes, observed: printed })
        } else {
            let written = self.written.iter().map(|directory| probe::directory_bytes(directory)).sum();
            (written > caps.output_bytes)
                .then_some(Cap::Output { limit: caps.output_bytes, observed: written })
        };
        if let Some(cap) = cap {
            return self.kill(Outcome::Cap(cap));
        }
        if cancel.load(Ordering::Relaxed) {
            match self.seen.cancelled_at {
                None => {
                    self.seen.cancelled_at = Some(now);
                    // A host that is gone or does not listen is killed in a moment.
                    let _ = self.process.send(&Command::Cancel);
                }
                Some(since) if now - since > GRACE => return self.kill(Outcome::Cancelled),
                Some(_) => {}
            }
        }
        Ok(())
    }

    fn kill(&mut self, why: Outcome) -> io::Result<()> {
        self.seen.killed.get_or_insert(why);
        self.process.kill_group()
    }

    fn take_messages(&mut self) -> io::Result<()> {
        let mut buffer = [0; 16 << 10];
        let length = self.process.read_messages(&mut buffer)?;
        self.seen.message_bytes += length as u64;
        self.decoder.push(&buffer[..length]);
        loop {
            match self.decoder.next::<Message>() {
                Ok(Some(message)) => self.take(message),
                Ok(None) => return Ok(()),
                Err(error) => {
                    self.process.close_messages();
                    return self.kill(Outcome::Protocol(error.to_string()));
                }
            }
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Loaded { library, version, path } => {
                let identity = Identity { library: clean(&library), version: clean(&version), path };
                self.seen.load_time = Some(self.started.elapsed());
                self.seen.identity = Some(identity.clone());
                (self.events)(Event::Loaded(identity));
            }
            Message::Progress { fraction } if fraction.is_finite() => {
                (self.events)(Event::Progress(fraction.clamp(0.0, 1.0)));
            }
            Message::Progress { .. } => {}
            Message::Log { error, line } => {
                let line = clean(&line);
                if self.seen.warnings.len() < MAX_WARNINGS {
                    self.seen.warnings.push(line.clone());
                }
                (self.events)(Event::Log { error, line });
            }
            Message::Dying { signal, errno, data_bytes } => {
                self.seen.dying = Some(judge::Dying { signal, errno, data_bytes });
            }
            // The first answer counts: a host that answers twice is confused.
            Message::Done { answer, peak_memory_bytes } => {
                self.seen.answer.get_or_insert(answer);
                // Its own word, for the report; the cap looks from outside.
                self.seen.peak_resident = self.seen.peak_resident.max(peak_memory_bytes);
            }
        }
    }

    fn take_noise(&mut self) -> io::Result<()> {
        let mut buffer = [0; 64 << 10];
        let length = self.process.read_noise(&mut buffer)?;
        self.seen.noise_bytes += length as u64;
        Ok(())
    }

    /// After the end of the process: its last words, its whole group, its remains.
    fn bury(mut self) -> io::Result<Report> {
        // The group first: what the process started must not write on, and must
        // not hold the pipe open.
        self.process.kill_group()?;
        // A full pipe is read in four pieces; more would come from a process that
        // escaped the group, and is nobody's last word.
        for _ in 0..8 {
            if !self.process.has_messages()? {
                break;
            }
            self.take_messages()?;
        }
        let remains = self.process.reap()?;
        let wall_time = self.started.elapsed();
        let seen = self.seen;
        // A child's ru_maxrss begins with the size of the process that started
        // it, so it says something only when it is larger than ours.
        let ours = probe::memory(rustix::process::getpid()).peak_resident;
        let reaped_peak = if remains.peak_resident_bytes > ours { remains.peak_resident_bytes } else { 0 };
        Ok(Report {
            outcome: judge::judge(&seen, &remains, &self.caps),
            load_time: seen.load_time,
            wall_time,
            processor_time: remains.processor_time,
            peak_memory_bytes: seen.peak_resident.max(reaped_peak),
            identity: seen.identity,
            warnings: seen.warnings,
            noise_bytes: seen.noise_bytes,
        })
    }
}
