//! The adapters against a server that speaks the services' protocols.

use super::*;
use crate::conformance::moto::Moto;
use crate::conformance::object_store;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_are_kept_in_s3() {
    let moto = Moto::start().await;
    let store = S3Store::new(moto.world().await.objects).await;
    let options = object_store::Options { verifies_signatures: false, verifies_checksums: false };
    object_store::suite(&store, options).await;
}
