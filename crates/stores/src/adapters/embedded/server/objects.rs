//! The S3 operations that cadmill needs, on the index and the files. `s3s` answers any other with
//! `NotImplemented`.

mod listing;

use super::blobs::{Blobs, is_blob};
use super::body::{self, StoredBody};
use super::index::{Completed, Index, Put, Stored};
use super::names::{BUCKET, ONLY_VERSION};
use super::removal::Remover;
use crate::adapters::aws::s3::CAN_WRITE;
use async_trait::async_trait;
use cadmill_core::domain::ids::ObjectKey;
use cadmill_core::domain::job::Millis;
use cadmill_core::ports::PortError;
use cadmill_core::ports::object_store::MAX_PARTS;
use s3s::dto::*;
use s3s::{S3, S3Error, S3ErrorCode, S3Request, S3Response, S3Result};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// Bytes that are written to check whether writing works.
const PROBE: usize = 64 << 10;

/// The one bucket. Clones are cheap.
#[derive(Clone)]
pub(super) struct Objects {
    index: Arc<Index>,
    blobs: Blobs,
    remover: Remover,
    made: Arc<Notify>,
}

impl Objects {
    pub(super) fn new(index: Index, blobs: Blobs) -> Self {
        let index = Arc::new(index);
        let remover = Remover::new(Arc::clone(&index), blobs.clone());
        Self { index, blobs, remover, made: Arc::new(Notify::new()) }
    }

    pub(super) fn remover(&self) -> Remover {
        self.remover.clone()
    }

    pub(super) fn index(&self) -> Arc<Index> {
        self.index.clone()
    }

    /// Notified when an object was created.
    pub(super) fn made(&self) -> Arc<Notify> {
        self.made.clone()
    }

    async fn stored(&self, key: &str) -> S3Result<(Stored, Vec<super::blobs::Segment>)> {
        let found = self.index.object(key.to_owned()).await.map_err(told)?;
        found.ok_or_else(|| S3ErrorCode::NoSuchKey.into())
    }

    /// Writes a file and a row as an upload does, and removes both.
    async fn can_write(&self) -> S3Result<()> {
        let this = self.clone();
        let work = async move {
            let written = async {
                let mut file = this.blobs.create(None).await?;
                file.write(&[0x5a; PROBE]).await?;
                file.finish().await
            };
            let blob = written.await.map_err(|error: std::io::Error| {
                tracing::error!(error.kind = %error.kind(), "The directory of objects cannot be written");
                S3Error::from(S3ErrorCode::ServiceUnavailable)
            })?;
            this.blobs.remove_unknown(None, blob).await;
            this.index.can_write().await.map_err(told)
        };
        whole(work).await?
    }

    /// Removes the object with this key, if it exists, or the file of a deleted object that is named as its
    /// version. It succeeds when nothing is left.
    async fn delete(&self, key: String, version: Option<String>) -> S3Result<()> {
        let this = self.clone();
        let work = async move {
            let useless = match version.filter(|version| version != ONLY_VERSION) {
                None => this.index.delete(key).await,
                Some(blob) => {
                    let is_removal = this.index.is_removal(key, blob.clone()).await;
                    is_removal.map(|is| is.then_some(blob).into_iter().collect())
                }
            };
            this.destroy(useless.map_err(told)?).await
        };
        whole(work).await?
    }

    /// Destroys files that the index has given up.
    ///
    /// # Errors
    /// If one of them is left. It is tried again.
    async fn destroy(&self, useless: Vec<String>) -> S3Result<()> {
        match self.remover.destroy(useless).await.map_err(told)? {
            0 => Ok(()),
            files => {
                tracing::error!(files, "Files of a deleted object could not be destroyed; trying again");
                Err(S3ErrorCode::ServiceUnavailable.into())
            }
        }
    }

    /// As [`Self::destroy`], for files that were replaced: the write was successful in any case.
    async fn destroy_replaced(&self, useless: Vec<String>) {
        // It is logged, and listed until it is gone.
        let _ = self.destroy(useless).await;
    }

    /// Removes a file that the index does not name after all, unless the outcome is unknown: then the index
    /// is asked later.
    async fn refuse(&self, key: String, blob: String, error: PortError) -> S3Error {
        match error {
            PortError::Unknown { .. } => self.blobs.doubtful(key, blob),
            _ => self.blobs.remove_unknown(Some(key), blob).await,
        }
        told(error)
    }
}

