//! Kinds of values: what is accepted, how it is written, and what error messages expect instead.

use super::token::Token;
use crate::connections::Network;
use cadmill_core::domain::limits::{display_size, parse_duration, parse_size};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// What a key accepts. Sizes are in bytes, durations in milliseconds; ranges include both ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Path,
    /// A text that is never shown.
    Secret,
    Choice(&'static [&'static str]),
    Flag,
    Count {
        min: u64,
        max: u64,
    },
    Size {
        min: u64,
        max: u64,
    },
    SizeOrAuto {
        min: u64,
        max: u64,
    },
    Duration {
        min: u64,
        max: u64,
    },
    /// IP address and port.
    Address,
    /// The same, or a port alone, which is one of 127.0.0.1.
    AddressOrPort,
    /// `http` or `https`, without credentials.
    Url,
    /// List of URLs without path.
    Origins,
    /// List of format ids and extensions.
    Formats,
    /// List of networks in CIDR notation.
    Networks,
    /// List of `owner:sha256` and `owner:sha256:auditor`.
    Tokens,
    /// List of one or more of these words, each at most once.
    Words(&'static [&'static str]),
    /// A private key in PEM; never shown.
    Pem,
}

/// A value of some [`Kind`]. It does not implement `Debug`, which would show secrets.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Value {
    Text(String),
    Number(u64),
    Flag(bool),
    Duration(Duration),
    Auto,
    List(Vec<String>),
}

impl Kind {
    pub(super) fn is_secret(self) -> bool {
        matches!(self, Self::Secret | Self::Pem)
    }

    /// Parses the text of a variable or a flag; list items are separated by commas.
    pub(super) fn parse(self, text: &str) -> Option<Value> {
        match self {
            Self::Text | Self::Path | Self::Secret => is_plain(text).then(|| Value::Text(text.to_owned())),
            Self::Choice(words) => words.contains(&text).then(|| Value::Text(text.to_owned())),
            Self::Flag => text.parse().ok().map(Value::Flag),
            Self::Count { min, max } => within(text.parse().ok()?, min, max).map(Value::Number),
            Self::SizeOrAuto { .. } if text == "auto" => Some(Value::Auto),
            Self::Size { min, max } | Self::SizeOrAuto { min, max } => {
                within(parse_size(text).ok()?, min, max).map(Value::Number)
            }
            Self::Duration { min, max } => {
                let duration = parse_duration(text).ok()?;
                within(u64::try_from(duration.as_millis()).ok()?, min, max)?;
                Some(Value::Duration(duration))
            }
            Self::Address => text.parse::<SocketAddr>().ok().map(|address| Value::Text(address.to_string())),
            Self::AddressOrPort => {
                let port = || Some(SocketAddr::from((Ipv4Addr::LOCALHOST, text.parse().ok()?)));
                let address = text.parse().ok().or_else(port);
                address.map(|address| Value::Text(address.to_string()))
            }
            Self::Url => is_url(text).then(|| Value::Text(text.to_owned())),
            Self::Pem => is_pem(text).then(|| Value::Text(text.to_owned())),
            Self::Origins | Self::Formats | Self::Networks | Self::Tokens | Self::Words(_) => {
                let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
                self.list(items.map(str::to_owned).collect())
            }
        }
    }

    /// Parses a list.
    pub(super) fn list(self, items: Vec<String>) -> Option<Value> {
        let good = match self {
            Self::Origins => items.iter().all(|item| is_origin(item)),
            Self::Formats => items.iter().all(|item| is_format(item)),
            Self::Networks => items.iter().all(|item| item.parse::<Network>().is_ok()),
            Self::Tokens => items.iter().all(|item| split_token(item).is_some()),
            Self::Words(words) => {
                let once = |item: &String| items.iter().filter(|other| *other == item).count() == 1;
                !items.is_empty() && items.iter().all(|item| words.contains(&item.as_str()) && once(item))
            }
            _ => false,
        };
        good.then_some(Value::List(items))
    }

    pub(super) fn is_list(self) -> bool {
        matches!(self, Self::Origins | Self::Formats | Self::Networks | Self::Tokens | Self::Words(_))
    }

