//! Dead letters: where they go, and after how many deliveries.

use super::finding::{Findings, is_denied};
use super::who::Who;
use cadmill_core::ports::EventQueue;
use cadmill_stores::adapters::aws::sqs::Wiring;
use cadmill_stores::bootstrap::deployment::Deployment;
use cadmill_stores::bootstrap::stores::MAX_DELIVERIES;
use cadmill_stores::config::Config;

pub(super) const REDRIVE: &str = "queue.redrive";
const DEAD: &str = "queue.dead_letters";

pub(super) async fn check(findings: &mut Findings, deployment: &Deployment, config: &Config, who: Who) {
    let wiring = match deployment.queue.wiring().await {
        Ok(wiring) => wiring,
        Err(error) if is_denied(&error) => {
            let hint = "Give the role sqs:GetQueueAttributes on the queue, as docker/aws/policies does.";
            return findings.fault("queue", error.to_string(), hint, who.role());
        }
        Err(error) => {
            let hint = "Check sqs.queue_url and aws.region.";
            return findings.fault("queue", error.to_string(), hint, "Queue");
        }
    };
    findings.ok("queue", "it is there");
    redrive(findings, &wiring);
    if who.is_of(&[Who::Worker, Who::Cleanup]) {
        dead_letters(findings, deployment, config, &wiring).await;
    }
}

fn redrive(findings: &mut Findings, wiring: &Wiring) {
    let Some(redrive) = &wiring.redrive else {
        let hint = "A message that cannot be handled comes back until SQS deletes it, and no alarm fires: set RedrivePolicy.";
        return findings.fault(REDRIVE, "the queue has no dead-letter queue", hint, "Queue, DeadLetterQueue");
    };
    let found = format!("a message becomes a dead letter after {} deliveries", redrive.deliveries);
    if redrive.deliveries < u64::from(MAX_DELIVERIES) {
        let hint = "A job that waits for memory uses a delivery every 31 s and would be lost: set maxReceiveCount to 1000.";
        findings.fault(REDRIVE, found, hint, "Queue");
    } else {
        findings.ok(REDRIVE, found);
    }
}

async fn dead_letters(findings: &mut Findings, deployment: &Deployment, config: &Config, wiring: &Wiring) {
    let Some(url) = &config.sqs.dead_letter_url else {
        let hint = "A worker cannot put aside what is not an upload event: set sqs.dead_letter_url.";
        return findings.fault(DEAD, "sqs.dead_letter_url is not set", hint, "WorkerTask, CleanupTask");
    };
    let name = url.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let target = wiring.redrive.as_ref().and_then(|redrive| redrive.target.rsplit(':').next());
    if target.is_some_and(|target| target != name) {
        let hint = "The cleanup and the alarm look at sqs.dead_letter_url alone: name the queue of RedrivePolicy there.";
        return findings.fault(
            DEAD,
            "the queue's dead letters go to another queue",
            hint,
            "Queue, CleanupTask",
        );
    }
    match deployment.queue.dead_letters().await {
        Ok(0) => findings.ok(DEAD, "none"),
        Ok(number) => {
            let hint = "OPERATING.md says under CadmillDeadLetters what they are.";
            findings.weak(DEAD, format!("{number} dead letters"), hint, "");
        }
        Err(error) if is_denied(&error) => {
            findings.unseen(DEAD, "sqs:GetQueueAttributes on the dead-letter queue is not granted");
        }
        Err(error) => {
            let hint = "Then a message that cannot be handled is handled again and again.";
            findings.fault(DEAD, error.to_string(), hint, "DeadLetterQueue");
        }
    }
}
