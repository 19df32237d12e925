//! The adapters with the permissions of the deployment and no others: before the emulator stands
//! the proxy that refuses as AWS does.

use super::super::*;
use crate::conformance::http;
use crate::conformance::iam::policy::{Grant, Policy};
use crate::conformance::iam::proxy::Proxy;
use crate::conformance::job_store::all_due;
use crate::conformance::moto::{Moto, World};
use crate::conformance::object_store::counts;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_s3::types::{BucketVersioningStatus, VersioningConfiguration};
use bytes::Bytes;
use cadmill_core::domain::ids::{JobId, ObjectKey, Role};
use cadmill_core::ports::{EventQueue, JobStore, ObjectStore, PortError};

/// The services, and a program that is refused what its policies do not grant.
struct Cloud {
    proxy: Proxy,
    world: World,
    /// Without the proxy.
    admin: S3Store,
}

impl Cloud {
    async fn new(moto: &Moto) -> Self {
        let world = moto.world().await;
        let proxy = Proxy::start(moto.endpoint()).await;
        let admin = S3Store::new(world.objects.clone()).await;
        Self { proxy, world, admin }
    }

    fn policy(&self, program: &str) -> Policy {
        self.world.resources().policy(program)
    }

    /// The services for a program with these policies.
    fn world(&self, program: &str, policies: Vec<Policy>) -> World {
        self.proxy.attach(program, policies);
        self.world.through(&self.proxy.endpoint(), program)
    }

    async fn store(&self, program: &str, policies: Vec<Policy>) -> S3Store {
        S3Store::new(self.world(program, policies).objects).await
    }

    /// The store of a program with the policy of its name.
    async fn own(&self, program: &str) -> S3Store {
        self.store(program, vec![self.policy(program)]).await
    }

    async fn keep_versions(&self, status: BucketVersioningStatus) {
        let keep = VersioningConfiguration::builder().status(status).build();
        let put = self.admin.client.put_bucket_versioning().bucket(&self.admin.bucket);
        put.versioning_configuration(keep).send().await.expect("versioning");
    }

    fn has_used(&self, sid: &str, action: &str) -> bool {
        let grant = Grant { policy: "cleanup".to_owned(), sid: sid.to_owned(), action: action.to_owned() };
        self.proxy.used().contains(&grant)
    }

    /// Versions and markers under the job's prefix.
    async fn left(&self, key: &ObjectKey) -> usize {
        let list = self.admin.client.list_object_versions().bucket(&self.admin.bucket);
        let page = list.prefix(ObjectKey::prefix(Role::Upload, key.job())).send().await.expect("a list");
        page.versions().len() + page.delete_markers().len()
    }
}

fn key() -> ObjectKey {
    ObjectKey::upload(JobId::random(), "Pläne 1+1.zip".parse().unwrap())
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, PortError>, expected: &str) {
    let error = result.unwrap_err();
    assert!(matches!(error, PortError::Refused { .. }), "{error:?}");
    assert!(error.to_string().contains(expected), "{error}");
}

/// One emulator for all, because it takes longer to start than they take.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_adapters_keep_to_the_permissions_of_the_deployment() {
    let moto = &Moto::start().await;
    what_is_missing_is_told_to_who_may_list(Cloud::new(moto).await).await;
    cleanup_needs_every_right_to_list(Cloud::new(moto).await).await;
    an_object_without_versions_is_deleted_by_its_key(Cloud::new(moto).await).await;
    an_object_from_before_versioning_is_deleted_by_its_version(moto).await;
    without_the_right_to_ask_every_version_is_named(Cloud::new(moto).await).await;
    a_refused_purge_names_the_permission(Cloud::new(moto).await).await;
    the_api_signs_downloads_and_does_not_read(Cloud::new(moto).await).await;
    jobs_and_events_are_refused_clearly(Cloud::new(moto).await).await;
    what_is_needed_rarely_is_granted(Cloud::new(moto).await).await;
    a_request_that_is_not_known_is_not_passed_on(Cloud::new(moto).await).await;
}

