//! A worker beside programs of another version. Jobs in a state that only that one knows are left to it.
//! Of an engine host of another version, as after an installation that was updated while the worker runs,
//! nothing is asked but to say so. Its fixtures are in `tests/fixtures/compat`.

use super::{Scripts, World};
use cadmill_converter::engine::frame;
use cadmill_converter::engine::protocol::{
    Answer, Command, EngineRequest, First, Library, Message, Task, VERSION,
};
use cadmill_core::domain::ids::ObjectKey;
use cadmill_core::domain::job::State;
use cadmill_core::domain::limits::Caps;
use cadmill_core::ports::JobStore;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::{Command as Program, Stdio};

/// The texts with this name in every generation.
fn fixtures(name: &str) -> Vec<String> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/compat");
    let directories = std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path().join("engine"));
    let found: Vec<String> = directories
        .filter(|directory| directory.is_dir())
        .map(|directory| std::fs::read_to_string(directory.join(name)).unwrap())
        .collect();
    assert!(!found.is_empty());
    found
}

/// What the host answers to a request.
fn answered(request: &Value) -> Message {
    let mut host = Program::new(env!("CARGO_BIN_EXE_cadmill-engine-host"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    frame::send(host.stdin.as_mut().unwrap(), request).unwrap();
    let message = frame::receive(host.stdout.as_mut().unwrap()).unwrap().unwrap();
    assert!(host.wait().unwrap().success());
    message
}

fn is_refused(message: &Message, host: u32, supervisor: u32) {
    let Message::Done { answer: Answer::Setup(reason), .. } = message else { panic!("{message:?}") };
    assert_eq!(*reason, format!("protocol version mismatch: engine host {host}, supervisor {supervisor}"));
}

#[test]
fn a_request_of_every_generation_is_carried_out_or_refused_in_words() {
    for text in fixtures("request.json") {
        let request: Value = serde_json::from_str(&text).unwrap();
        let version = u32::try_from(request["run"]["version"].as_u64().unwrap()).unwrap();
        match First::read(request.clone()) {
            Some(First::Command(Command::Run(request))) => {
                assert_eq!((version, request.version), (VERSION, VERSION))
            }
            Some(First::OfVersion(other)) => {
                assert!(other == version && version != VERSION);
                is_refused(&answered(&request), VERSION, version);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_request_of_a_newer_version_is_refused_in_words_whatever_is_in_it() {
    let request = json!({ "run": { "version": VERSION + 1, "sealed": true, "task": { "reseal": {} } } });
    is_refused(&answered(&request), VERSION, VERSION + 1);
}

#[test]
fn the_refusal_of_a_host_of_every_generation_is_understood() {
    for text in fixtures("other_version.json") {
        let message: Message = serde_json::from_str(&text).unwrap();
        assert!(matches!(message, Message::Done { answer: Answer::Setup(_), .. }), "{message:?}");
    }
}

/// The request of this version as it is frozen: `WRITE_COMPAT`, see the README of the fixtures.
#[test]
fn this_version_is_frozen() {
    let caps = Caps::default();
    let mut request = EngineRequest::new(Library::of_nothing(), Task::Describe, &caps);
    request.supervisor = 1;
    let text = serde_json::to_string(&Command::Run(Box::new(request))).unwrap();
    if let Some(number) = std::env::var_os("WRITE_COMPAT") {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/compat").join(number);
        std::fs::write(root.join("engine/request.json"), text.clone() + "\n").unwrap();
    }
    let of_this = |text: &String| text.contains(&format!("\"version\":{VERSION},"));
    for frozen in fixtures("request.json").iter().filter(|text| of_this(text)) {
        let frozen: Value = serde_json::from_str(frozen).unwrap();
        assert_eq!(frozen, serde_json::from_str::<Value>(&text).unwrap(), "a change needs another version");
    }
}

/// The job that is left is announced first, and its message stays; so does one of a kind that is not known.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_in_a_state_of_another_version_is_left_and_delays_no_other() {
    let world = World::new().await;
    let newer = world.submit().await;
    let raw = rusqlite::Connection::open(world.data.path().join("cadmill.sqlite")).unwrap();
    let record = || -> String {
        let sql = "SELECT record FROM jobs WHERE id = ?1";
        raw.query_row(sql, [newer.to_string()], |row| row.get(0)).unwrap()
    };
    let sealing = record().replace("\"PENDING\"", "\"SEALING\"");
    raw.execute("UPDATE jobs SET record = ?2 WHERE id = ?1", [newer.to_string(), sealing.clone()]).unwrap();
    world.queue.send(r#"{"source":"cadmill","detail-type":"Job Sealed","detail":{}}"#).await.unwrap();
    let other = world.submit().await;
    let job = world.work(other, Scripts::default()).await;
    assert_eq!((job.state, job.attempt), (State::Completed, 1));

    assert_eq!(record(), sealing, "byte for byte");
    let key = ObjectKey::upload(newer, "plan.zip".parse().unwrap());
    assert!(world.objects.head(&key).await.is_ok());
    let count = |sql: &str| raw.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(count("SELECT count(*) FROM messages"), 2, "both messages are there");
    assert_eq!(world.queue.receive_dead(10, std::time::Duration::ZERO).await.unwrap().len(), 0);
    assert!(world.database.jobs().get(newer).await.is_err());
}
