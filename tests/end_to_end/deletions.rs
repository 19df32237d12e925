//! Ledgers of deletions as a reviewer has them: `cadmill audit`, and the commands in docs/AUDIT.md.

use crate::audit::by_hand;
use crate::support::{Bench, Run};
use cadmill_core::domain::ids::JobId;
use cadmill_core::domain::ledger::record::Purge;
use cadmill_core::domain::ledger::{LedgerId, SignedHead};
use cadmill_core::ledger::{Ledger, Opening, deletion};
use cadmill_core::ports::Signer;
use cadmill_core::ports::clock::SystemClock;
use cadmill_stores::adapters::ledger::FileAudit;
use cadmill_stores::conformance::audit_sink::signer;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::Arc;

/// The ledgers of one job: an attempt and two deletions.
struct Archive {
    bench: Bench,
    sink: FileAudit,
    signer: Arc<dyn Signer>,
    job: JobId,
    heads: Vec<SignedHead>,
}

impl Archive {
    fn new() -> Self {
        let bench = Bench::new();
        let (signer, job): (Arc<dyn Signer>, _) = (Arc::new(signer()), JobId::random());
        let sink = FileAudit::new(&bench.path("ledgers")).unwrap();
        std::fs::write(bench.path("pub.pem"), signer.public_key().to_pem()).unwrap();
        let mut archive = Self { bench, sink, signer, job, heads: Vec::new() };
        archive.attempt();
        archive
    }

    fn attempt(&mut self) {
        let ledger = LedgerId::of_attempt(self.job, 1);
        let opening = Opening { ledger, worker: "w".to_owned(), posture: Default::default() };
        let ledger =
            Ledger::open(&self.sink, Some(Arc::clone(&self.signer)), Arc::new(SystemClock), opening).unwrap();
        self.heads.push(ledger.close("completed").unwrap());
    }

    fn delete(&mut self, objects: u64, confirmed_at: u64, by: &str) -> LedgerId {
        let oldest_age_ms = (objects > 0).then_some(63_500);
        let purge = Purge { objects, marks: 0, uploads: 1, confirmed_at, oldest_age_ms, by: by.to_owned() };
        let purge = if objects > 0 { purge } else { Purge { uploads: 0, ..purge } };
        let head =
            deletion::record(&self.sink, Some(&self.signer), (self.job, 0), "cleanup", &purge).unwrap();
        self.heads.push(head.clone());
        head.head.ledger
    }

    fn path(&self, ledger: LedgerId) -> String {
        self.sink.path(ledger).to_str().unwrap().to_owned()
    }

    fn key(&self) -> String {
        self.bench.path("pub.pem").to_str().unwrap().to_owned()
    }

