//! The contract of [`JobStore`].

use cadmill_core::domain::crew::Crew;
use cadmill_core::domain::due::Part;
use cadmill_core::domain::ids::{JobId, Owner};
use cadmill_core::domain::job::{Compress, Job, JobSpec, Millis, State};
use cadmill_core::domain::ledger::LedgerId;
use cadmill_core::domain::quota::{Place, Quota, Usage};
use cadmill_core::domain::state::{Policy, created};
use cadmill_core::ports::job_store::{Created, Due, Page, Replaced, UsageReplaced};
use cadmill_core::ports::{JobStore, PortError, PortResult};
use std::time::Duration;

/// Runs the whole contract.
///
/// # Panics
/// If the store violates the contract.
pub async fn suite(store: &dyn JobStore) {
    store.check().await.expect("the store answers");
    store.can_write().await.expect("the store takes writes");
    creates_once(store).await;
    replaces_the_judged_version_only(store).await;
    reads_many(store).await;
    one_of_many_writers_wins(store).await;
    one_of_many_creators_wins(store).await;
    deletes_the_judged_version_only(store).await;
    lists_by_owner(store).await;
    refuses_pages_it_did_not_give(store).await;
    tells_what_is_due(store).await;
    lists_what_is_due_in_pages(store).await;
    has_one_crew(store).await;
    keeps_usages_apart_from_jobs(store).await;
    one_of_many_changes_of_a_usage_wins(store).await;
}

/// A new job of this owner, created at this time.
pub fn new_job(owner: &Owner, now: Millis) -> Job {
    let order = JobSpec {
        owner: owner.clone(),
        file_name: "a \"part\" of Gerät+%2F.zip".parse().expect("a file name"),
        size_bytes: 7 << 32,
        sha256: Some("00".repeat(32)),
        format: "dxf".to_owned(),
        root: Some("in/the/archive.shp".to_owned()),
        options: [("scale".to_owned(), "1,5 €".to_owned())].into(),
        compress: Compress::Auto,
        strict: true,
        accept_gzip: true,
        result_ttl_seconds: Some(600),
    };
    created(JobId::random(), order, &Policy::default(), now)
}

/// An owner that is unique to this run.
pub fn new_owner() -> Owner {
    format!("owner|{}", JobId::random()).parse().expect("an owner")
}

/// The job after one change.
fn changed(job: &Job) -> Job {
    let ledger = LedgerId::of_attempt(job.id, 1);
    let lines = ["{\"a\":1}\n"];
    let audit = vec![super::audit_sink::head_of(ledger, &lines)];
    Job { version: job.version + 1, polls: job.polls + 1, audit, ..job.clone() }
}

async fn creates_once(store: &dyn JobStore) {
    let job = new_job(&new_owner(), 1_000);
    assert_eq!(store.get(job.id).await, Ok(None), "a job that was never created");
    assert_eq!(store.create(&job).await, Ok(Created::New));
    assert_eq!(
        store.get(job.id).await,
        Ok(Some(job.clone())),
        "a read after a write sees it, field by field"
    );
    assert_eq!(store.create(&job).await, Ok(Created::Exists(Box::new(job.clone()))));

    let other =
        Job { order: JobSpec { size_bytes: 1, owner: new_owner(), ..job.order.clone() }, ..job.clone() };
    assert_eq!(store.create(&other).await, Ok(Created::Exists(Box::new(job.clone()))), "the first one stays");
    assert_eq!(store.get(job.id).await, Ok(Some(job)));
}

async fn replaces_the_judged_version_only(store: &dyn JobStore) {
    let first = new_job(&new_owner(), 1_000);
    let second = Job { due: None, state: State::Cancelled, ..changed(&first) };
    assert_eq!(store.replace(&second).await, Ok(Replaced::Conflict(None)), "nothing is there to replace");
    assert_eq!(store.get(first.id).await, Ok(None), "and nothing was made");

    store.create(&first).await.expect("created");
    assert_eq!(store.replace(&second).await, Ok(Replaced::Done));
    assert_eq!(store.get(first.id).await, Ok(Some(second.clone())));
    // The same again, as after a lost reply: the answer shows that the write took effect.
    assert_eq!(store.replace(&second).await, Ok(Replaced::Conflict(Some(Box::new(second.clone())))));

    let outdated = Job { polls: 99, ..changed(&first) };
    assert_eq!(store.replace(&outdated).await, Ok(Replaced::Conflict(Some(Box::new(second.clone())))));
    let hasty = Job { version: second.version + 2, ..second.clone() };
    assert_eq!(store.replace(&hasty).await, Ok(Replaced::Conflict(Some(Box::new(second.clone())))));
    assert_eq!(store.get(first.id).await, Ok(Some(second)));
}

