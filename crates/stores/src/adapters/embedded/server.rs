//! An S3-compatible server in this process, so that presigned requests, parts and ranges are real
//! on one machine too, and the S3 adapter is the only way to access objects.
//!
//! The crate `s3s` implements the protocol and the signatures. The storage is implemented here:
//! an index in SQLite, and the content in one file per object or part.
//!
//! - A confirmed write survives a crash: the content is on the disk before the index names it,
//!   and one transaction creates an object, whatever its parts.
//! - An object's event is written in the transaction that creates the object. It is sent to the
//!   queue afterwards, and again until the queue has it, so neither exists without the other.
//! - A deletion is confirmed when the files are destroyed. A file that could not be is known to the index:
//!   it is listed, and tried again.
//! - A key is a row and never a path: any name that [`cadmill_core::domain::ids::FileName`]
//!   allows can be used.
//! - Only cadmill's own keys are served, in one bucket, to one pair of credentials.

mod access;
mod blobs;
mod body;
mod cors;
mod credentials;
mod date;
mod directory;
mod index;
mod inventory;
mod objects;

pub use credentials::Credentials;
pub use inventory::inventory;

use crate::adapters::aws::{S3Settings, Service};
use crate::adapters::embedded::Medium;
use crate::connections::{Door, Http, Limits, Networks, Seat, Times, serve};
use cadmill_core::domain::ids::JobId;
use cadmill_core::ports::{EventQueue, PortError, PortResult};
use cors::Cors;
use futures_util::future::BoxFuture;
use hyper::service::service_fn;
use index::Index;
pub use names::{BUCKET, REGION};
use objects::Objects;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;

/// Time for requests to complete after [`EmbeddedS3::stop`].
const GRACE: Duration = Duration::from_secs(10);

/// Time for all else that goes on then. What does not end, such as the removal of a file on a medium that hangs,
/// is left to the next start.
const STOP: Duration = Duration::from_secs(12);

/// How long the start waits until files of deleted objects are destroyed.
const FIRST_ROUND: Duration = Duration::from_secs(10);

/// Limits for the clients of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capacity {
    /// Open connections of clients with presigned URLs.
    pub limits: Limits,
    /// Time limits for a client.
    pub times: Times,
}

impl Default for Capacity {
    fn default() -> Self {
        Self {
            limits: Limits { total: 1024, per_client: 256, proxies: Networks::default() },
            times: Times {
                head: Duration::from_secs(10),
                idle: Duration::from_secs(15),
                // A client that returns from a tunnel continues.
                rest: Duration::from_secs(60),
                // 64 kbit/s: slower than any link that files of this size are sent over.
                bytes_per_second: 8 << 10,
            },
        }
    }
}

/// A running server. Dropping it ends it at once, including its requests.
pub struct EmbeddedS3 {
    address: SocketAddr,
    credentials: Credentials,
    index: Arc<Index>,
    medium: Medium,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
    door: Arc<Door>,
}

impl EmbeddedS3 {
    /// Serves the objects in this directory, which is created with mode 0700, and sends their
    /// events to the queue. Listen on a loopback address: there is no TLS. Browsers may make
    /// requests from pages of these `origins` (`https://host:port`).
    ///
    /// # Errors
    /// [`PortError::Unavailable`] if the address cannot be bound or another process serves the
    /// directory, [`PortError::Refused`] and [`PortError::Corrupt`] for the directory itself.
    pub async fn start(
        data_dir: &Path,
        listen: SocketAddr,
        queue: Arc<dyn EventQueue>,
        origins: &[String],
    ) -> PortResult<Self> {
        Self::start_with(data_dir, listen, queue, origins, Capacity::default()).await
    }

