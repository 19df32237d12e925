//! `cadmill-api`: serves [`cadmill_api::router`] until it is told to stop.
//!
//! Without configured stores it serves what needs none: that it lives, the failures,
//! the formats and the description of the API. It listens on loopback only.

#![forbid(unsafe_code)]

use cadmill_api::settings::ApiSettings;
use std::process::ExitCode;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> ExitCode {
    match serve().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::from(20)
        }
    }
}

async fn serve() -> Result<(), String> {
    let settings = ApiSettings::default();
    let address = settings.listen;
    let listener =
        TcpListener::bind(address).await.map_err(|e| format!("cannot listen on {address}: {e}"))?;
    eprintln!("listening on http://{}", listener.local_addr().map_err(|e| e.to_string())?);
    axum::serve(listener, cadmill_api::server::catalogue_router(&settings.engines))
        .with_graceful_shutdown(stopped())
        .await
        .map_err(|e| e.to_string())
}

/// Ends at SIGTERM, which ECS sends, and at SIGINT.
async fn stopped() {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
