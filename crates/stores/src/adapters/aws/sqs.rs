//! Events in an Amazon SQS standard queue, with a dead-letter queue.
//!
//! SQS counts in whole seconds, so times are rounded up. A message can be hidden for at most
//! twelve hours from its receipt. Then it is delivered again even if a worker still processes it,
//! and the job's lease shows the second receiver that the job is taken.

mod create;
mod wiring;

pub use wiring::{Redrive, Wiring};

use super::Service;
use super::error::{Effect, port_error, refused};
use async_trait::async_trait;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::types::{MessageSystemAttributeName, QueueAttributeName};
use cadmill_core::ports::event_queue::{Depth, EventQueue, Message};
use cadmill_core::ports::{PortError, PortResult};
use std::error::Error;
use std::time::Duration;

/// The queue and how to reach it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqsSettings {
    /// URL of the queue.
    pub queue_url: String,
    /// URL of the dead-letter queue.
    pub dead_letter_url: Option<String>,
    /// Where their service is.
    pub service: Service,
}

/// Timeout of one attempt: a receive alone waits for 20 s.
const ATTEMPT: Duration = Duration::from_secs(30);
/// Timeout of one call.
const OPERATION: Duration = Duration::from_secs(65);

/// Maximum number of messages of a receive, maximum wait and maximum visibility timeout, in
/// seconds (Amazon SQS Developer Guide, "Amazon SQS message quotas").
const MAX_MESSAGES: u32 = 10;
const MAX_WAIT: i32 = 20;
const MAX_HIDDEN: i32 = 43_200;
const MAX_DELAY: i32 = 900;

/// How long a look at the dead letters waits for the first one.
const DEAD_WAIT: Duration = Duration::from_secs(1);

/// A queue with its dead-letter queue.
#[derive(Clone)]
pub struct SqsQueue {
    queue: String,
    dead: Option<String>,
    client: Client,
}

impl SqsQueue {
    /// Creates a queue. Sends nothing yet: [`EventQueue::check`] checks that it exists.
    pub async fn new(settings: SqsSettings) -> Self {
        let client = client(&settings.service).await;
        Self { queue: settings.queue_url, dead: settings.dead_letter_url, client }
    }

    async fn send_to(
        &self,
        operation: &'static str,
        url: &str,
        body: &str,
        delay: Duration,
    ) -> PortResult<()> {
        let send = self.client.send_message().queue_url(url).message_body(body);
        let sent = send.delay_seconds(seconds(delay, MAX_DELAY)).send().await;
        sent.map_err(|e| port_error(operation, Effect::Write, &e))?;
        Ok(())
    }

    async fn receive_from(
        &self,
        operation: &'static str,
        url: &str,
        max: u32,
        (wait, hidden): (Duration, Duration),
    ) -> PortResult<Vec<Message>> {
        let receive = self
            .client
            .receive_message()
            .queue_url(url)
            .max_number_of_messages(i32::try_from(max.clamp(1, MAX_MESSAGES)).unwrap_or(1))
            .wait_time_seconds(seconds(wait, MAX_WAIT))
            .visibility_timeout(seconds(hidden, MAX_HIDDEN))
            .message_system_attribute_names(MessageSystemAttributeName::ApproximateReceiveCount);
        // A lost reply leaves messages hidden, not lost: they are delivered again.
        let reply = receive.send().await.map_err(|e| port_error(operation, Effect::Read, &e))?;
        Ok(reply.messages.unwrap_or_default().into_iter().filter_map(message).collect())
    }

    async fn change_visibility_in(
        &self,
        operation: &'static str,
        url: &str,
        message: &Message,
        hidden: Duration,
    ) -> PortResult<()> {
        let change = self
            .client
            .change_message_visibility()
            .queue_url(url)
            .receipt_handle(&message.receipt)
            .visibility_timeout(seconds(hidden, MAX_HIDDEN));
        change.send().await.map_err(|e| about_receipt(operation, &e))?;
        Ok(())
    }

    async fn delete_from(&self, operation: &'static str, url: &str, message: &Message) -> PortResult<()> {
        let delete = self.client.delete_message().queue_url(url).receipt_handle(&message.receipt);
        delete.send().await.map_err(|e| about_receipt(operation, &e))?;
        Ok(())
    }

    /// Some numeric attributes of a queue; 0 for what it does not report.
    async fn numbers<const N: usize>(
        &self,
        operation: &'static str,
        url: &str,
        names: [QueueAttributeName; N],
    ) -> PortResult<[u64; N]> {
        let get = self.client.get_queue_attributes().queue_url(url);
        let reply = get.set_attribute_names(Some(names.to_vec())).send().await;
        let reply = reply.map_err(|e| port_error(operation, Effect::Read, &e))?;
        let told = reply.attributes.unwrap_or_default();
        Ok(names.map(|name| told.get(&name).and_then(|text| text.parse().ok()).unwrap_or_default()))
    }
}

