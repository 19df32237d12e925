//! SQS by [ElasticMQ](https://github.com/softwaremill/elasticmq), with the limits of SQS.
//!
//! Differences from AWS: it refuses a stale receipt, which AWS accepts and may ignore; a message has
//! at most 256 KiB, on AWS 1 MiB; it lets a message be hidden for 43,201 s, where AWS ends at
//! 43,200 s; it verifies no signature.

use super::process::{Server, installed, tied};
use super::world::{REGION, keys};
use crate::adapters::aws::{Service, SqsQueue, SqsSettings};
use std::io::Write;
use tokio::sync::OnceCell;

/// Port 0 is a free one. `strict` refuses what SQS refuses.
const CONFIGURATION: &str = r#"include classpath("application.conf")
generate-node-address = true
rest-sqs { enabled = true, bind-port = 0, bind-hostname = "127.0.0.1", sqs-limits = strict }
rest-stats { enabled = false }
"#;

/// A running server with its queues in memory.
pub struct ElasticMq {
    _server: Server,
    endpoint: String,
}

impl ElasticMq {
    /// The server of this program, which is started once.
    ///
    /// # Panics
    /// If ElasticMQ, `java` or `setpriv` is missing.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<ElasticMq> = OnceCell::const_new();
        SHARED.get_or_init(Self::start).await
    }

    async fn start() -> Self {
        let jars = installed("target/emulators-java", "ElasticMQ", "`make setup`");
        let mut file = tempfile::Builder::new().suffix(".conf").tempfile().expect("a file");
        file.write_all(CONFIGURATION.as_bytes()).expect("the configuration");
        let mut configuration = std::ffi::OsString::from("-Dconfig.file=");
        configuration.push(file.path());
        let mut java = tied("java");
        // It runs for a minute or two: what starts quickly is worth more than what runs quickly.
        java.args(["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]);
        java.arg(configuration).arg("-cp").arg(jars.join("*")).arg("org.elasticmq.server.Main");
        let (server, endpoint) = Server::start(java, "visible server address ")
            .await
            .unwrap_or_else(|said| panic!("ElasticMQ does not start; it needs java:\n{said}"));
        Self { _server: server, endpoint }
    }

    /// The service that it emulates.
    pub fn service(&self) -> Service {
        let endpoint = Some(self.endpoint.clone());
        Service { region: REGION.to_owned(), endpoint, credentials: Some(keys()) }
    }

    /// A new queue and its dead-letter queue. A message becomes a dead letter after this many
    /// deliveries.
    ///
    /// # Panics
    /// If they cannot be created.
    pub async fn queues(&self, deliveries: u32) -> SqsSettings {
        let name = format!("cadmill-{}", uuid::Uuid::new_v4());
        SqsQueue::create_queues(&name, deliveries, self.service()).await.expect("two queues")
    }
}
