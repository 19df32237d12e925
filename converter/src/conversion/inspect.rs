//! What a file contains, without converting it: the archive's directory, the files in it that could
//! be converted, and what an engine finds in each of them.
//!
//! Engines run confined and under caps, as in a conversion. The workspace is removed on every exit
//! path.

use super::context::ConversionContext;
use super::nested::Nested;
use super::root::{complete, named_root};
use crate::engine::failure::failure_of;
use crate::engine::protocol::{Answer, EngineRequest, Task};
use crate::engine::registry::Engine;
use crate::engine::supervisor::{Identity, Outcome, clean};
use crate::intake::sidecars::on_disk;
use crate::intake::{Local, Source};
use crate::workspace::{Folder, Workspace};
use cadmill_archive::Plan;
use cadmill_core::domain::contents::Contents;
use cadmill_core::domain::failure::{Failure, FailureCode};
use cadmill_core::domain::format::{EngineFormats, EngineKind, extension_of};
use cadmill_core::domain::job::Warnings;
use cadmill_core::domain::limits::{ArchiveLimits, Caps};
use cadmill_core::domain::route;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// Files of an archive that are read by engines; the rest are listed as candidates only.
const MAX_FILES: usize = 50;

/// What to inspect, and the limits on it.
#[derive(Debug, Clone)]
pub struct InspectionRequest {
    /// If set, only this engine is used.
    pub engine: Option<String>,
    /// The only file to read, by its path in the archive.
    pub root: Option<String>,
    /// Options of a conversion, of which those that concern the input have an effect.
    pub options: Vec<(String, String)>,
    /// Caps on each engine process.
    pub caps: Caps,
    /// Limits on the archive.
    pub archive: ArchiveLimits,
    /// Whether to stop after the archive's directory: no byte of an entry is read then.
    pub archive_only: bool,
}

/// What a file contains.
#[derive(Debug, Clone, Default)]
pub struct Inspection {
    /// Its size.
    pub input_bytes: u64,
    /// Its directory, if it is an archive.
    pub archive: Option<Archive>,
    /// What engines found in it.
    pub files: Vec<Inspected>,
    /// Number of files that engines could read, of which `files` has the first; those of the archive
    /// alone, if no entry was read.
    pub candidates_total: u64,
}

/// The directory of an archive.
#[derive(Debug, Clone, Default)]
pub struct Archive {
    /// Names of its files and their expanded sizes in bytes, in the order of the archive.
    pub files: Vec<(String, u64)>,
    /// Number of its entries, directories included.
    pub entries: u64,
    /// Sum of the expanded sizes, in bytes.
    pub expanded_bytes: u64,
    /// Files that could be converted.
    pub candidates: Vec<String>,
    /// Files that would be converted if there were no candidate, such as `meta.json`.
    pub weak_candidates: Vec<String>,
    /// Archives in the archive.
    pub archives: Vec<String>,
    /// How names were read whose encoding the archive does not say.
    pub guessed_names: Option<String>,
}

/// What an engine found in one file.
#[derive(Debug, Clone)]
pub struct Inspected {
    /// The file, by its path in the archive or its own name.
    pub name: String,
    /// The engine that read it.
    pub engine: Option<String>,
    /// The library.
    pub identity: Option<Identity>,
    /// Its contents, or why it could not be read.
    pub contents: Result<Contents, Failure>,
    /// Warnings of cadmill and of the engine.
    pub warnings: Warnings,
}

/// The files to read, and how many there are in all.
type Roots = (Vec<Root>, u64);

/// A file to read, and the directory that it may read.
struct Root {
    name: String,
    path: PathBuf,
    directory: PathBuf,
    /// The directory in it that an archive in the archive was unpacked to, which has no name in it.
    within: Option<String>,
    noticed: Option<String>,
}

