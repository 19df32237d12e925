//! A pass of which one request fails, loses its reply, or is the last of the process: the passes after it
//! reach the same end as if nothing had happened.

use super::fixture::{EVERY, Ports};
use super::memory::Memory;
use super::world::{POLICY, World};
use cadmill_core::cleanup::upload_key;
use cadmill_core::domain::ids::{JobId, ObjectKey, Role};
use cadmill_core::domain::job::{Job, State};
use cadmill_core::domain::state::Event;
use cadmill_core::domain::upload_event;
use cadmill_core::ports::EventQueue;
use cadmill_core::ports::object_store::Purged;
use cadmill_stores::adapters::faulty::{Fault, Script};
use cadmill_stores::conformance::dynalite::Dynalite;
use cadmill_stores::conformance::iam::proxy::{Disturbance, Proxy};
use cadmill_stores::conformance::moto::{Moto, World as AwsWorld};
use futures_util::StreamExt;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

const FAULTS: [Fault; 3] = [Fault::Fail, Fault::DropReply, Fault::Die];

/// Passes until everything that was due is done, whatever happened in the first: a lease of the dead
/// program, and the longest pause before a second try.
const PASSES: u32 = 6;

/// Names of the jobs, by which two runs are compared.
type Names = BTreeMap<&'static str, Job>;

/// One job for each thing that a pass does, all of them due now, and two that are not.
async fn everything_due(ports: &Ports) -> Names {
    let begun = ports.now();
    let mut jobs = Names::new();
    let gone = ports.create().await;
    ports.send(gone.id, Event::Cancelled).await;
    let (cleanup, _) = ports.cleanup("before");
    cleanup.round().await;
    ports.pass(POLICY.linger);
    cleanup.round().await;
    assert_eq!(ports.get(gone.id).await.unwrap().purges, 2);
    jobs.insert("record to delete", gone);

    ports.until(begun + POLICY.record - POLICY.upload_window);
    let half = ports.create().await;
    ports.half(&upload_key(half.id, &half.order.file_name)).await;
    jobs.insert("half uploaded in parts", half);
    jobs.insert("never uploaded", ports.create().await);
    let late = ports.create().await;
    ports.send(late.id, Event::Cancelled).await;

    ports.until(begun + POLICY.record - POLICY.retention);
    jobs.insert("never fetched", ports.completed().await);
    ports.until(begun + POLICY.record - POLICY.linger);
    cleanup.round().await;
    ports.upload(&late).await;
    jobs.insert("uploaded late", ports.get(late.id).await.unwrap());

    ports.until(begun + POLICY.record - POLICY.redeliver);
    jobs.insert("waits for a worker", ports.uploaded().await);
    jobs.insert("waits for its upload", ports.create().await);
    let silent = ports.create().await;
    ports.upload(&silent).await;
    jobs.insert("uploaded without an event", silent);

    ports.until(begun + POLICY.record - 3 * POLICY.lease);
    jobs.insert("of a dead worker", ports.claimed().await);
    ports.until(begun + POLICY.record);
    jobs.insert("failed", ports.failed().await);
    let cancelled = ports.claimed().await;
    jobs.insert("cancelled", ports.send(cancelled.id, Event::Cancelled).await);
    let fetched = ports.completed().await;
    let stale = ObjectKey::processed(fetched.id, 2, "plan.dxf".parse().unwrap());
    ports.half(&stale).await;
    ports.result(fetched.id, 3).await;
    jobs.insert("fetched", ports.send(fetched.id, Event::Dismissed).await);
    jobs.insert("at work", ports.claimed().await);
    jobs.insert("to be fetched", ports.completed().await);
    announced(ports.queue.as_ref()).await;
    jobs
}

/// What a client and a worker can see of a job, and what is left of it in the store. Not when something
/// was done, and how often: a lost reply doubles an announcement.
#[derive(Debug, PartialEq, Eq)]
struct End {
    record: Option<(State, u32, u8, bool, bool)>,
    announced: bool,
    is_due: bool,
    has_upload: bool,
    has_result: bool,
    /// Objects, markers and uploads that the evidence of its deletions has, and that of the next will have:
    /// a job that expires is due for its deletion while it is deleted.
    evidence: u64,
}

fn evidence(job: &Job) -> u64 {
    let tries = job.unconfirmed.iter().map(|one| one.purged);
    let confirmed = job.deletions.iter().map(|one| one.objects + one.marks + one.uploads);
    confirmed.chain(tries.map(|one| one.objects + one.marks + one.uploads)).sum()
}

/// Evidence may lack what was deleted by a request whose reply was lost, or by a program that died.
fn may_lack(found: &mut BTreeMap<&'static str, End>, expected: &BTreeMap<&'static str, End>) {
    for (name, end) in found {
        assert!(end.evidence <= expected[name].evidence, "{name}: {end:?}");
        end.evidence = expected[name].evidence;
    }
}

