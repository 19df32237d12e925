//! Watches one process until it is reaped: its messages and its use of resources.

use super::assignment::Assignment;
use super::cgroup::Cgroup;
use super::dialogue::{Dialogue, Duty, Refused, Told};
use super::observation::{Dying, Seen};
use super::outcome::{Cap, Event, Identity, Outcome, ProcessReport};
use super::process::Process;
use super::room::{self, Room};
use super::text::clean;
use super::{exit, readable};
use crate::engine::confinement::{InForce, Level};
use crate::engine::frame::Decoder;
use crate::engine::protocol::{Answer, Command, Message, Task};
use crate::linux::proc::{self, Memory};
use crate::linux::reap::Reaped;
use crate::workspace::flatten;
use cadmill_core::domain::limits::Caps;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How often the caps are checked: often at first, when most failures occur, and less often later,
/// to save cost. A waiting host does nothing. The closer to the cap on memory, the more often: what
/// the kernel does not limit is limited by sampling.
fn tick(working: Option<Duration>, taken: u64, cap: u64) -> Duration {
    let near = |parts: u64| taken >= cap / 4 * parts;
    Duration::from_millis(match working {
        Some(_) if near(3) => 10,
        Some(elapsed) if elapsed < Duration::from_secs(2) || near(2) => 20,
        Some(_) => 50,
        None => 250,
    })
}

/// How long a host may wait for its conversion. It is replaced after that.
const MAX_WAIT: Duration = Duration::from_secs(3600);

/// How long a waiting host, loaded, may take to read its conversion and confirm it: a moment even
/// on a busy machine. A host that hangs is killed after that, so that the job loses these seconds
/// and not its whole time.
const HAND_OVER: Duration = Duration::from_secs(5);

/// How long a cancelled engine may take to stop by itself.
const GRACE: Duration = Duration::from_millis(300);

/// Number of threads that an engine may have.
const MAX_THREADS: u64 = 256;

/// Bytes of memory left below which little is left.
const LITTLE_MEMORY: u64 = 128 << 20;

/// Number of threads above which an engine leaves a processor to its supervisor whatever is left:
/// more than a JVM has.
const MANY_THREADS: u64 = 48;

pub(super) struct Watch<'a> {
    caps: Caps,
    assignment: Arc<Assignment>,
    minimum: Level,
    started: Instant,
    /// Largest resident set of this process at the time it started the engine.
    own_peak: u64,
    process: Process,
    group: Cgroup,
    decoder: Decoder,
    room: Room,
    dialogue: Dialogue,
    seen: Seen,
    events: &'a mut dyn FnMut(Event),
}

impl<'a> Watch<'a> {
    pub(super) fn new(
        process: Process,
        group: Cgroup,
        caps: Caps,
        assignment: Arc<Assignment>,
        minimum: Level,
        task: &Task,
        events: &'a mut dyn FnMut(Event),
    ) -> Self {
        let (decoder, seen, dialogue) = (Decoder::default(), Seen::default(), Dialogue::new(task));
        let started = process.started();
        let room = Room::new(caps.output_bytes);
        let own_peak = proc::memory(rustix::process::getpid()).peak_resident;
        Self {
            caps,
            assignment,
            minimum,
            started,
            own_peak,
            process,
            group,
            decoder,
            dialogue,
            room,
            seen,
            events,
        }
    }

    /// Duplicates of the write end of the command pipe and of the process handle.
    pub(super) fn control(&self) -> io::Result<(OwnedFd, OwnedFd)> {
        self.process.control()
    }

    pub(super) fn send(&mut self, command: &Command) -> io::Result<()> {
        self.process.send(command)
    }

    pub(super) fn until_death(&mut self, cancel: &AtomicBool) -> io::Result<()> {
        let mut last_look: Option<Instant> = None;
        loop {
            let until_look = self.next_look(last_look).saturating_duration_since(Instant::now());
            let ready = self.process.wait(until_look.min(self.until_glance()))?;
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
            if now >= self.next_look(last_look) {
                last_look = Some(now);
                self.look(cancel, now)?;
            } else {
                self.glance()?;
            }
        }
    }

