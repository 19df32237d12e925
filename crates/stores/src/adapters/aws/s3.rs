//! Objects in Amazon S3, or in a server that speaks its protocol.
//!
//! An object is written once: every write carries `If-None-Match: *`, which presigned writes have
//! in their signature. A read carries the expected ETag, and the ETag of the reply is compared
//! with it again, because not every server supports `If-Match`.
//!
//! Listings are not trusted: a key is compared with the prefix here before it is deleted.
//!
//! S3 answers a HEAD or GET of a missing object with 404 only to a caller that may list the bucket
//! (`s3:ListBucket`), and otherwise with 403 (Amazon S3 API Reference, "HeadObject"). So 403 is
//! [`PortError::Hidden`] here, unless [`ObjectStore::check`] has found that this caller may list.

mod access;
mod check;
#[cfg(any(test, feature = "testing"))]
mod create;
mod credentials;
mod inventory;
mod presign;
mod probe;
mod purge;

#[cfg(any(test, feature = "testing"))]
pub use create::Keeps;

pub use inventory::Inventory;
pub use probe::{BucketRight, KEY_RIGHT, is_about_kms};

use super::error::{Effect, corrupt, lost, port_error, refused};
use super::{Service, StoreClock};
use access::Known;
use async_trait::async_trait;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::IdentityCache;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumMode, ChecksumType, CompletedMultipartUpload, CompletedPart};
use bytes::{Bytes, BytesMut};
use cadmill_core::domain::coding::{Coding, Encoded};
use cadmill_core::domain::ids::{FileName, JobId, ObjectKey, Role};
use cadmill_core::domain::job::{Millis, Object};
use cadmill_core::ports::clock::{Clock, SystemClock};
use cadmill_core::ports::object_store::{Checksum, ObjectStore, Part, Presigned, Tally};
use cadmill_core::ports::{PortError, PortResult};
use credentials::SigningCredentials;
use presign::{Window, attachment, base64_digest, decoded};
use std::ops::Range;
use std::time::Duration;

/// The bucket and how to reach it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Settings {
    /// The bucket's name.
    pub bucket: String,
    /// Where its service is.
    pub service: Service,
    /// Base URL under which clients reach the server, if it differs. Presigned URLs are made for
    /// it.
    pub public_endpoint: Option<String>,
    /// Path-style requests: the bucket name is in the path of a URL, not in the host name.
    pub path_style: bool,
}

/// Timeout of one attempt: a part of 64 MiB at 0.6 MB/s, or the completion of an upload of
/// thousands of parts.
const ATTEMPT: Duration = Duration::from_secs(120);
/// Timeout of one call.
const OPERATION: Duration = Duration::from_secs(300);

/// The objects of one bucket.
#[derive(Clone)]
pub struct S3Store {
    pub(super) bucket: String,
    pub(super) client: Client,
    /// The client that signs presigned requests; it sends nothing.
    signer: Client,
    signing: SigningCredentials,
    clock: StoreClock,
    /// What is known about the permissions of this process.
    access: Known,
    /// Whether this process serves the store.
    here: bool,
}

impl S3Store {
    /// Creates a store. Sends nothing yet: [`ObjectStore::check`] checks that the bucket exists.
    pub async fn new(settings: S3Settings) -> Self {
        let clock = StoreClock::default();
        let near = Client::from_conf(config(&settings, Some(clock.clone())).await.0.build());
        let public = settings.public_endpoint.clone().or(settings.service.endpoint.clone());
        let service = Service { endpoint: public, ..settings.service.clone() };
        let (signer, provider) = config(&S3Settings { service, ..settings.clone() }, None).await;
        let signing = SigningCredentials::new(provider);
        let signer = Self::signer(signer, &signing);
        let access = Known::default();
        Self { bucket: settings.bucket, client: near, signer, signing, clock, access, here: false }
    }

