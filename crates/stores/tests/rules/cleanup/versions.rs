//! Records of another version: what this one does not know is kept in memory too, and jobs in a state that it
//! does not know are left to the programs that know it, with everything of theirs.

use super::memory::Memory;
use super::*;
use async_trait::async_trait;
use cadmill_core::cleanup::crew::Membership;
use cadmill_core::cleanup::dead_letters::DeadLetters;
use cadmill_core::cleanup::orphans::Orphans;
use cadmill_core::domain::crew::Crew;
use cadmill_core::domain::job::Job;
use cadmill_core::domain::stored;
use cadmill_core::domain::upload_event;
use cadmill_core::ports::JobStore;
use cadmill_stores::conformance::other_version::{self, Raw};
use std::time::Instant;

#[async_trait]
impl Raw for Memory {
    async fn read(&self, id: JobId) -> String {
        stored::write(&self.jobs().get(id).await.unwrap().unwrap()).unwrap()
    }

    async fn write(&self, id: JobId, record: String) {
        let job: Job = stored::read(&record).unwrap();
        assert_eq!(job.id, id);
        self.overwrite(job);
    }
}

#[tokio::test]
async fn what_another_version_has_in_a_record_is_kept_in_memory() {
    let memory = Memory::default();
    other_version::keeps_what_it_does_not_know(Arc::new(memory.jobs()), &memory).await;
}

/// A job that waits to be deleted, in a state of another version; with its record.
async fn left(world: &World, raw: &rusqlite::Connection) -> (JobId, ObjectKey, String) {
    let (job, key) = world.completed().await;
    world.send(job, Event::Dismissed).await;
    let sql = "SELECT record FROM jobs WHERE id = ?1";
    let record: String = raw.query_row(sql, [job.to_string()], |row| row.get(0)).unwrap();
    let record = record.replace("\"COMPLETED\"", "\"DELIVERED\"");
    raw.execute("UPDATE jobs SET record = ?2 WHERE id = ?1", [job.to_string(), record.clone()]).unwrap();
    (job, key, record)
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_in_a_state_of_another_version_are_left_and_delay_no_other() {
    let world = World::new().await;
    let raw = rusqlite::Connection::open(world.data.path().join("jobs.sqlite")).unwrap();
    let mut newer = Vec::new();
    for _ in 0..3 {
        newer.push(left(&world, &raw).await);
    }
    let (ordinary, key) = world.completed().await;
    world.send(ordinary, Event::Dismissed).await;

    let round = world.round().await;
    assert_eq!((round.newer, round.unreadable, round.failed, round.objects), (3, 0, 0, 2), "{round:?}");
    assert!(!round.is_whole() && !world.has(&key).await);
    assert_eq!(world.round().await.newer, 0, "for a minute");
    world.pass(LEFT);
    assert_eq!(world.round().await.newer, 3);

    // What else deletes keeps them too.
    let mut orphans = Orphans::new(world.jobs(Script::new()), world.objects.clone(), Duration::ZERO);
    let ids: Vec<JobId> = newer.iter().map(|(id, ..)| *id).collect();
    for _ in 0..2 {
        let found = orphans.round(&ids, Instant::now()).await.unwrap();
        assert_eq!((found.found, found.deleted), (0, 0));
    }
    let event = upload_event::of_key(world.server.bucket(), &newer[0].1);
    let event = event.replace("processed", "uploads").replace("/1/", "/");
    world.queue.send(&event).await.unwrap();
    let message = world.queue.receive(1, Duration::ZERO, Duration::from_secs(60)).await.unwrap().remove(0);
    world.queue.dead_letter(&message).await.unwrap();
    let letters = DeadLetters::new(
        world.jobs(Script::new()),
        Arc::clone(&world.queue),
        world.server.bucket().to_owned(),
    );
    let sifted = letters.pass().await.unwrap();
    assert_eq!((sifted.deleted, sifted.left), (0, 1));
    let waits = |id: JobId| {
        let sql = "SELECT record FROM jobs WHERE id = ?1";
        raw.query_row(sql, [id.to_string()], |row| row.get::<_, String>(0)).unwrap()
    };
    for (id, key, record) in &newer {
        assert_eq!(waits(*id), *record, "byte for byte");
        assert!(world.has(key).await);
    }

    // A program that knows the state finds them due.
    for (id, _, record) in &newer {
        let known = record.replace("\"DELIVERED\"", "\"COMPLETED\"");
        raw.execute("UPDATE jobs SET record = ?2 WHERE id = ?1", [id.to_string(), known]).unwrap();
    }
    world.pass(LEFT);
    let round = world.round().await;
    assert_eq!((round.newer, round.objects, round.failed), (0, 6, 0), "{round:?}");
}

/// While a program of a newer generation is alive, it has all the work: nothing is left undone that it knows.
#[tokio::test]
async fn an_older_cleanup_leaves_the_work_to_a_newer_one() {
    let world = World::new().await;
    let jobs = || world.jobs(Script::new());
    let old = Membership::new(jobs(), "old".to_owned(), Duration::from_secs(15));
    assert_eq!(old.renew().await.unwrap().len(), 128);
    let store = world.database.jobs();
    let now = world.clock.now();
    let crew = store.crew().await.unwrap().unwrap().with("new", now, now + 45_000);
    let generations = [("new".to_owned(), stored::GENERATION + 1), ("old".to_owned(), stored::GENERATION)];
    assert!(store.replace_crew(&Crew { generations: generations.into(), ..crew }).await.unwrap());
    assert_eq!(old.renew().await.unwrap().len(), 0);
    let crew = store.crew().await.unwrap().unwrap();
    assert_eq!((crew.generations.len(), crew.parts_of("new", now).len()), (2, 128));
    world.pass(45_000);
    assert_eq!(old.renew().await.unwrap().len(), 128, "it is gone");
}
