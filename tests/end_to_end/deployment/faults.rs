//! Faults of the services, one at a time.

use super::{Deployment, ORIGIN, lifecycle};
use cadmill_stores::conformance::iam::policy::Policy;
use cadmill_stores::conformance::iam::proxy::Planted;
use serde_json::json;

/// For events that do not come: moto delivers at once.
const SOON: [&str; 2] = ["--wait", "1s"];

/// The policies without an action, in these statements.
fn without(policies: Vec<Policy>, grants: &[(usize, &str)], action: &str) -> Vec<Policy> {
    let mut policies = policies;
    for (policy, sid) in grants {
        policies[*policy] = policies[*policy].clone().without(sid, action);
    }
    policies
}

/// Indices of the policies.
const API: usize = 0;
const WORKER: usize = 1;
const CLEANUP: usize = 2;

#[tokio::test(flavor = "multi_thread")]
async fn a_permission_that_is_missing() {
    let cloud = Deployment::new().await;
    // HEAD of what is not there.
    let listing = [(API, "FindUploads"), (CLEANUP, "FindObjects")];
    cloud.grants(&without(cloud.all(), &listing, "s3:ListBucket"));
    cloud.doctor(&[], &[]).await.names_faults(&[("bucket.list", "ApiRole, CleanupRole")]);
    // Deletions with a version.
    let deleting = [(API, "DeleteOnRequest"), (WORKER, "DeleteUploads"), (CLEANUP, "DeleteObjects")];
    cloud.grants(&without(cloud.all(), &deleting, "s3:DeleteObjectVersion"));
    let report = cloud.doctor(&[], &[]).await;
    report.names_faults(&[("bucket.delete", "WorkerRole, ApiRole, CleanupRole")]);
    let shown = report.json.to_string();
    assert!(shown.contains("not granted: s3:DeleteObjectVersion on uploads/"), "{shown}");
    for action in ["s3:ListBucketVersions", "s3:ListBucketMultipartUploads"] {
        let policies = without(cloud.policies(), &[(CLEANUP, "FindObjects")], action);
        cloud.grants(&policies[CLEANUP..]);
        let only = cloud.doctor(&["--program", "cleanup"], &[]).await;
        only.names_faults(&[("bucket.list", "CleanupRole")]);
    }
    cloud.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_of_the_way_of_events_that_is_missing() {
    // EventBridge is off.
    let cloud = Deployment::new().await;
    cloud.sends_events("").await;
    cloud.doctor(&SOON, &[]).await.names_faults(&[("bucket.events", "Bucket")]);
    cloud.is_clean().await;

    // The rule has another prefix.
    let cloud = Deployment::new().await;
    cloud.rule("incoming/").await;
    cloud.doctor(&SOON, &[]).await.names_faults(&[("events.rule", "UploadRule")]);
    // Who may not see the bucket's settings knows less.
    cloud.grants(&cloud.policies());
    cloud.doctor(&SOON, &[]).await.names_faults(&[("events.rule", "UploadRule, Bucket")]);
    cloud.is_clean().await;

    // The queue's policy does not have the rule, so that SQS refuses what EventBridge sends. moto does
    // not ask the policy: the target is taken away.
    let cloud = Deployment::new().await;
    cloud.queue_policy("s3.amazonaws.com", "arn:aws:s3:::other").await;
    let rule = &cloud.world.objects.bucket;
    cloud.moto.events("RemoveTargets", json!({"Rule": rule, "Ids": ["queue"]})).await;
    cloud.doctor(&SOON, &[]).await.names_faults(&[("queue.policy", "QueuePolicy")]);
    cloud.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_that_come_too_early_or_go_nowhere() {
    let cloud = Deployment::new().await;
    // A job that waits for memory would be lost.
    cloud.redrive(10).await;
    cloud.doctor(&[], &[]).await.names_faults(&[("queue.redrive", "Queue")]);
    cloud.redrive(1000).await;
    let unset = [("CADMILL_SQS_DEAD_LETTER_URL", "")];
    let report = cloud.doctor(&[], &unset).await;
    report.names_faults(&[("queue.dead_letters", "WorkerTask, CleanupTask")]);
    // The queue is gone.
    let dead = &cloud.world.queue.dead_letter_url;
    cloud.moto.sqs("DeleteQueue", json!({"QueueUrl": dead})).await;
    cloud.doctor(&[], &[]).await.names_faults(&[("queue.dead_letters", "DeadLetterQueue")]);
    cloud.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_is_set_up_for_other_uses() {
    let cloud = Deployment::new().await;
    let origins = [("CADMILL_API_CORS_ORIGINS", ORIGIN)];
    // A file sends its content type.
    let cors = super::CORS.replace("<AllowedHeader>content-type</AllowedHeader>", "");
    cloud.set("cors", &cors).await;
    let report = cloud.doctor(&[], &origins).await;
    report.names_faults(&[("bucket.cors", "Bucket")]);
    assert!(report.json.to_string().contains("content-type is not allowed"), "{}", report.json);
    cloud.set("cors", super::CORS).await;
    // Ledgers among the files, and a rule that deletes both.
    cloud.set("lifecycle", &lifecycle(&[""])).await;
    let bucket = cloud.world.objects.bucket.as_str();
    let ledgers = [("CADMILL_AUDIT_SINKS", "s3"), ("CADMILL_AUDIT_BUCKET", bucket), origins[0]];
    cloud.proxy.plant(refuses_checksum());
    let report = cloud.doctor(&[], &ledgers).await;
    report.names_faults(&[
        ("bucket.lifecycle", "Bucket"),
        ("ledgers.bucket", "LedgerBucket"),
        ("ledgers.write", "LedgerBucket, ApiRole, WorkerRole, CleanupRole"),
        ("ledgers.lifecycle", "LedgerBucket"),
    ]);
    cloud.is_clean().await;
}

/// As S3 answers an object with the checksum of another.
fn refuses_checksum() -> Planted {
    Planted::error("s3:PutObject", "/audit/", 400, "BadDigest", "another digest")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_kms_that_is_denied() {
    let cloud = Deployment::new().await;
    let ledgers = cloud.moto.ledger_bucket(&cloud.world).await;
    cloud.proxy.plant(refuses_checksum());
    let mut variables = vec![("CADMILL_AUDIT_SINKS", "s3"), ("CADMILL_AUDIT_BUCKET", ledgers.as_str())];
    cloud.doctor(&[], &variables).await.is_good();
    // The key that signs ledgers.
    let key = cloud.world.resources().key;
    variables.extend([("CADMILL_AUDIT_SIGN_WITH", "kms"), ("CADMILL_AUDIT_KMS_KEY", key.as_str())]);
    let signing = [(API, "SignLedgers"), (WORKER, "SignLedgers"), (CLEANUP, "SignLedgers")];
    cloud.grants(&without(without(cloud.all(), &signing, "kms:Sign"), &signing, "kms:GetPublicKey"));
    let report = cloud.doctor(&[], &variables).await;
    report.names_faults(&[("ledgers.key", "LedgerKey, ApiRole, WorkerRole, CleanupRole")]);
    // The key of the bucket.
    cloud.grants(&cloud.all());
    let message = "User: arn:aws:sts::1:assumed-role/x is not authorized to perform: kms:GenerateDataKey";
    cloud.proxy.plant(Planted::error("s3:PutObject", "/uploads/", 403, "AccessDenied", message));
    cloud.doctor(&[], &[]).await.names_faults(&[("bucket.key", "ObjectKey, ApiRole")]);
    cloud.is_clean().await;
}
