//! Time limits for clients, measured where their bytes pass.
//!
//! A connection waits for a request, reads its head, or is busy with it. The first two phases
//! have a time limit. While the connection is busy, its body and its answer each have an
//! allowance, which shrinks while this side waits for the client and grows with each byte that
//! passes, up to its initial value. So a transfer of any size continues as long as its average
//! rate is above the minimum and it never pauses for longer than the allowance. Time in which
//! this side is slow is not charged to the client.

use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// Time limits for the client of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// From the first byte of a request, or from the start of the connection, to the
    /// end of the head.
    pub head: Duration,
    /// From the end of an answer to the first byte of the next request.
    pub idle: Duration,
    /// The allowance of a body and of an answer: the longest pause.
    pub rest: Duration,
    /// The minimum rate of a body and of an answer, in bytes a second; at least 1.
    pub bytes_per_second: u64,
}

impl Times {
    /// In the reserve: one request, sent at once.
    pub const RESERVED: Self = Self {
        head: Duration::from_secs(2),
        idle: Duration::from_secs(2),
        rest: Duration::from_secs(5),
        bytes_per_second: 16 << 10,
    };
}

/// Why a connection was ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Late {
    Head,
    Idle,
    Body,
    Answer,
}

impl Late {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Head => "the head of a request did not arrive in time",
            Self::Idle => "no request arrived in time",
            Self::Body => "the body of a request arrived too slowly",
            Self::Answer => "the response was read too slowly",
        }
    }
}

/// The clock of one connection.
pub(super) struct Watch {
    times: Times,
    state: Mutex<State>,
    changed: Notify,
}

struct State {
    phase: Phase,
    /// Deadline of the phase, if it has one.
    until: Instant,
    body: Allowance,
    answer: Allowance,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Idle,
    Head,
    Busy,
}

/// Time that a client may still keep this side waiting.
struct Allowance {
    left: Duration,
    /// Start of the current wait.
    since: Option<Instant>,
}

impl Allowance {
    fn wait(&mut self, now: Instant) -> bool {
        let began = self.since.is_none();
        self.since.get_or_insert(now);
        began
    }

    fn pass(&mut self, bytes: u64, times: &Times, now: Instant) {
        if let Some(since) = self.since.take() {
            self.left = self.left.saturating_sub(now.saturating_duration_since(since));
        }
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(times.bytes_per_second.max(1));
        let earned = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        self.left = self.left.saturating_add(earned).min(times.rest);
    }

    fn end(&self) -> Option<Instant> {
        self.since.map(|since| since + self.left)
    }
}

impl Watch {
    pub(super) fn new(times: Times) -> Self {
        let now = Instant::now();
        let whole = || Allowance { left: times.rest, since: None };
        let state = State {
            // No byte has arrived yet, but the limit for a head applies.
            phase: Phase::Head,
            until: now + times.head,
            body: whole(),
            answer: whole(),
        };
        Self { times, state: Mutex::new(state), changed: Notify::new() }
    }

    /// Completes when the client has exceeded a limit.
    pub(super) async fn expired(&self) -> Late {
        loop {
            let next = self.lock().next();
            let Some((late, end)) = next else {
                self.changed.notified().await;
                continue;
            };
            if Instant::now() >= end {
                return late;
            }
            tokio::select! {
                () = sleep_until(end) => {}
                () = self.changed.notified() => {}
            }
        }
    }

    /// The head of a request is complete.
    pub(super) fn request_began(&self) {
        self.lock().phase = Phase::Busy;
        self.changed.notify_one();
    }

    /// The answer has been produced; the part of it that is not sent yet is waited for first.
    fn answered(&self) {
        let mut state = self.lock();
        state.body.since = None;
        (state.phase, state.until) = (Phase::Idle, Instant::now() + self.times.idle);
        self.changed.notify_one();
    }

    fn bytes_came(&self) {
        let mut state = self.lock();
        if state.phase == Phase::Idle {
            (state.phase, state.until) = (Phase::Head, Instant::now() + self.times.head);
            self.changed.notify_one();
        }
    }

    fn body(&self, passed: Option<u64>) {
        let (mut state, now) = (self.lock(), Instant::now());
        match passed {
            Some(bytes) => state.body.pass(bytes, &self.times, now),
            None if state.body.wait(now) => self.changed.notify_one(),
            None => {}
        }
    }

