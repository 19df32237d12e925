//! Jobs that fail in different ways, one after the other in one worker: archives that are refused
//! before, during and after expansion, and an engine that misbehaves.

#[path = "../../../fixtures/archives/mod.rs"]
#[allow(missing_docs, dead_code, unreachable_pub, unused_imports)]
mod archives;

use super::{Agreed, Watch, while_observed};
use crate::jvm::warm::{keep, waiting};
use crate::pipeline::world::World;
use crate::support::zipped;
use cadmill_core::domain::ids::ObjectKey;
use zip::CompressionMethod::{self, Deflated, Stored};

/// A behaviour of the double, and the failure code of the job; `None` if the job completes.
const BEHAVIOURS: [(&str, Option<&str>); 18] = [
    ("ok", None),
    ("tidy", None),
    ("segv", Some("engine.crashed")),
    ("abort", Some("engine.crashed")),
    ("crash-after-writing", Some("engine.crashed")),
    ("hide", Some("engine.rejected")),
    ("exit-with-code", Some("engine.no_answer")),
    ("no-output", Some("engine.no_answer")),
    ("loop", Some("limit.time")),
    ("stubborn", Some("limit.time")),
    ("allocate", Some("limit.memory")),
    ("bad-alloc", Some("limit.memory")),
    ("flood", Some("limit.messages")),
    ("endless-file", Some("limit.output")),
    ("endless-files", Some("limit.output")),
    ("link", Some("engine.violation")),
    ("fifo", Some("engine.violation")),
    ("orphan", Some("engine.violation")),
];

/// An archive of two files in a folder. The first determines the double's behaviour.
fn archive(behaviour: &str, method: CompressionMethod, rest: &[u8]) -> Vec<u8> {
    let input = format!("{behaviour} \n");
    zipped(&[("parts/input.obj", method, input.as_bytes()), ("parts/more/rest.bin", method, rest)])
}

/// An archive damaged at one place in the content of its second file.
fn damaged(method: CompressionMethod, by: impl Fn(&mut Vec<u8>, usize)) -> Vec<u8> {
    let rest: Vec<u8> = (0..3 << 20).map(|n: u32| n.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect();
    let mut bytes = archive("ok", method, &rest);
    let middle = bytes.len() / 2;
    by(&mut bytes, middle);
    bytes
}

/// Archives that are refused, and the failure codes that each may have.
fn refused() -> Vec<(Vec<u8>, &'static [&'static str])> {
    let flipped = |bytes: &mut Vec<u8>, middle: usize| bytes[middle] ^= 1;
    let many = || {
        let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        for n in 0..101 {
            writer.start_file(format!("{n}.obj"), zip::write::SimpleFileOptions::default()).unwrap();
        }
        writer.finish().unwrap().into_inner()
    };
    vec![
        (damaged(Stored, flipped), &["input.archive.crc"]),
        // The effect of a bit flip in compressed data depends on its position.
        (
            damaged(Deflated, flipped),
            &["input.archive.damaged_data", "input.archive.size_mismatch", "input.archive.crc"],
        ),
        (damaged(Stored, |bytes, middle| bytes.truncate(middle)), &["input.archive.truncated"]),
        // Zip bombs by ratio, by size and by number of entries.
        (archive("ok", Deflated, &vec![0; 65 << 20]), &["input.archive.ratio"]),
        (archive("ok", Stored, &vec![0; 97 << 20]), &["input.archive.expanded_size"]),
        (many(), &["input.archive.too_many_entries"]),
    ]
}

/// A world whose engine is the double, with low limits.
async fn world() -> World {
    let mut world = World::new().await;
    world.use_double();
    for (variable, value) in [
        ("CADMILL_LIMITS_MEMORY", "128M"),
        ("CADMILL_LIMITS_TIMEOUT", "6s"),
        ("CADMILL_LIMITS_MAX_OUTPUT", "16M"),
        ("CADMILL_LIMITS_MAX_ENTRIES", "100"),
        ("CADMILL_LIMITS_MAX_EXPANDED", "96M"),
    ] {
        world.set(variable, value);
    }
    world
}

