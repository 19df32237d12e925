//! After the end of a job its presigned requests cannot restore anything: what they write is
//! deleted at once, even while every worker is busy. Tested on the embedded stores, and on an
//! emulator of AWS that delivers the events as AWS does, with the permissions of the deployment.

use super::client::{Client, PATIENCE, Signed};
use super::policies::{Cloud, WITH_VERSIONS, the_rest_is_used, without_versions};
use super::processes::Service;
use super::world::large_archive;
use crate::support::real;
use cadmill_core::domain::ids::{JobId, ObjectKey, Role};
use cadmill_core::ports::object_store::Purged;
use cadmill_core::ports::{JobStore, ObjectStore, PortError};
use cadmill_stores::adapters::aws::{DynamoStore, S3Store};
use cadmill_stores::adapters::embedded::server::{Credentials, settings};
use cadmill_stores::conformance::http;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Variables of every pipeline here: one conversion at a time, multipart uploads above 6 MB, and an
/// upload timeout short enough for a test.
const VARIABLES: [(&str, &str); 6] = [
    ("CADMILL_WORKER_CONCURRENCY", "1"),
    ("CADMILL_API_MULTIPART_THRESHOLD", "6M"),
    ("CADMILL_API_PART_SIZE", "5M"),
    ("CADMILL_API_UPLOAD_URL_LIFETIME", "20s"),
    ("CADMILL_JOB_UPLOAD_WINDOW", "20s"),
    ("CADMILL_WORKER_MEMORY", "8G"),
];

/// A pipeline, and direct access to its stores.
struct Pipeline {
    client: Client,
    objects: S3Store,
    /// Signs requests for clients, as the API does.
    signer: S3Store,
    services: Vec<Service>,
    cloud: Option<Cloud>,
    _data: TempDir,
}

impl Pipeline {
    async fn embedded() -> Self {
        let data = tempfile::tempdir().expect("a directory");
        let path = data.path().to_str().expect("UTF-8").to_owned();
        let mut variables = VARIABLES.map(|(name, value)| (name, value.to_owned())).to_vec();
        variables.push(("CADMILL_DATA_DIR", path));
        variables.push(("CADMILL_EMBEDDED_S3_LISTEN", "127.0.0.1:0".to_owned()));
        let mut service = Service::start("cadmill", &["serve", "--listen", "127.0.0.1:0"], &variables);
        let client = Client { url: service.wait_for("listening on ") };
        service.wait_for("ready");
        // Any presigned request contains the address of the objects.
        let (job, upload) = client.create("a.zip", 1).await;
        let endpoint = upload["url"].as_str().expect("a URL").split("/cadmill/").next().expect("a URL");
        let keys = Credentials::read(data.path()).expect("keys");
        let objects = S3Store::new(settings(endpoint.to_owned(), keys)).await;
        client.call("DELETE", &format!("/api/jobs/{job}"), None).await;
        let signer = objects.clone();
        Self { client, objects, signer, services: vec![service], cloud: None, _data: data }
    }

    async fn on_aws(versions: bool) -> Self {
        let cloud = Cloud::new().await;
        if versions {
            cloud.keep_versions().await;
        }
        let mut cleaner = cloud.cleanup(&VARIABLES);
        cleaner.wait_for("cleaning up every");
        let mut api = cloud.api(&VARIABLES);
        let client = Client { url: api.wait_for("listening on ") };
        client.is_ready().await;
        let mut worker = cloud.worker(&VARIABLES);
        worker.wait_for("ready");
        let objects = S3Store::new(cloud.world.objects.clone()).await;
        let signer = cloud.as_api().await;
        let data = tempfile::tempdir().expect("a directory");
        Self {
            client,
            objects,
            signer,
            services: vec![api, worker, cleaner],
            cloud: Some(cloud),
            _data: data,
        }
    }

    fn logs(&self) -> String {
        self.services.iter().map(Service::log).collect()
    }

    async fn wait(&self, job: &str, state: &str) {
        self.client.wait(job, state, &self.services.iter().collect::<Vec<_>>()).await;
    }

