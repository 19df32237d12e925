//! Event streams: what they send and when, and what they cost.

use crate::polled::Polled;
use crate::shelf::Shelf;
use crate::support::{ANN, Answer, BOB, World, id_of, order, request, with_store, world, world_with};
use axum::body::BodyDataStream;
use axum::http::StatusCode;
use cadmill_api::listener::serve;
use cadmill_core::domain::failure::FailureCode;
use cadmill_core::domain::ids::JobId;
use cadmill_core::domain::job::{JobFailure, Stage};
use cadmill_core::domain::state::{Event as Change, Policy};
use cadmill_core::ports::JobStore;
use cadmill_stores::adapters::embedded::Database;
use futures_util::StreamExt;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tower::ServiceExt;

const SECOND: Duration = Duration::from_secs(1);
/// Shortest interval of the hub where it polls.
const INTERVAL: Duration = Duration::from_millis(500);

struct Events {
    status: StatusCode,
    kind: String,
    retry_after: String,
    body: BodyDataStream,
    text: String,
}

#[derive(Debug)]
struct Event {
    id: String,
    name: String,
    data: Value,
}

async fn open_with(world: &World, token: &str, path: &str, last: Option<&str>) -> Events {
    let mut request = request(token, "GET", path, None);
    if let Some(last) = last {
        request.headers_mut().insert("last-event-id", last.parse().unwrap());
    }
    let response = world.router.clone().oneshot(request).await.unwrap();
    let of = |name: &str| response.headers().get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
    let (status, kind, retry_after) = (response.status(), of("content-type"), of("retry-after"));
    let body = response.into_body().into_data_stream();
    Events { status, kind, retry_after, body, text: String::new() }
}

async fn open(world: &World, id: JobId) -> Events {
    open_with(world, ANN, &path(id), None).await
}

fn path(id: JobId) -> String {
    format!("/api/jobs/{id}/events")
}

fn path_of(ids: &[JobId]) -> String {
    let jobs: Vec<String> = ids.iter().map(|id| format!("job={id}")).collect();
    format!("/api/events?{}", jobs.join("&"))
}

impl Events {
    /// The next block of lines; `None` at the end.
    async fn block(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.text.find("\n\n") {
                let rest = self.text.split_off(end + 2);
                return Some(std::mem::replace(&mut self.text, rest));
            }
            let chunk =
                tokio::time::timeout(30 * SECOND, self.body.next()).await.expect("a chunk in time")?;
            self.text.push_str(std::str::from_utf8(&chunk.unwrap()).unwrap());
        }
    }

    /// The next event.
    async fn next(&mut self) -> Option<Event> {
        loop {
            let block = self.block().await?;
            let field = |name: &str| {
                let line = block.lines().find_map(|line| line.strip_prefix(name))?;
                Some(line.strip_prefix(": ").unwrap().to_owned())
            };
            if let Some(data) = field("data") {
                let (id, name) = (field("id").unwrap(), field("event").unwrap());
                return Some(Event { id, name, data: serde_json::from_str(&data).unwrap() });
            }
        }
    }

    async fn event(&mut self) -> Event {
        self.next().await.expect("an event")
    }

    /// The rest of a response that is not a stream.
    async fn rest(mut self) -> Value {
        while let Some(chunk) = self.body.next().await {
            self.text.push_str(std::str::from_utf8(&chunk.unwrap()).unwrap());
        }
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }
}

fn progressed(stage: Stage, progress: u16) -> Change {
    Change::Progressed { attempt: 1, stage, progress }
}

fn failure() -> JobFailure {
    JobFailure { code: FailureCode::EngineRejected, message: "no".to_owned(), at: None }
}

async fn status(world: &World, id: JobId) -> Answer {
    world.call(ANN, "GET", &format!("/api/jobs/{id}/status"), None).await
}

