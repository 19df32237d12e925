//! Downloads the result into an unnamed file, which is linked under its name once size and SHA-256
//! match the server's values.

use super::client::{Client, describe, pause};
use super::decode::Received;
use super::show::Show;
use super::wire::Download;
use cadmill_converter::publish::destination::{Incoming, Published};
use cadmill_core::domain::failure::{Failure, FailureCode};
use std::io::Read;
use ureq::http::{StatusCode, header};

/// Attempts without progress, from the start or resumed, before the download fails.
const TRIES: u32 = 6;

/// Bytes of the response, never received before, that are progress.
const PROGRESS: u64 = 64 << 10;

/// A result that was downloaded.
pub(super) struct Fetched {
    pub(super) published: Published,
    /// Size of the response, in bytes: less than the result's if it was encoded.
    pub(super) response_bytes: u64,
}

/// Downloads the result. `fresh` returns a new URL when one has expired.
///
/// An encoded result is decoded while it arrives. An interrupted response is resumed within the
/// encoded bytes, so the pieces are joined before they are decoded.
///
/// # Errors
/// `infra.io` when the content does not match the server's values; no file is left then.
pub(super) fn fetch(
    client: &Client,
    show: &Show,
    mut download: Download,
    mut incoming: Incoming,
    fresh: impl Fn() -> Result<Download, Failure>,
) -> Result<Fetched, Failure> {
    let mut received = Received::begin(&mut incoming, &download)?;
    let mut tries = 0;
    // How far the download was at the last progress. A store that ends early may be asked from the
    // start again, and one that sends a few bytes each time must not be asked forever.
    let mut furthest = 0;
    while received.bytes < download.response_bytes() {
        client.check()?;
        let reason = match receive(client, show, &download, &mut incoming, &mut received)? {
            Ok(()) => "the response was too short".to_owned(),
            Err(reason) => reason,
        };
        if received.bytes >= download.response_bytes() {
            break;
        }
        if received.bytes >= furthest + PROGRESS {
            (tries, furthest) = (1, received.bytes);
        } else {
            tries += 1;
        }
        if tries >= TRIES {
            let message = format!("the download failed {tries} times; last error: {reason}");
            return Err(Failure::new(FailureCode::StoreUnavailable, message));
        }
        client.wait(pause(tries, None))?;
        let next = fresh()?;
        let is_same = (next.size_bytes, &next.sha256) == (download.size_bytes, &download.sha256)
            && next.response_bytes() == download.response_bytes()
            && next.content_encoding == download.content_encoding;
        download = next;
        if !is_same {
            received.restart(&mut incoming, &download)?;
            furthest = 0;
        }
    }
    let response_bytes = received.bytes;
    let (bytes, sha256) = received.end()?;
    let expected = download.sha256.as_ref().map(|digest| digest.to_ascii_lowercase());
    if bytes != download.size_bytes || expected.is_some_and(|expected| expected != sha256) {
        let message =
            "the download does not match the size or SHA-256 that the server announced; it was discarded";
        return Err(Failure::new(FailureCode::Io, message));
    }
    Ok(Fetched { published: Published { path: incoming.publish()?, bytes, sha256 }, response_bytes })
}

/// One request: from the beginning, or resumed where the last one was interrupted. The inner error
/// is retryable.
fn receive(
    client: &Client,
    show: &Show,
    download: &Download,
    incoming: &mut Incoming,
    received: &mut Received,
) -> Result<Result<(), String>, Failure> {
    let mut get = client.agent.get(&download.request.url);
    for (name, value) in &download.request.headers {
        if !name.eq_ignore_ascii_case("host") {
            get = get.header(name, value);
        }
    }
    if received.bytes > 0 {
        get = get.header(header::RANGE, format!("bytes={}-", received.bytes));
    }
    let response = match get.call() {
        Ok(response) => response,
        Err(error) => return Ok(Err(describe(&error))),
    };
    match response.status() {
        StatusCode::PARTIAL_CONTENT if received.bytes > 0 => {
            let range = response.headers().get(header::CONTENT_RANGE).and_then(|v| v.to_str().ok());
            let begins = format!("bytes {}-", received.bytes);
            if !range.is_some_and(|range| range.starts_with(&begins)) {
                received.restart(incoming, download)?;
                return Ok(Err("the store sent a different range than requested".to_owned()));
            }
        }
        // The server does not support ranges: start over.
        StatusCode::OK if received.bytes > 0 => received.restart(incoming, download)?,
        StatusCode::OK => {}
        StatusCode::RANGE_NOT_SATISFIABLE => {
            received.restart(incoming, download)?;
            return Ok(Err("the stored object is shorter than what was downloaded".to_owned()));
        }
        status => return Ok(Err(format!("the store returned status {}", status.as_u16()))),
    }
    let mut body = response.into_body().into_with_config().limit(u64::MAX).reader();
    let mut buffer = vec![0; 256 << 10];
    loop {
        client.check()?;
        let n = match body.read(&mut buffer) {
            Ok(0) => return Ok(Ok(())),
            Ok(n) => n,
            Err(_) => return Ok(Err("connection lost".to_owned())),
        };
        if received.bytes + n as u64 > download.response_bytes() {
            let message = "the download is larger than the server announced; it was discarded";
            return Err(Failure::new(FailureCode::Io, message));
        }
        received.add(&buffer[..n])?;
        show.progress("download", received.bytes as f64 / download.response_bytes() as f64);
    }
}
