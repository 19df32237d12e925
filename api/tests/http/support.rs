//! A server with a fixed clock, called through its router; jobs and events are in SQLite, objects
//! on a [`Shelf`].

use crate::shelf::Shelf;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use cadmill_api::auth::{Auth, Tokens};
use cadmill_api::router::router;
use cadmill_api::settings::ApiSettings;
use cadmill_api::state::{ApiState, Server};
use cadmill_core::domain::counts::{CountedUnit, Counts};
use cadmill_core::domain::ids::{JobId, ObjectKey};
use cadmill_core::domain::job::{EngineFacts, Job, JobFailure, Millis, Object, Stage, Warnings};
use cadmill_core::domain::state::{Event, Policy};
use cadmill_core::jobs::{Change, Jobs};
use cadmill_core::ports::{Clock, JobStore, ObjectStore};
use cadmill_stores::adapters::embedded::Database;
use cadmill_stores::config::Token;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use tower::ServiceExt;

pub const ANN: &str = "ann-has-a-token-of-forty-characters-1234";
/// An auditor.
pub const EVE: &str = "eve-has-a-token-of-forty-characters-1234";
pub const BOB: &str = "bob-has-a-token-of-forty-characters-1234";
/// 2023-11-14T22:13:20Z.
pub const START: Millis = 1_700_000_000_000;

pub struct Stopped(pub AtomicU64);

impl Clock for Stopped {
    fn now(&self) -> Millis {
        self.0.load(Ordering::SeqCst)
    }
}

pub struct World {
    pub router: Router,
    pub state: ApiState,
    pub jobs: Jobs,
    pub shelf: Arc<Shelf>,
    pub clock: Arc<Stopped>,
    pub directory: tempfile::TempDir,
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Value,
}

pub fn tokens() -> Auth {
    let token = |owner: &str, token: &str, auditor| Token {
        owner: owner.parse().unwrap(),
        sha256: Tokens::digest(token),
        auditor,
    };
    let tokens = [token("ann", ANN, false), token("bob", BOB, false), token("eve", EVE, true)];
    Auth::Tokens(Tokens::new(&tokens).unwrap())
}

pub fn world() -> World {
    world_with(|_| {})
}

pub fn world_with(change: impl FnOnce(&mut ApiSettings)) -> World {
    let directory = tempfile::tempdir().unwrap();
    let database = Database::open(&directory.path().join("jobs.db"), 5).unwrap();
    let shelf = Arc::new(Shelf::default());
    let mut world = over(directory, database, shelf.clone(), change);
    world.shelf = shelf;
    world
}

/// A server with this policy.
pub fn world_of(policy: Policy) -> World {
    let directory = tempfile::tempdir().unwrap();
    let database = Database::open(&directory.path().join("jobs.db"), 5).unwrap();
    with_policy(directory, database, Arc::new(Shelf::default()), policy, |_| {})
}

/// A server with these objects; the shelf of the world is a different one, and empty.
pub fn over(
    directory: tempfile::TempDir,
    database: Database,
    objects: Arc<dyn ObjectStore>,
    change: impl FnOnce(&mut ApiSettings),
) -> World {
    with_policy(directory, database, objects, Policy::default(), change)
}

fn with_policy(
    directory: tempfile::TempDir,
    database: Database,
    objects: Arc<dyn ObjectStore>,
    policy: Policy,
    change: impl FnOnce(&mut ApiSettings),
) -> World {
    with_store(directory, &database, Arc::new(database.jobs()), objects, policy, change)
}

/// A server with this store of jobs, e.g. one of several on a database.
pub fn with_store(
    directory: tempfile::TempDir,
    database: &Database,
    store: Arc<dyn JobStore>,
    objects: Arc<dyn ObjectStore>,
    policy: Policy,
    change: impl FnOnce(&mut ApiSettings),
) -> World {
    let clock = Arc::new(Stopped(AtomicU64::new(START)));
    let jobs = Jobs::new(store, clock.clone(), policy);
    let mut settings = ApiSettings { auth: tokens(), ..ApiSettings::default() };
    settings.config.require_cleanup = false;
    change(&mut settings);
    let state = Server::new(settings, objects, jobs.clone(), Arc::new(database.queue())).unwrap();
    let router = router(state.clone());
    World { router, state, jobs, shelf: Arc::default(), clock, directory }
}

