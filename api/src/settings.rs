//! What an operator may choose about the server. Whoever reads configuration fills
//! these in; nothing here reads a file or the environment.

use crate::auth::Auth;
use cadmill_core::domain::format::{EngineFormats, EngineKind};
use cadmill_core::ports::object_store::{MAX_PARTS, MAX_PUT_BYTES, MIN_PART_BYTES};
use cadmill_stores::connections::{Limits, Networks, Times};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

/// Largest file that can be stored at all, in bytes: 5 TiB (Amazon S3 User Guide,
/// "Amazon S3 objects overview"), which 10 000 parts of 5 GiB reach.
const MAX_OBJECT_BYTES: u64 = 5 << 40;

/// All settings of the server.
pub struct ApiSettings {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Who may call.
    pub auth: Auth,
    /// Origins whose pages may call, e.g. `https://app.example.com`. None by default.
    pub cors_origins: Vec<String>,
    /// Proxies before the server, whose word on a client's address is taken.
    pub trusted_proxies: Networks,
    /// What a caller may use up.
    pub limits: ApiLimits,
    /// How files come in.
    pub upload: UploadSettings,
    /// For how long a download URL is good; at least 10 s.
    pub download_url_lifetime: Duration,
    /// What the workers' engines read and write.
    pub engines: Vec<EngineFormats>,
}

/// How files come in.
#[derive(Debug, Clone)]
pub struct UploadSettings {
    /// For how long an upload URL is good at most. Together with the policy's upload
    /// window it bounds how late an object can appear.
    pub url_lifetime: Duration,
    /// Bytes a second that a client sends at least: the more there is to send, the longer
    /// a URL is good, see [`UploadSettings::lifetime`].
    pub min_rate: u64,
    /// Larger files come in parts, in bytes; at most 5 GiB.
    pub multipart_threshold_bytes: u64,
    /// Size of a part, in bytes; at least 5 MiB. Files of more than 10 000 such parts
    /// have larger ones.
    pub part_bytes: u64,
    /// Largest file, in bytes.
    pub max_bytes: u64,
}

/// What a caller may use up.
#[derive(Debug, Clone)]
pub struct ApiLimits {
    /// Largest body, in bytes.
    pub body_bytes: usize,
    /// Largest request line and headers together, in bytes; at least 8192.
    pub header_bytes: usize,
    /// Longest time for one request, from the end of its headers; its body, which is
    /// small, included.
    pub request_time: Duration,
    /// Longest time from the first byte of a request to the end of its headers.
    pub header_time: Duration,
    /// Longest time from one request of a connection to the first byte of the next.
    pub idle_time: Duration,
    /// The same for a connection of a trusted proxy. Must be longer than a load
    /// balancer keeps idle connections, or it would send requests into ones that this
    /// server has closed.
    pub proxy_idle_time: Duration,
    /// Requests that a caller may make in one second, on average.
    pub requests_per_second: u32,
    /// Requests that a caller may make at once after a pause.
    pub burst: u32,
    /// Connections open at once.
    pub connections: usize,
    /// Connections of one client open at once; trusted proxies have the total only.
    pub connections_per_client: usize,
}

/// Longest rest of a body or of the reader of an answer, and the least rate: bodies and
/// answers are small.
const REST: Duration = Duration::from_secs(10);
const BYTES_PER_SECOND: u64 = 4 << 10;

impl Default for ApiSettings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080),
            auth: Auth::None,
            cors_origins: Vec::new(),
            trusted_proxies: Networks::default(),
            limits: ApiLimits::default(),
            upload: UploadSettings::default(),
            download_url_lifetime: Duration::from_secs(5 * 60),
            engines: EngineKind::ALL
                .iter()
                .map(|&kind| EngineFormats::of_kind(kind.as_str(), kind))
                .collect(),
        }
    }
}

impl Default for UploadSettings {
    fn default() -> Self {
        Self {
            url_lifetime: Duration::from_secs(15 * 60),
            min_rate: 256 << 10,
            multipart_threshold_bytes: 64 << 20,
            part_bytes: 16 << 20,
            max_bytes: 8 << 30,
        }
    }
}

impl Default for ApiLimits {
    fn default() -> Self {
        Self {
            body_bytes: 64 << 10,
            header_bytes: 16 << 10,
            request_time: Duration::from_secs(10),
            header_time: Duration::from_secs(10),
            idle_time: Duration::from_secs(15),
            proxy_idle_time: Duration::from_secs(75),
            requests_per_second: 50,
            burst: 200,
            connections: 4096,
            connections_per_client: 256,
        }
    }
}

