//! Multipart uploads, with lost replies, missing parts and repeated requests.

use crate::support::{ANN, Answer, START, World, id_of, object, shown, snapshot, world, world_with};
use cadmill_core::domain::ids::{JobId, ObjectKey};
use cadmill_core::domain::state::Event;
use serde_json::{Value, json};
use std::sync::atomic::Ordering;

const PART: u64 = 5 << 20;
/// Three parts, the last of one byte.
const SIZE: u64 = 2 * PART + 1;

fn small_parts() -> World {
    world_with(|settings| {
        settings.config.multipart_threshold_bytes = PART;
        settings.config.part_size_bytes = PART;
    })
}

fn large(size: u64) -> Value {
    json!({"file_name": "town.zip", "size_bytes": size, "target_format": "dxf"})
}

async fn call(world: &World, method: &str, id: JobId, rest: &str) -> Answer {
    world.call(ANN, method, &format!("/api/jobs/{id}{rest}"), None).await
}

/// Places a part as a client's PUT would.
fn put(world: &World, number: u32, size: u64) {
    let mut uploads = world.shelf.uploads.lock().unwrap();
    uploads.values_mut().next().unwrap().1.insert(number, size);
}

fn put_all(world: &World) {
    put(world, 1, PART);
    put(world, 2, PART);
    put(world, 3, 1);
}

#[tokio::test]
async fn a_large_file_comes_in_parts() {
    let world = small_parts();
    let made = world.new_job(large(SIZE)).await;
    snapshot!("job_made_in_parts", made);
    let id = id_of(&made);
    put(&world, 2, PART);
    snapshot!("parts_that_have_arrived", call(&world, "GET", id, "/uploads/parts?from=3").await);
    snapshot!("complete_with_missing_parts", call(&world, "POST", id, "/uploads/complete").await);
    put_all(&world);
    for _ in 0..2 {
        let done = call(&world, "POST", id, "/uploads/complete").await;
        assert_eq!((done.status.as_u16(), &done.body["state"]), (200, &json!("PENDING")));
    }
    assert_eq!(world.shelf.objects.lock().unwrap().values().copied().collect::<Vec<_>>(), [SIZE]);
    snapshot!("parts_of_a_complete_upload", call(&world, "GET", id, "/uploads/parts").await);
}

