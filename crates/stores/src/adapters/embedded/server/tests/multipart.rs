//! Multipart objects.

use super::client::*;
use crate::adapters::embedded::server::*;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use cadmill_core::domain::ids::ObjectKey;

const PART: usize = 5 << 20;

async fn part(
    world: &World,
    key: &ObjectKey,
    id: &str,
    number: i32,
    body: Vec<u8>,
) -> Result<String, String> {
    let put = world.s3.upload_part().bucket(BUCKET).key(key.to_string()).upload_id(id).part_number(number);
    let reply = put.body(body.into()).send().await.map_err(|error| code(&error))?;
    Ok(reply.e_tag.unwrap())
}

async fn complete(
    world: &World,
    key: &ObjectKey,
    id: &str,
    parts: &[(i32, String)],
) -> Result<String, String> {
    let mut list = CompletedMultipartUpload::builder();
    for (number, etag) in parts {
        list = list.parts(CompletedPart::builder().part_number(*number).e_tag(etag).build());
    }
    let complete = world.s3.complete_multipart_upload().bucket(BUCKET).key(key.to_string()).upload_id(id);
    let complete = complete.if_none_match("*").multipart_upload(list.build());
    complete.send().await.map(|reply| reply.e_tag.unwrap()).map_err(|error| code(&error))
}

async fn listed(world: &World, key: &ObjectKey, id: &str) -> Result<Vec<(i32, String, i64)>, String> {
    let list = world.s3.list_parts().bucket(BUCKET).key(key.to_string()).upload_id(id).send().await;
    let list = list.map_err(|error| code(&error))?;
    let row = |part: &aws_sdk_s3::types::Part| {
        (part.part_number().unwrap(), part.e_tag().unwrap().to_owned(), part.size().unwrap())
    };
    Ok(list.parts().iter().map(row).collect())
}

#[tokio::test]
async fn parts_make_an_object() {
    let world = world().await;
    let key = upload("big.zip");
    let id = world.begin(&key).await;
    assert_eq!(listed(&world, &key, &id).await, Ok(vec![]));
    part(&world, &key, &id, 2, vec![9; 10]).await.unwrap();
    let first = part(&world, &key, &id, 1, vec![1; PART]).await.unwrap();
    let second = part(&world, &key, &id, 2, b"abc".to_vec()).await.unwrap();
    part(&world, &key, &id, 7, b"not used".to_vec()).await.unwrap();
    assert_eq!(world.files(), 3, "the part that was sent again took the place of the first");
    let parts = listed(&world, &key, &id).await.unwrap();
    assert_eq!(parts[..2], [(1, first.clone(), PART as i64), (2, second.clone(), 3)]);

    let wanted = [(1, first), (2, second)];
    let etag = complete(&world, &key, &id, &wanted).await.unwrap();
    assert!(etag.ends_with("-2\""), "{etag}");
    assert_eq!(world.files(), 2, "the part that was not used is gone");
    assert_eq!(complete(&world, &key, &id, &wanted).await, Err("NoSuchUpload".to_owned()));
    assert_eq!(listed(&world, &key, &id).await, Err("NoSuchUpload".to_owned()));
    assert_eq!(part(&world, &key, &id, 3, vec![]).await, Err("NoSuchUpload".to_owned()));

    let whole = world.get(&key, None).await.unwrap();
    assert_eq!((whole.len(), &whole[PART..]), (PART + 3, &b"abc"[..]));
    let border = format!("bytes={}-{}", PART - 2, PART);
    assert_eq!(world.get(&key, Some(&border)).await.as_deref(), Ok(&[1, 1, b'a'][..]));
    assert_eq!(world.get(&key, Some("bytes=-1")).await.as_deref(), Ok(&b"c"[..]));

    // The same after a restart.
    let world = world.again().await;
    assert_eq!(world.get(&key, None).await.as_ref(), Ok(&whole));
}

/// The ETag equals that of S3: the MD5 of the parts' MD5s, as computed by `md5sum`.
#[tokio::test]
async fn an_object_of_one_part_has_the_etag_of_s3() {
    let world = world().await;
    let key = upload("small.zip");
    let id = world.begin(&key).await;
    let etag = part(&world, &key, &id, 1, b"0123456789".to_vec()).await.unwrap();
    assert_eq!(etag, "\"781e5e245d69b566979b86e28d23f2c7\"");
    let whole = complete(&world, &key, &id, &[(1, etag)]).await.unwrap();
    // printf '\x78\x1e\x5e\x24\x5d\x69\xb5\x66\x97\x9b\x86\xe2\x8d\x23\xf2\xc7' | md5sum
    assert_eq!(whole, "\"8e938564cd1410f0ec1c1781466a6738-1\"");
}

