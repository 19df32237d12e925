//! Deletes everything under a prefix: first the unfinished multipart uploads, so that none of
//! them becomes an object afterwards, then all versions of all objects. Listed again until nothing is
//! there: what is deleted is not believed of the answers to the deletions.
//!
//! One request per object: a job has few objects, and each refusal is seen. Of one with more, what a page
//! of a listing has is deleted before the next page is asked for: a deletion that is broken off has come
//! nearer to its end, however much there is.
//!
//! An object that was written while the bucket kept no versions is listed with the version `null`.
//! In a bucket that has never kept any, it is deleted by its key alone, which takes
//! `s3:DeleteObject`; with the version the same request would take `s3:DeleteObjectVersion`. In a
//! bucket that keeps versions now, or has, `null` is a version like any other, and a deletion by key
//! would only hide it behind a marker (Amazon S3 User Guide, "Deleting object versions from a
//! versioning-suspended bucket").

use super::super::error::{Effect, corrupt, port_error};
use super::S3Store;
use super::access::needs;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::list_object_versions::ListObjectVersionsOutput;
use aws_sdk_s3::primitives::DateTime;
use cadmill_core::domain::ids::{JobId, ObjectKey, Role};
use cadmill_core::domain::job::{Millis, Object};
use cadmill_core::ports::object_store::{Purged, Tally};
use cadmill_core::ports::{PortError, PortResult};
use std::collections::BTreeSet;

const LISTING: &str = "listing what to delete";

/// The version of an object that was written while the bucket kept no versions.
const NULL: &str = "null";

/// Attempts to abort an upload before it is left to the next purge. A part that arrives at the
/// same moment survives the first attempt.
const ABORTS: u32 = 3;

/// Listings until nothing is left: something may arrive beside the first.
const ROUNDS: u32 = 4;

/// A version of an object, or a delete marker, to be deleted.
pub(super) struct DeletableVersion {
    key: String,
    version: Option<String>,
    is_mark: bool,
    made: Option<Millis>,
}

/// A multipart upload that was not completed.
pub(super) struct UnfinishedUpload {
    pub(super) key: String,
    pub(super) id: String,
    begun: Option<Millis>,
}

/// Where the next page of a listing begins.
type Marker = Option<(String, String)>;

impl S3Store {
    pub(super) async fn purge_prefix(&self, prefix: &str, tally: &Tally) -> PortResult<()> {
        for _ in 0..ROUNDS {
            // What cannot be deleted keeps nothing else.
            let uploads = self.abort_all(prefix, tally).await;
            let objects = match self.delete_versions(prefix, tally).await {
                Ok(None) => self.delete_objects(prefix, tally).await,
                Ok(Some(found)) => Ok(found),
                Err(error) => Err(error),
            };
            if (uploads?, objects?) == (false, false) {
                return Ok(());
            }
        }
        Err(PortError::Unavailable {
            operation: "deleting everything of a job",
            reason: "something is always left".to_owned(),
        })
    }

    /// Aborts the unfinished uploads; returns whether there were any.
    async fn abort_all(&self, prefix: &str, tally: &Tally) -> PortResult<bool> {
        let (mut marker, mut found, mut failure) = (None, false, None);
        loop {
            let (uploads, next) = self.unfinished_page(prefix, marker.clone()).await?;
            found |= !uploads.is_empty();
            for upload in uploads {
                match self.abort(&upload.key, &upload.id).await {
                    Ok(()) => tally.add(Purged { uploads: 1, oldest: upload.begun, ..Purged::default() }),
                    Err(error) => drop(failure.get_or_insert(error)),
                }
            }
            match next {
                Some(next) => advance(&mut marker, next)?,
                None => return failure.map_or(Ok(found), Err),
            }
        }
    }

    /// Deletes all versions and markers; returns whether there were any, `None` if the server has no
    /// versions.
    async fn delete_versions(&self, prefix: &str, tally: &Tally) -> PortResult<Option<bool>> {
        let (mut marker, mut found, mut failure) = (None, false, None);
        loop {
            let Some((versions, next)) = self.versions_page(prefix, marker.clone()).await? else {
                return Ok(None);
            };
            found |= !versions.is_empty();
            let versions = self.without_null(versions).await?;
            self.delete_each(versions, tally, &mut failure).await;
            match next {
                Some(next) => advance(&mut marker, next)?,
                None => return failure.map_or(Ok(Some(found)), Err),
            }
        }
    }

    /// Deletes all objects by their keys; returns whether there were any.
    async fn delete_objects(&self, prefix: &str, tally: &Tally) -> PortResult<bool> {
        let (mut token, mut found, mut failure) = (None, false, None);
        loop {
            let (objects, next) = self.objects_page(prefix, token.clone()).await?;
            found |= !objects.is_empty();
            self.delete_each(objects, tally, &mut failure).await;
            match next {
                Some(next) => advance(&mut token, next)?,
                None => return failure.map_or(Ok(found), Err),
            }
        }
    }

