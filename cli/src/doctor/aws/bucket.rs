//! Settings of the bucket that fail late: CORS, with the first web page; lifecycle and versions, with
//! the first file that is deleted too early or not at all.

use super::finding::{Findings, is_denied};
use super::http;
use cadmill_core::domain::ids::{ObjectKey, Role};
use cadmill_core::ports::object_store::Presigned;
use cadmill_stores::bootstrap::deployment::Deployment;
use cadmill_stores::config::Config;

const CORS: &str = "bucket.cors";
const LIFECYCLE: &str = "bucket.lifecycle";
const VERSIONS: &str = "bucket.versions";

/// Headers of an upload from a page: the signed ones, and the content type that a browser adds to a
/// file.
const HEADERS: [&str; 3] = ["content-type", "if-none-match", "x-amz-checksum-sha256"];

/// Asks as the browser of each allowed origin does.
pub(super) async fn cors(findings: &mut Findings, config: &Config, signed: &Presigned) {
    let origins = &config.api.cors_origins;
    if origins.is_empty() {
        return findings.unseen(CORS, "api.cors_origins is empty: no web page uploads");
    }
    for origin in origins {
        let missing = match http::preflight(signed, origin, &HEADERS.join(",")).await {
            Ok(answer) if answer.status >= 400 => "the bucket allows none".to_owned(),
            Ok(answer) => lacks(&answer),
            Err(why) => why.to_owned(),
        };
        if !missing.is_empty() {
            let found = format!("a browser may not upload from an origin of api.cors_origins: {missing}");
            let hint = "Allow the origin, the methods PUT, GET and HEAD, and the headers content-type, if-none-match and \
                        x-amz-checksum-sha256: set WebOrigins.";
            return findings.fault(CORS, found, hint, "Bucket");
        }
    }
    findings.ok(CORS, format!("browsers may upload from {} origins", origins.len()));
}

/// What a preflight did not allow.
fn lacks(answer: &http::Answer) -> String {
    let (methods, headers) =
        (answer.list("access-control-allow-methods"), answer.list("access-control-allow-headers"));
    if answer.list("access-control-allow-origin").is_empty() {
        return "the bucket does not allow it".to_owned();
    }
    let has = |list: &[String], word: &str| list.iter().any(|one| one == word || one == "*");
    let mut missing: Vec<&str> = HEADERS.into_iter().filter(|name| !has(&headers, name)).collect();
    if !has(&methods, "put") {
        missing.push("PUT");
    }
    match missing.as_slice() {
        [] => String::new(),
        missing => format!("{} is not allowed", missing.join(", ")),
    }
}

/// Whether S3 deletes, or keeps, anything that it should not.
pub(super) async fn lifecycle(findings: &mut Findings, deployment: &Deployment) {
    let own = [Role::Upload, Role::Processed].map(ObjectKey::root);
    match deployment.objects.expirations().await {
        Ok(rules) if rules.iter().any(|rule| !own.iter().any(|root| rule.prefix.starts_with(root))) => {
            let hint = "It deletes whatever else is in the bucket, such as ledgers, by its age: give each rule the prefix uploads/ or processed/.";
            findings.fault(LIFECYCLE, "a rule is for more than uploads/ and processed/", hint, "Bucket");
        }
        Ok(rules)
            if own.iter().all(|root| rules.iter().any(|rule| rule.is_of_all && rule.prefix == *root)) =>
        {
            findings.ok(LIFECYCLE, "S3 deletes what is left in uploads/ and processed/");
        }
        Ok(_) => {
            let hint = "It is the last net for files that no program can delete: add a rule for uploads/ and one for processed/.";
            findings.weak(LIFECYCLE, "not everything is deleted by S3 in the end", hint, "Bucket");
        }
        Err(error) if is_denied(&error) => {
            findings.unseen(LIFECYCLE, "s3:GetLifecycleConfiguration is not granted");
        }
        Err(error) => findings.unseen(LIFECYCLE, error.to_string()),
    }
    match deployment.objects.keeps_versions().await {
        Ok(false) => findings.ok(VERSIONS, "the bucket keeps none"),
        Ok(true) => {
            let hint = "Each deletion then takes s3:DeleteObjectVersion for each version: have the bucket without versions.";
            findings.weak(VERSIONS, "the bucket keeps versions of short-lived files", hint, "Bucket");
        }
        Err(_) => findings.unseen(VERSIONS, "s3:GetBucketVersioning is not granted"),
    }
}
