//! A combined API server and store, for one job, on loopback. It validates every request: one that
//! the API does not allow fails the test.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

const PART: usize = 100_000;

/// The result of the conversion.
pub(super) const RESULT: &[u8] = &[b'r'; 300_000];

/// The submitted content: four parts, the last one short.
pub(super) fn content() -> Vec<u8> {
    (0..3 * PART + 1234).map(|n| (n % 251) as u8).collect()
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Size {
    Single,
    InParts,
}

/// Faults; those that name a first or second time happen once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Fault {
    /// The first create request gets 503.
    BusyAtCreate,
    /// The first create request finds that its owner has too much in flight.
    QuotaAtCreate,
    /// The first create request is accepted, and its reply lost.
    LoseCreateReply,
    /// The connection breaks in the middle of this part (1 for a single upload).
    BreakPart(u32),
    /// The first URL of this part has expired.
    ExpirePart(u32),
    /// The connection breaks in the middle of the result.
    BreakDownload,
    /// The second URL of the result has expired.
    ExpireDownload,
    WrongDigest,
    JobFails,
    NotFound,
    /// The job never ends.
    Hang,
    /// A server that does not know `accept_encoding`.
    Older,
    /// The first completion finds that the store has dropped the upload.
    DropUpload,
    /// The gzip of the result ends early.
    CutGzip,
    /// There is something after the gzip of the result.
    LongGzip,
    /// The gzip of the result decodes to more than was announced.
    BombGzip,
    /// The result has a coding that was not requested.
    OtherCoding,
    /// The stored result is shorter than was announced.
    ShortResult,
    /// The connection breaks after each byte of the result.
    DripResult,
    /// The result was confirmed earlier, and deleted.
    GoneResult,
}

/// What the server answers to the request for a stream of events.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Events {
    /// It is older than that.
    Missing,
    /// There are too many.
    TooMany,
    /// Each event, up to the end.
    Whole,
    /// The first two events, and the others if it is asked again.
    CutOnce,
    /// Streams without an event.
    Empty,
}

#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) size: Size,
    pub(super) events: Events,
    pub(super) faults: Vec<Fault>,
    /// Parts that were already uploaded.
    pub(super) arrived: Vec<u32>,
    /// Whether the store supports range requests.
    pub(super) ranges: bool,
    /// Whether the result is stored as gzip for a client that decodes it.
    pub(super) gzip: bool,
    pub(super) served_name: &'static str,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            size: Size::Single,
            events: Events::Missing,
            faults: vec![],
            arrived: vec![],
            ranges: true,
            gzip: false,
            served_name: "town.dxf",
        }
    }
}

/// What the server has received.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    pub(super) creates: u32,
    /// Distinct create requests among them.
    pub(super) orders: u32,
    pub(super) order: Value,
    /// Attempts for each part; part 1 for a single upload.
    pub(super) puts: BTreeMap<u32, u32>,
    /// The uploaded object, once complete.
    pub(super) object: Vec<u8>,
    pub(super) ranges: Vec<String>,
    pub(super) not_modified: u32,
    pub(super) acknowledged: bool,
    pub(super) deleted: bool,
    pub(super) completions: u32,
    parts: BTreeMap<u32, Vec<u8>>,
    /// Number of presigned URLs.
    signed: u32,
    pub(super) polls: u32,
    /// The `Last-Event-ID` of each request for a stream.
    pub(super) streams: Vec<Option<String>>,
    downloads: u32,
}

pub(super) struct Server {
    pub(super) url: String,
    world: Arc<World>,
}

struct World {
    url: String,
    plan: Plan,
    seen: Mutex<Seen>,
    /// Errors in requests that the API does not allow.
    wrong: Mutex<Vec<String>>,
}

struct Request {
    method: String,
    path: String,
    headers: BTreeMap<String, String>,
}

struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    /// Bytes of the body to send before the connection breaks.
    cut: Option<usize>,
}