#[async_trait]
impl S3 for Objects {
    async fn head_bucket(&self, req: S3Request<HeadBucketInput>) -> S3Result<S3Response<HeadBucketOutput>> {
        in_bucket(&req.input.bucket)?;
        if req.headers.contains_key(CAN_WRITE) {
            self.can_write().await?;
        }
        Ok(S3Response::new(HeadBucketOutput::default()))
    }

    async fn put_object(&self, req: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        let input = req.input;
        let key = key(&input.bucket, &input.key)?;
        let exclusive = exclusive(input.if_none_match.as_ref(), input.if_match.as_ref())?;
        supported(input.content_md5.is_none() && input.write_offset_bytes.is_none())?;
        // Checked before the body arrives, and again after it.
        if exclusive && self.index.object(key.to_string()).await.map_err(told)?.is_some() {
            return Err(S3ErrorCode::PreconditionFailed.into());
        }
        let taken = body::take(
            &self.blobs,
            &key.to_string(),
            (input.body, input.content_length),
            &req.headers,
            req.trailing_headers,
        )
        .await?;
        let this = self.clone();
        let encoding = encoding(input.content_encoding);
        let etag = whole(async move { this.commit(key, taken, encoding, exclusive).await }).await??;
        let output = PutObjectOutput { e_tag: Some(ETag::Strong(etag)), ..Default::default() };
        Ok(S3Response::new(output))
    }

    async fn get_object(&self, req: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        let input = req.input;
        in_bucket(&input.bucket)?;
        supported(input.part_number.is_none() && is_only_version(input.version_id.as_deref()))?;
        let (stored, segments) = self.stored(&input.key).await?;
        matching(&stored, input.if_match.as_ref(), input.if_none_match.as_ref())?;
        let range = input.range.map(|range| range.check(stored.size)).transpose()?;
        let content_range =
            range.as_ref().map(|range| format!("bytes {}-{}/{}", range.start, range.end - 1, stored.size));
        let range = range.unwrap_or(0..stored.size);
        let output = GetObjectOutput {
            content_length: Some(signed(range.end - range.start)),
            body: Some(StreamingBlob::wrap(self.blobs.read(segments, range))),
            content_range,
            accept_ranges: Some("bytes".to_owned()),
            e_tag: Some(ETag::Strong(stored.etag)),
            content_encoding: stored.encoding,
            last_modified: Some(time(stored.modified)),
            ..Default::default()
        };
        Ok(S3Response::new(output))
    }

    async fn head_object(&self, req: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
        let input = req.input;
        in_bucket(&input.bucket)?;
        supported(
            input.part_number.is_none()
                && input.range.is_none()
                && is_only_version(input.version_id.as_deref()),
        )?;
        let (stored, _) = self.stored(&input.key).await?;
        matching(&stored, input.if_match.as_ref(), input.if_none_match.as_ref())?;
        let output = HeadObjectOutput {
            content_length: Some(signed(stored.size)),
            accept_ranges: Some("bytes".to_owned()),
            e_tag: Some(ETag::Strong(stored.etag)),
            content_encoding: stored.encoding,
            last_modified: Some(time(stored.modified)),
            ..Default::default()
        };
        Ok(S3Response::new(output))
    }

    async fn delete_object(
        &self,
        req: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        in_bucket(&req.input.bucket)?;
        let version = req.input.version_id;
        supported(is_only_version(version.as_deref()) || version.as_deref().is_some_and(is_blob))?;
        self.delete(req.input.key, version).await?;
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }

    async fn delete_objects(
        &self,
        req: S3Request<DeleteObjectsInput>,
    ) -> S3Result<S3Response<DeleteObjectsOutput>> {
        in_bucket(&req.input.bucket)?;
        let objects = req.input.delete.objects;
        supported(objects.iter().all(|object| is_only_version(object.version_id.as_deref())))?;
        let (mut deleted, mut errors) = (Vec::new(), Vec::new());
        for object in objects {
            let key = Some(object.key.clone());
            match self.delete(object.key, None).await {
                Ok(_) => deleted.push(DeletedObject { key, ..Default::default() }),
                // The others are deleted all the same.
                Err(error) => {
                    let code = Some(error.code().as_str().to_owned());
                    errors.push(s3s::dto::Error { key, code, ..Default::default() });
                }
            }
        }
        let (deleted, errors) = (Some(deleted), Some(errors));
        Ok(S3Response::new(DeleteObjectsOutput { deleted, errors, ..Default::default() }))
    }

    async fn create_multipart_upload(
        &self,
        req: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        let key = key(&req.input.bucket, &req.input.key)?;
        let encoding = encoding(req.input.content_encoding);
        let id = self.index.begin(key, encoding).await.map_err(told)?;
        let output = CreateMultipartUploadOutput {
            bucket: Some(req.input.bucket),
            key: Some(req.input.key),
            upload_id: Some(id),
            ..Default::default()
        };
        Ok(S3Response::new(output))
    }

