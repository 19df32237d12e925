//! Notifications from the store that an object was created: Amazon S3 events, delivered through
//! EventBridge or directly by the bucket.
//!
//! An event is a hint, not a command. Only the job id in its key is trusted. Its size and ETag are
//! not even read: the worker asks the store. The whole key and the version say what to delete if
//! the job has ended. Events about objects that are not uploads of cadmill are skipped without an
//! error, because the bucket may be shared.

use super::ids::{JobId, ObjectKey, Role};
use super::job::{Millis, Object};
use super::stored::next;
use super::trace::TraceParent;
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::{Duration, SystemTime};

/// An upload has arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadEvent {
    /// The bucket that the event names. The caller must check that it is the configured one.
    pub bucket: String,
    /// The job id in the key.
    pub job: JobId,
    /// The object, if the event names it.
    pub key: Option<ObjectKey>,
    /// Its version, in a versioned bucket.
    pub version: Option<String>,
    /// Orders the events of one key, see [`super::state::is_newer`]; empty if the store sends none.
    pub sequencer: String,
    /// The operation: `PutObject`, `CompleteMultipartUpload`, or whatever the store reports.
    pub reason: String,
    /// When the event happened, as it says.
    pub at: Option<Millis>,
}

impl UploadEvent {
    /// A notice of a job's upload for which no event arrived.
    pub fn of_job(bucket: String, job: JobId) -> Self {
        // Older than every real event, so that it never supersedes one.
        let (sequencer, reason) = ("00".to_owned(), "Given".to_owned());
        Self { bucket, job, key: None, version: None, sequencer, reason, at: None }
    }

    /// The upload under this key, of which nothing else is known.
    pub fn of_key(bucket: String, key: ObjectKey) -> Self {
        Self { key: Some(key.clone()), ..Self::of_job(bucket, key.job()) }
    }
}

/// Why a message is not an event. The message's text is not included, because it contains names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoticeError {
    /// Not a JSON object.
    #[error("the message is not a JSON object")]
    Json,
    /// JSON, but neither an EventBridge event nor an S3 notification.
    #[error("the message is not an S3 event: {0}")]
    Shape(&'static str),
    /// Of cadmill, and of a kind that this version does not know.
    #[error("the message is of a kind that another version of cadmill knows")]
    Newer,
}

/// Parses an event into the notices it contains; the result is empty if the event is about
/// something else.
///
pub fn parse(body: &str) -> Result<Vec<UploadEvent>, NoticeError> {
    let Ok(Value::Object(event)) = serde_json::from_str(body) else { return Err(NoticeError::Json) };
    let text = |name: &str| event.get(name).and_then(Value::as_str);
    if let Some(records) = event.get("Records") {
        let records = records.as_array().ok_or(NoticeError::Shape("Records is not a list"))?;
        let notices: Result<Vec<_>, _> = records.iter().map(of_record).collect();
        return Ok(notices?.into_iter().flatten().collect());
    }
    match (text("source"), text("detail-type"), event.get("detail")) {
        (Some("aws.s3"), Some("Object Created"), Some(detail)) => {
            let at = text("time").and_then(millis);
            Ok(of_detail(detail)?.map(|notice| UploadEvent { at, ..notice }).into_iter().collect())
        }
        // What cadmill itself sends is an upload event, so far.
        (Some("cadmill"), Some(_), _) => Err(NoticeError::Newer),
        (Some(_), Some(_), Some(_)) => Ok(Vec::new()),
        // S3 sends this once when notifications are configured.
        _ if text("Event") == Some("s3:TestEvent") => Ok(Vec::new()),
        _ => Err(NoticeError::Shape("it has neither Records nor detail")),
    }
}

/// Field of an event that cadmill itself has sent again: how often.
const SENT_AGAIN: &str = "cadmill-sent-again";

/// The event with a higher number of times that it was sent again, and that number. A message that
/// is sent anew has lost the number of its deliveries; this one is kept in its body.
///
/// # Errors
/// [`NoticeError::Json`].
pub fn sent_again(body: &str) -> Result<(String, u32), NoticeError> {
    let Ok(Value::Object(mut event)) = serde_json::from_str(body) else { return Err(NoticeError::Json) };
    let before = event.get(SENT_AGAIN).and_then(Value::as_u64).and_then(|times| u32::try_from(times).ok());
    let times = before.unwrap_or(0).saturating_add(1);
    event.insert(SENT_AGAIN.to_owned(), times.into());
    Ok((Value::Object(event).to_string(), times))
}

/// An event of the upload under this key, of which nothing else is known.
pub fn of_key(bucket: &str, key: &ObjectKey) -> String {
    of_version(bucket, key, None)
}

/// The same for one version of the object.
pub fn of_version(bucket: &str, key: &ObjectKey, version: Option<&str>) -> String {
    let mut object = json!({ "key": key.to_string(), "sequencer": "00" });
    if let Some(version) = version {
        object["version-id"] = version.into();
    }
    json!({
        "source": "aws.s3",
        "detail-type": "Object Created",
        "detail": { "bucket": { "name": bucket }, "object": object },
    })
    .to_string()
}