    /// A client that signs with these credentials.
    fn signer(config: aws_sdk_s3::config::Builder, signing: &SigningCredentials) -> Client {
        let config = config.credentials_provider(signing.clone()).identity_cache(IdentityCache::no_cache());
        Client::from_conf(config.build())
    }

    /// Sets the longest lifetime of the URLs that this store signs (15 minutes if it is not set):
    /// that early, credentials that expire are replaced.
    pub fn with_url_lifetime(self, lifetime: Duration) -> Self {
        let signing = self.signing.with_url_lifetime(lifetime);
        let signer = Self::signer(self.signer.config().to_builder(), &signing);
        Self { signer, signing, ..self }
    }

    /// The validity of a request that is signed now.
    async fn window(&self, operation: &'static str, lifetime: Duration) -> PortResult<Window> {
        let now = self.signing_time();
        let end = self.signing.ready(operation, now).await?;
        Window::new(operation, now, lifetime, end)
    }

    /// Marks the store as served by this process: its clock is the system clock.
    pub fn served_here(self) -> Self {
        Self { here: true, ..self }
    }

    /// The store's time.
    pub fn clock(&self) -> StoreClock {
        self.clock.clone()
    }

    /// The time by which the store checks a presigned request.
    fn signing_time(&self) -> Millis {
        if self.here { SystemClock.now() } else { self.clock.date() }
    }
}

pub(super) async fn client(settings: &S3Settings) -> Client {
    Client::from_conf(config(settings, None).await.0.build())
}

/// The configuration of a client, and what provides its credentials.
async fn config(
    settings: &S3Settings,
    clock: Option<StoreClock>,
) -> (aws_sdk_s3::config::Builder, Option<SharedCredentialsProvider>) {
    let shared = settings.service.config(ATTEMPT, OPERATION).await;
    let mut config = aws_sdk_s3::config::Builder::from(&shared).force_path_style(settings.path_style);
    if let Some(clock) = clock {
        config = config.interceptor(clock);
    }
    (config, shared.credentials_provider())
}

/// Whether the store refused without an error code: an answer to HEAD has no body. The cause may
/// be the time of the signature. If the SDK knows that, it retries with the time of the answer;
/// here the retry is made explicitly.
fn in_silence<E: ProvideErrorMetadata>(error: &SdkError<E>) -> bool {
    let status = error.raw_response().map(|response| response.status().as_u16());
    status == Some(403) && error.code().is_none()
}

/// Converts a number of the port to the type of the SDK.
fn number<T, U: TryFrom<T>>(operation: &'static str, value: T) -> PortResult<U> {
    U::try_from(value).map_err(|_| refused(operation, "a number is out of range"))
}

/// Header of a request for the bucket: asks whether it accepts writes.
pub(in crate::adapters) const CAN_WRITE: &str = "x-cadmill-can-write";

#[async_trait]
impl ObjectStore for S3Store {
    async fn presign_put(
        &self,
        key: &ObjectKey,
        size_bytes: u64,
        sha256: Option<&str>,
        lifetime: Duration,
    ) -> PortResult<Presigned> {
        const OPERATION: &str = "signing an upload";
        let window = self.window(OPERATION, lifetime).await?;
        let digest = sha256.map(|hex| base64_digest(OPERATION, hex)).transpose()?;
        let put = self
            .signer
            .put_object()
            .bucket(&self.bucket)
            .key(key.to_string())
            .content_length(number(OPERATION, size_bytes)?)
            .if_none_match("*")
            .set_checksum_sha256(digest);
        let request = put
            .presigned(window.config.clone())
            .await
            .map_err(|e| port_error(OPERATION, Effect::Read, &e))?;
        Ok(window.presigned("PUT", &request))
    }