/// More than a batch of DynamoDB has, some twice, and some that are not there.
async fn reads_many(store: &dyn JobStore) {
    let owner = new_owner();
    let mut jobs: Vec<Job> = (0..105).map(|number| new_job(&owner, number)).collect();
    for job in &jobs {
        store.create(job).await.expect("created");
    }
    assert_eq!(store.get_many(&[]).await, Ok(Vec::new()), "none was asked for");
    assert_eq!(store.get_many(&[JobId::random()]).await, Ok(Vec::new()), "one that was never created");
    let mut ids: Vec<JobId> = jobs.iter().map(|job| job.id).collect();
    ids.extend([jobs[0].id, jobs[104].id, JobId::random()]);
    jobs.sort_by_key(|job| job.id);
    let sorted = |found: &[Job]| {
        let mut found = found.to_vec();
        found.sort_by_key(|job| job.id);
        found
    };
    let all = || store.get_many(&ids);
    eventually("each job once, field by field", all, |found| sorted(found) == jobs).await;

    let next = changed(&jobs[0]);
    store.replace(&next).await.expect("replaced");
    store.delete(&jobs[1]).await.expect("deleted");
    let two = [jobs[0].id, jobs[1].id];
    eventually("the next version", || store.get_many(&two), |found| *found == [next.clone()]).await;
    for job in jobs.iter().skip(2).chain([&next]) {
        store.delete(job).await.expect("deleted");
    }
}

async fn one_of_many_writers_wins(store: &dyn JobStore) {
    let job = new_job(&new_owner(), 1_000);
    store.create(&job).await.expect("created");
    let candidates: Vec<Job> = (0..50).map(|n| Job { polls: n, ..changed(&job) }).collect();
    let answers = futures_util::future::join_all(candidates.iter().map(|next| store.replace(next))).await;

    let winners: Vec<&Job> = answers
        .iter()
        .zip(&candidates)
        .filter(|(answer, _)| **answer == Ok(Replaced::Done))
        .map(|(_, job)| job)
        .collect();
    assert_eq!(winners.len(), 1, "writers that won");
    assert_eq!(store.get(job.id).await.as_ref(), Ok(&Some(winners[0].clone())), "what the winner wrote");
    for answer in &answers {
        match answer {
            Ok(Replaced::Done) => {}
            Ok(Replaced::Conflict(Some(there))) => assert_eq!(&**there, winners[0]),
            other => panic!("a loser is told what is there, not {other:?}"),
        }
    }
}

async fn one_of_many_creators_wins(store: &dyn JobStore) {
    let job = new_job(&new_owner(), 1_000);
    let answers = futures_util::future::join_all((0..20).map(|_| store.create(&job))).await;
    let new = answers.iter().filter(|answer| **answer == Ok(Created::New)).count();
    assert_eq!(new, 1, "creators that won");
    assert!(answers.iter().all(Result::is_ok), "the others are told that it is there: {answers:?}");
}

