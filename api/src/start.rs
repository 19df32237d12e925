//! Starts the server from its configuration.

use crate::auth::{Auth, Oidc, Tokens};
use crate::listener::serve;
use crate::settings::ApiSettings;
use crate::state::Server;
use cadmill_core::cleanup::evidence::Ledgers;
use cadmill_core::domain::failure::{Failure, FailureCode};
use cadmill_core::domain::format::EngineFormats;
use cadmill_core::metrics::Source;
use cadmill_stores::bootstrap::stores::Stores;
use cadmill_stores::config::{self, Config, Program};
use cadmill_stores::connections::descriptors::{self, Connections};
use cadmill_stores::metrics::{Metrics, show};
use std::future::Future;
use std::sync::Arc;
use tokio::net::TcpListener;

/// The server's part of the configuration. The number of connections is what fits below the
/// descriptor limit, which is raised as far as the machine allows.
///
/// # Errors
/// `usage.invalid`, with the message for the invalid setting.
pub fn settings(config: &Config) -> Result<ApiSettings, Failure> {
    let mut api = config.api.clone();
    let [connections, _] = connections(config)?;
    (api.connections, api.connections_per_client) = (connections.total, connections.per_client);
    let auth = match &api.auth {
        config::Auth::None => Auth::None,
        config::Auth::Tokens(tokens) => Auth::Tokens(Tokens::new(tokens).map_err(wrong)?),
        config::Auth::Oidc(oidc) => Auth::Oidc(Oidc::new(oidc.clone()).map_err(wrong)?),
    };
    Ok(ApiSettings::new(api, auth))
}

/// How many connections the API and the embedded object server may keep open under the descriptor
/// limit of this process.
///
/// # Errors
/// `usage.invalid` when the limit is too low to serve at all.
pub fn connections(config: &Config) -> Result<[Connections; 2], Failure> {
    let api = &config.api;
    let api = Connections { total: api.connections, per_client: api.connections_per_client };
    let per_client = config.embedded_s3_connections_per_client;
    let objects = match config.backend {
        config::Backend::Embedded => Connections { total: config.embedded_s3_connections, per_client },
        config::Backend::Aws => Connections { total: 0, per_client },
    };
    descriptors::fit(descriptors::raise(), [api, objects])
}

/// Binds the configured address.
///
/// # Errors
/// `infra.io`, with the address.
pub async fn bind(config: &Config) -> Result<TcpListener, Failure> {
    let address = config.api.listen;
    TcpListener::bind(address).await.map_err(|e| Failure::io(format_args!("listening on {address}"), &e))
}

/// Installs what records the metrics of the server, if the configuration asks for them, and those of the
/// cleanup where it runs in this process. Before the stores are opened, whose calls are counted.
///
/// # Errors
/// As [`Metrics::install`].
pub fn metrics(config: &Config, program: Program) -> Result<Option<Metrics>, Failure> {
    let sources: &[Source] = match program {
        Program::Serve => &[Source::Api, Source::Cleanup],
        Program::Api | Program::Worker | Program::Cleanup => &[Source::Api],
    };
    Metrics::install(config, program, sources)
}

/// Serves until `shutdown` completes, and takes jobs to the formats of `engines` beside those of the
/// configuration. The evidence of deletions goes to these ledgers.
///
/// # Errors
/// `usage.invalid` for settings that contradict each other; `infra.io`.
pub async fn run(
    config: &Config,
    stores: Stores,
    (metrics, ledgers): (Option<Metrics>, Ledgers),
    engines: Vec<EngineFormats>,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), Failure> {
    let mut settings = settings(config)?;
    settings.engines.extend(engines);
    settings.ledgers = ledgers;
    let queue = Arc::clone(&stores.queue);
    let state = Server::new(settings, stores.objects, stores.jobs, stores.queue).map_err(wrong)?;
    let shown = match metrics {
        Some(metrics) => {
            let readiness = state.readiness.clone();
            let readiness = match config.api.require_cleanup {
                true => readiness.with_attendance(Arc::clone(&state.attendance)),
                false => readiness,
            };
            Some(show(&metrics, config, readiness).await?)
        }
        None => None,
    };
    // On AWS the cleanup counts the messages.
    let shown = shown.map(|shown| match config.backend {
        config::Backend::Embedded => shown.with_queue(queue),
        config::Backend::Aws => shown,
    });
    let served = serve(listener, state, shutdown).await;
    if let Some(shown) = shown {
        shown.end().await;
    }
    served.map_err(|e| Failure::io("serving", &e))
}

fn wrong(text: String) -> Failure {
    Failure::new(FailureCode::UsageInvalid, text)
}
