//! The host's side of the conversation: messages up, the wish to cancel down.

use cadmill_converter::protocol::{self, Command, MAX_FRAME, Message};
use cadmill_native_sys::{Events, Level, Stage};
use std::fs::File;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Progress is told this often at most, so that a fast loop does not fill the pipe.
const INTERVAL: Duration = Duration::from_millis(100);

/// Sends messages, from whatever thread the library calls.
pub(crate) struct Reporter {
    messages: Mutex<Writer>,
    cancelled: AtomicBool,
}

struct Writer {
    pipe: File,
    last_progress: Option<Instant>,
}

impl Reporter {
    pub(crate) fn new(pipe: File) -> Self {
        Self { messages: Mutex::new(Writer { pipe, last_progress: None }), cancelled: AtomicBool::new(false) }
    }

    pub(crate) fn send(&self, message: &Message) {
        let mut writer = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        writer.send(message);
    }
}

impl Writer {
    fn send(&mut self, message: &Message) {
        // One write a frame. A supervisor that does not read is gone, and the
        // kernel ends this process too.
        if let Ok(bytes) = protocol::encode(message) {
            let _ = self.pipe.write_all(&bytes);
        }
    }
}

impl Events for Reporter {
    fn progress(&self, _stage: Stage, fraction: f64) {
        let mut writer = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let due = writer.last_progress.is_none_or(|last| now - last >= INTERVAL);
        if due || fraction >= 1.0 {
            writer.last_progress = Some(now);
            writer.send(&Message::Progress { fraction });
        }
    }

    fn log(&self, level: Level, line: &str) {
        // JSON may need six bytes for one.
        let line: String = line.chars().take(MAX_FRAME / 32).collect();
        self.send(&Message::Log { error: level == Level::Error, line });
    }

    fn cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }
}

/// Listens for commands on a thread of its own. Call after the confinement,
/// which wants a process with one thread.
pub(crate) fn listen(mut commands: File, reporter: Arc<Reporter>) {
    std::thread::spawn(move || {
        loop {
            match protocol::receive::<Command>(&mut commands) {
                Ok(Some(Command::Cancel)) => reporter.cancelled.store(true, Ordering::Relaxed),
                Ok(Some(Command::Run(_))) => {}
                // The supervisor has ended, or is out of its mind.
                Ok(None) | Err(_) => std::process::abort(),
            }
        }
    });
}