    async fn presign_part(
        &self,
        key: &ObjectKey,
        upload_id: &str,
        part: u32,
        size_bytes: u64,
        lifetime: Duration,
    ) -> PortResult<Presigned> {
        const OPERATION: &str = "signing a part";
        let window = self.window(OPERATION, lifetime).await?;
        let put = self
            .signer
            .upload_part()
            .bucket(&self.bucket)
            .key(key.to_string())
            .upload_id(upload_id)
            .part_number(number(OPERATION, part)?)
            .content_length(number(OPERATION, size_bytes)?);
        let request = put
            .presigned(window.config.clone())
            .await
            .map_err(|e| port_error(OPERATION, Effect::Read, &e))?;
        Ok(window.presigned("PUT", &request))
    }

    async fn presign_get(
        &self,
        object: &Object,
        file_name: &FileName,
        lifetime: Duration,
    ) -> PortResult<Presigned> {
        const OPERATION: &str = "signing a download";
        let window = self.window(OPERATION, lifetime).await?;
        let get = self
            .signer
            .get_object()
            .bucket(&self.bucket)
            .key(object.key.to_string())
            .set_version_id(object.version.clone())
            .response_content_disposition(attachment(file_name))
            // Whatever the content is, a browser must not render it under the store's host name.
            .response_content_type("application/octet-stream");
        let request = get
            .presigned(window.config.clone())
            .await
            .map_err(|e| port_error(OPERATION, Effect::Read, &e))?;
        Ok(window.presigned("GET", &request))
    }

    async fn begin_encoded(&self, key: &ObjectKey, coding: Option<Coding>) -> PortResult<String> {
        const OPERATION: &str = "beginning a multipart upload";
        let begin = self.client.create_multipart_upload().bucket(&self.bucket).key(key.to_string());
        let begin = begin.set_content_encoding(coding.map(|coding| coding.as_str().to_owned()));
        let reply = begin.send().await.map_err(|e| port_error(OPERATION, Effect::Write, &e))?;
        reply.upload_id.ok_or_else(|| corrupt(OPERATION, "the reply has no upload id"))
    }

    async fn parts(&self, key: &ObjectKey, upload_id: &str) -> PortResult<Vec<Part>> {
        const OPERATION: &str = "listing parts";
        let mut parts = Vec::new();
        let mut marker: Option<String> = None;
        loop {
            let list = self
                .client
                .list_parts()
                .bucket(&self.bucket)
                .key(key.to_string())
                .upload_id(upload_id)
                .set_part_number_marker(marker.clone());
            let page = list.send().await.map_err(|e| port_error(OPERATION, Effect::Read, &e))?;
            for part in page.parts() {
                let known = part.part_number().and_then(|n| u32::try_from(n).ok());
                let number = known.ok_or_else(|| corrupt(OPERATION, "a part has no number"))?;
                let size_bytes = part.size().and_then(|size| u64::try_from(size).ok());
                let size_bytes = size_bytes.ok_or_else(|| corrupt(OPERATION, "a part has no size"))?;
                parts.push(Part { number, etag: part.e_tag().unwrap_or_default().to_owned(), size_bytes });
            }
            match page.next_part_number_marker {
                Some(next) if page.is_truncated == Some(true) && Some(&next) != marker.as_ref() => {
                    marker = Some(next);
                }
                _ if page.is_truncated == Some(true) => {
                    return Err(corrupt(OPERATION, "the list does not end"));
                }
                _ => break,
            }
        }
        parts.sort_by_key(|part| part.number);
        Ok(parts)
    }

    async fn put_part(&self, key: &ObjectKey, upload_id: &str, part: u32, body: Bytes) -> PortResult<Part> {
        const OPERATION: &str = "writing a part";
        let size_bytes = number(OPERATION, body.len())?;
        let put = self
            .client
            .upload_part()
            .bucket(&self.bucket)
            .key(key.to_string())
            .upload_id(upload_id)
            .part_number(number(OPERATION, part)?)
            .body(ByteStream::from(body));
        let reply = put.send().await.map_err(|e| port_error(OPERATION, Effect::Write, &e))?;
        let etag = reply.e_tag.ok_or_else(|| corrupt(OPERATION, "the reply has no ETag"))?;
        Ok(Part { number: part, etag, size_bytes })
    }

