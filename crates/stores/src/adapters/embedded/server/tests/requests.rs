//! Objects written in one request, and who may send it.

use super::client::*;
use crate::adapters::embedded::server::*;
use aws_sdk_s3::presigning::PresigningConfig;
use cadmill_core::domain::ids::{JobId, ObjectKey, Role};

#[tokio::test]
async fn a_presigned_upload_is_good_once_and_for_its_size() {
    let world = world().await;
    let key = upload("part.zip");
    let request = world.presigned(&key, 5).await;
    let headers = signed(&request);
    let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
    assert!(names.contains(&"if-none-match") && names.contains(&"content-length"), "{names:?}");

    let without = |name: &str| -> Vec<(&str, &str)> {
        headers.iter().filter(|(known, _)| *known != name).copied().collect()
    };
    let mut longer = without("content-length");
    longer.push(("content-length", "6"));
    let answer = send(request.uri(), "PUT", &longer, b"123456").await;
    assert_eq!(answer.status, 403, "another size than was signed: {}", answer.head);
    let answer = send(request.uri(), "PUT", &without("if-none-match"), b"12345").await;
    assert_eq!(answer.status, 403, "the condition was signed too");
    assert_eq!(world.get(&key, None).await, Err("NoSuchKey".to_owned()));

    let answer = send(request.uri(), "PUT", &headers, b"12345").await;
    assert_eq!(answer.status, 200, "{}", answer.head);
    let answer = send(request.uri(), "PUT", &headers, b"54321").await;
    assert_eq!(answer.status, 412, "there is one already: {}", answer.head);
    assert_eq!(world.get(&key, None).await.as_deref(), Ok(&b"12345"[..]));
    assert_eq!(world.files(), 1, "nothing is left of what was refused");
}

#[tokio::test]
async fn ranges_and_conditions_of_reads_hold() {
    let world = world().await;
    let (key, empty) = (upload("part.zip"), upload("empty"));
    world.put(&key, b"0123456789").await.unwrap();
    world.put(&empty, b"").await.unwrap();
    assert_eq!(world.get(&empty, None).await.as_deref(), Ok(&b""[..]));
    for (range, expected) in
        [("bytes=0-0", "0"), ("bytes=2-5", "2345"), ("bytes=7-", "789"), ("bytes=-2", "89")]
    {
        assert_eq!(world.get(&key, Some(range)).await.as_deref(), Ok(expected.as_bytes()), "{range}");
    }
    assert_eq!(world.get(&key, Some("bytes=10-12")).await, Err("InvalidRange".to_owned()));

    let head = world.s3.head_object().bucket(BUCKET).key(key.to_string()).send().await.unwrap();
    let etag = head.e_tag().unwrap().to_owned();
    assert_eq!((head.content_length(), etag.as_str()), (Some(10), "\"781e5e245d69b566979b86e28d23f2c7\""));
    let get = || world.s3.get_object().bucket(BUCKET).key(key.to_string());
    assert!(get().if_match(&etag).send().await.is_ok());
    let other = get().if_match("\"00\"").send().await;
    assert_eq!(other.map(drop).map_err(|error| code(&error)), Err("PreconditionFailed".to_owned()));
    let missing = world.s3.head_object().bucket(BUCKET).key(upload("x").to_string()).send().await;
    assert!(missing.unwrap_err().into_service_error().is_not_found());
}

#[tokio::test]
async fn a_presigned_download_is_an_attachment() {
    let world = world().await;
    let key = ObjectKey::processed(JobId::random(), 1, "part.dxf".parse().unwrap());
    world.put(&key, b"0123456789").await.unwrap();
    let request = world
        .s3
        .get_object()
        .bucket(BUCKET)
        .key(key.to_string())
        .response_content_disposition("attachment; filename=\"part.dxf\"")
        .presigned(PresigningConfig::expires_in(MINUTE).unwrap())
        .await
        .unwrap();
    let answer = send(request.uri(), "GET", &[("range", "bytes=1-3")], b"").await;
    assert_eq!((answer.status, answer.body.as_slice()), (206, &b"123"[..]));
    assert!(
        answer.head.contains("content-disposition: attachment; filename=\"part.dxf\""),
        "{}",
        answer.head
    );
    let changed = request.uri().replace("part.dxf%22", "else.dxf%22");
    assert_eq!(send(&changed, "GET", &[], b"").await.status, 403, "the name was signed");
}

