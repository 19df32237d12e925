//! The contract of [`ObjectStore`], over the network: uploads and downloads use presigned
//! requests, as clients do.

use super::http;
use bytes::Bytes;
use cadmill_core::domain::coding::{Coding, Encoded};
use cadmill_core::domain::ids::{JobId, ObjectKey, Role};
use cadmill_core::domain::job::Object;
use cadmill_core::ports::object_store::{MIN_PART_BYTES, ObjectStore, Purged};
use cadmill_core::ports::{PortError, PortResult};
use std::time::Duration;

/// The counts of a purge, without times.
pub fn counts(purged: Purged) -> (u64, u64) {
    (purged.objects, purged.uploads)
}

/// What the server behind the store supports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// It refuses requests that differ from the signed ones. AWS does.
    pub verifies_signatures: bool,
    /// It compares a body with the checksum in its header. AWS does.
    pub verifies_checksums: bool,
    /// It answers with the headers that a presigned GET asks for. AWS does.
    pub overrides_headers: bool,
    /// On completion of an upload that does not exist any more, it reports that. AWS does.
    pub tells_missing_uploads: bool,
    /// A conditional write succeeds where the last version is a delete marker. AWS lets it: the
    /// condition is about the object, which is not there (Amazon S3 User Guide, "How to prevent
    /// object overwrites with conditional writes").
    pub writes_over_delete_markers: bool,
}

impl Options {
    /// Everything, as AWS does.
    pub const ALL: Self = Self {
        verifies_signatures: true,
        verifies_checksums: true,
        overrides_headers: true,
        tells_missing_uploads: true,
        writes_over_delete_markers: true,
    };
}

/// Runs the whole contract.
///
/// # Panics
/// If the store violates the contract.
pub async fn suite(store: &dyn ObjectStore, options: Options) {
    store.check().await.expect("the store answers");
    store.can_write().await.expect("the store takes writes");
    store.can_list().await.expect("the store may be listed");
    an_object_is_written_once(store).await;
    a_range_is_read_whole(store).await;
    a_read_wants_its_own_object(store).await;
    what_is_missing_is_not_found(store).await;
    an_upload_is_made_once(store).await;
    an_upload_has_its_size_and_time(store, options).await;
    an_upload_has_its_digest(store, options).await;
    a_download_is_an_attachment(store, options).await;
    a_coding_is_kept(store).await;
    parts_become_an_object(store).await;
    parts_replace_nothing(store).await;
    an_aborted_upload_is_gone(store, options).await;
    an_object_is_deleted_and_no_other(store).await;
    a_key_is_free_again_after_a_deletion(store, options).await;
    a_purge_takes_one_role_of_one_job(store).await;
    lifetimes_have_limits(store).await;
}

const MINUTE: Duration = Duration::from_secs(60);

/// A name that is difficult for URLs, headers and XML.
const HARD_NAME: &str = "Pläne & <Maße> 100%+1 «ü»;\"x\"'=?#.zip";

fn upload_key(file: &str) -> ObjectKey {
    ObjectKey::upload(JobId::random(), file.parse().expect("a file name"))
}

/// Bytes that depend on their position.
fn content(size: u64, seed: u8) -> Vec<u8> {
    (0..size).map(|at| (at % 251) as u8 ^ (at / 251 % 256) as u8 ^ seed).collect()
}

async fn stored(store: &dyn ObjectStore, key: &ObjectKey) -> Vec<u8> {
    let object = store.head(key).await.expect("the object is there");
    store.read(&object, 0..object.size_bytes).await.expect("it can be read").to_vec()
}

#[track_caller]
fn assert_not_found<T: std::fmt::Debug>(result: PortResult<T>) {
    assert!(matches!(result, Err(PortError::NotFound(_))), "{result:?}");
}

#[track_caller]
fn assert_precondition<T: std::fmt::Debug>(result: PortResult<T>) {
    assert!(matches!(result, Err(PortError::Precondition(_))), "{result:?}");
}

