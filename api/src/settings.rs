//! The server's settings: its part of the configuration, and values derived from it at startup.

use crate::auth::Auth;
use cadmill_core::cleanup::evidence::Ledgers;
use cadmill_core::domain::format::{EngineFormats, OutputFormat};
use cadmill_core::ports::object_store::{MAX_PARTS, MIN_PART_BYTES};
use cadmill_stores::config::Api;
use cadmill_stores::connections::{Limits, Times};
use std::time::Duration;

/// All settings of the server.
pub struct ApiSettings {
    /// The server's part of the configuration, with the number of connections that the process can
    /// hold.
    pub config: Api,
    /// Authentication, as configured in `config.auth`.
    pub auth: Auth,
    /// Formats that the workers' engines read and write.
    pub engines: Vec<EngineFormats>,
    /// Who writes the evidence of deletions.
    pub ledgers: Ledgers,
    /// Time limit for one request, from the end of its headers. Includes its body, which is small.
    pub request_time: Duration,
    /// How long an event stream lives; its client opens another.
    pub stream_life: Duration,
    /// How long an event stream is silent: proxies end connections without traffic, many after 60 s.
    pub stream_beat: Duration,
}

/// Largest body, in bytes.
pub(crate) const BODY_BYTES: usize = 64 << 10;

/// Largest request line and headers combined, in bytes.
pub(crate) const HEADER_BYTES: usize = 16 << 10;

const REQUEST_TIME: Duration = Duration::from_secs(10);

const STREAM_LIFE: Duration = Duration::from_secs(600);
const STREAM_BEAT: Duration = Duration::from_secs(15);

/// Longest pause while a body is sent or a response is read, and the minimum rate: bodies and
/// responses are small.
const REST: Duration = Duration::from_secs(10);
const BYTES_PER_SECOND: u64 = 4 << 10;

/// Validity of an upload URL in addition to the transfer time: a client may have to locate its
/// file, or to wait for a connection.
const GRACE: Duration = Duration::from_secs(60);

/// Name under which the formats of `api.formats` are listed.
const DECLARED: &str = "declared";

impl Default for ApiSettings {
    /// The default configuration, for callers on loopback.
    fn default() -> Self {
        Self::new(Api::default(), Auth::None)
    }
}

impl ApiSettings {
    /// A configuration, with this authentication of callers.
    pub fn new(config: Api, auth: Auth) -> Self {
        let mut engines = EngineFormats::built_in();
        let output = |name: &String| OutputFormat { id: name.clone(), extension: name.clone() };
        if !config.formats.is_empty() {
            engines.push(EngineFormats {
                engine: DECLARED.to_owned(),
                inputs: Vec::new(),
                outputs: config.formats.iter().map(output).collect(),
            });
        }
        Self {
            config,
            auth,
            engines,
            ledgers: Ledgers::Nowhere,
            request_time: REQUEST_TIME,
            stream_life: STREAM_LIFE,
            stream_beat: STREAM_BEAT,
        }
    }

    /// Checks what the bounds of individual keys do not cover.
    ///
    /// # Errors
    /// A message: a server without authentication that is reachable from other machines.
    pub fn check(&self) -> Result<(), String> {
        if matches!(self.auth, Auth::None) && !self.config.listen.ip().is_loopback() {
            return Err(format!(
                "without authentication the server listens on loopback only, not on {}; configure tokens or \
                 an identity provider",
                self.config.listen.ip()
            ));
        }
        Ok(())
    }

    /// How many connections may be open.
    pub(crate) fn connections(&self) -> Limits {
        Limits {
            total: self.config.connections,
            per_client: self.config.connections_per_client,
            proxies: self.config.trusted_proxies.clone(),
        }
    }

    /// How many event streams may be open. Each has a connection, and other requests need some too.
    pub(crate) fn streams(&self) -> usize {
        self.config.streams.min(self.config.connections / 2).max(1)
    }

    /// Time limits of a client, or of a proxy.
    pub(crate) fn times(&self, proxy: bool) -> Times {
        let Api { header_time, idle_time, proxy_idle_time, .. } = self.config;
        Times {
            head: header_time,
            idle: if proxy { proxy_idle_time } else { idle_time },
            rest: REST,
            bytes_per_second: BYTES_PER_SECOND,
        }
    }

    /// Validity of a presigned URL when `bytes` must be sent to complete its transfer, earlier
    /// parts of the batch included. It is as short as this allows: after the end of the job the URL
    /// can only be misused.
    pub fn upload_lifetime(&self, bytes: u64) -> Duration {
        let sending = Duration::from_secs(bytes.div_ceil(self.config.upload_min_rate.max(1)));
        GRACE.saturating_add(sending).min(self.config.upload_url_lifetime)
    }

    /// Part size for a file of this size, in bytes: the configured size, or as many MiB as needed
    /// to stay within 10 000 parts.
    pub fn part_size_bytes(&self, size_bytes: u64) -> u64 {
        const MIB: u64 = 1 << 20;
        let needed = size_bytes.div_ceil(u64::from(MAX_PARTS)).div_ceil(MIB) * MIB;
        needed.max(self.config.part_size_bytes).max(MIN_PART_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cadmill_core::ports::object_store::MAX_PUT_BYTES;

    /// Largest object that can be stored, in bytes (Amazon S3 User Guide, "Amazon S3 objects
    /// overview").
    const LARGEST: u64 = 5 << 40;

    #[test]
    fn parts_are_large_enough_and_not_too_many() {
        let settings = ApiSettings::default();
        for size in [1, 16 << 20, (160_000 << 20) - 1, 160_000 << 20, (160_000 << 20) + 1, LARGEST] {
            let part = settings.part_size_bytes(size);
            assert!((MIN_PART_BYTES..=MAX_PUT_BYTES).contains(&part), "{size}: {part}");
            assert!(size.div_ceil(part) <= u64::from(MAX_PARTS), "{size}: {part}");
        }
        assert_eq!(settings.part_size_bytes(160_000 << 20), 16 << 20);
        assert_eq!(settings.part_size_bytes((160_000 << 20) + 1), 17 << 20);
    }

    #[test]
    fn a_url_lives_as_long_as_its_bytes_take() {
        let mut settings = ApiSettings::default();
        for (bytes, seconds) in
            [(0, 60), (1, 61), (1 << 20, 64), (64 << 20, 316), (1 << 40, 900), (u64::MAX, 900)]
        {
            assert_eq!(settings.upload_lifetime(bytes), Duration::from_secs(seconds), "{bytes}");
        }
        settings.config.upload_url_lifetime = Duration::from_secs(10);
        assert_eq!(settings.upload_lifetime(1), Duration::from_secs(10));
    }

    #[test]
    fn nobody_listens_to_the_world_without_authentication() {
        let mut settings = ApiSettings::default();
        assert_eq!(settings.check(), Ok(()));
        settings.config.listen = "0.0.0.0:80".parse().unwrap();
        assert!(settings.check().unwrap_err().contains("loopback"));
    }
}