    /// Deletes each of them that can be deleted, and keeps the first failure.
    async fn delete_each(
        &self,
        doomed: Vec<DeletableVersion>,
        tally: &Tally,
        failure: &mut Option<PortError>,
    ) {
        for one in doomed {
            match self.delete_version(&one.key, one.version.as_deref()).await {
                Ok(()) => {
                    let (objects, marks) = (u64::from(!one.is_mark), u64::from(one.is_mark));
                    tally.add(Purged { objects, marks, uploads: 0, oldest: one.made });
                }
                Err(error) => drop(failure.get_or_insert(error)),
            }
        }
    }

    /// The same versions, without `null` where it names no version, because the bucket has never
    /// kept any.
    async fn without_null(&self, mut versions: Vec<DeletableVersion>) -> PortResult<Vec<DeletableVersion>> {
        let only_null = versions.iter().all(|one| !one.is_mark && one.version.as_deref() == Some(NULL));
        // Any other version, and any marker, shows that the bucket keeps versions or has.
        if versions.is_empty() || !only_null || self.has_kept_versions().await? {
            return Ok(versions);
        }
        versions.iter_mut().for_each(|one| one.version = None);
        Ok(versions)
    }

    /// Whether the bucket keeps versions or has. Not remembered: versioning can be enabled at any
    /// time. True if this may not be asked, because a version that is named is deleted in any case.
    async fn has_kept_versions(&self) -> PortResult<bool> {
        const OPERATION: &str = "asking whether the bucket keeps versions";
        match self.client.get_bucket_versioning().bucket(&self.bucket).send().await {
            Ok(reply) => Ok(reply.status.is_some()),
            Err(error) if is_missing(&error) => Ok(false),
            Err(error) => match port_error(OPERATION, Effect::Read, &error) {
                PortError::Refused { reason, .. } if reason == "AccessDenied" => {
                    tracing::debug!("s3:GetBucketVersioning is not granted");
                    Ok(true)
                }
                other => Err(other),
            },
        }
    }

    /// The object under this key from a listing; an error if it is missing or deleted, `None` if
    /// the server has no versions.
    pub(super) async fn latest(&self, key: &ObjectKey) -> PortResult<Option<Object>> {
        const OPERATION: &str = "looking for an object";
        let name = key.to_string();
        let list = self.client.list_object_versions().bucket(&self.bucket).prefix(&name);
        let page = match list.send().await {
            Ok(page) => page,
            Err(error) if is_missing(&error) => return Ok(None),
            Err(error) => {
                let error = port_error(OPERATION, Effect::Read, &error);
                return Err(needs("s3:ListBucketVersions", error));
            }
        };
        newest(OPERATION, &page, key, &name).map(Some)
    }

    /// Aborts an upload, and retries while parts of it are left.
    pub(super) async fn abort(&self, key: &str, upload_id: &str) -> PortResult<()> {
        const OPERATION: &str = "aborting a multipart upload";
        for _ in 0..ABORTS {
            let abort =
                self.client.abort_multipart_upload().bucket(&self.bucket).key(key).upload_id(upload_id);
            match abort.send().await.map_err(|e| port_error(OPERATION, Effect::Write, &e)) {
                Ok(_) => {}
                Err(PortError::NotFound(_)) => return Ok(()),
                Err(error) => return Err(needs("s3:AbortMultipartUpload", error)),
            }
            let left = self.client.list_parts().bucket(&self.bucket).key(key).upload_id(upload_id);
            match left.send().await.map_err(|e| port_error(OPERATION, Effect::Read, &e)) {
                Ok(parts) if parts.parts().is_empty() => return Ok(()),
                Err(PortError::NotFound(_)) => return Ok(()),
                Ok(_) => {}
                Err(error) => return Err(needs("s3:ListMultipartUploadParts", error)),
            }
        }
        Err(PortError::Unavailable { operation: OPERATION, reason: "parts keep arriving".to_owned() })
    }

    /// Key and id of each unfinished upload under the prefix; empty if the server does not
    /// support listing them.
    pub(super) async fn unfinished(&self, prefix: &str) -> PortResult<Vec<UnfinishedUpload>> {
        let (mut found, mut marker) = (Vec::new(), None);
        loop {
            let (page, next) = self.unfinished_page(prefix, marker.clone()).await?;
            found.extend(page);
            match next {
                Some(next) => advance(&mut marker, next)?,
                None => return Ok(found),
            }
        }
    }