    /// Waits until no object exists under the key.
    async fn gone(&self, key: &ObjectKey, what: &str) {
        let since = Instant::now();
        loop {
            match self.objects.head(key).await {
                Err(PortError::NotFound(_)) => break,
                Err(error) => assert!(error.is_transient(), "{error}"),
                Ok(_) => {}
            }
            assert!(since.elapsed() < PATIENCE, "{what}: the object is still there\n{}", self.logs());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        eprintln!("{what}: gone after {} ms", since.elapsed().as_millis());
    }

    /// Sends the request again, and checks that what it wrote is deleted.
    async fn again(&self, job: &str, signed: &Signed, body: &[u8], what: &str) {
        let key = ObjectKey::upload(id(job), "plan.zip".parse().expect("a name"));
        self.gone(&key, &format!("{what}, before")).await;
        let reply = signed.put(body).await;
        assert_eq!(reply.status, 200, "{what}: {}", reply.text());
        self.gone(&key, what).await;
        self.nothing_is_left(job, what).await;
    }

    /// No version of an object and no unfinished upload is left. The embedded store lists a file that it
    /// overwrites at this moment as a delete marker.
    async fn nothing_is_left(&self, job: &str, what: &str) {
        let since = Instant::now();
        loop {
            let left = self.objects.purge(Role::Upload, id(job)).await.expect("a purge");
            if left == Purged::default() {
                return;
            }
            let only_marks = Purged { marks: left.marks, ..Purged::default() };
            assert!(self.cloud.is_none() && left == only_marks, "{what}: {left:?}");
            assert!(since.elapsed() < PATIENCE, "{what}: {left:?}\n{}", self.logs());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// A presigned upload request for the job's file that outlives the job's upload timeout.
    async fn signed_for_long(&self, job: &str, bytes: usize) -> Signed {
        let key = ObjectKey::upload(id(job), "plan.zip".parse().expect("a name"));
        let bytes = bytes as u64;
        let signed = self.signer.presign_put(&key, bytes, None, Duration::from_secs(600)).await;
        let signed = signed.expect("a request");
        let headers: serde_json::Map<_, _> =
            signed.headers.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
        Signed::of(&serde_json::json!({"url": signed.url, "headers": headers}))
    }
}

fn id(job: &str) -> JobId {
    job.parse().expect("an id")
}

fn archive() -> Vec<u8> {
    std::fs::read(real("gis/naturalearth_lowres.zip")).expect("a fixture")
}

/// Each way a job can end, one after the other, with the upload request repeated after each.
async fn nothing_comes_back(pipeline: &Pipeline) {
    let (client, archive) = (&pipeline.client, archive());
    // This job waits for an upload that never arrives.
    let (expiring, _) = client.create("plan.zip", archive.len()).await;

    let (job, _) = client.create("plan.zip", archive.len()).await;
    let signed = pipeline.signed_for_long(&job, archive.len()).await;
    assert_eq!(signed.put(&archive).await.status, 200);
    pipeline.wait(&job, "COMPLETED").await;
    pipeline.again(&job, &signed, &archive, "after COMPLETED").await;
    // The result is still there.
    let url = client.status(&job).await["download"]["url"].as_str().expect("a download").to_owned();
    assert_eq!(http::send("GET", &url, &[], Vec::new()).await.status, 200);
    let (status, _) = client.call("POST", &format!("/api/jobs/{job}/downloaded"), None).await;
    assert_eq!(status, 204);
    pipeline.again(&job, &signed, &archive, "after downloaded").await;

    let (job, _) = client.create("plan.zip", 7).await;
    let signed = pipeline.signed_for_long(&job, 7).await;
    assert_eq!(signed.put(b"rubbish").await.status, 200);
    pipeline.wait(&job, "FAILED").await;
    pipeline.again(&job, &signed, b"rubbish", "after FAILED").await;

    let (job, _) = client.create("plan.zip", archive.len()).await;
    let signed = pipeline.signed_for_long(&job, archive.len()).await;
    client.call("DELETE", &format!("/api/jobs/{job}"), None).await;
    pipeline.again(&job, &signed, &archive, "after cancel").await;

    let nobody = JobId::random().to_string();
    let signed = pipeline.signed_for_long(&nobody, 7).await;
    pipeline.again(&nobody, &signed, b"nobody!", "of a job that never was").await;

    pipeline.wait(&expiring, "EXPIRED").await;
    let signed = pipeline.signed_for_long(&expiring, archive.len()).await;
    pipeline.again(&expiring, &signed, &archive, "after EXPIRED").await;

    parts_come_too_late(pipeline).await;
    no_slot_is_needed(pipeline).await;
}

/// Parts of a completed upload, and of one aborted by a cancel.
async fn parts_come_too_late(pipeline: &Pipeline) {
    let client = &pipeline.client;
    let archive = large_archive(1000);
    for completed in [true, false] {
        let (job, upload) = client.create("plan.zip", archive.len()).await;
        let parts: Vec<Signed> = upload["parts"].as_array().expect("parts").iter().map(Signed::of).collect();
        let pieces: Vec<&[u8]> = archive.chunks(5 << 20).collect();
        assert_eq!(parts.len(), pieces.len());
        for (part, piece) in parts.iter().zip(&pieces) {
            assert_eq!(part.put(piece).await.status, 200);
        }
        if completed {
            let (status, body) =
                client.call("POST", &format!("/api/jobs/{job}/uploads/complete"), None).await;
            assert_eq!(status, 200, "{body}");
            pipeline.wait(&job, "COMPLETED").await;
        } else {
            client.call("DELETE", &format!("/api/jobs/{job}"), None).await;
        }
        // A store may refuse before it has read the body, and close the connection.
        if let Ok(reply) = parts[0].try_put(pieces[0]).await {
            assert!(reply.status >= 400, "completed: {completed}: {}", reply.text());
        }
        let key = ObjectKey::upload(id(&job), "plan.zip".parse().expect("a name"));
        pipeline.gone(&key, "after parts").await;
        pipeline.nothing_is_left(&job, &format!("parts, completed: {completed}")).await;
    }
}

/// The only slot is taken and other jobs wait for it: a late upload is still deleted, and the
/// waiting jobs lose nothing.
async fn no_slot_is_needed(pipeline: &Pipeline) {
    let (client, archive, large) = (&pipeline.client, archive(), large_archive(400_000));
    let (ended, _) = client.create("plan.zip", archive.len()).await;
    let signed = pipeline.signed_for_long(&ended, archive.len()).await;
    client.call("DELETE", &format!("/api/jobs/{ended}"), None).await;
    let mut waiting = Vec::new();
    // Enough for the late upload to be handled while one converts and others wait, on any machine.
    for _ in 0..5 {
        let (job, _) = client.create("plan.zip", large.len()).await;
        let key = ObjectKey::upload(id(&job), "plan.zip".parse().expect("a name"));
        pipeline.objects.put(&key, large.clone().into()).await.expect("an upload");
        waiting.push(job);
    }
    let since = Instant::now();
    let begun = async || {
        for job in &waiting {
            if client.status(job).await["state"] != "PENDING" {
                return true;
            }
        }
        false
    };
    while !begun().await {
        assert!(since.elapsed() < PATIENCE, "nothing was begun\n{}", pipeline.logs());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    pipeline.again(&ended, &signed, &archive, "while all slots are taken").await;
    let mut ended = 0;
    for job in &waiting {
        ended += u32::from(client.status(job).await["state"] == "COMPLETED");
    }
    assert!(ended < 5, "the slot was never taken for long enough");
    for job in &waiting {
        pipeline.wait(job, "COMPLETED").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_comes_back_on_one_machine() {
    nothing_comes_back(&Pipeline::embedded().await).await;
}

#[ignore = "in `make nightly`"]
#[tokio::test(flavor = "multi_thread")]
async fn nothing_comes_back_on_aws_services() {
    let pipeline = Pipeline::on_aws(false).await;
    nothing_comes_back(&pipeline).await;
    let cloud = pipeline.cloud.as_ref().expect("the services");
    cloud.suffices(&without_versions());
    DynamoStore::new(cloud.world.jobs.clone()).await.check().await.expect("the table is there");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_comes_back_in_a_bucket_that_keeps_versions() {
    let pipeline = Pipeline::on_aws(true).await;
    nothing_comes_back(&pipeline).await;
    let cloud = pipeline.cloud.as_ref().expect("the services");
    the_rest_is_used(cloud, &pipeline.client).await;
    cloud.suffices(&WITH_VERSIONS);
}