    /// The answer of the API with these heads.
    fn answer(&self) -> String {
        let attempts: Vec<Value> = self
            .heads
            .iter()
            .map(|SignedHead { head, signature }| {
                let signature = signature.as_ref().unwrap();
                json!({
                    "attempt": head.ledger.attempt,
                    "part": head.ledger.part,
                    "head": head,
                    "signature": signature.signature,
                    "key_id": signature.key_id,
                    "public_key": signature.public_key,
                })
            })
            .collect();
        let path = self.bench.path("answer.json");
        std::fs::write(&path, json!({"job_id": self.job, "attempts": attempts}).to_string()).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn audit(&self, command: &str, rest: &[&str]) -> Run {
        self.bench.run(&[&["audit", command, "--key", &self.key()], rest].concat())
    }

    fn report(&self, files: &[&str]) -> String {
        let page: PathBuf = self.bench.path("report.html");
        self.audit("report", &[files, &["-o", page.to_str().unwrap()]].concat());
        std::fs::read_to_string(page).unwrap()
    }
}

const FIRST: u64 = 1_700_000_000_000;

#[test]
fn a_deletion_is_verified_and_shown() {
    let mut archive = Archive::new();
    let id = archive.delete(2, FIRST, "clean\u{202e}up");
    let path = archive.path(id);
    let verified = archive.audit("verify", &[&path]).succeeded().stdout;
    assert!(
        verified.contains("VALID")
            && verified.contains("purged, deleted 2 objects, 0 delete markers and 1 unfinished upload"),
        "{verified}"
    );
    let object = archive.audit("verify", &[&path, "--json"]).succeeded().json();
    let ledger = &object["ledgers"][0];
    assert_eq!((&ledger["format"], &ledger["verdict"]), (&json!("cadmill-ledger/2"), &json!("VALID")));
    let expected = json!([{
        "objects": 2, "marks": 0, "uploads": 1, "confirmed_at": "2023-11-14T22:13:20.000Z",
        "oldest_age_ms": 63_500, "by": "clean\u{202e}up",
    }]);
    assert_eq!(ledger["deletions"], expected);
    let shown = archive.audit("show", &[&path]).succeeded().stdout;
    for text in [
        "clean\u{fffd}up deleted everything of the job from the object store by 2023-11-14T22:13:20.000Z",
        "the oldest had existed for 1m 3s 500ms",
        "recorded by cleanup, cadmill",
    ] {
        assert!(shown.contains(text), "{text}: {shown}");
    }
    assert!(!shown.contains("lifetime ms"), "it has no files: {shown}");
    let attempt = archive.path(LedgerId::of_attempt(archive.job, 1));
    let object = archive.audit("verify", &[&attempt, "--json"]).succeeded().json();
    assert_eq!(
        (&object["ledgers"][0]["format"], &object["ledgers"][0]["deletions"]),
        (&json!("cadmill-ledger/1"), &json!([]))
    );
}

/// Both a removed ledger and a removed record are found: the first by the heads of the job's record.
#[test]
fn a_deletion_that_was_removed_or_altered_is_found() {
    let mut archive = Archive::new();
    let (first, second) = (archive.delete(2, FIRST, "api"), archive.delete(0, FIRST + 1_200_000, "cleanup"));
    let (directory, answer) = (archive.bench.path("ledgers").to_str().unwrap().to_owned(), archive.answer());
    let verify = |rest: &[&str]| archive.audit("verify", rest);
    let all = verify(&[&directory, "--head", &answer]);
    assert_eq!((all.code, all.stdout.lines().count()), (Some(0), 3), "{}", all.stdout);
    // One file and all heads: that others are not given is no finding.
    assert_eq!(verify(&[&archive.path(first), "--head", &answer]).code, Some(0));

    let kept = std::fs::read(archive.sink.path(second)).unwrap();
    let head = std::fs::read(archive.sink.head_path(second)).unwrap();
    std::fs::remove_file(archive.sink.path(second)).unwrap();
    let beside = verify(&[&directory]);
    assert_eq!(beside.code, Some(30));
    assert!(beside.stdout.contains("[ledger.missing]"), "{}", beside.stdout);
    // With its head, only the record of the job knows of it.
    std::fs::remove_file(archive.sink.head_path(second)).unwrap();
    assert_eq!(verify(&[&directory]).code, Some(0));
    let gone = verify(&[&directory, "--head", &answer]);
    assert_eq!(gone.code, Some(30));
    let line = gone.stdout.lines().find(|line| line.contains("[ledger.missing]"));
    assert!(line.is_some() && gone.stdout.contains("0-2.jsonl"), "{}", gone.stdout);

    std::fs::write(archive.sink.path(second), &kept).unwrap();
    std::fs::write(archive.sink.head_path(second), &head).unwrap();
    let text = std::fs::read_to_string(archive.sink.path(first)).unwrap();
    std::fs::write(archive.sink.path(first), text.replace("\"objects\":2", "\"objects\":1")).unwrap();
    let altered = verify(&[&directory]);
    assert_eq!(altered.code, Some(30));
    assert!(altered.stdout.contains("record 1 was changed"), "{}", altered.stdout);
}

#[test]
fn a_later_format_is_refused_with_its_own_code() {
    let archive = Archive::new();
    let id = LedgerId::of_attempt(archive.job, 1);
    let text = std::fs::read_to_string(archive.sink.path(id)).unwrap();
    let path = archive.bench.path("newer.jsonl");
    let first = text.lines().next().unwrap().replace("cadmill-ledger/1", "cadmill-ledger/9");
    std::fs::write(&path, first + "\n").unwrap();
    let run = archive.audit("verify", &[path.to_str().unwrap()]);
    assert_eq!(run.code, Some(38), "{}{}", run.stdout, run.stderr);
    assert!(run.stdout.contains("UNKNOWN") && run.stdout.contains("cadmill-ledger/9"), "{}", run.stdout);
    assert!(run.stderr.contains("newer"), "{}", run.stderr);
    let object = archive.audit("verify", &[path.to_str().unwrap(), "--json"]).json();
    assert_eq!(
        (&object["verdict"], &object["ledgers"][0]["format"]),
        (&json!("UNKNOWN"), &json!("cadmill-ledger/9"))
    );
}

#[test]
fn the_report_says_when_everything_was_deleted_or_that_nothing_says_so() {
    let mut archive = Archive::new();
    let directory = archive.bench.path("ledgers").to_str().unwrap().to_owned();
    let before = archive.report(&[&directory]);
    assert!(
        before.contains("No deletion of this job&#39;s files from the object store is on record"),
        "{before}"
    );
    let first = archive.delete(2, FIRST, "api<b>");
    let second = archive.delete(0, FIRST + 1_200_000, "cleanup-7");
    let page = archive.report(&[&directory]);
    for text in [
        "Everything of this job was deleted from the object store by 2023-11-14T22:33:20.000Z",
        "The deletions on record have removed 2 objects, 0 delete markers and 1 unfinished upload.",
        "<code>api&lt;b&gt;</code>",
        "<code>cleanup-7</code>",
        "2023-11-14T22:13:20.000Z",
        "1m 3s 500ms",
        "Deletion 2",
    ] {
        assert!(page.contains(text), "{text}: {page}");
    }
    assert!(!page.contains("No deletion of"), "{page}");
    // What is not proven is not said to be.
    for id in [first, second] {
        std::fs::remove_file(archive.sink.head_path(id)).unwrap();
    }
    let page = archive.report(&[&directory]);
    assert!(
        page.contains("is proven: see the verdicts") && !page.contains("Everything of this job"),
        "{page}"
    );
}

#[test]
fn the_documented_check_takes_deletions_and_refuses_what_is_none() {
    let mut archive = Archive::new();
    let id = archive.delete(2, FIRST, "cleanup");
    let place = archive.bench.path("by-hand");
    let ledger = std::fs::read(archive.sink.path(id)).unwrap();
    let head = std::fs::read(archive.sink.head_path(id)).unwrap();
    let done = by_hand(&place, &ledger, &head, &archive.key());
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success(), "{said}{}", String::from_utf8_lossy(&done.stderr));
    assert!(said.contains("Signature Verified Successfully"), "{said}");
    assert!(said.lines().any(|line| line == "deleted\t2\t0\t1\t1700000000000\t63500\tcleanup"), "{said}");
    let altered = String::from_utf8(ledger.clone()).unwrap().replace("\"uploads\":1", "\"uploads\":0");
    assert!(!by_hand(&place, altered.as_bytes(), &head, &archive.key()).status.success());
    // Signed, but of a later format, or with a deletion in the first: only the format says so.
    for (format, what) in [("cadmill-ledger/3", "unknown format"), ("cadmill-ledger/1", "has no deletions")] {
        let (ledger, head) = relabelled(&archive, &ledger, format);
        let done = by_hand(&place, &ledger, &head, &archive.key());
        let said = String::from_utf8_lossy(&done.stdout).into_owned();
        assert!(!done.status.success() && said.contains(what), "{format}: {said}");
    }
}

