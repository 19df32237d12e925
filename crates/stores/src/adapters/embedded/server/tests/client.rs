//! A server in a temporary directory, and its clients.

use super::super::*;
use crate::adapters::embedded::Database;
use aws_sdk_s3::config::{BehaviorVersion, Builder, Credentials as Keys, Region};
use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::presigning::{PresignedRequest, PresigningConfig};
use aws_sdk_s3::primitives::ByteStream;
use cadmill_core::domain::ids::{JobId, ObjectKey};
use cadmill_core::domain::upload_event::{UploadEvent, parse};
use std::path::PathBuf;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

pub(super) const MINUTE: Duration = Duration::from_secs(60);

pub(super) struct World {
    pub(super) directory: TempDir,
    pub(super) database: Database,
    pub(super) server: EmbeddedS3,
    pub(super) s3: aws_sdk_s3::Client,
}

pub(super) async fn world() -> World {
    world_in(tempfile::tempdir().unwrap()).await
}

pub(super) async fn world_in(directory: TempDir) -> World {
    let database = Database::open(&directory.path().join("jobs.sqlite"), 5).unwrap();
    let origins = ["https://cad.example".to_owned()];
    let queue = Arc::new(database.queue());
    let server = EmbeddedS3::start(&data(&directory), loopback(), queue, &origins).await.unwrap();
    let s3 = client(&server, &server.credentials().secret_key);
    World { directory, database, server, s3 }
}

impl World {
    /// Stops everything and restarts it.
    pub(super) async fn again(self) -> World {
        self.server.stop().await;
        drop(self.database);
        world_in(self.directory).await
    }

    /// Files of objects and parts.
    pub(super) fn files(&self) -> usize {
        let files = std::fs::read_dir(data(&self.directory).join("blobs")).unwrap();
        // One of them records how often they were opened.
        files.filter(|file| file.as_ref().unwrap().file_name() != "openings").count()
    }

    /// Receives the notices of all events until there are this many.
    pub(super) async fn notices(&self, count: usize) -> Vec<UploadEvent> {
        let mut notices = Vec::new();
        while notices.len() < count {
            let messages = self.database.queue().receive(10, Duration::from_secs(10), MINUTE).await.unwrap();
            assert!(!messages.is_empty(), "an event did not come");
            notices.extend(messages.iter().flat_map(|message| parse(&message.body).unwrap()));
        }
        notices
    }

    pub(super) async fn put(&self, key: &ObjectKey, body: &[u8]) -> Result<(), String> {
        let put = self.s3.put_object().bucket(BUCKET).key(key.to_string()).if_none_match("*");
        put.body(ByteStream::from(body.to_vec())).send().await.map(drop).map_err(|error| code(&error))
    }

    pub(super) async fn get(&self, key: &ObjectKey, range: Option<&str>) -> Result<Vec<u8>, String> {
        let get = self.s3.get_object().bucket(BUCKET).key(key.to_string());
        let reply = get.set_range(range.map(str::to_owned)).send().await.map_err(|error| code(&error))?;
        Ok(reply.body.collect().await.map_err(|_| "body".to_owned())?.to_vec())
    }

    pub(super) async fn keys(&self, prefix: &str) -> Vec<String> {
        let page = self.s3.list_objects_v2().bucket(BUCKET).prefix(prefix).send().await.unwrap();
        page.contents().iter().map(|object| object.key().unwrap().to_owned()).collect()
    }

    pub(super) async fn begin(&self, key: &ObjectKey) -> String {
        let begin = self.s3.create_multipart_upload().bucket(BUCKET).key(key.to_string());
        begin.send().await.unwrap().upload_id.unwrap()
    }

    /// A presigned PUT as the API creates it.
    pub(super) async fn presigned(&self, key: &ObjectKey, size: usize) -> PresignedRequest {
        let put = self.s3.put_object().bucket(BUCKET).key(key.to_string()).if_none_match("*");
        put.content_length(size as i64)
            .presigned(PresigningConfig::expires_in(MINUTE).unwrap())
            .await
            .unwrap()
    }
}

pub(super) fn data(directory: &TempDir) -> PathBuf {
    directory.path().join("objects")
}

pub(super) fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

pub(super) fn client(server: &EmbeddedS3, secret_key: &str) -> aws_sdk_s3::Client {
    let keys = Keys::new(&server.credentials().access_key, secret_key, None, None, "test");
    let config = Builder::new()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(REGION))
        .credentials_provider(keys)
        .endpoint_url(server.endpoint())
        .force_path_style(true)
        .retry_config(aws_sdk_s3::config::retry::RetryConfig::disabled())
        .build();
    aws_sdk_s3::Client::from_conf(config)
}

/// The error code of the service, or the kind of the error.
pub(super) fn code<E>(error: &aws_sdk_s3::error::SdkError<E>) -> String
where
    E: ProvideErrorMetadata,
{
    match (error.code(), error.raw_response()) {
        (Some(code), _) => code.to_owned(),
        (None, Some(response)) => response.status().to_string(),
        (None, None) => "no reply".to_owned(),
    }
}

pub(super) fn upload(name: &str) -> ObjectKey {
    ObjectKey::upload(JobId::random(), name.parse().unwrap())
}

/// An answer to a plain request.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: Vec<u8>,
}

/// Sends a presigned request with these headers instead of its own.
pub(super) async fn send(url: &str, method: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let rest = url.strip_prefix("http://").unwrap();
    let (host, path) = rest.split_at(rest.find('/').unwrap());
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n");
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    let mut stream = TcpStream::connect(host).await.unwrap();
    stream.write_all(format!("{head}\r\n").as_bytes()).await.unwrap();
    // The server may refuse before it has read everything.
    let _ = stream.write_all(body).await;
    let mut reply = Vec::new();
    let _ = stream.read_to_end(&mut reply).await;
    let end = reply.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
    let head = String::from_utf8_lossy(&reply[..end]).to_lowercase();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head, body: reply[end + 4..].to_vec() }
}

/// The headers that were signed.
pub(super) fn signed(request: &PresignedRequest) -> Vec<(&str, &str)> {
    request.headers().collect()
}
