//! What a request takes: service, action, resource, and how it is signed.
//!
//! Of S3 by the Amazon S3 User Guide, "Required permissions for Amazon S3 API operations". A request
//! that is not in these tables is an error, and never passed on as if it took nothing.

use super::policy::{AUTH_TYPE, Access, BY_HEADER, BY_QUERY};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method};
use serde_json::Value;

/// The account of all resources.
pub const ACCOUNT: &str = "123456789012";

/// Who asks a service for something, as the scope of the signature says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// The access key's id.
    pub key: String,
    /// The region.
    pub region: String,
    /// `s3`, `dynamodb`, `sqs`, `kms`.
    pub service: String,
    /// Whether the signature is in the URL.
    pub presigned: bool,
}

impl Signed {
    /// Reads the scope; `None` without a signature.
    pub fn of(parts: &Parts) -> Option<Self> {
        let header = parts.headers.get("authorization").and_then(|value| value.to_str().ok());
        let (scope, presigned) = match header {
            Some(header) => {
                let (_, rest) = header.split_once("Credential=")?;
                (rest.split([',', ' ']).next()?.to_owned(), false)
            }
            None => (parameter(parts, "X-Amz-Credential")?, true),
        };
        let mut scope = scope.split('/').map(str::to_owned);
        let (key, _date, region, service) = (scope.next()?, scope.next()?, scope.next()?, scope.next()?);
        Some(Self { key, region, service, presigned })
    }

    /// What a request to S3 takes, and the bucket that it is about.
    ///
    /// # Errors
    /// The request, if it is not known.
    pub fn of_s3(&self, parts: &Parts) -> Result<S3Access, String> {
        let path = decoded(parts.uri.path());
        let (bucket, key) = match path.trim_start_matches('/').split_once('/') {
            Some((bucket, key)) if !key.is_empty() => (bucket.to_owned(), Some(key.to_owned())),
            _ => (path.trim_matches('/').to_owned(), None),
        };
        let bucket = format!("arn:aws:s3:::{bucket}");
        let names = s3_actions(parts, key.is_some())
            .ok_or_else(|| format!("{} with {:?}", parts.method, parameters(parts)))?;
        let resource = key.as_ref().map_or(bucket.clone(), |key| format!("{bucket}/{key}"));
        let how = if self.presigned { BY_QUERY } else { BY_HEADER };
        let needs = names.iter().map(|name| Access::new(name, &resource).with(AUTH_TYPE, how)).collect();
        let lists = Access::new("s3:ListBucket", &bucket).with(AUTH_TYPE, how);
        let reads_object =
            key.is_some() && names.first().is_some_and(|name| name.starts_with("s3:GetObject"));
        Ok(S3Access { needs, lists, reads_object })
    }

    /// What a request with a JSON body takes.
    ///
    /// # Errors
    /// The request, if it is not known.
    pub fn of_json(&self, headers: &HeaderMap, body: &[u8]) -> Result<Access, String> {
        let target = headers.get("x-amz-target").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let operation = target.split_once('.').map_or("", |(_, operation)| operation);
        let body: Value = serde_json::from_slice(body).map_err(|error| format!("{target}: {error}"))?;
        let text = |name: &str| body[name].as_str().filter(|text| !text.is_empty());
        let Self { region, service, .. } = self;
        let resource = match (&**service, operation) {
            ("dynamodb", "Query") => match (text("TableName"), text("IndexName")) {
                (Some(table), Some(index)) => Some(format!("table/{table}/index/{index}")),
                (Some(table), None) => Some(format!("table/{table}")),
                _ => None,
            },
            ("dynamodb", "BatchGetItem") => {
                let mut tables =
                    body["RequestItems"].as_object().into_iter().flat_map(|tables| tables.keys());
                tables.next().filter(|_| tables.next().is_none()).map(|table| format!("table/{table}"))
            }
            ("dynamodb", "DescribeTable" | "GetItem" | "PutItem" | "UpdateItem" | "DeleteItem") => {
                text("TableName").map(|table| format!("table/{table}"))
            }
            (
                "sqs",
                "SendMessage"
                | "ReceiveMessage"
                | "DeleteMessage"
                | "ChangeMessageVisibility"
                | "GetQueueAttributes",
            ) => text("QueueUrl").and_then(|url| url.rsplit('/').next()).map(str::to_owned),
            // By its ARN or its id. An alias would have to be looked up.
            ("kms", "GetPublicKey" | "Sign") => text("KeyId").and_then(|key| {
                let own = format!("arn:aws:kms:{region}:{ACCOUNT}:");
                let name = key.strip_prefix(&own).map_or(format!("key/{key}"), str::to_owned);
                (!name.contains("alias/")).then_some(name)
            }),
            _ => None,
        };
        let resource = resource.ok_or_else(|| format!("{service}: {target}"))?;
        let arn = format!("arn:aws:{service}:{region}:{ACCOUNT}:{resource}");
        Ok(Access::new(&format!("{service}:{operation}"), &arn))
    }
}

