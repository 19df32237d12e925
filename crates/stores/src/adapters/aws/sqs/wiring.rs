//! How a queue is connected, for `cadmill doctor`: who may send to it, and where its dead letters go.

use super::super::error::{Effect, port_error};
use super::SqsQueue;
use aws_sdk_sqs::types::QueueAttributeName;
use cadmill_core::ports::PortResult;
use serde_json::Value;

/// What the attributes of a queue say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wiring {
    /// The queue's ARN.
    pub arn: String,
    /// Its policy, as JSON.
    pub policy: Option<String>,
    /// Where its dead letters go.
    pub redrive: Option<Redrive>,
}

/// Where dead letters go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redrive {
    /// ARN of the dead-letter queue.
    pub target: String,
    /// Deliveries of a message before it is moved there.
    pub deliveries: u64,
}

impl SqsQueue {
    /// Asks for the attributes of the queue. Takes `sqs:GetQueueAttributes`.
    ///
    /// # Errors
    /// Those of the call.
    pub async fn wiring(&self) -> PortResult<Wiring> {
        const OPERATION: &str = "asking how the queue is connected";
        let names =
            [QueueAttributeName::QueueArn, QueueAttributeName::Policy, QueueAttributeName::RedrivePolicy];
        let get = self.client.get_queue_attributes().queue_url(&self.queue);
        let reply = get.set_attribute_names(Some(names.to_vec())).send().await;
        let reply = reply.map_err(|error| port_error(OPERATION, Effect::Read, &error))?;
        let mut attributes = reply.attributes.unwrap_or_default();
        let [arn, policy, redrive] =
            names.map(|name| attributes.remove(&name).filter(|text| !text.is_empty()));
        Ok(Wiring { arn: arn.unwrap_or_default(), policy, redrive: redrive.as_deref().and_then(redrive_of) })
    }
}

/// Reads a redrive policy, in which SQS writes the number also as a text.
fn redrive_of(text: &str) -> Option<Redrive> {
    let read: Value = serde_json::from_str(text).ok()?;
    let target = read["deadLetterTargetArn"].as_str()?.to_owned();
    let count = &read["maxReceiveCount"];
    let deliveries = count.as_u64().or_else(|| count.as_str()?.parse().ok())?;
    Some(Redrive { target, deliveries })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_read_as_a_number_and_as_a_text() {
        for count in ["1000", "\"1000\""] {
            let text = format!(r#"{{"deadLetterTargetArn":"arn:x","maxReceiveCount":{count}}}"#);
            let expected = Redrive { target: "arn:x".to_owned(), deliveries: 1000 };
            assert_eq!(redrive_of(&text), Some(expected));
        }
        for text in ["", "{}", r#"{"deadLetterTargetArn":"arn:x"}"#] {
            assert_eq!(redrive_of(text), None, "{text}");
        }
    }
}
