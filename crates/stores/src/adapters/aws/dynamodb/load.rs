//! Fills a table, for tests of what a program does beside many records.

use super::super::error::{Effect, port_error, refused};
use super::{DynamoStore, item};
use aws_sdk_dynamodb::types::{PutRequest, WriteRequest};
use cadmill_core::domain::job::Job;
use cadmill_core::ports::{PortError, PortResult};

/// Maximum number of items of one batch (Amazon DynamoDB API Reference, "BatchWriteItem").
const BATCH: usize = 25;

/// Calls for one batch.
const ROUNDS: u32 = 8;

impl DynamoStore {
    /// Writes the records of these jobs over whatever is there.
    ///
    /// # Errors
    /// If the service fails, or a record is too large.
    pub async fn load(&self, jobs: &[Job]) -> PortResult<()> {
        const OPERATION: &str = "filling the table";
        for batch in jobs.chunks(BATCH) {
            let mut left = Vec::new();
            for job in batch {
                let put = PutRequest::builder().set_item(Some(item::of(OPERATION, job)?)).build();
                let put = put.map_err(|_| refused(OPERATION, "an item cannot be described"))?;
                left.push(WriteRequest::builder().put_request(put).build());
            }
            for _ in 0..ROUNDS {
                let reply = self.client.batch_write_item().request_items(&self.table, left).send().await;
                let reply = reply.map_err(|e| port_error(OPERATION, Effect::Write, &e))?;
                left = reply.unprocessed_items.unwrap_or_default().remove(&self.table).unwrap_or_default();
                if left.is_empty() {
                    break;
                }
            }
            if !left.is_empty() {
                let reason = "the table takes too few items".to_owned();
                return Err(PortError::Unavailable { operation: OPERATION, reason });
            }
        }
        Ok(())
    }
}