    async fn upload_part(&self, req: S3Request<UploadPartInput>) -> S3Result<S3Response<UploadPartOutput>> {
        let input = req.input;
        let key = key(&input.bucket, &input.key)?.to_string();
        if !(1..=MAX_PARTS).contains(&u32::try_from(input.part_number).unwrap_or(0)) {
            return Err(S3ErrorCode::InvalidArgument.into());
        }
        supported(input.content_md5.is_none())?;
        if !self.index.is_open(input.upload_id.clone(), key.clone()).await.map_err(told)? {
            return Err(S3ErrorCode::NoSuchUpload.into());
        }
        let taken = body::take(
            &self.blobs,
            &key,
            (input.body, input.content_length),
            &req.headers,
            req.trailing_headers,
        )
        .await?;
        let this = self.clone();
        let work = async move { this.commit_part(input.upload_id, key, input.part_number, taken).await };
        let etag = whole(work).await??;
        let output = UploadPartOutput { e_tag: Some(ETag::Strong(etag)), ..Default::default() };
        Ok(S3Response::new(output))
    }

    async fn complete_multipart_upload(
        &self,
        req: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let input = req.input;
        let key = key(&input.bucket, &input.key)?;
        let exclusive = exclusive(input.if_none_match.as_ref(), input.if_match.as_ref())?;
        let named = input.multipart_upload.and_then(|upload| upload.parts).unwrap_or_default();
        let part = |part: CompletedPart| Some((part.part_number?, part.e_tag?.into_value()));
        let wanted: Option<Vec<(i32, String)>> = named.into_iter().map(part).collect();
        let wanted = wanted.ok_or(S3ErrorCode::InvalidPart)?;
        let this = self.clone();
        let work = async move { this.complete(input.upload_id, key, wanted, exclusive).await };
        let output = CompleteMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            e_tag: Some(ETag::Strong(whole(work).await??)),
            ..Default::default()
        };
        Ok(S3Response::new(output))
    }

    async fn abort_multipart_upload(
        &self,
        req: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        let input = req.input;
        let key = key(&input.bucket, &input.key)?.to_string();
        let this = self.clone();
        let work = async move {
            let useless = this.index.abort(input.upload_id, key).await.map_err(told)?;
            this.destroy(useless.ok_or(S3ErrorCode::NoSuchUpload)?).await
        };
        whole(work).await??;
        Ok(S3Response::new(AbortMultipartUploadOutput::default()))
    }

    /// Without a status: the bucket has never kept versions.
    async fn get_bucket_versioning(
        &self,
        req: S3Request<GetBucketVersioningInput>,
    ) -> S3Result<S3Response<GetBucketVersioningOutput>> {
        in_bucket(&req.input.bucket)?;
        Ok(S3Response::new(GetBucketVersioningOutput::default()))
    }

    async fn list_parts(&self, req: S3Request<ListPartsInput>) -> S3Result<S3Response<ListPartsOutput>> {
        self.parts(req.input).await.map(S3Response::new)
    }

    async fn list_multipart_uploads(
        &self,
        req: S3Request<ListMultipartUploadsInput>,
    ) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
        self.uploads(req.input).await.map(S3Response::new)
    }

    async fn list_objects_v2(
        &self,
        req: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        self.objects(req.input).await.map(S3Response::new)
    }

    async fn list_object_versions(
        &self,
        req: S3Request<ListObjectVersionsInput>,
    ) -> S3Result<S3Response<ListObjectVersionsOutput>> {
        self.versions(req.input).await.map(S3Response::new)
    }
}

/// The last steps of writes. They run to completion, even if no client waits for them any more.
impl Objects {
    async fn commit(
        &self,
        key: ObjectKey,
        taken: StoredBody,
        encoding: Option<String>,
        exclusive: bool,
    ) -> S3Result<String> {
        let (etag, blob, name) = (hex::encode(taken.md5), taken.segment.blob.clone(), key.to_string());
        match self.index.put(key, etag.clone(), taken.segment, encoding, exclusive).await {
            Ok(Put::Done { useless }) => {
                self.made.notify_one();
                self.destroy_replaced(useless).await;
                Ok(etag)
            }
            Ok(Put::Exists) => {
                self.blobs.remove_unknown(Some(name), blob).await;
                Err(S3ErrorCode::PreconditionFailed.into())
            }
            Err(error) => Err(self.refuse(name, blob, error).await),
        }
    }

