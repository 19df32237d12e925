//! Results that are stored as gzip, in one request and in parts, and writes that are in conflict with
//! another request.

use super::{Scripts, World};
use cadmill_core::domain::coding::{Coding, Content, Encoded};
use cadmill_core::domain::job::{Compress, Job, State};
use cadmill_stores::adapters::faulty::{Fault, Script};
use sha2::{Digest, Sha256};
use std::io::{Read, Write};

/// An archive of one line whose vertices look random: its DXF is 37 MB, and more than two parts of
/// 8 MiB as gzip.
fn large() -> Vec<u8> {
    let mut state = 1u64;
    let mut number = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        format!("{}.{:07}", (state >> 40) % 80, (state >> 20) % 10_000_000)
    };
    let vertices: Vec<String> = (0..700_000).map(|_| format!("[{},{}]", number(), number())).collect();
    archive(&vertices.join(","))
}

/// An archive of one line whose DXF is less than 1 MiB.
fn small() -> Vec<u8> {
    archive("[1.5,2.5],[3.5,4.5]")
}

fn archive(vertices: &str) -> Vec<u8> {
    let geojson = format!(
        "{{\"type\":\"FeatureCollection\",\"features\":[{{\"type\":\"Feature\",\"properties\":{{}},\
         \"geometry\":{{\"type\":\"LineString\",\"coordinates\":[{vertices}]}}}}]}}"
    );
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    zip.start_file("line.geojson", zip::write::SimpleFileOptions::default()).unwrap();
    zip.write_all(geojson.as_bytes()).unwrap();
    zip.finish().unwrap().into_inner()
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// Runs the job to its end, with the bytes of its result in the store.
async fn result(world: &World, archive: Vec<u8>, accept_gzip: bool, objects: Script) -> (Job, Vec<u8>) {
    let id = world.submit_accepting(archive, Compress::Never, accept_gzip).await;
    let worker = world.start(Scripts { objects, ..Scripts::default() });
    let job = world.ended(id).await;
    worker.end().await;
    assert_eq!(std::fs::read_dir(world.place.path()).unwrap().count(), 0, "nothing is left");
    assert_eq!(job.state, State::Completed, "{job:?}");
    let output = job.output.as_ref().unwrap();
    assert_eq!(world.objects.head(&output.key).await.unwrap().size_bytes, output.size_bytes);
    let bytes = world.objects.read(output, 0..output.size_bytes).await.unwrap().to_vec();
    assert_eq!(output.sha256, Some(sha256(&bytes)), "the digest of what is stored");
    (job, bytes)
}

fn decoded(bytes: &[u8]) -> Vec<u8> {
    let (mut decoder, mut content) = (flate2::bufread::GzDecoder::new(bytes), Vec::new());
    decoder.read_to_end(&mut content).unwrap();
    assert!(decoder.into_inner().is_empty(), "one member");
    content
}

fn assert_encoded(job: &Job, bytes: &[u8], plain: &[u8]) {
    let output = job.output.as_ref().unwrap();
    assert!(decoded(bytes) == plain, "it decodes to another result");
    let content = Some(Content { size_bytes: plain.len() as u64, sha256: sha256(plain) });
    assert_eq!(output.encoded, Some(Encoded { coding: Coding::Gzip, content }));
    assert!(output.key.file().as_str().ends_with(".dxf"), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_text_is_stored_as_gzip_for_a_client_that_decodes_it() {
    let world = World::new().await;
    let (plain, gzip) = (Script::new(), Script::new());
    let (job, expected) = result(&world, large(), false, plain.clone()).await;
    assert_eq!((job.output.unwrap().encoded, plain.calls("put")), (None, 0));
    let parts = expected.len().div_ceil(8 << 20);
    assert!(parts >= 3, "{} bytes", expected.len());
    assert_eq!(plain.calls("put_part") as usize, parts);

    let (job, bytes) = result(&world, large(), true, gzip.clone()).await;
    assert_encoded(&job, &bytes, &expected);
    assert!(bytes.len() < expected.len() / 2, "{} of {} bytes", bytes.len(), expected.len());
    assert!(gzip.calls("put_part") >= 2, "{} bytes", bytes.len());
    assert_eq!(gzip.calls("put_part") as usize, bytes.len().div_ceil(8 << 20));
}

/// A small result, and one that is an archive, are as they are without the option.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_else_is_encoded() {
    let world = World::new().await;
    let (job, bytes) = result(&world, small(), true, Script::new()).await;
    assert!(job.output.unwrap().encoded.is_none() && bytes.ends_with(b"EOF\r\n"));
    let id = world.submit_accepting(large(), Compress::Auto, true).await;
    let worker = world.start(Scripts::default());
    let output = world.ended(id).await.output.expect("a result");
    worker.end().await;
    assert!(output.encoded.is_none() && output.key.file().as_str().ends_with(".dxf.zip"), "{output:?}");
    let bytes = world.objects.read(&output, 0..4).await.unwrap();
    assert_eq!(&bytes[..], b"PK\x03\x04");
}

/// Whatever fails on the way, the client gets the same result; and a text that fits one request is
/// encoded too.
#[tokio::test(flavor = "multi_thread")]
async fn an_encoded_result_survives_the_faults_of_a_store() {
    let world = World::new().await;
    let countries =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/real/gis/countries_50m.zip");
    let countries = std::fs::read(countries).unwrap();
    let (_, expected) = result(&world, countries.clone(), false, Script::new()).await;
    for fault in [Fault::Fail, Fault::DropReply, Fault::Conflict, Fault::LateConflict] {
        let script = Script::new().on("put", 1, fault);
        let (job, bytes) = result(&world, countries.clone(), true, script.clone()).await;
        assert_encoded(&job, &bytes, &expected);
        assert_eq!((job.attempt, script.calls("put")), (1, 2), "{fault:?}");
    }
    let (_, expected) = result(&world, large(), false, Script::new()).await;
    let script = Script::new().on("put_part", 1, Fault::Fail).on("put_part", 3, Fault::DropReply).on(
        "complete_multipart",
        1,
        Fault::DropReply,
    );
    let (job, bytes) = result(&world, large(), true, script.clone()).await;
    assert_encoded(&job, &bytes, &expected);
    assert_eq!((job.attempt, script.calls("complete_multipart")), (1, 2));
    // An attempt that fails after its upload: the next one encodes again.
    let script =
        (1..=3).fold(Script::new(), |script, call| script.on("complete_multipart", call, Fault::Fail));
    let (job, bytes) = result(&world, large(), true, script).await;
    assert_encoded(&job, &bytes, &expected);
    assert_eq!(job.attempt, 2);
}

/// S3 does not complete an upload after a conflict. If the object is there, the other request was the
/// same one; if not, the output is made again, because its uploaded parts are destroyed.
#[tokio::test(flavor = "multi_thread")]
async fn a_completion_in_conflict_is_not_repeated() {
    let world = World::new().await;
    for (fault, attempts) in [(Fault::LateConflict, 1), (Fault::Conflict, 2)] {
        let script = Script::new().on("complete_multipart", 1, fault);
        let (job, bytes) = result(&world, large(), false, script.clone()).await;
        assert!(bytes.ends_with(b"EOF\r\n"));
        assert_eq!((job.attempt, script.calls("complete_multipart")), (attempts, attempts), "{fault:?}");
        assert_eq!(script.calls("abort_multipart"), attempts - 1, "{fault:?}");
    }
}
