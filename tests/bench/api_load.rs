//! Load on the API: clients that create jobs and poll them at the interval that the server gives,
//! each on one connection. Prints one JSON object: the answers and their latency.
//!
//! Usage: `api-load ADDRESS CLIENTS SECONDS`

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Polls of a job before the client creates another one.
const POLLS: u32 = 10;

/// Timeout of a client whose server does not answer.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Default)]
struct Seen {
    /// Answers by request kind and HTTP status.
    answers: BTreeMap<(&'static str, u16), u64>,
    /// Latencies by request kind, in microseconds.
    micros: BTreeMap<&'static str, Vec<u64>>,
    broken: u64,
}

impl Seen {
    fn take(&mut self, other: Seen) {
        for (key, count) in other.answers {
            *self.answers.entry(key).or_default() += count;
        }
        for (key, times) in other.micros {
            self.micros.entry(key).or_default().extend(times);
        }
        self.broken += other.broken;
    }
}

struct Client {
    address: String,
    stream: TcpStream,
    buffer: Vec<u8>,
    seen: Seen,
}

struct Answer {
    status: u16,
    etag: Option<String>,
    body: Value,
}

impl Client {
    async fn ask(&mut self, what: &'static str, head: &str, body: &str) -> std::io::Result<Answer> {
        let request = format!(
            "{head} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n",
            self.address,
            body.len()
        );
        // Headers from the caller follow the first line, separated from it by a newline.
        let (line, extra) = head.split_once('\n').unwrap_or((head, ""));
        let request = if extra.is_empty() {
            format!("{request}\r\n{body}")
        } else {
            format!("{}{extra}\r\n\r\n{body}", request.replacen(head, line, 1))
        };
        let started = Instant::now();
        self.stream.write_all(request.as_bytes()).await?;
        let answer = self.answer().await?;
        let micros = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        *self.seen.answers.entry((what, answer.status)).or_default() += 1;
        self.seen.micros.entry(what).or_default().push(micros);
        Ok(answer)
    }

    async fn answer(&mut self) -> std::io::Result<Answer> {
        let bad = || std::io::Error::other("no answer that is understood");
        let end = loop {
            if let Some(at) = self.buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                break at;
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(bad());
            }
        };
        let head = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
        let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).ok_or_else(bad)?;
        let header = |name: &str| {
            head.lines().find_map(|line| {
                let (key, value) = line.split_once(':')?;
                key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
            })
        };
        let length: usize = header("content-length").and_then(|l| l.parse().ok()).unwrap_or(0);
        while self.buffer.len() < end + 4 + length {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(bad());
            }
        }
        let body = serde_json::from_slice(&self.buffer[end + 4..end + 4 + length]).unwrap_or(Value::Null);
        self.buffer.drain(..end + 4 + length);
        Ok(Answer { status, etag: header("etag"), body })
    }

    async fn work(&mut self, until: Instant) -> std::io::Result<()> {
        let order = r#"{"file_name":"plan.zip","size_bytes":1048576,"target_format":"dxf"}"#;
        while Instant::now() < until {
            let created = self.ask("create", "POST /api/jobs", order).await?;
            let Some(id) = created.body["job_id"].as_str().map(str::to_owned) else {
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            };
            let mut etag = None;
            for _ in 0..POLLS {
                let condition = etag.as_ref().map_or(String::new(), |tag| format!("\nIf-None-Match: {tag}"));
                let head = format!("GET /api/jobs/{id}/status{condition}");
                let status = self.ask("status", &head, "").await?;
                etag = status.etag.or(etag);
                let pause = status.body["poll_after_ms"].as_u64().unwrap_or(1000);
                tokio::time::sleep(Duration::from_millis(pause)).await;
                if Instant::now() >= until {
                    break;
                }
            }
        }
        Ok(())
    }
}

async fn client(address: String, number: u64, until: Instant) -> Seen {
    // Spread the starts: real clients do not start at the same moment.
    tokio::time::sleep(Duration::from_millis(number * 4)).await;
    let mut all = Seen::default();
    let Ok(stream) = TcpStream::connect(&address).await else {
        all.broken += 1;
        return all;
    };
    let mut client = Client { address, stream, buffer: Vec::new(), seen: Seen::default() };
    let worked = tokio::time::timeout_at((until + PATIENCE).into(), client.work(until)).await;
    all.take(client.seen);
    all.broken += u64::from(!matches!(worked, Ok(Ok(()))));
    all
}

fn at(sorted: &[u64], quantile: f64) -> f64 {
    let index = ((sorted.len() as f64 * quantile).ceil() as usize).clamp(1, sorted.len().max(1)) - 1;
    sorted.get(index).map_or(f64::NAN, |&micros| micros as f64 / 1000.0)
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, clients, seconds] = arguments.as_slice() else {
        eprintln!("usage: api-load ADDRESS CLIENTS SECONDS");
        std::process::exit(2);
    };
    let clients: u64 = clients.parse().expect("a number of clients");
    let until = Instant::now() + Duration::from_secs(seconds.parse().expect("a number of seconds"));
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..clients {
        tasks.spawn(client(address.clone(), number, until));
    }
    let mut all = Seen::default();
    while let Some(seen) = tasks.join_next().await {
        all.take(seen.expect("a client"));
    }
    let mut times = serde_json::Map::new();
    for (what, micros) in &mut all.micros {
        micros.sort_unstable();
        let entry = json!({
            "count": micros.len(), "p50_ms": at(micros, 0.5), "p95_ms": at(micros, 0.95),
            "p99_ms": at(micros, 0.99), "max_ms": at(micros, 1.0),
        });
        times.insert((*what).to_owned(), entry);
    }
    let answers: BTreeMap<String, u64> =
        all.answers.iter().map(|((what, status), count)| (format!("{what} {status}"), *count)).collect();
    let server_errors: u64 = all.answers.iter().filter(|((_, s), _)| *s >= 500).map(|(_, c)| c).sum();
    let result = json!({
        "clients": clients, "answers": answers, "server_errors": server_errors,
        "broken": all.broken, "times": times,
    });
    println!("{result:#}");
}