async fn an_object_is_written_once(store: &dyn ObjectStore) {
    let key = upload_key(HARD_NAME);
    store.put(&key, Bytes::from_static(b"first")).await.expect("put");
    assert_precondition(store.put(&key, Bytes::from_static(b"second")).await);
    assert_eq!(stored(store, &key).await, b"first");
    let object = store.head(&key).await.expect("head");
    assert_eq!((&object.key, object.size_bytes, &object.sha256), (&key, 5, &None));
    assert!(!object.etag.is_empty());
    assert_eq!(store.find(&key).await, Ok(object), "a listing says the same");

    let empty = upload_key("empty");
    store.put(&empty, Bytes::new()).await.expect("an empty object");
    assert_eq!(store.head(&empty).await.expect("head").size_bytes, 0);
}

async fn a_range_is_read_whole(store: &dyn ObjectStore) {
    let (key, bytes) = (upload_key("a.bin"), content(300_000, 1));
    store.put(&key, Bytes::from(bytes.clone())).await.expect("put");
    let object = store.head(&key).await.expect("head");
    for range in [0..300_000, 0..1, 1..2, 299_999..300_000, 65_535..131_073, 7..7, 300_000..300_000] {
        let part = &bytes[range.start as usize..range.end as usize];
        let read = store.read(&object, range.clone()).await.expect("a range");
        assert!(read == part, "{range:?}: {} bytes", read.len());
    }
    let beyond = store.read(&object, 299_999..300_001).await;
    assert!(matches!(beyond, Err(PortError::Refused { .. })), "{beyond:?}");
    // The object is shorter than the reader expects.
    let longer = Object { size_bytes: 600_000, ..object };
    for range in [299_999..300_001, 400_000..400_001] {
        let beyond = store.read(&longer, range).await;
        assert!(beyond.is_err(), "{beyond:?}");
    }
}

async fn a_read_wants_its_own_object(store: &dyn ObjectStore) {
    let key = upload_key("a.bin");
    store.put(&key, Bytes::from_static(b"first")).await.expect("put");
    let first = store.head(&key).await.expect("head");
    let other = Object { etag: "\"0123456789abcdef0123456789abcdef\"".to_owned(), ..first.clone() };
    assert_precondition(store.read(&other, 0..5).await);

    store.purge(Role::Upload, key.job()).await.expect("purge");
    assert_not_found(store.read(&first, 0..5).await);
    store.put(&key, Bytes::from_static(b"other")).await.expect("put");
    let read = store.read(&first, 0..5).await;
    match (&first.version, read) {
        (_, Err(PortError::Precondition(_))) | (Some(_), Err(PortError::NotFound(_))) => {}
        (_, read) => panic!("{read:?}"),
    }
}

async fn what_is_missing_is_not_found(store: &dyn ObjectStore) {
    let key = upload_key("a.bin");
    assert_not_found(store.head(&key).await);
    assert_not_found(store.find(&key).await);
    // A longer key begins with this one.
    let longer = ObjectKey::upload(key.job(), "a.bin.zip".parse().expect("a file name"));
    store.put(&longer, Bytes::from_static(b"x")).await.expect("put");
    assert_not_found(store.find(&key).await);
    store.find(&longer).await.expect("the longer one");
    let purged = store.purge(Role::Upload, key.job()).await;
    assert!(purged.as_ref().is_ok_and(|purged| purged.oldest.is_some()), "with the time of the oldest");
    assert_eq!(purged.map(counts), Ok((1, 0)));
    assert_not_found(store.find(&longer).await);
    assert_eq!(store.purge(Role::Upload, key.job()).await, Ok(Purged::default()));
    let request = presign_any_get(store, &key).await;
    // 403 if the signer may not list the bucket, and so must not learn what is missing.
    let status = http::presigned(&request, Vec::new()).await.status;
    assert!([403, 404].contains(&status), "{status}");
}

