//! Listings of several pages, from a server that answers as Amazon S3 does, two entries a page: it refuses
//! an empty version marker, and gives one after a page that ends with a common prefix.

use super::super::*;
use super::nowhere;
use cadmill_core::domain::ids::{JobId, ObjectKey, Role};
use cadmill_core::ports::object_store::Tally;
use cadmill_core::ports::{ObjectStore, PortError};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const PAGE: usize = 2;

#[derive(Default)]
struct Bucket {
    /// Keys and versions, in the order of a listing.
    versions: BTreeSet<(String, String)>,
    /// Versions that may not be deleted.
    locked: BTreeSet<String>,
    /// What was asked for: `list`, or `delete` and the version.
    log: Vec<String>,
}

type Query = BTreeMap<String, String>;

impl Bucket {
    fn answer(&mut self, method: &str, key: &str, query: &Query) -> (u16, String) {
        let of = |name: &str| query.get(name).cloned();
        if method == "DELETE" {
            let version = of("versionId").unwrap();
            if self.locked.contains(&version) {
                return error(403, "AccessDenied");
            }
            self.log.push(format!("delete {version}"));
            self.versions.remove(&(key.to_owned(), version));
            return (204, String::new());
        }
        if query.contains_key("versions") {
            if of("version-id-marker").is_some_and(|marker| marker.is_empty()) {
                return error(400, "InvalidArgument");
            }
            self.log.push("list".to_owned());
            return (200, self.list(query));
        }
        match query.contains_key("versioning") {
            true => {
                (200, "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>".into())
            }
            false => (200, "<ListMultipartUploadsResult></ListMultipartUploadsResult>".into()),
        }
    }

    fn list(&self, query: &Query) -> String {
        let of = |name: &str| query.get(name).cloned().unwrap_or_default();
        let (prefix, key_marker, version_marker) = (of("prefix"), of("key-marker"), of("version-id-marker"));
        let is_grouped = query.contains_key("delimiter");
        let mut entries = Vec::new();
        for (key, version) in self.versions.iter().filter(|(key, _)| key.starts_with(&prefix)) {
            let entry = match key[prefix.len()..].find('/').filter(|_| is_grouped) {
                Some(end) => (key[..=prefix.len() + end].to_owned(), String::new()),
                None => (key.clone(), version.clone()),
            };
            let is_after = entry > (key_marker.clone(), version_marker.clone());
            if is_after && entries.last() != Some(&entry) {
                entries.push(entry);
            }
        }
        let mut body = "<ListVersionsResult>".to_owned();
        for (key, version) in entries.iter().take(PAGE) {
            let _ = match is_grouped {
                true => write!(body, "<CommonPrefixes><Prefix>{key}</Prefix></CommonPrefixes>"),
                false => write!(body, "<Version><Key>{key}</Key><VersionId>{version}</VersionId></Version>"),
            };
        }
        if entries.len() > PAGE {
            let (key, version) = &entries[PAGE - 1];
            let _ = write!(
                body,
                "<IsTruncated>true</IsTruncated><NextKeyMarker>{key}</NextKeyMarker>\
                 <NextVersionIdMarker>{version}</NextVersionIdMarker>"
            );
        }
        body + "</ListVersionsResult>"
    }
}

fn error(status: u16, code: &str) -> (u16, String) {
    (status, format!("<Error><Code>{code}</Code><Message>no</Message></Error>"))
}

/// A store of this bucket on the wire.
async fn store(bucket: &Arc<Mutex<Bucket>>) -> S3Store {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let bucket = Arc::clone(bucket);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, Arc::clone(&bucket)));
        }
    });
    S3Store::new(nowhere(&endpoint)).await
}

async fn serve(mut stream: TcpStream, bucket: Arc<Mutex<Bucket>>) {
    let mut received = Vec::new();
    // Requests without a body, one after the other.
    while stream.read_buf(&mut received).await.is_ok_and(|bytes| bytes > 0) {
        let Some(end) = received.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = String::from_utf8(received.drain(..end + 4).collect()).unwrap();
        let mut line = head.split(' ');
        let (method, target) = (line.next().unwrap(), line.next().unwrap());
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let text = |part: &str| part.replace("%2F", "/");
        let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        let query = pairs.map(|(name, value)| (name.to_owned(), text(value))).collect();
        let key = path.trim_start_matches('/').split_once('/').map_or("", |(_, key)| key);
        let (status, body) = bucket.lock().unwrap().answer(method, &text(key), &query);
        let reply = format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        if stream.write_all(reply.as_bytes()).await.is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn the_jobs_of_several_pages_are_listed() {
    let bucket = Arc::new(Mutex::new(Bucket::default()));
    let mut jobs: Vec<JobId> = (0..5).map(|_| JobId::random()).collect();
    for job in &jobs {
        for version in ["v1", "v2"] {
            let key = ObjectKey::upload(*job, "a.zip".parse().unwrap()).to_string();
            bucket.lock().unwrap().versions.insert((key, version.to_owned()));
        }
    }
    jobs.sort();
    assert_eq!(store(&bucket).await.stored().await, Ok(jobs));
    // Three of the uploads, one of the results.
    assert_eq!(bucket.lock().unwrap().log, ["list"; 4]);
}

/// What a page has is deleted before the next is asked for: a deletion that is broken off has made progress.
/// What may not be deleted keeps nothing on the pages after it.
#[tokio::test]
async fn each_page_is_deleted_before_the_next_is_listed() {
    let bucket = Arc::new(Mutex::new(Bucket::default()));
    let key = ObjectKey::upload(JobId::random(), "a.zip".parse().unwrap());
    for version in 1..=5 {
        bucket.lock().unwrap().versions.insert((key.to_string(), format!("v{version}")));
    }
    bucket.lock().unwrap().locked.insert("v2".to_owned());
    let store = store(&bucket).await;
    let tally = Tally::default();
    let purged = store.purge_into(Role::Upload, key.job(), &tally).await;
    assert!(matches!(purged, Err(PortError::Refused { .. })), "{purged:?}");
    assert_eq!(tally.total().objects, 4, "all but the one that may not be");
    let log = std::mem::take(&mut bucket.lock().unwrap().log);
    assert_eq!(log, ["list", "delete v1", "list", "delete v3", "delete v4", "list", "delete v5"]);

    bucket.lock().unwrap().locked.clear();
    assert_eq!(store.purge_into(Role::Upload, key.job(), &tally).await, Ok(()));
    assert_eq!(tally.total().objects, 5);
    assert_eq!(bucket.lock().unwrap().log, ["list", "delete v2", "list"], "and nothing was left");
}