    async fn commit_part(&self, id: String, key: String, number: i32, taken: StoredBody) -> S3Result<String> {
        let (etag, blob) = (hex::encode(taken.md5), taken.segment.blob.clone());
        match self.index.put_part(id, key.clone(), number, etag.clone(), taken.segment).await {
            Ok(Some(useless)) => {
                self.destroy_replaced(useless).await;
                Ok(etag)
            }
            Ok(None) => {
                self.blobs.remove_unknown(Some(key), blob).await;
                Err(S3ErrorCode::NoSuchUpload.into())
            }
            Err(error) => Err(self.refuse(key, blob, error).await),
        }
    }

    async fn complete(
        &self,
        id: String,
        key: ObjectKey,
        wanted: Vec<(i32, String)>,
        exclusive: bool,
    ) -> S3Result<String> {
        let code = match self.index.complete(id, key, wanted, exclusive).await.map_err(told)? {
            Completed::Done { etag, useless } => {
                self.made.notify_one();
                self.destroy_replaced(useless).await;
                return Ok(etag);
            }
            Completed::Exists => S3ErrorCode::PreconditionFailed,
            Completed::Missing => S3ErrorCode::NoSuchUpload,
            Completed::Disorder => S3ErrorCode::InvalidPartOrder,
            Completed::BadPart => S3ErrorCode::InvalidPart,
            Completed::TooSmall => S3ErrorCode::EntityTooSmall,
        };
        Err(code.into())
    }
}

fn in_bucket(bucket: &str) -> S3Result<()> {
    if bucket == BUCKET { Ok(()) } else { Err(S3ErrorCode::NoSuchBucket.into()) }
}

/// The key of a write.
fn key(bucket: &str, key: &str) -> S3Result<ObjectKey> {
    in_bucket(bucket)?;
    // XML cannot represent these two code points: the object could not be listed.
    if key.contains(['\u{fffe}', '\u{ffff}']) {
        return Err(S3ErrorCode::InvalidArgument.into());
    }
    key.parse().map_err(|_| S3ErrorCode::InvalidArgument.into())
}

/// The `Content-Encoding` to store. `aws-chunked` describes how the body was sent, not the object.
fn encoding(sent: Option<String>) -> Option<String> {
    let sent = sent.unwrap_or_default();
    let kept: Vec<&str> =
        sent.split(',').map(str::trim).filter(|name| !matches!(*name, "" | "aws-chunked")).collect();
    (!kept.is_empty()).then(|| kept.join(","))
}

/// An unsupported request parameter is refused, never ignored.
fn supported(is: bool) -> S3Result<()> {
    if is { Ok(()) } else { Err(S3ErrorCode::NotImplemented.into()) }
}

/// Whether the version is the only one in a bucket without versions.
fn is_only_version(version: Option<&str>) -> bool {
    version.is_none_or(|version| version == ONLY_VERSION)
}

/// Whether the write must create an object and not replace one. Other conditions are not
/// supported.
fn exclusive(if_none_match: Option<&ETagCondition>, if_match: Option<&ETagCondition>) -> S3Result<bool> {
    supported(if_match.is_none() && if_none_match.is_none_or(ETagCondition::is_any))?;
    Ok(if_none_match.is_some())
}

fn matching(
    stored: &Stored,
    if_match: Option<&ETagCondition>,
    if_none_match: Option<&ETagCondition>,
) -> S3Result<()> {
    let is = |condition: &ETagCondition| {
        condition.is_any() || condition.as_etag().is_some_and(|etag| etag.value() == stored.etag)
    };
    match (if_match, if_none_match) {
        (Some(condition), _) if !is(condition) => Err(S3ErrorCode::PreconditionFailed.into()),
        (None, Some(condition)) if is(condition) => Err(S3ErrorCode::NotModified.into()),
        _ => Ok(()),
    }
}

fn told(error: PortError) -> S3Error {
    match error {
        error if error.is_transient() => S3ErrorCode::ServiceUnavailable.into(),
        error => {
            tracing::error!(error = %error, "The index of objects failed");
            S3ErrorCode::InternalError.into()
        }
    }
}

fn signed(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

fn time(millis: Millis) -> Timestamp {
    Timestamp::from(SystemTime::UNIX_EPOCH + Duration::from_millis(millis))
}

/// Runs to completion even if the caller is dropped, as happens when a client disconnects: a
/// change to the index and the resulting changes to files belong together.
async fn whole<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> s3s::S3Result<T> {
    let task: JoinHandle<T> = tokio::spawn(work);
    task.await.map_err(|_| s3s::S3Error::new(s3s::S3ErrorCode::InternalError))
}
