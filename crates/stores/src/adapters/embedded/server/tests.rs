//! The server as its clients see it: the AWS SDK, and plain HTTP for presigned requests.

mod client;
mod crash;
mod crowd;
mod damage;
mod erased;
mod events;
mod left;
mod multipart;
mod requests;

use crate::adapters::aws::S3Store;
use crate::conformance::object_store::{Options, suite};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keeps_the_contract_of_an_object_store() {
    let world = client::world().await;
    let store = S3Store::new(world.server.settings()).await;
    suite(&store, Options::ALL).await;
}
