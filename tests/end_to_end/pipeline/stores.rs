//! The stores of a world: the embedded ones, or servers that stand in for AWS. docs/PIPELINE.md
//! compares them.

use cadmill_core::ports::{EventQueue, JobStore, ObjectStore};
use cadmill_stores::adapters::aws::s3::Keeps;
use cadmill_stores::adapters::aws::{DynamoStore, S3Settings, S3Store, SqsQueue};
use cadmill_stores::adapters::embedded::{Database, EmbeddedS3};
use cadmill_stores::bootstrap::stores::MAX_DELIVERIES;
use cadmill_stores::config::DATABASE;
use cadmill_stores::conformance::dynalite::Dynalite;
use cadmill_stores::conformance::elasticmq::ElasticMq;
use cadmill_stores::conformance::moto::{Moto, World, keys};
use cadmill_stores::conformance::versitygw::Versitygw;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The variables that set the endpoint of one service for the AWS SDK, of S3, DynamoDB and SQS.
const ENDPOINTS: [&str; 3] = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL_SQS"];

pub(crate) struct Stores {
    pub(crate) jobs: Arc<dyn JobStore>,
    pub(crate) queue: Arc<dyn EventQueue>,
    pub(crate) objects: Arc<dyn ObjectStore>,
    bucket: String,
    /// What a worker needs to use them.
    variables: Vec<(&'static str, String)>,
    messages: Messages,
    /// Whether the objects send no events.
    silent: bool,
    /// What runs in this process, or ends with this world.
    _servers: (Option<Moto>, Option<EmbeddedS3>, Option<Versitygw>),
}

/// Where the messages of the queue can be counted.
enum Messages {
    Database(PathBuf),
    Sqs(Box<World>),
}

impl Stores {
    /// The embedded stores, in this directory.
    pub(crate) async fn embedded(data: &Path) -> Self {
        let path = data.join(DATABASE);
        let database = Database::open(&path, MAX_DELIVERIES).expect("a database");
        let queue: Arc<dyn EventQueue> = Arc::new(database.queue());
        let server = embedded_s3(data, &queue).await;
        let variables = vec![
            ("CADMILL_BACKEND", "embedded".to_owned()),
            ("CADMILL_DATA_DIR", data.to_str().expect("a path in UTF-8").to_owned()),
            ("CADMILL_S3_ENDPOINT", server.endpoint()),
        ];
        Self {
            jobs: Arc::new(database.jobs()),
            queue,
            objects: Arc::new(S3Store::new(server.settings()).await),
            bucket: server.bucket().to_owned(),
            variables,
            messages: Messages::Database(path),
            silent: false,
            _servers: (None, Some(server), None),
        }
    }

    /// moto for everything, EventBridge included.
    pub(crate) async fn moto() -> Self {
        let moto = Moto::start().await;
        let world = moto.world().await;
        Self { _servers: (Some(moto), None, None), ..Self::on_aws(world).await }
    }

    /// dynalite and ElasticMQ, and the embedded object server in this directory, which sends its
    /// events to ElasticMQ.
    pub(crate) async fn others_with_embedded_s3(data: &Path) -> Self {
        let queue = ElasticMq::shared().await.queues(MAX_DELIVERIES).await;
        let events: Arc<dyn EventQueue> = Arc::new(SqsQueue::new(queue.clone()).await);
        let server = embedded_s3(data, &events).await;
        let jobs = Dynalite::shared().await.table().await;
        let stores = Self::on_aws(World { objects: server.settings(), jobs, queue }).await;
        Self { _servers: (None, Some(server), None), ..stores }
    }

    /// versitygw, dynalite and ElasticMQ. The tests send the events.
    pub(crate) async fn others_with_versitygw(keeps: Keeps) -> Self {
        let server = Versitygw::start().await;
        let objects = server.bucket(keeps).await;
        let jobs = Dynalite::shared().await.table().await;
        let queue = ElasticMq::shared().await.queues(MAX_DELIVERIES).await;
        let stores = Self::on_aws(World { objects, jobs, queue }).await;
        Self { silent: true, _servers: (None, None, Some(server)), ..stores }
    }

    async fn on_aws(world: World) -> Self {
        let endpoint = |service: &cadmill_stores::adapters::aws::Service| {
            service.endpoint.clone().expect("the endpoint of a server")
        };
        let services = [&world.objects.service, &world.jobs.service, &world.queue.service];
        let mut variables: Vec<_> = ENDPOINTS.into_iter().zip(services.map(endpoint)).collect();
        variables.extend([
            ("CADMILL_BACKEND", "aws".to_owned()),
            ("CADMILL_AWS_REGION", world.jobs.service.region.clone()),
            ("CADMILL_S3_BUCKET", world.objects.bucket.clone()),
            ("CADMILL_S3_PATH_STYLE", "true".to_owned()),
            ("CADMILL_DYNAMODB_TABLE", world.jobs.table.clone()),
            ("CADMILL_SQS_QUEUE_URL", world.queue.queue_url.clone()),
            ("CADMILL_SQS_DEAD_LETTER_URL", world.queue.dead_letter_url.clone().expect("dead letters")),
            ("AWS_ACCESS_KEY_ID", keys().access_key),
            ("AWS_SECRET_ACCESS_KEY", keys().secret_key),
        ]);
        variables.extend(keys_of(&world.objects));
        Self {
            jobs: Arc::new(DynamoStore::new(world.jobs.clone()).await),
            queue: Arc::new(SqsQueue::new(world.queue.clone()).await),
            objects: Arc::new(S3Store::new(world.objects.clone()).await),
            bucket: world.objects.bucket.clone(),
            variables,
            messages: Messages::Sqs(Box::new(world)),
            silent: false,
            _servers: (None, None, None),
        }
    }

    /// What a worker needs to use them.
    pub(crate) fn variables(&self) -> &[(&'static str, String)] {
        &self.variables
    }

    pub(super) fn bucket(&self) -> &str {
        &self.bucket
    }

    /// Whether the objects send no events, so that a test must put them into the queue.
    pub(super) fn is_silent(&self) -> bool {
        self.silent
    }

    /// The number of messages in the queue, those in flight included.
    pub(super) async fn messages(&self) -> u64 {
        match &self.messages {
            Messages::Database(path) => {
                let connection = rusqlite::Connection::open(path).expect("the database");
                let count: i64 = connection
                    .query_row("SELECT count(*) FROM messages", [], |row| row.get(0))
                    .expect("a count");
                u64::try_from(count).expect("no negative count")
            }
            Messages::Sqs(world) => world.messages().await,
        }
    }
}

/// The object server of `cadmill serve`, in this process.
async fn embedded_s3(data: &Path, queue: &Arc<dyn EventQueue>) -> EmbeddedS3 {
    let listen = ([127, 0, 0, 1], 0).into();
    EmbeddedS3::start(data, listen, Arc::clone(queue), &[]).await.expect("a server")
}

/// The keys of a bucket, which are not those of the other services if the server is embedded.
fn keys_of(bucket: &S3Settings) -> [(&'static str, String); 2] {
    let keys = bucket.service.credentials.clone().expect("the keys of the bucket");
    [("CADMILL_S3_ACCESS_KEY", keys.access_key), ("CADMILL_S3_SECRET_KEY", keys.secret_key)]
}
