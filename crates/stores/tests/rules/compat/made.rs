//! Jobs in every state, with every thing that a record can have: what this version stores.

use cadmill_core::cleanup::upload_key;
use cadmill_core::domain::coding::{Coding, Content, Encoded};
use cadmill_core::domain::counts::{CountedUnit, Counts};
use cadmill_core::domain::crew::Crew;
use cadmill_core::domain::failure::FailureCode;
use cadmill_core::domain::ids::{JobId, ObjectKey};
use cadmill_core::domain::job::{
    Compress, Deletion, EngineFacts, Evidence, Job, JobFailure, JobSpec, Millis, Multipart, Object, Purged,
    Stage, Unconfirmed, Warnings,
};
use cadmill_core::domain::ledger::LedgerId;
use cadmill_core::domain::quota::{Place, Quota, Step, Usage};
use cadmill_core::domain::state::{self, Decision, Event, Policy};
use cadmill_core::domain::upload_event;
use cadmill_stores::conformance::audit_sink::head_of;

/// When the first job is created.
const BEGIN: Millis = 1_700_000_000_000;

/// A job that is made, and the time.
#[derive(Clone)]
struct Made {
    job: Job,
    now: Millis,
}

impl Made {
    fn new(number: u8) -> Self {
        let order = JobSpec {
            owner: "ann@example.org".parse().unwrap(),
            file_name: "도면 1.zip".parse().unwrap(),
            size_bytes: 1_600_000_000,
            sha256: Some("ab".repeat(32)),
            format: "dxf".to_owned(),
            root: Some("plans/site.shp".to_owned()),
            options: [("encoding".to_owned(), "CP949".to_owned())].into(),
            compress: Compress::Auto,
            strict: true,
            accept_gzip: true,
            result_ttl_seconds: Some(600),
        };
        let id = JobId::from_random_bytes([number; 16]);
        let mut job = state::created(id, order, &Policy::default(), BEGIN);
        job.counted = Some(u64::from(number));
        job.trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".parse().ok();
        Self { job, now: BEGIN }
    }

    fn then(&self, event: Event) -> Self {
        let now = self.now + 1_000;
        match state::apply(&self.job, &event, &Policy::default(), now) {
            Decision::Accept(job) => Self { job: *job, now },
            other => panic!("{event:?}: {other:?}"),
        }
    }

    fn audited(&self, end: Event) -> Self {
        let head = head_of(LedgerId::of_attempt(self.job.id, self.job.attempt), &["{\"a\":1}\n"]);
        self.then(Event::Audited { head: Box::new(head), end: Some(Box::new(end)) })
    }

    fn uploaded(&self) -> Self {
        let key = upload_key(self.job.id, &self.job.order.file_name);
        let (etag, version) =
            ("\"d41d8cd98f00b204e9800998ecf8427e-96\"".to_owned(), Some("3HL4kqtJl".to_owned()));
        let object = Object { key, size_bytes: 1_600_000_000, etag, version, sha256: None, encoded: None };
        let sequencer = "0055AED6DCD90281E5".to_owned();
        self.then(Event::Uploaded { object, sequencer, at: Some(self.now + 500) })
    }

    fn claimed(&self) -> Self {
        self.then(Event::Claimed { worker: "worker-1".to_owned(), revision: 42, dead: None })
    }

    fn reported(&self) -> Self {
        let mut warnings = Warnings::default();
        warnings.push("text in the layer 'names' was guessed to be CP949");
        warnings.push_loss("3 features have no geometry");
        let facts = [("solids".to_owned(), "3".to_owned())].into();
        self.then(Event::Reported {
            attempt: self.job.attempt,
            millis: Stage::ALL.iter().map(|&stage| (stage, 1_200)).collect(),
            warnings,
            counts: Some(Counts { unit: CountedUnit::Features, read: 10, written: 7, skipped: 3 }),
            facts: EngineFacts::fitting(&facts).0,
        })
    }

    fn completed(&self) -> Self {
        let file = "site.dxf".parse().unwrap();
        let content = Content { size_bytes: 3_000_000_000, sha256: "cd".repeat(32) };
        let output = Object {
            key: ObjectKey::processed(self.job.id, self.job.attempt, file),
            size_bytes: 300_000_000,
            etag: "\"abc\"".to_owned(),
            version: None,
            sha256: Some("ef".repeat(32)),
            encoded: Some(Encoded { coding: Coding::Gzip, content: Some(content) }),
        };
        self.audited(Event::Completed { attempt: self.job.attempt, output })
    }

