//! The operations that list, in pages.

use super::super::names::ONLY_VERSION;
use super::{Objects, in_bucket, key, signed, supported, time, told};
use crate::adapters::embedded::server::BUCKET;
use crate::adapters::embedded::server::index::Stored;
use crate::adapters::embedded::server::index::removals::{Entry, Removal};
use s3s::dto::*;
use s3s::{S3ErrorCode, S3Result};

/// Maximum number of entries of a page.
const PAGE: i32 = 1000;

/// The page size for a client's request.
fn page(asked: Option<i32>) -> S3Result<u32> {
    let size = asked.unwrap_or(PAGE).min(PAGE);
    u32::try_from(size).map_err(|_| S3ErrorCode::InvalidArgument.into())
}

/// Cuts off the extra entry that was requested to see whether there are more.
fn cut<T>(mut entries: Vec<T>, page: u32) -> (Vec<T>, bool) {
    let more = entries.len() > page as usize;
    entries.truncate(page as usize);
    (entries, more && page > 0)
}

impl Objects {
    pub(super) async fn parts(&self, input: ListPartsInput) -> S3Result<ListPartsOutput> {
        let key = key(&input.bucket, &input.key)?.to_string();
        let (limit, after) = (page(input.max_parts)?, input.part_number_marker.unwrap_or(0));
        let found = self.index.parts(input.upload_id.clone(), key, after, limit + 1).await.map_err(told)?;
        let (found, more) = cut(found.ok_or(S3ErrorCode::NoSuchUpload)?, limit);
        let part = |part: super::super::index::StoredPart| Part {
            part_number: Some(part.number),
            e_tag: Some(ETag::Strong(part.etag)),
            size: Some(signed(part.size)),
            last_modified: Some(time(part.modified)),
            ..Default::default()
        };
        Ok(ListPartsOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(input.upload_id),
            part_number_marker: input.part_number_marker,
            next_part_number_marker: found.last().filter(|_| more).map(|part| part.number),
            max_parts: input.max_parts,
            is_truncated: Some(more),
            parts: Some(found.into_iter().map(part).collect()),
            ..Default::default()
        })
    }

    pub(super) async fn uploads(
        &self,
        input: ListMultipartUploadsInput,
    ) -> S3Result<ListMultipartUploadsOutput> {
        in_bucket(&input.bucket)?;
        supported(input.delimiter.is_none() && input.encoding_type.is_none())?;
        let limit = page(input.max_uploads)?;
        // A marker without an id is after all uploads of its key.
        let after = match (input.key_marker.clone(), input.upload_id_marker.clone()) {
            (Some(key), id) => (key, id.unwrap_or_else(|| "~".to_owned())),
            (None, _) => Default::default(),
        };
        let prefix = input.prefix.clone().unwrap_or_default();
        let found = self.index.uploads(prefix, after, limit + 1).await.map_err(told)?;
        let (found, more) = cut(found, limit);
        let last = found.last().filter(|_| more);
        Ok(ListMultipartUploadsOutput {
            bucket: Some(input.bucket),
            prefix: input.prefix,
            key_marker: input.key_marker,
            upload_id_marker: input.upload_id_marker,
            next_key_marker: last.map(|(key, _, _)| key.clone()),
            next_upload_id_marker: last.map(|(_, id, _)| id.clone()),
            max_uploads: input.max_uploads,
            is_truncated: Some(more),
            uploads: Some(
                found
                    .into_iter()
                    .map(|(key, id, begun)| MultipartUpload {
                        key: Some(key),
                        upload_id: Some(id),
                        initiated: Some(time(begun)),
                        ..Default::default()
                    })
                    .collect(),
            ),
            ..Default::default()
        })
    }

    pub(super) async fn objects(&self, input: ListObjectsV2Input) -> S3Result<ListObjectsV2Output> {
        in_bucket(&input.bucket)?;
        supported(input.delimiter.is_none() && input.encoding_type.is_none())?;
        // A page continues after the last key of the previous one; keys are their own tokens.
        let after = input.continuation_token.clone().or_else(|| input.start_after.clone());
        let (found, more) = self.page(input.prefix.as_deref(), after.as_deref(), input.max_keys).await?;
        let object = |stored: Stored| Object {
            key: Some(stored.key),
            e_tag: Some(ETag::Strong(stored.etag)),
            size: Some(signed(stored.size)),
            last_modified: Some(time(stored.modified)),
            ..Default::default()
        };
        Ok(ListObjectsV2Output {
            name: Some(BUCKET.to_owned()),
            prefix: input.prefix,
            max_keys: input.max_keys,
            key_count: i32::try_from(found.len()).ok(),
            continuation_token: input.continuation_token,
            start_after: input.start_after,
            next_continuation_token: found.last().filter(|_| more).map(|last| last.key.clone()),
            is_truncated: Some(more),
            contents: Some(found.into_iter().map(object).collect()),
            ..Default::default()
        })
    }

    /// Objects are versions, and files of deleted objects that are left are delete markers. Keys can be
    /// grouped by a slash, for a list of the jobs.
    pub(super) async fn versions(
        &self,
        input: ListObjectVersionsInput,
    ) -> S3Result<ListObjectVersionsOutput> {
        in_bucket(&input.bucket)?;
        let grouped = input.delimiter.is_some();
        supported(input.delimiter.as_deref().is_none_or(|by| by == "/") && input.encoding_type.is_none())?;
        let limit = page(input.max_keys)?;
        let after = (input.key_marker.clone().unwrap_or_default(), input.version_id_marker.clone());
        let prefix = input.prefix.clone().unwrap_or_default();
        let found = self.index.versions(prefix, after, grouped, limit + 1).await.map_err(told)?;
        let (found, more) = cut(found, limit);
        let (next, next_version) = match found.last().filter(|_| more) {
            Some(Entry::Object(Stored { key, .. })) => (Some(key.clone()), Some(ONLY_VERSION.to_owned())),
            Some(Entry::Removal(Removal { key, blob, .. })) => (Some(key.clone()), Some(blob.clone())),
            Some(Entry::Group(group)) => (Some(group.clone()), None),
            None => (None, None),
        };
        let (mut versions, mut markers, mut groups) = (Vec::new(), Vec::new(), Vec::new());
        for entry in found {
            match entry {
                Entry::Object(stored) => versions.push(version(stored)),
                Entry::Removal(removal) => markers.push(marker(removal)),
                Entry::Group(group) => groups.push(CommonPrefix { prefix: Some(group) }),
            }
        }
        Ok(ListObjectVersionsOutput {
            name: Some(BUCKET.to_owned()),
            prefix: input.prefix,
            delimiter: input.delimiter,
            key_marker: input.key_marker,
            version_id_marker: input.version_id_marker,
            next_version_id_marker: next_version,
            next_key_marker: next,
            max_keys: input.max_keys,
            is_truncated: Some(more),
            versions: Some(versions),
            delete_markers: Some(markers),
            common_prefixes: Some(groups),
            ..Default::default()
        })
    }

    async fn page(
        &self,
        prefix: Option<&str>,
        after: Option<&str>,
        asked: Option<i32>,
    ) -> S3Result<(Vec<Stored>, bool)> {
        let limit = page(asked)?;
        let (prefix, after) = (prefix.unwrap_or_default().to_owned(), after.unwrap_or_default().to_owned());
        let found = self.index.list(prefix, after, limit + 1).await.map_err(told)?;
        Ok(cut(found, limit))
    }
}

fn version(stored: Stored) -> ObjectVersion {
    ObjectVersion {
        key: Some(stored.key),
        version_id: Some(ONLY_VERSION.to_owned()),
        is_latest: Some(true),
        e_tag: Some(ETag::Strong(stored.etag)),
        size: Some(signed(stored.size)),
        last_modified: Some(time(stored.modified)),
        ..Default::default()
    }
}

fn marker(removal: Removal) -> DeleteMarkerEntry {
    DeleteMarkerEntry {
        key: Some(removal.key),
        version_id: Some(removal.blob),
        is_latest: Some(removal.is_latest),
        last_modified: Some(time(removal.since)),
        ..Default::default()
    }
}