#[tokio::test]
async fn parts_of_the_wrong_size_are_no_parts() {
    let world = small_parts();
    let id = id_of(&world.new_job(large(SIZE)).await);
    put_all(&world);
    put(&world, 1, PART - 1);
    put(&world, 4, 1);
    snapshot!("complete_with_wrong_parts", call(&world, "POST", id, "/uploads/complete").await);
    assert!(world.shelf.objects.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_lost_reply_changes_nothing() {
    let world = small_parts();
    let id = id_of(&world.new_job(large(SIZE)).await);
    put_all(&world);
    world.shelf.lose_reply.store(true, Ordering::SeqCst);
    assert_eq!(call(&world, "POST", id, "/uploads/complete").await.status, 200);
    // Meanwhile the store's event has arrived, and the worker has claimed the job.
    let object = object(ObjectKey::upload(id, "town.zip".parse().unwrap()), SIZE);
    world.happen(id, Event::Uploaded { object, sequencer: "A".to_owned(), at: None }).await;
    assert_eq!(call(&world, "POST", id, "/uploads/complete").await.status, 200);
    snapshot!("upload_that_has_arrived", call(&world, "GET", id, "/uploads").await);
    snapshot!("abort_of_what_has_arrived", call(&world, "POST", id, "/uploads/abort").await);
}

#[tokio::test]
async fn an_object_of_another_size_is_not_the_file() {
    let world = small_parts();
    let id = id_of(&world.new_job(large(SIZE)).await);
    let key = ObjectKey::upload(id, "town.zip".parse().unwrap()).to_string();
    world.shelf.objects.lock().unwrap().insert(key, 7);
    put_all(&world);
    snapshot!("complete_over_another_object", call(&world, "POST", id, "/uploads/complete").await);
}

#[tokio::test]
async fn a_small_file_is_completed_too() {
    let world = small_parts();
    let id = id_of(&world.new_job(large(PART)).await);
    snapshot!("complete_before_the_upload", call(&world, "POST", id, "/uploads/complete").await);
    snapshot!("parts_of_a_single_upload", call(&world, "GET", id, "/uploads/parts").await);
    let key = ObjectKey::upload(id, "town.zip".parse().unwrap()).to_string();
    world.shelf.objects.lock().unwrap().insert(key, PART);
    assert_eq!(call(&world, "POST", id, "/uploads/complete").await.status, 200);
}

#[tokio::test]
async fn an_ended_job_takes_no_file() {
    let world = small_parts();
    let id = id_of(&world.new_job(large(SIZE)).await);
    put_all(&world);
    assert_eq!(call(&world, "DELETE", id, "").await.status, 200);
    assert!(world.shelf.uploads.lock().unwrap().is_empty());
    snapshot!("complete_after_cancel", call(&world, "POST", id, "/uploads/complete").await);
    snapshot!("upload_after_cancel", call(&world, "GET", id, "/uploads").await);
    assert_eq!(call(&world, "GET", id, "/uploads/parts").await.status, 409);
    assert_eq!(call(&world, "POST", id, "/uploads/abort").await.status, 204);
}

#[tokio::test]
async fn an_upload_is_given_up_and_begun_again() {
    let world = small_parts();
    let id = id_of(&world.new_job(large(SIZE)).await);
    let before = world.read(id).await.multipart.unwrap();
    put(&world, 1, PART);
    for _ in 0..2 {
        assert_eq!(call(&world, "POST", id, "/uploads/abort").await.status, 204);
    }
    assert!(world.shelf.uploads.lock().unwrap().is_empty());
    let again = call(&world, "GET", id, "/uploads").await;
    assert_eq!(again.body["kind"], "multipart");
    assert_ne!(world.read(id).await.multipart.unwrap(), before);
    put_all(&world);
    assert_eq!(call(&world, "POST", id, "/uploads/complete").await.status, 200);
}

/// The store refuses to complete the upload because of another request, or has dropped it: the next
/// request for the upload begins a new one.
#[tokio::test]
async fn an_upload_that_can_never_be_completed_is_begun_again() {
    for is_dropped in [false, true] {
        let world = small_parts();
        let id = id_of(&world.new_job(large(SIZE)).await);
        let before = world.read(id).await.multipart.unwrap();
        put_all(&world);
        if is_dropped {
            world.shelf.uploads.lock().unwrap().clear();
        } else {
            world.shelf.conflict.store(true, Ordering::SeqCst);
        }
        let refused = call(&world, "POST", id, "/uploads/complete").await;
        assert_eq!((refused.status.as_u16(), &refused.body["code"]), (409, &json!("upload.incomplete")));
        assert_eq!(refused.body["arrived_bytes"], json!(0));
        assert_eq!(world.read(id).await.multipart, None);
        assert!(world.shelf.uploads.lock().unwrap().is_empty(), "it is aborted");
        let again = call(&world, "GET", id, "/uploads").await;
        assert_eq!(again.body["kind"], "multipart");
        assert_ne!(world.read(id).await.multipart.unwrap(), before);
        put_all(&world);
        assert_eq!(call(&world, "POST", id, "/uploads/complete").await.status, 200);
    }
}

/// The other request was the same one: the object is there.
#[tokio::test]
async fn a_conflict_with_the_same_request_is_no_failure() {
    let world = small_parts();
    let id = id_of(&world.new_job(large(SIZE)).await);
    put_all(&world);
    let key = ObjectKey::upload(id, "town.zip".parse().unwrap()).to_string();
    world.shelf.objects.lock().unwrap().insert(key, SIZE);
    world.shelf.conflict.store(true, Ordering::SeqCst);
    assert_eq!(call(&world, "POST", id, "/uploads/complete").await.status, 200);
    assert!(world.read(id).await.multipart.is_some(), "the record stays as it is");
}

#[tokio::test]
async fn of_many_that_begin_at_once_one_upload_stays() {
    let world = small_parts();
    let id = id_of(&world.new_job(large(SIZE)).await);
    call(&world, "POST", id, "/uploads/abort").await;
    let all = (0..8).map(|_| call(&world, "GET", id, "/uploads"));
    for answer in futures_util::future::join_all(all).await {
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
    let kept = world.read(id).await.multipart.unwrap().upload_id;
    let there: Vec<String> = world.shelf.uploads.lock().unwrap().keys().cloned().collect();
    assert_eq!(there, [kept]);
}

#[tokio::test]
async fn urls_come_in_batches() {
    let world = small_parts();
    let made = world.new_job(large(250 * PART)).await;
    let id = id_of(&made);
    assert_eq!(made.body["upload"]["part_count"], 250);
    assert_eq!(made.body["upload"]["parts"].as_array().unwrap().len(), 100);
    assert_eq!(made.body["upload"]["next_part_number"], 101);
    let mut from = json!(101);
    let mut seen = 100;
    while let Some(number) = from.as_u64() {
        let batch = call(&world, "GET", id, &format!("/uploads/parts?from={number}")).await;
        let parts = batch.body["parts"].as_array().unwrap().clone();
        assert!(parts.len() <= 100);
        assert_eq!(parts[0]["part_number"], json!(seen + 1));
        seen += parts.len();
        from = batch.body["next_part_number"].clone();
    }
    assert_eq!(seen, 250);
    let beyond = call(&world, "GET", id, "/uploads/parts?from=251").await;
    assert_eq!(shown(&beyond)["body"], json!({"parts": [], "uploaded": [], "next_part_number": null}));
    assert_eq!(made.body["upload"]["parts"][0]["expires_at"], "2023-11-14T22:14:40.000Z");
    assert_eq!(START, 1_700_000_000_000);
}

#[tokio::test]
async fn the_threshold_itself_is_one_request() {
    for (size, kind) in [(PART, "single"), (PART + 1, "multipart")] {
        assert_eq!(small_parts().new_job(large(size)).await.body["upload"]["kind"], kind, "{size}");
    }
    assert_eq!(world().new_job(large(64 << 20)).await.body["upload"]["kind"], "single");
}
