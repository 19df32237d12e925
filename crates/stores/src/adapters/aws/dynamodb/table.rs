//! The table: one key, two indexes of keys only, on-demand capacity.
//!
//! No TTL: DynamoDB deletes expired items within days, which is not precise enough. The cleanup
//! deletes records, on the condition of their version.

use super::super::error::{Effect, port_error, refused};
use super::{DynamoStore, item};
use aws_sdk_dynamodb::operation::create_table::CreateTableError;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, IndexStatus, KeySchemaElement, KeyType,
    Projection, ProjectionType, ScalarAttributeType, TableStatus,
};
use cadmill_core::ports::{PortError, PortResult};
use std::time::Duration;

/// Polls of a table that is being created, one every half second.
const LOOKS: u32 = 240;

impl DynamoStore {
    /// Creates the table, if it does not exist, and waits until it is ready, for at most two
    /// minutes.
    ///
    /// # Errors
    /// [`PortError::Refused`] if a table of this name has other indexes.
    pub async fn create_table(&self) -> PortResult<()> {
        const OPERATION: &str = "making the table";
        let built = (|| {
            let indexes = [
                index(item::BY_OWNER, item::OWNER, item::CREATED)?,
                index(item::BY_DUE, item::SHARD, item::DUE)?,
            ];
            let attributes = [
                attribute(item::ID, ScalarAttributeType::S)?,
                attribute(item::OWNER, ScalarAttributeType::S)?,
                attribute(item::CREATED, ScalarAttributeType::S)?,
                attribute(item::SHARD, ScalarAttributeType::S)?,
                attribute(item::DUE, ScalarAttributeType::N)?,
            ];
            Some((key(item::ID, KeyType::Hash)?, indexes, attributes))
        })();
        let (id, indexes, attributes) = built.ok_or_else(|| refused(OPERATION, "it cannot be described"))?;
        let create = self
            .client
            .create_table()
            .table_name(&self.table)
            .billing_mode(BillingMode::PayPerRequest)
            .key_schema(id)
            .set_attribute_definitions(Some(attributes.into()))
            .set_global_secondary_indexes(Some(indexes.into()));
        match create.send().await {
            Ok(_) => {}
            Err(error)
                if error.as_service_error().is_some_and(CreateTableError::is_resource_in_use_exception) => {}
            Err(error) => return Err(port_error(OPERATION, Effect::Write, &error)),
        }
        for _ in 0..LOOKS {
            match self.ready().await {
                Ok(true) => return Ok(()),
                // A table that was just created may not be visible at once.
                Ok(false) => {}
                Err(PortError::Refused { reason, .. }) if reason == "ResourceNotFoundException" => {}
                Err(error) => return Err(error),
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        Err(PortError::Unavailable { operation: OPERATION, reason: "it does not become ready".to_owned() })
    }

    /// Whether the table and its indexes are ready to use.
    ///
    /// # Errors
    /// [`PortError::Refused`] if the table lacks the expected indexes.
    pub(super) async fn ready(&self) -> PortResult<bool> {
        const OPERATION: &str = "asking for the table";
        let reply = self.client.describe_table().table_name(&self.table).send().await;
        let reply = reply.map_err(|e| port_error(OPERATION, Effect::Read, &e))?;
        let table = reply.table.ok_or_else(|| refused(OPERATION, "the reply has no table"))?;
        let mut serves = matches!(table.table_status, Some(TableStatus::Active | TableStatus::Updating));
        for name in [item::BY_OWNER, item::BY_DUE] {
            let known =
                table.global_secondary_indexes().iter().find(|index| index.index_name() == Some(name));
            let known = known.ok_or_else(|| refused(OPERATION, "the table lacks the indexes of jobs"))?;
            serves &= matches!(known.index_status, None | Some(IndexStatus::Active | IndexStatus::Updating));
        }
        Ok(serves)
    }
}

fn attribute(name: &str, kind: ScalarAttributeType) -> Option<AttributeDefinition> {
    AttributeDefinition::builder().attribute_name(name).attribute_type(kind).build().ok()
}

fn key(name: &str, kind: KeyType) -> Option<KeySchemaElement> {
    KeySchemaElement::builder().attribute_name(name).key_type(kind).build().ok()
}

fn index(name: &str, partition: &str, sort: &str) -> Option<GlobalSecondaryIndex> {
    let keys = Projection::builder().projection_type(ProjectionType::KeysOnly).build();
    GlobalSecondaryIndex::builder()
        .index_name(name)
        .key_schema(key(partition, KeyType::Hash)?)
        .key_schema(key(sort, KeyType::Range)?)
        .projection(keys)
        .build()
        .ok()
}
