//! Records of jobs in one DynamoDB table.
//!
//! An item contains the job as JSON, and the attributes that conditions and indexes need. It is
//! replaced as a whole, on the condition that the stored version is the one that the change is
//! based on. The SDK retries a call whose reply was lost, and the retry then fails because of the
//! first write: the answer is a conflict with the caller's own job, as the port documents.

mod attribute;
mod item;
#[cfg(any(test, feature = "testing"))]
mod load;
mod probe;
mod table;

pub use probe::TableRight;

use super::Service;
use super::error::{Effect, port_error, refused};
use async_trait::async_trait;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes, ReturnValuesOnConditionCheckFailure};
use cadmill_core::domain::crew::Crew;
use cadmill_core::domain::due::Part;
use cadmill_core::domain::ids::{JobId, Owner};
use cadmill_core::domain::job::{Job, Millis};
use cadmill_core::domain::quota::Usage;
use cadmill_core::domain::stored;
use cadmill_core::ports::job_store::{
    Created, Due, JobStore, Page, Replaced, Unreadable, UsageReplaced, Writes,
};
use cadmill_core::ports::{PortError, PortResult};
use item::Item;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::time::Duration;

/// The table and how to reach it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DynamoSettings {
    /// The table's name.
    pub table: String,
    /// Where its service is.
    pub service: Service,
}

/// Timeout of one attempt.
const ATTEMPT: Duration = Duration::from_secs(5);
/// Timeout of one call.
const OPERATION: Duration = Duration::from_secs(15);

/// The jobs of one table.
#[derive(Clone)]
pub struct DynamoStore {
    table: String,
    pub(super) client: Client,
}

impl DynamoStore {
    /// Creates a store. Sends nothing yet: [`JobStore::check`] checks that the table exists,
    /// [`DynamoStore::create_table`] creates it.
    pub async fn new(settings: DynamoSettings) -> Self {
        let client = Client::new(&settings.service.config(ATTEMPT, OPERATION).await);
        Self { table: settings.table, client }
    }

    /// Writes the item on a condition. If the condition fails, returns the item that failed it, if
    /// the service reports the item.
    async fn put(
        &self,
        operation: &'static str,
        item: Item,
        condition: &str,
        version: Option<u64>,
    ) -> PortResult<Result<(), Option<Item>>> {
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item))
            .condition_expression(condition)
            .set_expression_attribute_values(
                version.map(|version| [(":v".to_owned(), item::number(version))].into()),
            )
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        match put.send().await {
            Ok(_) => Ok(Ok(())),
            Err(SdkError::ServiceError(service)) if service.err().is_conditional_check_failed_exception() => {
                match service.into_err() {
                    PutItemError::ConditionalCheckFailedException(failed) => Ok(Err(failed.item)),
                    _ => Ok(Err(None)),
                }
            }
            Err(error) => Err(port_error(operation, Effect::Write, &error)),
        }
    }

    /// The job of the item that was reported with a failed condition; otherwise the job as it is
    /// now.
    async fn shown(
        &self,
        operation: &'static str,
        id: JobId,
        shown: Option<Item>,
    ) -> PortResult<Option<Box<Job>>> {
        let job = match shown {
            Some(item) => Some(item::job(operation, &item)?),
            None => self.get(id).await?,
        };
        Ok(job.map(Box::new))
    }

    /// Returns at most `limit` items of one partition of an index, after `start`. Never returns
    /// items of other partitions.
    async fn query(&self, query: Query<'_>) -> PortResult<Vec<Item>> {
        let mut items: Vec<Item> = Vec::new();
        let mut start = query.start;
        loop {
            let left = i32::try_from(query.limit - items.len()).unwrap_or(i32::MAX);
            let (partition, sort) = (query.partition, &query.within);
            let mut call = self
                .client
                .query()
                .table_name(&self.table)
                .index_name(query.index)
                .scan_index_forward(sort.is_some())
                .expression_attribute_names("#p", partition.0)
                .expression_attribute_values(":p", AttributeValue::S(partition.1.to_owned()))
                .limit(left)
                .set_exclusive_start_key(start);
            call = match sort {
                Some((name, times)) => call
                    .key_condition_expression("#p = :p AND #s BETWEEN :from AND :to")
                    .expression_attribute_names("#s", *name)
                    .expression_attribute_values(":from", item::number(*times.start()))
                    .expression_attribute_values(":to", item::number(*times.end())),
                None => call.key_condition_expression("#p = :p"),
            };
            let page = call.send().await.map_err(|e| port_error(query.operation, Effect::Read, &e))?;
            items.extend(page.items.unwrap_or_default());
            start = page.last_evaluated_key.filter(|key| !key.is_empty());
            if start.is_none() || items.len() >= query.limit {
                return Ok(items);
            }
        }
    }

    /// The items with these keys, at most [`BATCH`], in any order; without those that do not exist.
    /// They may lag, as the index that the keys come from.
    async fn batch(&self, operation: &'static str, keys: &[Item]) -> PortResult<Vec<Item>> {
        let key = |item: &Item| item.get(item::ID).map(|id| Item::from([(item::ID.to_owned(), id.clone())]));
        let mut left: Vec<Item> = keys.iter().filter_map(key).collect();
        let mut found = Vec::new();
        for round in 0..BATCH_ROUNDS {
            if left.is_empty() {
                return Ok(found);
            }
            if round > 0 {
                // The reply was cut off at 16 MB, or a partition was throttled.
                tokio::time::sleep(Duration::from_millis(20 << round)).await;
            }
            let ask = KeysAndAttributes::builder().set_keys(Some(std::mem::take(&mut left))).build();
            let ask = ask.map_err(|_| refused(operation, "the keys cannot be described"))?;
            let call = self.client.batch_get_item().request_items(&self.table, ask);
            let reply = call.send().await.map_err(|e| port_error(operation, Effect::Read, &e))?;
            found.extend(reply.responses.unwrap_or_default().remove(&self.table).unwrap_or_default());
            let rest = reply.unprocessed_keys.unwrap_or_default().remove(&self.table);
            left = rest.map(|rest| rest.keys).unwrap_or_default();
        }
        Err(PortError::Unavailable { operation, reason: "the items are read too slowly".to_owned() })
    }
}

