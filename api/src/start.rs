//! From the configuration to a running server, with the reaper beside it.

use crate::auth::{Auth, Entry, Oidc, OidcSettings, Tokens};
use crate::listener::serve;
use crate::settings::{ApiLimits, ApiSettings, UploadSettings};
use crate::state::Server;
use cadmill_core::domain::failure::{Failure, FailureCode};
use cadmill_stores::bootstrap::stores::Stores;
use cadmill_stores::config::{self, Config};
use cadmill_stores::connections::descriptors;
use std::future::Future;
use tokio::net::TcpListener;

/// The server's part of the configuration. Connections are as many as fit below the
/// limit on descriptors, which is raised as far as the machine lets it.
///
/// # Errors
/// `usage.invalid`, with the sentence of the setting that is wrong.
pub fn settings(config: &Config) -> Result<ApiSettings, Failure> {
    let api = &config.api;
    let [connections, _] = connections(config)?;
    let auth = match &api.auth {
        config::Auth::None => Auth::None,
        config::Auth::Tokens(tokens) => {
            let entry = |token: &config::Token| Entry {
                owner: token.owner.clone(),
                sha256: token.sha256.clone(),
                auditor: token.auditor,
            };
            Auth::Tokens(Tokens::new(tokens.iter().map(entry)).map_err(wrong)?)
        }
        config::Auth::Oidc(oidc) => {
            let settings = OidcSettings {
                issuer: oidc.issuer.clone(),
                audience: oidc.audience.clone(),
                jwks_url: oidc.jwks_url.clone(),
                owner_claim: oidc.owner_claim.clone(),
                role_claim: oidc.role_claim.clone(),
            };
            Auth::Oidc(Oidc::new(settings).map_err(wrong)?)
        }
    };
    Ok(ApiSettings {
        listen: api.listen,
        auth,
        cors_origins: api.cors_origins.clone(),
        trusted_proxies: api.trusted_proxies.clone(),
        limits: ApiLimits {
            header_time: api.header_time,
            idle_time: api.idle_time,
            proxy_idle_time: api.proxy_idle_time,
            connections,
            connections_per_client: descriptors::share(
                api.connections_per_client,
                api.connections,
                connections,
            ),
            requests_per_second: api.rate_per_second,
            burst: api.rate_burst,
            ..ApiLimits::default()
        },
        upload: UploadSettings {
            url_lifetime: api.upload_url_lifetime,
            min_rate: api.upload_min_rate,
            multipart_threshold_bytes: api.multipart_threshold_bytes,
            part_bytes: api.part_size_bytes,
            max_bytes: api.max_upload_bytes,
        },
        download_url_lifetime: api.download_url_lifetime,
        ..ApiSettings::default()
    })
}

/// How many connections the API and the embedded object server keep open, as far as
/// this process may have descriptors for them.
///
/// # Errors
/// `usage.invalid` when it may have too few to serve anybody.
pub fn connections(config: &Config) -> Result<[usize; 2], Failure> {
    let objects = match config.backend {
        config::Backend::Embedded => config.embedded_s3_connections,
        config::Backend::Aws => 0,
    };
    descriptors::fit(descriptors::raise(), [config.api.connections, objects])
}

/// Binds the address that the configuration names.
///
/// # Errors
/// `infra.io`, with the address.
pub async fn bind(config: &Config) -> Result<TcpListener, Failure> {
    let address = config.api.listen;
    TcpListener::bind(address).await.map_err(|e| Failure::io(format_args!("listening on {address}"), &e))
}

/// Serves until `shutdown` ends. Deletes and announces what is due meanwhile: any
/// number of servers may do so at once.
///
/// # Errors
/// `usage.invalid` for settings that contradict each other, `infra.io`.
pub async fn run(
    config: &Config,
    stores: Stores,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), Failure> {
    let reaper = tokio::spawn(stores.reaper().run());
    let state = Server::new(settings(config)?, stores.objects, stores.jobs, stores.queue).map_err(wrong)?;
    let served = serve(listener, state, shutdown).await;
    reaper.abort();
    served.map_err(|e| Failure::io("serving", &e))
}

fn wrong(text: String) -> Failure {
    Failure::new(FailureCode::UsageInvalid, text)
}
