//! No client can lock out other clients or the health checks.

use crate::support::{ANN, World, request, snapshot, world, world_with};
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Request;
use cadmill_api::listener::serve;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

async fn status(world: &World, path: &str) -> u16 {
    world.call("", "GET", path, None).await.status.as_u16()
}

#[tokio::test]
async fn ten_thousand_bad_tokens_leave_the_server_in_service() {
    let world = world();
    let mut limited = 0;
    for number in 0..10_000 {
        let answer = world.call(&format!("bad{number}"), "GET", "/api/jobs", None).await;
        limited += u32::from(answer.status == 429);
    }
    assert!(limited > 5_000, "{limited}");
    for _ in 0..300 {
        assert_eq!((status(&world, "/readyz").await, status(&world, "/healthz").await), (200, 200));
    }
    assert_eq!(world.call(ANN, "GET", "/api/jobs", None).await.status, 200);
}

#[tokio::test]
async fn behind_a_proxy_the_rate_is_the_clients() {
    let world = world_with(|settings| {
        settings.config.rate_per_second = 1;
        settings.config.rate_burst = 2;
        settings.config.trusted_proxies.0 = vec!["10.0.0.0/8".parse().unwrap()];
    });
    let ask = async |peer: &str, forwarded: &[&str]| {
        let mut request: Request<Body> = request("", "GET", "/api/formats", None);
        let peer: SocketAddr = format!("{peer}:4000").parse().unwrap();
        request.extensions_mut().insert(ConnectInfo(peer));
        for line in forwarded {
            request.headers_mut().append("x-forwarded-for", line.parse().unwrap());
        }
        world.send(request).await.status.as_u16()
    };
    // One client behind two proxies, whatever else it claims in the header.
    assert_eq!(ask("10.0.0.1", &["192.0.2.1"]).await, 200);
    assert_eq!(ask("10.0.0.2", &["198.51.100.9, 192.0.2.1"]).await, 200);
    assert_eq!(ask("10.0.0.2", &["198.51.100.9", "192.0.2.1:99, 10.0.0.7"]).await, 429);
    assert_eq!(ask("10.0.0.1", &["192.0.2.2"]).await, 200);
    // A peer that is not a proxy is not trusted.
    for claim in ["192.0.2.7", "192.0.2.8"] {
        assert_eq!(ask("192.0.2.3", &[claim]).await, 200);
    }
    assert_eq!(ask("192.0.2.3", &["192.0.2.9"]).await, 429);
    // IPv6 /64 networks.
    for (address, expected) in [("2001:db8::1", 200), ("2001:db8::2", 200), ("2001:db8::3", 429)] {
        assert_eq!(ask("10.0.0.1", &[address]).await, expected, "{address}");
    }
}

#[tokio::test]
async fn a_store_that_takes_no_writes_is_not_ready() {
    let world = world();
    world.shelf.full.store(true, std::sync::atomic::Ordering::SeqCst);
    snapshot!("not_writable", world.call("", "GET", "/readyz", None).await);
    assert_eq!(status(&world, "/healthz").await, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_server_answers_health_checks() {
    for (total, per_client) in [(6, 100), (100, 6)] {
        let world = world_with(|settings| {
            settings.config.connections = total;
            settings.config.connections_per_client = per_client;
            settings.config.header_time = Duration::from_secs(60);
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let server = tokio::spawn(serve(listener, world.state.clone(), async {
            let _ = stopped.await;
        }));
        let ask = move |path: &'static str| {
            tokio::task::spawn_blocking(move || {
                let mut stream = TcpStream::connect(address).unwrap();
                stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
                let head = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
                stream.write_all(head.as_bytes()).unwrap();
                let mut answer = Vec::new();
                let _ = stream.read_to_end(&mut answer);
                String::from_utf8_lossy(&answer).into_owned()
            })
        };
        let crowd: Vec<TcpStream> = (0..150).map(|_| TcpStream::connect(address).unwrap()).collect();
        while world.state.door().gate().open() < 6 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        for path in ["/healthz", "/readyz", "/healthz", "/readyz"] {
            assert!(ask(path).await.unwrap().starts_with("HTTP/1.1 200"), "{path}");
        }
        let refused = ask("/api/formats").await.unwrap();
        assert!(refused.starts_with("HTTP/1.1 503") && refused.contains("server.unavailable"), "{refused}");
        drop(crowd);
        while world.state.door().gate().open() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(ask("/api/formats").await.unwrap().starts_with("HTTP/1.1 200"));
        stop.send(()).unwrap();
        server.await.unwrap().unwrap();
    }
}
