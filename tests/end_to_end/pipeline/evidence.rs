//! The evidence of deletions, as the programs write it: each job ends with a signed ledger that says
//! when everything of it was deleted, in files and in S3, also if a program is killed.

use super::client::{Client, PATIENCE, Signed};
use super::policies::Cloud;
use super::processes::{Server, Service};
use super::world::World;
use crate::support::{Bench, real};
use cadmill_core::domain::ids::JobId;
use cadmill_core::domain::job::Evidence;
use cadmill_core::domain::ledger::record::Purge;
use cadmill_core::domain::ledger::verify::{Verdict, verify};
use cadmill_core::domain::ledger::{LedgerId, PublicKey, SignedHead};
use cadmill_core::domain::state::Event;
use cadmill_core::ports::{AuditSink, Signer};
use cadmill_stores::adapters::aws::{S3Audit, S3AuditSettings, S3Settings};
use cadmill_stores::adapters::ledger::FileAudit;
use cadmill_stores::conformance::audit_sink::signing_key;
use std::path::Path;
use std::time::{Duration, Instant};

/// A signing key in a file, and its public key.
fn key(directory: &Path) -> (String, PublicKey) {
    let path = directory.join("key.pem");
    std::fs::write(&path, signing_key()).expect("a key");
    let signer = cadmill_core::ledger::LocalSigner::from_file(&path).expect("a signer");
    (path.to_str().expect("UTF-8").to_owned(), signer.public_key())
}

/// The deletion in this ledger, which must be valid.
#[track_caller]
fn deletion(sink: &dyn AuditSink, id: LedgerId, head: Option<SignedHead>, key: &PublicKey) -> Purge {
    let head = head.unwrap_or_else(|| sink.read_head(id).expect("a head"));
    let audit = verify(&sink.read(id).expect("a ledger"), Some(&head), Some(key));
    assert_eq!((audit.verdict, &audit.findings[..]), (Verdict::Valid, &[][..]), "{:?}", audit.remarks);
    let [purge] = audit.story.purges.as_slice() else { panic!("{:?}", audit.story.purges) };
    purge.clone()
}

/// On one machine: the result is fetched, and every ledger of the job is in one directory.
#[test]
fn a_job_of_one_machine_ends_with_a_signed_ledger_of_its_deletion() {
    let bench = Bench::new();
    let (file, public) = key(&bench.path(""));
    let ledgers = bench.path("ledgers");
    std::fs::write(bench.path("pub.pem"), public.to_pem()).expect("a public key");
    let variables = [
        ("CADMILL_AUDIT_SIGN_WITH", "key"),
        ("CADMILL_AUDIT_KEY_FILE", &file),
        ("CADMILL_AUDIT_DIRECTORY", ledgers.to_str().expect("UTF-8")),
    ];
    let server = Server::embedded(&variables);
    let bench = bench.with("CADMILL_SERVER", &server.url);
    let input = real("mesh/logo3d_obj.zip");
    let run = bench.run(&["submit", input.to_str().expect("UTF-8"), "--to", "glb", "--json", "-o", "o.glb"]);
    let object = run.succeeded().json();
    let id: JobId = object["job_id"].as_str().expect("an id").parse().expect("an id");
    let sink = FileAudit::new(&ledgers).expect("the ledgers");
    let purge = deletion(&sink, LedgerId::of_deletions(id, 1), None, &public);
    assert!(purge.objects >= 1 && purge.oldest_age_ms.is_some(), "{purge:?}");
    assert_eq!(purge.by, "api", "as soon as the client has its result");
    // The whole directory: the attempt and the deletion.
    let verified = bench.run(&["audit", "verify", "ledgers", "--key", "pub.pem"]).succeeded().stdout;
    assert_eq!(verified.matches("VALID, ledger").count(), 2, "{verified}");
    bench.run(&["audit", "report", "ledgers", "--key", "pub.pem", "-o", "report.html"]).succeeded();
    let report = std::fs::read_to_string(bench.path("report.html")).expect("a report");
    assert!(report.contains("Everything of this job was deleted from the object store by"), "{report}");
    server.stops_well();
}

/// Lifetimes that are short enough for a test.
const SHORT: [(&str, &str); 5] = [
    ("CADMILL_API_UPLOAD_URL_LIFETIME", "15s"),
    ("CADMILL_API_DOWNLOAD_URL_LIFETIME", "10s"),
    ("CADMILL_JOB_RETENTION", "15s"),
    ("CADMILL_JOB_LINGER", "16s"),
    ("CADMILL_API_UPLOAD_MIN_RATE", "16M"),
];

