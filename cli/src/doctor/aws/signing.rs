//! What a signature depends on: the clock, and how long the credentials last.

use super::finding::Findings;
use super::way;
use cadmill_core::domain::ids::{JobId, ObjectKey};
use cadmill_core::ports::ObjectStore;
use cadmill_core::ports::clock::{Clock, SystemClock};
use cadmill_stores::bootstrap::deployment::Deployment;
use cadmill_stores::config::Config;
use std::time::Duration;

const CLOCK: &str = "clock";
const URLS: &str = "urls";

/// Most AWS services refuse a request that is five minutes off (AWS General Reference, "Signature
/// Version 4").
const MAX_SKEW: Duration = Duration::from_secs(300);

/// A signed lifetime is in whole seconds.
const RESOLUTION: Duration = Duration::from_secs(2);

/// Compares the clock of this machine with that of S3, which has answered before.
pub(super) fn clock(findings: &mut Findings, deployment: &Deployment) {
    let (own, store) = (SystemClock.now(), deployment.objects.clock().date());
    let skew = Duration::from_millis(own.abs_diff(store));
    let whole = humantime::format_duration(Duration::from_secs(skew.as_secs()));
    let way = if own > store { "ahead of" } else { "behind" };
    if skew > MAX_SKEW {
        let hint = "AWS refuses signatures that are five minutes off. cadmill corrects that by the answers of AWS, but \
                    the end of credentials is still taken from this clock: synchronise it (chrony).";
        findings.fault(CLOCK, format!("it is {whole} {way} that of S3"), hint, "");
    } else {
        findings.ok(CLOCK, format!("{whole} off at most"));
    }
}

/// Signs for the longest lifetime, and sees what the credentials leave of it.
pub(super) async fn lifetime(findings: &mut Findings, deployment: &Deployment, config: &Config) {
    let longest = config.api.upload_url_lifetime.max(config.api.download_url_lifetime);
    let Ok(name) = way::name() else { return };
    let key = ObjectKey::upload(JobId::random(), name);
    let wanted = humantime::format_duration(longest);
    // A URL that is never sent.
    match deployment.objects.presign_put(&key, 1, None, longest).await {
        Ok(signed) if signed.lifetime + RESOLUTION < longest => {
            let left = humantime::format_duration(signed.lifetime);
            let hint = "A URL ends with the credentials that signed it, so clients get less time than configured: set \
                        api.upload_url_lifetime and api.download_url_lifetime below what the credentials last.";
            findings.fault(URLS, format!("URLs end after {left} and not after {wanted}"), hint, "ApiTask");
        }
        Ok(_) => findings.ok(URLS, format!("the credentials last for URLs of {wanted}")),
        Err(error) => {
            let hint =
                "No URL can be signed: see that the task has a role, or that this machine has credentials.";
            findings.fault(URLS, error.to_string(), hint, "ApiRole, ApiTask");
        }
    }
}
