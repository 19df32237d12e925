//! What a deployment's bucket is set to, and what its caller may do with it: for `cadmill doctor`.
//!
//! A permission is tried by a call that needs it and leaves nothing: about a key, a version or an
//! upload that does not exist; a delete marker that such a call leaves in a bucket with versions is deleted
//! again. S3 checks the permission first, so that such a call answers 404, or
//! succeeds without an effect, where it is granted (Amazon S3 API Reference, "DeleteObject" and
//! "AbortMultipartUpload").

use super::super::error::{Effect, corrupt, port_error, refused};
use super::access::without;
use super::{S3Store, in_silence};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    ChecksumAlgorithm, ExpirationStatus, LifecycleRule, LifecycleRuleFilter, ObjectLockEnabled,
};
use cadmill_core::domain::ids::{JobId, ObjectKey, Role};
use cadmill_core::ports::{PortError, PortResult};
use std::error::Error;

/// A permission on a bucket or its objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BucketRight {
    /// `s3:ListBucket`
    List,
    /// `s3:ListBucketVersions`
    ListVersions,
    /// `s3:ListBucketMultipartUploads`
    ListUploads,
    /// `s3:GetBucketVersioning`
    GetVersioning,
    /// `s3:PutObject`
    Put,
    /// `s3:DeleteObject`
    Delete,
    /// `s3:DeleteObjectVersion`
    DeleteVersion,
    /// `s3:AbortMultipartUpload`
    Abort,
    /// `s3:ListMultipartUploadParts`
    ListParts,
}

impl BucketRight {
    /// The action of IAM.
    pub fn action(self) -> &'static str {
        match self {
            Self::List => "s3:ListBucket",
            Self::ListVersions => "s3:ListBucketVersions",
            Self::ListUploads => "s3:ListBucketMultipartUploads",
            Self::GetVersioning => "s3:GetBucketVersioning",
            Self::Put => "s3:PutObject",
            Self::Delete => "s3:DeleteObject",
            Self::DeleteVersion => "s3:DeleteObjectVersion",
            Self::Abort => "s3:AbortMultipartUpload",
            Self::ListParts => "s3:ListMultipartUploadParts",
        }
    }
}

/// An upload that no service has begun.
const NO_UPLOAD: &str = "cadmill-doctor";

/// SHA-256 of something else than a probe, in base64.
const OTHER_SHA256: &str = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";

impl S3Store {
    /// Tries a permission, on a key of a random job with this role where it is about objects.
    ///
    /// # Errors
    /// [`PortError::Refused`] if it is not granted, and those of the call.
    pub async fn try_right(&self, right: BucketRight, role: Role) -> PortResult<()> {
        const OPERATION: &str = "trying a permission on the bucket";
        let key = probe_key(role)?.to_string();
        let (client, bucket) = (&self.client, &self.bucket);
        match right {
            BucketRight::List => {
                let head = client.head_bucket().bucket(bucket);
                let reply = match head.clone().send().await {
                    Err(error) if in_silence(&error) => head.send().await,
                    reply => reply,
                };
                reply.map(drop).map_err(|error| match port_error(OPERATION, Effect::Read, &error) {
                    PortError::NotFound(_) => refused(OPERATION, "NoSuchBucket"),
                    other => other,
                })
            }
            BucketRight::ListVersions => {
                answered(client.list_object_versions().bucket(bucket).prefix(key).send().await)
            }
            BucketRight::ListUploads => {
                answered(client.list_multipart_uploads().bucket(bucket).prefix(key).send().await)
            }
            BucketRight::GetVersioning => {
                answered(client.get_bucket_versioning().bucket(bucket).send().await)
            }
            BucketRight::Put => {
                let begun = client.create_multipart_upload().bucket(bucket).key(&key).send().await;
                let begun = begun.map_err(|error| about_key(OPERATION, &error))?;
                let id = begun.upload_id.ok_or_else(|| corrupt(OPERATION, "the reply has no upload id"))?;
                self.abort(&key, &id).await
            }
            BucketRight::Delete => {
                let deleted = client.delete_object().bucket(bucket).key(&key).send().await;
                if let Some(marker) = deleted.as_ref().ok().and_then(|reply| reply.version_id()) {
                    self.delete_version(&key, Some(marker)).await?;
                }
                answered(deleted)
            }
            BucketRight::DeleteVersion => {
                let delete = client.delete_object().bucket(bucket).key(key).version_id("null");
                answered(delete.send().await)
            }
            BucketRight::Abort => {
                let abort = client.abort_multipart_upload().bucket(bucket).key(key).upload_id(NO_UPLOAD);
                answered(abort.send().await)
            }
            BucketRight::ListParts => {
                answered(client.list_parts().bucket(bucket).key(key).upload_id(NO_UPLOAD).send().await)
            }
        }
    }