/// What a request to S3 takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Access {
    /// All of these.
    pub needs: Vec<Access>,
    /// What it takes to be told that something is missing.
    pub lists: Access,
    /// Whether it reads an object, so that 404 is told only to who may list.
    pub reads_object: bool,
}

/// Parameters that change no permission.
const PLAIN: [&str; 17] = [
    "continuation-token",
    "delimiter",
    "key-marker",
    "list-type",
    "max-keys",
    "max-parts",
    "max-uploads",
    "part-number-marker",
    "partNumber",
    "prefix",
    "response-content-disposition",
    "response-content-type",
    "start-after",
    "upload-id-marker",
    "uploadId",
    "version-id-marker",
    "x-id",
];

fn s3_actions(parts: &Parts, has_key: bool) -> Option<Vec<&'static str>> {
    let has = |name: &str| parameter(parts, name).is_some();
    // What names another operation, or a header that takes more.
    let kinds: Vec<String> = parameters(parts)
        .into_iter()
        .filter(|name| !PLAIN.contains(&name.as_str()) && !name.starts_with("X-Amz-"))
        .collect();
    let kind = match &kinds[..] {
        [] => None,
        [one] => Some(one.as_str()),
        _ => return None,
    };
    let sent = |name: &str| parts.headers.contains_key(name);
    let takes_more = ["x-amz-copy-source", "x-amz-acl", "x-amz-tagging", "x-amz-bypass-governance-retention"];
    if takes_more.into_iter().any(sent) {
        return None;
    }
    Some(match (&parts.method, has_key, kind) {
        (&Method::HEAD, false, None) | (&Method::GET, false, None) => vec!["s3:ListBucket"],
        (&Method::GET, false, Some("versions")) => vec!["s3:ListBucketVersions"],
        (&Method::GET, false, Some("uploads")) => vec!["s3:ListBucketMultipartUploads"],
        (&Method::GET, false, Some("versioning")) => vec!["s3:GetBucketVersioning"],
        (&Method::GET, false, Some("notification")) => vec!["s3:GetBucketNotification"],
        (&Method::GET, false, Some("lifecycle")) => vec!["s3:GetLifecycleConfiguration"],
        (&Method::GET, false, Some("object-lock")) => vec!["s3:GetBucketObjectLockConfiguration"],
        // What a browser asks before a request: it is not signed, whatever the URL says.
        (&Method::OPTIONS, true, None) => vec![],
        (&Method::GET, true, None) if has("uploadId") => vec!["s3:ListMultipartUploadParts"],
        (&Method::GET | &Method::HEAD, true, None) => vec!["s3:GetObject"],
        (&Method::GET | &Method::HEAD, true, Some("versionId")) => vec!["s3:GetObjectVersion"],
        (&Method::PUT, true, None) if sent("x-amz-object-lock-mode") => {
            vec!["s3:PutObject", "s3:PutObjectRetention"]
        }
        // A whole object or a part. The condition `If-None-Match` takes nothing more.
        (&Method::PUT, true, None) => vec!["s3:PutObject"],
        // Begins an upload, or completes it.
        (&Method::POST, true, Some("uploads")) => vec!["s3:PutObject"],
        (&Method::POST, true, None) if has("uploadId") => vec!["s3:PutObject"],
        (&Method::DELETE, true, None) if has("uploadId") => vec!["s3:AbortMultipartUpload"],
        (&Method::DELETE, true, None) => vec!["s3:DeleteObject"],
        // Also for the version `null`.
        (&Method::DELETE, true, Some("versionId")) => vec!["s3:DeleteObjectVersion"],
        _ => return None,
    })
}

/// Names of the parameters of the query.
fn parameters(parts: &Parts) -> Vec<String> {
    let query = parts.uri.query().unwrap_or_default();
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| decoded(pair.split('=').next().unwrap_or_default())).collect()
}

/// The value of a parameter of the query.
fn parameter(parts: &Parts, name: &str) -> Option<String> {
    parts.uri.query()?.split('&').find_map(|pair| {
        let (known, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decoded(known) == name).then(|| decoded(value))
    })
}

/// The text with `%XX` decoded. In S3's paths and queries `+` is a plus.
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let (mut decoded, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while at < bytes.len() {
        let hex = (bytes[at] == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                decoded.push(byte);
                at += 3;
            }
            None => {
                decoded.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}