/// Of two programs only one may list. Both start, and only one is told what is missing.
async fn what_is_missing_is_told_to_who_may_list(cloud: Cloud) {
    let (there, missing) = (key(), key());
    cloud.admin.put(&there, Bytes::from_static(b"content")).await.unwrap();

    let worker = cloud.own("worker").await;
    assert_eq!(worker.head(&missing).await, Err(PortError::Hidden("asking for an object")), "unchecked");
    worker.check().await.expect("a worker that may not list starts");
    assert_eq!(worker.head(&missing).await, Err(PortError::Hidden("asking for an object")));
    let object = worker.head(&there).await.expect("it may read");
    assert_eq!(worker.read(&object, 0..7).await.expect("it may read").as_ref(), b"content");
    refused(worker.find(&there).await, "looking for an object: refused (AccessDenied: s3:ListBucketVersions");
    refused(worker.can_list().await, "AccessDenied: s3:ListBucket is not granted");
    refused(worker.put(&key(), Bytes::new()).await, "AccessDenied");

    // The API may not read uploads, and finds them.
    let api = cloud.own("api").await;
    api.check().await.expect("it may list");
    assert_eq!(api.find(&missing).await, Err(PortError::NotFound("looking for an object")));
    assert_eq!(api.find(&there).await.expect("found"), object);
    refused(api.head(&there).await, "AccessDenied: s3:GetObject is not granted");

    // A permission that is missing, and a refusal that no permission mends.
    let reader = cloud.policy("worker");
    let (cleanup, without) =
        (cloud.policy("cleanup"), |sid: &str, action: &str| reader.clone().without(sid, action));
    let lists = cloud.store("both", vec![reader.clone(), cleanup]).await;
    lists.check().await.unwrap();
    assert_eq!(lists.head(&missing).await, Err(PortError::NotFound("asking for an object")));
    let blind = cloud.store("blind", vec![without("ReadUploads", "s3:GetObject")]).await;
    blind.check().await.expect("it looks like a worker that may not list");
    assert_eq!(blind.head(&there).await, Err(PortError::Hidden("asking for an object")));
    assert_eq!(blind.checksum(&object).await, Err(PortError::Hidden("asking for a checksum")));
    let stranger = S3Store::new(cloud.world.through(&cloud.proxy.endpoint(), "stranger").objects).await;
    refused(stranger.check().await, "InvalidAccessKeyId");
    assert_eq!(cloud.proxy.unknown(), [""; 0]);
}

/// A cleanup that lacks one of them could not tell what is missing, or would leave something.
async fn cleanup_needs_every_right_to_list(cloud: Cloud) {
    cloud.own("cleanup").await.can_list().await.expect("the document grants what cleanup lists");
    for action in ["s3:ListBucket", "s3:ListBucketVersions", "s3:ListBucketMultipartUploads"] {
        let policy = cloud.policy("cleanup").without("FindObjects", action);
        let store = cloud.store("cleanup", vec![policy]).await;
        refused(store.can_list().await, &format!("AccessDenied: {action} is not granted"));
    }
}

/// In a bucket that has never kept versions, `null` is not one: no right to delete versions is
/// needed.
async fn an_object_without_versions_is_deleted_by_its_key(cloud: Cloud) {
    let policy = cloud.policy("cleanup").without("DeleteObjects", "s3:DeleteObjectVersion");
    let store = cloud.store("cleanup", vec![policy]).await;
    let key = key();
    cloud.admin.put(&key, Bytes::from_static(b"x")).await.unwrap();
    let upload = cloud.admin.begin_multipart(&key).await.unwrap();
    cloud.admin.put_part(&key, &upload, 1, Bytes::from_static(b"part")).await.unwrap();
    assert_eq!(store.purge(Role::Upload, key.job()).await.map(counts), Ok((1, 1)));
    assert_eq!(cloud.left(&key).await, 0);
    assert!(cloud.has_used("DeleteObjects", "s3:DeleteObject"));
    assert_eq!((cloud.proxy.refused(), cloud.proxy.unknown()), (Vec::new(), Vec::new()));
}

