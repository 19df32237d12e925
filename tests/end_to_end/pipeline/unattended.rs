//! A worker beside which no cleanup program runs: it says so, and goes on.

use super::world::World;
use crate::support::real;
use cadmill_core::cleanup::crew::Membership;
use std::time::{Duration, Instant};

fn get(url: &str) -> String {
    let agent: ureq::Agent = ureq::Agent::config_builder().proxy(None).build().into();
    agent.get(url).call().expect("an answer of 200").body_mut().read_to_string().expect("its text")
}

/// Waits until the page has this text.
async fn shows(url: &str, text: &str) -> String {
    let since = Instant::now();
    loop {
        let page = get(url);
        if page.contains(text) {
            return page;
        }
        assert!(since.elapsed() < super::worker::PATIENCE, "{url} never shows {text:?}: {page}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_without_a_cleanup_says_so_and_goes_on() {
    let mut world = World::new().await;
    world.set("CADMILL_METRICS_LISTEN", "0");
    let worker = world.worker("worker", None);
    let since = Instant::now();
    let page = loop {
        let log = worker.log();
        let url = log.lines().find_map(|line| line.split_once(" on http://")?.1.strip_suffix("/metrics"));
        if let Some(url) = url {
            break format!("http://{url}");
        }
        assert!(since.elapsed() < super::worker::PATIENCE, "{log}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    // The status stays 200: an orchestrator must not replace a worker for this.
    let (ready, metrics) = (format!("{page}/readyz"), format!("{page}/metrics"));
    let body = shows(&ready, "cleanup program").await;
    assert_eq!(body, "ready\nnot alive: cleanup program\n");
    shows(&metrics, "\ncadmill_cleanup_attended 0\n").await;
    let said = |text: &str| worker.log().lines().filter(|line| line.contains(text)).count();
    assert_eq!(said("no cleanup program is alive"), 1, "{}", worker.log());
    let archive = std::fs::read(real("gis/naturalearth_lowres.zip")).expect("a fixture");
    let id = world.submit(&archive, "dxf").await;
    world.completed(id).await;

    // One comes.
    let membership = Membership::new(world.jobs.clone(), "one".to_owned(), Duration::from_secs(60));
    membership.renew().await.expect("it is entered");
    shows(&metrics, "\ncadmill_cleanup_attended 1\n").await;
    assert_eq!(get(&ready), "ready\n");
    assert_eq!((said("no cleanup program is alive"), said("\"a cleanup program is alive")), (1, 1));
    assert_eq!(worker.terminate(), Some(0), "{}", world.logs());
}
