//! The routes: public ones, and those for jobs, which require a token.

pub mod audit;
pub mod catalogue;
mod event_stream;
pub mod events;
pub mod health;
pub mod jobs;
pub mod page;
pub mod status;
pub mod tickets;
pub mod uploads;

use crate::state::ApiState;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Health checks. They are served whatever limit is reached.
pub fn health() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(health::healthz)).routes(routes!(health::readyz))
}

/// Liveness, which needs no store.
pub fn alive<S: Clone + Send + Sync + 'static>() -> OpenApiRouter<S> {
    OpenApiRouter::new().routes(routes!(health::healthz))
}

/// Routes that need neither a token nor a store, in addition to [`alive`].
pub fn constant<S: Clone + Send + Sync + 'static>() -> OpenApiRouter<S> {
    OpenApiRouter::new()
        .routes(routes!(catalogue::failures))
        .routes(routes!(catalogue::formats))
        .routes(routes!(catalogue::openapi_json))
}

/// Routes that require a token.
pub fn owned() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(jobs::create_job, jobs::list_jobs))
        .routes(routes!(jobs::delete_job))
        .routes(routes!(audit::job_audit))
        .routes(routes!(jobs::job_downloaded))
        .routes(routes!(status::job_status))
        .routes(routes!(events::job_events))
        .routes(routes!(events::events))
        .routes(routes!(tickets::events_ticket))
        .routes(routes!(tickets::job_ticket))
        .routes(routes!(uploads::get_upload))
        .routes(routes!(uploads::list_parts))
        .routes(routes!(uploads::complete_upload))
        .routes(routes!(uploads::abort_upload))
}
