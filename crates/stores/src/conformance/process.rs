//! Servers that stand in for AWS, as processes of the tests.
//!
//! A server ends with the test program, even if that is killed: `setpriv` of util-linux asks the
//! kernel to kill it when the thread that started it ends, and that thread waits for its output
//! until then. What the servers write is not shown unless they do not start.

use std::io::{BufRead, BufReader, pipe};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// How long a server may take to start, on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(120);

/// A running server; dropping it kills it.
pub(super) struct Server {
    process: Child,
}

impl Server {
    /// Starts a command of [`tied`] and waits until it writes a line with `before`; returns the
    /// word after that, which is its address. The error is what the command wrote before it
    /// ended.
    ///
    /// # Panics
    /// If the command cannot be started, or writes no such line in two minutes.
    pub(super) async fn start(mut command: Command, before: &'static str) -> Result<(Self, String), String> {
        let (found, told) = mpsc::channel();
        std::thread::spawn(move || {
            let (output, input) = pipe().expect("a pipe");
            let error = input.try_clone().expect("a second end of the pipe");
            let started = command.stdin(Stdio::null()).stdout(input).stderr(error).spawn();
            // It holds ends of the pipe for writing.
            drop(command);
            let _ = found.send(Said::Started(started));
            // Reads to the end, so that the server never blocks on its output.
            let mut said = String::new();
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                match line.split_once(before) {
                    Some((_, rest)) => {
                        let word = rest.split([' ', ',']).find(|word| !word.is_empty()).unwrap_or_default();
                        let _ = found.send(Said::Address(word.trim_end_matches('/').to_owned()));
                    }
                    None if said.len() < 10_000 => said = said + &line + "\n",
                    None => {}
                }
            }
            let _ = found.send(Said::Ended(said));
        });
        let waited = tokio::task::spawn_blocking(move || {
            let started = match told.recv() {
                Ok(Said::Started(started)) => started,
                _ => panic!("the thread that starts a server says so first"),
            };
            let process = started.unwrap_or_else(|error| {
                panic!("setpriv cannot be started ({error}); `make setup` installs it with util-linux")
            });
            // From here on a panic ends the server.
            let server = Self { process };
            match told.recv_timeout(PATIENCE) {
                Ok(Said::Address(address)) => Ok((server, address)),
                Ok(Said::Ended(said)) => Err(said),
                other => panic!("the server does not start: {:?}", other.err()),
            }
        });
        waited.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

enum Said {
    Started(std::io::Result<Child>),
    Address(String),
    Ended(String),
}

/// A command that is killed when the thread that started it ends.
pub(super) fn tied(program: impl AsRef<Path>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]).arg(program.as_ref());
    command
}

/// A file or directory that a tool of the tests was installed to, below the repository.
///
/// # Panics
/// If it is missing.
pub(super) fn installed(path: &str, tool: &str, by: &str) -> PathBuf {
    let whole = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).join(path);
    assert!(whole.exists(), "{tool} is missing: {by} installs it into {path}");
    whole
}

/// A port of the loopback interface that was free a moment ago, for a server that cannot choose
/// one itself.
///
/// # Panics
/// If there is none.
pub(super) fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;

    #[test]
    fn a_server_is_killed_when_the_thread_that_started_it_ends() {
        let started = std::thread::spawn(|| {
            let mut server = tied("sh");
            server.args(["-c", "echo listening; exec sleep 1000"]).stdout(Stdio::piped());
            let mut child = server.spawn().expect("setpriv and sh");
            let mut said = String::new();
            let output = child.stdout.take().expect("it is piped");
            BufReader::new(output).read_line(&mut said).expect("a line");
            (child, said)
        });
        let (mut child, said) = started.join().expect("no panic");
        assert_eq!(said, "listening\n");
        assert_eq!(child.wait().expect("its end").signal(), Some(9));
    }

    #[tokio::test]
    async fn what_a_server_said_instead_of_its_address_is_reported() {
        let missing = Server::start(tied("/nonexistent/server"), "listening on ").await;
        let said = missing.err().expect("it does not start");
        assert!(said.contains("/nonexistent/server"), "{said}");
        let mut refuses = tied("sh");
        refuses.args(["-c", "echo the port is taken; echo by another >&2"]);
        let said = Server::start(refuses, "listening on ").await.err();
        assert_eq!(said.as_deref(), Some("the port is taken\nby another\n"));
    }

    #[test]
    #[should_panic(expected = "dynalite is missing: `make setup` installs it into target/nowhere")]
    fn a_tool_that_is_missing_is_named() {
        installed("target/nowhere", "dynalite", "`make setup`");
    }
}
