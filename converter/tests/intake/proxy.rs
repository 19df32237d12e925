//! A proxy between client and object server that does to connections what networks and overloaded
//! services do. It counts the bytes that it sends, independently of the client.

use std::collections::HashMap;
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What the proxy does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    /// The request is answered.
    Pass,
    /// The request is refused with this status and does not reach the server.
    Refuse(u16),
    /// The connection is closed after this many bytes of the body.
    Cut(usize),
    /// The body is delayed by this time, then sent completely.
    Stall(Duration),
    /// The body is sent in chunks of this many bytes.
    Dribble(usize),
}

/// A ranged GET request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) range: Option<Range<u64>>,
    /// Number of earlier requests for this range.
    pub(crate) before: usize,
    /// Number of earlier ranged GET requests.
    pub(crate) number: usize,
}

type Rule = dyn Fn(&Seen) -> Act + Send + Sync;

/// The proxy. Dropping it closes it.
pub(crate) struct Proxy {
    address: String,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    upstream: String,
    rule: Mutex<Arc<Rule>>,
    /// Header lines that are added to replies to HEAD.
    told: Mutex<String>,
    /// Whether one byte of each PUT body is changed in transit.
    spoil: AtomicBool,
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    seen: Vec<Seen>,
    ranges: HashMap<Option<(u64, u64)>, usize>,
    body_bytes: u64,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Proxy {
    /// Starts a proxy for the server at this base URL that passes everything through.
    pub(crate) async fn before(endpoint: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let upstream = endpoint.strip_prefix("http://").unwrap().to_owned();
        let rule: Arc<Rule> = Arc::new(|_: &Seen| Act::Pass);
        let shared = Arc::new(Shared {
            upstream,
            rule: Mutex::new(rule),
            told: Mutex::default(),
            spoil: AtomicBool::new(false),
            counts: Mutex::default(),
        });
        let task = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Self { address, shared, task }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Sets the action for ranged GET requests from now on, and resets the counts.
    pub(crate) fn rule(&self, rule: impl Fn(&Seen) -> Act + Send + Sync + 'static) {
        *self.shared.counts.lock().unwrap() = Counts::default();
        *self.shared.rule.lock().unwrap() = Arc::new(rule);
    }

    /// Adds this CRC-64/NVME (base64) to the metadata of every object, as S3 does.
    pub(crate) fn tell_crc(&self, base64: &str) {
        *self.shared.told.lock().unwrap() =
            format!("x-amz-checksum-crc64nvme: {base64}\r\nx-amz-checksum-type: FULL_OBJECT\r\n");
    }

    /// Changes the last byte of each upload from now on.
    pub(crate) fn spoil_uploads(&self) {
        self.shared.spoil.store(true, Ordering::Relaxed);
    }

    /// Body bytes sent by the server in reply to GET.
    pub(crate) fn body_bytes(&self) -> u64 {
        self.shared.counts.lock().unwrap().body_bytes
    }

    /// All ranged GET requests.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.shared.counts.lock().unwrap().seen.clone()
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        connections.spawn(async move { drop(serve(client, &shared).await) });
    }
}

/// Serves one client connection over one connection to the server.
async fn serve(client: TcpStream, shared: &Shared) -> io::Result<()> {
    let server = TcpStream::connect(&shared.upstream).await?;
    client.set_nodelay(true)?;
    let (client_read, mut client) = client.into_split();
    let (server_read, mut server) = server.into_split();
    let (mut client_read, mut server_read) = (BufReader::new(client_read), BufReader::new(server_read));
    loop {
        let request = head(&mut client_read).await?;
        let act = if request.starts_with("GET ") && field(&request, "range").is_some() {
            shared.decide(&request)
        } else {
            Act::Pass
        };
        if let Act::Refuse(status) = act {
            let answer = format!("HTTP/1.1 {status} Slow Down\r\ncontent-length: 0\r\n\r\n");
            client.write_all(answer.as_bytes()).await?;
            continue;
        }
        server.write_all(request.as_bytes()).await?;
        let (sent, answered) = tokio::join!(
            copy(&mut client_read, &mut server, length(&request), shared.spoil.load(Ordering::Relaxed)),
            answer(&mut server_read, &mut client, &request, act, shared)
        );
        sent?;
        answered?;
    }
}

impl Shared {
    fn decide(&self, request: &str) -> Act {
        let range = field(request, "range").and_then(|range| {
            let (start, end) = range.strip_prefix("bytes=")?.split_once('-')?;
            Some(start.parse().ok()?..end.parse::<u64>().ok()? + 1)
        });
        let seen = {
            let mut counts = self.counts.lock().unwrap();
            let times = counts.ranges.entry(range.as_ref().map(|r| (r.start, r.end))).or_default();
            let before = *times;
            *times += 1;
            let seen = Seen { range, before, number: counts.seen.len() };
            counts.seen.push(seen.clone());
            seen
        };
        let rule = Arc::clone(&self.rule.lock().unwrap());
        rule(&seen)
    }
}

async fn answer(
    server: &mut BufReader<OwnedReadHalf>,
    client: &mut OwnedWriteHalf,
    request: &str,
    act: Act,
    shared: &Shared,
) -> io::Result<()> {
    let answer = loop {
        let mut answer = head(server).await?;
        if request.starts_with("HEAD ") {
            answer.insert_str(answer.len() - 2, &shared.told.lock().unwrap());
        }
        client.write_all(answer.as_bytes()).await?;
        if !answer.starts_with("HTTP/1.1 1") {
            break answer;
        }
    };
    if request.starts_with("HEAD ") || answer.contains(" 204 ") || answer.contains(" 304 ") {
        return Ok(());
    }
    let mut left = length(&answer);
    let mut sent = 0;
    if let Act::Stall(time) = act {
        tokio::time::sleep(time).await;
    }
    let step = match act {
        Act::Dribble(bytes) => bytes,
        _ => 64 << 10,
    };
    let mut buffer = vec![0; step];
    while left > 0 {
        let mut most = step.min(left);
        if let Act::Cut(after) = act {
            most = most.min(after - sent);
            if most == 0 {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
        }
        let read = server.read(&mut buffer[..most]).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        client.write_all(&buffer[..read]).await?;
        (left, sent) = (left - read, sent + read);
        if request.starts_with("GET ") {
            shared.counts.lock().unwrap().body_bytes += read as u64;
        }
    }
    Ok(())
}

async fn copy(
    from: &mut BufReader<OwnedReadHalf>,
    to: &mut OwnedWriteHalf,
    length: usize,
    spoil: bool,
) -> io::Result<()> {
    let mut body = vec![0; length];
    from.read_exact(&mut body).await?;
    if let (Some(last), true) = (body.last_mut(), spoil) {
        *last ^= 1;
    }
    to.write_all(&body).await
}

/// Reads a header block, including the empty line at its end.
async fn head(from: &mut BufReader<OwnedReadHalf>) -> io::Result<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if from.read_line(&mut head).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(head)
}

fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let line =
        head.lines().filter_map(|line| line.split_once(':')).find(|(n, _)| n.eq_ignore_ascii_case(name));
    line.map(|(_, value)| value.trim())
}

fn length(head: &str) -> usize {
    field(head, "content-length").and_then(|value| value.parse().ok()).unwrap_or(0)
}
