//! How one process sees that another one, or itself, has changed a job: each change sets the times of the
//! database file after its commit, and who waits is woken by inotify (inotify(7), `IN_ATTRIB`).
//!
//! SQLite itself changes the file's data and its log only, and that before a reader can see the commit. The
//! file is not opened for this: closing it would end SQLite's locks of the whole process (sqlite.org/howtocorrupt.html,
//! 2.2).

use super::pool::Then;
use async_trait::async_trait;
use cadmill_core::ports::job_store::Writes;
use rustix::fs::inotify::{CreateFlags, WatchFlags, add_watch, init};
use rustix::fs::{AtFlags, CWD, Timestamps, UTIME_NOW, utimensat};
use rustix::time::Timespec;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;
use tokio::net::unix::pipe::Receiver;

/// The file whose times say when a job was last changed.
#[derive(Clone)]
pub(super) struct Mark(Arc<Path>);

impl Mark {
    pub(super) fn of(database: &Path) -> Self {
        Self(database.into())
    }

    /// `None` where the system has no inotify instance left for this process.
    pub(super) fn watch(&self) -> Option<Box<dyn Writes>> {
        match FileWrites::of(&self.0) {
            Ok(writes) => Some(Box::new(writes)),
            Err(error) => {
                tracing::debug!(error = %error, "writes to the job store are not watched");
                None
            }
        }
    }
}

impl Then for Mark {
    /// A failure delays what waits for the write, and nothing else.
    fn committed(&self) {
        let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
        let times = Timestamps { last_access: now, last_modification: now };
        if let Err(error) = utimensat(CWD, &*self.0, &times, AtFlags::empty()) {
            tracing::debug!(error = %error, "a write to the job store is not announced");
        }
    }
}

/// An inotify instance, which is read as a pipe is.
struct FileWrites(Receiver);

impl FileWrites {
    fn of(path: &Path) -> io::Result<Self> {
        let instance = init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        add_watch(&instance, path, WatchFlags::ATTRIB)?;
        Ok(Self(Receiver::from_owned_fd_unchecked(instance)?))
    }
}

#[async_trait]
impl Writes for FileWrites {
    async fn next(&mut self) {
        // Events of one file have no name: 16 bytes each, and equal ones become one.
        let mut events = [0; 1024];
        while self.0.readable().await.is_ok() {
            match self.0.try_read(&mut events) {
                Ok(_) => return,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                Err(_) => break,
            }
        }
        std::future::pending().await
    }
}
