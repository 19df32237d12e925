//! The body of an event stream.

use crate::events::hub::Watch;
use crate::events::seats::Seat;
use crate::state::ApiState;
use axum::body::Bytes;
use cadmill_core::domain::ids::JobId;
use cadmill_core::domain::job::Job;
use futures_util::{Stream, future, stream};
use std::convert::Infallible;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// When a client opens a stream again that was cut, in milliseconds.
const RETRY: &str = "retry: 3000\n\n";
const BEAT: &str = ": beat\n\n";

/// What the client has of each job, in the order of the request.
pub(super) struct Cursor(Vec<Sent>);

/// What a client has of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sent {
    Nothing,
    /// The status of this version of the record.
    Version(u64),
    /// The last event, from this version: what is written later, such as that the files are deleted, is none.
    End(u64),
}

impl Sent {
    fn lacks(self, version: u64, ended: bool) -> bool {
        match self {
            Self::Nothing => true,
            Self::Version(sent) => sent < version,
            // A job that goes on is another one, with the id of the one that has ended.
            Self::End(_) => !ended,
        }
    }

    fn parse(text: &str) -> Option<Self> {
        match text.strip_suffix('e') {
            _ if text.is_empty() => Some(Self::Nothing),
            Some(version) => version.parse().ok().map(Self::End),
            None => text.parse().ok().map(Self::Version),
        }
    }

    fn text(self) -> String {
        match self {
            Self::Nothing => String::new(),
            Self::Version(version) => version.to_string(),
            Self::End(version) => format!("{version}e"),
        }
    }
}

impl Cursor {
    /// The client has nothing.
    pub(super) fn start(jobs: usize) -> Self {
        Self(vec![Sent::Nothing; jobs])
    }

    /// An id that [`Cursor::id`] has made, of a stream of so many jobs.
    pub(super) fn parse(text: &str, jobs: usize) -> Option<Self> {
        let sent = text.split(',').map(Sent::parse).collect::<Option<Vec<Sent>>>()?;
        (sent.len() == jobs).then_some(Self(sent))
    }

    /// Whether the client has all that these jobs will ever send.
    pub(super) fn is_at_end(&self, jobs: &[Job]) -> bool {
        let has = |(job, sent): (&Job, &Sent)| job.state.is_terminal() && matches!(sent, Sent::End(_));
        jobs.iter().zip(&self.0).all(has)
    }

    fn id(&self) -> String {
        self.0.iter().map(|sent| sent.text()).collect::<Vec<_>>().join(",")
    }
}

/// Why a stream ended.
#[derive(Clone, Copy)]
enum By {
    /// All jobs have ended.
    End,
    /// Its life is over.
    Life,
    /// The server stops.
    Stop,
    /// The client has closed the connection, or reads too slowly.
    Client,
    /// The record of a job is gone.
    Lost,
}

impl By {
    fn as_str(self) -> &'static str {
        match self {
            Self::End => "end",
            Self::Life => "life",
            Self::Stop => "stop",
            Self::Client => "client",
            Self::Lost => "lost",
        }
    }
}

/// One stream.
pub(super) struct EventStream {
    state: ApiState,
    _seat: Seat,
    stopped: watch::Receiver<bool>,
    jobs: Vec<Followed>,
    cursor: Cursor,
    beat: Duration,
    until: Instant,
    /// For the log.
    began: Instant,
    trace_id: Option<String>,
    events: u64,
    closed: Option<By>,
}

struct Followed {
    id: JobId,
    watch: Watch,
    ended: bool,
}

impl EventStream {
    /// A stream of these jobs, to a client that stands there.
    pub(super) fn new(state: &ApiState, seat: Seat, jobs: &[Job], cursor: Cursor) -> Self {
        let follow = |job: &Job| Followed { id: job.id, watch: state.hub.watch(job), ended: false };
        let trace_id = match jobs {
            [job] => job.trace_id().map(str::to_owned),
            _ => None,
        };
        let began = Instant::now();
        let stream = Self {
            state: state.clone(),
            stopped: seat.stopped(),
            _seat: seat,
            jobs: jobs.iter().map(follow).collect(),
            beat: state.settings.stream_beat,
            until: began + state.settings.stream_life,
            began,
            trace_id,
            events: 0,
            closed: None,
            cursor,
        };
        tracing::info!(
            job.id = stream.job(),
            trace_id = stream.trace_id,
            stream.jobs = stream.jobs.len(),
            stream.resumed = stream.cursor.0.iter().any(|sent| *sent != Sent::Nothing),
            "event stream opened"
        );
        stream
    }