#[tokio::test]
async fn any_file_name_is_held() {
    let world = world().await;
    let long = ["x".repeat(255), "ä".repeat(127), format!("{}.zip", "long ".repeat(50))];
    let names = [
        "a%2fb",
        "a%2Fb",
        "a%252Fb",
        "...",
        "trailing.",
        "trailing ",
        " leading",
        ".hidden",
        "a+b",
        "a b&c=d?e#f",
        "Gerät Übersicht.zip",
        "图纸.zip",
        "\u{1f600}",
        "e\u{301}",
        "\u{e9}",
        "~",
        "-",
        "CON",
        "a:b*c|d\"e<f>g",
        "\u{202e}gpj.exe",
        ".upload_id-x.part-1",
        "objects.sqlite",
    ];
    for name in names.into_iter().chain(long.iter().map(String::as_str)) {
        let key = upload(name);
        assert_eq!(world.put(&key, name.as_bytes()).await, Ok(()), "{name}");
        assert_eq!(world.get(&key, None).await.as_deref(), Ok(name.as_bytes()), "{name}");
        let prefix = ObjectKey::prefix(Role::Upload, key.job());
        assert_eq!(world.keys(&prefix).await, [key.to_string()], "{name}");
        let request = world.presigned(&key, 1).await;
        assert_eq!(send(request.uri(), "PUT", &signed(&request), b"x").await.status, 412, "{name}");
    }
    // Names that differ only in case or normalization form are different names.
    let job = JobId::random();
    for name in ["a.zip", "A.zip", "\u{e9}", "e\u{301}"] {
        world.put(&ObjectKey::upload(job, name.parse().unwrap()), b"x").await.unwrap();
    }
    assert_eq!(world.keys(&ObjectKey::prefix(Role::Upload, job)).await.len(), 4);
    // A key that XML cannot represent could not be listed, so it is refused at once.
}

#[tokio::test]
async fn nothing_but_cadmills_keys_in_its_bucket_is_served() {
    let world = world().await;
    for key in ["x", "uploads/x", "../../etc/passwd", "uploads/../jobs.sqlite"] {
        let put = world.s3.put_object().bucket(BUCKET).key(key).body(b"x".to_vec().into()).send().await;
        assert!(put.is_err(), "{key}");
    }
    let other = world.s3.head_bucket().bucket("other").send().await;
    assert!(other.is_err());
    assert!(world.s3.head_bucket().bucket(BUCKET).send().await.is_ok());
    let acl = world.s3.get_bucket_acl().bucket(BUCKET).send().await;
    assert_eq!(acl.map(drop).map_err(|error| code(&error)), Err("NotImplemented".to_owned()));
    assert_eq!(world.files(), 0);
}

#[tokio::test]
async fn who_has_not_the_keys_is_refused() {
    let world = world().await;
    let key = upload("part.zip");
    world.put(&key, b"x").await.unwrap();
    let stranger = client(&world.server, "not the secret");
    let get = stranger.get_object().bucket(BUCKET).key(key.to_string()).send().await;
    assert_eq!(get.map(drop).map_err(|error| code(&error)), Err("SignatureDoesNotMatch".to_owned()));
    let url = format!("{}/{BUCKET}/{key}", world.server.endpoint());
    for method in ["GET", "PUT", "DELETE", "HEAD"] {
        assert_eq!(send(&url, method, &[("content-length", "0")], b"").await.status, 403, "{method}");
    }
    let listing = format!("{}/{BUCKET}?list-type=2", world.server.endpoint());
    assert_eq!(send(&listing, "GET", &[], b"").await.status, 403);
}

#[tokio::test]
async fn what_is_not_what_the_client_said_is_refused() {
    let world = world().await;
    let key = upload("part.zip");
    let put = || world.s3.put_object().bucket(BUCKET).key(key.to_string());
    let digest = "LCa0a2j/xo/5m0U8HTBBNBNCLXBkg7+g+YpeiGJm564=";
    let config = || PresigningConfig::expires_in(MINUTE).unwrap();
    let request = put().content_length(3).checksum_sha256(digest).presigned(config()).await.unwrap();
    let answer = send(request.uri(), "PUT", &signed(&request), b"bar").await;
    assert_eq!(answer.status, 400, "another digest: {}", answer.head);
    // A body that ends early.
    let request_of_ten = world.presigned(&key, 10).await;
    let rest = request_of_ten.uri().strip_prefix("http://").unwrap();
    let (host, path) = rest.split_at(rest.find('/').unwrap());
    let mut head = format!("PUT {path} HTTP/1.1\r\nhost: {host}\r\n");
    signed(&request_of_ten).iter().for_each(|(name, value)| head += &format!("{name}: {value}\r\n"));
    let mut stream = TcpStream::connect(host).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stream, format!("{head}\r\n12345").as_bytes()).await.unwrap();
    drop(stream);

    assert_eq!(world.get(&key, None).await, Err("NoSuchKey".to_owned()));
    for _ in 0..100 {
        if world.files() == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(world.files(), 0, "nothing is left of it");
    let answer = send(request.uri(), "PUT", &signed(&request), b"foo").await;
    assert_eq!(answer.status, 200, "{}", answer.head);
}

#[tokio::test]
async fn of_many_who_write_at_once_one_wins() {
    let world = world().await;
    let key = upload("part.zip");
    let bodies: Vec<Vec<u8>> = (0..20).map(|n| vec![n; 100_000]).collect();
    let answers = futures_util::future::join_all(bodies.iter().map(|body| world.put(&key, body))).await;
    let winners: Vec<_> = answers.iter().zip(&bodies).filter(|(answer, _)| answer.is_ok()).collect();
    assert_eq!(winners.len(), 1, "{answers:?}");
    let lost = |answer: &&Result<(), String>| **answer == Err("PreconditionFailed".to_owned());
    assert_eq!(answers.iter().filter(lost).count(), 19);
    assert_eq!(world.get(&key, None).await.as_ref(), Ok(winners[0].1));
    assert_eq!(world.files(), 1);
}