    /// The same, with the given limits.
    ///
    /// # Errors
    /// As for [`EmbeddedS3::start`].
    pub async fn start_with(
        data_dir: &Path,
        listen: SocketAddr,
        queue: Arc<dyn EventQueue>,
        origins: &[String],
        capacity: Capacity,
    ) -> PortResult<Self> {
        let (listener, address) = bind(listen).await.map_err(|error| PortError::Unavailable {
            operation: "starting the object server",
            reason: error.kind().to_string(),
        })?;
        // The index is opened before all else in the directory: only one process can open it, so it is the lock
        // of the directory.
        let (index, blobs) = directory::open(data_dir).await?;
        let credentials = match Credentials::read_or_make(data_dir) {
            Ok(credentials) => credentials,
            Err(error) => {
                let _ = index.closed().await;
                return Err(error);
            }
        };
        if !address.ip().is_loopback() {
            tracing::warn!("The object server listens beyond this machine, without TLS");
        }

        let medium = blobs.medium();
        let objects = Objects::new(index, blobs);
        let mut builder = S3ServiceBuilder::new(objects.clone());
        builder.set_auth(SimpleAuth::from_single(&*credentials.access_key, &*credentials.secret_key));
        builder.set_access(access::Access);
        let service = builder.build();

        let (stop, stopping) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let index = objects.index();
        tasks.spawn(outbox::run(objects.index(), queue, objects.made(), stopping.clone()));
        // Before anything is served, but a file that cannot be destroyed keeps nothing from being served.
        let (destroyed, first) = oneshot::channel();
        tasks.spawn(objects.remover().run(stopping.clone(), destroyed));
        if tokio::time::timeout(FIRST_ROUND, first).await.is_err() {
            tracing::warn!("Files of deleted objects are still being destroyed");
        }
        let door = Arc::new(Door::new("objects", capacity.limits));
        let server = Accepting {
            door: door.clone(),
            http: Http { times: capacity.times, head_bytes: None },
            service,
            cors: Arc::new(Cors::new(origins)),
        };
        tasks.spawn(server.run(listener, stopping));
        Ok(Self { address, credentials, index, medium, stop, tasks, door })
    }

    /// Base URL; the bucket's name is in the path of requests.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The bucket's name.
    pub fn bucket(&self) -> &'static str {
        BUCKET
    }

    /// The credentials of the only client.
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// What the objects lie on: in memory they are overwritten when they are deleted.
    pub fn medium(&self) -> Medium {
        self.medium
    }

    /// The listening socket: how many connections are open, and whether descriptors ran out.
    pub fn door(&self) -> &Arc<Door> {
        &self.door
    }

    /// Settings of the S3 adapter for this server.
    pub fn settings(&self) -> S3Settings {
        settings(self.endpoint(), self.credentials.clone())
    }

    /// Accepts no more requests and waits for the current ones, up to ten seconds.
    pub async fn stop(mut self) {
        let _ = self.stop.send(true);
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP, all).await.is_err() {
            tracing::warn!("The object server did not end in time");
            self.tasks.abort_all();
        }
        if let Err(error) = self.index.closed().await {
            tracing::warn!(error = %error, "The index of objects was not closed cleanly");
        }
    }

    /// Returns a function that lists the jobs with objects or unfinished uploads.
    pub fn jobs(&self) -> impl Fn() -> BoxFuture<'static, PortResult<Vec<JobId>>> + Send + Sync + use<> {
        let index = self.index.clone();
        move || {
            let index = index.clone();
            Box::pin(async move { index.jobs().await })
        }
    }
}

/// Settings of the S3 adapter for the server at this base URL, which may be another process's;
/// see [`Credentials::read`].
pub fn settings(endpoint: String, credentials: Credentials) -> S3Settings {
    S3Settings {
        bucket: BUCKET.to_owned(),
        service: Service {
            region: REGION.to_owned(),
            endpoint: Some(endpoint),
            credentials: Some(credentials.into()),
        },
        public_endpoint: None,
        path_style: true,
    }
}

async fn bind(listen: SocketAddr) -> std::io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(listen).await?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// What each connection needs.
struct Accepting {
    door: Arc<Door>,
    http: Http,
    service: S3Service,
    cors: Arc<Cors>,
}

impl Accepting {
    async fn run(self, listener: TcpListener, mut stop: watch::Receiver<bool>) {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                (stream, _, seat) = self.door.accept(&listener) => {
                    connections.spawn(self.serve(stream, seat, stop.clone()));
                }
                Some(_) = connections.join_next() => {}
                _ = stop.changed() => break,
            }
        }
        drop(listener);
        let _ = tokio::time::timeout(GRACE, async { while connections.join_next().await.is_some() {} }).await;
    }

    fn serve(
        &self,
        stream: TcpStream,
        seat: Seat,
        mut stop: watch::Receiver<bool>,
    ) -> impl Future<Output = ()> + Send + use<> {
        let (service, cors, http, seat) =
            (self.service.clone(), self.cors.clone(), self.http, Arc::new(seat));
        let counted = seat.clone();
        let answer = service_fn(move |request| {
            let (service, cors, seat) = (service.clone(), cors.clone(), counted.clone());
            async move { cors.answer(request, &service, &seat).await.map(date::dated) }
        });
        serve(stream, seat, http, answer, async move {
            let _ = stop.changed().await;
        })
    }
}

mod names;
mod outbox;
mod removal;
#[cfg(test)]
mod tests;
mod wipe;
