//! Records of another version of cadmill in DynamoDB: the suite that every store runs, and attributes
//! beside the record, which a whole item that replaces another would lose.

use super::super::*;
use crate::conformance::dynalite::Dynalite;
use crate::conformance::job_store::{new_job, new_owner};
use crate::conformance::moto::Moto;
use crate::conformance::other_version::{self, Others, Raw};
use async_trait::async_trait;
use aws_sdk_dynamodb::types::AttributeValue;
use cadmill_core::domain::ids::JobId;
use cadmill_core::domain::job::State;
use cadmill_core::domain::quota::Usage;
use cadmill_core::domain::state::{Event, Policy};
use cadmill_core::jobs::{Change, Jobs};
use cadmill_core::ports::JobStore;
use cadmill_core::ports::clock::SystemClock;
use std::collections::HashMap;
use std::sync::Arc;

/// The items of a table as they are stored.
struct Items {
    store: DynamoStore,
    table: String,
}

impl Items {
    async fn item(&self, id: &str) -> HashMap<String, AttributeValue> {
        let get = self.store.client.get_item().table_name(&self.table).consistent_read(true);
        let reply = get.key("id", AttributeValue::S(id.to_owned())).send().await.unwrap();
        reply.item.unwrap()
    }

    async fn set(&self, id: &str, attribute: &str, value: AttributeValue) {
        let update = self.store.client.update_item().table_name(&self.table);
        let update = update
            .key("id", AttributeValue::S(id.to_owned()))
            .update_expression("SET #attribute = :value")
            .expression_attribute_names("#attribute", attribute)
            .expression_attribute_values(":value", value);
        update.send().await.unwrap();
    }

    async fn record(&self, id: &str) -> String {
        self.item(id).await["record"].as_s().unwrap().clone()
    }

    async fn set_record(&self, id: &str, record: String) {
        self.set(id, "record", AttributeValue::S(record)).await;
    }
}

#[async_trait]
impl Raw for Items {
    async fn read(&self, id: JobId) -> String {
        self.record(&id.to_string()).await
    }

    async fn write(&self, id: JobId, record: String) {
        self.set_record(&id.to_string(), record).await;
    }
}

#[async_trait]
impl Others for Items {
    async fn usage(&self, owner: &str) -> String {
        self.record(&format!("usage/{owner}")).await
    }

    async fn set_usage(&self, owner: &str, record: String) {
        self.set_record(&format!("usage/{owner}"), record).await;
    }

    async fn crew(&self) -> String {
        self.record("crew/cleanup").await
    }

    async fn set_crew(&self, record: String) {
        self.set_record("crew/cleanup", record).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_of_another_version_are_kept_and_left_on_moto() {
    let moto = Moto::start().await;
    kept_and_left(moto.world().await.jobs).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_of_another_version_are_kept_and_left_on_dynalite() {
    kept_and_left(Dynalite::shared().await.table().await).await;
}

async fn kept_and_left(settings: DynamoSettings) {
    let store = DynamoStore::new(settings.clone()).await;
    let jobs: Arc<dyn JobStore> = Arc::new(store.clone());
    let items = Items { store, table: settings.table };
    other_version::keeps_what_it_does_not_know(Arc::clone(&jobs), &items).await;
    other_version::leaves_what_it_cannot_read(Arc::clone(&jobs), &items).await;
    other_version::keeps_other_records(&*jobs, &items).await;
    attributes_are_kept(jobs, &items).await;
}

/// Attributes of an index that only another version has.
async fn attributes_are_kept(store: Arc<dyn JobStore>, items: &Items) {
    let job = new_job(&new_owner(), 1);
    store.create(&job).await.unwrap();
    let mut usage = Usage::new(new_owner());
    usage.version = 1;
    store.replace_usage(&usage).await.unwrap();
    let crew = store.crew().await.unwrap().unwrap_or_default().with("one", 1, 100);
    assert!(store.replace_crew(&crew).await.unwrap());
    let keys = [job.id.to_string(), format!("usage/{}", usage.owner.as_str()), "crew/cleanup".to_owned()];
    let value = AttributeValue::M([("shard".to_owned(), AttributeValue::N("7".to_owned()))].into());
    for key in &keys {
        items.set(key, "by_tenant", value.clone()).await;
    }

    let jobs = Jobs::new(Arc::clone(&store), Arc::new(SystemClock), Policy::default());
    for event in [Event::Polled { times: 1 }, Event::Cancelled, Event::Dismissed] {
        assert!(matches!(jobs.send(job.id, &event).await, Ok(Change::Done(_))), "{event:?}");
    }
    let mut usage = store.usage(&usage.owner).await.unwrap().unwrap();
    usage.version += 1;
    store.replace_usage(&usage).await.unwrap();
    let crew = store.crew().await.unwrap().unwrap().with("two", 1, 100);
    assert!(store.replace_crew(&crew).await.unwrap());
    for key in &keys {
        assert_eq!(items.item(key).await.get("by_tenant"), Some(&value), "{key}");
    }
    let state = items.item(&keys[0]).await["state"].as_s().unwrap().clone();
    assert_eq!(state, State::Cancelled.as_str());
    // Those that a listing and the cleanup read, too.
    let listed = store.list(&job.order.owner, None, 10).await.unwrap();
    let next =
        cadmill_core::domain::job::Job { version: listed.jobs[0].version + 1, ..listed.jobs[0].clone() };
    store.replace(&next).await.unwrap();
    assert_eq!(items.item(&keys[0]).await.get("by_tenant"), Some(&value));
}
