//! The permissions of the programs, each tried by a call that leaves nothing (A permission that shows
//! itself on the probe object alone is tried in [`super::way`].)

use super::finding::{Findings, is_about_key, is_denied};
use super::who::Who;
use cadmill_core::domain::ids::Role;
use cadmill_core::ports::PortResult;
use cadmill_stores::adapters::aws::dynamodb::TableRight;
use cadmill_stores::adapters::aws::s3::{BucketRight, KEY_RIGHT};
use cadmill_stores::bootstrap::deployment::Deployment;

const BOTH: &[Role] = &[Role::Upload, Role::Processed];
const UPLOADS: &[Role] = &[Role::Upload];
const RESULTS: &[Role] = &[Role::Processed];

const DELETERS: &[Who] = &[Who::Api, Who::Cleanup];

/// Permissions on the bucket: the check that names them, where they are needed, and by whom.
const BUCKET: &[(&str, BucketRight, &[Role], &[Who])] = &[
    (LIST, BucketRight::List, UPLOADS, DELETERS),
    (LIST, BucketRight::ListVersions, UPLOADS, DELETERS),
    (LIST, BucketRight::ListUploads, UPLOADS, DELETERS),
    (LIST, BucketRight::GetVersioning, UPLOADS, DELETERS),
    (UPLOAD, BucketRight::Abort, UPLOADS, &[Who::Api]),
    (UPLOAD, BucketRight::ListParts, UPLOADS, &[Who::Api]),
    (UPLOAD, BucketRight::Put, UPLOADS, &[Who::Api]),
    (RESULT, BucketRight::Abort, RESULTS, &[Who::Worker]),
    (RESULT, BucketRight::ListParts, RESULTS, &[Who::Worker]),
    (RESULT, BucketRight::Put, RESULTS, &[Who::Worker]),
    (DELETE, BucketRight::DeleteVersion, UPLOADS, &[Who::Worker]),
    (DELETE, BucketRight::DeleteVersion, BOTH, DELETERS),
    (DELETE, BucketRight::Delete, UPLOADS, &[Who::Worker]),
    (DELETE, BucketRight::Delete, BOTH, DELETERS),
    (DELETE, BucketRight::Abort, BOTH, DELETERS),
    (DELETE, BucketRight::ListParts, BOTH, DELETERS),
];

const LIST: &str = "bucket.list";
const UPLOAD: &str = "bucket.upload";
const RESULT: &str = "bucket.result";
const DELETE: &str = "bucket.delete";

/// Permissions on the table, and who needs them.
const TABLE: &[(TableRight, &[Who])] = &[
    (TableRight::Describe, &[Who::Api, Who::Worker, Who::Cleanup]),
    (TableRight::Get, &[Who::Api, Who::Worker, Who::Cleanup]),
    (TableRight::Put, &[Who::Api, Who::Worker, Who::Cleanup]),
    (TableRight::BatchGet, &[Who::Api, Who::Cleanup]),
    (TableRight::Update, &[Who::Cleanup]),
    (TableRight::Delete, &[Who::Cleanup]),
    (TableRight::QueryOwners, &[Who::Api]),
    (TableRight::QueryDue, &[Who::Cleanup]),
];

/// What a group of permissions is for.
struct Group {
    name: &'static str,
    missing: Vec<String>,
    key: Option<&'static str>,
    failed: Option<String>,
    roles: Vec<&'static str>,
    tried: usize,
}

impl Group {
    fn new(name: &'static str) -> Self {
        Self { name, missing: Vec::new(), key: None, failed: None, roles: Vec::new(), tried: 0 }
    }

    fn add(&mut self, action: &str, place: &str, needed: &[Who], who: Who, answer: PortResult<()>) {
        self.tried += 1;
        let Err(error) = answer else { return };
        if is_about_key(&error) {
            self.key = Some(KEY_RIGHT);
        } else if is_denied(&error) {
            let missing = format!("{action}{place}");
            if !self.missing.contains(&missing) {
                self.missing.push(missing);
            }
        } else {
            self.failed.get_or_insert_with(|| error.to_string());
            return;
        }
        let of = if who == Who::Operator { needed } else { &[who] };
        for role in of.iter().map(|who| who.role()) {
            if !self.roles.contains(&role) {
                self.roles.push(role);
            }
        }
    }

    fn end(self, findings: &mut Findings, without: &str, resource: &str) {
        let roles = self.roles.join(", ");
        if let Some(right) = self.key {
            no_key(findings, right, &roles);
        }
        if !self.missing.is_empty() {
            let found = format!("not granted: {}", self.missing.join(", "));
            let hint = format!("{without} Give the role the statements of docker/aws/policies.");
            findings.fault(self.name, found, &hint, &roles);
        } else if let Some(failed) = self.failed {
            let hint =
                "Check that the service is there under the configured name, and can be reached from here.";
            findings.fault(self.name, failed, hint, resource);
        } else if self.tried > 0 && self.key.is_none() {
            findings.ok(self.name, format!("{} permissions are granted", self.tried));
        }
    }
}

/// S3 may not use the key of the bucket for the caller.
pub(super) fn no_key(findings: &mut Findings, right: &str, roles: &str) {
    if findings.faults().contains(&"bucket.key") {
        return;
    }
    let hint = "S3 cannot encrypt or decrypt with the key of the bucket, so that no file arrives: allow kms:Decrypt \
                and kms:GenerateDataKey in the key's policy and in the role's policy object-key, and see that the key is enabled.";
    let resource = if roles.is_empty() { "ObjectKey".to_owned() } else { format!("ObjectKey, {roles}") };
    findings.fault("bucket.key", format!("not granted: {right}"), hint, &resource);
}

/// Tries all permissions on the bucket and the table that this program needs.
pub(super) async fn check(findings: &mut Findings, deployment: &Deployment, who: Who) {
    for (name, without) in [
        (
            LIST,
            "S3 then answers 403 for what is not there: jobs without an upload never expire, and nothing is found to delete.",
        ),
        (UPLOAD, "Then no client can upload."),
        (RESULT, "Then no result can be stored."),
        (DELETE, "Then files stay in the bucket after their jobs."),
    ] {
        let mut group = Group::new(name);
        for (_, right, places, needed) in BUCKET.iter().filter(|row| row.0 == name && who.is_of(row.3)) {
            for role in *places {
                // An upload that could not be aborted again is not begun, and no delete marker is made that
                // could not be deleted.
                if matches!(right, BucketRight::Put | BucketRight::Delete)
                    && (!group.missing.is_empty() || group.failed.is_some())
                {
                    continue;
                }
                let place = match (right, role) {
                    (BucketRight::List | BucketRight::ListVersions, _) => "",
                    (BucketRight::ListUploads | BucketRight::GetVersioning, _) => "",
                    (_, Role::Upload) => " on uploads/",
                    (_, Role::Processed) => " on processed/",
                };
                let answer = deployment.objects.try_right(*right, *role).await;
                group.add(right.action(), place, needed, who, answer);
            }
        }
        group.end(findings, without, "Bucket");
    }
    let mut group = Group::new("table");
    for (right, needed) in TABLE.iter().filter(|(_, needed)| who.is_of(needed)) {
        group.add(right.action(), "", needed, who, deployment.jobs.try_right(*right).await);
    }
    group.end(findings, "Then jobs cannot be recorded.", "Table");
}