    async fn unfinished_page(
        &self,
        prefix: &str,
        marker: Marker,
    ) -> PortResult<(Vec<UnfinishedUpload>, Marker)> {
        let (after_key, after_id) = marker.unzip();
        let list = self
            .client
            .list_multipart_uploads()
            .bucket(&self.bucket)
            .prefix(prefix)
            .set_key_marker(after_key)
            .set_upload_id_marker(after_id);
        let page = match list.send().await {
            Ok(page) => page,
            Err(error) if is_missing(&error) => return Ok((Vec::new(), None)),
            Err(error) => {
                let error = port_error(LISTING, Effect::Read, &error);
                return Err(needs("s3:ListBucketMultipartUploads", error));
            }
        };
        let mut found = Vec::new();
        for upload in page.uploads() {
            let (Some(key), Some(id)) = (upload.key(), upload.upload_id()) else {
                return Err(corrupt(LISTING, "an upload has no key or no id"));
            };
            if key.starts_with(prefix) {
                let begun = upload.initiated().and_then(millis);
                found.push(UnfinishedUpload { key: key.to_owned(), id: id.to_owned(), begun });
            }
        }
        let next = (page.is_truncated == Some(true)).then(|| {
            (page.next_key_marker.unwrap_or_default(), page.next_upload_id_marker.unwrap_or_default())
        });
        Ok((found, next))
    }

    /// The jobs with anything in the bucket: the first parts of the keys below both prefixes, of which the
    /// store lists each once.
    pub(super) async fn stored_jobs(&self) -> PortResult<Vec<JobId>> {
        const OPERATION: &str = "listing the jobs with objects";
        let mut found = BTreeSet::new();
        for role in [Role::Upload, Role::Processed] {
            let prefix = ObjectKey::root(role);
            let mut marker: Option<(String, String)> = None;
            loop {
                let (after_key, after_version) = marker.clone().unzip();
                let list =
                    self.client.list_object_versions().bucket(&self.bucket).prefix(&prefix).delimiter("/");
                // Amazon S3 refuses an empty one, and a page may end with a common prefix.
                let after_version = after_version.filter(|version| !version.is_empty());
                let list = list.set_key_marker(after_key).set_version_id_marker(after_version);
                let page = match list.send().await {
                    Ok(page) => page,
                    // A server that does not group keys, such as the embedded one.
                    Err(error) if is_missing(&error) => {
                        self.jobs_of_each(&prefix, &mut found).await?;
                        break;
                    }
                    Err(error) => {
                        let error = port_error(OPERATION, Effect::Read, &error);
                        return Err(needs("s3:ListBucketVersions", error));
                    }
                };
                found.extend(
                    page.common_prefixes().iter().filter_map(|common| job(&prefix, common.prefix()?)),
                );
                if page.is_truncated != Some(true) {
                    break;
                }
                let next = (
                    page.next_key_marker.unwrap_or_default(),
                    page.next_version_id_marker.unwrap_or_default(),
                );
                advance(&mut marker, next)?;
            }
            for upload in self.unfinished(&prefix).await? {
                found.extend(job(&prefix, &upload.key));
            }
        }
        Ok(found.into_iter().collect())
    }

    /// The jobs with objects under the prefix, of which each is listed.
    async fn jobs_of_each(&self, prefix: &str, found: &mut BTreeSet<JobId>) -> PortResult<()> {
        let mut marker = None;
        while let Some((versions, next)) = self.versions_page(prefix, marker.clone()).await? {
            found.extend(versions.iter().filter_map(|one| job(prefix, &one.key)));
            match next {
                Some(next) => advance(&mut marker, next)?,
                None => return Ok(()),
            }
        }
        let mut token = None;
        loop {
            let (objects, next) = self.objects_page(prefix, token.clone()).await?;
            found.extend(objects.iter().filter_map(|one| job(prefix, &one.key)));
            match next {
                Some(next) => advance(&mut token, next)?,
                None => return Ok(()),
            }
        }
    }

    /// A page of the versions under the prefix; `None` if the server has no versions.
    pub(super) async fn versions_page(
        &self,
        prefix: &str,
        marker: Marker,
    ) -> PortResult<Option<(Vec<DeletableVersion>, Marker)>> {
        let (after_key, after_version) = marker.unzip();
        let list = self
            .client
            .list_object_versions()
            .bucket(&self.bucket)
            .prefix(prefix)
            .set_key_marker(after_key)
            // Amazon S3 refuses an empty one.
            .set_version_id_marker(after_version.filter(|version| !version.is_empty()));
        let page = match list.send().await {
            Ok(page) => page,
            Err(error) if is_missing(&error) => return Ok(None),
            Err(error) => {
                let error = port_error(LISTING, Effect::Read, &error);
                return Err(needs("s3:ListBucketVersions", error));
            }
        };
        let mut found = Vec::new();
        let objects = page.versions().iter().map(|v| (v.key(), v.version_id(), false, v.last_modified()));
        let marks = page.delete_markers().iter().map(|m| (m.key(), m.version_id(), true, None));
        for (key, version, is_mark, made) in objects.chain(marks) {
            let key = key.ok_or_else(|| corrupt(LISTING, "an object has no key"))?;
            if key.starts_with(prefix) {
                let version = version.map(str::to_owned);
                let made = made.and_then(millis);
                found.push(DeletableVersion { key: key.to_owned(), version, is_mark, made });
            }
        }
        let next = (page.is_truncated == Some(true)).then(|| {
            (page.next_key_marker.unwrap_or_default(), page.next_version_id_marker.unwrap_or_default())
        });
        Ok(Some((found, next)))
    }

