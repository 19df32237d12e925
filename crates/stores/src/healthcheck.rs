//! The health check of a container: asks a program at its address whether it is alive.
//!
//! For `HEALTHCHECK` of an image without a shell and without an HTTP client. It needs no store and
//! no token, and takes at most [`TIMEOUT`]. Every program has it as the subcommand [`NAME`].

use cadmill_core::domain::failure::{Failure, FailureCode};
use clap::{Arg, ArgAction, ArgMatches, Command};
use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Name of the subcommand.
pub const NAME: &str = "healthcheck";

/// Timeout of the request.
pub const TIMEOUT: Duration = Duration::from_secs(3);

/// Largest answer, in bytes.
const MAX_ANSWER: u64 = 4096;

/// The subcommand.
pub fn command() -> Command {
    let ready = Arg::new("ready")
        .long("ready")
        .action(ArgAction::SetTrue)
        .help("Ask whether it is ready: whether its stores respond");
    let address = Arg::new("address")
        .long("address")
        .value_name("ADDRESS:PORT")
        .value_parser(clap::value_parser!(SocketAddr))
        .help("Address of the program, if it is not that of the configuration, which is not read then");
    Command::new(NAME)
        .about(
            "Ask the running program whether it is alive; for HEALTHCHECK of a container. Exits with 0 or 1",
        )
        .arg(address)
        .arg(ready)
}

/// The arguments of a program with this subcommand. Of the exit codes of a health check, Docker knows
/// 0 and 1.
///
/// # Errors
/// The exit code, if the arguments of a health check are wrong.
pub fn parsed(matches: Result<ArgMatches, clap::Error>) -> Result<ArgMatches, ExitCode> {
    matches.map_err(|error| {
        if !error.use_stderr() || !std::env::args_os().any(|word| word == NAME) {
            error.exit();
        }
        let _ = error.print();
        ExitCode::FAILURE
    })
}

/// Runs the subcommand. `configured` reads the address from the configuration.
pub fn run(
    matches: &ArgMatches,
    configured: impl FnOnce() -> Result<SocketAddr, Box<dyn Error>>,
) -> ExitCode {
    let address = matches.get_one::<SocketAddr>("address").copied();
    let asked =
        address.map_or_else(configured, Ok).and_then(|address| Ok(ask(address, matches.get_flag("ready"))?));
    match asked {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Asks for `/healthz`, or for `/readyz` if `ready`. A program that is not ready is alive: do not let
/// an orchestrator replace it for that.
///
/// # Errors
/// `server.unavailable` unless it answers completely, with status 200 and in time.
pub fn ask(listen: SocketAddr, ready: bool) -> Result<(), Failure> {
    let path = if ready { "readyz" } else { "healthz" };
    let message = match get(reachable(listen), path) {
        Ok(answer) => match status_of(&answer) {
            Some((200, true)) => return Ok(()),
            Some((200, false)) | None => format!("the answer to /{path} is not complete"),
            Some((status, _)) => format!("/{path} answered {status}"),
        },
        Err(_) => format!("the server does not answer on port {}", listen.port()),
    };
    Err(Failure::new(FailureCode::ServerUnavailable, message))
}

/// Makes the request, and reads until the server closes the connection.
fn get(address: SocketAddr, path: &str) -> io::Result<Vec<u8>> {
    let end = Instant::now() + TIMEOUT;
    let left = || match end.saturating_duration_since(Instant::now()) {
        Duration::ZERO => Err(io::ErrorKind::TimedOut.into()),
        left => Ok::<_, io::Error>(left),
    };
    let mut stream = TcpStream::connect_timeout(&address, left()?)?;
    stream.set_write_timeout(Some(left()?))?;
    let request = format!("GET /{path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    loop {
        stream.set_read_timeout(Some(left()?))?;
        let mut buffer = [0; 1024];
        match stream.read(&mut buffer)? {
            0 => return Ok(answer),
            read if answer.len() as u64 + read as u64 > MAX_ANSWER => {
                return Err(io::ErrorKind::FileTooLarge.into());
            }
            read => answer.extend_from_slice(&buffer[..read]),
        }
    }
}

/// The status of an HTTP/1.1 response, and whether its body is as long as its head says.
fn status_of(answer: &[u8]) -> Option<(u16, bool)> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).ok()?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.strip_prefix("HTTP/1.1 ")?.split(' ').next()?.parse().ok()?;
    let length = lines.filter_map(|line| line.split_once(':')).find_map(|(name, value)| {
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    Some((status, length == Some(answer.len() - end - 4)))
}

/// The address by which a server is reached from its own host.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_200_is_healthy() {
        for (status, length, healthy) in [
            ("200 x", 0, true),
            ("200 x", 2, false),
            ("503 x", 0, false),
            ("404 x", 0, false),
            ("302 x\r\nlocation: /elsewhere", 0, false),
            ("x", 0, false),
        ] {
            let listener = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
            let address = listener.local_addr().unwrap();
            let server = std::thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                let mut buffer = [0; 4096];
                let count = stream.read(&mut buffer).unwrap();
                let head = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n");
                write!(stream, "{head}connection: close\r\n\r\n").unwrap();
                String::from_utf8_lossy(&buffer[..count]).into_owned()
            });
            assert_eq!(ask(address, false).is_ok(), healthy, "{status}");
            assert!(server.join().unwrap().starts_with("GET /healthz HTTP/1.1\r\n"));
        }
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let failure = ask(free, true).unwrap_err();
        assert_eq!(failure.code, FailureCode::ServerUnavailable);
    }

    #[test]
    fn a_server_that_says_too_much_or_nothing_is_not_healthy() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: 99999\r\n\r\n{}", "x".repeat(99_999));
            // The second one is accepted by the kernel and never answered.
            std::thread::sleep(TIMEOUT + Duration::from_secs(1));
        });
        assert!(ask(address, false).is_err());
        let began = Instant::now();
        assert!(ask(address, false).is_err());
        assert!(began.elapsed() < TIMEOUT + Duration::from_millis(900), "{:?}", began.elapsed());
        server.join().unwrap();
    }
}
