//! The page for people, under `/app/`: files that the build embedded. See docs/PAGE.md.
//!
//! The page runs nothing but its own scripts, and connects to this server and to the object store only.
//! Its assets have the digest of their content in their names, so browsers keep them; the page that names
//! them is asked for each time.

use crate::problem::Problem;
use crate::state::ApiState;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use cadmill_core::domain::failure::FailureCode;
use cadmill_core::domain::ids::{JobId, ObjectKey};
use std::time::Duration;

/// An embedded file.
struct File {
    /// Its name, without a directory.
    name: &'static str,
    plain: &'static [u8],
    /// The same, compressed.
    gzip: Option<&'static [u8]>,
}

include!(concat!(env!("OUT_DIR"), "/page.rs"));

const INDEX: &str = "index.html";

/// Lifetime of the URL that is signed for its origin, and sent to no one.
const MOMENT: Duration = Duration::from_secs(10);

const OPENER: HeaderName = HeaderName::from_static("cross-origin-opener-policy");

/// The routes of the page. The OpenAPI document does not have them.
pub(crate) fn page() -> Router<ApiState> {
    Router::new()
        .route("/app", get(|| async { Redirect::temporary("/app/") }))
        .route("/app/", get(index))
        .route("/app/assets/{name}", get(asset))
}

async fn index(State(state): State<ApiState>, headers: HeaderMap) -> Result<Response, Problem> {
    let file = named(INDEX)?;
    let policy = if IS_BUILT { policy(store_origin(&state).await?.as_deref()) } else { unbuilt_policy() };
    let mut response = answer(file, &headers, "no-cache");
    let headers = response.headers_mut();
    let policy = HeaderValue::from_str(&policy);
    let policy = policy.map_err(|_| Problem::new(FailureCode::ServerInternal, "the page has no policy"))?;
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    headers.insert(OPENER, HeaderValue::from_static("same-origin"));
    Ok(response)
}

async fn asset(Path(name): Path<String>, headers: HeaderMap) -> Result<Response, Problem> {
    let file = named(&name)?;
    if name == INDEX {
        return Err(nothing());
    }
    Ok(answer(file, &headers, "public, max-age=31536000, immutable"))
}

fn named(name: &str) -> Result<&'static File, Problem> {
    FILES.iter().find(|file| file.name == name).ok_or_else(nothing)
}

fn nothing() -> Problem {
    Problem::new(FailureCode::RequestNotFound, "there is nothing at this path")
}

/// The file, compressed for clients that decode it.
fn answer(file: &'static File, asked: &HeaderMap, cache: &'static str) -> Response {
    let gzip = file.gzip.filter(|_| accepts_gzip(asked));
    let mut response = gzip.unwrap_or(file.plain).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type(file.name)));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    if gzip.is_some() {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

fn media_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        _ => "text/plain; charset=utf-8",
    }
}

/// Whether gzip is among the accepted codings, with a weight other than 0 (RFC 9110, 12.5.3).
fn accepts_gzip(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| line.split(',')).any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let weight = weight.trim().trim_start_matches("q=");
        let is_zero = weight.starts_with('0') && weight.bytes().all(|b| b"0.".contains(&b));
        name.trim().eq_ignore_ascii_case("gzip") && !is_zero
    })
}

/// The origin that uploads and downloads go to: that of any presigned URL. Only the store knows it, since
/// it depends on the region, the bucket and the endpoint as clients see it.
async fn store_origin(state: &ApiState) -> Result<Option<String>, Problem> {
    let name = "page".parse();
    let name = name.map_err(|_| Problem::new(FailureCode::ServerInternal, "the page has no name"))?;
    let key = ObjectKey::upload(JobId::from_random_bytes([0; 16]), name);
    let signed = state.objects.presign_put(&key, 1, None, MOMENT).await?;
    Ok(origin_of(&signed.url))
}

/// Scheme, host and port of a URL, if a policy can have them.
fn origin_of(url: &str) -> Option<String> {
    let url: Uri = url.parse().ok()?;
    let (scheme, authority) = (url.scheme_str()?, url.authority()?.as_str());
    let is_plain = authority.bytes().all(|b| b.is_ascii_alphanumeric() || b".-:[]".contains(&b));
    is_plain.then(|| format!("{scheme}://{authority}"))
}

/// Own scripts only, and no way to make one of text. Blobs are results on their way to a preview.
fn policy(store: Option<&str>) -> String {
    format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self' blob: {}; \
         img-src 'self' blob: data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
         require-trusted-types-for 'script'; trusted-types 'none'",
        store.unwrap_or_default()
    )
}

fn unbuilt_policy() -> String {
    "default-src 'none'; frame-ancestors 'none'".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn asked(values: &[&'static str]) -> HeaderMap {
        values.iter().map(|&value| (header::ACCEPT_ENCODING, HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn gzip_is_sent_to_those_that_accept_it() {
        for good in [&["gzip"][..], &["br, gzip"], &["GZIP;q=0.5"], &["br", " gzip ; q=1"]] {
            assert!(accepts_gzip(&asked(good)), "{good:?}");
        }
        for bad in [&[][..], &["br"], &["gzip;q=0"], &["gzip; q=0.000"], &["xgzip"]] {
            assert!(!accepts_gzip(&asked(bad)), "{bad:?}");
        }
    }

    #[test]
    fn an_origin_cannot_change_the_policy() {
        let of = |url| origin_of(url).unwrap_or_default();
        assert_eq!(
            of("https://b.s3.eu-west-1.amazonaws.com/k?X-Amz-Date=1"),
            "https://b.s3.eu-west-1.amazonaws.com"
        );
        assert_eq!(of("http://127.0.0.1:9000/b/k"), "http://127.0.0.1:9000");
        for bad in ["/k", "http://a;script-src/k", "http://a'/k", "https://user@host/k", "nothing"] {
            assert_eq!(of(bad), "", "{bad}");
        }
        assert!(policy(Some("http://s:1")).contains("connect-src 'self' blob: http://s:1;"));
    }

    /// What the page says of each failure code: its meaning and what to do.
    fn failures(language: &str) -> BTreeMap<String, (String, String)> {
        let path = format!("{}/page/text/failures.{language}.json", env!("CARGO_MANIFEST_DIR"));
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    }

    #[test]
    fn every_failure_is_explained_in_both_languages() {
        let codes: Vec<&str> = FailureCode::ALL.iter().map(|code| code.as_str()).collect();
        for language in ["en", "ko"] {
            let texts = failures(language);
            let missing: Vec<&&str> = codes.iter().filter(|code| !texts.contains_key(**code)).collect();
            assert!(missing.is_empty(), "api/page/text/failures.{language}.json lacks {missing:?}");
            for (code, (meaning, hint)) in &texts {
                assert!(codes.contains(&code.as_str()), "{language}: {code} is not a failure code");
                let is_korean = |text: &str| text.contains(|c| ('\u{ac00}'..='\u{d7a3}').contains(&c));
                for text in [meaning, hint] {
                    assert!(text.ends_with('.'), "{language}: {code}: {text}");
                    assert_eq!(is_korean(text), language == "ko", "{language}: {code}: {text}");
                }
            }
        }
    }
}