impl World {
    pub async fn send(&self, request: Request<Body>) -> Answer {
        let (method, path) = (request.method().to_string(), request.uri().path().to_owned());
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        assert_described(&method, &path, parts.status);
        let bytes = to_bytes(body, 64 << 20).await.unwrap();
        let body = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| json!(String::from_utf8_lossy(&bytes).into_owned()));
        Answer { status: parts.status, headers: parts.headers, body }
    }

    pub async fn call(&self, token: &str, method: &str, path: &str, body: Option<Value>) -> Answer {
        self.send(request(token, method, path, body)).await
    }

    /// Creates a job owned by Ann; returns the response.
    pub async fn new_job(&self, body: Value) -> Answer {
        self.call(ANN, "POST", "/api/jobs", Some(body)).await
    }

    pub async fn read(&self, id: JobId) -> Job {
        self.jobs.store().get(id).await.unwrap().unwrap()
    }

    pub async fn happen(&self, id: JobId, event: Event) {
        let change = self.jobs.send(id, &event).await.unwrap();
        assert!(matches!(change, Change::Done(_)), "{event:?}: {change:?}");
    }

    /// A job owned by Ann whose file is uploaded.
    pub async fn uploaded(&self) -> JobId {
        let id = id_of(&self.new_job(order()).await);
        let object = object(ObjectKey::upload(id, "town.zip".parse().unwrap()), 1000);
        self.shelf.objects.lock().unwrap().insert(object.key.to_string(), 1000);
        self.happen(id, Event::Uploaded { object, sequencer: "A".to_owned(), at: None }).await;
        id
    }

    pub async fn processing(&self) -> JobId {
        let id = self.uploaded().await;
        self.happen(id, Event::Claimed { worker: "w1".to_owned(), revision: 1, dead: None }).await;
        id
    }

    pub async fn completed(&self) -> JobId {
        let id = self.processing().await;
        let stage_ended = Event::Reported {
            attempt: 1,
            millis: [(Stage::Fetch, 12)].into(),
            warnings: Warnings {
                total: 21,
                losses: 2,
                lines: vec!["GDAL: a field was renamed".to_owned()],
                loss_lines: 1,
            },
            counts: Some(Counts { unit: CountedUnit::Features, read: 9, written: 8, skipped: 1 }),
            facts: EngineFacts::fitting(&[("solids".to_owned(), "12".to_owned())].into()).0,
        };
        self.happen(id, stage_ended).await;
        let mut output = object(ObjectKey::processed(id, 1, "town.dxf".parse().unwrap()), 77);
        output.sha256 = Some("ab".repeat(32));
        self.shelf.objects.lock().unwrap().insert(output.key.to_string(), 77);
        self.happen(id, Event::Completed { attempt: 1, output }).await;
        id
    }

    pub async fn failed(&self, failure: JobFailure) -> JobId {
        let id = self.processing().await;
        self.happen(id, Event::Failed { attempt: 1, failure }).await;
        id
    }
}

/// Whether the OpenAPI document lists this status for the operation, if it contains the operation.
fn assert_described(method: &str, path: &str, status: StatusCode) {
    static DOCUMENT: LazyLock<Value> =
        LazyLock::new(|| serde_json::from_str(&cadmill_api::openapi::document().text()).unwrap());
    let parts: Vec<&str> = path.split('/').collect();
    let fits = |template: &str| {
        let template: Vec<&str> = template.split('/').collect();
        let same = |(named, part): (&&str, &&str)| named == part || named.starts_with('{');
        template.len() == parts.len() && template.iter().zip(&parts).all(same)
    };
    for (template, item) in DOCUMENT["paths"].as_object().unwrap() {
        if let Some(operation) = item.get(method.to_ascii_lowercase()).filter(|_| fits(template)) {
            let known = operation["responses"].get(status.as_str()).is_some();
            assert!(known, "{method} {template} answered {status}, which is not described");
        }
    }
}

pub fn object(key: ObjectKey, size_bytes: u64) -> Object {
    Object { key, size_bytes, etag: "e".to_owned(), version: None, sha256: None, encoded: None }
}

pub fn order() -> Value {
    json!({"file_name": "town.zip", "size_bytes": 1000, "target_format": "dxf"})
}

pub fn request(token: &str, method: &str, path: &str, body: Option<Value>) -> Request<Body> {
    let mut builder = Request::builder().method(method).uri(path);
    if !token.is_empty() {
        builder = builder.header("authorization", format!("Bearer {token}"));
    }
    match body {
        Some(body) => {
            builder.header("content-type", "application/json").body(Body::from(body.to_string())).unwrap()
        }
        None => builder.body(Body::empty()).unwrap(),
    }
}

pub fn id_of(answer: &Answer) -> JobId {
    answer.body["job_id"].as_str().unwrap_or_else(|| panic!("{}", answer.body)).parse().unwrap()
}

pub fn header<'a>(answer: &'a Answer, name: &str) -> &'a str {
    answer.headers.get(name).map_or("", |value| value.to_str().unwrap())
}

/// The content of a response, with everything that varies between runs replaced.
pub fn shown(answer: &Answer) -> Value {
    let mut headers = serde_json::Map::new();
    for name in ["content-type", "allow", "location", "retry-after", "www-authenticate"] {
        if let Some(value) = answer.headers.get(name) {
            headers.insert(name.to_owned(), json!(redacted(value.to_str().unwrap())));
        }
    }
    let mut body = answer.body.clone();
    redact(&mut body);
    json!({"status": answer.status.as_u16(), "headers": headers, "body": body})
}

fn redact(value: &mut Value) {
    match value {
        Value::String(text) => *text = redacted(text),
        Value::Array(list) => list.iter_mut().for_each(redact),
        Value::Object(map) => map.values_mut().for_each(redact),
        _ => {}
    }
}

/// Replaces ids by `[id]` and presigned URLs by `[url]`. Times do not vary.
fn redacted(text: &str) -> String {
    if text.contains("?signature=") {
        return "[url]".to_owned();
    }
    let is_id = |part: &str| part.parse::<JobId>().is_ok();
    text.split('/').map(|part| if is_id(part) { "[id]" } else { part }).collect::<Vec<_>>().join("/")
}

/// Compares with the committed snapshot of this name.
macro_rules! snapshot {
    ($name:expr, $answer:expr) => {
        insta::assert_json_snapshot!($name, crate::support::shown(&$answer))
    };
}
pub(crate) use snapshot;
