//! Uploads the file: with one request, or in parts on several threads.
//!
//! A failed request is retried with a fresh URL, whatever the cause: an interrupted connection, an
//! expired URL and a temporary failure of the store look alike from here. Parts that have arrived
//! are not sent again. When the server reports that it no longer expects an upload, the file has
//! arrived: only the reply was lost.

use super::client::{Client, describe, is_conflict, pause};
use super::show::Show;
use super::source::Source;
use super::wire::{InParts, Part, Parts, Request, Upload};
use cadmill_core::domain::failure::{Failure, FailureCode};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use ureq::SendBody;
use ureq::http::StatusCode;

/// Attempts of one request before it fails.
const TRIES: u32 = 6;

/// How often the parts are sent before the upload fails. The store may lose an upload in parts.
const ROUNDS: u32 = 3;

/// The parameters of an upload.
pub(super) struct Uploader<'a> {
    pub(super) client: &'a Client,
    pub(super) source: &'a Source,
    pub(super) show: &'a Show,
    /// Path of the job in the API.
    pub(super) job: &'a str,
    pub(super) threads: u32,
}

impl Uploader<'_> {
    /// Uploads the file. `is_new` means that nothing of it can have arrived yet.
    pub(super) fn run(&self, upload: Upload, is_new: bool) -> Result<(), Failure> {
        match upload {
            Upload::Single(request) => self.single(request),
            Upload::Multipart(parts) => self.in_parts(parts, is_new),
        }
    }

    fn single(&self, mut request: Request) -> Result<(), Failure> {
        let size = self.source.size;
        let sent = |bytes: u64| self.show.progress("upload", bytes as f64 / size as f64);
        for tries in 1.. {
            let Err(reason) = self.put(&request, 0, size, &sent) else { break };
            self.again(tries, "the upload", &reason)?;
            match self.client.get(&format!("{}/uploads", self.job), None) {
                Ok(answer) => match answer.json()? {
                    Upload::Single(fresh) => request = fresh,
                    Upload::Multipart(parts) => return self.in_parts(parts, false),
                },
                Err(failure) if is_conflict(&failure) => break,
                Err(failure) => return Err(failure),
            }
        }
        Ok(())
    }

    /// Waits before the next attempt; fails after the last one.
    fn again(&self, tries: u32, what: &str, reason: &str) -> Result<(), Failure> {
        self.client.check()?;
        if tries >= TRIES {
            let message = format!("{what} failed {tries} times; last error: {reason}");
            return Err(Failure::new(FailureCode::StoreUnavailable, message));
        }
        self.client.wait(pause(tries, None))
    }

    /// Sends a range of the file to a presigned URL. Returns the reason on failure.
    fn put(&self, request: &Request, offset: u64, length: u64, sent: &dyn Fn(u64)) -> Result<(), String> {
        let mut put = self.client.agent.put(&request.url);
        for (name, value) in &request.headers {
            // These two follow from the URL and the body.
            if !name.eq_ignore_ascii_case("host") && !name.eq_ignore_ascii_case("content-length") {
                put = put.header(name, value);
            }
        }
        put = put.header("content-length", length.to_string());
        let mut piece = self.source.piece(offset, length, self.client, sent);
        let response = put.send(SendBody::from_reader(&mut piece)).map_err(|error| describe(&error))?;
        match response.status() {
            status if status.is_success() => Ok(()),
            // The request must not replace an object, and one exists: ours.
            StatusCode::PRECONDITION_FAILED => Ok(()),
            status => Err(format!("the store returned status {}", status.as_u16())),
        }
    }

    /// Sends the parts and completes the upload. If something is missing then, it is sent again: the
    /// missing parts, or all parts of a new upload.
    fn in_parts(&self, mut upload: InParts, is_new: bool) -> Result<(), Failure> {
        for round in 1.. {
            if !self.send(upload, is_new && round == 1)? {
                break;
            }
            match self.client.post(&format!("{}/uploads/complete", self.job), None::<&()>) {
                Err(failure) if failure.code == FailureCode::UploadIncomplete && round < ROUNDS => {
                    self.client.wait(pause(round, None))?;
                }
                completed => return completed.map(drop),
            }
            match self.client.get(&format!("{}/uploads", self.job), None) {
                Ok(answer) => match answer.json()? {
                    Upload::Multipart(parts) => upload = parts,
                    Upload::Single(request) => return self.single(request),
                },
                Err(failure) if is_conflict(&failure) => break,
                Err(failure) => return Err(failure),
            }
        }
        Ok(())
    }

    /// Sends the parts. False when the server no longer expects any.
    fn send(&self, upload: InParts, is_new: bool) -> Result<bool, Failure> {
        let known = Mutex::new(Known::default());
        lock(&known).add(upload.parts);
        if !is_new && !self.refresh(&known, 1)? {
            return Ok(false);
        }
        let pool = Pool {
            part_bytes: upload.part_size_bytes.max(1),
            count: upload.part_count,
            known,
            next: AtomicU32::new(1),
            sent: AtomicU64::new(0),
            stop: AtomicBool::new(false),
            over: AtomicBool::new(false),
        };
        let expected = self.source.size.div_ceil(pool.part_bytes);
        if expected != u64::from(pool.count) {
            let message = "the server's number of parts does not match the file size";
            return Err(Failure::new(FailureCode::Io, message));
        }
        let first_failure = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..self.threads.min(pool.count)).map(|_| scope.spawn(|| self.work(&pool))).collect();
            let results = threads.into_iter().map(|thread| {
                let panicked = || Failure::new(FailureCode::Io, "a thread of the upload has panicked");
                thread.join().unwrap_or_else(|_| Err(panicked()))
            });
            // Joins all threads, and reports the first failure.
            results.collect::<Vec<_>>().into_iter().find_map(Result::err)
        });
        if let Some(failure) = first_failure {
            return Err(failure);
        }
        Ok(!pool.over.load(Ordering::Relaxed))
    }

    /// One thread: uploads parts until none are left.
    fn work(&self, pool: &Pool) -> Result<(), Failure> {
        loop {
            let number = pool.next.fetch_add(1, Ordering::Relaxed);
            let stopped = pool.stop.load(Ordering::Relaxed) || pool.over.load(Ordering::Relaxed);
            if number > pool.count || stopped {
                return Ok(());
            }
            let result = self.part(pool, number);
            if result.is_err() {
                pool.stop.store(true, Ordering::Relaxed);
                return result;
            }
        }
    }

    fn part(&self, pool: &Pool, number: u32) -> Result<(), Failure> {
        let offset = u64::from(number - 1) * pool.part_bytes;
        let length = pool.part_bytes.min(self.source.size - offset);
        let total = self.source.size as f64;
        let mut tries = 0;
        while !lock(&pool.known).has(number, length) {
            let Some(part) = lock(&pool.known).parts.get(&number).cloned() else {
                if !self.refresh(&pool.known, number)? {
                    pool.over.store(true, Ordering::Relaxed);
                    return Ok(());
                }
                if !lock(&pool.known).parts.contains_key(&number) {
                    let message = format!("the server returned no URL for part {number}");
                    return Err(Failure::new(FailureCode::Io, message));
                }
                continue;
            };
            if part.size_bytes != length {
                let message = format!("the server's size of part {number} does not match the file");
                return Err(Failure::new(FailureCode::Io, message));
            }
            let before = pool.sent.load(Ordering::Relaxed);
            let sent = |bytes: u64| self.show.progress("upload", (before + bytes) as f64 / total);
            let Err(reason) = self.put(&part.request, offset, length, &sent) else { break };
            tries += 1;
            self.again(tries, &format!("the upload of part {number}"), &reason)?;
            // The next iteration requests a fresh URL, and checks whether the part arrived after
            // all.
            lock(&pool.known).parts.remove(&number);
        }
        let sent = pool.sent.fetch_add(length, Ordering::Relaxed) + length;
        self.show.progress("upload", sent as f64 / total);
        Ok(())
    }

    /// Requests fresh URLs from this part on, and the list of uploaded parts. False when the server
    /// no longer expects parts.
    fn refresh(&self, known: &Mutex<Known>, from: u32) -> Result<bool, Failure> {
        match self.client.get(&format!("{}/uploads/parts?from={from}", self.job), None) {
            Ok(answer) => {
                let Parts { parts, uploaded } = answer.json()?;
                let mut known = lock(known);
                known.add(parts);
                known.arrived = uploaded.iter().map(|part| (part.part_number, part.size_bytes)).collect();
                Ok(true)
            }
            Err(failure) if is_conflict(&failure) => Ok(false),
            Err(failure) => Err(failure),
        }
    }
}

fn lock(known: &Mutex<Known>) -> MutexGuard<'_, Known> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

/// State shared by the threads of an upload.
struct Pool {
    part_bytes: u64,
    count: u32,
    known: Mutex<Known>,
    /// The next part that no thread has taken.
    next: AtomicU32,
    /// Bytes of finished parts.
    sent: AtomicU64,
    stop: AtomicBool,
    /// The server no longer expects parts.
    over: AtomicBool,
}

/// The server's information on the parts.
#[derive(Default)]
struct Known {
    parts: BTreeMap<u32, Part>,
    /// Sizes of the parts that have arrived.
    arrived: BTreeMap<u32, u64>,
}

impl Known {
    fn add(&mut self, parts: Vec<Part>) {
        self.parts.extend(parts.into_iter().map(|part| (part.part_number, part)));
    }

    /// Whether the part has arrived completely.
    fn has(&self, number: u32, length: u64) -> bool {
        self.arrived.get(&number) == Some(&length)
    }
}