    /// Tries `s3:PutObject` on ledgers, with an object whose checksum is wrong: S3 refuses it for that
    /// after it has checked the permission, and stores nothing (Amazon S3 User Guide, "Checking object
    /// integrity"). A server that stores it nevertheless is asked to delete it.
    ///
    /// # Errors
    /// [`PortError::Refused`] if it is not granted, and those of the call.
    pub async fn try_ledger(&self, prefix: &str) -> PortResult<()> {
        const OPERATION: &str = "trying to write a ledger";
        let key = format!("{prefix}/{}/0-0/probe", JobId::random());
        let put = self
            .client
            .put_object()
            .bucket(&self.bucket)
            .key(&key)
            .if_none_match("*")
            .checksum_algorithm(ChecksumAlgorithm::Sha256)
            .checksum_sha256(OTHER_SHA256)
            .body(ByteStream::from_static(b"cadmill doctor"));
        match put.send().await {
            Ok(reply) => self.delete_version(&key, reply.version_id.as_deref()).await,
            Err(error) if matches!(error.code(), Some("BadDigest" | "XAmzContentChecksumMismatch")) => Ok(()),
            Err(error) => Err(about_key(OPERATION, &error)),
        }
    }

    /// Whether the bucket sends its events to EventBridge. Takes `s3:GetBucketNotification`.
    ///
    /// # Errors
    /// Those of the call.
    pub async fn sends_events(&self) -> PortResult<bool> {
        const OPERATION: &str = "asking for the notifications of the bucket";
        let reply = self.client.get_bucket_notification_configuration().bucket(&self.bucket).send().await;
        let reply = reply.map_err(|error| port_error(OPERATION, Effect::Read, &error))?;
        Ok(reply.event_bridge_configuration.is_some())
    }

    /// Whether the bucket keeps versions, or has kept them. Takes `s3:GetBucketVersioning`.
    ///
    /// # Errors
    /// Those of the call.
    pub async fn keeps_versions(&self) -> PortResult<bool> {
        const OPERATION: &str = "asking whether the bucket keeps versions";
        let reply = self.client.get_bucket_versioning().bucket(&self.bucket).send().await;
        let reply = reply.map_err(|error| port_error(OPERATION, Effect::Read, &error))?;
        Ok(reply.status.is_some())
    }

    /// Whether objects of the bucket can be locked. Takes `s3:GetBucketObjectLockConfiguration`.
    ///
    /// # Errors
    /// Those of the call.
    pub async fn locks_objects(&self) -> PortResult<bool> {
        const OPERATION: &str = "asking whether the bucket locks objects";
        let reply = self.client.get_object_lock_configuration().bucket(&self.bucket).send().await;
        match reply {
            Ok(reply) => {
                let lock = reply.object_lock_configuration.and_then(|lock| lock.object_lock_enabled);
                Ok(lock == Some(ObjectLockEnabled::Enabled))
            }
            Err(error) if error.code() == Some("ObjectLockConfigurationNotFoundError") => Ok(false),
            Err(error) => match port_error(OPERATION, Effect::Read, &error) {
                PortError::NotFound(_) => Ok(false),
                other => Err(other),
            },
        }
    }

    /// The rules in force by which S3 deletes objects. Takes `s3:GetLifecycleConfiguration`.
    ///
    /// # Errors
    /// Those of the call.
    pub async fn expirations(&self) -> PortResult<Vec<Expiration>> {
        const OPERATION: &str = "asking for the lifecycle of the bucket";
        let reply = self.client.get_bucket_lifecycle_configuration().bucket(&self.bucket).send().await;
        let reply = match reply {
            Ok(reply) => reply,
            Err(error) if error.code() == Some("NoSuchLifecycleConfiguration") => return Ok(Vec::new()),
            Err(error) => return Err(port_error(OPERATION, Effect::Read, &error)),
        };
        let rules = reply.rules.unwrap_or_default().into_iter();
        Ok(rules.filter(|rule| rule.status == ExpirationStatus::Enabled).filter_map(Expiration::of).collect())
    }
}

/// A lifecycle rule that deletes objects by their age.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expiration {
    /// What the keys of the objects begin with; an empty one is the whole bucket.
    pub prefix: String,
    /// Whether each object with this prefix is deleted: neither only some, by tag or size, nor only
    /// versions that others have replaced.
    pub is_of_all: bool,
}

