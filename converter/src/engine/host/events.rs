//! The host's side of the protocol: sends messages, and listens for cancellation.

use cadmill_converter::engine::frame::{self, MAX_FRAME};
use cadmill_converter::engine::protocol::{Command, Message, Task};
use cadmill_converter::engine::sandbox::descriptors::Channel;
use cadmill_native_sys::{Events, Level, Stage};
use std::fs::File;
use std::io::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Minimum time between two progress messages, so that a fast loop does not fill the pipe.
const INTERVAL: Duration = Duration::from_millis(100);

/// Minimum time between two looks at the command pipe.
const LISTEN_INTERVAL: Duration = Duration::from_millis(20);

/// Sends messages and listens for cancellation, on whatever thread the library calls back.
///
/// It creates no thread: a process with two threads pays for a lock in every call that takes a
/// descriptor, and GDAL makes millions of them.
pub(crate) struct Reporter {
    messages: Mutex<Writer>,
    commands: Mutex<Listener>,
}

struct Writer {
    pipe: File,
    last_progress: Option<Instant>,
    /// The answer was sent. It is the last message, also if a thread of the library still calls back.
    has_answered: bool,
}

struct Listener {
    pipe: File,
    last_look: Option<Instant>,
    cancelled: bool,
    /// The task that came while the library prepared, and asked whether it is cancelled.
    task: Option<Box<Task>>,
}

impl Reporter {
    pub(crate) fn new(channel: Channel) -> Self {
        Self {
            messages: Mutex::new(Writer { pipe: channel.messages, last_progress: None, has_answered: false }),
            commands: Mutex::new(Listener {
                pipe: channel.commands,
                last_look: None,
                cancelled: false,
                task: None,
            }),
        }
    }

    pub(crate) fn send(&self, message: &Message) {
        locked(&self.messages).send(message);
    }

    /// Waits for any command.
    pub(crate) fn wait(&self) {
        let _ = frame::receive::<Command>(&mut locked(&self.commands).pipe);
    }

    /// Waits for the task of a host that was started ahead; `None` if it is no longer needed.
    pub(crate) fn next_task(&self) -> Option<Task> {
        let mut commands = locked(&self.commands);
        if commands.cancelled {
            return None;
        }
        if let Some(task) = commands.task.take() {
            return Some(*task);
        }
        match frame::receive::<Command>(&mut commands.pipe) {
            Ok(Some(Command::Go(task))) => Some(*task),
            Ok(Some(Command::Run(_) | Command::Cancel) | None) | Err(_) => None,
        }
    }
}

/// The values stay valid if a panic occurs under the lock, so poisoning is ignored.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Listener {
    fn look(&mut self) {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let mut fds = [PollFd::new(&self.pipe, PollFlags::IN)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        if !matches!(poll(&mut fds, Some(&now)), Ok(1..)) {
            return;
        }
        match frame::receive::<Command>(&mut self.pipe) {
            Ok(Some(Command::Go(task))) => self.task = Some(task),
            Ok(Some(Command::Run(_))) => {}
            // A request to stop; or the supervisor has ended, and the work has no receiver.
            Ok(Some(Command::Cancel) | None) | Err(_) => self.cancelled = true,
        }
    }
}

impl Writer {
    fn send(&mut self, message: &Message) {
        if self.has_answered {
            return;
        }
        self.has_answered = matches!(message, Message::Done { .. });
        // One write per frame. A supervisor that does not read is gone, and then the kernel ends
        // this process too.
        if let Ok(bytes) = frame::encode(message) {
            let _ = self.pipe.write_all(&bytes);
        }
    }
}

impl Events for Reporter {
    fn progress(&self, _stage: Stage, fraction: f64) {
        let mut writer = locked(&self.messages);
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
        self.send(&Message::Log { loss: level == Level::Loss, line });
    }

    fn cancelled(&self) -> bool {
        let mut commands = locked(&self.commands);
        let now = Instant::now();
        if !commands.cancelled && commands.last_look.is_none_or(|last| now - last >= LISTEN_INTERVAL) {
            commands.last_look = Some(now);
            commands.look();
        }
        commands.cancelled
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::OwnedFd;

    /// A host, and the other ends of its pipes.
    fn host() -> (Reporter, File, File) {
        let (read_messages, messages) = std::io::pipe().unwrap();
        let (commands, write_commands) = std::io::pipe().unwrap();
        let file = |fd: OwnedFd| File::from(fd);
        let channel = Channel { messages: file(messages.into()), commands: file(commands.into()) };
        (Reporter::new(channel), file(write_commands.into()), file(read_messages.into()))
    }

    /// A plugin asks while it prepares, and its job has come by then.
    #[test]
    fn a_task_that_comes_while_the_library_prepares_is_kept() {
        let (reporter, mut supervisor, _messages) = host();
        let task = Task::Await { input_dir: "in".into(), output_dir: "out".into() };
        frame::send(&mut supervisor, &Command::Go(Box::new(task.clone()))).unwrap();
        assert!(!reporter.cancelled());
        assert_eq!(reporter.next_task().map(|found| format!("{found:?}")), Some(format!("{task:?}")));
    }

    #[test]
    fn no_task_follows_a_request_to_stop() {
        let (reporter, mut supervisor, _messages) = host();
        frame::send(&mut supervisor, &Command::Cancel).unwrap();
        assert!(reporter.cancelled());
        assert!(reporter.next_task().is_none());
    }
}