impl Server {
    pub(super) fn start(plan: Plan) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mut seen = Seen::default();
        for number in &plan.arrived {
            seen.parts.insert(*number, piece(*number));
        }
        let world =
            Arc::new(World { url: url.clone(), plan, seen: Mutex::new(seen), wrong: Mutex::default() });
        let served = Arc::clone(&world);
        // Both end with the test process.
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let world = Arc::clone(&served);
                std::thread::spawn(move || world.serve(&connection));
            }
        });
        Self { url, world }
    }

    /// What was received; fails the test if any of it was invalid.
    pub(super) fn seen(&self) -> Seen {
        let wrong = self.world.wrong.lock().unwrap();
        assert!(wrong.is_empty(), "{wrong:?}");
        self.world.seen.lock().unwrap().clone()
    }
}

/// The bytes of a part.
fn piece(number: u32) -> Vec<u8> {
    content().chunks(PART).nth(number as usize - 1).unwrap().to_vec()
}

fn reply(status: u16, body: &Value) -> Reply {
    Reply { status, headers: vec![], body: body.to_string().into_bytes(), cut: None }
}

fn problem(status: u16, code: &str, detail: &str) -> Reply {
    reply(status, &json!({"code": code, "detail": detail, "title": "t", "status": status}))
}

impl World {
    /// Serves one request per connection.
    fn serve(&self, connection: &TcpStream) {
        let mut reader = BufReader::new(connection);
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if line.trim().is_empty() {
                break;
            }
            lines.push(line.trim().to_owned());
        }
        let mut first = lines[0].split(' ').map(str::to_owned);
        let request = Request {
            method: first.next().unwrap(),
            path: first.next().unwrap(),
            headers: lines[1..]
                .iter()
                .filter_map(|line| line.split_once(": "))
                .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
                .collect(),
        };
        let length = request.headers.get("content-length").map_or(0, |text| text.parse().unwrap());
        if self.breaks(&request) {
            let _ = reader.read_exact(&mut vec![0; length / 2]);
            return;
        }
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        let Some(reply) = self.answer(&request, &body) else { return };
        let mut text = format!("HTTP/1.1 {} X\r\nConnection: close\r\n", reply.status);
        if reply.status != 304 {
            text += &format!("Content-Length: {}\r\n", reply.body.len());
        }
        for (name, value) in &reply.headers {
            text += &format!("{name}: {value}\r\n");
        }
        let mut writer = connection;
        let _ = writer.write_all(format!("{text}\r\n").as_bytes());
        let _ = writer.write_all(&reply.body[..reply.cut.unwrap_or(reply.body.len())]);
    }

    fn has(&self, fault: Fault) -> bool {
        self.plan.faults.contains(&fault)
    }

    fn wrong(&self, text: String) {
        self.wrong.lock().unwrap().push(text);
    }

    /// Whether the connection breaks in the middle of this body.
    fn breaks(&self, request: &Request) -> bool {
        let Some(number) = part_number(&request.path).filter(|_| request.method == "PUT") else {
            return false;
        };
        let mut seen = self.seen.lock().unwrap();
        let tries = seen.puts.entry(number).or_default();
        *tries += 1;
        *tries == 1 && self.has(Fault::BreakPart(number))
    }

    /// `None` when the reply is lost.
    fn answer(&self, request: &Request, body: &[u8]) -> Option<Reply> {
        let is_api = request.path.starts_with("/api/");
        let token = request.headers.get("authorization").map(String::as_str);
        if is_api != (token == Some("Bearer a-token-that-nobody-sees-in-any-output"))
            || (!is_api && token.is_some())
        {
            self.wrong(format!("token at {} {}", request.method, request.path));
        }
        let order = self.seen.lock().unwrap().order["job_id"].as_str().unwrap_or_default().to_owned();
        let path = request.path.replace(&format!("/api/jobs/{order}"), "JOB");
        match (request.method.as_str(), path.as_str()) {
            ("POST", "/api/jobs") => self.create(body),
            ("GET", "JOB/uploads") => Some(reply(200, &self.upload())),
            ("GET", path) if path.starts_with("JOB/uploads/parts?from=") => {
                Some(reply(200, &self.parts(path.rsplit('=').next().unwrap().parse().unwrap())))
            }
            ("POST", "JOB/uploads/complete") => Some(self.complete()),
            ("GET", "JOB/status") => Some(self.status(request)),
            ("GET", "JOB/events") => Some(self.events(request)),
            ("POST", "JOB/downloaded") => {
                self.seen.lock().unwrap().acknowledged = true;
                Some(Reply { status: 204, headers: vec![], body: vec![], cut: None })
            }
            ("DELETE", "JOB") => {
                self.seen.lock().unwrap().deleted = true;
                Some(reply(200, &json!({"state": "CANCELLED"})))
            }
            ("PUT", path) if path.starts_with("/store/") => Some(self.put(request, body)),
            ("GET", path) if path.starts_with("/store/result") => Some(self.result(request)),
            _ => {
                self.wrong(format!("{} {}", request.method, request.path));
                Some(problem(404, "no.such_code", "no such path"))
            }
        }
    }

    fn create(&self, body: &[u8]) -> Option<Reply> {
        let order: Value = serde_json::from_slice(body).unwrap();
        let first = {
            let mut seen = self.seen.lock().unwrap();
            seen.creates += 1;
            if self.has(Fault::NotFound) {
                return Some(problem(404, "no.such_code", "nothing of the kind"));
            }
            if self.has(Fault::Older) && order.get("accept_encoding").is_some() {
                return Some(problem(400, "request.invalid", "unknown field `accept_encoding`"));
            }
            if seen.creates == 1 && self.has(Fault::BusyAtCreate) {
                let mut busy = problem(503, "infra.store_unavailable", "busy");
                busy.headers.push(("Retry-After", "1".to_owned()));
                return Some(busy);
            }
            if seen.creates == 1 && self.has(Fault::QuotaAtCreate) {
                let mut refused = problem(429, "api.quota", "you have 2 jobs in flight");
                refused.headers.push(("Retry-After", "1".to_owned()));
                return Some(refused);
            }
            let first = seen.order.is_null();
            if seen.order != order {
                seen.orders += 1;
            }
            seen.order = order;
            first
        };
        if first && self.has(Fault::LoseCreateReply) {
            return None;
        }
        let status = if first && self.plan.arrived.is_empty() { 201 } else { 200 };
        Some(reply(
            status,
            &json!({"job_id": "x", "state": "PENDING", "status_url": "/x", "upload": self.upload()}),
        ))
    }

    fn sign(&self, what: &str) -> String {
        let mut seen = self.seen.lock().unwrap();
        seen.signed += 1;
        format!("{}/store/{what}?signature={}", self.url, seen.signed)
    }

    fn upload(&self) -> Value {
        match self.plan.size {
            Size::Single => json!({
                "kind": "single", "method": "PUT", "url": self.sign("1"), "expires_at": "x",
                "headers": {"x-signed": "exactly", "content-length": content().len().to_string()},
            }),
            Size::InParts => {
                let batch = self.parts(1);
                json!({
                    "kind": "multipart", "part_size_bytes": PART, "part_count": 4,
                    "parts": batch["parts"], "next_part_number": batch["next_part_number"],
                })
            }
        }
    }

    /// Two parts per batch.
    fn parts(&self, from: u32) -> Value {
        let parts: Vec<Value> = (from..=4)
            .take(2)
            .map(|number| {
                let size = piece(number).len();
                let url = self.sign(&number.to_string());
                json!({"part_number": number, "method": "PUT", "url": url, "size_bytes": size,
                    "headers": {"x-signed": "exactly"}, "expires_at": "x"})
            })
            .collect();
        let seen = self.seen.lock().unwrap();
        let uploaded: Vec<Value> = seen
            .parts
            .iter()
            .map(|(number, bytes)| json!({"part_number": number, "size_bytes": bytes.len(), "etag": "e"}))
            .collect();
        json!({"parts": parts, "uploaded": uploaded, "next_part_number": (from + 2 <= 4).then_some(from + 2)})
    }

    fn put(&self, request: &Request, body: &[u8]) -> Reply {
        let number = part_number(&request.path).unwrap();
        if request.headers.get("x-signed").map(String::as_str) != Some("exactly") {
            self.wrong(format!("headers of part {number}"));
        }
        let mut seen = self.seen.lock().unwrap();
        if seen.puts[&number] == 1 && self.has(Fault::ExpirePart(number)) {
            return Reply { status: 403, headers: vec![], body: b"<Error/>".to_vec(), cut: None };
        }
        if self.plan.size == Size::Single {
            seen.object = body.to_vec();
        }
        seen.parts.insert(number, body.to_vec());
        Reply { status: 200, headers: vec![], body: vec![], cut: None }
    }

    fn complete(&self) -> Reply {
        let mut seen = self.seen.lock().unwrap();
        seen.completions += 1;
        if seen.completions == 1 && self.has(Fault::DropUpload) {
            seen.parts.clear();
            return problem(409, "upload.incomplete", "0 of 301234 bytes have arrived");
        }
        seen.object = seen.parts.values().flatten().copied().collect();
        reply(200, &json!({"state": "PENDING"}))
    }

    fn events(&self, request: &Request) -> Reply {
        let last = request.headers.get("last-event-id").cloned();
        let mut seen = self.seen.lock().unwrap();
        seen.streams.push(last.clone());
        let all = match self.plan.events {
            Events::Missing => return problem(404, "request.not_found", "no such path"),
            Events::TooMany => return problem(429, "request.rate_limited", "too many"),
            Events::Empty => 0,
            Events::CutOnce if seen.streams.len() == 1 => 2,
            Events::CutOnce | Events::Whole => 4,
        };
        let first = last.map_or(0, |id| id.parse::<usize>().unwrap() + 1);
        let mut body = "retry: 3000\n\n: beat\n\n".to_owned();
        let states =
            [("PENDING", ""), ("PROCESSING", "fetch"), ("PROCESSING", "convert"), ("COMPLETED", "wipe")];
        for (id, (state, stage)) in states.iter().enumerate().take(all).skip(first) {
            let data = json!({"state": state, "stage": stage, "progress": 0.5, "download": null});
            let name = if id == 3 { "ended" } else { "status" };
            body += &format!("id: {id}\nevent: {name}\ndata: {data}\n\n");
        }
        if all == 4 {
            // The status says so from now on.
            seen.polls = 6;
        }
        let headers = vec![("Content-Type", "text/event-stream".to_owned())];
        Reply { status: 200, headers, body: body.into_bytes(), cut: None }
    }

    /// Each state is reported once, and once more as unchanged.
    fn status(&self, request: &Request) -> Reply {
        let polls = {
            let mut seen = self.seen.lock().unwrap();
            seen.polls += 1;
            seen.polls - 1
        };
        let hang = self.has(Fault::Hang);
        let step = if hang { (polls / 2).min(1) } else { (polls / 2).min(3) };
        let etag = format!("\"{step}\"");
        if request.headers.get("if-none-match") == Some(&etag) && step < 3 {
            self.seen.lock().unwrap().not_modified += 1;
            return Reply { status: 304, headers: vec![("ETag", etag)], body: vec![], cut: None };
        }
        let (state, stage) = match step {
            0 => ("PENDING", Value::Null),
            1 => ("PROCESSING", json!("fetch")),
            2 => ("PROCESSING", json!("convert")),
            _ if self.has(Fault::JobFails) => ("FAILED", json!("convert")),
            _ => ("COMPLETED", json!("wipe")),
        };
        let mut body = json!({
            "job_id": "x", "state": state, "stage": stage, "progress": 0.5, "attempt": 1,
            "stage_millis": {"convert": 7}, "failure": null, "download": null,
            "poll_after_ms": if step < 3 { json!(30) } else { Value::Null },
        });
        if state == "FAILED" {
            body["failure"] =
                json!({"code": "limit.memory", "message": "the engine needed more", "stage": "convert"});
        }
        if state == "COMPLETED" && !self.has(Fault::GoneResult) {
            let wrong = self.has(Fault::WrongDigest);
            let digest = Sha256::digest(if wrong { b"other" } else { RESULT });
            let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
            let response = self.response();
            let stored: String = Sha256::digest(&response).iter().map(|byte| format!("{byte:02x}")).collect();
            body["download"] = json!({
                "method": "GET", "url": self.sign("result"), "headers": {}, "expires_at": "x",
                "size_bytes": RESULT.len(), "sha256": digest, "file_name": self.plan.served_name,
            });
            if !self.has(Fault::Older) {
                body["download"]["content_encoding"] = match () {
                    () if self.has(Fault::OtherCoding) => json!("br"),
                    () if self.is_encoded() => json!("gzip"),
                    () => Value::Null,
                };
                body["download"]["stored_bytes"] = json!(response.len());
                body["download"]["stored_sha256"] = json!(stored);
            }
        }
        let mut reply = reply(200, &body);
        reply.headers.push(("ETag", etag));
        reply
    }

    /// Whether the client asked for gzip, and gets it.
    fn is_encoded(&self) -> bool {
        let accepts = self.seen.lock().unwrap().order["accept_encoding"] == json!(["gzip"]);
        self.plan.gzip && accepts
    }

    /// The whole body of the response with the result.
    fn response(&self) -> Vec<u8> {
        if !self.is_encoded() {
            return RESULT.to_vec();
        }
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
        encoder.write_all(RESULT).unwrap();
        if self.has(Fault::BombGzip) {
            encoder.write_all(b"more").unwrap();
        }
        let mut bytes = encoder.finish().unwrap();
        if self.has(Fault::CutGzip) {
            bytes.truncate(bytes.len() - 5);
        }
        if self.has(Fault::LongGzip) {
            let again = bytes.clone();
            bytes.extend(&again[..100]);
        }
        bytes
    }

    fn result(&self, request: &Request) -> Reply {
        let (mut whole, is_encoded) = (self.response(), self.is_encoded());
        if self.has(Fault::ShortResult) {
            whole.truncate(RESULT.len() / 2);
        }
        let mut seen = self.seen.lock().unwrap();
        seen.downloads += 1;
        let mut begin = 0;
        if let Some(range) = request.headers.get("range") {
            seen.ranges.push(range.clone());
            let text = range.trim_start_matches("bytes=").trim_end_matches('-');
            begin = if self.plan.ranges { text.parse().unwrap() } else { 0 };
        }
        if seen.downloads == 2 && self.has(Fault::ExpireDownload) {
            return Reply { status: 403, headers: vec![], body: b"<Error/>".to_vec(), cut: None };
        }
        if begin >= whole.len() {
            return Reply { status: 416, headers: vec![], body: b"<Error/>".to_vec(), cut: None };
        }
        let cut = match () {
            () if self.has(Fault::DripResult) => Some(1),
            () if seen.downloads == 1 && self.has(Fault::BreakDownload) => Some(whole.len() / 2),
            () => None,
        };
        let (status, mut headers) = match begin {
            0 => (200, vec![]),
            _ => (206, vec![("Content-Range", format!("bytes {begin}-{}/{}", whole.len() - 1, whole.len()))]),
        };
        if is_encoded {
            headers.push(("Content-Encoding", "gzip".to_owned()));
        }
        Reply { status, headers, body: whole[begin..].to_vec(), cut }
    }
}

/// The part number in a path of the store.
fn part_number(path: &str) -> Option<u32> {
    path.strip_prefix("/store/")?.split('?').next()?.parse().ok()
}