#[tokio::test]
async fn a_stream_has_each_change_and_ends_with_the_job() {
    let world = world();
    let id = world.uploaded().await;
    let mut events = open(&world, id).await;
    assert_eq!((events.status, events.kind.as_str()), (StatusCode::OK, "text/event-stream"));
    assert_eq!(events.block().await.unwrap(), "retry: 3000\n\n");
    let first = events.event().await;
    let version = world.read(id).await.version.to_string();
    assert_eq!((first.name.as_str(), &first.id), ("status", &version));
    assert_eq!(first.data, status(&world, id).await.body, "the status itself");

    world.happen(id, Change::Claimed { worker: "w".to_owned(), revision: 1, dead: None }).await;
    assert_eq!(events.event().await.data["state"], "PROCESSING");
    world.happen(id, progressed(Stage::Convert, 437)).await;
    let moved = events.event().await;
    assert_eq!((&moved.data["stage"], &moved.data["progress"]), (&json!("convert"), &json!(0.43)));
    // A change that clients do not see makes no event, and neither does less than a percent.
    world.happen(id, Change::Renewed { attempt: 1, revision: 2, progress: None }).await;
    world.happen(id, progressed(Stage::Convert, 439)).await;
    world.happen(id, Change::Failed { attempt: 1, failure: failure() }).await;
    let ended = events.event().await;
    assert_eq!((ended.name.as_str(), &ended.data["state"]), ("ended", &json!("FAILED")));
    assert!(events.next().await.is_none(), "the stream has ended");
    drop(events);
    assert_eq!(world.state.streams().open(), 0);

    // A client that comes again gets the end, or nothing if it has that.
    let mut again = open_with(&world, ANN, &path(id), Some(&first.id)).await;
    assert_eq!(again.event().await.name, "ended");
    assert!(again.next().await.is_none());
    // Whatever is written after the end.
    world.call(ANN, "DELETE", &path(id).replace("/events", ""), None).await;
    let known = open_with(&world, ANN, &path(id), Some(&ended.id)).await;
    assert_eq!(known.status, StatusCode::NO_CONTENT);
    assert_eq!(open_with(&world, ANN, &path(id), Some("x")).await.event().await.name, "ended");
}

#[tokio::test]
async fn an_event_has_no_url() {
    let world = world();
    let id = world.completed().await;
    let ended = open(&world, id).await.event().await;
    assert_eq!((ended.name.as_str(), &ended.data["download"]), ("ended", &Value::Null));
    assert!(status(&world, id).await.body["download"].is_object());
}

#[tokio::test]
async fn progress_alone_comes_once_a_second() {
    let world = world();
    let id = world.processing().await;
    world.happen(id, progressed(Stage::Convert, 10)).await;
    let mut events = open(&world, id).await;
    events.event().await;
    let began = Instant::now();
    for progress in [30, 50, 90] {
        world.happen(id, progressed(Stage::Convert, progress)).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(events.event().await.data["progress"], json!(0.09), "the latest, and none between");
    let took = began.elapsed();
    assert!((SECOND.mul_f32(0.6)..3 * SECOND).contains(&took), "{took:?}");
}

#[tokio::test]
async fn a_job_of_another_owner_is_as_one_that_is_not_there() {
    let world = world();
    let (id, other) = (world.uploaded().await, JobId::random());
    let own = id_of(&world.call(BOB, "POST", "/api/jobs", Some(order())).await);
    for path in [path(id), path(other), path_of(&[own, id]), path_of(&[other, own])] {
        let refused = open_with(&world, BOB, &path, None).await;
        assert_eq!(
            (refused.status, refused.rest().await["code"].clone()),
            (StatusCode::NOT_FOUND, json!("job.not_found"))
        );
    }
    let anyone = open_with(&world, "", &path(id), None).await;
    assert_eq!(anyone.status, StatusCode::UNAUTHORIZED);
    let wrong = open_with(&world, BOB, "/api/events", None).await;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST);
    assert_eq!(world.state.streams().open(), 0, "a refused stream takes no place");
}

