//! The listening socket: accepts connections even if limits are reached.

use super::descriptors::Spare;
use super::gate::{Gate, Limits, Seat};
use rustix::io::Errno;
use std::io::{Error, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

/// Pause before the next accept after a failure that this process cannot repair.
const PAUSE: Duration = Duration::from_millis(100);

/// Accepts connections and gives each a seat.
///
/// When no descriptor is left, one of a few spare descriptors is released, and the connection
/// that is accepted with it is served from the reserve: health checks are answered even while the
/// process has no descriptor for anything else.
pub struct Door {
    name: &'static str,
    gate: Arc<Gate>,
    spare: Spare,
    short: AtomicBool,
}

impl Door {
    /// A door for the listener with this name.
    pub fn new(name: &'static str, limits: Limits) -> Self {
        let (gate, spare) = (Gate::new(name, limits), Spare::new());
        Self { name, gate, spare, short: AtomicBool::new(false) }
    }

    /// The gate that counts the connections.
    pub fn gate(&self) -> &Arc<Gate> {
        &self.gate
    }

    /// Whether the process had no descriptor for the latest connection.
    pub fn is_short(&self) -> bool {
        self.short.load(Ordering::Relaxed)
    }

    /// Returns the next connection. Cancel safe.
    pub async fn accept(&self, listener: &TcpListener) -> (TcpStream, SocketAddr, Seat) {
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    let enough = self.spare.refill();
                    self.note(enough.then_some(()).ok_or(Errno::MFILE));
                    let seat = match enough {
                        true => self.gate.enter(peer.ip()),
                        false => self.gate.reserve(peer.ip()),
                    };
                    return (stream, peer, seat);
                }
                Err(error) => self.failed(&error).await,
            }
        }
    }

    async fn failed(&self, error: &Error) {
        match Errno::from_io_error(error) {
            Some(code @ (Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM)) => {
                self.note(Err(code));
                if !self.spare.give() {
                    self.gate.evict();
                    tokio::time::sleep(PAUSE).await;
                }
            }
            // The peer closed the connection before it was accepted.
            _ if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset) => {}
            _ => {
                tracing::warn!(listener = self.name, error = %error, "a connection could not be accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// Logs once that descriptors ran out, and once that they are available again.
    fn note(&self, enough: Result<(), Errno>) {
        let was_short = self.short.swap(enough.is_err(), Ordering::Relaxed);
        match enough {
            Err(code) if !was_short => tracing::error!(
                listener = self.name,
                error.code = name(code),
                limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current,
                "no file descriptor is left for a connection; only health checks are served until one is"
            ),
            Ok(()) if was_short => {
                tracing::info!(listener = self.name, "file descriptors are available again");
            }
            _ => {}
        }
    }
}

fn name(code: Errno) -> &'static str {
    match code {
        Errno::MFILE => "EMFILE",
        Errno::NFILE => "ENFILE",
        Errno::NOBUFS => "ENOBUFS",
        _ => "ENOMEM",
    }
}