async fn presign_any_get(
    store: &dyn ObjectStore,
    key: &ObjectKey,
) -> cadmill_core::ports::object_store::Presigned {
    let object = Object {
        key: key.clone(),
        size_bytes: 1,
        etag: "\"x\"".to_owned(),
        version: None,
        sha256: None,
        encoded: None,
    };
    store.presign_get(&object, key.file(), MINUTE).await.expect("presign")
}

async fn an_upload_is_made_once(store: &dyn ObjectStore) {
    let key = upload_key(HARD_NAME);
    let request = store.presign_put(&key, 5, None, MINUTE).await.expect("presign");
    assert_eq!(request.method, "PUT");
    let sent = |name: &str| request.headers.iter().find(|(known, _)| known == name).map(|(_, v)| v.as_str());
    // Every client sends these by itself, and browsers refuse to set them.
    assert_eq!((sent("content-length"), sent("host")), (None, None));
    assert_eq!(sent("if-none-match"), Some("*"));

    let reply = http::presigned(&request, b"first".to_vec()).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let reply = http::presigned(&request, b"other".to_vec()).await;
    assert_eq!(reply.status, 412, "{}", reply.text());
    assert_eq!(stored(store, &key).await, b"first");
}

async fn an_upload_has_its_size_and_time(store: &dyn ObjectStore, options: Options) {
    if !options.verifies_signatures {
        return;
    }
    let key = upload_key("a.bin");
    let request = store.presign_put(&key, 5, None, MINUTE).await.expect("presign");
    for body in [b"four".to_vec(), b"sixsix".to_vec(), Vec::new()] {
        let reply = http::presigned(&request, body).await;
        assert_eq!(reply.status, 403, "{}", reply.text());
    }
    let reply = http::send("PUT", &request.url, &[], b"first".to_vec()).await;
    assert!([400, 403].contains(&reply.status), "without its headers: {}", reply.status);
    let other = request.url.replace("a.bin", "b.bin");
    let reply = http::send("PUT", &other, &request.headers, b"first".to_vec()).await;
    assert_eq!(reply.status, 403, "{}", reply.text());

    let short = store.presign_put(&key, 5, None, Duration::from_secs(1)).await.expect("presign");
    tokio::time::sleep(Duration::from_millis(2500)).await;
    let reply = http::presigned(&short, b"first".to_vec()).await;
    assert_eq!(reply.status, 403, "{}", reply.text());
    assert_not_found(store.head(&key).await);
}

async fn an_upload_has_its_digest(store: &dyn ObjectStore, options: Options) {
    const HELLO: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    let key = upload_key("a.bin");
    let request = store.presign_put(&key, 5, Some(HELLO), MINUTE).await.expect("presign");
    let digest = request.headers.iter().find(|(name, _)| name == "x-amz-checksum-sha256");
    assert_eq!(digest.map(|(_, v)| v.as_str()), Some("LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ="));
    if options.verifies_checksums {
        let reply = http::presigned(&request, b"jello".to_vec()).await;
        assert_eq!(reply.status, 400, "{}", reply.text());
        assert_not_found(store.head(&key).await);
    }
    let reply = http::presigned(&request, b"hello".to_vec()).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(stored(store, &key).await, b"hello");
    let refused = store.presign_put(&key, 5, Some("no digest"), MINUTE).await.map(|_| ());
    assert!(matches!(refused, Err(PortError::Refused { .. })), "{refused:?}");
}