    fn purged(&self, before: u8, evidence: Evidence) -> Self {
        let deletion = Deletion {
            objects: 3,
            marks: 1,
            uploads: 1,
            confirmed_at: self.now,
            oldest_age_ms: Some(60_000),
            by: "cleanup-1".to_owned(),
            evidence,
        };
        let head = match evidence {
            Evidence::Part(part) => {
                Some(Box::new(head_of(LedgerId::of_deletions(self.job.id, part), &["{}\n"])))
            }
            Evidence::None | Evidence::Owed => None,
        };
        self.then(Event::Purged { before, deletion, tries: Vec::new(), head })
    }
}

fn failure() -> JobFailure {
    let message = "the engine cannot read 'plans/site.shp'".to_owned();
    JobFailure { code: FailureCode::EngineRejected, message, at: Some(Stage::Convert) }
}

/// The jobs, by the names of their fixtures.
pub(super) fn jobs() -> Vec<(&'static str, Job)> {
    let pending = Made::new(1);
    let multipart = Multipart { upload_id: "VXBsb2FkIElE".to_owned(), part_bytes: 16 << 20 };
    let uploading = Made::new(2).then(Event::UploadBegun { multipart: multipart.clone() });
    let waiting = Made::new(3).then(Event::UploadBegun { multipart }).uploaded().then(Event::Announced);
    let claimed = Made::new(4).uploaded().claimed().then(Event::Polled { times: 4 });
    let processing = claimed
        .then(Event::Progressed { attempt: 1, stage: Stage::Convert, progress: 417 })
        .then(Event::Watched { revision: 42, unchanged: 2_500 });
    let released = Made::new(5).uploaded().claimed().reported();
    let again = released.audited(Event::Released { attempt: 1, failure: Some(failure()) });
    let completed = Made::new(6).uploaded().claimed().reported().completed();
    let mut delivered = Made::new(7).uploaded().claimed().reported().completed().then(Event::Dismissed);
    delivered = delivered.then(Event::Uncounted { reservation: 7 });
    delivered = delivered.then(Event::Postponed { before: 0, is_nearer: false });
    let purged = Purged { objects: 2, marks: 0, uploads: 1, oldest: Some(BEGIN) };
    let deleting = delivered.then(Event::PurgedInPart { part: Unconfirmed { id: 99, purged }, unless: None });
    let owing = Made::new(8).then(Event::Cancelled).purged(0, Evidence::Owed);
    let fails = |made: Made| made.audited(Event::Failed { attempt: 1, failure: failure() });
    let failed = fails(Made::new(12).uploaded().claimed());
    let gone = fails(Made::new(9).uploaded().claimed());
    let gone = gone.purged(0, Evidence::Part(1)).purged(1, Evidence::Part(2));
    let cancelled = Made::new(10).then(Event::Cancelled);
    let expired = Made::new(11).then(Event::Expired);
    let all = [
        ("pending", pending),
        ("uploading", uploading),
        ("waiting", waiting),
        ("processing", processing),
        ("again", again),
        ("completed", completed),
        ("delivered", deleting),
        ("owing", owing),
        ("failed", failed),
        ("gone", gone),
        ("cancelled", cancelled),
        ("expired", expired),
    ];
    all.into_iter().map(|(name, made)| (name, made.job)).collect()
}

/// What an owner has in flight, with a mark of each step.
pub(super) fn usage() -> Usage {
    let mut usage = Usage::new("ann@example.org".parse().unwrap());
    let place = |number: u8| Place {
        reservation: u64::from(number),
        job: JobId::from_random_bytes([number; 16]),
        bytes: 7,
    };
    for number in 1..=4 {
        usage.reserve(&place(number), &Quota { jobs: 10, bytes: 1_000 }, BEGIN).unwrap();
    }
    usage.release(&place(2), BEGIN);
    usage.compare(3, None, BEGIN);
    usage.confirm(4, Step::Reserved);
    usage.version = 6;
    usage
}

/// Two cleanup programs.
pub(super) fn crew() -> Crew {
    Crew::default().with("cleanup-1", BEGIN, BEGIN + 45_000).with("cleanup-2", BEGIN + 5, BEGIN + 45_005)
}

/// Messages that cadmill itself sends, by the names of their fixtures.
pub(super) fn messages() -> Vec<(&'static str, String)> {
    let made = Made::new(3).uploaded();
    let input = made.job.input.clone().unwrap();
    let id = JobId::from_random_bytes([20; 16]).to_string();
    let announced =
        upload_event::object_created("bucket", &input, "0055AED6DCD90281E5", "Announced", &id, BEGIN);
    let announced = upload_event::traced(announced, made.job.trace.as_ref());
    let again = upload_event::sent_again(&announced).unwrap().0;
    vec![("announced", announced), ("again", again), ("key", upload_event::of_key("bucket", &input.key))]
}