    /// What is expected, as the text after "expected" in messages.
    pub(super) fn expected(self) -> String {
        match self {
            Self::Text | Self::Path | Self::Secret => {
                "a text of 1 to 4096 characters without control characters".to_owned()
            }
            Self::Choice(words) => format!("one of {}", words.join(", ")),
            Self::Flag => "true or false".to_owned(),
            Self::Count { min, max } => format!("a whole number from {min} to {max}"),
            Self::Size { min, max } => {
                format!("a size such as 512M, from {} to {}", display_size(min), display_size(max))
            }
            Self::SizeOrAuto { min, max } => {
                format!("auto, or a size such as 512M, from {} to {}", display_size(min), display_size(max))
            }
            Self::Duration { min, max } => {
                format!("a duration such as 90s, from {} to {}", show_duration(min), show_duration(max))
            }
            Self::Address => "an IP address and a port such as 127.0.0.1:8080 or [::1]:8080".to_owned(),
            Self::AddressOrPort => "an IP address and a port such as 0.0.0.0:9464, or a port".to_owned(),
            Self::Url => "an http or https URL without user name, query and fragment".to_owned(),
            Self::Origins => "a list of origins such as https://example.org".to_owned(),
            Self::Formats => {
                "a list of format ids and extensions such as vnd, each 1 to 32 of A-Z a-z 0-9 _ . -".to_owned()
            }
            Self::Networks => {
                "a list of networks such as 10.0.0.0/8 or 2001:db8::/32, no bit set behind the prefix, and not all addresses"
                    .to_owned()
            }
            Self::Tokens => {
                "a list of OWNER:SHA256 or OWNER:SHA256:auditor, the SHA-256 of the token in 64 lower-case hexadecimal digits"
                    .to_owned()
            }
            Self::Words(words) => format!("a list of some of {}, each once", words.join(", ")),
            Self::Pem => "a private key in PEM, as `openssl genpkey -algorithm ed25519` makes it".to_owned(),
        }
    }

    /// The placeholder for the value in the help of a flag.
    pub(super) fn placeholder(self) -> &'static str {
        match self {
            Self::Text | Self::Secret | Self::Pem => "TEXT",
            Self::Path => "PATH",
            Self::Choice(_) => "WORD",
            Self::Flag => "BOOL",
            Self::Count { .. } => "N",
            Self::Size { .. } | Self::SizeOrAuto { .. } => "SIZE",
            Self::Duration { .. } => "DUR",
            Self::Address | Self::AddressOrPort => "ADDR",
            Self::Url => "URL",
            Self::Origins | Self::Formats | Self::Networks | Self::Tokens | Self::Words(_) => "LIST",
        }
    }

    /// A refused text as messages may repeat it: without anything that is, or may hide, a secret.
    /// It is a common mistake to put a token where its SHA-256 belongs, or a password in a URL.
    pub(super) fn shown(self, text: &str) -> String {
        let hidden = match self {
            Self::Secret | Self::Tokens | Self::Pem => true,
            Self::Url | Self::Origins => text.contains(['@', '?', '#']),
            _ => false,
        };
        if hidden {
            return format!("a text of {} characters, which is not shown", text.chars().count());
        }
        let mut short: String = text.chars().take(80).collect();
        if short.len() < text.len() {
            short.push('…');
        }
        format!("{short:?}")
    }
}

impl Value {
    /// The value as written in a variable or a flag.
    pub(super) fn text(&self, kind: Kind) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Number(bytes) if matches!(kind, Kind::Size { .. } | Kind::SizeOrAuto { .. }) => {
                show_size(*bytes)
            }
            Self::Number(number) => number.to_string(),
            Self::Flag(flag) => flag.to_string(),
            Self::Duration(duration) => humantime::format_duration(*duration).to_string(),
            Self::Auto => "auto".to_owned(),
            Self::List(items) => items.join(","),
        }
    }

    /// The value as written in TOML.
    pub(super) fn toml(&self, kind: Kind) -> String {
        match self {
            Self::List(items) => {
                let items: Vec<String> = items.iter().map(|item| quoted(item)).collect();
                format!("[{}]", items.join(", "))
            }
            Self::Flag(_) => self.text(kind),
            Self::Number(_) if matches!(kind, Kind::Count { .. }) => self.text(kind),
            _ => quoted(&self.text(kind)),
        }
    }
}