    /// Its chunks.
    pub(super) fn into_chunks(self) -> impl Stream<Item = Result<Bytes, Infallible>> {
        // The first chunk sends the head at once, whether or not there is an event.
        stream::unfold((self, RETRY.to_owned()), |(mut stream, first)| async move {
            let chunk = stream.next(first).await?;
            Some((Ok(Bytes::from(chunk)), (stream, String::new())))
        })
    }

    /// What is sent next, behind `text`; `None` at the end.
    async fn next(&mut self, mut text: String) -> Option<String> {
        if self.closed.is_some() {
            return None;
        }
        let silent = Instant::now() + self.beat;
        loop {
            self.take_news(&mut text);
            if self.jobs.iter().all(|job| job.ended) {
                self.closed = Some(By::End);
                self.jobs.iter().for_each(|job| self.state.pollers.saw_end(job.id));
            }
            if !text.is_empty() {
                return Some(text);
            }
            if self.closed.is_some() {
                return None;
            }
            let (jobs, stopped) = (&mut self.jobs, &mut self.stopped);
            tokio::select! {
                is_there = changed(jobs) => match is_there {
                    true => continue,
                    false => self.closed = Some(By::Lost),
                },
                () = sleep_until(silent) => return Some(BEAT.to_owned()),
                () = sleep_until(self.until) => self.closed = Some(By::Life),
                () = async { drop(stopped.wait_for(|stop| *stop).await) } => self.closed = Some(By::Stop),
            }
            return None;
        }
    }

    /// Adds the events that the client does not have.
    fn take_news(&mut self, text: &mut String) {
        for place in 0..self.jobs.len() {
            let job = &mut self.jobs[place];
            let snapshot = job.watch.borrow_and_update().clone();
            job.ended = snapshot.ended;
            let (version, ended) = (snapshot.version, snapshot.ended);
            if self.cursor.0[place].lacks(version, ended) {
                self.cursor.0[place] = if ended { Sent::End(version) } else { Sent::Version(version) };
                self.events += 1;
                text.extend(["id: ", &self.cursor.id(), "\n", &snapshot.lines]);
            }
        }
    }

    /// The job, if it is one, for the log.
    fn job(&self) -> Option<tracing::field::DisplayValue<JobId>> {
        match self.jobs[..] {
            [Followed { id, .. }] => Some(tracing::field::display(id)),
            _ => None,
        }
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        tracing::info!(
            job.id = self.job(),
            trace_id = self.trace_id,
            stream.jobs = self.jobs.len(),
            stream.by = self.closed.unwrap_or(By::Client).as_str(),
            stream.seconds = self.began.elapsed().as_secs_f64(),
            stream.events = self.events,
            "event stream closed"
        );
    }
}

/// Waits for a change of one of the jobs that go on; false if the hub has given one up.
async fn changed(jobs: &mut [Followed]) -> bool {
    let waits = jobs.iter_mut().filter(|job| !job.ended).map(|job| Box::pin(job.watch.changed()));
    future::select_all(waits).await.0.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_of_an_event_says_what_the_client_has() {
        for (text, jobs) in [("17", 1), ("0", 1), ("17e", 1), ("3,,12e", 3)] {
            assert_eq!(Cursor::parse(text, jobs).unwrap().id(), text);
        }
        let bad = ["x", "e", "1ee", "17,", "-1", "1,2", " 1", "99999999999999999999", "1\u{0}"];
        for text in bad {
            assert!(Cursor::parse(text, 1).is_none(), "{text}");
        }
        // As browsers send it that have had no id.
        assert_eq!(Cursor::parse("", 1).unwrap().0, [Sent::Nothing]);
    }
}
