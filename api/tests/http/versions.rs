//! A job in a state that only another version knows: its owner is asked to come again, and it stays as it is.

use crate::support::*;
use axum::http::StatusCode;
use serde_json::{Value, json};

#[tokio::test]
async fn a_job_of_another_version_is_left_and_hides_no_other() {
    let world = world();
    let (newer, other) = (world.completed().await, world.completed().await);
    let raw = rusqlite::Connection::open(world.directory.path().join("jobs.db")).unwrap();
    let record = || -> String {
        let sql = "SELECT record FROM jobs WHERE id = ?1";
        raw.query_row(sql, [newer.to_string()], |row| row.get(0)).unwrap()
    };
    let sealed = record().replace("\"COMPLETED\"", "\"SEALED\"");
    raw.execute("UPDATE jobs SET record = ?2 WHERE id = ?1", [newer.to_string(), sealed.clone()]).unwrap();

    let path = format!("/api/jobs/{newer}");
    for (method, path) in
        [("GET", format!("{path}/status")), ("DELETE", path.clone()), ("POST", format!("{path}/downloaded"))]
    {
        let answer = world.call(ANN, method, &path, None).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{method} {path}: {}", answer.body);
        assert_eq!(answer.headers.get("retry-after").unwrap(), "2", "{method} {path}");
        assert_eq!(answer.body["code"], "infra.store_unavailable");
    }
    let mut again = order();
    again["job_id"] = json!(newer.to_string());
    let usage = || -> String { raw.query_row("SELECT record FROM usage", [], |row| row.get(0)).unwrap() };
    let counted = || serde_json::from_str::<Value>(&usage()).unwrap()["jobs"].clone();
    let before = counted();
    for _ in 0..5 {
        assert_eq!(world.new_job(again.clone()).await.status, StatusCode::SERVICE_UNAVAILABLE);
    }
    assert_eq!(counted(), before, "a repeated request takes no place");

    let listed = world.call(ANN, "GET", "/api/jobs", None).await;
    assert_eq!((listed.body["jobs"].as_array().unwrap().len(), &listed.body["unreadable"]), (1, &json!(1)));
    let answer = world.call(ANN, "DELETE", &format!("/api/jobs/{other}"), None).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(record(), sealed, "byte for byte");
    let left = world.shelf.objects.lock().unwrap();
    assert!(!left.is_empty() && left.keys().all(|key| key.contains(&newer.to_string())), "{left:?}");
}