    /// Computed from the current state: a waiting host may have begun since.
    fn next_look(&self, last: Option<Instant>) -> Instant {
        last.map_or(self.started, |last| {
            let working = self.assignment.since().map(|since| last.saturating_duration_since(since));
            last + tick(working, self.seen.taken, self.caps.memory_bytes)
        })
    }

    /// A waiting host has not written anything yet, and a killed host writes nothing more.
    fn until_glance(&self) -> Duration {
        if self.assignment.since().is_none() || self.seen.killed.is_some() {
            return MAX_WAIT;
        }
        let memory_left = self.caps.memory_bytes.saturating_sub(self.seen.taken);
        self.room.pause().min(room::pause_for(memory_left))
    }

    /// Checks output and memory only, which are used up fastest.
    fn glance(&mut self) -> io::Result<()> {
        if self.seen.killed.is_some() {
            return Ok(());
        }
        if self.assignment.since().is_some() {
            let usage = proc::memory(self.process.pid());
            if let Some(cap) = self.exceeded_memory(&usage) {
                return self.kill(Outcome::Cap(cap));
            }
            self.hold_back(&usage);
        }
        self.room.limit(self.assignment.output_bytes());
        match self.room.glance(&self.assignment.written(), &self.process)? {
            Some(cap) => self.kill(Outcome::Cap(cap)),
            None => Ok(()),
        }
    }

    /// Keeps one processor free of the engine if it could delay the next look too long.
    fn hold_back(&mut self, usage: &Memory) {
        let threads = usage.threads;
        let memory_left = self.caps.memory_bytes.saturating_sub(self.seen.taken);
        let is_low = self.room.is_low() || memory_left < LITTLE_MEMORY;
        // With little left before a thread exists: many can be started within one pause.
        if is_low || threads > MANY_THREADS {
            self.process.hold_back(threads);
        }
    }