#[tokio::test]
async fn one_stream_follows_several_jobs() {
    let world = world();
    let ids = [world.uploaded().await, world.processing().await, world.completed().await];
    let mut events = open_with(&world, ANN, &path_of(&ids), None).await;
    let mut last = String::new();
    for (id, name) in ids.iter().zip(["status", "status", "ended"]) {
        let event = events.event().await;
        assert_eq!((&event.data["job_id"], event.name.as_str()), (&json!(id), name));
        last = event.id;
    }
    let versions = [world.read(ids[0]).await, world.read(ids[1]).await, world.read(ids[2]).await];
    assert_eq!(last, versions.map(|job| job.version.to_string()).join(",") + "e");
    world.happen(ids[1], Change::Failed { attempt: 1, failure: failure() }).await;
    let event = events.event().await;
    assert_eq!((&event.data["job_id"], event.name.as_str()), (&json!(ids[1]), "ended"));
    drop(events);

    // Taken up again: only what changed since.
    world.happen(ids[0], Change::Cancelled).await;
    let mut again = open_with(&world, ANN, &path_of(&ids), Some(&event.id)).await;
    let cancelled = again.event().await;
    assert_eq!((&cancelled.data["job_id"], cancelled.name.as_str()), (&json!(ids[0]), "ended"));
    assert!(again.next().await.is_none(), "all have ended");
    let known = open_with(&world, ANN, &path_of(&ids), Some(&cancelled.id)).await;
    assert_eq!(known.status, StatusCode::NO_CONTENT);
}

/// Two servers, as two processes on one table; jobs are changed by a third.
struct Two {
    servers: [World; 2],
    other: World,
}

fn two(polls: bool) -> Two {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("jobs.db");
    let server = |directory, polls: bool| {
        let database = Database::open(&file, 5).unwrap();
        let store: Arc<dyn JobStore> = match polls {
            true => Arc::new(Polled::new(database.jobs())),
            false => Arc::new(database.jobs()),
        };
        with_store(directory, &database, store, Arc::new(Shelf::default()), Policy::default(), |_| {})
    };
    let empty = || tempfile::tempdir().unwrap();
    let servers = [server(empty(), polls), server(empty(), polls)];
    Two { servers, other: server(directory, polls) }
}

async fn a_change_elsewhere_comes(two: &Two, within: Duration) {
    let [one, another] = &two.servers;
    let id = two.other.processing().await;
    let mut events = open(one, id).await;
    events.event().await;
    // In the middle of an interval.
    tokio::time::sleep(INTERVAL.mul_f32(1.3)).await;
    let began = Instant::now();
    two.other.happen(id, progressed(Stage::Convert, 500)).await;
    let event = events.event().await;
    let took = began.elapsed();
    assert_eq!(event.data["stage"], "convert");
    assert!(took < within, "{took:?}");
    println!("a change elsewhere came after {took:?}");

    // The first one dies, and the job goes on meanwhile.
    drop(events);
    two.other.happen(id, progressed(Stage::Publish, 0)).await;
    let mut resumed = open_with(another, ANN, &path(id), Some(&event.id)).await;
    assert_eq!(resumed.event().await.data["stage"], "publish", "from where it stands");
    two.other.happen(id, Change::Failed { attempt: 1, failure: failure() }).await;
    assert_eq!(resumed.event().await.name, "ended");
    assert!(resumed.next().await.is_none());
    // Nothing new for a client that has it all.
    let id = two.other.uploaded().await;
    let version = two.other.read(id).await.version.to_string();
    let mut quiet = open_with(another, ANN, &path(id), Some(&version)).await;
    let news = tokio::time::timeout(SECOND, quiet.next()).await;
    assert!(news.is_err(), "{news:?}");
}

#[tokio::test]
async fn a_change_by_another_process_comes_within_two_intervals() {
    a_change_elsewhere_comes(&two(true), 2 * INTERVAL).await;
}

#[tokio::test]
async fn on_one_machine_the_write_itself_wakes_the_streams() {
    a_change_elsewhere_comes(&two(false), INTERVAL / 2).await;
}

