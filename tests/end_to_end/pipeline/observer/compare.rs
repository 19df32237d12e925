//! Compares what the observer saw with what the ledgers report.

use super::told::Told;
use super::trace::{Event, Kind, What, Who};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

/// Prefix of the names of all workspaces and of the mount points of private ones.
const WORKSPACE: &str = "cadmill-workspace-";
const PRIVATE: &str = "cadmill-private-";

/// Paths where the kernel itself handles calls that would create a file.
const KERNEL: [&str; 2] = ["/proc", "/sys/fs/cgroup"];

/// The directories of an empty workspace.
const LAYOUT: [&str; 4] = ["in", "pack", "out", "tmp"];

/// Directories in which an engine may create files.
const ENGINES: [&str; 2] = ["out", "tmp"];

/// Totals of the comparison, when everything seen is reported and vice versa.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Agreed {
    /// Files and directories that workers created and removed.
    pub(crate) made: usize,
    pub(crate) removed: usize,
    /// Created by engines, and reported as `found`.
    pub(crate) found: usize,
    /// Directories of workspaces that belong to no job: a worker tries its engines when it starts,
    /// without any file.
    pub(crate) empty: usize,
    /// What still existed when its worker died, and was not swept.
    pub(crate) lost: usize,
}

/// The comparison: a pass over all observed events.
pub(crate) struct Comparison<'a> {
    ledgers: &'a BTreeMap<PathBuf, Told>,
    place: &'a Path,
    /// The directory of the stores, the ledgers and the logs.
    data: &'a Path,
    /// What currently exists, according to the observed events.
    there: HashMap<PathBuf, Being>,
    /// The act that each thread has announced and not yet reported as done.
    acts: HashMap<u32, Act<'a>>,
    books: BTreeMap<&'a Path, LedgerState<'a>>,
    agreed: Agreed,
    wrong: Vec<String>,
    /// Sequence number of the event.
    now: usize,
}

/// A file or directory that exists.
#[derive(Debug, Clone)]
struct Being {
    kind: Kind,
    maker: Who,
    since: usize,
    /// False if the call that created it did not return.
    sure: bool,
}

/// An announced act.
struct Act<'a> {
    ledger: &'a Path,
    record: &'a Value,
    seen: Vec<&'a What>,
    /// The file or directory that the last of these calls acted on.
    being: Option<Being>,
}

/// The state of one ledger, according to the records seen so far.
#[derive(Default)]
struct LedgerState<'a> {
    next: usize,
    /// For each file number of the ledger, its path and the number of its directory.
    paths: HashMap<u64, (PathBuf, u64)>,
    /// Files created by others: the event number and the record that reported them.
    found: HashMap<u64, (usize, &'a Value)>,
    /// Number of observed creations and removals.
    made: u64,
    removed: u64,
    /// Names by digest, and digests by name.
    names: HashMap<&'a str, PathBuf>,
    digests: HashMap<PathBuf, &'a str>,
}

/// Whether this is the directory where a job's tmpfs is first mounted, or one of the directories in
/// it that are then attached to their final places. They are empty and not recorded in a ledger:
/// files created in them later have the paths of the places where they are attached.
fn is_scaffold(below: &Path) -> bool {
    let whole = Path::new(".room");
    below == whole || ENGINES.iter().any(|name| below == whole.join(name))
}

/// A worker and its observed events.
pub(crate) struct Watched<'a> {
    pub(crate) events: &'a [Event],
    /// Whether its workspaces disappeared with it when it was killed.
    pub(crate) lost: bool,
}

