//! What the cleanup shows of its backlog, on the embedded stores. Alarms depend on it: it must rise while a
//! store hangs, and must not stay when another program has done the work.

use super::*;
use crate::adapters::aws::S3Store;
use crate::adapters::embedded::EmbeddedS3;
use crate::adapters::faulty::FaultyObjects;
use cadmill_core::cleanup::Cleanup;
use cadmill_core::cleanup::crew::Membership;
use cadmill_core::domain::due::{Part, Work};
use cadmill_core::domain::job::Millis;
use cadmill_core::ports::{Clock, ObjectStore};
use std::sync::atomic::{AtomicU64, Ordering};

const MINUTE: Millis = 60_000;

const UNCONFIRMED: &str = "cadmill_unconfirmed_purges";
const OLDEST: &str = "cadmill_oldest_due_seconds{kind=\"delete\"}";
const OLDEST_TO_WAKE: &str = "cadmill_oldest_due_seconds{kind=\"wake\"}";

struct ManualClock(AtomicU64);

impl Clock for ManualClock {
    fn now(&self) -> Millis {
        self.0.load(Ordering::Relaxed)
    }
}

struct World {
    clock: Arc<ManualClock>,
    database: Database,
    objects: Arc<dyn ObjectStore>,
    bucket: String,
}

impl World {
    fn jobs(&self) -> Jobs {
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        Jobs::new(Arc::new(self.database.jobs()), clock, Default::default())
    }

    /// A cleanup program that may delete nothing in its first `refused` tries, each in two places.
    fn cleanup(&self, refused: u32) -> Cleanup {
        self.cleanup_with(
            (1..=2 * refused).fold(Script::new(), |script, call| script.on("purge", call, Fault::Fail)),
        )
    }

    /// A cleanup program with these faults of its objects.
    fn cleanup_with(&self, script: Script) -> Cleanup {
        let objects = Arc::new(FaultyObjects::new(Arc::clone(&self.objects), script));
        let queue = Arc::new(self.database.queue());
        Cleanup::new(self.jobs(), objects, queue, self.bucket.clone(), "test".to_owned())
    }

    fn pass(&self, millis: Millis) {
        self.clock.0.fetch_add(millis, Ordering::Relaxed);
    }

    /// A job that has ended, with the shard of its deletion.
    async fn ended(&self) -> (Job, Part) {
        let job = job(0);
        let (job, _) = self.jobs().create(job.id, job.order).await.unwrap();
        self.jobs().send(job.id, &Event::Cancelled).await.unwrap();
        let part = Part::with(Work::Delete, job.id);
        (job, part)
    }
}

/// Reads a series: its name, and the value of its label.
type Gauge = Box<dyn Fn(&str) -> f64>;

/// Runs a test that is given the current values of gauges.
fn watched<F: Future<Output = ()>>(test: impl FnOnce(World, Gauge) -> F) {
    let (recorder, shown) = Metrics::recorder("test");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    ::metrics::with_local_recorder(&recorder, || {
        runtime.block_on(async {
            let data = tempfile::tempdir().unwrap();
            let database = Database::open(&data.path().join("jobs.sqlite"), 10).unwrap();
            let queue = Arc::new(database.queue());
            let listen = ([127, 0, 0, 1], 0).into();
            let server = EmbeddedS3::start(data.path(), listen, queue, &[]).await.unwrap();
            let objects = Arc::new(S3Store::new(server.settings()).await);
            let clock = Arc::new(ManualClock(AtomicU64::new(1_000_000_000)));
            let world = World { clock, database, objects, bucket: server.bucket().to_owned() };
            let gauge = move |series: &str| {
                let text = shown.render();
                let name = |sample: &text::Sample<'_>| match sample.labels {
                    "" => sample.name.to_owned(),
                    labels => format!("{}{{{labels}}}", sample.name),
                };
                text::samples(&text).find(|sample| name(sample) == series).map_or(f64::NAN, |one| one.value)
            };
            test(world, Box::new(gauge)).await;
            server.stop().await;
        });
    });
}

#[test]
fn what_could_not_be_deleted_is_counted_until_it_is() {
    watched(|world, gauge| async move {
        world.ended().await;
        let cleanup = world.cleanup(2);
        for (pause, failing) in [(0, 1.0), (10_000, 1.0), (19_000, 1.0), (1_000, 0.0)] {
            world.pass(pause);
            cleanup.round().await;
            assert_eq!(gauge(UNCONFIRMED), failing, "after {pause} ms");
        }
    });
}

/// A client may confirm its download, and another cleanup program may have the shard next.
#[test]
fn what_another_program_has_deleted_is_not_counted() {
    watched(|world, gauge| async move {
        let (job, _) = world.ended().await;
        let cleanup = world.cleanup(1);
        cleanup.round().await;
        assert_eq!(gauge(UNCONFIRMED), 1.0);
        world.pass(10_000);
        assert!(world.cleanup(0).round().await.is_whole());
        assert_eq!(world.jobs().store().get(job.id).await.unwrap().unwrap().purges, 1);
        // It was due 10 s after the failure. The list of due jobs may lag.
        cleanup.round().await;
        assert_eq!(gauge(UNCONFIRMED), 1.0);
        world.pass(MINUTE + 1);
        cleanup.round().await;
        assert_eq!(gauge(UNCONFIRMED), 0.0);
    });
}

#[test]
fn what_fails_in_a_shard_that_another_program_has_now_is_counted_there() {
    watched(|world, gauge| async move {
        let (_, part) = world.ended().await;
        let cleanup = world.cleanup(1);
        cleanup.pass(&[part]).await;
        assert_eq!(gauge(UNCONFIRMED), 1.0);
        let others: Vec<Part> = Part::all().filter(|other| *other != part).collect();
        cleanup.pass(&others).await;
        assert_eq!(gauge(UNCONFIRMED), 0.0);
    });
}

/// The record was deleted by hand.
#[test]
fn a_job_without_a_record_is_not_counted() {
    watched(|world, gauge| async move {
        let (job, _) = world.ended().await;
        let cleanup = world.cleanup(1);
        cleanup.round().await;
        let record = world.jobs().store().get(job.id).await.unwrap().unwrap();
        assert!(world.jobs().store().delete(&record).await.unwrap());
        world.pass(10_000 + MINUTE + 1);
        cleanup.round().await;
        assert_eq!(gauge(UNCONFIRMED), 0.0);
    });
}

/// A pass that hangs does not end, and would show nothing.
#[test]
fn what_is_due_gets_older_while_the_object_store_hangs() {
    watched(|world, gauge| async move {
        world.ended().await;
        world.pass(1000);
        let every = Duration::from_millis(100);
        let cleanup = world.cleanup_with(Script::new().on("purge", 1, Fault::Delay(Duration::from_secs(3))));
        let membership = Membership::new(world.jobs(), "test".to_owned(), every);
        let meanwhile = async {
            tokio::time::sleep(every * 10).await;
            assert_eq!(gauge(OLDEST), 1.0);
            world.pass(2 * MINUTE);
            tokio::time::sleep(every * 5).await;
            assert_eq!((gauge(OLDEST), gauge(OLDEST_TO_WAKE)), (121.0, 0.0));
            while gauge(OLDEST) > 0.0 {
                tokio::time::sleep(every).await;
            }
        };
        tokio::select! {
            () = cleanup.run(&membership, std::future::pending()) => {}
            () = meanwhile => {}
        }
    });
}