async fn deletes_the_judged_version_only(store: &dyn JobStore) {
    let job = new_job(&new_owner(), 1_000);
    assert_eq!(store.delete(&job).await, Ok(false), "nothing is there");
    store.create(&job).await.expect("created");
    let next = changed(&job);
    store.replace(&next).await.expect("replaced");
    assert_eq!(store.delete(&job).await, Ok(false), "another version");
    assert_eq!(store.get(job.id).await, Ok(Some(next.clone())));
    assert_eq!(store.delete(&next).await, Ok(true));
    assert_eq!(store.get(job.id).await, Ok(None));
    assert_eq!(store.delete(&next).await, Ok(false), "once");

    // A client uses the id again, and the request is repeated when the new job has the same version.
    let mut again = new_job(&new_owner(), 1_001);
    again.id = job.id;
    store.create(&again).await.expect("created");
    let new = changed(&again);
    store.replace(&new).await.expect("replaced");
    assert_eq!(new.version, next.version);
    assert_eq!(store.delete(&next).await, Ok(false), "another job");
    assert_eq!(store.get(job.id).await, Ok(Some(new.clone())));
    assert_eq!(store.delete(&new).await, Ok(true));
}

async fn lists_by_owner(store: &dyn JobStore) {
    let (owner, other) = (new_owner(), new_owner());
    // Two with the same time, so that a page may end between them.
    let times = [5_000, 1_000, 3_000, 3_000, 4_000];
    let mut jobs: Vec<Job> = times.iter().map(|&time| new_job(&owner, time)).collect();
    for job in jobs.iter().chain([&new_job(&other, 3_500)]) {
        store.create(job).await.expect("created");
    }
    let settled = |page: &Page| page.jobs.len() == 5;
    let all = eventually("a listing of five", || store.list(&owner, None, 10), settled).await;
    assert_eq!(all.next, None, "the last page says so");
    let created: Vec<_> = all.jobs.iter().map(|job| job.times.created).collect();
    assert_eq!(created, [5_000, 4_000, 3_000, 3_000, 1_000], "newest first");
    let sort = |jobs: &mut Vec<Job>| jobs.sort_by_key(|job| job.id);
    let mut listed = all.jobs.clone();
    sort(&mut listed);
    sort(&mut jobs);
    assert_eq!(listed, jobs, "this owner's jobs, whole");

    for limit in 1..=5 {
        let (mut paged, mut page) = (Vec::new(), None);
        loop {
            let answer = store.list(&owner, page.as_deref(), limit).await.expect("a page");
            assert!(answer.jobs.len() <= limit as usize, "at most the limit");
            paged.extend(answer.jobs);
            assert!(paged.len() <= jobs.len(), "a listing has an end");
            match answer.next {
                Some(next) => {
                    let safe = |b: u8| b.is_ascii_alphanumeric() || b"-_.~".contains(&b);
                    assert!(!next.is_empty() && next.bytes().all(safe), "safe in a URL: {next}");
                    page = Some(next);
                }
                None => break,
            }
        }
        assert_eq!(paged, all.jobs, "the pages of {limit} make up the whole");
    }
    assert_eq!(store.list(&new_owner(), None, 10).await, Ok(Page::default()), "an owner without jobs");
}

async fn refuses_pages_it_did_not_give(store: &dyn JobStore) {
    let (owner, other) = (new_owner(), new_owner());
    for job in [new_job(&owner, 1), new_job(&owner, 2), new_job(&owner, 3), new_job(&other, 4)] {
        store.create(&job).await.expect("created");
    }
    let settled = |page: &Page| page.jobs.len() == 1 && page.next.is_some();
    let page = eventually("a page of one", || store.list(&owner, None, 1), settled).await;
    let token = page.next.expect("another page");

    let refused = |answer: &Result<Page, PortError>| matches!(answer, Err(PortError::NotFound(_)));
    let answer = store.list(&other, Some(&token), 10).await;
    assert!(refused(&answer), "another owner's page: {answer:?}");
    let end = token.len() - 1;
    let forged = format!("{}{}", &token[..end], if token.ends_with('0') { '1' } else { '0' });
    for bad in ["", "0", "page", "ä€", &token[..end], &forged, &"9".repeat(5_000)] {
        let answer = store.list(&owner, Some(bad), 10).await;
        assert!(refused(&answer), "{answer:?}");
    }
    assert!(store.list(&owner, Some(&token), 10).await.is_ok(), "the token itself is good, more than once");
}

