//! Follows a job by its event stream (HTML, 9.2 "Server-sent events").
//!
//! The stream only says when to ask: its end is followed by a request for the status. Where there is none, at
//! an older server or one that has too many, the caller polls instead.

use super::client::Client;
use super::wire::Status;
use cadmill_core::domain::failure::Failure;
use std::io::{BufRead, BufReader, Read};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;
use ureq::http::{HeaderName, Response, StatusCode, header};
use ureq::typestate::WithoutBody;
use ureq::{Body, RequestBuilder};

/// Streams that bring nothing, one after the other, until the job is polled instead.
const TRIES: u32 = 3;

/// Pause before a stream that was cut is opened again; longer after each that brought nothing.
const PAUSE: Duration = Duration::from_millis(500);

/// Longest line that is read, in bytes.
const MAX_LINE: u64 = 1 << 20;

/// How often a cancellation is looked for.
const GLANCE: Duration = Duration::from_millis(50);

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Calls `saw` for each change of the job. Returns when the job has ended, or when the server does not say
/// whether it has.
///
/// # Errors
/// `job.cancelled` if the user cancelled.
pub(super) fn until_end(client: &Client, path: &str, saw: &mut dyn FnMut(&Status)) -> Result<(), Failure> {
    let (mut last, mut vain) = (None::<String>, 0);
    loop {
        let mut request = client.request(path).header(header::ACCEPT, "text/event-stream");
        if let Some(last) = &last {
            request = request.header(LAST_EVENT_ID, last);
        }
        vain += 1;
        for said in open(request) {
            match said {
                Said::Nothing => client.check()?,
                Said::Refused => return Ok(()),
                Said::Event(event) => {
                    last = event.id.or(last);
                    if let Ok(status) = serde_json::from_str::<Status>(&event.data) {
                        vain = 0;
                        saw(&status);
                    }
                    if event.name == "ended" {
                        return Ok(());
                    }
                }
            }
        }
        if vain >= TRIES {
            return Ok(());
        }
        client.wait(PAUSE * vain.max(1))?;
    }
}

/// What a stream says.
enum Said {
    Event(Event),
    /// The server opens no stream.
    Refused,
    /// Nothing for a while.
    Nothing,
}

/// Makes the request and reads its response on a thread, which blocks.
fn open(request: RequestBuilder<WithoutBody>) -> impl Iterator<Item = Said> {
    let (sender, receiver) = sync_channel(16);
    // If it cannot be started, the stream ends at once.
    let _ = std::thread::Builder::new().name("cadmill-events".to_owned()).spawn(move || {
        let Ok(response) = request.call() else { return };
        match is_stream(&response) {
            true => read(response, &sender),
            false if response.status().is_server_error() => {}
            false => drop(sender.send(Said::Refused)),
        }
    });
    let next = |receiver: &Receiver<Said>| match receiver.recv_timeout(GLANCE) {
        Ok(said) => Some(said),
        Err(RecvTimeoutError::Timeout) => Some(Said::Nothing),
        Err(RecvTimeoutError::Disconnected) => None,
    };
    std::iter::from_fn(move || next(&receiver))
}

fn is_stream(response: &Response<Body>) -> bool {
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    response.status() == StatusCode::OK && kind.is_some_and(|kind| kind.starts_with("text/event-stream"))
}

fn read(response: Response<Body>, sender: &SyncSender<Said>) {
    let body = response.into_body().into_with_config().limit(u64::MAX).reader();
    for event in events(BufReader::new(body)) {
        if sender.send(Said::Event(event)).is_err() {
            return;
        }
    }
}

/// An event.
#[derive(Debug, Default, PartialEq)]
struct Event {
    name: String,
    data: String,
    id: Option<String>,
}

/// The events of a stream, until it ends, fails or has a line that is too long.
fn events(mut stream: impl BufRead) -> impl Iterator<Item = Event> {
    let line = move || {
        let mut line = Vec::new();
        let bytes = stream.by_ref().take(MAX_LINE).read_until(b'\n', &mut line).ok()?;
        if bytes == 0 || line.pop() != Some(b'\n') {
            return None;
        }
        String::from_utf8(line).ok()
    };
    let mut lines = std::iter::from_fn(line);
    std::iter::from_fn(move || {
        let mut event = Event::default();
        loop {
            let line = lines.next()?;
            let line = line.strip_suffix('\r').unwrap_or(&line);
            if line.is_empty() {
                match event.data.is_empty() {
                    // A comment, or the time after which to try again.
                    true => event = Event::default(),
                    false => return Some(event),
                }
            }
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "event" => event.name = value.to_owned(),
                "data" if event.data.is_empty() => event.data = value.to_owned(),
                "data" => event.data.extend(["\n", value]),
                "id" => event.id = Some(value.to_owned()),
                _ => {}
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Vec<(String, String, Option<String>)> {
        // One byte at a time, so that no line comes as a whole.
        let stream = BufReader::with_capacity(1, text.as_bytes());
        events(stream).map(|event| (event.name, event.data, event.id)).collect()
    }

    #[test]
    fn events_are_read_and_comments_are_not() {
        let event = |name: &str, data: &str, id: Option<&str>| {
            (name.to_owned(), data.to_owned(), id.map(str::to_owned))
        };
        assert_eq!(
            told(
                "retry: 3000\n\n: beat\n\nid: 7\nevent: status\ndata: {\"a\": 1}\n\n: beat\n\nevent:ended\r\ndata:x\r\n\r\n"
            ),
            [event("status", "{\"a\": 1}", Some("7")), event("ended", "x", None)]
        );
        assert_eq!(told("data: a\ndata: b\n\n"), [event("", "a\nb", None)]);
        // An event that was cut is none.
        for cut in ["", "data: x", "data: x\n", "event: ended\ndata: x\n", "\u{0}\n\n"] {
            assert_eq!(told(cut), [], "{cut:?}");
        }
        let long = format!("data: {}\n\ndata: x\n\n", "x".repeat(1 << 20));
        assert_eq!(told(&long).len(), 0);
    }
}
