//! Receives the body of a request into a file, counts and digests it on the way, and refuses it
//! as a whole if it does not match what the client announced.

use super::blobs::{Blobs, Segment, Unfinished};
use futures_util::StreamExt;
use hyper::HeaderMap;
use s3s::checksum::ChecksumHasher;
use s3s::crypto::{Checksum as _, Crc32, Crc32c, Crc64Nvme, Md5, Sha1, Sha256};
use s3s::dto::StreamingBlob;
use s3s::{S3Error, S3ErrorCode, S3Result, TrailingHeaders};
use std::io;

/// Largest body of one request, in bytes (Amazon S3 User Guide, "Amazon S3 multipart
/// upload limits").
const MAX_BYTES: u64 = 5 << 30;
/// The digests that a client may send, in base64, by the names of their headers.
const NAMES: [&str; 5] = [
    "x-amz-checksum-crc32",
    "x-amz-checksum-crc32c",
    "x-amz-checksum-crc64nvme",
    "x-amz-checksum-sha1",
    "x-amz-checksum-sha256",
];

/// A body that is stored in a file and synced.
pub(super) struct StoredBody {
    pub(super) segment: Segment,
    pub(super) md5: [u8; 16],
}

/// Receives a body of this key. Its digests are in the headers, or in trailers.
pub(super) async fn take(
    blobs: &Blobs,
    key: &str,
    (body, length): (Option<StreamingBlob>, Option<i64>),
    headers: &HeaderMap,
    trailing: Option<TrailingHeaders>,
) -> S3Result<StoredBody> {
    let mut body = body.ok_or(S3ErrorCode::IncompleteBody)?;
    let length = length.map(u64::try_from).transpose().map_err(|_| S3ErrorCode::InvalidArgument)?;
    if length.is_some_and(|length| length > MAX_BYTES) {
        return Err(S3ErrorCode::EntityTooLarge.into());
    }
    let (mut size, mut md5, mut digests) = (0u64, Md5::new(), expected(headers));
    let mut file: Unfinished = blobs.create(Some(key)).await.map_err(failed)?;
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(broken)?;
        size += chunk.len() as u64;
        if size > length.unwrap_or(MAX_BYTES) {
            return Err(S3ErrorCode::EntityTooLarge.into());
        }
        md5.update(&chunk);
        digests.update(&chunk);
        file.write(&chunk).await.map_err(failed)?;
    }
    if length.is_some_and(|length| length != size) {
        return Err(S3ErrorCode::IncompleteBody.into());
    }
    let trailing = trailing.and_then(|trailing| trailing.take()).unwrap_or_default();
    compare(digests, headers, &trailing)?;
    let blob = file.finish().await.map_err(failed)?;
    Ok(StoredBody { segment: Segment { blob, size }, md5: md5.finalize() })
}

/// Hashers for the digests that were sent or announced as trailers.
fn expected(headers: &HeaderMap) -> ChecksumHasher {
    let announced = headers.get("x-amz-trailer").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let wanted =
        |name: &str| headers.contains_key(name) || announced.split(',').any(|one| one.trim() == name);
    let [crc32, crc32c, crc64nvme, sha1, sha256] = NAMES.map(wanted);
    ChecksumHasher {
        crc32: crc32.then(Crc32::new),
        crc32c: crc32c.then(Crc32c::new),
        crc64nvme: crc64nvme.then(Crc64Nvme::new),
        sha1: sha1.then(Sha1::new),
        sha256: sha256.then(Sha256::new),
    }
}

fn compare(digests: ChecksumHasher, headers: &HeaderMap, trailing: &HeaderMap) -> S3Result<()> {
    let found = digests.finalize();
    let found = [
        found.checksum_crc32,
        found.checksum_crc32c,
        found.checksum_crc64nvme,
        found.checksum_sha1,
        found.checksum_sha256,
    ];
    for (name, found) in NAMES.iter().zip(found) {
        let sent = headers.get(*name).or_else(|| trailing.get(*name));
        if let Some(found) = found
            && sent.map(|value| value.as_bytes()) != Some(found.as_bytes())
        {
            return Err(S3ErrorCode::BadDigest.into());
        }
    }
    Ok(())
}

/// The client's stream ended early, or its content does not match the signature.
fn broken(error: s3s::StdError) -> S3Error {
    match error.downcast::<S3Error>() {
        Ok(error) => *error,
        Err(_) => S3ErrorCode::IncompleteBody.into(),
    }
}

/// A file could not be written. The client may retry: the disk may have space then.
fn failed(error: io::Error) -> S3Error {
    tracing::error!(error.kind = %error.kind(), "An upload could not be written");
    S3ErrorCode::ServiceUnavailable.into()
}