/// Inspects a local file. What an engine cannot read is part of the result.
///
/// # Errors
/// `input.*` for a file that is refused, `usage.*`, `limit.*` and `infra.*`.
pub fn inspect(
    request: &InspectionRequest,
    input: &Path,
    context: &ConversionContext,
    cancel: &AtomicBool,
) -> Result<Inspection, Failure> {
    let input = Local::open(input, &request.archive)?;
    let formats = formats(request, context)?;
    let archive = input.plan().map(|plan| directory(plan, &formats));
    let candidates_total = archive
        .as_ref()
        .map_or(1, |archive| strongest(&archive.candidates, &archive.weak_candidates).len() as u64);
    let mut inspection =
        Inspection { input_bytes: input.size_bytes(), archive, files: Vec::new(), candidates_total };
    if request.archive_only {
        return Ok(inspection);
    }
    let workspace = context.place.create()?;
    let this = Inspector { request, context, cancel, workspace: &workspace, formats: &formats };
    let read = this
        .roots(&input, inspection.archive.as_ref())
        .and_then(|(roots, total)| this.read(roots).map(|files| (files, total)));
    let removed = workspace.remove();
    (inspection.files, inspection.candidates_total) = read?;
    removed?;
    Ok(inspection)
}

/// The engines that can tell what a file contains.
fn formats(request: &InspectionRequest, context: &ConversionContext) -> Result<Vec<EngineFormats>, Failure> {
    if let Some(name) = &request.engine
        && context.engines.get(name).is_none()
    {
        return Err(Failure::new(FailureCode::EngineUnknown, format!("unknown engine '{name}'")));
    }
    let asked = |engine: &&Engine| match &request.engine {
        Some(name) => engine.name == *name,
        None => engine.kind != EngineKind::Jvm,
    };
    Ok(context.engines.iter().filter(asked).map(Engine::formats).collect())
}

fn directory(plan: &Plan, formats: &[EngineFormats]) -> Archive {
    let names = plan.names();
    let (candidates, weak_candidates) = route::candidates(&names, formats);
    let files = plan.entries().iter().filter(|entry| !entry.is_directory());
    Archive {
        files: files.map(|entry| (entry.name().to_owned(), entry.expanded_bytes())).collect(),
        entries: plan.entries().len() as u64,
        expanded_bytes: plan.expanded_bytes(),
        candidates,
        weak_candidates,
        archives: route::archives(&names).into_iter().map(str::to_owned).collect(),
        guessed_names: plan.guessed_names(),
    }
}

struct Inspector<'a> {
    request: &'a InspectionRequest,
    context: &'a ConversionContext,
    cancel: &'a AtomicBool,
    workspace: &'a Workspace,
    formats: &'a [EngineFormats],
}