async fn a_download_is_an_attachment(store: &dyn ObjectStore, options: Options) {
    let key = ObjectKey::processed(JobId::random(), 2, "a.dxf".parse().expect("a name"));
    store.put(&key, Bytes::from_static(b"result")).await.expect("put");
    let object = store.head(&key).await.expect("head");
    let name = HARD_NAME.parse().expect("a name");
    let request = store.presign_get(&object, &name, MINUTE).await.expect("presign");
    assert_eq!((request.method, request.headers.len()), ("GET", 0), "a browser must be able to follow it");
    let reply = http::presigned(&request, Vec::new()).await;
    assert_eq!((reply.status, reply.body.as_slice()), (200, b"result".as_slice()));
    let asked =
        ["response-content-disposition=attachment%3B%20filename", "response-content-type=application%2F"];
    assert!(asked.iter().all(|query| request.url.contains(query)));
    if !options.overrides_headers {
        return;
    }
    assert_eq!(reply.header("content-type"), Some("application/octet-stream"));
    assert_eq!(
        reply.header("content-disposition"),
        Some(concat!(
            "attachment; filename=\"Pl_ne _ _Ma_e_ 100_+1 _____x_____.zip\"; ",
            "filename*=UTF-8''Pl%C3%A4ne%20&%20%3CMa%C3%9Fe%3E%20100%25+1%20%C2%AB%C3%BC%C2%BB",
            "%3B%22x%22%27%3D%3F#.zip"
        ))
    );
}

/// An object has the coding that its writer gave it, whichever way it was written, and its bytes are
/// stored as they were sent.
async fn a_coding_is_kept(store: &dyn ObjectStore) {
    let job = JobId::random();
    let key = |attempt| ObjectKey::processed(job, attempt, "a.dxf".parse().expect("a name"));
    let body = content(MIN_PART_BYTES + 10, 5);
    for (attempt, coding) in [(1, None), (2, Some(Coding::Gzip))] {
        store.put_encoded(&key(attempt), Bytes::from_static(b"0123456789"), coding).await.expect("put");
    }
    for (attempt, coding) in [(3, None), (4, Some(Coding::Gzip))] {
        let upload = store.begin_encoded(&key(attempt), coding).await.expect("begin");
        let (first, last) = body.split_at(MIN_PART_BYTES as usize);
        let mut parts = Vec::new();
        for (number, part) in [(1, first), (2, last)] {
            let part = Bytes::copy_from_slice(part);
            parts.push(store.put_part(&key(attempt), &upload, number, part).await.expect("a part"));
        }
        store.complete_multipart(&key(attempt), &upload, &parts).await.expect("complete");
    }
    for attempt in 1..=4 {
        let coding = (attempt % 2 == 0).then_some(Coding::Gzip);
        let expected = if attempt < 3 { &b"0123456789"[..] } else { &body[..] };
        let object = store.head(&key(attempt)).await.expect("head");
        assert_eq!(object.encoded, coding.map(|coding| Encoded { coding, content: None }), "{attempt}");
        assert_eq!(object.size_bytes, expected.len() as u64, "the size is that of the bytes in the store");
        assert!(stored(store, &key(attempt)).await == expected, "{attempt}: the content is another");
        let request = store.presign_get(&object, key(attempt).file(), MINUTE).await.expect("presign");
        let reply = http::presigned(&request, Vec::new()).await;
        assert_eq!((reply.status, reply.header("content-encoding")), (200, coding.map(Coding::as_str)));
        assert!(reply.body == expected, "{attempt}: the body is another");
        let range = [("range".to_owned(), "bytes=2-5".to_owned())];
        let reply = http::send("GET", &request.url, &range, Vec::new()).await;
        assert_eq!((reply.status, reply.header("content-encoding")), (206, coding.map(Coding::as_str)));
        assert_eq!(reply.body, expected[2..6], "a range is one of the bytes in the store");
    }
}