/// Other runs may have left jobs that are due, or due earlier; so due times are small here, and
/// the jobs of others are ignored.
/// Each writer wins over the version that it has read, and over no other.
async fn has_one_crew(store: &dyn JobStore) {
    let before = store.crew().await.expect("the crew");
    let next = before.clone().unwrap_or_default().with("one", 1, 100);
    assert_eq!(store.replace_crew(&next).await, Ok(true));
    assert_eq!(store.crew().await, Ok(Some(next.clone())));
    assert_eq!(store.replace_crew(&next).await, Ok(false), "the version is not new");
    let other = Crew { version: next.version + 2, ..next.with("two", 1, 100) };
    assert_eq!(store.replace_crew(&other).await, Ok(false), "a version is missing");
    assert_eq!(store.replace_crew(&next.without("one")).await, Ok(true));
}

/// What is due in all parts, the most overdue first.
pub async fn all_due(store: &dyn JobStore, now: Millis) -> PortResult<Due> {
    let mut all = Due::default();
    for part in Part::all() {
        let due = store.due(part, 0..=now, 1000).await?;
        assert!(due.jobs.iter().all(|job| Part::of(job) == part), "only jobs of the part");
        all.jobs.extend(due.jobs);
        all.unreadable.extend(due.unreadable);
    }
    all.jobs.sort_by_key(|job| job.due);
    Ok(all)
}

/// Pages of what is due in one part: each begins where the last one ended, with the jobs of that very time.
async fn lists_what_is_due_in_pages(store: &dyn JobStore) {
    let owner = new_owner();
    let part = Part::of(&Job { due: Some(1), ..new_job(&owner, 1) });
    let mut jobs = Vec::new();
    for due in [13, 11, 12, 12, 14] {
        let mut job = Job { due: Some(due), ..new_job(&owner, 1) };
        while Part::of(&job) != part {
            job.id = JobId::random();
        }
        store.create(&job).await.expect("created");
        jobs.push(job);
    }
    let times = |due: &Due| -> Vec<Millis> {
        due.jobs.iter().filter(|job| job.order.owner == owner).filter_map(|job| job.due).collect()
    };
    let all = || store.due(part, 0..=14, 1000);
    eventually("five due jobs", all, |due| times(due) == [11, 12, 12, 13, 14]).await;
    let from = store.due(part, 12..=13, 1000).await.expect("due");
    assert_eq!(times(&from), [12, 12, 13], "both ends are included");
    assert_eq!(from.next, None, "the last page");
    let (mut seen, mut next) = (Vec::new(), Some(0));
    for _ in 0..1000 {
        let Some(from) = next else { break };
        // Twice as many as are due at the same time.
        let page = store.due(part, from..=14, 4).await.expect("due");
        assert!(page.jobs.len() <= 4, "at most the limit");
        seen.extend(page.jobs.iter().filter(|job| job.order.owner == owner).map(|job| job.id));
        assert!(page.next.is_none_or(|next| next > from), "the next page is another");
        next = page.next;
    }
    assert!(jobs.iter().all(|job| seen.contains(&job.id)), "none is left out");
    for job in &jobs {
        store.delete(job).await.expect("deleted");
    }
}

async fn tells_what_is_due(store: &dyn JobStore) {
    let owner = new_owner();
    let times = [Some(30), Some(10), Some(20), Some(41), None];
    let mut jobs = Vec::new();
    for due in times {
        let job = Job { due, ..new_job(&owner, 1) };
        store.create(&job).await.expect("created");
        jobs.push(job);
    }
    let own = |due: &Due| -> Vec<Millis> {
        due.jobs.iter().filter(|job| job.order.owner == owner).filter_map(|job| job.due).collect()
    };
    let due = eventually("three due jobs", || all_due(store, 40), |due| own(due).len() == 3).await;
    assert_eq!(own(&due), [10, 20, 30], "the most overdue first, none that is not due");
    assert!(due.jobs.iter().all(|job| job.due.is_some_and(|time| time <= 40)));
    assert!(
        due.jobs.iter().filter(|job| job.order.owner == owner).all(|job| jobs.contains(job)),
        "whole records"
    );
    assert!(own(&all_due(store, 30).await.expect("due")).contains(&30), "at its very time");
    let part = Part::of(&jobs[1]);
    let one = store.due(part, 0..=40, 1).await.expect("due");
    assert_eq!(
        (one.jobs.len(), one.next),
        (1, one.jobs[0].due),
        "at most the limit, and where the next begins"
    );

    // Jobs that are no longer due, or deleted, are not returned.
    store.replace(&Job { due: None, ..changed(&jobs[0]) }).await.expect("replaced");
    store.replace(&Job { due: Some(15), ..changed(&jobs[2]) }).await.expect("replaced");
    store.delete(&jobs[1]).await.expect("deleted");
    eventually("the changed due times", || all_due(store, 40), |due| own(due) == [15]).await;
    for job in &jobs {
        if let Ok(Some(job)) = store.get(job.id).await {
            store.delete(&job).await.expect("deleted");
        }
    }
}

