//! The health check of a container: asks the server at the configured address whether it is alive.
//!
//! For `HEALTHCHECK` of an image without a shell and without an HTTP client. It needs no store and
//! no token, and takes at most [`TIMEOUT`].

use cadmill_core::domain::failure::{Failure, FailureCode};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// Timeout of the request.
pub const TIMEOUT: Duration = Duration::from_secs(3);

/// Largest answer, in bytes.
const MAX_BODY: u64 = 1024;

/// Asks for `/healthz`, or for `/readyz` if `ready`. A server that is not ready is alive: do not
/// let an orchestrator replace it for that.
///
/// # Errors
/// `server.unavailable` unless the server answers with status 200 in time.
pub fn run(listen: SocketAddr, ready: bool) -> Result<(), Failure> {
    let path = if ready { "readyz" } else { "healthz" };
    let url = format!("http://{}/{path}", reachable(listen));
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .timeout_global(Some(TIMEOUT))
        .proxy(None)
        .build()
        .into();
    let message = match agent.get(&url).call() {
        Ok(mut answer) if answer.status() == 200 => {
            match answer.body_mut().with_config().limit(MAX_BODY).read_to_vec() {
                Ok(_) => return Ok(()),
                Err(_) => format!("the answer to /{path} is not complete"),
            }
        }
        Ok(answer) => format!("/{path} answered {}", answer.status().as_u16()),
        Err(_) => format!("the server does not answer on port {}", listen.port()),
    };
    Err(Failure::new(FailureCode::ServerUnavailable, message))
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
    use std::io::{Read, Write};

    #[test]
    fn only_a_200_is_healthy() {
        for (status, length, healthy) in [
            ("200 x", 0, true),
            ("200 x", 2, false),
            ("503 x", 0, false),
            ("404 x", 0, false),
            ("302 x\r\nlocation: /elsewhere", 0, false),
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
            assert_eq!(run(address, false).is_ok(), healthy, "{status}");
            assert!(server.join().unwrap().starts_with("GET /healthz HTTP/1.1\r\n"));
        }
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let failure = run(free, true).unwrap_err();
        assert_eq!(failure.code, FailureCode::ServerUnavailable);
    }
}
