//! Rate limits and the time limit of a request.
//!
//! Health checks are exempt from all limits: requests of strangers must not make the server appear
//! unhealthy.

use crate::auth::tickets::{Presented, Scope};
use crate::auth::{self, Caller};
use crate::client;
use crate::extract::no_such_job;
use crate::problem::Problem;
use crate::state::ApiState;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, Method, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use cadmill_core::domain::failure::FailureCode;
use cadmill_core::domain::ids::JobId;

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
    let caller = match caller(&state, Asked::of(&request)).await {
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

/// What a caller asks for. Not the request itself, whose body cannot be shared between threads.
struct Asked<'a> {
    headers: &'a HeaderMap,
    method: &'a Method,
    uri: &'a Uri,
    /// The template.
    route: &'a str,
}

impl<'a> Asked<'a> {
    fn of(request: &'a Request) -> Self {
        let route = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
        Self { headers: request.headers(), method: request.method(), uri: request.uri(), route }
    }
}

/// The caller, by a ticket or a token. A ticket for something else is answered as an unknown job.
async fn caller(state: &ApiState, asked: Asked<'_>) -> Result<Caller, Problem> {
    let has_token = asked.headers.contains_key(header::AUTHORIZATION);
    let ticket = match has_token {
        true => auth::ticket(asked.headers),
        // Of a browser's `EventSource`, which sends no header. It is in no log: those have no query.
        false => in_query(asked.uri.query().unwrap_or_default()),
    };
    let Some(ticket) = ticket else { return state.settings.auth.caller(asked.headers).await };
    let scope = ticket.scope();
    // The URL of a stream is the only one with a ticket.
    let is_allowed = scope.allows(asked.method.as_str(), asked.route) && has_token == (scope == Scope::Job);
    let id = asked.uri.path().split('/').nth(3).and_then(|text| text.parse::<JobId>().ok());
    let id = id.filter(|_| is_allowed).ok_or_else(no_such_job)?;
    state.tickets.check(&ticket, id, state.jobs.clock().now())?;
    let job = state.jobs.store().get(id).await?.filter(|job| ticket.is_of(job)).ok_or_else(no_such_job)?;
    Ok(Caller { owner: job.order.owner, auditor: false })
}

/// The ticket of a query.
fn in_query(query: &str) -> Option<Presented<'_>> {
    let mut tickets = query.split('&').filter_map(|pair| pair.strip_prefix("ticket="));
    tickets.next().and_then(Presented::parse)
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
