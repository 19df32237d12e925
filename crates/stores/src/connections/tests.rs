//! Slow and hostile clients, over real sockets. Time limits are short here. No test checks how
//! soon something happens, only that it does, and that well-behaved clients are served.

use super::*;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// How long a test waits for an expected event.
const PATIENCE: Duration = Duration::from_secs(60);

const TIMES: Times = Times {
    head: Duration::from_millis(500),
    idle: Duration::from_millis(500),
    rest: Duration::from_millis(1000),
    bytes_per_second: 64 << 10,
};

struct Server {
    address: SocketAddr,
    door: Arc<Door>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Answers `GET /N` with N bytes, and a request with a body with the number of its bytes.
/// Connections in the reserve get `full`.
async fn server(times: Times, total: usize, per_client: usize) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let limits = Limits { total, per_client, proxies: Networks::default() };
    let door = Arc::new(Door::new("test", limits));
    let at = door.clone();
    let task = tokio::spawn(async move {
        loop {
            let (stream, _, seat) = at.accept(&listener).await;
            let seat = Arc::new(seat);
            let full = seat.is_reserved();
            let answer = service_fn(move |request: Request<Inward>| async move {
                if full {
                    return Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"full"))));
                }
                let size: usize = request.uri().path()[1..].parse().unwrap_or(0);
                let body = request.into_body().collect().await.map(|body| body.to_bytes().len());
                let text = match body {
                    Ok(0) => vec![b'x'; size],
                    Ok(read) => format!("read {read}").into_bytes(),
                    Err(_) => b"broken".to_vec(),
                };
                Ok(Response::new(Full::new(Bytes::from(text))))
            });
            let http = Http { times, head_bytes: None };
            tokio::spawn(serve(stream, seat, http, answer, std::future::pending()));
        }
    });
    Server { address, door, task }
}

impl Server {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Waits until this many connections are open, without those in the reserve.
    async fn open(&self, expected: usize) {
        let settled = async {
            while self.door.gate().open() != expected {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let settled = tokio::time::timeout(PATIENCE, settled).await;
        assert!(settled.is_ok(), "{} connections are open, not {expected}", self.door.gate().open());
    }
}

/// Everything that arrives until the server closes the connection.
async fn all(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    // A reset after an answer is as good as a close.
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    assert!(read.is_ok(), "the server did not end the connection");
    String::from_utf8_lossy(&answer).into_owned()
}

/// Sends one request on a new connection.
async fn ask(server: &Server, path: &str) -> String {
    let mut stream = server.connect().await;
    let head = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    all(stream).await
}

/// Sends bytes one by one until the server closes the connection; returns how many it accepted.
async fn dribble(stream: &mut TcpStream, bytes: &[u8], pause: Duration) -> usize {
    let mut sent = 0;
    let sending = async {
        for byte in bytes.iter().cycle() {
            if stream.write_all(&[*byte]).await.is_err() {
                return;
            }
            sent += 1;
            tokio::time::sleep(pause).await;
        }
    };
    let ended = tokio::time::timeout(PATIENCE, sending).await;
    assert!(ended.is_ok(), "the server takes byte after byte");
    sent
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_that_never_end_are_ended() {
    let server = server(TIMES, 100, 100).await;
    let start = "GET /1 HTTP/1.1\r\nhost: x\r\n";
    for before in ["", "G", start, "\r\n\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        let mut stream = server.connect().await;
        stream.write_all(before.as_bytes()).await.unwrap();
        let pause = Duration::from_millis(20);
        let dribbled = dribble(&mut stream, b"x: y\r\n", pause);
        // Every byte arrives in time, but the head is never complete.
        let ended = tokio::time::timeout(PATIENCE, async { tokio::join!(dribbled, server.open(0)) });
        assert!(ended.await.is_ok(), "{before:?}");
        assert!(!all(stream).await.contains("200 OK"), "{before:?}");
    }
    // The same after a good request, and behind a request in the same packet.
    for behind in [start, &format!("GET /1 HTTP/1.1\r\nhost: x\r\n\r\n{start}")] {
        let mut stream = server.connect().await;
        stream.write_all(format!("GET /1 HTTP/1.1\r\nhost: x\r\n\r\n{behind}").as_bytes()).await.unwrap();
        dribble(&mut stream, b"x: y\r\n", Duration::from_millis(20)).await;
        server.open(0).await;
    }
    assert!(ask(&server, "/3").await.ends_with("xxx"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_bodies_are_ended_and_large_ones_are_not() {
    let server = server(TIMES, 100, 100).await;
    for framing in ["content-length: 1000000", "transfer-encoding: chunked"] {
        let mut stream = server.connect().await;
        let head = format!("PUT / HTTP/1.1\r\nhost: x\r\n{framing}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        // A few bytes every 20 ms: far below the minimum rate, but without a pause.
        dribble(&mut stream, b"1\r\nx\r\n", Duration::from_millis(20)).await;
        server.open(0).await;
    }
    // Takes longer in total than the limits for a head or a pause, but is faster than the rate.
    let mut stream = server.connect().await;
    let size = 40 * (32 << 10);
    let head = format!("PUT / HTTP/1.1\r\nhost: x\r\ncontent-length: {size}\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    for _ in 0..40 {
        stream.write_all(&[b'x'; 32 << 10]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(all(stream).await.ends_with(&format!("read {size}")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_read_is_ended_and_who_reads_slowly_is_not() {
    let server = server(TIMES, 100, 100).await;
    let size = 64 << 20;
    let request = format!("GET /{size} HTTP/1.1\r\nhost: x\r\n\r\n");
    let mut silent = server.connect().await;
    silent.write_all(request.as_bytes()).await.unwrap();
    server.open(1).await;
    // Many requests without reading: no answer is produced that cannot be sent.
    let mut pipelined = server.connect().await;
    let many = request.repeat(20) + &"GET /1 HTTP/1.1\r\nhost: x\r\n\r\n".repeat(2000);
    let _ = pipelined.write_all(many.as_bytes()).await;
    server.open(0).await;
    drop((silent, pipelined));

    let mut slow = server.connect().await;
    slow.write_all(request.replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n").as_bytes()).await.unwrap();
    let (mut read, mut buffer) = (0, vec![0; 1 << 20]);
    loop {
        let more = tokio::time::timeout(PATIENCE, slow.read(&mut buffer)).await.unwrap().unwrap();
        if more == 0 {
            break;
        }
        read += more;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(read > size, "{read}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_and_half_closed_connections_are_ended() {
    let server = server(TIMES, 100, 100).await;
    let mut idle = server.connect().await;
    idle.write_all(b"GET /1 HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut half = server.connect().await;
    half.write_all(b"GET /1 HT").await.unwrap();
    half.shutdown().await.unwrap();
    server.open(0).await;
    assert!(all(idle).await.contains("200 OK"));
    all(half).await;
}

/// A low limit instead of thousands of sockets: connections beyond it take the same code path.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_connections_leaves_room_for_one_more() {
    let patient = Times { head: PATIENCE, idle: PATIENCE, ..TIMES };
    let server = server(patient, 1000, 50).await;
    let mut flood = Vec::new();
    for _ in 0..400 {
        flood.push(server.connect().await);
    }
    server.open(50).await;
    // The same client is still answered while the reserve is full of its own connections.
    for _ in 0..20 {
        assert!(ask(&server, "/3").await.ends_with("full"));
    }
    // A connection beyond the limit that sends nothing is closed soon.
    let last = flood.pop().unwrap();
    assert_eq!(all(last).await, "");
    drop(flood);
    server.open(0).await;
    assert!(ask(&server, "/3").await.ends_with("xxx"));
}
