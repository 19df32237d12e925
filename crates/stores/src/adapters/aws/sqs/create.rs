//! Creates queues where no template has created them.

use super::super::Service;
use super::super::error::{Effect, corrupt, port_error};
use super::{SqsQueue, SqsSettings, client};
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::QueueAttributeName;
use cadmill_core::ports::PortResult;

const OPERATION: &str = "making a queue";

/// Retention of a dead letter, in seconds: 14 days, the maximum of SQS.
const DEAD_SECONDS: &str = "1209600";

impl SqsQueue {
    /// Creates the queue `name` and the queue `name-dead`, which receives messages that were
    /// received `deliveries` times and not deleted. Existing queues with these attributes are
    /// used. EventBridge on AWS also needs a policy that allows it to send.
    ///
    /// # Errors
    /// [`cadmill_core::ports::PortError::Refused`] if a queue of this name has other attributes.
    pub async fn create_queues(name: &str, deliveries: u32, service: Service) -> PortResult<SqsSettings> {
        let client = client(&service).await;
        let retention = (QueueAttributeName::MessageRetentionPeriod, DEAD_SECONDS.to_owned());
        let dead_url = create(&client, &format!("{name}-dead"), retention).await?;

        let arn = QueueAttributeName::QueueArn;
        let ask = client.get_queue_attributes().queue_url(&dead_url).attribute_names(arn.clone());
        let reply = ask.send().await.map_err(|e| port_error(OPERATION, Effect::Read, &e))?;
        let dead_arn = reply.attributes.as_ref().and_then(|told| told.get(&arn));
        let dead_arn = dead_arn.ok_or_else(|| corrupt(OPERATION, "the queue has no ARN"))?;
        let redrive = serde_json::json!({"deadLetterTargetArn": dead_arn, "maxReceiveCount": deliveries});
        let redrive = (QueueAttributeName::RedrivePolicy, redrive.to_string());
        Ok(SqsSettings {
            queue_url: create(&client, name, redrive).await?,
            dead_letter_url: Some(dead_url),
            service,
        })
    }
}

async fn create(client: &Client, name: &str, attribute: (QueueAttributeName, String)) -> PortResult<String> {
    let create = client.create_queue().queue_name(name).attributes(attribute.0, attribute.1);
    let reply = create.send().await.map_err(|e| port_error(OPERATION, Effect::Write, &e))?;
    reply.queue_url.ok_or_else(|| corrupt(OPERATION, "the reply has no URL"))
}
