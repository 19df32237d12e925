//! DynamoDB by [dynalite](https://www.npmjs.com/package/dynalite), which validates requests as
//! strictly as DynamoDB does: expressions, reserved words, types of keys.
//!
//! Differences from AWS: it does not return the item that failed a condition, so the adapter reads
//! the item once more, which it never does on moto; its indexes are consistent at once; it
//! verifies no signature; it has no limits of throughput.

use super::process::{Server, installed, tied};
use super::world::{REGION, keys};
use crate::adapters::aws::{DynamoSettings, DynamoStore, Service};
use tokio::sync::OnceCell;

/// A running server with its tables in memory.
pub struct Dynalite {
    _server: Server,
    endpoint: String,
}

impl Dynalite {
    /// The server of this program, which is started once.
    ///
    /// # Panics
    /// If dynalite, `node` or `setpriv` is missing.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<Dynalite> = OnceCell::const_new();
        SHARED.get_or_init(Self::start).await
    }

    async fn start() -> Self {
        let modules = installed("target/emulators-node/node_modules/dynalite", "dynalite", "`make setup`");
        let mut node = tied("node");
        node.args(["-e", include_str!("dynalite_server.cjs")]);
        node.env("NODE_PATH", modules.with_file_name(""));
        let (server, endpoint) = Server::start(node, "listening on ")
            .await
            .unwrap_or_else(|said| panic!("dynalite does not start; it needs node:\n{said}"));
        Self { _server: server, endpoint }
    }

    /// The service that it emulates.
    pub fn service(&self) -> Service {
        let endpoint = Some(self.endpoint.clone());
        Service { region: REGION.to_owned(), endpoint, credentials: Some(keys()) }
    }

    /// A new table for jobs.
    ///
    /// # Panics
    /// If it cannot be created.
    pub async fn table(&self) -> DynamoSettings {
        let table = format!("cadmill-{}", uuid::Uuid::new_v4());
        let settings = DynamoSettings { table, service: self.service() };
        DynamoStore::new(settings.clone()).await.create_table().await.expect("a table");
        settings
    }
}