/// Versioning was enabled, or suspended, after the object was written: its version `null` is real,
/// and a deletion by key would hide it and keep the content.
async fn an_object_from_before_versioning_is_deleted_by_its_version(moto: &Moto) {
    for status in [BucketVersioningStatus::Enabled, BucketVersioningStatus::Suspended] {
        let cloud = Cloud::new(moto).await;
        let (alone, replaced) = (key(), key());
        for key in [&alone, &replaced] {
            cloud.admin.put(key, Bytes::from_static(b"x")).await.unwrap();
        }
        cloud.keep_versions(BucketVersioningStatus::Enabled).await;
        let put = cloud.admin.client.put_object().bucket(&cloud.admin.bucket).key(replaced.to_string());
        put.body(Bytes::from_static(b"y").into()).send().await.unwrap();
        cloud.keep_versions(status.clone()).await;

        let policy = cloud.policy("cleanup").without("DeleteObjects", "s3:DeleteObjectVersion");
        let store = cloud.store("cleanup", vec![policy]).await;
        for key in [&alone, &replaced] {
            let before = cloud.left(key).await;
            refused(store.purge(Role::Upload, key.job()).await, "s3:DeleteObjectVersion is not granted");
            assert_eq!(cloud.left(key).await, before, "a refused purge has hidden nothing");
        }
        let store = cloud.own("cleanup").await;
        for (key, objects) in [(&alone, 1), (&replaced, 2)] {
            assert_eq!(store.purge(Role::Upload, key.job()).await.map(counts), Ok((objects, 0)));
            // The emulator deletes nothing from a suspended bucket by key alone.
            assert_eq!(cloud.left(key).await, 0, "{status:?}");
        }
        assert!(cloud.has_used("DeleteObjects", "s3:DeleteObjectVersion"));
        assert!(!cloud.has_used("DeleteObjects", "s3:DeleteObject"));
    }
}

/// Without the right to ask, versions are deleted by their names.
async fn without_the_right_to_ask_every_version_is_named(cloud: Cloud) {
    let policy = cloud.policy("cleanup").without("FindObjects", "s3:GetBucketVersioning");
    let store = cloud.store("cleanup", vec![policy]).await;
    let key = key();
    cloud.admin.put(&key, Bytes::from_static(b"x")).await.unwrap();
    store.purge(Role::Upload, key.job()).await.expect("it may delete versions");
    assert!(cloud.has_used("DeleteObjects", "s3:DeleteObjectVersion"));
    let refused: Vec<_> = cloud.proxy.refused().into_iter().map(|refusal| refusal.access.action).collect();
    assert_eq!(refused, ["s3:GetBucketVersioning"]);
}

/// What is not granted is named. Unfinished uploads that may not be listed or aborted keep no object.
async fn a_refused_purge_names_the_permission(cloud: Cloud) {
    let key = key();
    cloud.admin.begin_multipart(&key).await.unwrap();
    for (sid, action, is_kept) in [
        ("FindObjects", "s3:ListBucketMultipartUploads", false),
        ("DeleteObjects", "s3:AbortMultipartUpload", false),
        ("FindObjects", "s3:ListBucketVersions", true),
        ("DeleteObjects", "s3:DeleteObject", true),
    ] {
        if cloud.admin.head(&key).await.is_err() {
            cloud.admin.put(&key, Bytes::from_static(b"x")).await.unwrap();
        }
        let store = cloud.store("cleanup", vec![cloud.policy("cleanup").without(sid, action)]).await;
        let purged = store.purge(Role::Upload, key.job()).await;
        refused(purged, &format!("AccessDenied: {action} is not granted"));
        assert_eq!(cloud.admin.head(&key).await.is_ok(), is_kept, "{action}");
    }
    cloud.own("cleanup").await.purge(Role::Upload, key.job()).await.expect("with all of them");
    assert_eq!(cloud.left(&key).await, 0);
}