/// The usage after one more job.
fn used(usage: &Usage, reservation: u64) -> Usage {
    let mut next = Usage { version: usage.version + 1, ..usage.clone() };
    let place = Place { reservation, job: JobId::random(), bytes: 7 << 32 };
    next.reserve(&place, &Quota { jobs: u64::MAX, bytes: u64::MAX }, 1_000).expect("no limit");
    next
}

async fn keeps_usages_apart_from_jobs(store: &dyn JobStore) {
    let owner = new_owner();
    assert_eq!(store.usage(&owner).await, Ok(None), "a usage that was never stored");
    let first = used(&Usage::new(owner.clone()), u64::MAX);
    let second = used(&first, 0);
    assert_eq!(store.replace_usage(&second).await, Ok(UsageReplaced::Conflict(None)), "nothing to replace");
    assert_eq!(store.usage(&owner).await, Ok(None), "and nothing was made");
    assert_eq!(store.replace_usage(&first).await, Ok(UsageReplaced::Done));
    assert_eq!(store.usage(&owner).await, Ok(Some(first.clone())), "field by field");
    let there = |usage: &Usage| Ok(UsageReplaced::Conflict(Some(Box::new(usage.clone()))));
    assert_eq!(store.replace_usage(&first).await, there(&first), "as after a lost reply");
    assert_eq!(store.replace_usage(&second).await, Ok(UsageReplaced::Done));
    assert_eq!(store.replace_usage(&used(&first, 5)).await, there(&second), "an outdated one");
    let hasty = Usage { version: second.version + 2, ..second.clone() };
    assert_eq!(store.replace_usage(&hasty).await, there(&second));
    assert_eq!(store.usage(&owner).await, Ok(Some(second.clone())));
    assert_eq!(store.usage(&new_owner()).await, Ok(None), "of another owner");

    // Neither listing has it, beside a job that both have.
    let job = Job { due: Some(1), ..new_job(&owner, 1) };
    store.create(&job).await.expect("created");
    let one = |page: &Page| page.jobs.len() == 1;
    let page = eventually("a listing of one", || store.list(&owner, None, 10), one).await;
    assert_eq!((page.jobs, page.unreadable), (vec![job.clone()], 0));
    let own = |due: &Due| due.jobs.contains(&job);
    let due = eventually("a due job", || all_due(store, 1), own).await;
    assert!(due.unreadable.is_empty(), "{due:?}");
    store.delete(&job).await.expect("deleted");
    assert_eq!(store.usage(&owner).await, Ok(Some(second)));
}

async fn one_of_many_changes_of_a_usage_wins(store: &dyn JobStore) {
    let owner = new_owner();
    let mut usage = Usage::new(owner.clone());
    // The first write, which creates it, and a later one.
    for _ in 0..2 {
        let candidates: Vec<Usage> = (0..20).map(|n| used(&usage, n)).collect();
        let answers = candidates.iter().map(|next| store.replace_usage(next));
        let answers = futures_util::future::join_all(answers).await;
        let won = |answer: &Result<UsageReplaced, PortError>| *answer == Ok(UsageReplaced::Done);
        assert_eq!(answers.iter().filter(|answer| won(answer)).count(), 1, "writers that won: {answers:?}");
        let winner = &candidates[answers.iter().position(won).expect("a winner")];
        for answer in &answers {
            let there = Ok(UsageReplaced::Conflict(Some(Box::new(winner.clone()))));
            assert!(won(answer) || *answer == there, "a loser is told what is there, not {answer:?}");
        }
        assert_eq!(store.usage(&owner).await.as_ref(), Ok(&Some(winner.clone())));
        usage = winner.clone();
    }
}

