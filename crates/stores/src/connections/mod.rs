//! Accepts connections so that no client keeps the others out. The API and the embedded object
//! server share this code.
//!
//! - [`gate`]: limits the open connections, in total and for each network. A connection over a
//!   limit is still accepted, into a small reserve: it has two seconds to send its request, and
//!   only requests that must always work are served.
//! - [`watch`]: limits the time that a connection may take to send the head of a request, to send
//!   a body and to read an answer. Bodies and answers have a minimum rate; time in which this
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

/// Maximum number of unsent bytes in the kernel's buffer of a connection. Without it, the
/// progress of a slow reader shows only once a third of a buffer of megabytes is free.
const UNSENT: u32 = 256 << 10;

/// Options of HTTP/1.1 on one connection.
#[derive(Debug, Clone, Copy)]
pub struct Http {
    /// Time limits for the client.
    pub times: Times,
    /// Maximum size of a request line and its headers, in bytes; hyper's default if `None`.
    pub head_bytes: Option<usize>,
}

/// Serves one connection until it ends, exceeds a time limit or loses its seat, or until `stop`
/// completes and the current request is answered.
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
    // Without `TCP_NODELAY`, small answers wait for the peer's acknowledgement. A failure of
    // either call does not change what is served.
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
        // hyper caches the date by a clock that does not follow the system clock.
        .auto_date_header(false)
        .timer(TokioTimer::new())
        // The watch is stricter; this timeout covers a head that arrived behind another request.
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
    // How a connection ends is up to the client: an error only reports that the client
    // disconnected.
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
