//! The generated OpenAPI document equals the committed one.

use crate::support::world;
use serde_json::Value;
use std::collections::BTreeSet;

/// With `UPDATE_DOCS=1` in the environment the test writes the file instead.
#[tokio::test]
async fn the_committed_description_is_this_one() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/openapi.json");
    let text = cadmill_api::openapi::document().text();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    assert!(
        std::fs::read_to_string(path).unwrap_or_default() == text,
        "docs/openapi.json is out of date: UPDATE_DOCS=1 cargo test -p cadmill-api"
    );
    let served = world().call("", "GET", "/openapi.json", None).await;
    assert_eq!(served.body, serde_json::from_str::<Value>(&text).unwrap());
}

#[test]
fn every_operation_has_a_name_and_says_how_it_fails() {
    let document: Value = serde_json::from_str(&cadmill_api::openapi::document().text()).unwrap();
    let mut names = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for operation in item.as_object().unwrap().values() {
            assert!(names.insert(operation["operationId"].as_str().unwrap()), "{path}");
            let owned = path.starts_with("/api/jobs") || path == "/api/events";
            assert_eq!(operation["security"].is_array(), owned, "{path}");
            assert_eq!(operation["responses"].get("401").is_some(), owned, "{path}");
            assert!(operation["responses"].get("429").is_some(), "{path}");
        }
    }
    assert_eq!(names.len(), 19, "{names:?}");
}