async fn parts_become_an_object(store: &dyn ObjectStore) {
    let key = upload_key(HARD_NAME);
    let upload = store.begin_multipart(&key).await.expect("begin");
    assert_eq!(store.parts(&key, &upload).await, Ok(Vec::new()));
    assert_not_found(store.head(&key).await);

    let (first, second) = (content(MIN_PART_BYTES, 3), content(1000, 4));
    let early = store.put_part(&key, &upload, 2, Bytes::from_static(b"early")).await.expect("a part");
    let last = store.put_part(&key, &upload, 2, Bytes::from(second.clone())).await.expect("it again");
    assert_eq!((last.number, last.size_bytes), (2, 1000));
    assert_ne!(early.etag, last.etag);
    let request = store.presign_part(&key, &upload, 1, MIN_PART_BYTES, MINUTE).await.expect("presign");
    assert_eq!(request.headers, []);
    let reply = http::presigned(&request, first.clone()).await;
    assert_eq!(reply.status, 200, "{}", reply.text());

    let parts = store.parts(&key, &upload).await.expect("parts");
    let told: Vec<_> = parts.iter().map(|part| (part.number, part.size_bytes)).collect();
    assert_eq!(told, [(1, MIN_PART_BYTES), (2, 1000)]);
    assert_eq!(parts[1].etag, last.etag);
    assert_eq!(reply.header("etag"), Some(parts[0].etag.as_str()));

    store.complete_multipart(&key, &upload, &parts).await.expect("complete");
    let object = store.head(&key).await.expect("head");
    assert_eq!(object.size_bytes, MIN_PART_BYTES + 1000);
    let seam = store.read(&object, MIN_PART_BYTES - 3..MIN_PART_BYTES + 3).await.expect("the seam");
    assert_eq!(seam[..], [&first[first.len() - 3..], &second[..3]].concat());
    assert!(stored(store, &key).await == [first, second].concat(), "the content is another");

    assert_not_found(store.parts(&key, &upload).await);
    // A store may remember the result of the upload; it must not create the object again.
    let again = store.complete_multipart(&key, &upload, &parts).await;
    assert!(matches!(again, Ok(()) | Err(PortError::NotFound(_) | PortError::Precondition(_))), "{again:?}");
    assert_eq!(store.head(&key).await, Ok(object));
}

async fn parts_replace_nothing(store: &dyn ObjectStore) {
    let key = upload_key("a.bin");
    let upload = store.begin_multipart(&key).await.expect("begin");
    let part = store.put_part(&key, &upload, 1, Bytes::from_static(b"parts")).await.expect("a part");
    store.put(&key, Bytes::from_static(b"first")).await.expect("put");
    assert_precondition(store.complete_multipart(&key, &upload, &[part]).await);
    assert_eq!(stored(store, &key).await, b"first");
    store.abort_multipart(&key, &upload).await.expect("abort");
    assert_eq!(stored(store, &key).await, b"first");
}

async fn an_aborted_upload_is_gone(store: &dyn ObjectStore, options: Options) {
    let key = upload_key("a.bin");
    let upload = store.begin_multipart(&key).await.expect("begin");
    let part = store.put_part(&key, &upload, 1, Bytes::from_static(b"part")).await.expect("a part");
    store.abort_multipart(&key, &upload).await.expect("abort");
    store.abort_multipart(&key, &upload).await.expect("abort once more");
    assert_not_found(store.parts(&key, &upload).await);
    let late = store.put_part(&key, &upload, 1, Bytes::from_static(b"part")).await;
    assert!(late.is_err(), "{late:?}");
    let late = store.complete_multipart(&key, &upload, &[part]).await;
    assert!(late.is_err(), "{late:?}");
    if options.tells_missing_uploads {
        assert_not_found(late);
    }
    assert_not_found(store.head(&key).await);
}