    /// Checks every cap and the request to cancel.
    fn look(&mut self, cancel: &AtomicBool, now: Instant) -> io::Result<()> {
        if self.seen.killed.is_some() {
            // SIGKILL was sent and cannot be blocked.
            return Ok(());
        }
        let usage = proc::memory(self.process.pid());
        if let Some(cap) = self.exceeded(&usage, now) {
            return self.kill(Outcome::Cap(cap));
        }
        // Twice in a row: when a process exits, its first thread may be gone before the others.
        if std::mem::replace(&mut self.seen.leaderless, usage.leaderless) && usage.leaderless {
            let what = "ended its first thread and left the others running".to_owned();
            return self.kill(Outcome::Misbehaved(what));
        }
        self.room.limit(self.assignment.output_bytes());
        // A host that has not begun is not stopped: it writes nothing, and must not be continued if
        // it hangs.
        let has_begun = self.assignment.since().is_some() && self.unconfirmed().is_none();
        let threads = if has_begun { usage.threads } else { 0 };
        if let Some(cap) = self.room.walk(&self.assignment.written(), &self.process, threads)? {
            return self.kill(Outcome::Cap(cap));
        }
        if cancel.load(Ordering::Relaxed) {
            match self.seen.cancelled_at {
                None => {
                    self.seen.cancelled_at = Some(now);
                    // A host that is gone or does not read is killed in a moment.
                    let _ = self.process.send(&Command::Cancel);
                }
                Some(since) if now - since > GRACE => return self.kill(Outcome::Cancelled),
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// The cap that is exceeded, if any, except those on output.
    fn exceeded(&mut self, usage: &Memory, now: Instant) -> Option<Cap> {
        let memory = self.exceeded_memory(usage);
        let since = self.assignment.since();
        let elapsed = now.saturating_duration_since(since.unwrap_or(self.started));
        let longest = if since.is_some() { self.caps.time } else { MAX_WAIT };
        let printed = self.seen.noise_bytes + self.seen.message_bytes;
        let caps = &self.caps;
        if memory.is_some() {
            return memory;
        }
        if elapsed > longest {
            return Some(Cap::Time { limit: longest, observed: elapsed });
        }
        if let Some(since) = self.unconfirmed()
            && now.saturating_duration_since(since) > HAND_OVER
        {
            return Some(Cap::Time { limit: HAND_OVER, observed: now.saturating_duration_since(since) });
        }
        if printed > caps.message_bytes {
            return Some(Cap::Messages { limit: caps.message_bytes, observed: printed });
        }
        if usage.threads > MAX_THREADS {
            return Some(Cap::Threads { limit: MAX_THREADS, observed: usage.threads });
        }
        None
    }

    /// Since when a host that waited has had its work and has not confirmed it.
    fn unconfirmed(&self) -> Option<Instant> {
        self.assignment.handed_over(self.seen.loaded_at).filter(|_| !self.seen.began)
    }

    /// The cap on memory, if exceeded: also for a moment between two looks.
    fn exceeded_memory(&mut self, usage: &Memory) -> Option<Cap> {
        self.seen.taken = usage.taken();
        self.seen.peak_resident = self.seen.peak_resident.max(usage.peak_resident);
        self.seen.peak_data = self.seen.peak_data.max(usage.data);
        let (limit, observed) = (self.caps.memory_bytes, usage.taken().max(usage.peak_resident));
        (observed > limit).then_some(Cap::Memory { limit, observed })
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
                Ok(Some(message)) => {
                    let told = Told {
                        work: self.assignment.since().is_some(),
                        stop: self.seen.cancelled_at.is_some(),
                    };
                    match self.dialogue.hear(&message, told) {
                        Ok(()) => self.take(message),
                        Err(refused) => return self.refuse(refused),
                    }
                }
                Ok(None) => return Ok(()),
                Err(error) => {
                    let refused = self.dialogue.junk(&error.to_string());
                    return self.refuse(refused);
                }
            }
        }
    }

    /// Stops reading messages, and kills the process.
    fn refuse(&mut self, refused: Refused) -> io::Result<()> {
        self.process.close_messages();
        self.kill(refused.into())
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Confined(in_force) => self.take_confinement(*in_force),
            Message::Loading { .. } => {}
            Message::Violation { syscall } => {
                self.seen.violation = Some(syscall);
                self.seen.denied.call(syscall);
            }
            Message::Denied { syscall, writes, path } => self.seen.denied.file(syscall, writes, &path),
            Message::Loaded { library, version, path } => {
                let path = clean(&path.to_string_lossy()).into();
                let identity = Identity { library: clean(&library), version: clean(&version), path };
                self.seen.loaded_at = Some(Instant::now());
                self.seen.identity = Some(identity.clone());
                (self.events)(Event::Loaded(identity));
            }
            Message::Began => self.seen.began = true,
            Message::Progress { fraction } if fraction.is_finite() => {
                (self.events)(Event::Progress(fraction.clamp(0.0, 1.0)));
            }
            Message::Progress { .. } => {}
            Message::Log { loss, line } => {
                let line = clean(&line);
                match loss {
                    true => self.seen.warnings.push_loss(&line),
                    false => self.seen.warnings.push(&line),
                }
                (self.events)(Event::Log { line, is_loss: loss });
            }
            Message::Dying { signal, errno, data_bytes } => {
                let data_bytes = self.plausible(data_bytes);
                self.seen.dying = Some(Dying { signal, errno, data_bytes });
            }
            Message::Done { answer, peak_memory_bytes } => {
                self.seen.answer.get_or_insert(answer);
                // Reported by the process itself, for the report; the cap is enforced from outside.
                self.seen.peak_resident = self.seen.peak_resident.max(self.plausible(peak_memory_bytes));
            }
        }
    }

    /// What a process reports about its memory, not more than it could have used before it was
    /// killed: the library may have written the message.
    fn plausible(&self, bytes: u64) -> u64 {
        bytes.min(self.caps.memory_bytes.saturating_mul(2))
    }

    /// Sent by the host itself, before it loaded a library.
    fn take_confinement(&mut self, in_force: InForce) {
        let (level, minimum) = (in_force.level(), self.minimum);
        self.seen.confinement = Some(in_force);
        self.assignment.confined();
        if level < minimum {
            // If the kill fails, the next look fails too.
            let _ = self.kill(Outcome::TooWeak { level, minimum });
        } else if self.dialogue.duty() == Duty::Probe {
            (self.events)(Event::Confined(self.process.pid()));
            // A host that is gone is classified by its exit.
            let _ = self.process.send(&Command::Cancel);
        }
    }

