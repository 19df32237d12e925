//! The contract of [`AuditSink`].

use cadmill_core::domain::ids::JobId;
use cadmill_core::domain::ledger::record::Purge;
use cadmill_core::domain::ledger::verify::{Verdict, verify};
use cadmill_core::domain::ledger::{Head, LedgerId, Signature, SignedHead, chain};
use cadmill_core::ledger::{LocalSigner, deletion};
use cadmill_core::ports::{AuditSink, PortError, Signer};
use std::sync::Arc;

/// Runs the whole contract. `reads` says whether the sink can be read back; a sink that cannot
/// must report that.
///
/// # Panics
/// If the sink violates the contract.
pub fn suite(sink: &dyn AuditSink, reads: bool) {
    let ledger = new_id();
    begins_once(sink, ledger);
    keeps_deletions(sink, reads);
    if reads {
        keeps_what_was_synced(sink);
        keeps_many_lines(sink);
        keeps_ledgers_apart(sink);
        tells_what_is_not_there(sink);
    } else {
        for error in [sink.read(ledger).unwrap_err(), sink.read_head(ledger).unwrap_err()] {
            assert!(matches!(error, PortError::Refused { .. }), "it cannot be read: {error:?}");
        }
    }
}

/// A ledger that has not been begun.
pub fn new_id() -> LedgerId {
    LedgerId::of_attempt(JobId::random(), 1)
}

/// A signer with a new key.
///
/// # Panics
/// If the random source fails.
pub fn signer() -> LocalSigner {
    LocalSigner::from_pem(signing_key().as_bytes()).expect("a signer")
}

/// A new key: PKCS#8 in PEM.
///
/// # Panics
/// If the random source fails.
pub fn signing_key() -> String {
    let pair = aws_lc_rs::signature::Ed25519KeyPair::generate().expect("a key");
    let der = pair.to_pkcs8v1().expect("PKCS#8");
    pem::encode(&pem::Pem::new("PRIVATE KEY", der.as_ref()))
}

/// The head of a ledger of these lines.
pub fn head_of(ledger: LedgerId, lines: &[&str]) -> SignedHead {
    let last = lines.last().expect("a line");
    let head = Head::new(ledger, lines.len() as u64 - 1, &chain::line_hash(last.as_bytes()));
    let signer = signer();
    let signature = Signature::new(&signer.public_key(), &signer.sign(&head.message()).expect("a signature"));
    SignedHead { head, signature: Some(signature) }
}

fn begins_once(sink: &dyn AuditSink, ledger: LedgerId) {
    let mut log = sink.begin(ledger).expect("begun");
    log.append(b"{\"a\":1}\n").expect("appended");
    log.sync().expect("synced");
    let again = sink.begin(ledger).err();
    assert!(matches!(again, Some(PortError::Precondition(_))), "begun twice: {again:?}");
    drop(log);
    let after = sink.begin(ledger).err();
    assert!(matches!(after, Some(PortError::Precondition(_))), "begun after its end: {after:?}");
    // Other parts and attempts are separate ledgers.
    sink.begin(ledger.next_part()).expect("the next part");
    sink.begin(LedgerId { attempt: 2, ..ledger }).expect("the next attempt");
}

/// Each deletion of a job has a part, of those that the writer does not know, too.
fn keeps_deletions(sink: &dyn AuditSink, reads: bool) {
    let job = JobId::random();
    let signer: Arc<dyn Signer> = Arc::new(signer());
    let purge = |objects| Purge {
        objects,
        marks: 0,
        uploads: 1,
        confirmed_at: 1_700_000_000_000,
        oldest_age_ms: Some(5),
        by: "cleanup".to_owned(),
    };
    // The second writer does not know of the first, the third knows of the second, and none is held up by
    // a part whose program died.
    drop(sink.begin(LedgerId::of_deletions(job, 3)).expect("begun"));
    for (known, part) in [(0, 1), (0, 2), (2, 4)] {
        let purge = purge(part.into());
        let head = deletion::record(sink, Some(&signer), (job, known), "writer", &purge).expect("recorded");
        assert_eq!(head.head.ledger, LedgerId::of_deletions(job, part));
        if reads {
            assert_eq!(sink.read_head(head.head.ledger).as_ref(), Ok(&head));
            let lines = sink.read(head.head.ledger).expect("read");
            let audit = verify(&lines, Some(&head), Some(&signer.public_key()));
            assert_eq!((audit.verdict, audit.story.purges), (Verdict::Valid, vec![purge]));
        }
    }
}

fn keeps_what_was_synced(sink: &dyn AuditSink) {
    let ledger = new_id();
    let lines = ["{\"a\":1}\n", "{\"a\":2}\n", "{\"b\":\"x\"}\n"];
    let mut log = sink.begin(ledger).expect("begun");
    for (count, line) in lines.iter().enumerate() {
        log.append(line.as_bytes()).expect("appended");
        log.sync().expect("synced");
        let kept = sink.read(ledger).expect("read while it grows");
        assert_eq!(String::from_utf8_lossy(&kept), lines[..=count].concat(), "byte for byte");
    }
    let unsealed = sink.read_head(ledger);
    assert!(matches!(unsealed, Err(PortError::NotFound(_))), "no head before it is sealed: {unsealed:?}");
    let head = head_of(ledger, &lines);
    log.seal(&head).expect("sealed");
    drop(log);
    assert_eq!(sink.read_head(ledger), Ok(head));
    assert_eq!(sink.read(ledger).expect("read").len(), lines.concat().len(), "the head is no line");
}

/// More lines than a sink would buffer in memory.
fn keeps_many_lines(sink: &dyn AuditSink) {
    let ledger = new_id();
    let mut log = sink.begin(ledger).expect("begun");
    let mut all = String::new();
    for n in 0..2000 {
        let line = format!("{{\"n\":{n},\"text\":\"{}\"}}\n", "x".repeat(n % 100));
        log.append(line.as_bytes()).expect("appended");
        all.push_str(&line);
    }
    log.sync().expect("synced");
    assert!(sink.read(ledger).expect("read") == all.as_bytes(), "all lines, in order");
}

fn keeps_ledgers_apart(sink: &dyn AuditSink) {
    let (one, other) = (new_id(), new_id());
    let (mut first, mut second) = (sink.begin(one).expect("begun"), sink.begin(other).expect("begun"));
    for _ in 0..3 {
        first.append(b"{\"l\":1}\n").expect("appended");
        second.append(b"{\"l\":2}\n").expect("appended");
    }
    first.sync().expect("synced");
    second.sync().expect("synced");
    assert_eq!(sink.read(one).expect("read"), b"{\"l\":1}\n".repeat(3));
    assert_eq!(sink.read(other).expect("read"), b"{\"l\":2}\n".repeat(3));
}

fn tells_what_is_not_there(sink: &dyn AuditSink) {
    let nobody = new_id();
    assert!(matches!(sink.read(nobody), Err(PortError::NotFound(_))));
    assert!(matches!(sink.read_head(nobody), Err(PortError::NotFound(_))));
}
