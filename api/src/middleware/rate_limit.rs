//! Rate limits and the time limit of a request.
//!
//! Health checks are exempt from all limits: requests of strangers must not make the server appear
//! unhealthy.

use crate::client;
use crate::problem::Problem;
use crate::state::ApiState;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use cadmill_core::domain::failure::FailureCode;

/// Middleware: counts requests to open routes by the client's address.
pub async fn open(State(state): State<ApiState>, request: Request, next: Next) -> Response {
    match state.rates.peer(client::address(&request, &state.settings.config.trusted_proxies)) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

/// Middleware: authenticates the request and counts it for its owner. A rejected request counts for
/// the client's address, so that guessing tokens is limited too.
pub async fn owned(State(state): State<ApiState>, mut request: Request, next: Next) -> Response {
    let peer = client::address(&request, &state.settings.config.trusted_proxies);
    let caller = match state.settings.auth.caller(request.headers()).await {
        Ok(caller) => caller,
        Err(problem) => {
            return state.rates.peer(peer).map_or_else(|limited| limited, |()| problem).into_response();
        }
    };
    let owner = caller.owner.clone();
    if let Err(problem) = state.rates.owner(&owner) {
        return problem.into_response();
    }
    request.extensions_mut().insert(caller);
    request.extensions_mut().insert(owner.clone());
    let mut response = next.run(request).await;
    response.extensions_mut().insert(owner);
    response
}

/// Middleware: aborts a request that takes too long. Its work stops at the next await point; every
/// request can be repeated.
pub async fn time(State(state): State<ApiState>, request: Request, next: Next) -> Response {
    match tokio::time::timeout(state.settings.request_time, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let message = "the server did not finish the request in time";
            Problem::new(FailureCode::RequestTimeout, message).retry_after(1).into_response()
        }
    }
}
