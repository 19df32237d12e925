//! Authentication: every job request carries a token, and the token identifies an owner.
//!
//! Rejections are reported as one of four codes, without further detail: the response does not
//! reveal which token was close, which key was tried or what a claim contained.

mod caller;
pub mod oidc;
pub mod tickets;
pub mod tokens;

use crate::problem::Problem;
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use cadmill_core::domain::failure::FailureCode;
pub use caller::Caller;
use caller::invalid;
pub use oidc::Oidc;
use tickets::Presented;
pub use tokens::Tokens;

/// How callers authenticate.
pub enum Auth {
    /// No authentication: for a single machine, on loopback only. Every caller is [`LOCAL_OWNER`].
    None,
    /// Random tokens issued by the operator.
    Tokens(Tokens),
    /// JSON Web Tokens (JWT) of an identity provider.
    Oidc(Oidc),
}

/// Owner of the jobs of a server without authentication.
pub const LOCAL_OWNER: &str = "local";

/// Longest accepted token, in bytes; longer ones are rejected unread.
const MAX_TOKEN_BYTES: usize = 8 << 10;

impl Auth {
    /// Identifies the caller.
    ///
    /// # Errors
    /// `auth.required`, `auth.invalid`, `auth.expired`, `auth.audience`, and
    /// `auth.unavailable` when the keys cannot be fetched.
    pub async fn caller(&self, headers: &HeaderMap) -> Result<Caller, Problem> {
        match self {
            // Every job belongs to this caller anyway.
            Self::None => match LOCAL_OWNER.parse() {
                Ok(owner) => Ok(Caller { owner, auditor: false }),
                Err(_) => Err(invalid()),
            },
            Self::Tokens(tokens) => tokens.caller(bearer(headers)?).ok_or_else(invalid),
            Self::Oidc(oidc) => oidc.caller(bearer(headers)?).await,
        }
    }
}

/// The ticket in the place of a token, if there is one.
pub fn ticket(headers: &HeaderMap) -> Option<Presented<'_>> {
    bearer(headers).ok().and_then(Presented::parse)
}

/// The token of the request.
fn bearer(headers: &HeaderMap) -> Result<&str, Problem> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Err(Problem::new(FailureCode::AuthRequired, "the request has no Authorization header"));
    };
    let token = value.to_str().ok().filter(|_| values.next().is_none()).and_then(|text| {
        let (scheme, token) = text.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_matches(' '))
    });
    let token = token.ok_or_else(|| {
        Problem::new(FailureCode::AuthRequired, "the Authorization header is not `Bearer TOKEN`")
    })?;
    let good =
        !token.is_empty() && token.len() <= MAX_TOKEN_BYTES && token.bytes().all(|b| b.is_ascii_graphic());
    if good { Ok(token) } else { Err(invalid()) }
}
