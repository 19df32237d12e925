//! The accept loop, and the graceful shutdown of all connections.

use crate::router::{reserve_router, router};
use crate::settings::HEADER_BYTES;
use crate::state::{ApiState, Server};
use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use cadmill_stores::connections::{self, Http, Inward, Seat};
use hyper_util::service::TowerToHyperService;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tower::ServiceExt;

/// How often idle pollers and idle callers are swept.
const SWEEP: Duration = Duration::from_secs(5);
/// How long open requests may continue after shutdown begins.
const DRAIN: Duration = Duration::from_secs(15);

/// Serves until `shutdown` completes, then lets open requests finish, for 15 s at most.
///
/// Each connection is subject to the limits of the settings: its headers must arrive in time and
/// within the size limit (otherwise the connection ends with 431 or without a response), request
/// bodies and the reading of responses have a minimum rate, and the number of open connections is
/// bounded. Further connections are answered with 503, except for health checks.
///
/// # Errors
/// When the listener's address cannot be determined, or the server has no authentication and the
/// listener is not on loopback, whatever the `listen` setting says.
pub async fn serve(
    listener: TcpListener,
    state: ApiState,
    shutdown: impl Future<Output = ()> + Send,
) -> std::io::Result<()> {
    let bound = listener.local_addr()?;
    if matches!(state.settings.auth, crate::auth::Auth::None) && !bound.ip().is_loopback() {
        return Err(std::io::Error::other("without authentication the server listens on loopback only"));
    }
    let sweeper = tokio::spawn(sweep_on(Arc::downgrade(&state)));
    let (stop, stopped) = watch::channel(());
    let routers = [router(state.clone()), reserve_router(state.clone())];
    tokio::pin!(shutdown);
    loop {
        let (stream, peer, seat) = tokio::select! {
            accepted = state.door.accept(&listener) => accepted,
            () = &mut shutdown => break,
        };
        let router = routers[usize::from(seat.is_reserved())].clone();
        tokio::spawn(connection(stream, peer, seat, router, state.clone(), stopped.clone()));
    }
    drop((listener, stopped));
    state.streams.stop();
    // Sent to all connections; the channel closes when all of them have ended.
    let _ = stop.send(());
    let _ = tokio::time::timeout(DRAIN, stop.closed()).await;
    sweeper.abort();
    Ok(())
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    seat: Seat,
    router: Router,
    state: ApiState,
    mut stopped: watch::Receiver<()>,
) {
    let service = router.map_request(move |request: axum::http::Request<Inward>| {
        let mut request: Request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(peer));
        request
    });
    let times = state.settings.times(seat.is_proxy());
    let http = Http { times, head_bytes: Some(HEADER_BYTES) };
    let service = TowerToHyperService::new(service);
    connections::serve(stream, Arc::new(seat), http, service, async move {
        let _ = stopped.changed().await;
    })
    .await;
}

async fn sweep_on(state: std::sync::Weak<Server>) {
    loop {
        tokio::time::sleep(SWEEP).await;
        let Some(state) = state.upgrade() else { return };
        state.sweep(Instant::now()).await;
    }
}
