//! Workspaces in a private tmpfs of the worker, where the host allows it.

use super::world::{World, large_archive};
use crate::support::{Bench, tree};
use std::path::PathBuf;

/// Whether a worker of this user would get one here.
pub(crate) fn is_given() -> bool {
    let bench = Bench::new();
    let given = bench.run(&["doctor", "--json"]).json()["machine"]["workspace_private"] == true;
    if !given {
        println!("skipped: this host gives no mount namespace");
    }
    given
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_else_sees_it_and_it_dies_with_the_worker() {
    if !is_given() {
        return;
    }
    let world = World::with_private_workspaces().await;
    let id = world.submit(&large_archive(50_000), "dxf").await;
    let first = world.worker("first", Some("converting"));
    first.stopped().await;

    let outside = tree(world.place());
    assert_eq!(outside.len(), 1, "the mount point and nothing else: {outside:?}");
    // The search must find the files where they are: in the worker's mount namespace, which root
    // may read.
    let inside = PathBuf::from(format!("/proc/{}/root", first.id()))
        .join(world.place().strip_prefix("/").expect("an absolute place"));
    if rustix::process::geteuid().is_root() {
        let names = tree(&inside);
        assert!(names.iter().any(|path| path.ends_with("in/line.geojson")), "{names:?}");
    }

    first.kill();
    let second = world.worker("second", None);
    let (job, _) = world.completed(id).await;
    assert_eq!(job.attempt, 2);
    let outside = tree(world.place());
    assert_eq!(outside.len(), 1, "the second worker has one, and removed the first one's: {outside:?}");
    assert_eq!(second.terminate(), Some(0));
    world.workspace_is_empty().await;
}