/// The API signs what its clients read, and cannot read it itself.
async fn the_api_signs_downloads_and_does_not_read(cloud: Cloud) {
    let result = ObjectKey::processed(JobId::random(), 1, "plan.dxf".parse().unwrap());
    cloud.admin.put(&result, Bytes::from_static(b"result")).await.unwrap();
    let object = cloud.admin.head(&result).await.unwrap();
    let api = cloud.own("api").await;
    api.check().await.unwrap();
    let minute = Duration::from_secs(60);
    let signed = api.presign_get(&object, result.file(), minute).await.unwrap();
    let reply = http::presigned(&signed, Vec::new()).await;
    assert_eq!((reply.status, reply.text()), (200, "result".to_owned()));
    refused(api.read(&object, 0..6).await, "AccessDenied");
    // A URL for an upload writes and does not read.
    let upload = key();
    let signed = api.presign_put(&upload, 5, None, minute).await.unwrap();
    assert_eq!(http::presigned(&signed, b"hello".to_vec()).await.status, 200);
    let read = api.presign_get(&cloud.admin.head(&upload).await.unwrap(), upload.file(), minute).await;
    let reply = http::presigned(&read.unwrap(), Vec::new()).await;
    assert_eq!(reply.status, 403);
    assert!(reply.text().contains("<Code>AccessDenied</Code>"), "{}", reply.text());
}

/// The other services refuse with codes that the adapters understand.
async fn jobs_and_events_are_refused_clearly(cloud: Cloud) {
    let worker = cloud.world("worker", vec![cloud.policy("worker")]);
    let (jobs, queue) = (DynamoStore::new(worker.jobs).await, SqsQueue::new(worker.queue).await);
    jobs.check().await.unwrap();
    queue.check().await.unwrap();
    queue.send("hello").await.unwrap();
    refused(all_due(&jobs, u64::MAX >> 1).await, "listing what is due: refused (AccessDeniedException)");
    let api = cloud.world("api", vec![cloud.policy("api")]);
    let (jobs, queue) = (DynamoStore::new(api.jobs).await, SqsQueue::new(api.queue).await);
    let record = crate::conformance::job_store::new_job(&crate::conformance::job_store::new_owner(), 1);
    jobs.create(&record).await.unwrap();
    let listed = jobs.list(&record.order.owner, None, 10).await.unwrap().jobs;
    assert_eq!(listed, std::slice::from_ref(&record));
    refused(jobs.delete(&record).await, "AccessDeniedException");
    let short = Duration::from_secs(1);
    refused(queue.receive(1, short, short).await, "receiving messages: refused (AccessDenied");
    let stranger = cloud.world.through(&cloud.proxy.endpoint(), "stranger");
    refused(DynamoStore::new(stranger.jobs).await.check().await, "UnrecognizedClientException");
    assert_eq!(cloud.proxy.unknown(), [""; 0]);
}