impl Expiration {
    /// `None` if the rule deletes no object: its delete markers alone, or unfinished uploads.
    fn of(rule: LifecycleRule) -> Option<Self> {
        let expires = rule.expiration.is_some_and(|by| by.days.is_some() || by.date.is_some());
        if !expires && rule.noncurrent_version_expiration.is_none() {
            return None;
        }
        let filter = rule.filter.unwrap_or_else(|| LifecycleRuleFilter::builder().build());
        let sizes = (filter.object_size_greater_than, filter.object_size_less_than);
        let both = filter.and.as_ref().is_some_and(|and| {
            !and.tags().is_empty()
                || and.object_size_greater_than.is_some()
                || and.object_size_less_than.is_some()
        });
        let is_of_some = filter.tag.is_some() || sizes != (None, None) || both;
        #[expect(deprecated, reason = "S3 still returns what was set by this field")]
        let prefix = filter.prefix.or(filter.and.and_then(|and| and.prefix)).or(rule.prefix);
        Some(Self { prefix: prefix.unwrap_or_default(), is_of_all: expires && !is_of_some })
    }
}

/// A key of a job that does not exist.
fn probe_key(role: Role) -> PortResult<ObjectKey> {
    const OPERATION: &str = "making the key of a probe";
    let name = NO_UPLOAD.parse().map_err(|_| refused(OPERATION, "it is not a file name"))?;
    let job = JobId::random();
    Ok(match role {
        Role::Upload => ObjectKey::upload(job, name),
        Role::Processed => ObjectKey::processed(job, 1, name),
    })
}

/// Whether a call was let through. What it was about does not exist.
fn answered<T, E>(reply: Result<T, SdkError<E>>) -> PortResult<()>
where
    E: ProvideErrorMetadata + Error + 'static,
{
    const OPERATION: &str = "trying a permission on the bucket";
    match reply.map_err(|error| port_error(OPERATION, Effect::Read, &error)) {
        Ok(_) | Err(PortError::NotFound(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// The error of a write, which names the key of KMS if that was refused. S3 says so in its message
/// alone, of which nothing else is passed on.
fn about_key<E>(operation: &'static str, error: &SdkError<E>) -> PortError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let code = error.code().unwrap_or_default();
    if code.starts_with("KMS.") || code == "AccessDenied" && is_about_kms(error.message().unwrap_or_default())
    {
        return refused(operation, &without(KEY_RIGHT));
    }
    port_error(operation, Effect::Write, error)
}

/// What S3 needs of the key of KMS to store an object.
pub const KEY_RIGHT: &str = "kms:GenerateDataKey";

/// Whether the message of a refusal is about the key of KMS.
pub fn is_about_kms(message: &str) -> bool {
    message.contains("kms:") || message.contains("KMS")
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_s3::types::{
        LifecycleExpiration, LifecycleRuleAndOperator, NoncurrentVersionExpiration, Tag,
    };

    /// What a rule with this filter deletes, by age and of its older versions.
    fn of(filter: LifecycleRuleFilter, ages: bool, versions: bool) -> Option<(String, bool)> {
        let by_age = LifecycleExpiration::builder().days(1).build();
        let older = NoncurrentVersionExpiration::builder().noncurrent_days(1).build();
        let rule = LifecycleRule::builder()
            .status(ExpirationStatus::Enabled)
            .filter(filter)
            .set_expiration(ages.then_some(by_age))
            .set_noncurrent_version_expiration(versions.then_some(older));
        Expiration::of(rule.build().unwrap()).map(|found| (found.prefix, found.is_of_all))
    }

    #[test]
    fn a_rule_for_some_objects_is_not_one_for_all() {
        let filter = LifecycleRuleFilter::builder;
        let tag = || Tag::builder().key("a").value("b").build().unwrap();
        let and = LifecycleRuleAndOperator::builder().prefix("uploads/");
        let whole = |is_of_all| Some(("uploads/".to_owned(), is_of_all));
        assert_eq!(of(filter().prefix("uploads/").build(), true, false), whole(true));
        assert_eq!(of(filter().prefix("uploads/").build(), false, true), whole(false));
        assert_eq!(of(filter().prefix("uploads/").build(), false, false), None);
        assert_eq!(of(filter().build(), true, true), Some((String::new(), true)));
        assert_eq!(of(filter().tag(tag()).build(), true, false), Some((String::new(), false)));
        assert_eq!(of(filter().object_size_less_than(9).build(), true, false), Some((String::new(), false)));
        assert_eq!(of(filter().and(and.clone().tags(tag()).build()).build(), true, false), whole(false));
        let large = and.object_size_greater_than(9).build();
        assert_eq!(of(filter().and(large).build(), true, false), whole(false));
        let marks = LifecycleExpiration::builder().expired_object_delete_marker(true).build();
        let rule = LifecycleRule::builder().status(ExpirationStatus::Enabled).expiration(marks);
        assert_eq!(Expiration::of(rule.build().unwrap()), None);
    }
}