async fn ends(ports: &Ports, jobs: &Names) -> BTreeMap<&'static str, End> {
    let announced = announced(ports.queue.as_ref()).await;
    let mut ends = BTreeMap::new();
    for (name, job) in jobs {
        let record = ports.get(job.id).await;
        let output = ObjectKey::processed(job.id, 1, "plan.dxf".parse().unwrap());
        let end = End {
            announced: announced.contains(&job.id),
            is_due: record.as_ref().is_some_and(|job| job.due.is_none_or(|due| due <= ports.now())),
            has_upload: ports.has(&upload_key(job.id, &job.order.file_name)).await,
            has_result: ports.has(&output).await,
            evidence: record.as_ref().map_or(0, evidence),
            record: record.map(|job| {
                let evidence = job.deletions.len() == usize::from(job.purges);
                (job.state, job.attempt, job.purges, job.retry.is_some(), evidence)
            }),
        };
        ends.insert(*name, end);
    }
    ends
}

/// The jobs that the cleanup has announced. Takes all messages, those of the store too, which come when
/// they come.
async fn announced(queue: &dyn EventQueue) -> BTreeSet<JobId> {
    let mut jobs = BTreeSet::new();
    loop {
        let messages = queue.receive(10, Duration::ZERO, Duration::from_secs(60)).await.unwrap();
        if messages.is_empty() {
            return jobs;
        }
        for message in messages {
            let events = upload_event::parse(&message.body).unwrap();
            jobs.extend(events.iter().filter(|event| event.reason == "Announced").map(|event| event.job));
            queue.delete(&message).await.unwrap();
        }
    }
}

/// One run: a pass of a program that uses the stores as `first`, until it has died, and passes of another
/// program that nothing disturbs. Returns the end of every job.
async fn run(ports: &Ports, first: &Ports, died: impl Future<Output = ()>) -> BTreeMap<&'static str, End> {
    let jobs = everything_due(ports).await;
    let (cleanup, membership) = first.cleanup("first");
    let lives = async {
        cleanup.turn(&membership).await;
        // Its lease ends by itself if this fails.
        let _ = membership.leave().await;
    };
    tokio::select! {
        () = lives => {}
        () = died => {}
    }
    let (cleanup, membership) = ports.cleanup("second");
    for _ in 0..PASSES {
        ports.pass(EVERY);
        cleanup.turn(&membership).await;
    }
    let ends = ends(ports, &jobs).await;
    forget(ports, jobs).await;
    ends
}

/// Ends the jobs that are left, and passes until their records are gone: nothing of any is left then.
async fn forget(ports: &Ports, jobs: Names) {
    for job in jobs.values() {
        ports.all().send(job.id, &Event::Cancelled).await.unwrap();
    }
    let (cleanup, _) = ports.cleanup("last");
    for pause in [POLICY.retention, POLICY.linger, POLICY.record] {
        ports.pass(pause);
        assert!(cleanup.round().await.is_whole());
    }
    ports.has_deleted_nothing_live();
    for (name, job) in jobs {
        assert_eq!(ports.get(job.id).await, None, "{name}");
        for role in [Role::Upload, Role::Processed] {
            assert_eq!(ports.objects.purge(role, job.id).await, Ok(Purged::default()), "{name}");
        }
    }
}

/// What the undisturbed run must end in, so that the comparison is not of nothing with nothing.
fn is_right(ends: &BTreeMap<&'static str, End>) {
    let of = |name| &ends[name];
    assert_eq!(of("record to delete").record, None);
    for name in ["half uploaded in parts", "never uploaded"] {
        assert_eq!(of(name).record, Some((State::Expired, 0, 1, false, true)), "{name}");
    }
    for (name, state, attempt, purges) in [
        ("never fetched", State::Completed, 1, 1),
        ("uploaded late", State::Cancelled, 0, 2),
        ("failed", State::Failed, 1, 1),
        ("cancelled", State::Cancelled, 1, 1),
        ("fetched", State::Completed, 1, 1),
    ] {
        let end = of(name);
        assert_eq!(end.record, Some((state, attempt, purges, false, true)), "{name}");
        assert!(!end.has_upload && !end.has_result, "{name}");
    }
    for name in ["waits for a worker", "uploaded without an event", "of a dead worker"] {
        assert!(of(name).announced && of(name).has_upload, "{name}");
    }
    assert_eq!((of("fetched").evidence, of("half uploaded in parts").evidence), (4, 1));
    assert!(of("to be fetched").has_result && of("at work").has_upload);
    assert!(ends.iter().all(|(_, end)| !end.is_due), "{ends:#?}");
}

