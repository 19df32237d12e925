//! Common response headers, rate limits and CORS.

use crate::support::{ANN, BOB, header, order, request, snapshot, world, world_with};
use axum::body::Body;
use axum::http::Request;
use cadmill_api::listener::serve;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

#[tokio::test]
async fn callers_have_a_rate_of_their_own() {
    let world = world_with(|settings| {
        settings.config.rate_per_second = 1;
        settings.config.rate_burst = 3;
    });
    for _ in 0..3 {
        assert_eq!(world.call(ANN, "GET", "/api/jobs", None).await.status, 200);
    }
    snapshot!("rate_limit", world.call(ANN, "GET", "/api/jobs", None).await);
    assert_eq!(world.call(BOB, "GET", "/api/jobs", None).await.status, 200);
    // Unidentified callers share one rate, including those that guess tokens.
    for _ in 0..3 {
        assert_eq!(world.call("wrong", "GET", "/api/jobs", None).await.status, 401);
    }
    assert_eq!(world.call("wrong", "GET", "/api/jobs", None).await.status, 429);
    assert_eq!(world.call("", "GET", "/api/formats", None).await.status, 429);
    assert_eq!(world.call(BOB, "GET", "/api/jobs", None).await.status, 200);
}

#[tokio::test]
async fn every_answer_has_the_headers() {
    let world = world();
    for (method, path) in
        [("GET", "/healthz"), ("GET", "/nowhere"), ("PUT", "/api/jobs"), ("GET", "/api/jobs")]
    {
        let answer = world.call(ANN, method, path, None).await;
        assert_eq!(header(&answer, "x-request-id").len(), 36, "{path}");
        assert_eq!(header(&answer, "cache-control"), "no-store");
        assert_eq!(header(&answer, "x-content-type-options"), "nosniff");
        assert_eq!(header(&answer, "referrer-policy"), "no-referrer");
        assert!(header(&answer, "content-security-policy").starts_with("default-src 'none'"));
    }
    let mut named = request(ANN, "GET", "/healthz", None);
    named.headers_mut().insert("x-request-id", "trace-7".parse().unwrap());
    assert_eq!(header(&world.send(named).await, "x-request-id"), "trace-7");
}

#[tokio::test]
async fn only_listed_origins_may_call() {
    let world =
        world_with(|settings| settings.config.cors_origins = vec!["https://app.example.com".to_owned()]);
    let preflight = async |origin: &str| {
        let request = Request::builder()
            .method("OPTIONS")
            .uri("/api/jobs")
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization,content-type,last-event-id")
            .body(Body::empty());
        world.send(request.unwrap()).await
    };
    let good = preflight("https://app.example.com").await;
    assert_eq!(good.status, 200);
    assert_eq!(header(&good, "access-control-allow-origin"), "https://app.example.com");
    assert_eq!(header(&good, "access-control-allow-credentials"), "");
    let allowed = header(&good, "access-control-allow-headers").to_ascii_lowercase();
    for name in ["authorization", "content-type", "if-none-match", "last-event-id"] {
        assert!(allowed.contains(name), "{allowed}");
    }
    let bad = preflight("https://app.example.com.evil.com").await;
    assert_eq!(header(&bad, "access-control-allow-origin"), "");
    let mut call = request(ANN, "POST", "/api/jobs", Some(order()));
    call.headers_mut().insert("origin", "https://app.example.com".parse().unwrap());
    let exposed = header(&world.send(call).await, "access-control-expose-headers").to_ascii_lowercase();
    for name in ["etag", "retry-after", "location", "x-request-id"] {
        assert!(exposed.contains(name), "{exposed}");
    }
}

/// Over a socket: a valid request, oversized and unfinished headers, and shutdown.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_served_connection_has_limits_and_ends() {
    let world = world_with(|settings| settings.config.header_time = Duration::from_millis(300));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = tokio::spawn(serve(listener, world.state.clone(), async {
        let _ = stopped.await;
    }));
    let say = move |text: String| {
        tokio::task::spawn_blocking(move || {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            stream.write_all(text.as_bytes()).unwrap();
            let mut answer = Vec::new();
            // A reset after the response is as acceptable as a close.
            let _ = stream.read_to_end(&mut answer);
            String::from_utf8_lossy(&answer).into_owned()
        })
    };
    let head = "GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n";
    assert!(say(format!("{head}\r\n")).await.unwrap().starts_with("HTTP/1.1 200"));
    let long = say(format!("{head}x-long: {}\r\n\r\n", "a".repeat(20_000))).await.unwrap();
    assert!(long.starts_with("HTTP/1.1 431"), "{long}");
    // A client that never finishes its headers is disconnected.
    let slow = say(head.to_owned()).await.unwrap();
    assert!(!slow.contains("200"), "{slow}");
    stop.send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(20), server).await.unwrap().unwrap().unwrap();
    assert!(TcpStream::connect(address).is_err());
}
