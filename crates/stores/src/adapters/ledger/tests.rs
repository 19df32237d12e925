//! The sinks of one machine fulfil the contract and their additional guarantees.

use super::*;
use crate::adapters::faulty::{Fault, FaultyAudit, Script};
use crate::conformance::audit_sink::{new_id, suite};
use cadmill_core::ports::{AuditSink, PortError};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn files_keep_the_contract() {
    let directory = tempfile::tempdir().unwrap();
    suite(&FileAudit::new(&directory.path().join("a/b")).unwrap(), true);
}

#[test]
fn a_stream_keeps_what_it_can_of_the_contract() {
    suite(&StreamAudit::new(Box::new(Shared::default())), false);
}

#[test]
fn a_tee_keeps_the_contract() {
    let directory = tempfile::tempdir().unwrap();
    let stream = Shared::default();
    let file = Arc::new(FileAudit::new(directory.path()).unwrap());
    let sinks: Vec<Arc<dyn AuditSink>> = vec![file, Arc::new(StreamAudit::new(Box::new(stream.clone())))];
    suite(&TeeAudit::new(sinks), true);
    assert!(stream.0.lock().unwrap().len() > 10_000, "the other sink got the lines too");
    assert!(matches!(TeeAudit::new(vec![]).begin(new_id()).err(), Some(PortError::Refused { .. })));
}

#[test]
fn a_wrapper_without_faults_keeps_the_contract() {
    let directory = tempfile::tempdir().unwrap();
    let file = Arc::new(FileAudit::new(directory.path()).unwrap());
    suite(&FaultyAudit::new(file.clone(), Script::new()), true);
    let slow = Script::new().on("append", 1, Fault::Delay(Duration::from_millis(5)));
    suite(&FaultyAudit::new(file, slow), true);
}

#[test]
fn a_tee_fails_when_one_of_its_sinks_does() {
    let directory = tempfile::tempdir().unwrap();
    let file: Arc<dyn AuditSink> = Arc::new(FileAudit::new(directory.path()).unwrap());
    let other = tempfile::tempdir().unwrap();
    let script = Script::new().on("append", 2, Fault::Fail);
    let faulty = FaultyAudit::new(Arc::new(FileAudit::new(other.path()).unwrap()), script);
    let tee = TeeAudit::new(vec![file, Arc::new(faulty)]);
    let mut log = tee.begin(new_id()).unwrap();
    assert_eq!(log.append(b"1\n"), Ok(()));
    assert!(matches!(log.append(b"2\n"), Err(PortError::Unavailable { .. })));
}

#[test]
fn nobody_else_can_read_the_files() {
    let directory = tempfile::tempdir().unwrap();
    let (root, ledger) = (directory.path().join("audit"), new_id());
    let sink = FileAudit::new(&root).unwrap();
    let mut log = sink.begin(ledger).unwrap();
    log.append(b"{\"a\":1}\n").unwrap();
    log.seal(&crate::conformance::audit_sink::head_of(ledger, &["{\"a\":1}\n"])).unwrap();
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let path = sink.path(ledger);
    assert_eq!([mode(&root), mode(path.parent().unwrap())], [0o700; 2]);
    assert_eq!([mode(&path), mode(&sink.head_path(ledger))], [0o600; 2]);
}

#[test]
fn what_a_full_disk_leaves_is_told_and_stays() {
    let directory = tempfile::tempdir().unwrap();
    let (script, ledger) = (Script::new().on("append", 2, Fault::Truncate(3)), new_id());
    let sink = FaultyAudit::new(Arc::new(FileAudit::new(directory.path()).unwrap()), script);
    let mut log = sink.begin(ledger).unwrap();
    log.append(b"{\"a\":1}\n").unwrap();
    assert!(log.append(b"{\"a\":2}\n").is_err());
    assert_eq!(sink.read(ledger).unwrap(), b"{\"a\":1}\n{\"a");
    // /dev/full accepts no byte: the sink fails like a full disk.
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut log = StreamAudit::new(Box::new(full)).begin(ledger).unwrap();
    assert!(matches!(log.append(b"{}\n"), Err(PortError::Refused { .. })));
}
