//! The same event, delivered any number of times.

use super::world::World;
use crate::support::real;

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_events_to_four_workers_are_one_conversion() {
    let world = World::new().await;
    let archive = std::fs::read(real("gis/naturalearth_lowres.zip")).unwrap();
    let id = world.submit(&archive, "dxf").await;
    world.repeat_event(id, 99).await;
    let workers: Vec<_> = (1..=4).map(|n| world.worker(&format!("w{n}"), None)).collect();
    let (job, dxf) = world.completed(id).await;
    assert_eq!(job.attempt, 1);
    assert!(dxf.ends_with(b"EOF\r\n"), "a whole DXF file");
    world.queue_is_empty().await;
    assert_eq!(world.said("\"claimed\""), 1, "one conversion");
    assert_eq!(world.said("\"completed\""), 1, "one result");
    let late = world.said("deleting its object\"");
    assert_eq!(world.said("ignoring a duplicate event\"") + late, 99);
    assert_eq!(world.queue.dead_letters().await.unwrap(), 0);
    assert_eq!(world.job(id).await, job, "nothing changed after the end");
    for worker in workers {
        assert_eq!(worker.terminate(), Some(0));
    }
    world.workspace_is_empty().await;
}