/// Maximum number of items of one batch (Amazon DynamoDB API Reference, "BatchGetItem").
const BATCH: usize = 100;

/// Calls for one batch: each returns at most 16 MB, and an item has at most 400 KB.
const BATCH_ROUNDS: u32 = 8;

/// A query of an index: ascending up to a value of the sort key, or descending.
struct Query<'a> {
    operation: &'static str,
    index: &'static str,
    partition: (&'static str, &'a str),
    within: Option<(&'static str, RangeInclusive<u64>)>,
    start: Option<Item>,
    limit: usize,
}

#[async_trait]
impl JobStore for DynamoStore {
    async fn create(&self, job: &Job) -> PortResult<Created> {
        const OPERATION: &str = "creating a job";
        match self.put(OPERATION, item::of(OPERATION, job)?, "attribute_not_exists(id)", None).await? {
            Ok(()) => Ok(Created::New),
            Err(shown) => match self.shown(OPERATION, job.id, shown).await? {
                Some(there) => Ok(Created::Exists(there)),
                // The job existed a moment ago.
                None => Err(PortError::Unavailable { operation: OPERATION, reason: "a race".to_owned() }),
            },
        }
    }

    async fn get(&self, id: JobId) -> PortResult<Option<Job>> {
        const OPERATION: &str = "reading a job";
        let get = self.client.get_item().table_name(&self.table).consistent_read(true);
        let reply = get.key(item::ID, AttributeValue::S(id.to_string())).send().await;
        let reply = reply.map_err(|e| port_error(OPERATION, Effect::Read, &e))?;
        reply.item.map(|item| item::job(OPERATION, &item)).transpose()
    }

    /// By batches of 100, which are eventually consistent: half a read unit for a record of 4 KB.
    async fn get_many(&self, ids: &[JobId]) -> PortResult<Vec<Job>> {
        const OPERATION: &str = "reading jobs";
        // A batch that names a key twice is refused.
        let ids: BTreeSet<String> = ids.iter().map(JobId::to_string).collect();
        let keys = ids.into_iter().map(|id| Item::from([(item::ID.to_owned(), AttributeValue::S(id))]));
        let mut jobs = Vec::new();
        for keys in keys.collect::<Vec<_>>().chunks(BATCH) {
            let items = self.batch(OPERATION, keys).await?;
            jobs.extend(items.iter().filter_map(|item| item::readable(item).ok()));
        }
        Ok(jobs)
    }

