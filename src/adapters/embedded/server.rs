//! An S3-compatible server in this process, so that presigned requests, parts and
//! ranges are real on one machine too, and the S3 adapter is the only way to objects.
//!
//! Protocol and signatures are those of the crate `s3s`. What lies behind them is
//! ours: an index in SQLite and the bytes in files of their own.
//!
//! - What is answered for survives a crash: bytes are on the disk before the index
//!   names them, and one transaction makes an object, whatever its parts.
//! - An object's event is written in the transaction that makes the object. It goes to
//!   the queue afterwards, and again until the queue has it, so neither is without the
//!   other.
//! - A key is a row and never a path: any name that [`crate::domain::ids::FileName`]
//!   allows will do.
//! - Nothing is served but cadmill's own keys in one bucket to one pair of keys.

mod blobs;
mod body;
mod cors;
mod courier;
mod credentials;
mod date;
mod directory;
mod index;
mod objects;

pub use credentials::Credentials;

use crate::adapters::aws::{S3Settings, StaticCredentials};
use crate::domain::ids::JobId;
use crate::ports::{EventQueue, PortError, PortResult};
use cors::Cors;
use futures_util::future::BoxFuture;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use index::Index;
use objects::Objects;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// The one bucket.
pub const BUCKET: &str = "cadmill";
/// The region that requests are signed for.
pub const REGION: &str = "us-east-1";
/// How long a client may take for the head of a request.
const HEAD: Duration = Duration::from_secs(30);
/// How long requests may take to end after [`EmbeddedS3::stop`].
const GRACE: Duration = Duration::from_secs(10);

/// A running server. Dropping it ends it at once, requests and all.
pub struct EmbeddedS3 {
    address: SocketAddr,
    credentials: Credentials,
    index: Arc<Index>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl EmbeddedS3 {
    /// Serves the objects in this directory, which is made with mode 0700, and sends
    /// their events to the queue. Listen on a loopback address: there is no TLS.
    /// Browsers may make requests from pages of these `origins` (`https://host:port`).
    ///
    /// # Errors
    /// [`PortError::Unavailable`] when the address cannot be bound or another process
    /// serves the directory, [`PortError::Refused`] and [`PortError::Corrupt`] for the
    /// directory itself.
    pub async fn start(
        data_dir: &Path,
        listen: SocketAddr,
        queue: Arc<dyn EventQueue>,
        origins: &[String],
    ) -> PortResult<Self> {
        // The index comes first: it can be open once only, so it is the lock of all.
        let (index, blobs) = directory::open(data_dir).await?;
        let credentials = Credentials::read_or_make(data_dir)?;
        let (listener, address) = bind(listen).await.map_err(|error| PortError::Unavailable {
            operation: "starting the object server",
            reason: error.kind().to_string(),
        })?;
        if !address.ip().is_loopback() {
            tracing::warn!("The object server listens beyond this machine, without TLS");
        }

        let objects = Objects::new(index, blobs);
        let mut builder = S3ServiceBuilder::new(objects.clone());
        builder.set_auth(SimpleAuth::from_single(&*credentials.access_key, &*credentials.secret_key));
        let service = builder.build();

        let (stop, stopping) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let index = objects.index();
        tasks.spawn(courier::run(objects.index(), queue, objects.made(), stopping.clone()));
        tasks.spawn(accept(listener, service, Arc::new(Cors::new(origins)), stopping));
        Ok(Self { address, credentials, index, stop, tasks })
    }

    /// Base URL; the bucket's name is in the path of requests.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The bucket's name.
    pub fn bucket(&self) -> &'static str {
        BUCKET
    }

    /// The keys of the only client.
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// How the S3 adapter reaches it.
    pub fn settings(&self) -> S3Settings {
        settings(self.endpoint(), self.credentials.clone())
    }

    /// Takes no more requests and waits for those that run, up to ten seconds.
    pub async fn stop(mut self) {
        let _ = self.stop.send(true);
        while self.tasks.join_next().await.is_some() {}
        if let Err(error) = self.index.closed().await {
            tracing::warn!(error = %error, "The index of objects was not closed well");
        }
    }

    /// Tells which jobs it has objects, or unfinished uploads, of.
    pub fn jobs(&self) -> impl Fn() -> BoxFuture<'static, PortResult<Vec<JobId>>> + Send + Sync + use<> {
        let index = self.index.clone();
        move || {
            let index = index.clone();
            Box::pin(async move { index.jobs().await })
        }
    }
}

/// How the S3 adapter reaches the server at this base URL, which may be another
/// process's; see [`Credentials::read`].
pub fn settings(endpoint: String, credentials: Credentials) -> S3Settings {
    let Credentials { access_key, secret_key } = credentials;
    S3Settings {
        bucket: BUCKET.to_owned(),
        region: REGION.to_owned(),
        endpoint: Some(endpoint),
        public_endpoint: None,
        credentials: Some(StaticCredentials { access_key, secret_key }),
        path_style: true,
    }
}

async fn bind(listen: SocketAddr) -> std::io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(listen).await?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

async fn accept(listener: TcpListener, service: S3Service, cors: Arc<Cors>, mut stop: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    // The head of an answer goes out before its body: held back, the body
                    // would wait some 40 ms for the client's delayed acknowledgement. With
                    // three requests a tiny archive came in 144 ms, and comes in 21.
                    let _ = stream.set_nodelay(true);
                    connections.spawn(serve(stream, service.clone(), cors.clone(), stop.clone()));
                }
                // Out of descriptors, mostly: others must end first.
                Err(error) => {
                    tracing::warn!(error.kind = %error.kind(), "A connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
            Some(_) = connections.join_next() => {}
            _ = stop.changed() => break,
        }
    }
    drop(listener);
    let _ = tokio::time::timeout(GRACE, async { while connections.join_next().await.is_some() {} }).await;
}

async fn serve(stream: TcpStream, service: S3Service, cors: Arc<Cors>, mut stop: watch::Receiver<bool>) {
    let answer = service_fn(move |request| {
        let (service, cors) = (service.clone(), cors.clone());
        async move { cors.answer(request, &service).await.map(date::dated) }
    });
    let mut http = http1::Builder::new();
    http.auto_date_header(false);
    http.timer(TokioTimer::new()).header_read_timeout(HEAD);
    let connection = http.serve_connection(TokioIo::new(stream), answer);
    tokio::pin!(connection);
    // How a connection ends is the client's affair: an error tells of a client that
    // went away.
    tokio::select! {
        _ = connection.as_mut() => {}
        _ = stop.changed() => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}

/// Runs to the end even if the caller is dropped, as a request is whose client goes
/// away: a change to the index and what it entails for files belong together.
async fn whole<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> s3s::S3Result<T> {
    let task: JoinHandle<T> = tokio::spawn(work);
    task.await.map_err(|_| s3s::S3Error::new(s3s::S3ErrorCode::InternalError))
}

#[cfg(test)]
mod tests;
