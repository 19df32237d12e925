//! The settings of the server from the configuration of the program.

use crate::auth::{Auth, Oidc, OidcSettings, Tokens};
use crate::settings::{ApiLimits, ApiSettings, UploadSettings};
use cadmill_core::config::{self, Config};
use cadmill_core::domain::format::EngineFormats;

impl ApiSettings {
    /// The settings that a configuration gives; the engines are those of the workers.
    ///
    /// # Errors
    /// A sentence about tokens or an identity provider that cannot be used.
    pub fn of(config: &Config, engines: Vec<EngineFormats>) -> Result<Self, String> {
        let api = &config.api;
        let auth = match &api.auth {
            config::Auth::None => Auth::None,
            config::Auth::Tokens(tokens) => Auth::Tokens(Tokens::new(tokens.iter().cloned())?),
            config::Auth::Oidc(oidc) => Auth::Oidc(Oidc::new(OidcSettings {
                issuer: oidc.issuer.clone(),
                audience: oidc.audience.clone(),
                jwks_url: oidc.jwks_url.clone(),
                owner_claim: oidc.owner_claim.clone(),
            })?),
        };
        Ok(Self {
            listen: api.listen,
            auth,
            cors_origins: api.cors_origins.clone(),
            limits: ApiLimits {
                requests_per_second: api.rate_per_second,
                burst: api.rate_burst,
                ..ApiLimits::default()
            },
            upload: UploadSettings {
                url_lifetime: api.upload_url_lifetime,
                multipart_threshold_bytes: api.multipart_threshold_bytes,
                part_bytes: api.part_size_bytes,
                max_bytes: api.max_upload_bytes,
            },
            download_url_lifetime: api.download_url_lifetime,
            engines,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cadmill_core::config::Binary;

    #[test]
    fn the_defaults_of_both_are_the_same() {
        let (config, _) = config::parse("", Binary::Serve).unwrap();
        let (configured, own) = (ApiSettings::of(&config, vec![]).unwrap(), ApiSettings::default());
        assert_eq!(configured.listen, own.listen);
        assert_eq!(configured.download_url_lifetime, own.download_url_lifetime);
        assert_eq!(format!("{:?}", configured.limits), format!("{:?}", own.limits));
        assert_eq!(format!("{:?}", configured.upload), format!("{:?}", own.upload));
        assert_eq!(configured.check(), Ok(()));
    }

    #[test]
    fn what_is_configured_is_what_the_server_takes() {
        let digest = Tokens::digest("t");
        let text = format!(
            "api.auth = 'tokens'\napi.tokens = ['me:{digest}']\napi.rate_burst = 70\napi.listen = '0.0.0.0:9'"
        );
        let (config, _) = config::parse(&text, Binary::Serve).unwrap();
        let settings = ApiSettings::of(&config, vec![]).unwrap();
        assert!(matches!(settings.auth, Auth::Tokens(_)) && settings.limits.burst == 70);
        assert_eq!(settings.check(), Ok(()));
    }
}