impl<'a> Comparison<'a> {
    /// Compares. `workers` ran one after the other, in this order.
    ///
    /// # Errors
    /// Everything that was seen and not reported, or reported and not seen.
    pub(crate) fn run(
        (place, data): (&'a Path, &'a Path),
        ledgers: &'a BTreeMap<PathBuf, Told>,
        workers: &[Watched<'a>],
    ) -> Result<Agreed, Vec<String>> {
        let mut comparison = Self {
            ledgers,
            place,
            data,
            there: HashMap::new(),
            acts: HashMap::new(),
            books: BTreeMap::new(),
            agreed: Agreed::default(),
            wrong: Vec::new(),
            now: 0,
        };
        for worker in workers {
            for event in worker.events {
                comparison.now += 1;
                comparison.see(event);
            }
            // The worker died in the middle of these.
            comparison.acts.clear();
            if worker.lost {
                comparison.agreed.lost += comparison.there.len();
                comparison.there.clear();
            }
        }
        comparison.end();
        if comparison.wrong.is_empty() { Ok(comparison.agreed) } else { Err(comparison.wrong) }
    }

    fn wrong(&mut self, text: impl Into<String>) {
        self.wrong.push(text.into());
    }

    fn see(&mut self, event: &'a Event) {
        match &event.what {
            What::Record { ledger, text } => self.record(event, ledger, text),
            What::Make { path, kind, .. } if self.is_within(path) => self.made(event, path, *kind),
            What::Remove { path, directory } if self.is_within(path) => self.removed(event, path, *directory),
            What::Rename { from, to } if self.is_within(from) || self.is_within(to) => {
                self.renamed(event, from, to);
            }
            What::Make { path, .. } if event.sure && !self.is_known(path) => {
                self.wrong(format!("{:?} made something elsewhere: {}", event.who, path.display()));
            }
            _ => {}
        }
    }

    /// Whether the path is a job's workspace, or inside one.
    fn is_within(&self, path: &Path) -> bool {
        self.workspace(path).is_some_and(|(_, below)| !is_scaffold(below))
    }

    /// Whether workers may create files here that are not plaintext.
    fn is_known(&self, path: &Path) -> bool {
        let is_point = path.parent() == Some(self.place)
            && path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PRIVATE));
        let is_scaffold = self.workspace(path).is_some_and(|(_, below)| is_scaffold(below));
        is_point
            || is_scaffold
            || path.starts_with(self.data)
            || KERNEL.iter().any(|kernel| path.starts_with(kernel))
    }

    /// Whether it is a directory of a workspace that belongs to no job.
    fn is_empty(&self, path: &Path) -> bool {
        self.workspace(path).is_some_and(|(root, inner)| {
            let of_a_job = root.file_name().is_some_and(|name| name.to_string_lossy().contains('.'));
            let in_layout = LAYOUT.iter().any(|name| inner == Path::new(name));
            !of_a_job && (in_layout || inner.as_os_str().is_empty())
        })
    }

    /// The workspace that contains a path, and the path within it.
    fn workspace<'p>(&self, path: &'p Path) -> Option<(PathBuf, &'p Path)> {
        let below = path.strip_prefix(self.place).ok()?;
        let mut parts = below.components();
        let mut root = self.place.to_owned();
        let begins = |part: &Path, with: &str| part.to_string_lossy().starts_with(with);
        let mut part = parts.next()?;
        if begins(part.as_ref(), PRIVATE) {
            root.push(part);
            part = parts.next()?;
        }
        root.push(part);
        begins(part.as_ref(), WORKSPACE).then_some((root, parts.as_path()))
    }

    /// A thread writes a record: an announcement says what the thread may do next, a report says
    /// what it has done since.
    fn record(&mut self, event: &'a Event, ledger: &'a Path, text: &str) {
        let Some(told) = self.ledgers.get(ledger) else {
            return self.wrong(format!("no ledger is {}", ledger.display()));
        };
        let book = self.books.entry(ledger).or_default();
        let at = book.next;
        let Some(line) = told.lines.get(at) else {
            if event.sure {
                self.wrong(format!("{}: more records were written than there are: {text}", told.id));
            }
            return;
        };
        if event.who != Who::Worker || !line.starts_with(text) {
            return self.wrong(format!("{}: record {at} was not written as it is: {text}", told.id));
        }
        book.next += 1;
        let record = &told.records[at];
        let act = record["act"].as_str().unwrap_or_default();
        let makes_names = ["create", "unlink", "rmdir"].contains(&act);
        match record["type"].as_str() {
            Some("intent") if makes_names => {
                let act = Act { ledger, record, seen: Vec::new(), being: None };
                if self.acts.insert(event.thread, act).is_some() {
                    self.wrong(format!("{}: record {at} is announced in the middle of an act", told.id));
                }
            }
            Some("done") if makes_names => match self.acts.remove(&event.thread) {
                Some(act) if act.record["seq"] == record["intent"] => self.done(told, act, record),
                _ => self.wrong(format!("{}: record {at} ends what its thread has not begun", told.id)),
            },
            Some("found") => {
                let file = number(record, "file");
                let now = self.now;
                self.books.entry(ledger).or_default().found.insert(file, (now, record));
            }
            _ => {}
        }
    }

    /// This thread created something, or opened something that existed.
    fn made(&mut self, event: &'a Event, path: &Path, kind: Kind) {
        let exclusive = !matches!(event.what, What::Make { exclusive: false, .. });
        if let Some(being) = self.there.get_mut(path) {
            being.sure |= event.sure;
            if exclusive && event.sure {
                self.wrong(format!("made, and it was there: {}", path.display()));
            }
            return;
        }
        let being = Being { kind, maker: event.who, since: self.now, sure: event.sure };
        self.there.insert(path.to_owned(), being);
        match event.who {
            Who::Worker => self.in_act(event, path, None),
            Who::Engine if self.is_engines(path) && kind != Kind::Other => {}
            _ => self.wrong(format!("{:?} made {kind:?} {}", event.who, path.display())),
        }
    }

    fn is_engines(&self, path: &Path) -> bool {
        self.workspace(path).is_some_and(|(_, inner)| {
            ENGINES.iter().any(|directory| inner.starts_with(directory) && inner != Path::new(directory))
        })
    }

    fn removed(&mut self, event: &'a Event, path: &Path, directory: bool) {
        let Some(being) = self.there.remove(path) else {
            if event.sure {
                self.wrong(format!("removed, and nobody made it: {}", path.display()));
            }
            return;
        };
        if !event.sure {
            self.there.insert(path.to_owned(), Being { sure: false, ..being });
            return;
        }
        if directory != (being.kind == Kind::Directory) {
            self.wrong(format!("removed as another kind of thing: {}", path.display()));
        }
        match event.who {
            Who::Worker => self.in_act(event, path, Some(being)),
            _ => self.wrong(format!("{:?} removed {}", event.who, path.display())),
        }
    }

    fn renamed(&mut self, event: &'a Event, from: &Path, to: &Path) {
        let Some(being) = self.there.remove(from) else {
            if event.sure {
                self.wrong(format!("renamed, and nobody made it: {}", from.display()));
            }
            return;
        };
        if !event.sure {
            // It has one of the two names.
            for path in [from, to] {
                self.there.insert(path.to_owned(), Being { sure: false, ..being.clone() });
            }
            return;
        }
        match event.who {
            Who::Worker => self.in_act(event, from, None),
            Who::Engine if being.maker == Who::Engine && self.is_engines(to) => {}
            _ => self.wrong(format!("{:?} renamed {}", event.who, from.display())),
        }
        let inside: Vec<PathBuf> = self.there.keys().filter(|path| path.starts_with(from)).cloned().collect();
        for path in inside {
            let moved = to.join(path.strip_prefix(from).expect("it is below"));
            let being = self.there.remove(&path).expect("it was there");
            self.there.insert(moved, being);
        }
        if self.there.insert(to.to_owned(), being).is_some() {
            self.wrong(format!("{:?} renamed something over {}", event.who, to.display()));
        }
    }

    /// A worker's change to a name must have been announced by the same thread. Only empty
    /// workspaces need no announcement.
    fn in_act(&mut self, event: &'a Event, path: &Path, being: Option<Being>) {
        let is_empty = self.is_empty(path) && event.is_of_directory();
        match self.acts.get_mut(&event.thread) {
            Some(act) => {
                act.seen.push(&event.what);
                act.being = being;
            }
            None if is_empty => self.agreed.empty += 1,
            None => self.wrong(format!("done, and not announced: {:?} {}", event.what, path.display())),
        }
    }

    /// The end of an act is reported: exactly this act must have been done.
    fn done(&mut self, told: &Told, act: Act<'a>, done: &Value) {
        let (file, seq) = (number(act.record, "file"), &act.record["seq"]);
        let is_ok = done["result"] == "ok";
        let directory = act.record["kind"] == "directory";
        let name = act.record["act"].as_str().unwrap_or_default();
        let seen = act.seen.as_slice();
        let path = match (name, seen) {
            (_, []) if !is_ok => return,
            // A workspace gets its final name once it is locked.
            (
                "create",
                [What::Make { path: first, kind: Kind::Directory, .. }, What::Rename { from, to }],
            ) if directory && act.record["role"] == "workspace" && first == from => to,
            // Directories of an engine process that waited for the job, empty until then.
            ("create", [What::Rename { from, to }]) if directory && self.is_empty(from) => to,
            ("create", [What::Make { path, kind, .. }])
                if *kind == if directory { Kind::Directory } else { Kind::File } =>
            {
                path
            }
            ("unlink", [What::Remove { path, directory: false }])
            | ("rmdir", [What::Remove { path, directory: true }]) => path,
            _ => {
                let text = format!("{}: record {seq} tells of {name} ({is_ok}), seen was {seen:?}", told.id);
                return self.wrong(text);
            }
        };
        if !is_ok {
            return self.wrong(format!("{}: record {seq} is told as failed: {seen:?}", told.id));
        }
        let path = path.clone();
        if name == "create" {
            self.agreed.made += 1;
            self.books.entry(act.ledger).or_default().made += 1;
            self.bind(told, act.ledger, act.record, path);
        } else {
            self.agreed.removed += 1;
            self.books.entry(act.ledger).or_default().removed += 1;
            self.is_the_one(told, act.ledger, file, (path, act.being));
        }
    }

    /// The removed file must be the one with this number.
    fn is_the_one(&mut self, told: &Told, ledger: &'a Path, file: u64, removed: (PathBuf, Option<Being>)) {
        let (path, being) = removed;
        let book = self.books.entry(ledger).or_default();
        let found = book.found.get(&file).copied();
        let known = book.paths.get(&file).map(|(path, _)| path);
        let why = match (known, found, being) {
            (Some(known), None, Some(_)) if *known == path => return,
            (None, Some((at, record)), Some(being)) => {
                let kind = if being.kind == Kind::Directory { "directory" } else { "file" };
                let theirs = told.is_sweep() || being.maker == Who::Engine;
                let size_of_none = being.kind != Kind::Directory || record["bytes"] == 0;
                self.agreed.found += 1;
                self.bind(told, ledger, record, path.clone());
                if theirs && being.since < at && record["kind"] == kind && size_of_none {
                    return;
                }
                format!("it was told as {record}, and was {being:?}")
            }
            (known, found, _) => format!("it is known as {known:?}, and told as {found:?}"),
        };
        self.wrong(format!("{}: file {file} was removed as {}; {why}", told.id, path.display()));
    }

    /// Assigns a path to a file number of the ledger. The digest of its name must belong to no
    /// other name.
    fn bind(&mut self, told: &Told, ledger: &'a Path, record: &'a Value, path: PathBuf) {
        let (file, parent) = (number(record, "file"), number(record, "parent"));
        let Some((root, inner)) = self.workspace(&path) else { return };
        let name = match inner.file_name() {
            Some(_) => inner.to_owned(),
            None => root.file_name().map(PathBuf::from).unwrap_or_default(),
        };
        let digest = record["name"].as_str().unwrap_or_default();
        let book = self.books.entry(ledger).or_default();
        let another = book.names.insert(digest, name.clone()).is_some_and(|other| other != name)
            || book.digests.insert(name, digest).is_some_and(|other| other != digest);
        let twice = book.paths.insert(file, (path.clone(), parent)).is_some();
        if another || twice {
            let what = if twice { "its number" } else { "the digest of its name" };
            self.wrong(format!("{}: {what} is another's: file {file}, {}", told.id, path.display()));
        }
    }

    fn end(&mut self) {
        for (path, being) in &self.there {
            if being.sure {
                self.wrong.push(format!("left behind: {} of {being:?}", path.display()));
            }
        }
        for (path, told) in self.ledgers {
            match self.books.get(path.as_path()) {
                Some(book) => {
                    self.wrong.extend(book.end(told).into_iter().map(|text| format!("{}: {text}", told.id)))
                }
                None => self.wrong.push(format!("{}: nobody was seen writing it", told.id)),
            }
        }
    }
}

impl LedgerState<'_> {
    /// Checks that apply to a ledger as a whole.
    fn end(&self, told: &Told) -> Vec<String> {
        let mut wrong = Vec::new();
        if self.next != told.lines.len() {
            wrong.push(format!("{} of {} records were seen", self.next, told.lines.len()));
        }
        for (file, (path, parent)) in &self.paths {
            let directory = self.paths.get(parent).map(|(path, _)| path.as_path());
            let is_root = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(WORKSPACE));
            if !(is_root && *parent == 0 || directory.is_some() && path.parent() == directory) {
                wrong.push(format!(
                    "file {file}, {}, lies in {parent}, which is {directory:?}",
                    path.display()
                ));
            }
        }
        let Some(close) = told.records.last().filter(|record| record["type"] == "close") else {
            return wrong;
        };
        let (seen, told) = ([self.made + self.found.len() as u64, self.removed], ["created", "destroyed"]);
        if seen != told.map(|name| number(close, name)) {
            wrong.push(format!("seen {seen:?} of {told:?} in {close}"));
        }
        wrong
    }
}

fn number(record: &Value, name: &str) -> u64 {
    record[name].as_u64().unwrap_or_default()
}