    fn take_noise(&mut self) -> io::Result<()> {
        let mut buffer = [0; 64 << 10];
        let length = self.process.read_noise(&mut buffer)?;
        self.seen.noise_bytes += length as u64;
        Ok(())
    }

    /// Checks the output in its final state, after all writers are dead.
    fn look_once_more(&mut self) -> io::Result<()> {
        self.room.limit(self.assignment.output_bytes());
        let directories = self.assignment.written();
        if let Some(cap) = self.room.last_walk(&directories)? {
            self.seen.killed.get_or_insert(Outcome::Cap(cap));
        }
        let [work, output] = directories;
        let obstacle = match readable::obstacle(&output) {
            // The job has given up a host whose directories are gone.
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.assignment.since().is_none() => {
                None
            }
            // Without Landlock an engine can move the directory out of the workspace.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                tracing::error!(
                    "an engine moved its output directory; its files may be left on the file system of the workspaces"
                );
                Some("no directory where its output should be")
            }
            found => found.unwrap_or(Some("output that cannot be read")),
        };
        if let Some(what) = obstacle {
            self.seen.killed.get_or_insert_with(|| Outcome::Misbehaved(format!("it left {what}")));
        }
        // Files that are not output are removed, and must be removable. They are as the engine left
        // them: a failure here is not the fault of the host.
        let flat = flatten::flatten(&work).and_then(|()| match self.seen.killed {
            Some(_) => flatten::flatten(&output),
            None => Ok(()),
        });
        if let Err(error) = flat
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::error!(error = %error, "could not prepare the files of a dead engine for removal");
            self.seen
                .killed
                .get_or_insert(Outcome::Misbehaved("it left files that cannot be removed".to_owned()));
        }
        Ok(())
    }

    /// Checks for an incomplete message. A crash may truncate one.
    fn look_for_junk(&mut self, remains: &Reaped) {
        if remains.signal.is_none() && !self.decoder.is_empty() {
            let refused = self.dialogue.junk("it left a piece of a message");
            self.seen.killed.get_or_insert(refused.into());
        }
    }

    /// After the process has exited: reads its last messages, kills its group, reaps it.
    pub(super) fn reap(mut self) -> io::Result<ProcessReport> {
        // The group first: processes that it started must not write any more, and must not hold the
        // pipe open.
        self.process.kill_group()?;
        // A full pipe is read in four pieces; more would come from a process that has escaped the
        // group, and is ignored.
        for _ in 0..8 {
            if !self.process.has_messages()? {
                break;
            }
            self.take_messages()?;
        }
        let remains = self.process.reap()?;
        self.seen.out_of_memory = self.group.has_run_out();
        self.look_for_junk(&remains);
        self.look_once_more()?;
        let since = self.assignment.since().unwrap_or(self.started);
        let wall_time = since.elapsed();
        let mut seen = self.seen;
        // A child's `ru_maxrss` starts at the largest size of the parent, so it is meaningful only
        // if it is larger than that.
        if remains.peak_resident_bytes > self.own_peak {
            seen.peak_resident = seen.peak_resident.max(remains.peak_resident_bytes);
        }
        // The host counts also what it does not pass on.
        if let Some(Answer::Converted { warnings, .. }) = seen.answer {
            seen.warnings.total = seen.warnings.total.max(warnings);
        }
        Ok(ProcessReport {
            outcome: exit::classify_exit(&seen, &remains, &self.caps),
            confinement: seen.confinement,
            load_time: seen.loaded_at.map(|at| at.saturating_duration_since(since)),
            began: seen.began,
            wall_time,
            processor_time: remains.processor_time,
            peak_memory_bytes: seen.peak_resident,
            identity: seen.identity,
            warnings: seen.warnings,
            noise_bytes: seen.noise_bytes,
            denied: seen.denied,
        })
    }
}
