//! The input of `cadmill-converter task`: the upload that a task is started for.
//!
//! ECS starts a task with environment variables and without standard input. An EventBridge Pipe
//! passes the body of a queue message (`CADMILL_EVENT`: `$.body`), a rule with an input transformer
//! passes whole values of the event, such as the object's key (`CADMILL_KEY`), and an operator names
//! a job (`CADMILL_JOB`). Without any of these the event is read from standard input.
//!
//! Neither an event nor a key is accepted as an argument, because every user of a machine can read
//! the arguments of a process, and both contain the name of a file.

use cadmill_core::domain::failure::{Failure, FailureCode};
use cadmill_core::domain::ids::{JobId, ObjectKey, Role};
use cadmill_core::domain::upload_event::{self, UploadEvent};
use cadmill_core::ports::{EventQueue, PortResult};
use std::ffi::OsString;
use std::io::Read;
use std::time::Duration;

/// A whole event: the body of a queue message, as EventBridge or S3 wrote it.
pub const EVENT_VARIABLE: &str = "CADMILL_EVENT";

/// The key of an uploaded object, not URL-encoded, as EventBridge events have it.
pub const KEY_VARIABLE: &str = "CADMILL_KEY";

/// The id of a job.
pub const JOB_VARIABLE: &str = "CADMILL_JOB";

/// Longest event that is read from standard input, in bytes: SQS allows messages of 1 MiB. (An
/// event in the environment is shorter: ECS limits the overrides of a task to 8192 characters.)
const MAX_EVENT: u64 = 1 << 20;

/// How often an event is sent again before only the cleanup brings its job back.
const MOST_SENT_AGAIN: u32 = 10;

/// The pause before an event that is sent again for the first time; each further one is twice as
/// long.
const FIRST_PAUSE: Duration = Duration::from_secs(5);

/// What a task is started for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskInput {
    /// The upload of this job.
    Job(JobId),
    /// An event.
    Event(TaskMessage),
    /// The event on standard input.
    StandardInput,
}

/// The uploads that a task must process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskMessage {
    /// The uploads; none if the event is about another object.
    pub uploads: Vec<UploadEvent>,
    /// The event, if there is one.
    event: Option<String>,
}

impl TaskMessage {
    /// Sends the event to the queue again, with a delay that doubles each time. Returns how often it
    /// was sent again, or `None` if there is no event or the limit is reached: the cleanup then
    /// announces the job when it is due.
    ///
    /// # Errors
    /// If the queue does not take it.
    pub async fn send_again(&self, queue: &dyn EventQueue) -> PortResult<Option<u32>> {
        let Some(Ok((event, times))) = self.event.as_deref().map(upload_event::sent_again) else {
            return Ok(None);
        };
        if times > MOST_SENT_AGAIN {
            return Ok(None);
        }
        queue.send_later(&event, FIRST_PAUSE * (1 << (times - 1))).await?;
        Ok(Some(times))
    }
}

impl TaskInput {
    /// Chooses between the given job, which replaces [`JOB_VARIABLE`], and the variables of the
    /// environment, of which an empty one counts as unset. Events of keys are for `bucket`.
    ///
    /// # Errors
    /// `usage.invalid` if more than one is given, or if one is not valid; the message does not quote
    /// it.
    pub fn choose(
        job: Option<JobId>,
        variable: impl Fn(&str) -> Option<OsString>,
        bucket: &str,
    ) -> Result<Self, Failure> {
        let event = text(EVENT_VARIABLE, &variable)?;
        let key = text(KEY_VARIABLE, &variable)?;
        let job = match (job, text(JOB_VARIABLE, &variable)?) {
            (None, Some(text)) => {
                let job = text.parse().map_err(|e| invalid(format!("{JOB_VARIABLE}: {e}")))?;
                Some(job)
            }
            (job, _) => job,
        };
        match (job, event, key) {
            (Some(job), None, None) => Ok(Self::Job(job)),
            (None, Some(event), None) => parsed(EVENT_VARIABLE, event).map(Self::Event),
            (None, None, Some(key)) => of_key(&key, bucket).map(Self::Event),
            (None, None, None) => Ok(Self::StandardInput),
            _ => Err(invalid(format!(
                "more than one of {JOB_VARIABLE}, {EVENT_VARIABLE} and {KEY_VARIABLE} is set; a task processes one upload"
            ))),
        }
    }

    /// The uploads that the task must process; reads standard input if nothing else was given.
    ///
    /// # Errors
    /// `usage.invalid` if standard input is not an upload event; `infra.io`.
    pub fn read(self, bucket: &str, input: impl Read) -> Result<TaskMessage, Failure> {
        match self {
            Self::Job(job) => {
                let uploads = vec![UploadEvent::of_job(bucket.to_owned(), job)];
                Ok(TaskMessage { uploads, event: None })
            }
            Self::Event(message) => Ok(message),
            Self::StandardInput => {
                let mut bytes = Vec::new();
                let read = input.take(MAX_EVENT + 1).read_to_end(&mut bytes);
                read.map_err(|e| Failure::io("reading the event from standard input", &e))?;
                if bytes.len() as u64 > MAX_EVENT {
                    return Err(invalid("standard input is larger than the 1 MiB of an event".to_owned()));
                }
                let text = String::from_utf8(bytes)
                    .map_err(|_| invalid("standard input is not valid UTF-8".to_owned()))?;
                if text.trim().is_empty() {
                    return Err(invalid(format!(
                        "standard input is empty, and none of {EVENT_VARIABLE}, {KEY_VARIABLE} and {JOB_VARIABLE} is set"
                    )));
                }
                parsed("standard input", text)
            }
        }
    }
}

