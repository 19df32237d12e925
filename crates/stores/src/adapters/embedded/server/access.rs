//! Access control: only requests signed with the server's credentials are served, and those of
//! this installation's own processes take precedence.
//!
//! Clients have presigned URLs, whose signature is in the query. A request that is signed in its
//! header comes from a process that has the secret key: the API or a worker. Its connection
//! counts towards no limit, so that clients cannot keep it out.

use crate::connections::Seat;
use async_trait::async_trait;
use hyper::header::AUTHORIZATION;
use hyper::{HeaderMap, Uri};
use s3s::access::{S3Access, S3AccessContext};
use s3s::{S3ErrorCode, S3Result};
use std::sync::Arc;

pub(super) struct Access;

/// Query parameters of requests that are signed in the header. A presigned request has others. It
/// counts as presigned even with an additional `Authorization` header, or if the names of its
/// parameters are encoded differently.
const PARAMETERS: &[&str] = &[
    "continuation-token",
    "delete",
    "encoding-type",
    "key-marker",
    "list-type",
    "max-keys",
    "max-parts",
    "max-uploads",
    "part-number-marker",
    "partNumber",
    "prefix",
    "start-after",
    "upload-id-marker",
    "uploadId",
    "uploads",
    "version-id-marker",
    "versionId",
    "versioning",
    "versions",
    "x-id",
];

/// Whether the request is signed in its header, if its signature is valid.
pub(super) fn may_be_own(uri: &Uri, headers: &HeaderMap) -> bool {
    let names = uri.query().unwrap_or_default().split('&').filter(|parameter| !parameter.is_empty());
    let mut names = names.map(|parameter| parameter.split('=').next().unwrap_or_default());
    headers.contains_key(AUTHORIZATION) && names.all(|name| PARAMETERS.contains(&name))
}

#[async_trait]
impl S3Access for Access {
    /// Called once the signature has been verified.
    async fn check(&self, request: &mut S3AccessContext<'_>) -> S3Result<()> {
        if request.credentials().is_none() {
            return Err(S3ErrorCode::AccessDenied.into());
        }
        if may_be_own(request.uri(), request.headers())
            && let Some(seat) = request.extensions_mut().get::<Arc<Seat>>()
        {
            seat.own();
        }
        Ok(())
    }
}
