//! The server: its state, its router and the loop that accepts connections.

use crate::limits::RateLimits;
use crate::observe::REQUEST_ID;
use crate::polling::Pollers;
use crate::problem::Problem;
use crate::routes::catalogue::Formats;
use crate::routes::health::Readiness;
use crate::settings::ApiSettings;
use crate::throughput::Throughput;
use crate::{limits, observe, openapi, routes};
use axum::body::Body;
use axum::extract::{ConnectInfo, DefaultBodyLimit, Request};
use axum::http::{HeaderValue, Method, header};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::{Extension, Router};
use cadmill_core::domain::failure::FailureCode;
use cadmill_core::domain::format::EngineFormats;
use cadmill_core::domain::state::Event;
use cadmill_core::jobs::Jobs;
use cadmill_core::ports::{EventQueue, ObjectStore};
use cadmill_stores::connections::{self, Door, Http, Inward, Seat};
use hyper_util::service::TowerToHyperService;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tower::ServiceExt;
use tower_http::cors::{AllowOrigin, CorsLayer};

/// How often silent pollers and callers at rest are looked for.
const SWEEP: Duration = Duration::from_secs(5);
/// For how long open requests may go on after the server was told to stop.
const DRAIN: Duration = Duration::from_secs(15);

/// What the routes share. Cheap to clone.
pub type ApiState = Arc<Server>;

/// The settings, the ports and what the server remembers.
pub struct Server {
    pub(crate) settings: ApiSettings,
    pub(crate) objects: Arc<dyn ObjectStore>,
    pub(crate) jobs: Jobs,
    pub(crate) queue: Arc<dyn EventQueue>,
    pub(crate) rates: RateLimits,
    pub(crate) pollers: Pollers,
    pub(crate) throughput: Throughput,
    pub(crate) readiness: Readiness,
    pub(crate) door: Door,
}

impl Server {
    /// A server of these stores. The queue is looked at for readiness only.
    ///
    /// # Errors
    /// What [`ApiSettings::check`] finds wrong with the settings, among it a server
    /// without authentication that would not listen on loopback.
    pub fn new(
        settings: ApiSettings,
        objects: Arc<dyn ObjectStore>,
        jobs: Jobs,
        queue: Arc<dyn EventQueue>,
    ) -> Result<ApiState, String> {
        settings.check()?;
        let rates = RateLimits::new(settings.limits.requests_per_second, settings.limits.burst);
        let door = Door::new("api", settings.connections());
        Ok(Arc::new(Self {
            door,
            settings,
            objects,
            jobs,
            queue,
            rates,
            pollers: Pollers::default(),
            throughput: Throughput::default(),
            readiness: Readiness::default(),
        }))
    }

    /// The way in: how many connections are open, and whether descriptors ran out.
    pub fn door(&self) -> &Door {
        &self.door
    }

    /// Looks for clients that stopped asking: logs those that gave up, and adds the
    /// polls of all to the records. [`serve`] does it every few seconds.
    pub async fn sweep(&self, now: Instant) {
        for silent in self.pollers.sweep(now) {
            if silent.gave_up {
                tracing::info!(job.id = %silent.job, poll.n = silent.polls, "the client gave up");
            }
            if silent.count > 0
                && let Err(error) = self.jobs.send(silent.job, &Event::Polled { times: silent.count }).await
            {
                tracing::debug!(job.id = %silent.job, error = %error, "polls are not counted");
            }
        }
        self.rates.forget();
    }
}

/// Every route, with all that stands before it.
pub fn router(state: ApiState) -> Router {
    let owned = routes::owned().route_layer(from_fn_with_state(state.clone(), limits::owned));
    let open = routes::constant().route_layer(from_fn_with_state(state.clone(), limits::open));
    let (router, _) = routes::health().merge(open).merge(owned).split_for_parts();
    with_constants(router, &state.settings.engines)
        .layer(DefaultBodyLimit::max(state.settings.limits.body_bytes))
        .layer(from_fn_with_state(state.clone(), limits::time))
        .layer(cors(&state.settings.cors_origins))
        .layer(from_fn(observe::observe))
        .with_state(state)
}

/// What is served from the reserve, to connections beyond the limits.
fn reserve_router(state: ApiState) -> Router {
    let (router, _) = routes::health().split_for_parts();
    router
        .fallback(|| async {
            let message = "the server has as many connections as it takes";
            Problem::new(FailureCode::ServerUnavailable, message).retry_after(1)
        })
        .layer(from_fn_with_state(state.clone(), limits::time))
        .layer(from_fn(observe::observe))
        .with_state(state)
}

/// The routes that need no store, for a server that has none: no job, no token, and
/// none of the limits of [`router`].
pub fn catalogue_router(engines: &[EngineFormats]) -> Router {
    let (router, _) = routes::alive().merge(routes::constant()).split_for_parts();
    with_constants(router, engines).layer(from_fn(observe::observe))
}

/// What the constant routes say, and the answers for what is no route.
fn with_constants<S: Clone + Send + Sync + 'static>(
    router: Router<S>,
    engines: &[EngineFormats],
) -> Router<S> {
    router
        .method_not_allowed_fallback(|| async {
            Problem::new(FailureCode::RequestMethod, "this path does not have that method")
        })
        .fallback(|| async { Problem::new(FailureCode::RequestNotFound, "there is nothing at this path") })
        .layer(Extension(openapi::document()))
        .layer(Extension(Formats(engines.into())))
}

/// Pages of these origins may call and read the headers that a client needs. Tokens go
/// in a header that scripts set, never in cookies, so no credentials are allowed.
fn cors(origins: &[String]) -> CorsLayer {
    let origins: Vec<HeaderValue> = origins.iter().filter_map(|text| text.parse().ok()).collect();
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_methods([Method::GET, Method::POST, Method::DELETE])
        .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE, header::IF_NONE_MATCH, REQUEST_ID])
        .expose_headers([header::ETAG, header::RETRY_AFTER, header::LOCATION, REQUEST_ID])
        .max_age(Duration::from_secs(600))
}

/// Serves until `shutdown` ends, then lets open requests finish, for 15 s at most.
///
/// Each connection has the limits of the settings: its headers have to come in time
/// and in so many bytes (else the connection ends with 431 or without an answer), its
/// body and the reading of its answer have a least rate, and so many connections are
/// open at once. Further ones are answered with 503, and health checks as ever.
///
/// # Errors
/// When the listener's address cannot be told, or the server has no authentication and
/// the listener is not on loopback, whatever the settings say of `listen`.
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
    // Told to all; those who listen have ended when the channel is closed.
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
    let http = Http { times, head_bytes: Some(state.settings.limits.header_bytes) };
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