fn told(watch: &Watch, jobs: usize) -> Agreed {
    let agreed = watch.each_is_valid(jobs);
    assert!(agreed.made > jobs, "{agreed:?}");
    agreed
}

#[tokio::test(flavor = "multi_thread")]
async fn every_archive_that_is_refused() {
    let Some(mut watch) = Watch::of(world().await) else { return };
    let worker = watch.world.worker("first", None);
    let archives = refused();
    for (archive, codes) in &archives {
        let code = watch.outcome(archive).await.unwrap_or("none");
        assert!(codes.contains(&code), "{code} is none of {codes:?}");
    }
    // Other bytes than declared, of the same length: detected once all of them are expanded.
    let id = watch.world.create(&archive("declared", Stored, b""), "stl").await;
    let uploaded = archive("uploaded", Stored, b"");
    let key = ObjectKey::upload(id, "plan.zip".parse().unwrap());
    watch.world.objects.put(&key, uploaded.into()).await.unwrap();
    let job = watch.world.wait(id, "ended", |job| job.state.is_terminal()).await;
    assert_eq!(job.failure.unwrap().code.as_str(), "input.digest_mismatch");

    watch.world.queue_is_empty().await;
    watch.stop(worker);
    let agreed = told(&watch, archives.len() + 1);
    assert_eq!(agreed.found, 0, "an engine had work");
}

#[tokio::test(flavor = "multi_thread")]
async fn archives_of_the_documents() {
    while_observed(|| each_archive(12)).await;
}

#[ignore = "in `make nightly`"]
#[tokio::test(flavor = "multi_thread")]
async fn every_archive_of_the_documents() {
    while_observed(|| each_archive(1)).await;
}

/// Every `step`th of the archives of docs/ARCHIVES.md, valid and invalid.
async fn each_archive(step: usize) {
    let Some(mut watch) = Watch::of(world().await) else { return };
    let worker = watch.world.worker("first", None);
    let cases: Vec<_> = archives::cases().into_iter().step_by(step).collect();
    let mut jobs = Vec::new();
    for case in &cases {
        jobs.push(watch.world.submit(&case.bytes, "stl").await);
    }
    let (mut refused, mut completed) = (0, 0);
    for id in jobs {
        let job = watch.world.wait(id, "ended", |job| job.state.is_terminal()).await;
        match job.failure {
            Some(failure) if failure.code.as_str().starts_with("input.archive.") => refused += 1,
            Some(_) => {}
            None => completed += 1,
        }
    }
    watch.world.queue_is_empty().await;
    watch.stop(worker);
    told(&watch, cases.len());
    println!("{refused} refused, {completed} completed of {}", cases.len());
    assert!(refused >= 100 / step && completed >= 10 / step, "{refused} refused, {completed} completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_engine_that_misbehaves() {
    while_observed(|| misbehaves("")).await;
}

#[ignore = "in `make nightly`"]
#[tokio::test(flavor = "multi_thread")]
async fn every_engine_that_waited_and_misbehaves() {
    while_observed(|| misbehaves("assimp")).await;
}

async fn misbehaves(warm: &'static str) {
    let mut world = world().await;
    keep(&mut world, warm);
    let Some(mut watch) = Watch::of(world) else { return };
    let worker = watch.world.worker("first", None);
    watch.world.wait_until_said("ready").await;
    for (behaviour, code) in BEHAVIOURS {
        if !warm.is_empty() {
            waiting(&worker).await;
        }
        watch.ends(behaviour, &archive(behaviour, Deflated, b"nobody reads this"), code).await;
    }
    watch.world.queue_is_empty().await;
    watch.stop(worker);
    let agreed = told(&watch, BEHAVIOURS.len());
    // The whole output of two, one of them twice, and what two wrote before they were killed.
    assert!(agreed.found >= 10, "{agreed:?}");
}