fn text(name: &str, variable: impl Fn(&str) -> Option<OsString>) -> Result<Option<String>, Failure> {
    let Some(value) = variable(name).filter(|value| !value.is_empty()) else { return Ok(None) };
    let value = value.into_string().map_err(|_| invalid(format!("{name} is not valid UTF-8")))?;
    Ok(Some(value))
}

fn parsed(source: &str, text: String) -> Result<TaskMessage, Failure> {
    let uploads = upload_event::parse(&text);
    let uploads = uploads.map_err(|e| invalid(format!("{source} is not an upload event: {e}")))?;
    Ok(TaskMessage { uploads, event: Some(text) })
}

/// The upload under this key; nothing if the key is of another object, because the bucket may be
/// shared.
fn of_key(key: &str, bucket: &str) -> Result<TaskMessage, Failure> {
    if key.starts_with('{') || key.starts_with('"') {
        let text = "an object's key was expected, not JSON; pass a whole event as";
        return Err(invalid(format!("{KEY_VARIABLE}: {text} {EVENT_VARIABLE}")));
    }
    let key: Option<ObjectKey> = key.parse().ok();
    let upload = key.filter(|key| key.role() == Role::Upload);
    let event = upload.as_ref().map(|key| upload_event::of_key(bucket, key));
    let uploads = upload.map(|key| UploadEvent::of_key(bucket.to_owned(), key)).into_iter().collect();
    Ok(TaskMessage { uploads, event })
}

fn invalid(message: String) -> Failure {
    Failure::new(FailureCode::UsageInvalid, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0f8fad5b-d9cb-469f-a165-70867728950e";

    fn chosen(job: Option<&str>, variables: &[(&str, &str)]) -> Result<TaskInput, Failure> {
        let value = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| OsString::from(value))
        };
        TaskInput::choose(job.map(|id| id.parse().unwrap()), value, "drawings")
    }

    fn event(key: &str) -> String {
        serde_json::json!({
            "source": "aws.s3",
            "detail-type": "Object Created",
            "detail": {"bucket": {"name": "drawings"}, "object": {"key": key, "sequencer": "0a"}},
        })
        .to_string()
    }

    #[test]
    fn an_upload_is_named_by_an_event_a_key_or_a_job() {
        let key = format!("uploads/{ID}/도면 & 1+1.zip");
        for input in [chosen(None, &[(KEY_VARIABLE, &key)]), chosen(None, &[(EVENT_VARIABLE, &event(&key))])]
        {
            let message = input.unwrap().read("drawings", std::io::empty()).unwrap();
            let [one] = &message.uploads[..] else { panic!("{message:?}") };
            assert_eq!((one.bucket.as_str(), one.job.to_string().as_str()), ("drawings", ID));
            assert_eq!(one.key.as_ref().map(ToString::to_string).as_deref(), Some(key.as_str()));
        }
        let by_job = chosen(Some(ID), &[(EVENT_VARIABLE, ""), (KEY_VARIABLE, "")]).unwrap();
        assert_eq!(by_job, TaskInput::Job(ID.parse().unwrap()));
        assert_eq!(chosen(None, &[(JOB_VARIABLE, ID)]).unwrap(), by_job);
        assert_eq!(chosen(None, &[(JOB_VARIABLE, "")]).unwrap(), TaskInput::StandardInput);
        assert_eq!(chosen(None, &[]).unwrap(), TaskInput::StandardInput);
    }

    #[test]
    fn objects_that_are_not_uploads_are_skipped() {
        for key in [format!("processed/{ID}/1/a.dxf"), "photos/cat.png".to_owned()] {
            for variable in [(KEY_VARIABLE, key.clone()), (EVENT_VARIABLE, event(&key))] {
                let input = chosen(None, &[(variable.0, &variable.1)]).unwrap();
                assert_eq!(input.read("drawings", std::io::empty()).unwrap().uploads, []);
            }
        }
    }

    #[test]
    fn contradictions_and_rubbish_are_refused_without_being_quoted() {
        let key = format!("uploads/{ID}/secret.zip");
        let (event, json) = (event(&key), format!("{{\"key\":\"{key}\"}}"));
        let refused = [
            chosen(Some(ID), &[(KEY_VARIABLE, &key)]),
            chosen(Some(ID), &[(EVENT_VARIABLE, &event)]),
            chosen(None, &[(EVENT_VARIABLE, &event), (KEY_VARIABLE, &key)]),
            chosen(None, &[(EVENT_VARIABLE, &key)]),
            chosen(None, &[(EVENT_VARIABLE, &json)]),
            chosen(None, &[(KEY_VARIABLE, &event)]),
            chosen(None, &[(JOB_VARIABLE, &key)]),
            TaskInput::StandardInput.read("drawings", key.as_bytes()).map(TaskInput::Event),
            TaskInput::StandardInput.read("drawings", std::io::empty()).map(TaskInput::Event),
            TaskInput::StandardInput.read("drawings", &b"\xff\xfe"[..]).map(TaskInput::Event),
            TaskInput::StandardInput.read("drawings", std::io::repeat(b' ')).map(TaskInput::Event),
        ];
        for refused in refused {
            let failure = refused.unwrap_err();
            assert_eq!(failure.code, FailureCode::UsageInvalid);
            assert!(!failure.message.contains("secret"), "{}", failure.message);
        }
    }
}