#[tokio::test]
async fn a_thousand_streams_on_ten_jobs_read_ten_records_a_turn() {
    let directory = tempfile::tempdir().unwrap();
    let database = Database::open(&directory.path().join("jobs.db"), 5).unwrap();
    let store = Arc::new(Polled::new(database.jobs()));
    let shelf = Arc::new(Shelf::default());
    let world = with_store(directory, &database, store.clone(), shelf, Policy::default(), |settings| {
        settings.config.streams_per_owner = 1000;
        settings.config.rate_burst = 2000;
    });
    let mut ids = Vec::new();
    for _ in 0..10 {
        ids.push(world.processing().await);
    }
    let mut streams = Vec::new();
    for number in 0..1000 {
        let mut events = open(&world, ids[number % 10]).await;
        events.event().await;
        streams.push(events);
    }
    assert_eq!(world.state.streams().open(), 1000);
    store.reads.lock().unwrap().clear();
    tokio::time::sleep(2 * SECOND).await;
    let reads = std::mem::take(&mut *store.reads.lock().unwrap());
    println!("reads in 2 s: {reads:?}");
    // At most one for each job and interval, and one more for the ends.
    assert!(reads.iter().all(|read| *read <= 10) && reads.iter().sum::<usize>() <= 50, "{reads:?}");
    assert!(reads.len() >= 2, "{reads:?}");

    // One change is read once and comes to the hundred streams of its job.
    world.happen(ids[3], Change::Failed { attempt: 1, failure: failure() }).await;
    for (_, events) in streams.iter_mut().enumerate().filter(|(number, _)| number % 10 == 3) {
        assert_eq!(events.event().await.name, "ended");
        assert!(events.next().await.is_none());
    }
    drop(streams);
    assert_eq!(world.state.streams().open(), 0);
    // Without streams nothing is read.
    tokio::time::sleep(2 * INTERVAL).await;
    store.reads.lock().unwrap().clear();
    tokio::time::sleep(2 * INTERVAL).await;
    assert!(store.reads.lock().unwrap().is_empty());
}

/// What a client did not read in time is left out: a stream has one snapshot at most.
#[tokio::test]
async fn a_slow_reader_gets_the_latest_and_holds_no_more() {
    let world = world();
    let id = world.processing().await;
    let (mut slow, mut quick) = (open(&world, id).await, open(&world, id).await);
    slow.event().await;
    quick.event().await;
    for (place, stage) in [Stage::Convert, Stage::Publish, Stage::Wipe].into_iter().enumerate() {
        world.happen(id, progressed(stage, 0)).await;
        assert_eq!(quick.event().await.data["stage"], json!(stage), "{place}");
    }
    assert_eq!(slow.event().await.data["stage"], "wipe");
    world.happen(id, Change::Failed { attempt: 1, failure: failure() }).await;
    assert_eq!(slow.event().await.name, "ended");
}

#[tokio::test]
async fn a_silent_stream_has_a_beat_and_a_life() {
    let world = world_with(|settings| {
        settings.stream_beat = Duration::from_millis(100);
        settings.stream_life = Duration::from_millis(550);
    });
    let id = world.uploaded().await;
    let mut events = open(&world, id).await;
    events.event().await;
    let mut beats = 0;
    while let Some(block) = events.block().await {
        assert_eq!(block, ": beat\n\n");
        beats += 1;
    }
    assert!((2..=5).contains(&beats), "{beats}");
}

#[tokio::test]
async fn streams_are_limited_for_each_owner_and_for_all() {
    let world = world_with(|settings| {
        settings.config.streams_per_owner = 2;
        settings.config.streams = 3;
    });
    let id = world.uploaded().await;
    let mut streams = vec![open(&world, id).await, open(&world, id).await];
    let refused = open(&world, id).await;
    assert_eq!((refused.status.as_u16(), refused.retry_after.as_str()), (429, "30"));
    let body = refused.rest().await;
    assert_eq!(body["code"], "request.rate_limited");
    assert!(body["detail"].as_str().unwrap().contains("api.streams_per_owner"), "{body}");
    assert_eq!(status(&world, id).await.status, 200, "it may poll");
    let other = id_of(&world.call(BOB, "POST", "/api/jobs", Some(order())).await);
    streams.push(open_with(&world, BOB, &path(other), None).await);
    let refused = open_with(&world, BOB, &path(other), None).await;
    assert!(refused.rest().await["detail"].as_str().unwrap().contains("(api.streams)"));
    streams.remove(0);
    assert_eq!(open_with(&world, BOB, &path(other), None).await.status, 200);
}

