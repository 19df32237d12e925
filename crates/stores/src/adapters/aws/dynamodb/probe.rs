//! What its caller may do with the table, for `cadmill doctor`: each permission is tried by a call
//! about an id that does not exist, and writes nothing.

use super::super::error::{Effect, port_error};
use super::{DynamoStore, item};
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes};
use cadmill_core::domain::ids::JobId;
use cadmill_core::ports::{PortError, PortResult};
use std::collections::HashMap;
use std::error::Error;

/// A permission on the table or an index of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableRight {
    /// `dynamodb:DescribeTable`
    Describe,
    /// `dynamodb:GetItem`
    Get,
    /// `dynamodb:BatchGetItem`
    BatchGet,
    /// `dynamodb:PutItem`
    Put,
    /// `dynamodb:UpdateItem`
    Update,
    /// `dynamodb:DeleteItem`
    Delete,
    /// `dynamodb:Query` on the index by owner
    QueryOwners,
    /// `dynamodb:Query` on the index by due time
    QueryDue,
}

impl TableRight {
    /// The action of IAM, and the index that it is about.
    pub fn action(self) -> &'static str {
        match self {
            Self::Describe => "dynamodb:DescribeTable",
            Self::Get => "dynamodb:GetItem",
            Self::BatchGet => "dynamodb:BatchGetItem",
            Self::Put => "dynamodb:PutItem",
            Self::Update => "dynamodb:UpdateItem",
            Self::Delete => "dynamodb:DeleteItem",
            Self::QueryOwners => "dynamodb:Query on by_owner",
            Self::QueryDue => "dynamodb:Query on by_due",
        }
    }
}

/// A condition that an item which does not exist does not meet.
const EXISTS: &str = "attribute_exists(id)";

impl DynamoStore {
    /// Tries a permission.
    ///
    /// # Errors
    /// [`PortError::Refused`] if it is not granted, or if the table or the index does not exist, and
    /// those of the call.
    pub async fn try_right(&self, right: TableRight) -> PortResult<()> {
        let id = || AttributeValue::S(JobId::random().to_string());
        let (client, table) = (&self.client, &self.table);
        match right {
            TableRight::Describe => self.ready().await.map(drop),
            TableRight::Get => answered(client.get_item().table_name(table).key(item::ID, id()).send().await),
            TableRight::BatchGet => {
                let keys = KeysAndAttributes::builder().keys(HashMap::from([(item::ID.to_owned(), id())]));
                let Ok(keys) = keys.build() else { return Ok(()) };
                answered(client.batch_get_item().request_items(table, keys).send().await)
            }
            TableRight::Put => {
                let put = client.put_item().table_name(table).item(item::ID, id());
                answered(put.condition_expression(EXISTS).send().await)
            }
            TableRight::Update => {
                let update = client.update_item().table_name(table).key(item::ID, id());
                let update = update.update_expression("REMOVE #due");
                let update = update.expression_attribute_names("#due", item::DUE);
                answered(update.condition_expression(EXISTS).send().await)
            }
            TableRight::Delete => {
                let delete = client.delete_item().table_name(table).key(item::ID, id());
                answered(delete.condition_expression(EXISTS).send().await)
            }
            TableRight::QueryOwners => self.query_one(item::BY_OWNER, item::OWNER).await,
            TableRight::QueryDue => self.query_one(item::BY_DUE, item::SHARD).await,
        }
    }

    async fn query_one(&self, index: &str, partition: &str) -> PortResult<()> {
        let query = self
            .client
            .query()
            .table_name(&self.table)
            .index_name(index)
            .expression_attribute_names("#p", partition)
            .expression_attribute_values(":p", AttributeValue::S("cadmill/doctor".to_owned()))
            .key_condition_expression("#p = :p")
            .limit(1);
        answered(query.send().await)
    }
}

/// Whether a call was let through. A condition that fails shows that it was.
fn answered<T, E>(reply: Result<T, SdkError<E>>) -> PortResult<()>
where
    E: ProvideErrorMetadata + Error + 'static,
{
    const OPERATION: &str = "trying a permission on the table";
    match reply.map_err(|error| port_error(OPERATION, Effect::Read, &error)) {
        Ok(_) | Err(PortError::Precondition(_)) => Ok(()),
        Err(error) => Err(error),
    }
}