/// What a pipeline needs only after hours, or on a bad day, is granted too.
async fn what_is_needed_rarely_is_granted(cloud: Cloud) {
    use crate::conformance::job_store::{new_job, new_owner};
    // Cleanup: deletes records, defers unreadable ones, and announces.
    let world = cloud.world("cleanup", vec![cloud.policy("cleanup")]);
    let (jobs, queue) = (DynamoStore::new(world.jobs).await, SqsQueue::new(world.queue).await);
    let spoiler = DynamoStore::new(cloud.world.jobs.clone()).await;
    let table = cloud.world.jobs.table.clone();
    let record = new_job(&new_owner(), 1);
    jobs.create(&record).await.unwrap();
    assert_eq!(jobs.delete(&record).await, Ok(true));
    let spoil = |id: JobId, record: &'static str| {
        let update = spoiler.client.update_item().table_name(&table);
        let update = update
            .key("id", AttributeValue::S(id.to_string()))
            .update_expression("SET #record = :record")
            .expression_attribute_names("#record", "record")
            .expression_attribute_values(":record", AttributeValue::S(record.to_owned()));
        async move { update.send().await.map(drop).unwrap() }
    };
    let unreadable = new_job(&new_owner(), 1);
    jobs.create(&unreadable).await.unwrap();
    spoil(unreadable.id, "{}").await;
    let due = all_due(&jobs, u64::MAX >> 12).await.unwrap();
    let found = due.unreadable.iter().find(|found| found.id == unreadable.id.to_string()).unwrap();
    jobs.set_aside(found, u64::MAX >> 11).await.unwrap();
    queue.send("an announcement").await.unwrap();
    let crew = jobs.crew().await.unwrap().unwrap_or_default().with("one", 1, 2);
    assert_eq!(jobs.replace_crew(&crew).await, Ok(true));
    queue.depth().await.unwrap();
    queue.dead_letters().await.unwrap();
    let admin = SqsQueue::new(cloud.world.queue.clone()).await;
    for _ in 0..2 {
        admin.send("rubbish").await.unwrap();
        let messages = admin.receive(10, Duration::from_secs(5), Duration::from_secs(30)).await.unwrap();
        for message in messages.iter().filter(|message| message.body == "rubbish") {
            admin.dead_letter(message).await.unwrap();
        }
        for message in messages.iter().filter(|message| message.body != "rubbish") {
            admin.change_visibility(message, Duration::ZERO).await.unwrap();
        }
    }
    let letters = queue.receive_dead(10, Duration::from_secs(30)).await.unwrap();
    queue.release_dead(&letters[0]).await.unwrap();
    queue.delete_dead(&queue.receive_dead(10, Duration::from_secs(30)).await.unwrap()[0]).await.unwrap();

    // A worker: gives a message back, sends it anew, and aborts the upload of a result.
    let world = cloud.world("worker", vec![cloud.policy("worker")]);
    let (store, queue) = (S3Store::new(world.objects).await, SqsQueue::new(world.queue).await);
    let messages = queue.receive(1, Duration::from_secs(5), Duration::from_secs(30)).await.unwrap();
    let [message] = messages.as_slice() else { panic!("{messages:?}") };
    queue.change_visibility(message, Duration::from_secs(10)).await.unwrap();
    queue.send(&message.body).await.unwrap();
    let result = ObjectKey::processed(JobId::random(), 1, "plan.dxf".parse().unwrap());
    let upload = store.begin_multipart(&result).await.unwrap();
    store.put_part(&result, &upload, 1, Bytes::from_static(b"part")).await.unwrap();
    store.abort_multipart(&result, &upload).await.unwrap();
    assert_eq!((cloud.proxy.refused(), cloud.proxy.unknown()), (Vec::new(), Vec::new()));
}

/// A request that the tables do not know takes an unknown permission: it is not passed on.
async fn a_request_that_is_not_known_is_not_passed_on(cloud: Cloud) {
    let everything = r#"{"Version": "2012-10-17", "Statement":
        [{"Sid": "All", "Effect": "Allow", "Action": "*", "Resource": "*"}]}"#;
    let all = Policy::parse("all", everything, &[]).unwrap();
    let store = cloud.store("all", vec![all]).await;
    let key = key();
    store.put(&key, Bytes::from_static(b"x")).await.expect("everything is granted");
    let acl = store.client.get_object_acl().bucket(&store.bucket).key(key.to_string());
    acl.send().await.expect_err("the answer of a server without the operation");
    let copy = store.client.copy_object().bucket(&store.bucket).key("uploads/x");
    copy.copy_source(format!("{}/{key}", store.bucket)).send().await.expect_err("the same");
    let (status, endpoint) = (|reply: http::Reply| reply.status, cloud.proxy.endpoint());
    let unsigned = http::send("GET", &format!("{endpoint}/{}", store.bucket), &[], Vec::new()).await;
    assert_eq!(status(unsigned), 501);
    assert!(cloud.proxy.unknown().len() >= 3, "{:?}", cloud.proxy.unknown());
}