impl ApiSettings {
    /// Checks the settings against each other.
    ///
    /// # Errors
    /// A sentence that names the setting, what it is and what it may be.
    pub fn check(&self) -> Result<(), String> {
        if matches!(self.auth, Auth::None) && !self.listen.ip().is_loopback() {
            return Err(format!(
                "without authentication the server listens on loopback only, not on {}; configure tokens or \
                 an identity provider",
                self.listen.ip()
            ));
        }
        let UploadSettings { url_lifetime, min_rate, multipart_threshold_bytes, part_bytes, max_bytes } =
            &self.upload;
        let rules = [
            (*multipart_threshold_bytes <= MAX_PUT_BYTES, "the multipart threshold must be at most 5 GiB"),
            ((MIN_PART_BYTES..=MAX_PUT_BYTES).contains(part_bytes), "the part size must be 5 MiB to 5 GiB"),
            ((1..=MAX_OBJECT_BYTES).contains(max_bytes), "the maximum file size must be 1 byte to 5 TiB"),
            (*min_rate > 0, "the minimum upload rate must be at least 1 byte a second"),
            (url_lifetime.as_secs() >= 10, "the lifetime of an upload URL must be at least 10 s"),
            (
                self.download_url_lifetime.as_secs() >= 10,
                "the lifetime of a download URL must be at least 10 s",
            ),
            (self.limits.requests_per_second > 0, "the request rate of a caller must be at least 1 a second"),
            (self.limits.burst > 0, "the request burst of a caller must be at least 1"),
            (self.limits.header_bytes >= 8192, "the header limit must be at least 8192 bytes"),
            (self.limits.connections > 0, "the connection limit must be at least 1"),
            (self.limits.connections_per_client > 0, "the connection limit of a client must be at least 1"),
        ];
        match rules.iter().find(|(holds, _)| !holds) {
            Some((_, rule)) => Err((*rule).to_owned()),
            None => Ok(()),
        }
    }
}

impl ApiSettings {
    /// How many connections may be open.
    pub(crate) fn connections(&self) -> Limits {
        Limits {
            total: self.limits.connections,
            per_client: self.limits.connections_per_client,
            proxies: self.trusted_proxies.clone(),
        }
    }

    /// What a client, or a proxy, may take.
    pub(crate) fn times(&self, proxy: bool) -> Times {
        let ApiLimits { header_time, idle_time, proxy_idle_time, .. } = self.limits;
        Times {
            head: header_time,
            idle: if proxy { proxy_idle_time } else { idle_time },
            rest: REST,
            bytes_per_second: BYTES_PER_SECOND,
        }
    }
}

/// For how long any upload URL is good beside the time that the bytes take: a client may
/// have to find its file, or to wait for a connection.
const GRACE: Duration = Duration::from_secs(60);

impl UploadSettings {
    /// For how long a URL is good that is given out with `bytes` to send up to the end of
    /// its own: as short as that allows, because after the end of a job it is good for
    /// nothing but harm.
    pub fn lifetime(&self, bytes: u64) -> Duration {
        let sending = Duration::from_secs(bytes.div_ceil(self.min_rate.max(1)));
        GRACE.saturating_add(sending).min(self.url_lifetime)
    }

    /// Size of the parts of a file of this size, in bytes: the configured one, or as
    /// many MiB as keep the parts to 10 000.
    pub fn part_bytes_for(&self, size_bytes: u64) -> u64 {
        const MIB: u64 = 1 << 20;
        let needed = size_bytes.div_ceil(u64::from(MAX_PARTS)).div_ceil(MIB) * MIB;
        needed.max(self.part_bytes).max(MIN_PART_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_large_enough_and_not_too_many() {
        let upload = UploadSettings::default();
        for size in [1, 16 << 20, (160_000 << 20) - 1, 160_000 << 20, (160_000 << 20) + 1, MAX_OBJECT_BYTES] {
            let part = upload.part_bytes_for(size);
            assert!((MIN_PART_BYTES..=MAX_PUT_BYTES).contains(&part), "{size}: {part}");
            assert!(size.div_ceil(part) <= u64::from(MAX_PARTS), "{size}: {part}");
        }
        assert_eq!(upload.part_bytes_for(160_000 << 20), 16 << 20);
        assert_eq!(upload.part_bytes_for((160_000 << 20) + 1), 17 << 20);
    }

    #[test]
    fn a_url_lives_as_long_as_its_bytes_take() {
        let upload = UploadSettings::default();
        for (bytes, seconds) in
            [(0, 60), (1, 61), (1 << 20, 64), (64 << 20, 316), (1 << 40, 900), (u64::MAX, 900)]
        {
            assert_eq!(upload.lifetime(bytes), Duration::from_secs(seconds), "{bytes}");
        }
        let short = UploadSettings { url_lifetime: Duration::from_secs(10), ..upload };
        assert_eq!(short.lifetime(1), Duration::from_secs(10));
    }

    #[test]
    fn nobody_listens_to_the_world_without_authentication() {
        let open = ApiSettings { listen: "0.0.0.0:80".parse().unwrap(), ..ApiSettings::default() };
        assert!(open.check().unwrap_err().contains("loopback"));
        assert_eq!(ApiSettings::default().check(), Ok(()));
        let small = UploadSettings { part_bytes: (5 << 20) - 1, ..UploadSettings::default() };
        let settings = ApiSettings { upload: small, ..ApiSettings::default() };
        assert!(settings.check().unwrap_err().contains("5 MiB"));
    }
}