/// On AWS, with the permissions of the deployment: the API deletes on request, the cleanup once more, and
/// an API without ledgers leaves its own to the cleanup.
#[tokio::test(flavor = "multi_thread")]
async fn jobs_on_aws_end_with_signed_ledgers_of_their_deletions() {
    let (cloud, directory) = (Cloud::new().await, tempfile::tempdir().expect("a directory"));
    let (file, public) = key(directory.path());
    let bucket = cloud.ledger_bucket().await;
    let kept = [
        ("CADMILL_AUDIT_SINKS", "s3"),
        ("CADMILL_AUDIT_BUCKET", &*bucket),
        ("CADMILL_AUDIT_SIGN_WITH", "key"),
        ("CADMILL_AUDIT_KEY_FILE", &*file),
    ];
    let kept = [&SHORT[..], &kept[..]].concat();
    let mut cleaner = cloud.cleanup(&kept);
    cleaner.wait_for("cleaning up every");
    let settings = S3Settings { bucket: bucket.clone(), ..cloud.world.objects.clone() };
    let sink = tokio::task::spawn_blocking(|| {
        S3Audit::new(S3AuditSettings { s3: settings, prefix: "audit".to_owned(), lock: None })
            .expect("a sink")
    });
    let sink = std::sync::Arc::new(sink.await.expect("no panic"));
    let mut worker = cloud.worker(&kept);
    worker.wait_for("ready");
    let without = [&SHORT[..], &[("CADMILL_AUDIT_SINKS", "none")]].concat();
    for (variables, writer) in [(&kept, "api"), (&without, "cleanup")] {
        let mut api = cloud.api(variables);
        let client = Client { url: api.wait_for("listening on ") };
        client.is_ready().await;
        let archive = std::fs::read(real("gis/naturalearth_lowres.zip")).expect("a fixture");
        let (id, upload) = client.create("plan.zip", archive.len()).await;
        assert_eq!(Signed::of(&upload).put(&archive).await.status, 200);
        client.wait(&id, "COMPLETED", &[&api, &worker]).await;
        assert_eq!(client.call("POST", &format!("/api/jobs/{id}/downloaded"), None).await.0, 204);
        // Until the cleanup has deleted once more, and each deletion has its ledger.
        let since = Instant::now();
        let deletions = loop {
            let (status, audit) = client.call("GET", &format!("/api/jobs/{id}/audit"), None).await;
            assert_eq!(status, 200, "{audit}");
            let deletions = audit["deletions"].as_array().expect("a list").clone();
            if deletions.len() == 2 && deletions.iter().all(|one| one["ledger"].is_string()) {
                break deletions;
            }
            assert!(since.elapsed() < PATIENCE, "{audit}\n{}\n{}", api.log(), cleaner.log());
            tokio::time::sleep(Duration::from_millis(500)).await;
        };
        assert_eq!(deletions[0]["by"], "api", "who deleted");
        let job: JobId = id.parse().expect("an id");
        for (part, told) in (1..).zip(&deletions) {
            let (sink, ledger) = (std::sync::Arc::clone(&sink), LedgerId::of_deletions(job, part));
            let read = tokio::task::spawn_blocking(move || {
                let lines = sink.read(ledger).expect("a ledger");
                let head = sink.read_head(ledger).expect("a head");
                verify(&lines, Some(&head), Some(&public))
            });
            let audit = read.await.expect("no panic");
            assert_eq!((audit.verdict, &audit.findings[..]), (Verdict::Valid, &[][..]), "{writer}");
            let purge = &audit.story.purges[0];
            assert_eq!(
                (told["by"].as_str(), told["objects"].as_u64()),
                (Some(&*purge.by), Some(purge.objects))
            );
            if part == 1 {
                assert_eq!(
                    audit.story.worker == "api",
                    writer == "api",
                    "who recorded: {}",
                    audit.story.worker
                );
            }
        }
    }
    let refused: Vec<_> = cloud.proxy.refused().into_iter().map(|refusal| refusal.access.action).collect();
    assert!(refused.iter().all(|action| action == "s3:ListBucket"), "a worker asks once: {refused:?}");
}

/// Kills a cleanup at a moment of its pass; another ends what it began. Nothing is lost, and no ledger
/// looks tampered with.
#[tokio::test(flavor = "multi_thread")]
async fn a_cleanup_that_is_killed_leaves_no_deletion_without_evidence() {
    let world = World::new().await;
    let public = world.sign();
    let mut broken = 0;
    for moment in [0, 5, 15, 30, 60, 120] {
        let mut jobs = Vec::new();
        for _ in 0..12 {
            let id = world.create(b"plan", "dxf").await;
            world.objects.put(&world.upload_key(id), b"plan".to_vec().into()).await.expect("an upload");
            world.jobs.send(id, &Event::Cancelled).await.expect("cancelled");
            jobs.push(id);
        }
        let mut variables = world.variables();
        let key = world.data().join("key.pem").to_str().expect("UTF-8").to_owned();
        let audit = world.data().join("audit").to_str().expect("UTF-8").to_owned();
        variables.extend([
            ("CADMILL_AUDIT_SIGN_WITH", "key".to_owned()),
            ("CADMILL_AUDIT_KEY_FILE", key),
            ("CADMILL_AUDIT_DIRECTORY", audit),
        ]);
        let mut killed = Service::start("cadmill-cleanup", &[], &variables);
        killed.wait_for("cleaning up every");
        tokio::time::sleep(Duration::from_millis(moment)).await;
        // Dropping it kills it.
        drop(killed);
        let (code, log) = Service::start("cadmill-cleanup", &["--once"], &variables).ended();
        assert_eq!(code, Some(0), "{log}");
        let ledgers = world.ledgers();
        for id in jobs {
            let job = world.job(id).await;
            assert_eq!((job.purges, job.owed), (1, None), "{job:?}");
            let Evidence::Part(part) = job.deletions[0].evidence else { panic!("{job:?}") };
            let head = job.audit.last().cloned();
            let last = deletion(&ledgers, LedgerId::of_deletions(id, part), head, &public);
            // What the killed one deleted may be in its own ledger only.
            assert!(last.objects <= 1);
            for earlier in 1..part {
                let ledger = LedgerId::of_deletions(id, earlier);
                let lines = ledgers.read(ledger).expect("a file");
                let audit = verify(&lines, ledgers.read_head(ledger).ok().as_ref(), Some(&public));
                assert!(audit.findings.is_empty(), "{:?}", audit.findings);
                broken += 1;
            }
            assert!(world.objects.find(&world.upload_key(id)).await.is_err(), "it is deleted");
        }
    }
    println!("{broken} ledgers were begun by a program that was killed");
}
