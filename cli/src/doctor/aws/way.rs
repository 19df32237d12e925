//! A probe object on the whole way of an upload: PUT by a presigned URL, found by a listing, read,
//! announced by EventBridge, received from the queue, and everything deleted again.
//!
//! The probe belongs to a job without a record, so a running worker that receives its event
//! deletes it, as it does with every late upload. That is as good a proof of the way as a message that
//! is received here. Messages of other jobs are given back at once, and received three times at most: after that
//! only the object is looked at.
//!
//! What was put is deleted whatever happens in between, also when the program is interrupted. If it is
//! killed, the event and the hourly search for objects without a job remain, which delete it too.

use super::finding::{Findings, is_about_key, is_denied};
use super::http;
use super::queue_policy;
use super::rights::no_key;
use super::who::Who;
use cadmill_core::domain::ids::{FileName, JobId, ObjectKey, Role};
use cadmill_core::domain::upload_event;
use cadmill_core::ports::event_queue::Message;
use cadmill_core::ports::object_store::Presigned;
use cadmill_core::ports::{EventQueue, ObjectStore, PortError, PortResult};
use cadmill_stores::adapters::aws::s3::{KEY_RIGHT, is_about_kms};
use cadmill_stores::bootstrap::deployment::Deployment;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Content of the probe.
const CONTENT: &[u8] = b"cadmill doctor";

/// Lifetime of the probe's URL.
const LIFETIME: Duration = Duration::from_secs(60);

/// Longest wait of one receive call.
const RECEIVE: Duration = Duration::from_secs(2);

/// How long a received message is hidden, should this program die.
const HIDDEN: Duration = Duration::from_secs(10);

/// Pause after messages of other jobs were given back, and between looks at the object alone.
const PAUSE: Duration = Duration::from_secs(1);

/// Receive calls that may return messages of other jobs. Each is a delivery of theirs.
const CROWDED: u32 = 3;

/// How long the event is waited for when the way is given up.
const LAST: Duration = Duration::from_secs(3);

const PUT: &str = "bucket.upload";
const QUEUE: &str = "queue.rights";
const ARRIVES: &str = "events";

/// The name of the probe's file.
pub(super) fn name() -> PortResult<FileName> {
    let refused =
        |_| PortError::Refused { operation: "naming the probe", reason: "not a file name".to_owned() };
    "cadmill-doctor".parse().map_err(refused)
}

/// What became of the probe's event.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Event {
    /// It was received here.
    Received,
    /// A worker received it, and deleted the object.
    Handled,
    /// It did not come.
    Missing,
    /// Messages of other jobs came instead.
    Crowded,
    /// Receiving is refused or fails.
    Failed(PortError),
}

/// What became of the upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Upload {
    Stored,
    /// The reply was lost, or says nothing: the object may be there.
    Unknown,
    Refused,
}

/// The way of one probe.
pub(super) struct Way<'a> {
    pub(super) deployment: &'a Deployment,
    pub(super) who: Who,
    pub(super) wait: Duration,
    pub(super) stop: &'a AtomicBool,
}