    fn answer(&self, passed: Option<u64>) {
        let (mut state, now) = (self.lock(), Instant::now());
        match passed {
            Some(bytes) => {
                let waited = state.answer.since.is_some();
                state.answer.pass(bytes, &self.times, now);
                // The rest of an answer is sent after the answer was produced.
                if waited && state.phase == Phase::Idle {
                    state.until = now + self.times.idle;
                    self.changed.notify_one();
                }
            }
            None if state.answer.wait(now) => self.changed.notify_one(),
            None => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The limit that expires next, and when.
    fn next(&self) -> Option<(Late, Instant)> {
        let answer = self.answer.end();
        let phase = match self.phase {
            Phase::Idle if answer.is_some() => None,
            Phase::Idle => Some((Late::Idle, self.until)),
            Phase::Head => Some((Late::Head, self.until)),
            Phase::Busy => None,
        };
        let body = self.body.end().filter(|_| self.phase == Phase::Busy);
        let ends = [phase, body.map(|end| (Late::Body, end)), answer.map(|end| (Late::Answer, end))];
        ends.into_iter().flatten().min_by_key(|(_, end)| *end)
    }
}

/// A stream whose bytes are watched.
pub(super) struct Watched<T> {
    inner: T,
    watch: Arc<Watch>,
}

impl<T> Watched<T> {
    pub(super) fn new(inner: T, watch: Arc<Watch>) -> Self {
        Self { inner, watch }
    }

    fn wrote(&self, polled: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &polled {
            Poll::Pending => self.watch.answer(None),
            Poll::Ready(Ok(bytes)) => self.watch.answer(Some(*bytes as u64)),
            Poll::Ready(Err(_)) => {}
        }
        polled
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.watch.bytes_came();
        }
        polled
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Watched<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.wrote(polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write_vectored(cx, slices);
        self.wrote(polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// The body of a request, watched.
pub struct Inward {
    inner: Incoming,
    watch: Arc<Watch>,
}

impl Inward {
    pub(super) fn new(inner: Incoming, watch: Arc<Watch>) -> Self {
        Self { inner, watch }
    }
}

impl Body for Inward {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        match &polled {
            Poll::Pending => self.watch.body(None),
            Poll::Ready(Some(Ok(frame))) => {
                self.watch.body(Some(frame.data_ref().map_or(0, |data| data.len() as u64)));
            }
            Poll::Ready(_) => self.watch.body(Some(0)),
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for Inward {
    /// A body that is not read any more is not waited for.
    fn drop(&mut self) {
        self.watch.body(Some(0));
    }
}

/// The body of an answer. When it is dropped, the answer is complete.
pub(super) struct Outward<B> {
    inner: Pin<Box<B>>,
    watch: Arc<Watch>,
}

impl<B> Outward<B> {
    pub(super) fn new(inner: B, watch: Arc<Watch>) -> Self {
        Self { inner: Box::pin(inner), watch }
    }
}

impl<B: Body> Body for Outward<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        self.inner.as_mut().poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl<B> Drop for Outward<B> {
    fn drop(&mut self) {
        self.watch.answered();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMES: Times = Times {
        head: Duration::from_secs(10),
        idle: Duration::from_secs(15),
        rest: Duration::from_secs(20),
        bytes_per_second: 100,
    };

    #[test]
    fn an_allowance_shrinks_by_waiting_and_grows_by_bytes() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut allowance = Allowance { left: TIMES.rest, since: None };
        assert!(allowance.wait(at(0)) && !allowance.wait(at(3)));
        assert_eq!(allowance.end(), Some(at(20)));
        allowance.pass(500, &TIMES, at(10));
        // 10 s have passed and 5 s were earned; now this side is slow.
        assert_eq!(allowance.end(), None);
        allowance.wait(at(1000));
        assert_eq!(allowance.end(), Some(at(1015)));
        // Credit is capped: a gigabyte does not earn hours.
        allowance.pass(1 << 30, &TIMES, at(1001));
        allowance.wait(at(1001));
        assert_eq!(allowance.end(), Some(at(1021)));
        allowance.pass(u64::MAX, &TIMES, at(5000));
        allowance.wait(at(5000));
        assert_eq!(allowance.end(), Some(at(5020)));
    }

    #[test]
    fn an_unsent_answer_is_waited_for_before_the_next_request() {
        let watch = Watch::new(TIMES);
        let late = |watch: &Watch| watch.lock().next().map(|(late, _)| late);
        assert_eq!(late(&watch), Some(Late::Head));
        watch.request_began();
        assert_eq!(late(&watch), None);
        watch.body(None);
        assert_eq!(late(&watch), Some(Late::Body));
        watch.body(Some(1));
        watch.answer(None);
        watch.answered();
        assert_eq!(late(&watch), Some(Late::Answer));
        watch.answer(Some(1));
        assert_eq!(late(&watch), Some(Late::Idle));
        watch.bytes_came();
        assert_eq!(late(&watch), Some(Late::Head));
    }
}
