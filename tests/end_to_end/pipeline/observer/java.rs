//! Java converters, in new processes and in processes that waited for their job.

use super::{Watch, while_observed};
use crate::jvm::warm::{archive, double, waiting};

/// A behaviour of the double, and the failure code of the job; `None` if the job completes.
const BEHAVIOURS: [(&str, Option<&str>); 13] = [
    ("ok", None),
    ("ordinary", None),
    ("hook", None),
    ("exit", Some("engine.no_answer")),
    ("halt", Some("engine.no_answer")),
    ("loop", Some("limit.time")),
    ("allocate", Some("limit.memory")),
    ("allocate-outside", Some("limit.memory")),
    ("threads", Some("limit.threads")),
    ("endless-file", Some("limit.output")),
    ("throw", Some("engine.rejected")),
    ("exec", Some("engine.rejected")),
    ("missing-native", Some("engine.rejected")),
];

async fn seen(warm: &'static str) {
    let (mut world, _engines) = double(warm).await;
    for (variable, value) in [("CADMILL_LIMITS_TIMEOUT", "25s"), ("CADMILL_LIMITS_MAX_OUTPUT", "16M")] {
        world.set(variable, value);
    }
    let Some(mut watch) = Watch::of(world) else { return };
    let worker = watch.world.worker("first", None);
    watch.world.wait_until_said("ready").await;
    for (behaviour, code) in BEHAVIOURS {
        if !warm.is_empty() {
            waiting(&worker).await;
        }
        watch.ends(behaviour, &archive(behaviour), code).await;
    }
    watch.world.queue_is_empty().await;
    watch.stop(worker);
    let agreed = watch.each_is_valid(BEHAVIOURS.len());
    // What three left, and what they and others had created and removed.
    assert!(agreed.found >= 8, "{agreed:?}");
}

#[ignore = "in `make nightly`"]
#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_converter_in_java_does() {
    while_observed(|| seen("")).await;
}

#[ignore = "in `make nightly`"]
#[tokio::test(flavor = "multi_thread")]
async fn whatever_one_does_that_waited_for_its_job() {
    while_observed(|| seen("assimp")).await;
}