/// Parses a token.
pub(super) fn split_token(item: &str) -> Option<Token> {
    let (item, auditor) = match item.strip_suffix(":auditor") {
        Some(item) => (item, true),
        None => (item, false),
    };
    let (owner, digest) = item.rsplit_once(':')?;
    let is_digest = digest.len() == 64 && digest.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    is_digest.then_some(Token { owner: owner.parse().ok()?, sha256: digest.to_owned(), auditor })
}

/// A TOML basic string.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

fn within(number: u64, min: u64, max: u64) -> Option<u64> {
    (min..=max).contains(&number).then_some(number)
}

fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.chars().count() <= 4096 && !text.contains(char::is_control)
}

/// Whether the text looks like a private key. The code that reads the key validates it.
fn is_pem(text: &str) -> bool {
    let good = |c: char| matches!(c, ' '..='~' | '\n' | '\r');
    text.starts_with("-----BEGIN PRIVATE KEY-----") && text.len() <= 4096 && text.chars().all(good)
}

fn is_url(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://")) else {
        return false;
    };
    let authority = rest.split('/').next().unwrap_or_default();
    let host = match authority.rsplit_once(':') {
        // In `[::1]` the last colon belongs to the address.
        Some((host, port)) if !port.ends_with(']') => match port.parse::<u16>() {
            Ok(_) => host,
            Err(_) => return false,
        },
        _ => authority,
    };
    let good = |c: char| c.is_ascii_graphic() && !matches!(c, '@' | '?' | '#' | '"' | '<' | '>' | '\\');
    !host.is_empty() && text.len() <= 2048 && text.chars().all(good)
}

fn is_format(text: &str) -> bool {
    let is_good = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
    (1..=32).contains(&text.len()) && text.bytes().all(is_good) && !text.starts_with('.')
}

fn is_origin(text: &str) -> bool {
    is_url(text) && text.matches('/').count() == 2 && !text.contains(',')
}

/// A size in the largest unit that divides it, so that it reads back exactly.
fn show_size(bytes: u64) -> String {
    let units = [(40, "T"), (30, "G"), (20, "M"), (10, "K")];
    match units.iter().find(|(shift, _)| bytes > 0 && bytes.trailing_zeros() >= *shift) {
        Some((shift, unit)) => format!("{}{unit}", bytes >> shift),
        None => bytes.to_string(),
    }
}

fn show_duration(millis: u64) -> String {
    humantime::format_duration(Duration::from_millis(millis)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn sizes_and_durations_read_back(bytes in 1u64..1 << 50, millis in 1u64..1 << 40) {
            let size = Kind::Size { min: 0, max: u64::MAX };
            prop_assert!(size.parse(&show_size(bytes)) == Some(Value::Number(bytes)));
            let duration = Value::Duration(Duration::from_millis(millis));
            let kind = Kind::Duration { min: 0, max: u64::MAX };
            prop_assert!(kind.parse(&duration.text(kind)) == Some(duration));
        }

        #[test]
        fn any_text_is_judged_without_a_panic(text in any::<String>()) {
            for key in super::super::key::KEYS {
                let _ = key.kind.parse(&text);
                let _ = key.kind.shown(&text);
            }
        }
    }

    #[test]
    fn urls_have_a_host_and_no_password() {
        for good in ["http://localhost", "https://a.b:9000/x", "http://[::1]:80", "http://[::1]"] {
            assert!(is_url(good), "{good}");
        }
        for bad in
            ["", "http://", "http://:80", "ftp://x", "http://u:p@x", "http://x?y", "http://x:y", "http://x y"]
        {
            assert!(!is_url(bad), "{bad}");
        }
        assert!(is_origin("https://a.example:8443") && !is_origin("https://a.example/"));
    }

    #[test]
    fn limits_hold_at_their_ends() {
        let kind = Kind::Count { min: 2, max: 4 };
        let good: Vec<bool> =
            ["1", "2", "4", "5", "-3", "x"].iter().map(|t| kind.parse(t).is_some()).collect();
        assert_eq!(good, [false, true, true, false, false, false]);
    }

    #[test]
    fn what_may_hide_a_secret_is_not_repeated() {
        for (kind, text) in
            [(Kind::Secret, "hunter2"), (Kind::Tokens, "me:hunter2"), (Kind::Url, "http://me:hunter2@x")]
        {
            assert!(!kind.shown(text).contains("hunter2"));
        }
        assert_eq!(Kind::Flag.shown("ye\ns"), "\"ye\\ns\"");
    }
}