/// The ledger with another format, hashed and signed again.
fn relabelled(archive: &Archive, ledger: &[u8], format: &str) -> (Vec<u8>, Vec<u8>) {
    use cadmill_core::domain::ledger::chain::{ZERO_HASH, line_hash};
    use cadmill_core::domain::ledger::line::{self, Field};
    use cadmill_core::domain::ledger::{Head, Signature};
    let (mut prev, mut bytes, mut count) = (ZERO_HASH.to_owned(), Vec::new(), 0);
    for text in ledger.split(|byte| *byte == b'\n').filter(|text| !text.is_empty()) {
        let mut fields = line::parse(text).unwrap();
        fields.insert("prev".into(), Field::Text(prev.into()));
        if fields.contains_key("format") {
            fields.insert("format".into(), Field::Text(format.to_owned().into()));
        }
        let line = line::encode(&fields);
        prev = line_hash(line.as_bytes());
        bytes.extend_from_slice(line.as_bytes());
        count += 1;
    }
    let head = Head::new(LedgerId::of_deletions(archive.job, 1), count - 1, &prev);
    let signature =
        Signature::new(&archive.signer.public_key(), &archive.signer.sign(&head.message()).unwrap());
    (bytes, SignedHead { head, signature: Some(signature) }.to_file())
}