    /// If a reply was lost and the SDK retried, this fails with [`PortError::NotFound`] or
    /// [`PortError::Precondition`] although the object was created; [`ObjectStore::head`] shows
    /// whether it exists.
    async fn complete_multipart(&self, key: &ObjectKey, upload_id: &str, parts: &[Part]) -> PortResult<()> {
        const OPERATION: &str = "completing a multipart upload";
        let mut list = CompletedMultipartUpload::builder();
        for part in parts {
            let completed = CompletedPart::builder().part_number(number(OPERATION, part.number)?);
            list = list.parts(completed.e_tag(&part.etag).build());
        }
        let complete = self
            .client
            .complete_multipart_upload()
            .bucket(&self.bucket)
            .key(key.to_string())
            .upload_id(upload_id)
            .if_none_match("*")
            .multipart_upload(list.build());
        complete.send().await.map_err(|e| port_error(OPERATION, Effect::Write, &e))?;
        Ok(())
    }

    async fn abort_multipart(&self, key: &ObjectKey, upload_id: &str) -> PortResult<()> {
        self.abort(&key.to_string(), upload_id).await
    }

    /// If a reply was lost and the SDK retried, this fails with [`PortError::Precondition`]
    /// although the object is the caller's own.
    async fn put_encoded(&self, key: &ObjectKey, body: Bytes, coding: Option<Coding>) -> PortResult<()> {
        const OPERATION: &str = "writing an object";
        let put = self.client.put_object().bucket(&self.bucket).key(key.to_string()).if_none_match("*");
        let put = put.set_content_encoding(coding.map(|coding| coding.as_str().to_owned()));
        let sent = put.body(ByteStream::from(body)).send().await;
        sent.map_err(|e| port_error(OPERATION, Effect::Write, &e))?;
        Ok(())
    }

    async fn head(&self, key: &ObjectKey) -> PortResult<Object> {
        const OPERATION: &str = "asking for an object";
        let head = self.client.head_object().bucket(&self.bucket).key(key.to_string());
        let reply = match head.clone().send().await {
            Err(error) if in_silence(&error) => head.send().await,
            reply => reply,
        };
        let reply = reply.map_err(|e| self.hidden_or(OPERATION, &e))?;
        let size = reply.content_length.and_then(|size| u64::try_from(size).ok());
        let coding = reply.content_encoding.as_deref().and_then(Coding::of_header);
        Ok(Object {
            key: key.clone(),
            size_bytes: size.ok_or_else(|| corrupt(OPERATION, "the reply has no size"))?,
            etag: reply.e_tag.ok_or_else(|| corrupt(OPERATION, "the reply has no ETag"))?,
            version: reply.version_id,
            sha256: None,
            encoded: coding.map(|coding| Encoded { coding, content: None }),
        })
    }

    async fn find(&self, key: &ObjectKey) -> PortResult<Object> {
        match self.latest(key).await? {
            Some(found) => Ok(found),
            None => self.head(key).await,
        }
    }

    async fn checksum(&self, object: &Object) -> PortResult<Option<Checksum>> {
        const OPERATION: &str = "asking for a checksum";
        let head = self
            .client
            .head_object()
            .bucket(&self.bucket)
            .key(object.key.to_string())
            .set_version_id(object.version.clone())
            .if_match(&object.etag)
            .checksum_mode(ChecksumMode::Enabled);
        let reply = match head.clone().send().await {
            Err(error) if in_silence(&error) => head.send().await,
            reply => reply,
        };
        let reply = reply.map_err(|e| self.hidden_or(OPERATION, &e))?;
        if reply.e_tag() != Some(object.etag.as_str()) {
            return Err(PortError::Precondition(OPERATION));
        }
        // The checksum of a multipart object is a checksum of checksums, not of the whole
        // content.
        if reply.checksum_type() != Some(&ChecksumType::FullObject) {
            return Ok(None);
        }
        let crc = reply.checksum_crc64_nvme().and_then(decoded).map(u64::from_be_bytes);
        let sha256 = reply.checksum_sha256().and_then(decoded);
        Ok(sha256.map(Checksum::Sha256).or(crc.map(Checksum::Crc64Nvme)))
    }

