//! All routes with their middleware, and the responses for unknown routes and methods.

use crate::middleware::access_log::REQUEST_ID;
use crate::middleware::{access_log, rate_limit};
use crate::problem::Problem;
use crate::routes::catalogue::Formats;
use crate::settings::BODY_BYTES;
use crate::state::ApiState;
use crate::{openapi, routes};
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::{Extension, Router};
use cadmill_core::domain::failure::FailureCode;
use cadmill_core::domain::format::EngineFormats;
use std::time::Duration;
use tower_http::cors::{AllowOrigin, CorsLayer};

/// All routes with their middleware.
pub fn router(state: ApiState) -> Router {
    let owned = routes::owned().route_layer(from_fn_with_state(state.clone(), rate_limit::owned));
    let open = routes::constant().route_layer(from_fn_with_state(state.clone(), rate_limit::open));
    let (router, _) = routes::health().merge(open).merge(owned).split_for_parts();
    let page = routes::page::page().route_layer(from_fn_with_state(state.clone(), rate_limit::open));
    let router = if state.settings.config.page { router.merge(page) } else { router };
    with_constants(router, &state.settings.engines)
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .layer(from_fn_with_state(state.clone(), rate_limit::time))
        .layer(cors(&state.settings.config.cors_origins))
        .layer(from_fn(access_log::observe))
        .with_state(state)
}

/// The routes served from the reserve, to connections beyond the limits.
pub(crate) fn reserve_router(state: ApiState) -> Router {
    let (router, _) = routes::health().split_for_parts();
    router
        .fallback(|| async {
            let message = "the server has reached its connection limit";
            Problem::new(FailureCode::ServerUnavailable, message).retry_after(1)
        })
        .layer(from_fn_with_state(state.clone(), rate_limit::time))
        .layer(from_fn(access_log::observe))
        .with_state(state)
}

/// The routes that need no store, for a server without one: no jobs, no tokens, and none of the
/// limits of [`router`].
pub fn catalogue_router(engines: &[EngineFormats]) -> Router {
    let (router, _) = routes::alive().merge(routes::constant()).split_for_parts();
    with_constants(router, engines).layer(from_fn(access_log::observe))
}

/// The responses of the constant routes, and of unknown routes and methods.
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

/// Pages of these origins may call the API and read the headers that a client needs. Tokens travel
/// in a header that scripts set, never in cookies, so credentials are not allowed.
fn cors(origins: &[String]) -> CorsLayer {
    let origins: Vec<HeaderValue> = origins.iter().filter_map(|text| text.parse().ok()).collect();
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_methods([Method::GET, Method::POST, Method::DELETE])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::IF_NONE_MATCH,
            // A page that resumes an event stream.
            HeaderName::from_static("last-event-id"),
            REQUEST_ID,
        ])
        .expose_headers([header::ETAG, header::RETRY_AFTER, header::LOCATION, REQUEST_ID])
        .max_age(Duration::from_secs(600))
}
