//! The page under `/app/`, whether or not it was built.

use crate::support::{header, request, world, world_with};

#[tokio::test]
async fn the_page_may_connect_to_the_store_and_run_its_own_scripts_only() {
    let world = world();
    let answer = world.send(request("", "GET", "/app/", None)).await;
    assert_eq!(answer.status, 200, "without a token");
    assert_eq!(header(&answer, "content-type"), "text/html; charset=utf-8");
    assert_eq!(header(&answer, "cache-control"), "no-cache");
    let policy = header(&answer, "content-security-policy");
    assert!(
        policy.starts_with("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
        "{policy}"
    );
    assert!(!policy.contains("unsafe"), "{policy}");
    let text = answer.body.as_str().unwrap();
    assert!(text.contains("<title>cadmill</title>") && !text.contains("<script>"), "{text}");
    // The assets that it names are there, for ever.
    for name in text.split("\"assets/").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        let asset = world.send(request("", "GET", &format!("/app/assets/{name}"), None)).await;
        assert_eq!(asset.status, 200, "{name}");
        assert_eq!(header(&asset, "cache-control"), "public, max-age=31536000, immutable");
        assert!(policy.contains("connect-src 'self' blob: http"), "{policy}");
    }
}

#[tokio::test]
async fn what_the_page_has_not_is_a_problem() {
    let world = world();
    for path in ["/app/x", "/app/assets/x.js", "/app/assets/index.html", "/app/assets/..%2findex.html"] {
        let answer = world.send(request("", "GET", path, None)).await;
        assert_eq!(answer.status, 404, "{path}");
        assert_eq!(answer.body["code"], "request.not_found", "{path}");
        assert_eq!(header(&answer, "cache-control"), "no-store", "{path}");
    }
    let answer = world.send(request("", "POST", "/app/", None)).await;
    assert_eq!(answer.body["code"], "request.method");
    let answer = world.send(request("", "GET", "/app", None)).await;
    assert_eq!((answer.status.as_u16(), header(&answer, "location")), (307, "/app/"));
}

#[tokio::test]
async fn a_server_without_the_page_has_nothing_there() {
    let world = world_with(|settings| settings.config.page = false);
    for path in ["/app", "/app/", "/app/assets/x.js"] {
        let answer = world.send(request("", "GET", path, None)).await;
        assert_eq!(
            (answer.status.as_u16(), answer.body["code"].as_str()),
            (404, Some("request.not_found")),
            "{path}"
        );
    }
}
