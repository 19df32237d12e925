//! Validity, digests and headers of presigned requests.

use super::super::error::refused;
use aws_sdk_s3::presigning::{PresignedRequest, PresigningConfig};
use cadmill_core::domain::ids::FileName;
use cadmill_core::domain::job::Millis;
use cadmill_core::ports::PortResult;
use cadmill_core::ports::object_store::Presigned;
use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

/// Signed headers that every client sends by itself.
const OWN: [&str; 2] = ["host", "content-length"];

/// When the validity of a request begins and ends, in whole seconds, which is the resolution of a
/// signature.
pub(super) struct Window {
    pub(super) config: PresigningConfig,
    expires: Millis,
    lifetime: Duration,
}

impl Window {
    /// From `now` for `lifetime`, at most seven days and not beyond `end`, when the credentials that
    /// sign it expire.
    pub(super) fn new(
        operation: &'static str,
        now: Millis,
        lifetime: Duration,
        end: Option<Millis>,
    ) -> PortResult<Self> {
        let now = now / 1000;
        let left = end.map_or(u64::MAX, |end| (end / 1000).saturating_sub(now));
        let whole = lifetime.as_secs().min(left);
        let config = PresigningConfig::builder()
            .start_time(SystemTime::UNIX_EPOCH + Duration::from_secs(now))
            .expires_in(Duration::from_secs(whole))
            .build()
            .ok()
            .filter(|_| whole > 0)
            .ok_or_else(|| refused(operation, "a URL is good for one second to seven days"))?;
        Ok(Self { config, expires: (now + whole) * 1000, lifetime: Duration::from_secs(whole) })
    }

    /// Converts the request to the type of the port. Every header is signed. `host` and
    /// `content-length` are not listed: HTTP clients send them by themselves, and browsers let no
    /// script set them (Fetch Standard, "forbidden request-header").
    pub(super) fn presigned(&self, method: &'static str, request: &PresignedRequest) -> Presigned {
        let own = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let mut headers: Vec<_> = request
            .headers()
            .filter(|(name, _)| !OWN.contains(&name.to_ascii_lowercase().as_str()))
            .map(own)
            .collect();
        headers.sort();
        let (url, expires, lifetime) = (request.uri().to_owned(), self.expires, self.lifetime);
        Presigned { method, url, headers, expires, lifetime }
    }
}

/// Converts a digest of 64 hexadecimal digits to base64, as S3 expects it.
pub(super) fn base64_digest(operation: &'static str, hex: &str) -> PortResult<String> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let bytes: Option<Vec<u8>> = hex
        .as_bytes()
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        })
        .collect();
    match bytes {
        Some(bytes) if bytes.len() == 32 => Ok(base64(&bytes)),
        _ => Err(refused(operation, "a SHA-256 has 64 hexadecimal digits")),
    }
}

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Decodes a base64 digest of `N` bytes; `None` if the text is not one.
pub(super) fn decoded<const N: usize>(text: &str) -> Option<[u8; N]> {
    let (mut bytes, mut bits, mut count) = (Vec::with_capacity(N), 0u32, 0);
    for character in text.trim_end_matches('=').bytes() {
        let digit = DIGITS.iter().position(|&digit| digit == character)?;
        (bits, count) = (bits << 6 | u32::try_from(digit).ok()?, count + 6);
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(bits >> count & 0xff).ok()?);
        }
    }
    bytes.try_into().ok()
}

fn base64(bytes: &[u8]) -> String {
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits = (0..3).fold(0u32, |bits, at| bits << 8 | u32::from(group.get(at).copied().unwrap_or(0)));
        for at in 0..4usize {
            if at <= group.len() {
                text.push(char::from(DIGITS[(bits >> (18 - 6 * at) & 63) as usize]));
            } else {
                text.push('=');
            }
        }
    }
    text
}

/// `Content-Disposition` of an attachment of this name (RFC 6266): an ASCII name
/// for old clients, and the name itself in the encoding of RFC 8187.
pub(super) fn attachment(name: &FileName) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || " ._-()+".contains(c) { c } else { '_' };
    let fallback: String = name.as_str().chars().map(plain).collect();
    let mut encoded = String::new();
    for byte in name.as_str().bytes() {
        if byte.is_ascii_alphanumeric() || b"!#$&+-.^_`|~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    format!("attachment; filename=\"{fallback}\"; filename*=UTF-8''{encoded}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_name_is_told_twice() {
        let told = |name: &str| attachment(&name.parse().unwrap());
        assert_eq!(told("a b.dxf"), "attachment; filename=\"a b.dxf\"; filename*=UTF-8''a%20b.dxf");
        assert_eq!(
            told("Pläne \"neu\"; 100%.zip"),
            "attachment; filename=\"Pl_ne _neu__ 100_.zip\"; filename*=UTF-8''Pl%C3%A4ne%20%22neu%22%3B%20100%25.zip"
        );
    }

    #[test]
    fn a_digest_is_told_in_base64() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(base64_digest("x", empty).unwrap(), "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
        for bad in ["", "e3", &empty[1..], &empty.replace('e', "g"), &format!("{empty}00")] {
            assert!(base64_digest("x", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn digests_come_back_from_base64() {
        let text = base64(&[0xfb, 0xff, 0x00, 0x80, 1, 2, 3, 4]);
        assert_eq!(decoded(&text), Some([0xfb, 0xff, 0x00, 0x80, 1, 2, 3, 4]));
        assert_eq!(decoded::<7>(&text), None);
        assert_eq!(decoded::<8>("not base64!="), None);
    }

    #[test]
    fn a_url_is_good_for_a_week_at_most() {
        for bad in [Duration::ZERO, Duration::from_millis(999), Duration::from_secs(604_801)] {
            assert!(Window::new("x", 0, bad, None).is_err(), "{bad:?}");
        }
        for good in [Duration::from_secs(1), Duration::from_secs(604_800)] {
            assert!(Window::new("x", 0, good, None).is_ok(), "{good:?}");
        }
    }

    #[test]
    fn a_url_does_not_outlive_its_credentials() {
        let window = |end| Window::new("x", 5_900, Duration::from_secs(900), end).unwrap();
        assert_eq!(window(None).expires, 905_000);
        assert_eq!(window(Some(1_000_000)).expires, 905_000);
        let cut = window(Some(305_999));
        assert_eq!((cut.expires, cut.config.expires()), (305_000, Duration::from_secs(300)));
        assert!(Window::new("x", 5_900, Duration::from_secs(900), Some(5_999)).is_err());
    }

    proptest! {
        #[test]
        fn no_name_breaks_out_of_its_header(name in "[^/\\\\\\x00-\\x1f\\x7f-\\x9f]{1,60}") {
            prop_assume!(name != "." && name != "..");
            let told = attachment(&name.parse().unwrap());
            prop_assert!(told.bytes().all(|b| (0x20..0x7f).contains(&b)));
            prop_assert_eq!(told.matches('"').count(), 2);
            prop_assert_eq!(told.matches(';').count(), 2);
        }
    }
}