async fn an_object_is_deleted_and_no_other(store: &dyn ObjectStore) {
    let (key, other) = (upload_key("a.bin"), upload_key("a.bin"));
    for key in [&key, &other] {
        store.put(key, Bytes::from_static(b"x")).await.expect("put");
    }
    let object = store.head(&key).await.expect("head");
    store.delete(&key, object.version.as_deref()).await.expect("delete");
    assert_not_found(store.head(&key).await);
    store.delete(&key, object.version.as_deref()).await.expect("delete again");
    store.head(&other).await.expect("the other is there");
    // The key can be used again, and nothing of the old object is left.
    store.put(&key, Bytes::from_static(b"y")).await.expect("put");
    assert_eq!(store.purge(Role::Upload, key.job()).await.map(counts), Ok((1, 0)));
    store.purge(Role::Upload, other.job()).await.expect("purge");
}

/// A deletion without a version leaves a delete marker in a bucket with versions.
async fn a_key_is_free_again_after_a_deletion(store: &dyn ObjectStore, options: Options) {
    let key = upload_key("a.bin");
    store.put(&key, Bytes::from_static(b"x")).await.expect("put");
    let versions = store.head(&key).await.expect("head").version.is_some();
    store.delete(&key, None).await.expect("delete");
    assert_not_found(store.head(&key).await);
    if versions && !options.writes_over_delete_markers {
        assert_precondition(store.put(&key, Bytes::from_static(b"y")).await);
    } else {
        store.put(&key, Bytes::from_static(b"y")).await.expect("put again");
        assert_eq!(stored(store, &key).await, b"y");
    }
    store.purge(Role::Upload, key.job()).await.expect("purge");
    assert_eq!(store.purge(Role::Upload, key.job()).await, Ok(Purged::default()), "nothing is left");
}

async fn a_purge_takes_one_role_of_one_job(store: &dyn ObjectStore) {
    let (job, bystander) = (JobId::random(), upload_key("a.dxf"));
    let file = || HARD_NAME.parse().expect("a name");
    let upload = ObjectKey::upload(job, file());
    let results = [1, 2, 3].map(|attempt| ObjectKey::processed(job, attempt, file()));
    for key in results.iter().chain([&upload, &bystander]) {
        store.put(key, Bytes::from_static(b"x")).await.expect("put");
    }
    let unfinished = ObjectKey::processed(job, 4, file());
    let begun = store.begin_multipart(&unfinished).await.expect("begin");
    store.put_part(&unfinished, &begun, 1, Bytes::from_static(b"part")).await.expect("a part");
    let untouched = store.begin_multipart(&upload).await.expect("begin");
    let listed = store.stored().await.expect("a list");
    assert!(listed.contains(&job) && listed.contains(&bystander.job()), "{listed:?}");

    assert_eq!(store.purge(Role::Processed, job).await.map(counts), Ok((3, 1)));
    for key in &results {
        assert_not_found(store.head(key).await);
    }
    assert_not_found(store.parts(&unfinished, &begun).await);
    assert_eq!(store.parts(&upload, &untouched).await, Ok(Vec::new()));
    assert_eq!(stored(store, &upload).await, b"x");
    assert_eq!(store.purge(Role::Processed, job).await, Ok(Purged::default()));

    assert_eq!(store.purge(Role::Upload, job).await.map(counts), Ok((1, 1)));
    assert_not_found(store.head(&upload).await);
    assert_eq!(stored(store, &bystander).await, b"x");
    let listed = store.stored().await.expect("a list");
    assert!(!listed.contains(&job) && listed.contains(&bystander.job()), "{listed:?}");
}

async fn lifetimes_have_limits(store: &dyn ObjectStore) {
    let key = upload_key("a.bin");
    let now = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a time");
    let before = now().as_millis() as u64;
    let request = store.presign_put(&key, 5, None, MINUTE).await.expect("presign");
    let after = now().as_millis() as u64;
    assert!((before + 59_000..=after + 60_000).contains(&request.expires), "{}", request.expires);
    for bad in [Duration::ZERO, Duration::from_secs(8 * 24 * 60 * 60)] {
        let refused = store.presign_put(&key, 5, None, bad).await.map(|_| ());
        assert!(matches!(refused, Err(PortError::Refused { .. })), "{refused:?}");
    }
}
