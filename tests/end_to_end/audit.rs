//! Ledgers as a reviewer has them: files checked without a server, by `cadmill audit` and by the
//! commands in docs/AUDIT.md.

use crate::support::{Bench, Run, repository};
use cadmill_core::domain::ids::JobId;
use cadmill_core::domain::job::Stage;
use cadmill_core::domain::ledger::LedgerId;
use cadmill_core::domain::ledger::record::{Boundary, FileId, FileRole, Kind};
use cadmill_core::ledger::{Ledger, NewFile, Opening};
use cadmill_core::ports::clock::SystemClock;
use cadmill_core::ports::{AuditSink, Signer};
use cadmill_stores::adapters::ledger::FileAudit;
use cadmill_stores::conformance::audit_sink::signer;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

/// Ledgers in a directory, and the key that signed them.
struct Archive {
    sink: FileAudit,
    signer: Arc<dyn Signer>,
    directory: PathBuf,
}

impl Archive {
    fn new(bench: &Bench) -> Self {
        let directory = bench.path("ledgers");
        let signer: Arc<dyn Signer> = Arc::new(signer());
        let sink = FileAudit::new(&directory).unwrap();
        std::fs::write(directory.join("pub.pem"), signer.public_key().to_pem()).unwrap();
        Self { sink, signer, directory }
    }

    fn open(&self, worker: &str) -> Ledger {
        let posture = [("landlock", "version 6"), ("swap", "off")];
        let posture = posture.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let ledger = LedgerId::of_attempt(JobId::random(), 1);
        let opening = Opening { ledger, worker: worker.to_owned(), posture };
        Ledger::open(&self.sink, Some(self.signer.clone()), Arc::new(SystemClock), opening).unwrap()
    }

    /// A job with a directory and some files, all destroyed.
    fn write(&self, worker: &str) -> LedgerId {
        let ledger = self.open(worker);
        ledger.stage(Stage::Fetch, Boundary::Begin).unwrap();
        let token = ledger.create(file(Kind::Directory, FileRole::Workspace, 0, b"in")).unwrap();
        let directory = ledger.created(token, true).unwrap();
        let files: Vec<FileId> = (0..4).map(|n| fill(&ledger, directory, n)).collect();
        ledger.stage(Stage::Fetch, Boundary::End).unwrap();
        let found = ledger.found(file(Kind::File, FileRole::Output, directory, b"secret-out.dxf"), 7);
        std::thread::sleep(std::time::Duration::from_millis(5));
        for (file, bytes) in files.into_iter().zip(0u64..).chain([(found, 7)]) {
            let token = ledger.wipe(file, "zeros-1");
            ledger.wiped(token, true, bytes, true);
            let token = ledger.unlink(file);
            ledger.unlinked(token, true);
        }
        let token = ledger.rmdir(directory);
        ledger.rmdired(token, true);
        ledger.close("completed").unwrap();
        ledger.id()
    }

    /// The ledger of a sweep that destroys what the given ledger left behind.
    fn sweep(&self, left: LedgerId) -> LedgerId {
        let opening = Opening { ledger: left, worker: "second".to_owned(), posture: Default::default() };
        let clock = Arc::new(SystemClock);
        let ledger = Ledger::open_next_part(&self.sink, Some(self.signer.clone()), clock, opening).unwrap();
        ledger.sweep(left, self.sink.read(left).ok().as_deref()).unwrap();
        ledger.close("swept").unwrap();
        ledger.id()
    }

    fn path(&self, ledger: LedgerId) -> String {
        self.sink.path(ledger).to_str().unwrap().to_owned()
    }

    fn key(&self) -> String {
        self.directory.join("pub.pem").to_str().unwrap().to_owned()
    }
}

fn file(kind: Kind, role: FileRole, parent: FileId, name: &[u8]) -> NewFile<'_> {
    NewFile { kind, role, parent, name }
}

