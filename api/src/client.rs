//! The client address of a request.
//!
//! It is the peer's address, unless the peer is one of the operator's proxies. Then it is taken
//! from `X-Forwarded-For`: each proxy appends the address of its own peer at the right, so the list
//! is read from the right for as long as its entries are proxies too. Entries further left were
//! sent by the client and may be forged.
//!
//! `Forwarded` (RFC 7239) is ignored: load balancers pass a client's header on unchanged.

use axum::extract::{ConnectInfo, Request};
use axum::http::HeaderMap;
use cadmill_stores::connections::Networks;
use cadmill_stores::connections::networks::plain;
use std::net::{IpAddr, SocketAddr};

const FORWARDED_FOR: &str = "x-forwarded-for";

/// The client's address, if the request came over a socket.
pub fn address(request: &Request, proxies: &Networks) -> Option<IpAddr> {
    let ConnectInfo(peer) = request.extensions().get::<ConnectInfo<SocketAddr>>()?;
    Some(behind(peer.ip(), request.headers(), proxies))
}

/// The rightmost address that is not a proxy's.
fn behind(peer: IpAddr, headers: &HeaderMap, proxies: &Networks) -> IpAddr {
    let mut known = plain(peer);
    // Repeated headers form one list (RFC 9110, 5.3).
    let lines: Vec<&[u8]> = headers.get_all(FORWARDED_FOR).iter().map(|value| value.as_bytes()).collect();
    let mut entries = lines.iter().rev().flat_map(|line| line.rsplit(|&byte| byte == b','));
    while proxies.contain(known) {
        // A malformed entry is not trusted: then the proxy itself counts as the client.
        match entries.next().map(parse) {
            Some(Some(address)) => known = address,
            Some(None) | None => break,
        }
    }
    known
}

/// An address, with or without a port.
fn parse(entry: &[u8]) -> Option<IpAddr> {
    let entry = std::str::from_utf8(entry).ok()?.trim_matches([' ', '\t']);
    let entry = entry.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(entry);
    let address = entry.parse::<IpAddr>().or_else(|_| entry.parse::<SocketAddr>().map(|socket| socket.ip()));
    let bracketed = || entry.strip_prefix('[')?.strip_suffix(']')?.parse::<IpAddr>().ok();
    address.ok().or_else(bracketed).map(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, lines: &[&str]) -> String {
        let proxies = ["10.0.0.0/8", "fd00::/8"].map(|text| text.parse().unwrap());
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(FORWARDED_FOR, axum::http::HeaderValue::from_bytes(line.as_bytes()).unwrap());
        }
        behind(peer.parse().unwrap(), &headers, &Networks(proxies.to_vec())).to_string()
    }

    #[test]
    fn only_a_proxy_is_believed() {
        assert_eq!(client("192.0.2.1", &["198.51.100.7"]), "192.0.2.1");
        assert_eq!(client("10.0.0.1", &["198.51.100.7"]), "198.51.100.7");
        assert_eq!(client("::ffff:10.0.0.1", &["198.51.100.7"]), "198.51.100.7");
        assert_eq!(client("fd00::1", &["2001:db8::7"]), "2001:db8::7");
        assert_eq!(client("10.0.0.1", &[]), "10.0.0.1");
    }

    #[test]
    fn what_the_client_sent_along_counts_for_nothing() {
        for lines in [
            &["127.0.0.1, 198.51.100.7"][..],
            &["10.9.9.9, 198.51.100.7, 10.0.0.2"],
            &["10.9.9.9", "198.51.100.7", "10.0.0.2"],
            &["garbage,,,", "198.51.100.7,10.0.0.2"],
            &["1.1.1.1,198.51.100.7\t, \t10.0.0.2 "],
            &["\u{e4}\u{ff}, 198.51.100.7"],
        ] {
            assert_eq!(client("10.0.0.1", lines), "198.51.100.7", "{lines:?}");
        }
    }

    #[test]
    fn ports_brackets_and_mapped_addresses_are_read() {
        for (entry, expected) in [
            ("198.51.100.7:443", "198.51.100.7"),
            ("[2001:db8::7]:443", "2001:db8::7"),
            ("[2001:db8::7]", "2001:db8::7"),
            ("2001:db8::7", "2001:db8::7"),
            ("\"[2001:db8::7]:1\"", "2001:db8::7"),
            ("::ffff:198.51.100.7", "198.51.100.7"),
        ] {
            assert_eq!(client("10.0.0.1", &[entry]), expected);
        }
    }

    #[test]
    fn what_is_no_address_counts_for_the_proxy_that_says_it() {
        for entry in
            ["unknown", "", "_hidden", "198.51.100", "198.51.100.7:x", "1.2.3.4 5.6.7.8", "host.example"]
        {
            assert_eq!(client("10.0.0.1", &[&format!("203.0.113.5, {entry}")]), "10.0.0.1", "{entry:?}");
            assert_eq!(client("10.0.0.1", &[&format!("{entry}, 10.0.0.2")]), "10.0.0.2", "{entry:?}");
        }
        assert_eq!(client("10.0.0.1", &["10.0.0.3, 10.0.0.2"]), "10.0.0.3", "proxies all the way");
    }
}