    fn writes(&self) -> Option<Box<dyn Writes>> {
        None
    }

    async fn replace(&self, next: &Job) -> PortResult<Replaced> {
        const OPERATION: &str = "changing a job";
        // There is no version before the first.
        let Some(version) = next.version.checked_sub(1) else {
            return Ok(Replaced::Conflict(self.get(next.id).await?.map(Box::new)));
        };
        let item = item::of(OPERATION, next)?;
        match self.put(OPERATION, item, "version = :v", Some(version)).await? {
            Ok(()) => Ok(Replaced::Done),
            Err(shown) => Ok(Replaced::Conflict(self.shown(OPERATION, next.id, shown).await?)),
        }
    }

    /// If a reply was lost and the SDK retried, this returns `false` although it deleted the job.
    async fn delete(&self, job: &Job) -> PortResult<bool> {
        const OPERATION: &str = "deleting a job";
        let delete = self
            .client
            .delete_item()
            .table_name(&self.table)
            .key(item::ID, AttributeValue::S(job.id.to_string()))
            .condition_expression("version = :v AND created = :c")
            .expression_attribute_values(":v", item::number(job.version))
            .expression_attribute_values(":c", item::created(job));
        match delete.send().await {
            Ok(_) => Ok(true),
            Err(error) if error.as_service_error().is_some_and(is_condition) => Ok(false),
            Err(error) => Err(port_error(OPERATION, Effect::Write, &error)),
        }
    }

    async fn list(&self, owner: &Owner, page: Option<&str>, limit: u32) -> PortResult<Page> {
        const OPERATION: &str = "listing jobs";
        let start = match page {
            Some(token) => Some(item::start(owner, token).ok_or(PortError::NotFound("a page of a listing"))?),
            None => None,
        };
        let limit = usize::try_from(limit.max(1)).unwrap_or(usize::MAX - 1);
        // One item more than requested shows whether there is another page.
        let items = self
            .query(Query {
                operation: OPERATION,
                index: item::BY_OWNER,
                partition: (item::OWNER, owner.as_str()),
                within: None,
                start,
                limit: limit + 1,
            })
            .await?;
        let more = items.len() > limit;
        let keys = &items[..items.len().min(limit)];
        let next = keys.last().filter(|_| more).and_then(|last| item::token(owner, last));
        let mut items = Vec::new();
        for keys in keys.chunks(BATCH) {
            items.extend(self.batch(OPERATION, keys).await?);
        }
        let own = |job: &Job| job.order.owner == *owner;
        let mut jobs: Vec<Job> =
            items.iter().filter_map(|item| item::readable(item).ok()).filter(own).collect();
        let unreadable = u32::try_from(items.len() - jobs.len()).unwrap_or(u32::MAX);
        // In the order of the index.
        let place = |id: &str| keys.iter().position(|key| item::id(key) == Some(id));
        jobs.sort_by_cached_key(|job| place(&job.id.to_string()));
        Ok(Page { jobs, unreadable, next })
    }

    async fn due(&self, part: Part, times: RangeInclusive<Millis>, limit: u32) -> PortResult<Due> {
        const OPERATION: &str = "listing what is due";
        let limit = usize::try_from(limit.max(1)).unwrap_or(usize::MAX);
        let part = part.to_string();
        let keys = self
            .query(Query {
                operation: OPERATION,
                index: item::BY_DUE,
                partition: (item::SHARD, &part),
                within: Some((item::DUE, times.clone())),
                start: None,
                limit,
            })
            .await?;
        let last = keys.last().filter(|_| keys.len() >= limit);
        let mut due = Due { next: last.and_then(item::due), ..Due::default() };
        for keys in keys.chunks(BATCH) {
            for item in &self.batch(OPERATION, keys).await? {
                match item::readable(item) {
                    // The index may still have a time that the job no longer has.
                    _ if item::due(item).is_none_or(|time| !times.contains(&time)) => {}
                    Ok(job) => due.jobs.push(job),
                    Err(why) => {
                        let id = item::id(item).unwrap_or_default().to_owned();
                        let is_newer = why == stored::Unreadable::Newer;
                        due.unreadable.push(Unreadable { place: id.clone(), id, is_newer });
                    }
                }
            }
        }
        due.jobs.sort_by_key(|job| job.due);
        Ok(due)
    }