impl Inspector<'_> {
    /// The files to read, brought into the workspace.
    fn roots(&self, input: &Local, archive: Option<&Archive>) -> Result<Roots, Failure> {
        let folder = self.workspace.input_folder()?;
        let (Some(plan), Some(archive)) = (input.plan(), archive) else {
            return self.plain(input, &folder);
        };
        let root = self.request.root.as_deref();
        let nested = Nested::of(&plan.names(), root).filter(|_| {
            root.is_some() || archive.candidates.is_empty() && archive.weak_candidates.is_empty()
        });
        let names = match (&nested, root) {
            (Some(_), _) => Vec::new(),
            (None, Some(root)) => vec![named_root(root, &plan.names())?],
            (None, None) => strongest(&archive.candidates, &archive.weak_candidates).to_vec(),
        };
        if names.is_empty() && nested.is_none() {
            return Ok((Vec::new(), 0));
        }
        self.workspace.admit("the expanded input", plan.expanded_bytes())?;
        input.expand(&folder, self.cancel, &mut |_| {})?;
        match nested {
            Some(nested) => self.nested(plan, &nested, &folder),
            None => {
                let roots = names.iter().take(MAX_FILES).map(|name| root_in(&folder, &folder, name, ""));
                Ok((roots.collect::<Result<_, _>>()?, names.len() as u64))
            }
        }
    }

    /// An input that is not an archive.
    fn plain(&self, input: &Local, folder: &Folder) -> Result<Roots, Failure> {
        if self.request.root.is_some() {
            let message = "--root names a file in an archive, but the input is not an archive";
            return Err(Failure::new(FailureCode::RootMissing, message));
        }
        let path = input.place(folder, self.cancel, &mut |_| {})?;
        let directory = path.parent().unwrap_or(Path::new("/")).to_owned();
        let root = Root { name: input.name().to_owned(), path, directory, within: None, noticed: None };
        Ok((vec![root], 1))
    }

    /// The files of an archive in the archive.
    fn nested(&self, plan: &Plan, nested: &Nested, folder: &Folder) -> Result<Roots, Failure> {
        let inner = nested.open(folder, plan, &self.request.archive)?;
        let inside = nested.plan_of(&inner)?;
        let names = nested.roots(inside, |names| {
            let (strong, weak) = route::candidates(names, self.formats);
            Ok(strongest(&strong, &weak).to_vec())
        })?;
        self.workspace.admit("the expanded archive in the input", inside.expanded_bytes())?;
        let content = nested.expand(&inner, plan, folder, self.cancel, &mut |_| {})?;
        let prefix = format!("{}/", nested.archive);
        let roots = names.iter().take(MAX_FILES).map(|name| root_in(&content, folder, name, &prefix));
        Ok((roots.collect::<Result<_, _>>()?, names.len() as u64))
    }

    fn read(&self, roots: Vec<Root>) -> Result<Vec<Inspected>, Failure> {
        let mut files = Vec::new();
        for root in roots {
            if self.cancel.load(Ordering::Relaxed) {
                return Err(crate::engine::failure::cancelled());
            }
            if !files.is_empty() {
                self.workspace.clear_output()?;
            }
            files.push(self.read_one(root)?);
        }
        Ok(files)
    }

    fn read_one(&self, root: Root) -> Result<Inspected, Failure> {
        let mut warnings = Warnings::default();
        root.noticed.iter().for_each(|line| warnings.push(line));
        let extension = extension_of(&root.name);
        let formats = match self.formats {
            // An engine that the user named may try any file.
            [only] if self.request.engine.is_some() => Some(only),
            formats => formats.iter().find(|formats| formats.reads(&extension)),
        };
        let engine = formats.and_then(|formats| self.context.engines.get(&formats.engine));
        let Some(engine) = engine else {
            let contents = Err(route::unread(&extension));
            return Ok(Inspected { name: root.name, engine: None, identity: None, contents, warnings });
        };
        let within = root.within;
        let task = Task::Inspect {
            input: root.path,
            input_dir: root.directory,
            output_dir: self.workspace.output(),
            options: self.request.options.clone(),
        };
        let (caps, workspace) = (&self.request.caps, self.workspace);
        workspace.bound(caps.output_bytes);
        let engine_request = EngineRequest::new(engine.library().clone(), task, caps);
        let report = self
            .context
            .supervisor
            .run(&engine_request, caps, &workspace.scratch(), &workspace.output(), self.cancel, &mut |_| {})
            .map_err(|e| Failure::new(FailureCode::EngineHost, format!("starting the engine host: {e}")))?;
        warnings.absorb(&report.warnings, |line| workspace.hide(line));
        let contents = match report.outcome {
            Outcome::Cancelled => return Err(crate::engine::failure::cancelled()),
            Outcome::Answered(Answer::Inspected(mut contents)) => {
                contents.texts().for_each(|text| {
                    let plain = within.as_ref().and_then(|within| text.strip_prefix(within.as_str()));
                    *text = clean(plain.unwrap_or(text));
                });
                Ok(*contents)
            }
            outcome => Err(failure(&engine.name, outcome, workspace)),
        };
        let (engine, identity) = (Some(engine.name.clone()), report.identity);
        Ok(Inspected { name: root.name, engine, identity, contents, warnings })
    }
}

/// The failure of an engine that did not tell what the file contains.
fn failure(engine: &str, outcome: Outcome, workspace: &Workspace) -> Failure {
    match failure_of(engine, outcome) {
        Err(mut failure) => {
            failure.message = workspace.hide(&failure.message);
            failure
        }
        Ok(()) => Failure::new(FailureCode::EngineHost, "the engine host sent an unexpected reply"),
    }
}

/// A file that was unpacked into `content`, of which the engine may read all of `folder`.
fn root_in(content: &Folder, folder: &Folder, name: &str, prefix: &str) -> Result<Root, Failure> {
    let unpacked = on_disk(name).into_owned();
    let noticed = complete(content, &unpacked)?;
    let (path, directory) = (content.path().join(unpacked), folder.path().to_owned());
    let within = content.path().strip_prefix(folder.path()).ok().and_then(Path::to_str);
    let within = within.filter(|within| !within.is_empty()).map(|within| format!("{within}/"));
    Ok(Root { name: format!("{prefix}{name}"), path, directory, within, noticed })
}

/// The candidates that a conversion would choose from.
fn strongest<'a>(strong: &'a [String], weak: &'a [String]) -> &'a [String] {
    if strong.is_empty() { weak } else { strong }
}