#[tokio::test]
async fn an_upload_is_completed_as_it_is_said_or_not_at_all() {
    let world = world().await;
    let (key, other) = (upload("big.zip"), upload("other.zip"));
    let id = world.begin(&key).await;
    let small = part(&world, &key, &id, 1, b"small".to_vec()).await.unwrap();
    let last = part(&world, &key, &id, 2, b"last".to_vec()).await.unwrap();
    let (small, last) = ((1, small), (2, last));
    let wrong = (2, small.1.clone());
    let attempts = [
        (vec![small.clone(), last.clone()], "EntityTooSmall"),
        (vec![last.clone(), small.clone()], "InvalidPartOrder"),
        (vec![last.clone(), last.clone()], "InvalidPartOrder"),
        (vec![small.clone(), wrong], "InvalidPart"),
        (vec![(3, last.1.clone())], "InvalidPart"),
    ];
    for (parts, expected) in attempts {
        assert_eq!(complete(&world, &key, &id, &parts).await, Err(expected.to_owned()));
    }
    assert!(complete(&world, &key, &id, &[]).await.is_err());
    assert_eq!(
        complete(&world, &other, &id, std::slice::from_ref(&last)).await,
        Err("NoSuchUpload".to_owned())
    );
    assert_eq!(part(&world, &key, &id, 10_001, vec![]).await, Err("InvalidArgument".to_owned()));
    assert_eq!(part(&world, &other, &id, 1, vec![]).await, Err("NoSuchUpload".to_owned()));

    world.put(&key, b"another").await.unwrap();
    assert_eq!(
        complete(&world, &key, &id, std::slice::from_ref(&last)).await,
        Err("PreconditionFailed".to_owned())
    );
    assert_eq!(listed(&world, &key, &id).await.map(|parts| parts.len()), Ok(2), "the upload is still there");
    assert_eq!(world.get(&key, None).await.as_deref(), Ok(&b"another"[..]));
}

#[tokio::test]
async fn an_upload_that_is_given_up_leaves_nothing() {
    let world = world().await;
    let key = upload("big.zip");
    let ids = [world.begin(&key).await, world.begin(&key).await];
    for id in &ids {
        part(&world, &key, id, 1, b"x".to_vec()).await.unwrap();
    }
    // Found under its prefix, in pages, also after a restart.
    let world = world.again().await;
    let (mut found, mut after) = (Vec::new(), (None, None));
    loop {
        let list = world.s3.list_multipart_uploads().bucket(BUCKET).prefix("uploads/").max_uploads(1);
        let page = list.set_key_marker(after.0).set_upload_id_marker(after.1).send().await.unwrap();
        found.extend(page.uploads().iter().map(|upload| upload.upload_id().unwrap().to_owned()));
        after = (page.next_key_marker, page.next_upload_id_marker);
        if page.is_truncated != Some(true) {
            break;
        }
    }
    found.sort();
    let mut sorted = ids.clone();
    sorted.sort();
    assert_eq!(found, sorted);

    let abort =
        |id: &str| world.s3.abort_multipart_upload().bucket(BUCKET).key(key.to_string()).upload_id(id).send();
    for id in &ids {
        abort(id).await.unwrap();
    }
    assert_eq!(world.files(), 0);
    let again = abort(&ids[0]).await.map(drop).map_err(|error| code(&error));
    assert_eq!(again, Err("NoSuchUpload".to_owned()));
}

#[tokio::test]
async fn of_many_who_complete_at_once_one_wins() {
    let world = world().await;
    let key = upload("big.zip");
    let mut uploads = Vec::new();
    for n in 0..8 {
        let id = world.begin(&key).await;
        let etag = part(&world, &key, &id, 1, vec![n; 1000]).await.unwrap();
        uploads.push((id, vec![(1, etag)]));
    }
    let all = uploads.iter().map(|(id, parts)| complete(&world, &key, id, parts));
    let answers = futures_util::future::join_all(all).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1, "{answers:?}");
    assert_eq!(world.notices(1).await.len(), 1);
}