/// Each call of an undisturbed pass that `chosen` picks by its number and operation, with each fault; so
/// many runs at once, each on the stores that `make` returns.
async fn each_call(make: impl Fn() -> Ports, at_once: usize, chosen: impl Fn(usize, &str) -> bool) -> usize {
    let script = Script::new();
    let ports = make();
    let expected = &run(&ports, &ports.under(&script), script.died()).await;
    is_right(expected);
    let made = &script.made();
    let calls = (1..).zip(made).filter(|(call, operation)| chosen(*call, operation));
    let tries = calls.flat_map(|call| FAULTS.map(|fault| (call, fault)));
    let each = tries.map(|((call, operation), fault)| {
        let ports = make();
        async move {
            let script = Script::new().at(call, fault);
            let mut found = run(&ports, &ports.under(&script), script.died()).await;
            // Which it is depends on the ids of the jobs.
            let deletes = matches!(script.made().get(call - 1), Some(&("abort" | "delete_version")));
            if fault == Fault::Die || fault == Fault::DropReply && deletes {
                may_lack(&mut found, expected);
            }
            assert_eq!(found, *expected, "{fault:?} at call {call} of {}, {operation}", made.len());
            // Passes of jobs that are served at once differ by a few calls.
            script.made().len() >= call
        }
    });
    let hits = futures_util::stream::iter(each).buffer_unordered(at_once);
    let runs = hits.filter(|is_hit| std::future::ready(*is_hit)).count().await;
    let of = |name| made.iter().filter(|made| **made == name).count();
    println!("{runs} runs of a pass with {} calls, {} of them `due`", made.len(), of("due"));
    for operation in ["crew", "replace_crew", "due", "get", "replace", "find", "send", "delete"] {
        assert!(of(operation) > 0, "no {operation} in {made:?}");
    }
    runs
}

/// Every request, those within a deletion of everything too; of the listings of what is due, most of which
/// find nothing, an eighth.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_request_of_a_pass_may_fail_or_be_the_last() {
    let chosen = |call, operation: &str| operation != "due" || call % 8 == 3;
    let runs = each_call(|| Ports::in_memory(&Memory::default()), 64, chosen).await;
    assert!(runs > 300, "{runs}");
}

/// Most listings of what is due find nothing, and one of them is like the other.
fn is_worth_it(call: usize, operation: &str) -> bool {
    operation != "due" || call % 40 == 3
}

/// On the embedded stores, a few of them.
#[tokio::test]
async fn calls_of_a_pass_on_one_machine_may_fail_or_be_the_last() {
    let world = World::new().await;
    let chosen = |call, operation: &str| is_worth_it(call, operation) && call % 36 == 3;
    assert!(each_call(|| Ports::embedded(&world), 1, chosen).await >= 6);
}

#[tokio::test]
#[ignore = "in `make nightly`"]
async fn each_call_of_a_pass_on_one_machine_may_fail_or_be_the_last() {
    let world = World::new().await;
    assert!(each_call(|| Ports::embedded(&world), 1, is_worth_it).await > 150);
}

/// On stand-ins for AWS, with versions of the objects, an eighth of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "in `make nightly`"]
async fn calls_of_a_pass_on_aws_services_may_fail_or_be_the_last() {
    let moto = Moto::start().await;
    let world = AwsWorld { jobs: Dynalite::shared().await.table().await, ..moto.world().await };
    moto.keep_versions(&world).await;
    let ports = Ports::of_aws(&world).await;
    let chosen = |call, operation: &str| is_worth_it(call, operation) && call % 8 == 3;
    assert!(each_call(|| ports.clone(), 1, chosen).await > 20);
}

/// The requests as they are on the wire, which the clients of AWS make again by themselves: one is
/// answered with 503, one loses its reply, and one is the last of the process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "in `make nightly`"]
async fn requests_of_a_pass_on_the_wire_may_fail_or_be_the_last() {
    /// Between two requests that are tried.
    const STEP: usize = 23;
    let moto = Moto::start().await;
    let world = moto.world().await;
    moto.keep_versions(&world).await;
    let proxy = Proxy::start(moto.endpoint()).await;
    proxy.attach("cleanup", vec![world.resources().policy("cleanup")]);
    let ports = Ports::of_aws(&world).await;
    let through = Ports::of_aws(&world.through(&proxy.endpoint(), "cleanup")).await;
    let first = Ports { clock: Arc::clone(&ports.clock), ..through };
    let expected = run(&ports, &first, std::future::pending()).await;
    is_right(&expected);
    let count = proxy.bill().requests.values().sum::<u64>();
    assert!(count > 200, "{count}");
    for how in [Disturbance::Fail, Disturbance::LoseReply, Disturbance::Hold] {
        for request in (1..count).step_by(STEP) {
            proxy.disturb(request, how);
            let mut found = run(&ports, &first, proxy.held()).await;
            if matches!(how, Disturbance::Hold) {
                may_lack(&mut found, &expected);
            }
            assert_eq!(found, expected, "{how:?} at request {request} of {count}");
        }
    }
    assert_eq!((proxy.refused(), proxy.unknown()), (Vec::new(), Vec::new()));
}