impl Way<'_> {
    /// Walks it. Returns the presigned PUT, for questions that a browser would ask about it.
    pub(super) async fn check(&self, findings: &mut Findings) -> Option<Presigned> {
        let key = ObjectKey::upload(JobId::random(), name().ok()?);
        let objects = &self.deployment.objects;
        let signed = objects.presign_put(&key, CONTENT.len() as u64, None, LIFETIME).await;
        let signed = match signed {
            Ok(signed) => signed,
            Err(error) => {
                let hint = "No URL can be signed: see that the task has a role, or that this machine has credentials.";
                findings.fault("credentials", error.to_string(), hint, self.who.role());
                return None;
            }
        };
        if self.who == Who::Worker {
            self.send_and_receive(findings, &key).await;
        } else if self.who != Who::Operator {
            // Its event would stay in a queue from which this program may not receive.
            findings.unseen(ARRIVES, "no probe object was put, with the permissions of one program");
        } else {
            match self.put(findings, &signed).await {
                Upload::Stored => self.follow(findings, &key).await,
                Upload::Unknown => self.delete(findings, &key).await,
                Upload::Refused => {}
            }
        }
        Some(signed)
    }

    /// Uploads the probe.
    async fn put(&self, findings: &mut Findings, signed: &Presigned) -> Upload {
        let answer = match http::presigned(signed, CONTENT).await {
            Ok(answer) => answer,
            Err(why) => {
                let hint = "Clients upload to s3.public_endpoint, or to S3 itself: see that it can be reached from here.";
                findings.fault(PUT, format!("the upload with a presigned URL failed: {why}"), hint, "Bucket");
                return Upload::Unknown;
            }
        };
        let code = answer.element("Code").to_owned();
        let is_key =
            code.starts_with("KMS.") || code == "AccessDenied" && is_about_kms(answer.element("Message"));
        match answer.status {
            200 => return Upload::Stored,
            403 | 400 if is_key => no_key(findings, KEY_RIGHT, "ApiRole"),
            408 | 500.. => {
                let found = format!("the upload with a presigned URL was answered with {}", answer.status);
                findings.fault(PUT, found, "S3 fails for the moment: try again.", "");
                return Upload::Unknown;
            }
            status => {
                let code = code.chars().filter(char::is_ascii_alphanumeric).take(64).collect::<String>();
                let hint = "S3 refuses the upload of a client: see that the signing role may s3:PutObject on uploads/, and \
                            that the bucket's policy refuses only what its template refuses.";
                let found = format!("the upload with a presigned URL was answered with {status} {code}");
                findings.fault(PUT, found, hint, "ApiRole, BucketPolicy");
            }
        }
        Upload::Refused
    }

    /// Follows the object, and deletes it.
    async fn follow(&self, findings: &mut Findings, key: &ObjectKey) {
        let seen =
            if self.stop.load(Ordering::Relaxed) { None } else { Some(self.look(findings, key).await) };
        self.delete(findings, key).await;
        let is_stopped = self.stop.load(Ordering::Relaxed);
        if is_stopped && !matches!(seen, Some(Event::Received)) {
            // Only to leave no message: a worker would settle it too.
            let _ = self.event(key, LAST, Until::Time).await;
            let _ = self.deployment.objects.purge(Role::Upload, key.job()).await;
        }
    }

    async fn delete(&self, findings: &mut Findings, key: &ObjectKey) {
        if let Err(error) = self.deployment.objects.purge(Role::Upload, key.job()).await {
            let hint = "The probe object is still there, as the files of jobs would be. The lifecycle rule of the bucket deletes it.";
            findings.fault("bucket.delete", error.to_string(), hint, self.who.role());
        }
    }

    async fn look(&self, findings: &mut Findings, key: &ObjectKey) -> Event {
        let objects = &self.deployment.objects;
        let found = objects.find(key).await;
        if let Ok(object) = &found {
            match objects.read(object, 0..object.size_bytes).await {
                Ok(_) => findings.ok("bucket.read", "the probe object was uploaded, found and read"),
                Err(error) if is_about_key(&error) => no_key(findings, "kms:Decrypt", "WorkerRole"),
                // A worker was faster.
                Err(PortError::NotFound(_) | PortError::Precondition(_)) => {}
                Err(error) => {
                    let hint = "Then no worker can read an upload: give the role s3:GetObject on uploads/, and kms:Decrypt with the key of the bucket.";
                    findings.fault("bucket.read", error.to_string(), hint, "WorkerRole, ObjectKey");
                }
            }
        } else if let Err(error) = &found
            && !is_denied(error)
            && !matches!(error, PortError::NotFound(_))
        {
            findings.fault("bucket.list", error.to_string(), "The probe object cannot be found.", "Bucket");
        }
        let event = self.event(key, self.wait, Until::Deleted).await;
        self.report(findings, &event).await;
        event
    }

    /// Waits for the event.
    async fn event(&self, key: &ObjectKey, wait: Duration, until: Until) -> Event {
        let (queue, since, mut crowded) = (&self.deployment.queue, Instant::now(), 0);
        while let Some(left) = wait.checked_sub(since.elapsed()) {
            if until != Until::Time && self.stop.load(Ordering::Relaxed) {
                break;
            }
            if until == Until::Deleted
                && matches!(self.deployment.objects.find(key).await, Err(PortError::NotFound(_)))
            {
                return Event::Handled;
            }
            if crowded >= CROWDED {
                tokio::time::sleep(PAUSE.min(left)).await;
                continue;
            }
            let messages = match queue.receive(10, RECEIVE.min(left), HIDDEN).await {
                Ok(messages) => messages,
                Err(error) if is_denied(&error) || !error.is_transient() => return Event::Failed(error),
                Err(_) => continue,
            };
            let (own, others): (Vec<_>, Vec<_>) =
                messages.into_iter().partition(|message| is_of(message, key.job()));
            for message in &others {
                // It comes back by itself otherwise.
                let _ = queue.change_visibility(message, Duration::ZERO).await;
            }
            if let Some(message) = own.first() {
                let hidden = queue.change_visibility(message, HIDDEN).await;
                let settled = match queue.delete(message).await {
                    Ok(()) => hidden,
                    Err(error) => Err(error),
                };
                return settled.map_or_else(Event::Failed, |()| Event::Received);
            }
            if !others.is_empty() {
                crowded += 1;
                tokio::time::sleep(PAUSE).await;
            }
        }
        if crowded >= CROWDED { Event::Crowded } else { Event::Missing }
    }

    async fn report(&self, findings: &mut Findings, event: &Event) {
        let wiring = self.deployment.queue.wiring().await;
        match event {
            Event::Received => {
                findings.ok(QUEUE, "messages are received, hidden and deleted");
                findings.ok(ARRIVES, "EventBridge delivered the event of the probe object to the queue");
            }
            Event::Handled => {
                findings.ok(ARRIVES, "a worker received the event of the probe object and deleted it");
            }
            Event::Failed(error) => self.no_right(findings, error),
            Event::Missing | Event::Crowded if self.stop.load(Ordering::Relaxed) => {
                findings.unseen(ARRIVES, "interrupted before the event came");
            }
            Event::Crowded => {
                let hint =
                    "Messages of jobs are before it. If workers run, try again when the queue is empty.";
                findings.weak(ARRIVES, "the event of the probe object was not received", hint, "Queue");
            }
            Event::Missing => {
                let policy = wiring
                    .as_ref()
                    .ok()
                    .map(|wiring| queue_policy::lets_a_rule_send(wiring.policy.as_deref(), &wiring.arn));
                let sends = self.deployment.objects.sends_events().await.ok();
                self.missing(findings, sends, policy);
            }
        }
    }

    /// Which part of the way is missing: what is known to be there cannot be it.
    fn missing(&self, findings: &mut Findings, sends: Option<bool>, policy: Option<bool>) {
        let wait = humantime::format_duration(self.wait);
        let found = format!("no event of the probe object in {wait}");
        if sends == Some(false) {
            let hint = "The bucket sends no events to EventBridge: set NotificationConfiguration with EventBridgeEnabled.";
            findings.fault("bucket.events", found.clone(), hint, "Bucket");
        }
        if policy == Some(false) {
            let hint = "No statement of the queue's policy lets events.amazonaws.com send for a rule, so EventBridge drops the events.";
            findings.fault("queue.policy", found.clone(), hint, "QueuePolicy");
        }
        if sends == Some(false) || policy == Some(false) {
            return;
        }
        let unseen: Vec<&str> = [(sends, "Bucket"), (policy, "QueuePolicy")]
            .iter()
            .filter(|(known, _)| known.is_none())
            .map(|(_, name)| *name)
            .collect();
        let others = match unseen.as_slice() {
            [] => "The bucket sends events and the queue takes them, so it is the rule",
            _ => "These credentials do not show all of the way, so it is probably the rule",
        };
        let hint = format!(
            "{others}: see that a rule of the bus default is enabled, has the bucket and the prefix uploads/ in its pattern \
             and the queue as its target, that the queue's policy names this rule, and that a KMS key of the queue lets \
             events.amazonaws.com use it. S3 sends events some five minutes after that was switched on; with StartMode \
             task-per-upload a task has to start first: try --wait 5m."
        );
        let resource = [&["UploadRule"], unseen.as_slice()].concat().join(", ");
        findings.fault("events.rule", found, &hint, &resource);
    }

    /// Sends the event of a probe that does not exist, and receives it, with a worker's permissions.
    async fn send_and_receive(&self, findings: &mut Findings, key: &ObjectKey) {
        let queue = &self.deployment.queue;
        // Of a version, so that a worker that receives it makes no delete marker.
        let body = upload_event::of_version(self.deployment.bucket(), key, Some("null"));
        let sent = queue.send(&body).await;
        if let Err(error) = &sent {
            return self.no_right(findings, error);
        }
        let event = self.event(key, self.wait, Until::Stopped).await;
        if self.stop.load(Ordering::Relaxed) && event != Event::Received {
            let _ = self.event(key, LAST, Until::Time).await;
        }
        match event {
            Event::Received => findings.ok(QUEUE, "messages are sent, received, hidden and deleted"),
            Event::Failed(error) => self.no_right(findings, &error),
            Event::Handled | Event::Missing | Event::Crowded => {
                findings.unseen(QUEUE, "a message was sent, and was not received here");
            }
        }
    }

    fn no_right(&self, findings: &mut Findings, error: &PortError) {
        let hint = "A worker needs sqs:ReceiveMessage, DeleteMessage, ChangeMessageVisibility, GetQueueAttributes and \
                    SendMessage on the queue: give the role the statements of docker/aws/policies.";
        findings.fault(QUEUE, error.to_string(), hint, "WorkerRole, Queue");
    }
}

/// What ends the wait for an event, beside its coming.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Until {
    /// The time alone.
    Time,
    /// Also a signal.
    Stopped,
    /// Also a worker that has deleted the object, because it has received the event.
    Deleted,
}

fn is_of(message: &Message, job: JobId) -> bool {
    upload_event::parse(&message.body).is_ok_and(|events| events.iter().any(|event| event.job == job))
}
