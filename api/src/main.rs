//! `cadmill-api`: serves the routes of [`cadmill_api::router`] until it is told to stop.
//!
//! There is no authentication yet, so it listens on loopback only.

#![forbid(unsafe_code)]

use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// Environment variable that names the port.
const PORT_VARIABLE: &str = "CADMILL_API_PORT";
const DEFAULT_PORT: u16 = 8080;

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
    let port = match std::env::var(PORT_VARIABLE) {
        Ok(text) => {
            text.parse().map_err(|_| format!("{PORT_VARIABLE} must be a port number, not '{text}'"))?
        }
        Err(_) => DEFAULT_PORT,
    };
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let listener =
        TcpListener::bind(address).await.map_err(|e| format!("cannot listen on {address}: {e}"))?;
    let bound = listener.local_addr().map_err(|e| e.to_string())?;
    eprintln!("listening on http://{bound}");
    axum::serve(listener, cadmill_api::router::router())
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