fn fill(ledger: &Ledger, directory: FileId, bytes: u64) -> FileId {
    let token = ledger.create(file(Kind::File, FileRole::Input, directory, b"secret.shp")).unwrap();
    let id = ledger.created(token, true).unwrap();
    let token = ledger.write(id).unwrap();
    ledger.written(token, true, bytes, Some(ledger.content())).unwrap();
    id
}

/// The first shell block in docs/AUDIT.md.
fn documented_check() -> String {
    let text = std::fs::read_to_string(repository().join("docs/AUDIT.md")).unwrap();
    let (_, rest) = text.split_once("```sh\n").expect("a block of shell");
    rest.split_once("```").expect("its end").0.to_owned()
}

/// Runs the documented commands on a ledger and its head.
pub(crate) fn by_hand(directory: &Path, ledger: &[u8], head: &[u8], key: &str) -> Output {
    std::fs::create_dir_all(directory).unwrap();
    std::fs::write(directory.join("ledger.jsonl"), ledger).unwrap();
    std::fs::write(directory.join("head.json"), head).unwrap();
    std::fs::copy(key, directory.join("pub.pem")).unwrap();
    Command::new("bash").arg("-c").arg(documented_check()).current_dir(directory).output().unwrap()
}

#[test]
fn the_documented_check_holds_for_a_genuine_ledger_and_fails_for_others() {
    check_by_hand(2);
}

/// The check runs a program for each record, which takes a second for each ledger.
#[ignore = "in `make nightly`"]
#[test]
fn the_documented_check_fails_for_every_kind_of_change() {
    check_by_hand(usize::MAX);
}

