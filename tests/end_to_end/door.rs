//! `cadmill serve` when connections and descriptors run out.

use crate::serve::{Installation, Served};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use socket2::{Domain, Socket, Type};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);

/// Sends one request on a new connection and returns the answer.
fn ask(served: &Served, path: &str) -> String {
    ask_on(TcpStream::connect(served.url.strip_prefix("http://").unwrap()).unwrap(), path)
}

fn ask_on(mut stream: TcpStream, path: &str) -> String {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    let mut answer = Vec::new();
    let _ = stream.write_all(head.as_bytes());
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// Repeats the request until the answer begins with `expected`: readiness is cached briefly.
fn becomes(served: &Served, path: &str, expected: &str) -> String {
    let start = Instant::now();
    loop {
        let answer = ask(served, path);
        if answer.starts_with(expected) {
            return answer;
        }
        assert!(start.elapsed() < PATIENCE, "{path} stays {answer}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The file descriptors of the server.
fn descriptors(served: &Served) -> Vec<u64> {
    let entries = std::fs::read_dir(format!("/proc/{}/fd", served.id())).unwrap();
    entries.map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().unwrap()).collect()
}

#[test]
fn a_server_without_descriptors_says_so_and_recovers() {
    let installation = Installation::new();
    // The connections stay open, so that descriptors stay exhausted long enough to observe it.
    let served = installation.serve(&["--api-header-time", "60s"]);
    let pid = Some(Pid::from_raw(served.id().cast_signed()).unwrap());
    becomes(&served, "/readyz", "HTTP/1.1 200");
    let limit = |descriptors: u64| {
        let maximum = rustix::process::getrlimit(Resource::Nofile).maximum;
        prlimit(pid, Resource::Nofile, Rlimit { current: Some(descriptors), maximum }).unwrap()
    };
    // Low enough to leave six: inherited descriptors may have high numbers.
    let used = descriptors(&served);
    let lowest = (1..).find(|most| (0..*most).filter(|number| !used.contains(number)).count() == 6);
    let whole = limit(lowest.unwrap()).current.unwrap_or(1024);
    let address = served.url.strip_prefix("http://").unwrap();
    let crowd: Vec<TcpStream> = (0..40).map(|_| TcpStream::connect(address).unwrap()).collect();
    // Alive, but not ready.
    assert!(becomes(&served, "/healthz", "HTTP/1.1 200").ends_with("ok\n"));
    let answer = becomes(&served, "/readyz", "HTTP/1.1 503");
    assert!(answer.contains("file descriptors"), "{answer}");
    // It waits for descriptors without busy polling.
    let spent = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", served.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    };
    let before = spent();
    std::thread::sleep(Duration::from_secs(3));
    // In hundredths of a second of CPU time: a busy loop would use 300.
    assert!(spent() - before < 150, "{} ticks in 3 s", spent() - before);
    drop(crowd);
    limit(whole);
    becomes(&served, "/readyz", "HTTP/1.1 200");
    assert!(ask(&served, "/api/formats").starts_with("HTTP/1.1 200"));
}

/// With a low RLIMIT_NOFILE the limits are low, and one client still cannot use all connections.
#[test]
fn one_client_leaves_seats_to_others_however_few_there_are() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let installation = Installation::new();
    let arguments = ["--embedded-s3-listen", &free.to_string(), "--api-header-time", "60s"];
    let served = installation.serve_with_descriptors(400, &arguments);
    let api: SocketAddr = served.url.strip_prefix("http://").unwrap().parse().unwrap();
    for (address, path, expected) in [(api, "/api/formats", "HTTP/1.1 200"), (free, "/", "HTTP/1.1 403")] {
        let crowd: Vec<TcpStream> = (0..150).map(|_| TcpStream::connect(address).unwrap()).collect();
        std::thread::sleep(Duration::from_secs(1));
        let answer = ask_from("127.0.0.9", address, path);
        assert!(answer.starts_with(expected), "{path}: {answer}");
        drop(crowd);
    }
}

/// One request from the given local address.
fn ask_from(from: &str, address: SocketAddr, path: &str) -> String {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let from: SocketAddr = format!("{from}:0").parse().unwrap();
    socket.bind(&from.into()).unwrap();
    socket.connect(&address.into()).unwrap();
    ask_on(socket.into(), path)
}

#[test]
fn a_token_that_is_too_short_is_refused_at_the_start() {
    use sha2::{Digest, Sha256};
    let installation = Installation::new();
    let token = |token: &str| {
        let digest: String = Sha256::digest(token).iter().map(|byte| format!("{byte:02x}")).collect();
        format!("ann:{digest}")
    };
    let start = |token: &str| {
        let arguments = ["--listen", "127.0.0.1:0", "--api-auth", "tokens", "--api-tokens", token];
        installation.command(&arguments).output().unwrap()
    };
    let refused = start(&token("hunter2"));
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{text}");
    assert!(text.contains("api.tokens") && text.contains("7 characters") && text.contains("32"), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
}

/// A health check in a container gets an address instead of the configuration, and exits with 0 or 1.
#[test]
fn the_health_check_asks_the_address_that_it_is_given() {
    let installation = Installation::new();
    let served = installation.serve(&[]);
    let address = served.url.strip_prefix("http://").unwrap();
    let check = |address: &str, more: &[&str]| {
        let mut command =
            Command::new(Path::new(env!("CARGO_BIN_EXE_cadmill")).with_file_name("cadmill-api"));
        // Not read: another server's, and invalid.
        command.env_clear().env("CADMILL_API_LISTEN", "nowhere");
        let output = command.args(["healthcheck", "--address", address]).args(more).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    becomes(&served, "/readyz", "HTTP/1.1 200");
    for more in [&[][..], &["--ready"]] {
        assert_eq!(check(address, more), (Some(0), String::new()));
    }
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    for (address, more) in [(free.as_str(), &[][..]), ("nowhere", &[]), (address, &["--unknown"])] {
        let (code, said) = check(address, more);
        assert!(code == Some(1) && said.starts_with("error: "), "{code:?} {said}");
    }
}