    /// Holds the whole range in memory; an empty range sends no request.
    async fn read(&self, object: &Object, range: Range<u64>) -> PortResult<Bytes> {
        const OPERATION: &str = "reading an object";
        if range.end > object.size_bytes || range.start > range.end {
            return Err(refused(OPERATION, "the range is not within the object"));
        }
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let get = self
            .client
            .get_object()
            .bucket(&self.bucket)
            .key(object.key.to_string())
            .set_version_id(object.version.clone())
            .if_match(&object.etag)
            .range(format!("bytes={}-{}", range.start, range.end - 1));
        let reply = get.send().await.map_err(|e| match port_error(OPERATION, Effect::Read, &e) {
            // 416: the object is shorter than expected, so it has been replaced.
            PortError::Refused { reason, .. } if reason == "InvalidRange" => {
                PortError::Precondition(OPERATION)
            }
            other => other,
        })?;
        if reply.e_tag.as_deref() != Some(object.etag.as_str()) {
            return Err(PortError::Precondition(OPERATION));
        }
        let wanted = range.end - range.start;
        // A server that sends the whole object must not fill the memory.
        if reply.content_length.and_then(|length| u64::try_from(length).ok()) != Some(wanted) {
            return Err(corrupt(OPERATION, "the reply has another length than the range"));
        }
        let length = number(OPERATION, wanted)?;
        // Collected by hand: collecting with the stream's own method holds everything twice for a
        // moment.
        let (mut stream, mut body) = (reply.body, BytesMut::with_capacity(length));
        while let Some(piece) = stream.next().await {
            let piece = piece.map_err(|_| lost(OPERATION, Effect::Read, "connection lost"))?;
            if body.len() + piece.len() > length {
                return Err(corrupt(OPERATION, "the reply is longer than it says"));
            }
            body.extend_from_slice(&piece);
        }
        if body.len() != length {
            return Err(lost(OPERATION, Effect::Read, "the reply was cut off"));
        }
        Ok(body.freeze())
    }

    async fn delete(&self, key: &ObjectKey, version: Option<&str>) -> PortResult<()> {
        self.delete_version(&key.to_string(), version).await
    }

    async fn purge_into(&self, role: Role, job: JobId, tally: &Tally) -> PortResult<()> {
        self.purge_prefix(&ObjectKey::prefix(role, job), tally).await
    }

    async fn stored(&self) -> PortResult<Vec<JobId>> {
        self.stored_jobs().await
    }

    /// Asks for the bucket, which takes `s3:ListBucket`. If that is refused, reads an object that
    /// never exists: the answer to a GET has a code, so that wrong credentials are told from a missing
    /// permission.
    async fn check(&self) -> PortResult<()> {
        self.check_access().await
    }

    async fn can_list(&self) -> PortResult<()> {
        self.check_listing().await
    }

    /// The embedded server answers this with an error if its disk is full or not writable. S3
    /// itself ignores the header, and is never full.
    async fn can_write(&self) -> PortResult<()> {
        const OPERATION: &str = "asking whether the bucket takes writes";
        let head = self.client.head_bucket().bucket(&self.bucket).customize();
        let head = head.mutate_request(|request| {
            request.headers_mut().insert(CAN_WRITE, "1");
        });
        head.send().await.map_err(|e| port_error(OPERATION, Effect::Read, &e))?;
        Ok(())
    }
}
