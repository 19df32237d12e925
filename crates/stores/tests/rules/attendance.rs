//! Whether a cleanup program is alive, as the other programs see it.

use cadmill_core::cleanup::attendance::Attendance;
use cadmill_core::cleanup::crew::Membership;
use cadmill_core::domain::job::Millis;
use cadmill_core::domain::state::Policy;
use cadmill_core::jobs::Jobs;
use cadmill_core::ports::clock::SystemClock;
use cadmill_core::ports::{Clock, PortError};
use cadmill_stores::adapters::aws::S3Store;
use cadmill_stores::adapters::embedded::Database;
use cadmill_stores::adapters::embedded::server::{Credentials, settings};
use cadmill_stores::adapters::faulty::{Fault, FaultyJobs, Script};
use cadmill_stores::readiness::Readiness;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Of the cleanup, which counts as dead after three of them.
const EVERY: Duration = Duration::from_millis(500);

struct World {
    /// Of the cleanup program.
    membership: Membership,
    attendance: Arc<Attendance>,
    readiness: Readiness,
    _data: tempfile::TempDir,
}

/// A program that looks at the record each time that it is asked.
async fn world(script: Script) -> World {
    let data = tempfile::tempdir().unwrap();
    let database = Database::open(&data.path().join("jobs.sqlite"), 100).unwrap();
    let jobs = Jobs::new(Arc::new(database.jobs()), Arc::new(SystemClock), Policy::default());
    let faulty = Arc::new(FaultyJobs::new(Arc::new(database.jobs()), script));
    let seen = Jobs::new(faulty, Arc::new(SystemClock), Policy::default());
    let attendance = Arc::new(Attendance::new(seen, Duration::ZERO));
    // Not asked.
    let keys = Credentials { access_key: "x".to_owned(), secret_key: "x".to_owned() };
    let objects = Arc::new(S3Store::new(settings("http://127.0.0.1:9".to_owned(), keys)).await);
    let readiness = Readiness::of_answers(objects, jobs.clone(), Arc::new(database.queue()))
        .with_attendance(Arc::clone(&attendance));
    World { membership: Membership::new(jobs, "one".to_owned(), EVERY), attendance, readiness, _data: data }
}

#[tokio::test]
async fn a_cleanup_counts_as_alive_for_three_of_its_intervals() {
    let World { membership, attendance, readiness, _data } = world(Script::new()).await;
    assert!(readiness.absent().is_empty(), "nothing is known before the first look");
    assert_eq!(attendance.is_given().await, Ok(false));
    assert_eq!(readiness.absent(), ["cleanup program"]);
    membership.renew().await.unwrap();
    assert_eq!(attendance.is_given().await, Ok(true));
    assert!(readiness.absent().is_empty());
    // It dies, and another look at the same record does not prolong its life.
    tokio::time::sleep(EVERY).await;
    let _ = attendance.is_given().await;
    tokio::time::sleep(EVERY * 2 + Duration::from_millis(50)).await;
    assert_eq!(attendance.is_given().await, Ok(false));
    membership.renew().await.unwrap();
    assert_eq!(attendance.is_given().await, Ok(true), "it is there again");
    membership.leave().await.unwrap();
    assert_eq!(attendance.is_given().await, Ok(false), "it has said that it goes");
}

/// A store that fails says nothing about the cleanup: another check reports the store.
#[tokio::test]
async fn a_store_that_fails_changes_nothing() {
    let World { membership, attendance, readiness, _data } =
        world(Script::new().on("crew", 2, Fault::Fail)).await;
    membership.renew().await.unwrap();
    assert_eq!(attendance.is_given().await, Ok(true));
    assert!(matches!(attendance.is_given().await, Err(PortError::Unavailable { .. })));
    assert!(readiness.absent().is_empty());
}

/// The clock of a program that died before the clock was set right.
struct Ahead;

impl Clock for Ahead {
    fn now(&self) -> Millis {
        SystemClock.now() + 3_600_000
    }
}

#[tokio::test]
async fn a_lease_of_a_clock_that_was_ahead_ends_too() {
    let data = tempfile::tempdir().unwrap();
    let database = Database::open(&data.path().join("jobs.sqlite"), 100).unwrap();
    let program = |name: &str, clock: Arc<dyn Clock>| {
        let jobs = Jobs::new(Arc::new(database.jobs()), clock, Policy::default());
        Membership::new(jobs, name.to_owned(), Duration::from_millis(20))
    };
    program("dead", Arc::new(Ahead)).renew().await.unwrap();
    let alive = program("alive", Arc::new(SystemClock));
    let first = alive.renew().await.unwrap().len();
    assert!((1..128).contains(&first), "{first}: the other one is believed at first");
    let until = Instant::now() + Duration::from_secs(20);
    while alive.renew().await.unwrap().len() < 128 {
        assert!(Instant::now() < until, "the dead program keeps its share");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