#[tokio::test]
async fn listings_come_in_pages_and_deleting_removes_the_files() {
    let world = world().await;
    let job = JobId::random();
    let mut keys: Vec<ObjectKey> =
        ["c", "a", "b"].map(|name| ObjectKey::upload(job, name.parse().unwrap())).into();
    for key in keys.iter().chain([&upload("other")]) {
        world.put(key, b"x").await.unwrap();
    }
    keys.sort_by_key(ToString::to_string);
    let (mut found, mut token) = (Vec::new(), None);
    loop {
        let list = world.s3.list_objects_v2().bucket(BUCKET).prefix(ObjectKey::prefix(Role::Upload, job));
        let page = list.max_keys(2).set_continuation_token(token).send().await.unwrap();
        found.extend(page.contents().iter().map(|object| object.key().unwrap().to_owned()));
        token = page.next_continuation_token().map(str::to_owned);
        if token.is_none() {
            break;
        }
    }
    assert_eq!(found, keys.iter().map(ToString::to_string).collect::<Vec<_>>());
    let versions = world.s3.list_object_versions().bucket(BUCKET).send().await.unwrap();
    assert_eq!(versions.versions().len(), 4);
    for version in versions.versions() {
        let delete = world.s3.delete_object().bucket(BUCKET).key(version.key().unwrap());
        delete.set_version_id(version.version_id().map(str::to_owned)).send().await.unwrap();
    }
    assert_eq!((world.files(), world.keys("").await.len()), (0, 0));
    let again = world.s3.delete_object().bucket(BUCKET).key(keys[0].to_string()).send().await;
    assert!(again.is_ok(), "deleting nothing is no error");
}

#[tokio::test]
async fn browsers_of_allowed_origins_may_upload() {
    let world = world().await;
    let request = world.presigned(&upload("part.zip"), 5).await;
    let ask = |origin| {
        let headers = [
            ("origin", origin),
            ("access-control-request-method", "PUT"),
            ("access-control-request-headers", "if-none-match"),
        ];
        async move { headers }
    };
    let answer = send(request.uri(), "OPTIONS", &ask("https://cad.example").await, b"").await;
    assert_eq!(answer.status, 200, "{}", answer.head);
    for line in [
        "access-control-allow-origin: https://cad.example",
        "access-control-allow-headers: if-none-match",
        "access-control-allow-methods: get, head, put",
    ] {
        assert!(answer.head.contains(line), "{}", answer.head);
    }
    let answer = send(request.uri(), "OPTIONS", &ask("https://evil.example").await, b"").await;
    assert_eq!(answer.status, 403);
    assert!(!answer.head.contains("access-control-allow"), "{}", answer.head);

    let mut headers = signed(&request);
    headers.push(("origin", "https://cad.example"));
    let answer = send(request.uri(), "PUT", &headers, b"12345").await;
    assert_eq!(answer.status, 200);
    assert!(answer.head.contains("access-control-allow-origin: https://cad.example"), "{}", answer.head);
    assert!(answer.head.contains("access-control-expose-headers: etag"), "{}", answer.head);
}

/// An index of an earlier build has no column for the coding. Its objects are served as before, and
/// new ones have their coding.
#[tokio::test]
async fn an_index_of_an_earlier_build_is_extended() {
    let world = world().await;
    let (old, new) = (upload("old.dxf"), upload("new.dxf"));
    world.put(&old, b"kept").await.unwrap();
    let unfinished = upload("begun.dxf");
    let begun = world.begin(&unfinished).await;
    let World { directory, database, server, .. } = world;
    server.stop().await;
    drop(database);
    let index = data(&directory).join("objects.sqlite");
    for _ in 0..3000 {
        if !index.with_extension("sqlite-wal").exists() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let connection = rusqlite::Connection::open(&index).unwrap();
    for table in ["objects", "uploads"] {
        connection.execute_batch(&format!("ALTER TABLE {table} DROP COLUMN encoding")).unwrap();
    }
    drop(connection);

    let world = world_in(directory).await.again().await;
    assert_eq!(world.get(&old, None).await.as_deref(), Ok(&b"kept"[..]));
    let put = world.s3.put_object().bucket(BUCKET).key(new.to_string()).content_encoding("gzip, aws-chunked");
    put.body(b"new".to_vec().into()).send().await.unwrap();
    let coding = async |key: &ObjectKey| {
        let head = world.s3.head_object().bucket(BUCKET).key(key.to_string()).send().await.unwrap();
        head.content_encoding
    };
    assert_eq!((coding(&old).await, coding(&new).await.as_deref()), (None, Some("gzip")));
    let parts = world.s3.list_parts().bucket(BUCKET).key(unfinished.to_string()).upload_id(begun);
    assert!(parts.send().await.is_ok(), "an unfinished upload is still there");
}