/// Field of an event that cadmill itself sends: the trace of its job, for a reader of the queue.
/// It is not read.
const TRACE: &str = "traceparent";

/// The event with the trace of its job.
pub fn traced(event: String, trace: Option<&TraceParent>) -> String {
    let Some(trace) = trace else { return event };
    match serde_json::from_str(&event) {
        Ok(Value::Object(mut fields)) => {
            fields.insert(TRACE.to_owned(), trace.as_str().into());
            Value::Object(fields).to_string()
        }
        _ => event,
    }
}

/// The event that EventBridge would deliver for this object, with this `id` (a UUID) and time.
pub fn object_created(
    bucket: &str,
    object: &Object,
    sequencer: &str,
    reason: &str,
    id: &str,
    time: Millis,
) -> String {
    let mut about = json!({
        "key": object.key.to_string(),
        "size": object.size_bytes,
        "etag": object.etag.trim_matches('"'),
        "sequencer": sequencer,
    });
    if let Some(version) = &object.version {
        about["version-id"] = json!(version);
    }
    // humantime supports years up to 9999 only.
    let time = Duration::from_millis(time.min(253_402_300_799_000));
    let mut event = json!({
        "version": "0",
        "id": id,
        "detail-type": "Object Created",
        "source": "aws.s3",
        "account": "000000000000",
        "time": humantime::format_rfc3339_seconds(SystemTime::UNIX_EPOCH + time).to_string(),
        "region": "local",
        "resources": [format!("arn:aws:s3:::{bucket}")],
        "detail": { "version": "0", "bucket": { "name": bucket }, "object": about, "reason": reason },
    });
    if next::is_imitated() {
        event[next::FIELD] = json!(0);
    }
    event.to_string()
}

#[derive(Deserialize)]
struct Detail {
    bucket: Bucket,
    object: Described,
    #[serde(default)]
    reason: String,
}

#[derive(Deserialize)]
struct Bucket {
    name: String,
}

#[derive(Deserialize)]
struct Described {
    key: String,
    #[serde(default)]
    sequencer: String,
    /// The spelling of EventBridge, and that of a notification.
    #[serde(default, rename = "version-id", alias = "versionId")]
    version: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    event_source: String,
    event_name: String,
    event_time: Option<String>,
    s3: Option<Described3>,
}

#[derive(Deserialize)]
struct Described3 {
    bucket: Bucket,
    object: Described,
}

fn of_detail(detail: &Value) -> Result<Option<UploadEvent>, NoticeError> {
    let Detail { bucket, object, reason } =
        Detail::deserialize(detail).map_err(|_| NoticeError::Shape("its detail lacks bucket or object"))?;
    let key = object.key.clone();
    Ok(notice(bucket, &key, object, reason))
}

fn of_record(record: &Value) -> Result<Option<UploadEvent>, NoticeError> {
    let record = Record::deserialize(record)
        .map_err(|_| NoticeError::Shape("a record lacks its source, name, bucket or object"))?;
    let kind = record.event_name.strip_prefix("ObjectCreated:");
    let (Some(kind), "aws:s3") = (kind, record.event_source.as_str()) else { return Ok(None) };
    let Described3 { bucket, object } =
        record.s3.ok_or(NoticeError::Shape("a record lacks its bucket and object"))?;
    let key = decoded(&object.key);
    let at = record.event_time.as_deref().and_then(millis);
    let notice = key.and_then(|key| notice(bucket, &key, object, kind.to_owned()));
    Ok(notice.map(|notice| UploadEvent { at, ..notice }))
}

/// A time of an event, which has the form of RFC 3339.
fn millis(time: &str) -> Option<Millis> {
    let time = humantime::parse_rfc3339(time).ok()?.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Millis::try_from(time.as_millis()).ok()
}

fn notice(bucket: Bucket, key: &str, object: Described, reason: String) -> Option<UploadEvent> {
    let key: ObjectKey = key.parse().ok()?;
    let is_upload = key.role() == Role::Upload;
    let Described { sequencer, version, .. } = object;
    let version = version.filter(|version| !version.is_empty());
    let notice = UploadEvent {
        bucket: bucket.name,
        job: key.job(),
        key: Some(key),
        version,
        sequencer,
        reason,
        at: None,
    };
    is_upload.then_some(notice)
}

/// Decodes a key in a notification: percent-encoded, with `+` for a space (Amazon S3 User Guide,
/// "Event message structure"). `None` if the result is not UTF-8.
fn decoded(key: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(key.len());
    let mut rest = key.as_bytes();
    while let [first, tail @ ..] = rest {
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let pair = match tail {
            [high, low, ..] if *first == b'%' => digit(*high).zip(digit(*low)),
            _ => None,
        };
        match pair {
            Some((high, low)) => {
                bytes.push(high << 4 | low);
                rest = &tail[2..];
            }
            None => {
                bytes.push(if *first == b'+' { b' ' } else { *first });
                rest = tail;
            }
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests;
