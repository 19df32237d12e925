//! Deletes everything under a prefix: first the unfinished multipart uploads, so that none of
//! them becomes an object afterwards, then all versions of all objects.
//!
//! One request per object: a job has few objects, and each refusal is seen.

use super::super::error::{Effect, corrupt, port_error};
use super::S3Store;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use cadmill_core::ports::object_store::Purged;
use cadmill_core::ports::{PortError, PortResult};

const LISTING: &str = "listing what to delete";

/// Attempts to abort an upload before it is left to the next purge. A part that arrives at the
/// same moment survives the first attempt.
const ABORTS: u32 = 3;

/// A version of an object, or a delete marker, to be deleted.
struct DeletableVersion {
    key: String,
    version: Option<String>,
    is_mark: bool,
}

impl S3Store {
    pub(super) async fn purge_prefix(&self, prefix: &str) -> PortResult<Purged> {
        let mut purged = Purged::default();
        for (key, upload_id) in self.unfinished(prefix).await? {
            self.abort(&key, &upload_id).await?;
            purged.uploads += 1;
        }
        let doomed = match self.versions(prefix).await? {
            Some(versions) => versions,
            None => self.objects(prefix).await?,
        };
        for one in doomed {
            self.delete_version(&one.key, one.version.as_deref()).await?;
            purged.objects += u64::from(!one.is_mark);
        }
        Ok(purged)
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
                Err(error) => return Err(error),
            }
            let left = self.client.list_parts().bucket(&self.bucket).key(key).upload_id(upload_id);
            match left.send().await.map_err(|e| port_error(OPERATION, Effect::Read, &e)) {
                Ok(parts) if parts.parts().is_empty() => return Ok(()),
                Err(PortError::NotFound(_)) => return Ok(()),
                Ok(_) => {}
                Err(error) => return Err(error),
            }
        }
        Err(PortError::Unavailable { operation: OPERATION, reason: "parts keep arriving".to_owned() })
    }

    /// Key and id of each unfinished upload under the prefix; empty if the server does not
    /// support listing them.
    async fn unfinished(&self, prefix: &str) -> PortResult<Vec<(String, String)>> {
        let mut found = Vec::new();
        let mut marker: Option<(String, String)> = None;
        loop {
            let (after_key, after_id) = marker.clone().unzip();
            let list = self
                .client
                .list_multipart_uploads()
                .bucket(&self.bucket)
                .prefix(prefix)
                .set_key_marker(after_key)
                .set_upload_id_marker(after_id);
            let page = match list.send().await {
                Ok(page) => page,
                Err(error) if is_missing(&error) => return Ok(Vec::new()),
                Err(error) => return Err(port_error(LISTING, Effect::Read, &error)),
            };
            for upload in page.uploads() {
                let (Some(key), Some(id)) = (upload.key(), upload.upload_id()) else {
                    return Err(corrupt(LISTING, "an upload has no key or no id"));
                };
                if key.starts_with(prefix) {
                    found.push((key.to_owned(), id.to_owned()));
                }
            }
            if page.is_truncated != Some(true) {
                return Ok(found);
            }
            let next =
                (page.next_key_marker.unwrap_or_default(), page.next_upload_id_marker.unwrap_or_default());
            advance(&mut marker, next)?;
        }
    }

    /// Each version under the prefix; `None` if the server has no versions.
    async fn versions(&self, prefix: &str) -> PortResult<Option<Vec<DeletableVersion>>> {
        let mut found = Vec::new();
        let mut marker: Option<(String, String)> = None;
        loop {
            let (after_key, after_version) = marker.clone().unzip();
            let list = self
                .client
                .list_object_versions()
                .bucket(&self.bucket)
                .prefix(prefix)
                .set_key_marker(after_key)
                .set_version_id_marker(after_version);
            let page = match list.send().await {
                Ok(page) => page,
                Err(error) if is_missing(&error) => return Ok(None),
                Err(error) => return Err(port_error(LISTING, Effect::Read, &error)),
            };
            let objects = page.versions().iter().map(|v| (v.key(), v.version_id(), false));
            let marks = page.delete_markers().iter().map(|m| (m.key(), m.version_id(), true));
            for (key, version, is_mark) in objects.chain(marks) {
                let key = key.ok_or_else(|| corrupt(LISTING, "an object has no key"))?;
                if key.starts_with(prefix) {
                    let version = version.map(str::to_owned);
                    found.push(DeletableVersion { key: key.to_owned(), version, is_mark });
                }
            }
            if page.is_truncated != Some(true) {
                return Ok(Some(found));
            }
            let next =
                (page.next_key_marker.unwrap_or_default(), page.next_version_id_marker.unwrap_or_default());
            advance(&mut marker, next)?;
        }
    }

    /// Each object under the prefix.
    async fn objects(&self, prefix: &str) -> PortResult<Vec<DeletableVersion>> {
        let mut found = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let list = self.client.list_objects_v2().bucket(&self.bucket).prefix(prefix);
            let page = list.set_continuation_token(token.clone()).send().await;
            let page = page.map_err(|e| port_error(LISTING, Effect::Read, &e))?;
            for object in page.contents() {
                let key = object.key().ok_or_else(|| corrupt(LISTING, "an object has no key"))?;
                if key.starts_with(prefix) {
                    found.push(DeletableVersion { key: key.to_owned(), version: None, is_mark: false });
                }
            }
            if page.is_truncated != Some(true) {
                return Ok(found);
            }
            advance(&mut token, page.next_continuation_token.unwrap_or_default())?;
        }
    }

    pub(super) async fn delete_version(&self, key: &str, version: Option<&str>) -> PortResult<()> {
        const OPERATION: &str = "deleting an object";
        let delete = self.client.delete_object().bucket(&self.bucket).key(key);
        let sent = delete.set_version_id(version.map(str::to_owned)).send().await;
        match sent.map_err(|e| port_error(OPERATION, Effect::Write, &e)) {
            Ok(_) | Err(PortError::NotFound(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Advances to the next page, which must differ from the current one.
fn advance<T: PartialEq + Default>(marker: &mut Option<T>, next: T) -> PortResult<()> {
    if next == T::default() || marker.as_ref() == Some(&next) {
        return Err(corrupt(LISTING, "the list does not end"));
    }
    *marker = Some(next);
    Ok(())
}

/// Whether the server does not implement the operation.
fn is_missing<E: ProvideErrorMetadata>(error: &SdkError<E>) -> bool {
    error.code() == Some("NotImplemented")
        || error.raw_response().is_some_and(|response| response.status().as_u16() == 501)
}
