//! Where the AWS services of a configuration are.

use crate::adapters::aws::{S3Settings, Service, StaticCredentials};
use crate::config::Config;
use cadmill_core::domain::failure::{Failure, FailureCode};

/// The services that have no endpoint of their own in the configuration.
///
/// # Errors
/// `usage.invalid` without a region.
pub(super) fn of_aws(config: &Config) -> Result<Service, Failure> {
    let region = config.aws.region.clone().or_else(region_of_environment);
    let region = region.ok_or_else(|| missing("aws.region"))?;
    Ok(Service { region, endpoint: config.aws.endpoint.clone(), credentials: None })
}

/// A bucket of S3, for this program's own requests.
///
/// # Errors
/// As [`of_aws`].
pub(super) fn bucket(config: &Config, bucket: String) -> Result<S3Settings, Failure> {
    let everywhere = of_aws(config)?;
    let service = Service {
        endpoint: config.s3.endpoint.clone().or(everywhere.endpoint),
        credentials: config.s3.keys.as_ref().map(|(access_key, secret)| StaticCredentials {
            access_key: access_key.clone(),
            secret_key: secret.expose().to_owned(),
        }),
        region: everywhere.region,
    };
    Ok(S3Settings { bucket, service, public_endpoint: None, path_style: config.s3.path_style })
}

pub(super) fn missing(key: &str) -> Failure {
    Failure::new(FailureCode::UsageInvalid, format!("{key} is not set"))
}

/// The region from the environment variables of ECS and the AWS tools.
fn region_of_environment() -> Option<String> {
    ["AWS_REGION", "AWS_DEFAULT_REGION"].iter().find_map(|name| std::env::var(name).ok())
}
