//! Accepting connections so that no client keeps the others out: the API and the
//! embedded object server share this.
//!
//! - [`gate`]: how many connections are open, in total and for each network. What is
//!   over a limit is still accepted, into a small reserve: there a connection has two
//!   seconds to send its request, and only what must always work is served.
//! - [`watch`]: how long a connection may take for the head of a request, for a body and
//!   for reading an answer. Bodies and answers have a minimum rate; time in which this
//!   side is slow does not count.
//! - [`door`]: the listening socket, and what happens when descriptors run out.
//! - [`networks`]: which addresses count as one client, and which are proxies.

pub mod descriptors;
pub mod door;
pub mod gate;
pub mod networks;
pub mod watch;

pub use door::Door;
pub use gate::{Gate, Limits, Seat};
pub use networks::{Network, Networks};
pub use watch::{Inward, Times};

use hyper::body::Body;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::error::Error;
use std::sync::Arc;
use tokio::net::TcpStream;
use watch::{Outward, Watch, Watched};

/// Most bytes that the kernel holds for a connection and has not sent. Without it a
/// slow reader's progress shows only once a third of a buffer of megabytes is free.
const UNSENT: u32 = 256 << 10;

/// How HTTP/1.1 is spoken on one connection.
#[derive(Debug, Clone, Copy)]
pub struct Http {
    /// What the client may take.
    pub times: Times,
    /// Most bytes of a request line and its headers; hyper's default when there is none.
    pub head_bytes: Option<usize>,
}

/// Serves one connection until it ends, its time is over, its seat is needed, or
/// `stop` ends and the request that runs is answered.
pub async fn serve<S, B>(
    stream: TcpStream,
    seat: Arc<Seat>,
    http: Http,
    service: S,
    stop: impl Future<Output = ()>,
) where
    S: Service<Request<Inward>, Response = Response<B>>,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    B: Body + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    // Without it small answers wait for the peer's acknowledgement. Neither failure
    // changes what is served.
    let _ = stream.set_nodelay(true);
    let _ = socket2::SockRef::from(&stream).set_tcp_notsent_lowat(UNSENT);
    let reserved = seat.is_reserved();
    let times = if reserved { Times::RESERVED } else { http.times };
    let watch = Arc::new(Watch::new(times));
    let stream = TokioIo::new(Watched::new(stream, watch.clone()));
    let answered = watch.clone();
    let service = service_fn(move |request: Request<hyper::body::Incoming>| {
        let watch = answered.clone();
        watch.request_began();
        let call = service.call(request.map(|body| Inward::new(body, watch.clone())));
        async move {
            let response = call.await?;
            Ok::<_, S::Error>(response.map(|body| Outward::new(body, watch)))
        }
    });
    let mut builder = http1::Builder::new();
    builder
        // hyper remembers the date by a clock that does not follow the machine's.
        .auto_date_header(false)
        .timer(TokioTimer::new())
        // The watch is stricter; this one bounds a head that came behind another request.
        .header_read_timeout(times.idle + times.head)
        .keep_alive(!reserved);
    if let Some(bytes) = http.head_bytes {
        builder.max_buf_size(bytes);
    }
    let connection = builder.serve_connection(stream, service);
    tokio::pin!(connection, stop);
    let over = async {
        tokio::select! {
            late = watch.expired() => tracing::debug!(reason = late.as_str(), "connection closed"),
            () = seat.evicted() => tracing::debug!("connection closed to make room for another"),
        }
    };
    tokio::pin!(over);
    // How a connection ends is the client's affair: an error reports a client that
    // went away.
    tokio::select! {
        _ = connection.as_mut() => return,
        () = over.as_mut() => return,
        () = stop => connection.as_mut().graceful_shutdown(),
    }
    tokio::select! {
        _ = connection => {}
        () = over => {}
    }
}

#[cfg(test)]
mod tests;