async fn client(service: &Service) -> Client {
    Client::new(&service.config(ATTEMPT, OPERATION).await)
}

#[async_trait]
impl EventQueue for SqsQueue {
    /// If the SDK retries the call, the message may be sent twice.
    async fn send_later(&self, body: &str, delay: Duration) -> PortResult<()> {
        self.send_to("sending a message", &self.queue, body, delay).await
    }

    async fn receive(&self, max: u32, wait: Duration, hidden: Duration) -> PortResult<Vec<Message>> {
        self.receive_from("receiving messages", &self.queue, max, (wait, hidden)).await
    }

    async fn change_visibility(&self, message: &Message, hidden: Duration) -> PortResult<()> {
        const OPERATION: &str = "changing the visibility of a message";
        self.change_visibility_in(OPERATION, &self.queue, message, hidden).await
    }

    async fn delete(&self, message: &Message) -> PortResult<()> {
        self.delete_from("deleting a message", &self.queue, message).await
    }

    /// Sends the message to the dead-letter queue, then deletes it here. If the deletion fails,
    /// the message is delivered again and becomes a dead letter twice.
    ///
    /// # Errors
    /// [`PortError::Refused`] without a dead-letter queue; the message stays.
    async fn dead_letter(&self, message: &Message) -> PortResult<()> {
        const OPERATION: &str = "moving a message to the dead-letter queue";
        let dead =
            self.dead.as_deref().ok_or_else(|| refused(OPERATION, "no dead-letter queue is configured"))?;
        self.send_to(OPERATION, dead, &message.body, Duration::ZERO).await?;
        self.delete(message).await
    }

    async fn depth(&self) -> PortResult<Depth> {
        let names = [
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
            QueueAttributeName::ApproximateNumberOfMessagesDelayed,
        ];
        let [ready, received, delayed] = self.numbers("counting messages", &self.queue, names).await?;
        Ok(Depth { ready, hidden: received + delayed })
    }

    /// 0 without a dead-letter queue.
    async fn dead_letters(&self) -> PortResult<u64> {
        let Some(dead) = &self.dead else { return Ok(0) };
        let names = [
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
        ];
        Ok(self.numbers("counting dead letters", dead, names).await?.iter().sum())
    }

    /// Long polling, because a short one asks some of the servers only (Amazon SQS Developer Guide, "Amazon
    /// SQS short and long polling").
    async fn receive_dead(&self, max: u32, hidden: Duration) -> PortResult<Vec<Message>> {
        let Some(dead) = &self.dead else { return Ok(Vec::new()) };
        self.receive_from("receiving dead letters", dead, max, (DEAD_WAIT, hidden)).await
    }

    async fn delete_dead(&self, message: &Message) -> PortResult<()> {
        let Some(dead) = &self.dead else { return Ok(()) };
        self.delete_from("deleting a dead letter", dead, message).await
    }

    async fn release_dead(&self, message: &Message) -> PortResult<()> {
        const OPERATION: &str = "making a dead letter visible again";
        let Some(dead) = &self.dead else { return Ok(()) };
        self.change_visibility_in(OPERATION, dead, message, Duration::ZERO).await
    }

    async fn check(&self) -> PortResult<()> {
        let names = [QueueAttributeName::ApproximateNumberOfMessages];
        self.numbers("asking for the queue", &self.queue, names).await.map(|_| ())
    }
}

/// Whole seconds, rounded up and limited to `most`.
fn seconds(duration: Duration, most: i32) -> i32 {
    let whole = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    i32::try_from(whole).unwrap_or(most).min(most)
}

fn message(message: aws_sdk_sqs::types::Message) -> Option<Message> {
    let count = message.attributes.as_ref()?.get(&MessageSystemAttributeName::ApproximateReceiveCount);
    let deliveries = count.and_then(|count| count.parse().ok()).unwrap_or(1);
    Some(Message {
        id: message.message_id?,
        receipt: message.receipt_handle?,
        body: message.body?,
        deliveries,
    })
}

/// The error of a call with a receipt. Of its parameters only the receipt can be invalid: a later
/// delivery has replaced it, or the message is gone.
fn about_receipt<E>(operation: &'static str, error: &SdkError<E>) -> PortError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let code = error.code().unwrap_or_default();
    let code = code.strip_prefix("AWS.SimpleQueueService.").unwrap_or(code);
    match code {
        "ReceiptHandleIsInvalid" | "MessageNotInflight" | "InvalidParameterValue" | "InvalidIdFormat" => {
            PortError::NotFound(operation)
        }
        _ => port_error(operation, Effect::Write, error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_rounded_up_and_cut() {
        let millis = |n| seconds(Duration::from_millis(n), MAX_WAIT);
        assert_eq!(
            [0, 1, 999, 1000, 1001, 20_000, 20_001, u64::MAX].map(millis),
            [0, 1, 1, 1, 2, 20, 20, 20]
        );
    }
}