    async fn set_aside(&self, record: &Unreadable, until: Millis) -> PortResult<()> {
        const OPERATION: &str = "setting a record aside";
        let update = self
            .client
            .update_item()
            .table_name(&self.table)
            .key(item::ID, AttributeValue::S(record.place.clone()))
            .update_expression("SET #due = :until")
            .condition_expression("#due < :until")
            .expression_attribute_names("#due", item::DUE)
            .expression_attribute_values(":until", item::number(until));
        match update.send().await {
            Err(error) => match error.as_service_error() {
                // The job is gone, or no longer due.
                Some(service) if service.is_conditional_check_failed_exception() => Ok(()),
                _ => Err(port_error(OPERATION, Effect::Write, &error)),
            },
            Ok(_) => Ok(()),
        }
    }

    async fn usage(&self, owner: &Owner) -> PortResult<Option<Usage>> {
        const OPERATION: &str = "reading the usage of an owner";
        let get = self.client.get_item().table_name(&self.table).consistent_read(true);
        let reply = get.key(item::ID, AttributeValue::S(item::usage_id(owner))).send().await;
        let reply = reply.map_err(|e| port_error(OPERATION, Effect::Read, &e))?;
        reply.item.map(|item| item::usage(OPERATION, &item)).transpose()
    }

    async fn replace_usage(&self, next: &Usage) -> PortResult<UsageReplaced> {
        const OPERATION: &str = "changing the usage of an owner";
        let item = item::of_usage(OPERATION, next)?;
        let put = match next.version.checked_sub(1).filter(|&version| version > 0) {
            Some(version) => self.put(OPERATION, item, "version = :v", Some(version)).await?,
            None => self.put(OPERATION, item, "attribute_not_exists(id)", None).await?,
        };
        match put {
            Ok(()) => Ok(UsageReplaced::Done),
            Err(Some(shown)) => Ok(UsageReplaced::Conflict(Some(Box::new(item::usage(OPERATION, &shown)?)))),
            Err(None) => Ok(UsageReplaced::Conflict(self.usage(&next.owner).await?.map(Box::new))),
        }
    }

    async fn crew(&self) -> PortResult<Option<Crew>> {
        const OPERATION: &str = "reading the cleanup programs";
        let get = self.client.get_item().table_name(&self.table).consistent_read(true);
        let reply = get.key(item::ID, AttributeValue::S(item::CREW_ID.to_owned())).send().await;
        let reply = reply.map_err(|e| port_error(OPERATION, Effect::Read, &e))?;
        reply.item.map(|item| item::crew(OPERATION, &item)).transpose()
    }

    async fn replace_crew(&self, next: &Crew) -> PortResult<bool> {
        const OPERATION: &str = "changing the cleanup programs";
        let item = item::of_crew(OPERATION, next)?;
        let put = match next.version.checked_sub(1).filter(|&version| version > 0) {
            Some(version) => self.put(OPERATION, item, "version = :v", Some(version)).await?,
            None => self.put(OPERATION, item, "attribute_not_exists(id)", None).await?,
        };
        Ok(put.is_ok())
    }

    /// A write costs money, and the writes of a partition are limited.
    fn progress_interval(&self) -> Option<Duration> {
        None
    }

    async fn check(&self) -> PortResult<()> {
        self.ready().await.map(|_| ())
    }

    /// A write with a condition that cannot hold: it needs everything that a write needs, and
    /// stores nothing.
    async fn can_write(&self) -> PortResult<()> {
        const OPERATION: &str = "writing to the job store";
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .item(item::ID, AttributeValue::S(JobId::random().to_string()))
            .condition_expression("attribute_exists(id)");
        match put.send().await {
            Err(SdkError::ServiceError(service)) if service.err().is_conditional_check_failed_exception() => {
                Ok(())
            }
            Err(error) => Err(port_error(OPERATION, Effect::Write, &error)),
            Ok(_) => Ok(()),
        }
    }
}

fn is_condition(error: &DeleteItemError) -> bool {
    error.is_conditional_check_failed_exception()
}