/// A server on a socket, and a way to stop it.
struct Served {
    address: SocketAddr,
    stop: tokio::sync::oneshot::Sender<()>,
    server: tokio::task::JoinHandle<std::io::Result<()>>,
}

async fn served(world: &World) -> Served {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = tokio::spawn(serve(listener, world.state.clone(), async {
        let _ = stopped.await;
    }));
    Served { address, stop, server }
}

impl Served {
    /// A client that has read the first event.
    async fn client(&self, id: JobId) -> TcpStream {
        let (address, path) = (self.address, path(id));
        let connect = move || {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.set_read_timeout(Some(60 * SECOND)).unwrap();
            let head = format!("GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {ANN}\r\n\r\n");
            stream.write_all(head.as_bytes()).unwrap();
            let mut text = String::new();
            let mut buffer = [0; 4096];
            while !text.contains("\n\n\r\n") || !text.contains("data: ") {
                let bytes = stream.read(&mut buffer).unwrap();
                assert!(bytes > 0, "{text}");
                text.push_str(std::str::from_utf8(&buffer[..bytes]).unwrap());
            }
            assert!(text.starts_with("HTTP/1.1 200"), "{text}");
            stream
        };
        tokio::task::spawn_blocking(connect).await.unwrap()
    }
}

async fn until_open(world: &World, streams: usize) {
    let began = Instant::now();
    while world.state.streams().open() != streams {
        assert!(began.elapsed() < 10 * SECOND, "{} streams", world.state.streams().open());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_goes_away_ends_its_stream_and_a_stop_ends_all() {
    let world = world_with(|settings| settings.config.streams_per_owner = 200);
    let id = world.uploaded().await;
    let served = served(&world).await;
    let gone = served.client(id).await;
    until_open(&world, 1).await;
    drop(gone);
    until_open(&world, 0).await;

    let mut clients = Vec::new();
    for _ in 0..100 {
        clients.push(served.client(id).await);
    }
    until_open(&world, 100).await;
    let began = Instant::now();
    served.stop.send(()).unwrap();
    served.server.await.unwrap().unwrap();
    let took = began.elapsed();
    println!("a stop with 100 streams took {took:?}");
    assert!(took < SECOND, "{took:?}");
    assert_eq!(world.state.streams().open(), 0);
    let rest = tokio::task::spawn_blocking(move || {
        let mut text = String::new();
        clients[0].read_to_string(&mut text).map(|_| text)
    });
    assert!(rest.await.unwrap().unwrap().ends_with("0\r\n\r\n"), "the response is whole");
}

/// Resident memory of this process, in KiB.
fn resident() -> u64 {
    let text = std::fs::read_to_string(Path::new("/proc/self/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().split(' ').next().unwrap().parse().unwrap()
}

/// The clients are in this process too, and have no buffers. Other tests of this process take memory at the same
/// time, so it is measured when it runs alone:
/// `cargo test -p cadmill-api --test http -- --ignored memory_of_a_stream`.
#[ignore = "measures the memory of the process, alone"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_of_a_stream_is_small() {
    const STREAMS: u64 = 400;
    let world = world_with(|settings| {
        settings.config.streams_per_owner = 2000;
        settings.config.connections_per_client = 2000;
        settings.config.rate_burst = 2000;
    });
    let id = world.processing().await;
    let served = served(&world).await;
    let mut clients = Vec::new();
    // What is allocated once is so by then.
    for _ in 0..50 {
        clients.push(served.client(id).await);
    }
    let before = resident();
    for _ in 0..STREAMS {
        clients.push(served.client(id).await);
    }
    for stage in [Stage::Convert, Stage::Publish, Stage::Wipe] {
        world.happen(id, progressed(stage, 0)).await;
        tokio::time::sleep(SECOND).await;
    }
    until_open(&world, usize::try_from(STREAMS).unwrap() + 50).await;
    let each = (resident() - before) as f64 / STREAMS as f64;
    println!("{each:.1} KiB a stream");
    assert!(each <= 32.0, "{each} KiB");
}