/// The contract for unreadable records. `spoil` replaces the record of a job with such a text,
/// which no port can do.
///
/// # Panics
/// If the store violates the contract.
pub async fn sets_unreadable_records_aside<F: Future<Output = ()>>(
    store: &dyn JobStore,
    spoil: impl Fn(JobId, &'static str) -> F,
) {
    let owner = new_owner();
    let mut jobs = Vec::new();
    for number in 1..=6 {
        let job = Job { due: Some(number), ..new_job(&owner, number) };
        store.create(&job).await.expect("created");
        jobs.push(job);
    }
    let records = ["", "{", "{\"id\":\"a\"}", "null"];
    for (job, record) in jobs.iter().zip(records) {
        spoil(job.id, record).await;
        let answer = store.get(job.id).await;
        assert!(matches!(answer, Err(PortError::Corrupt { .. })), "asked for by its id: {answer:?}");
    }
    let good = [&jobs[5], &jobs[4]].map(|job| job.id);
    let all: Vec<JobId> = jobs.iter().map(|job| job.id).collect();
    let readable = |found: &Vec<Job>| found.len() == 2 && found.iter().all(|job| good.contains(&job.id));
    eventually("those that can be read", || store.get_many(&all), readable).await;
    let ids = |page: &Page| page.jobs.iter().map(|job| job.id).collect::<Vec<_>>();
    let settled = |page: &Page| ids(page) == good && page.unreadable == 4;
    let page = eventually("a list without them", || store.list(&owner, None, 10), settled).await;
    assert_eq!(page.next, None);
    for limit in 1..=6 {
        let (mut found, mut unreadable, mut page) = (Vec::new(), 0, None);
        loop {
            let answer = store.list(&owner, page.as_deref(), limit).await.expect("a page");
            assert!(answer.jobs.len() + answer.unreadable as usize <= limit as usize, "at most the limit");
            found.extend(ids(&answer));
            unreadable += answer.unreadable;
            assert!(unreadable <= 4, "a listing has an end");
            match answer.next {
                Some(next) => page = Some(next),
                None => break,
            }
        }
        assert_eq!((&found[..], unreadable), (&good[..], 4), "pages of {limit}");
    }

    let of = |due: &Due| -> Vec<String> {
        let own = |id: &&String| jobs.iter().any(|job| job.id.to_string() == **id);
        due.unreadable.iter().map(|record| &record.id).filter(own).cloned().collect()
    };
    let due = eventually("what is due", || all_due(store, 6), |due| of(due).len() == 4).await;
    assert_eq!(due.jobs.iter().filter(|job| job.order.owner == owner).count(), 2, "the others beside them");
    for record in &due.unreadable {
        store.set_aside(record, 1_000).await.expect("set aside");
    }
    eventually("none is due", || all_due(store, 999), |due| of(due).is_empty()).await;
    eventually("they are due again", || all_due(store, 1_000), |due| of(due).len() == 4).await;
    // A later due time stays, and setting aside until an earlier time has no effect.
    store.set_aside(&due.unreadable[0], 500).await.expect("set aside");
    eventually("still not due", || all_due(store, 999), |due| of(due).is_empty()).await;
    for job in &jobs {
        store.delete(job).await.expect("deleted");
    }
    store.set_aside(&due.unreadable[0], 2_000).await.expect("one that is gone");
    assert_eq!(store.get(jobs[0].id).await, Ok(None), "nothing is made by it");
}

/// Retries until the answer is as expected: listings may lag behind writes.
async fn eventually<T: std::fmt::Debug, F: Future<Output = Result<T, PortError>>>(
    what: &str,
    ask: impl Fn() -> F,
    wanted: impl Fn(&T) -> bool,
) -> T {
    let mut last = None;
    for _ in 0..50 {
        let answer = ask().await.expect(what);
        if wanted(&answer) {
            return answer;
        }
        last = Some(answer);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{what} did not come: {last:?}");
}
