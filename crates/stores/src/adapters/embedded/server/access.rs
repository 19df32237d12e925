//! Who is served: only what is signed with the keys, and first of all this
//! installation's own processes.
//!
//! Clients have presigned URLs, whose signature is in the query. A request that is
//! signed in its header comes from a process that has the secret key: the API or a
//! worker. Its connection counts in no limit, so that no client keeps them out.

use crate::connections::Seat;
use async_trait::async_trait;
use hyper::header::AUTHORIZATION;
use hyper::{HeaderMap, Uri};
use s3s::access::{S3Access, S3AccessContext};
use s3s::{S3ErrorCode, S3Result};
use std::sync::Arc;

pub(super) struct Access;

/// Parameters of the query in requests that are signed in the header. A presigned
/// request has others, and stays one with an `Authorization` header beside it, or with
/// the names of its parameters written in another way.
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
    "versions",
    "x-id",
];

/// Whether the request is signed in its header, if it is signed at all.
pub(super) fn may_be_own(uri: &Uri, headers: &HeaderMap) -> bool {
    let names = uri.query().unwrap_or_default().split('&').filter(|parameter| !parameter.is_empty());
    let mut names = names.map(|parameter| parameter.split('=').next().unwrap_or_default());
    headers.contains_key(AUTHORIZATION) && names.all(|name| PARAMETERS.contains(&name))
}

#[async_trait]
impl S3Access for Access {
    /// Called once the signature has been found good.
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