fn check_by_hand(changes: usize) {
    let bench = Bench::new();
    let archive = Archive::new(&bench);
    let id = archive.write("w\u{f6}rker \"1\"\n");
    let ledger = std::fs::read(archive.sink.path(id)).unwrap();
    let head = std::fs::read(archive.sink.head_path(id)).unwrap();
    let place = bench.path("by-hand");
    let check = |ledger: &[u8], head: &[u8], key: &str| by_hand(&place, ledger, head, key);

    let done = check(&ledger, &head, &archive.key());
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success(), "{said}{}", String::from_utf8_lossy(&done.stderr));
    assert!(said.contains("Signature Verified Successfully"), "{said}");
    assert!(said.contains(r#""created":6,"destroyed":6,"residual":0"#), "{said}");
    assert_eq!(said.lines().filter(|line| line.contains("\tunlink\tok\t")).count(), 5, "{said}");

    let text = String::from_utf8(ledger.clone()).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let other = archive.write("w");
    let others = std::fs::read(archive.sink.path(other)).unwrap();
    let elsewhere = Bench::new();
    let foreign = Archive::new(&elsewhere);
    let mut swapped = lines.clone();
    swapped.swap(3, 4);
    let cases: Vec<(&str, Vec<u8>, String)> = vec![
        ("a byte flipped", text.replacen("\"bytes\":3", "\"bytes\":4", 1).into_bytes(), archive.key()),
        ("the tail cut", lines[..lines.len() - 2].concat().into_bytes(), archive.key()),
        ("a record dropped", [&lines[..3], &lines[4..]].concat().concat().into_bytes(), archive.key()),
        ("two records swapped", swapped.concat().into_bytes(), archive.key()),
        ("the last LF cut", ledger[..ledger.len() - 1].to_vec(), archive.key()),
        ("another ledger", others, archive.key()),
        ("another key", ledger.clone(), foreign.key()),
    ];
    for (what, bytes, key) in cases.into_iter().take(changes) {
        assert_ne!(bytes == ledger, key == archive.key(), "{what}: nothing was changed");
        assert!(!check(&bytes, &head, &key).status.success(), "{what}");
    }
}

#[test]
fn verify_has_an_exit_code_for_each_verdict() {
    let bench = Bench::new();
    let archive = Archive::new(&bench);
    let (id, key) = (archive.write("w"), archive.key());
    let path = archive.path(id);
    let verify = |path: &str, rest: &[&str]| {
        let run = bench.run(&[&["audit", "verify", path], rest].concat());
        assert!(!run.stdout.contains("secret"), "{}", run.stdout);
        run
    };
    let good = verify(&path, &["--key", &key]);
    assert_eq!(good.code, Some(0), "{}{}", good.stdout, good.stderr);
    assert!(
        good.stdout.contains("VALID") && good.stdout.contains("6 created, 6 destroyed"),
        "{}",
        good.stdout
    );
    assert_eq!(verify(&path, &[]).code, Some(32));

    let copy = |name: &str, bytes: &[u8]| {
        let path = bench.path(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let bytes = std::fs::read(&path).unwrap();
    let head = archive.sink.head_path(id).to_str().unwrap().to_owned();
    let half = copy("half.jsonl", &bytes[..bytes.len() / 2]);
    let cut = verify(&half, &["--key", &key, "--head", &head]);
    assert_eq!(cut.code, Some(30));
    assert!(cut.stdout.contains("[head.tail_cut]"), "{}", cut.stdout);
    assert_eq!(verify(&half, &["--key", &key]).code, Some(31), "nothing says that it was longer");
    let elsewhere = Bench::new();
    let other = Archive::new(&elsewhere);
    let foreign = verify(&path, &["--key", &other.key()]);
    assert_eq!(foreign.code, Some(30));
    assert!(foreign.stdout.contains("[signature.another_key]"), "{}", foreign.stdout);

    let left = archive.open("w");
    fill(&left, 0, 3);
    left.close("engine.crashed").unwrap();
    let unclean = verify(&archive.path(left.id()), &["--key", &key]);
    assert_eq!(unclean.code, Some(33));
    assert!(unclean.stdout.contains("files that were there at its end: 1"), "{}", unclean.stdout);
    // For several ledgers, the worst verdict counts.
    let several = bench.run(&["audit", "verify", &path, &archive.path(left.id()), &half, "--key", &key]);
    assert_eq!(several.code, Some(31), "{}", several.stdout);

    assert_eq!(verify(&path, &["--key", &path]).code, Some(2));
    assert_eq!(verify(&path, &["--head", &key]).code, Some(2));
    assert_eq!(verify("/nonexistent", &[]).code, Some(10));
    assert_eq!(bench.run(&["audit", "verify"]).code, Some(2));
}

/// The ledger of a killed worker has no head; the ledger of the sweep vouches for it.
#[test]
fn verify_compares_a_broken_ledger_with_its_sweep() {
    let bench = Bench::new();
    let archive = Archive::new(&bench);
    let key = archive.key();
    let killed = archive.open("first");
    fill(&killed, 0, 3);
    let (old, sweep) = (killed.id(), archive.sweep(killed.id()));
    let (path, sweep) = (archive.path(old), archive.path(sweep));
    let verify = || bench.run(&["audit", "verify", &path, &sweep, "--key", &key]);
    let both = verify();
    assert_eq!(both.code, Some(31), "{}", both.stdout);
    assert!(both.stdout.contains("saw the same last record, 4"), "{}", both.stdout);

    let text = std::fs::read_to_string(&path).unwrap();
    let cut = text.trim_end().rfind('\n').unwrap() + 1;
    std::fs::write(&path, &text[..cut]).unwrap();
    let cut = verify();
    assert_eq!(cut.code, Some(30), "{}", cut.stdout);
    assert!(cut.stdout.contains("[sweep.mismatch]"), "{}", cut.stdout);
}

#[test]
fn a_ledger_that_is_replaced_copied_or_missing_is_found_in_its_directory() {
    let bench = Bench::new();
    let archive = Archive::new(&bench);
    let key = archive.key();
    let (one, other) = (archive.write("w"), archive.write("w"));
    let directory = archive.directory.to_str().unwrap();
    let verify = |files: &[&str]| bench.run(&[&["audit", "verify", "--key", &key][..], files].concat());
    let twice = verify(&[directory, &archive.path(one)]);
    assert_eq!((twice.code, twice.stdout.lines().count()), (Some(0), 2), "{}", twice.stdout);

    // A copy of another, with its head.
    let (path, from) = (archive.path(one), archive.path(other));
    let kept = std::fs::read(&path).unwrap();
    let head = |id| archive.sink.head_path(id);
    let kept_head = std::fs::read(head(one)).unwrap();
    std::fs::copy(&from, &path).unwrap();
    std::fs::copy(head(other), head(one)).unwrap();
    let replaced = verify(&[directory]);
    assert_eq!(replaced.code, Some(30), "{}", replaced.stdout);
    assert!(replaced.stdout.contains("[ledger.misplaced]"), "{}", replaced.stdout);
    assert!(replaced.stdout.contains("VALID, ledger"), "the original: {}", replaced.stdout);
    assert_eq!(verify(&[&path]).code, Some(30));
    // In files whose names say nothing.
    let copies = ["a.jsonl", "b.jsonl"].map(|name| bench.path(name).to_str().unwrap().to_owned());
    for copy in &copies {
        std::fs::copy(&from, copy).unwrap();
    }
    let copied = verify(&[&copies[0], &copies[1]]);
    assert_eq!(copied.code, Some(30), "{}", copied.stdout);
    assert!(copied.stdout.contains("2 of these files have this ledger"), "{}", copied.stdout);

    std::fs::write(&path, kept).unwrap();
    std::fs::write(head(one), kept_head).unwrap();
    assert_eq!(verify(&[directory]).code, Some(0));
    std::fs::remove_file(&path).unwrap();
    let missing = verify(&[directory]);
    assert_eq!(missing.code, Some(30), "{}", missing.stdout);
    assert!(missing.stdout.contains("the ledger is missing: only its head is there [ledger.missing]"));
    std::fs::remove_file(&from).unwrap();
    assert_eq!(verify(&[directory]).code, Some(30), "a directory of heads");
}

#[test]
fn verify_takes_the_heads_as_the_api_answers_them() {
    let bench = Bench::new();
    let archive = Archive::new(&bench);
    let (id, other) = (archive.write("w"), archive.write("w"));
    let attempts: Vec<serde_json::Value> = [other, id]
        .into_iter()
        .map(|id| {
            let head = std::fs::read(archive.sink.head_path(id)).unwrap();
            let head: serde_json::Value = serde_json::from_slice(&head).unwrap();
            let mut attempt = head["signature"].clone();
            attempt["head"] = head["head"].clone();
            attempt["attempt"] = 1.into();
            attempt
        })
        .collect();
    let answer = bench.path("answer.json");
    std::fs::write(&answer, serde_json::json!({"attempts": attempts}).to_string()).unwrap();
    std::fs::remove_file(archive.sink.head_path(id)).unwrap();
    let (path, key) = (archive.path(id), archive.key());
    let arguments = ["audit", "verify", &path, "--key", &key, "--head", answer.to_str().unwrap(), "--json"];
    let run = bench.run(&arguments).succeeded();
    let object = run.json();
    assert_eq!(
        (object["verdict"].as_str(), object["ledgers"][0]["records"].as_u64()),
        (Some("VALID"), Some(45))
    );
    assert_eq!(bench.run(&arguments[..5]).code, Some(32), "without its head");
}

/// The ledger of a real job in docs/example, checked by `cadmill audit` and by the documented
/// commands.
#[test]
fn the_example_holds() {
    let bench = Bench::new();
    let example = repository().join("docs/example");
    let path = |name: &str| example.join(name).to_str().unwrap().to_owned();
    let (ledger, key) = (path("1-0.jsonl"), path("pub.pem"));
    let verified = bench.run(&["audit", "verify", &ledger, "--key", &key, "--json"]).succeeded().json();
    let id = verified["ledgers"][0]["ledger"].as_str().expect("its name").to_owned();
    assert_eq!(verified["verdict"], "VALID", "{verified}");

    let read = |name: &str| std::fs::read(example.join(name)).unwrap();
    let done = by_hand(&bench.path("example"), &read("1-0.jsonl"), &read("1-0.head.json"), &key);
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success(), "{said}{}", String::from_utf8_lossy(&done.stderr));
    assert!(said.contains("Signature Verified Successfully"), "{said}");
    assert!(said.contains(r#""created":12,"destroyed":12,"residual":0"#), "{said}");

    let report = String::from_utf8(read("report.html")).unwrap();
    let job = id.split('/').next().unwrap();
    // The style sheet names every verdict: only an element shows the verdict of this ledger.
    let verdict = report.contains("class=\"v VALID\"");
    assert!(report.contains(job) && verdict, "the report is of another job");
    let deletions = ["0-1.jsonl", "0-2.jsonl"].map(path);
    bench.run(&["audit", "verify", &deletions[0], &deletions[1], "--key", &key]).succeeded();
    assert!(report.contains("Everything of this job was deleted from the object store by"), "{report}");
    let names = report.contains("countries") || report.contains("lowres") || report.contains(".shp");
    assert!(!names, "the report names files of the job");
}

#[test]
fn a_ledger_is_shown_file_by_file() {
    let bench = Bench::new();
    let archive = Archive::new(&bench);
    let id = archive.write("w");
    let shown = bench.run(&["audit", "show", &archive.path(id), "--key", &archive.key()]).succeeded().stdout;
    let rows: Vec<&str> = shown.lines().filter(|line| line.contains("  file  ")).collect();
    assert_eq!(rows.len(), 5, "{shown}");
    assert!(rows.iter().all(|row| row.contains('=')), "each has its life line: {shown}");
    assert!(
        shown.contains("posture landlock: version 6") && shown.contains("directory  workspace"),
        "{shown}"
    );
}

#[test]
fn the_report_loads_nothing_and_escapes_everything() {
    let bench = Bench::new();
    let archive = Archive::new(&bench);
    let ledgers = [archive.write("<script>alert(1)</script>"), archive.write("b")];
    let page = bench.path("report.html");
    let mut arguments = vec!["audit".to_owned(), "report".to_owned()];
    arguments.extend(ledgers.iter().map(|id| archive.path(*id)));
    arguments.extend(["-o".to_owned(), page.to_str().unwrap().to_owned(), "--key".to_owned(), archive.key()]);
    bench.run(&arguments).succeeded();
    let text = std::fs::read_to_string(&page).unwrap();
    assert!(!text.contains("<script") && text.contains("&lt;script&gt;alert(1)"), "{text}");
    for outside in ["http:", "https:", "//", "src=", "href=", "@import", "url(\"", "<link", "secret"] {
        assert!(!text.contains(outside), "{outside}");
    }
    assert!(text.contains("default-src 'none'"));
    for id in ledgers {
        assert!(text.contains(&id.job.to_string()));
    }
    assert_eq!(text.matches("<svg").count(), 2);
    assert_eq!(text.matches("class=\"v VALID\"").count(), 4);
    // Every opened element is closed, where HTML requires it.
    for element in ["svg", "table", "details", "defs", "pattern", "h2", "h3", "body", "html"] {
        let opened =
            text.matches(&format!("<{element}>")).count() + text.matches(&format!("<{element} ")).count();
        assert_eq!(opened, text.matches(&format!("</{element}>")).count(), "{element}");
    }
}

/// The audited party may supply the reviewer's directory: any content other than regular files is
/// reported at once as an error, without using much memory.
#[test]
fn only_regular_files_of_a_bounded_size_are_read() {
    let bench = Bench::new();
    let archive = Archive::new(&bench);
    let genuine = archive.path(archive.write("first"));
    let odd = bench.path("odd");
    std::fs::create_dir(&odd).unwrap();
    let make = |name: &str, make: &dyn Fn(&Path)| {
        let path = odd.join(name);
        make(&path);
        path.to_str().unwrap().to_owned()
    };
    let link = |target: &'static str| move |path: &Path| std::os::unix::fs::symlink(target, path).unwrap();
    let fifo = make("fifo", &|path| {
        let made = Command::new("mkfifo").arg(path).status().unwrap();
        assert!(made.success());
    });
    let socket = make("socket", &|path| drop(std::os::unix::net::UnixListener::bind(path).unwrap()));
    let huge = make("huge", &|path| std::fs::File::create(path).unwrap().set_len(1 << 40).unwrap());
    let large = make("large", &|path| std::fs::File::create(path).unwrap().set_len(3 << 30).unwrap());
    let odd_files = [
        ("a fifo", fifo),
        ("a socket", socket),
        ("a directory", make("directory", &|path| std::fs::create_dir(path).unwrap())),
        ("a device", "/dev/zero".to_owned()),
        ("a link to a device", make("zero", &link("/dev/zero"))),
        ("a link to a fifo", make("to-fifo", &link("fifo"))),
        ("a terminal", "/dev/tty".to_owned()),
        ("a terabyte", huge),
        ("3 GiB", large),
        ("a link to itself", make("loop", &link("loop"))),
        ("a file without an end", "/proc/kmsg".to_owned()),
    ];
    let output = bench.path("report.html");
    let output = output.to_str().unwrap();
    let mut wrong = Vec::new();
    for (kind, path) in &odd_files {
        // As a ledger, as the key, as the head, and as the head beside a ledger.
        let beside = bench.path("beside.jsonl");
        std::fs::copy(&genuine, &beside).unwrap();
        let head = beside.with_extension("head.json");
        let _ = std::fs::remove_file(&head);
        std::os::unix::fs::symlink(path, &head).unwrap();
        let uses: [&[&str]; 7] = [
            &["verify", path],
            &["verify", &genuine, path],
            &["verify", "--key", path, &genuine],
            &["verify", "--head", path, &genuine],
            &["verify", beside.to_str().unwrap()],
            &["show", path],
            &["report", path, "-o", output],
        ];
        for arguments in uses {
            let command = bench.command(&[&["audit"], arguments].concat());
            // Bounds time and memory: a command that hangs is ended with the exit code of
            // `timeout`.
            let limits = ["sh", "-c", "ulimit -v 2000000; exec timeout 20 \"$@\"", "sh"];
            let run = Run::from(crate::attacks::preceded(&limits, &command).output().unwrap());
            let said = run.stderr.contains("cannot read") && run.stderr.contains("[input.unreadable]");
            if run.code != Some(10) || !said || std::fs::exists(output).unwrap() {
                wrong.push(format!("{kind}: {arguments:?}: {:?} {}{}", run.code, run.stdout, run.stderr));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), odd_files.len() * 7, wrong.join("\n"));
    // A symbolic link to a ledger is accepted.
    let linked = make("ledger.jsonl", &|path| std::os::unix::fs::symlink(&genuine, path).unwrap());
    let head = Path::new(&genuine).with_extension("head.json");
    make("ledger.head.json", &|path| std::os::unix::fs::symlink(&head, path).unwrap());
    bench.run(&["audit", "verify", "--key", &archive.key(), &linked]).succeeded();
}

/// File names come from the audited party too.
#[test]
fn names_of_ledgers_cannot_act_on_the_terminal() {
    let bench = Bench::new();
    let archive = Archive::new(&bench);
    let genuine = archive.path(archive.write("first"));
    let hostile = bench.path("red\u{1b}[31m\u{202e}\nforged: VALID.jsonl");
    std::fs::copy(&genuine, &hostile).unwrap();
    let missing = bench.path("gone\u{1b}[31m\n.jsonl");
    for path in [&hostile, &missing] {
        for command in ["verify", "show"] {
            let run = bench.run(&["audit", command, path.to_str().unwrap()]);
            let shown = run.stdout + &run.stderr;
            assert!(!shown.contains(['\u{1b}', '\u{202e}']) && !shown.contains("\nforged"), "{shown:?}");
        }
    }
}