    /// A page of the objects under the prefix, and the token of the next.
    async fn objects_page(
        &self,
        prefix: &str,
        token: Option<String>,
    ) -> PortResult<(Vec<DeletableVersion>, Option<String>)> {
        let list = self.client.list_objects_v2().bucket(&self.bucket).prefix(prefix);
        let page = list.set_continuation_token(token).send().await;
        let page = page.map_err(|e| needs("s3:ListBucket", port_error(LISTING, Effect::Read, &e)))?;
        let mut found = Vec::new();
        for object in page.contents() {
            let key = object.key().ok_or_else(|| corrupt(LISTING, "an object has no key"))?;
            if key.starts_with(prefix) {
                let made = object.last_modified().and_then(millis);
                found.push(DeletableVersion { key: key.to_owned(), version: None, is_mark: false, made });
            }
        }
        let next =
            (page.is_truncated == Some(true)).then(|| page.next_continuation_token.unwrap_or_default());
        Ok((found, next))
    }

    pub(super) async fn delete_version(&self, key: &str, version: Option<&str>) -> PortResult<()> {
        const OPERATION: &str = "deleting an object";
        let delete = self.client.delete_object().bucket(&self.bucket).key(key);
        let sent = delete.set_version_id(version.map(str::to_owned)).send().await;
        match sent.map_err(|e| port_error(OPERATION, Effect::Write, &e)) {
            Ok(_) | Err(PortError::NotFound(_)) => Ok(()),
            Err(error) => {
                let permission = if version.is_some() { "s3:DeleteObjectVersion" } else { "s3:DeleteObject" };
                Err(needs(permission, error))
            }
        }
    }
}

/// The object of a key in the first page of a listing that begins with it: a key comes before every
/// longer one, and of its versions the newest comes first.
fn newest(
    operation: &'static str,
    page: &ListObjectVersionsOutput,
    key: &ObjectKey,
    name: &str,
) -> PortResult<Object> {
    let own = |known: Option<&str>, latest: Option<bool>| known == Some(name) && latest == Some(true);
    let version = page.versions().iter().find(|version| own(version.key(), version.is_latest()));
    let Some(version) = version else {
        let deleted = page.delete_markers().iter().any(|mark| own(mark.key(), mark.is_latest()));
        if !deleted && page.versions().iter().any(|version| version.key() == Some(name)) {
            return Err(corrupt(operation, "no version is the latest"));
        }
        return Err(PortError::NotFound(operation));
    };
    let size = version.size().and_then(|size| u64::try_from(size).ok());
    Ok(Object {
        key: key.clone(),
        size_bytes: size.ok_or_else(|| corrupt(operation, "an object has no size"))?,
        etag: version.e_tag().ok_or_else(|| corrupt(operation, "an object has no ETag"))?.to_owned(),
        version: version.version_id().filter(|&id| id != NULL).map(str::to_owned),
        sha256: None,
        // A listing does not have it, and only results have one.
        encoded: None,
    })
}

/// The job of a key, or of the beginning of one. What belongs to no job is left alone.
fn job(prefix: &str, key: &str) -> Option<JobId> {
    key.strip_prefix(prefix)?.split('/').next()?.parse().ok()
}

/// Milliseconds since 1970; `None` for a time before.
pub(super) fn millis(time: &DateTime) -> Option<Millis> {
    Millis::try_from(time.to_millis().ok()?).ok()
}

/// Advances to the next page, which must differ from the current one.
pub(super) fn advance<T: PartialEq + Default>(marker: &mut Option<T>, next: T) -> PortResult<()> {
    if next == T::default() || marker.as_ref() == Some(&next) {
        return Err(corrupt(LISTING, "the list does not end"));
    }
    *marker = Some(next);
    Ok(())
}

/// Whether the server does not implement the operation.
pub(super) fn is_missing<E: ProvideErrorMetadata>(error: &SdkError<E>) -> bool {
    error.code() == Some("NotImplemented")
        || error.raw_response().is_some_and(|response| response.status().as_u16() == 501)
}
