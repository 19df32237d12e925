//! All files of an archive that can be converted, each by itself. The result is one file with a layer
//! of each, where the format keeps layers, or one archive, in which the output of each has a directory
//! of its own.
//!
//! If one of them fails, so does the whole: a result that lacks some would pass for complete.

use super::output::output_files;
use super::report::{Part, Stage};
use super::root::ALL;
use super::{Job, Notice, Root};
use crate::engine::supervisor::clean;
use crate::intake::Source;
use crate::intake::sidecars::on_disk;
use crate::publish::Sink;
use crate::workspace::Workspace;
use cadmill_archive::{Names, Plan, fit};
use cadmill_core::domain::counts::Counts;
use cadmill_core::domain::failure::{Failure, FailureCode};
use cadmill_core::domain::format::{EngineFormats, stem_of};
use cadmill_core::domain::limits::MAX_WRITTEN_FILES;
use cadmill_core::domain::route::{self, Target};
use std::time::Instant;

/// Formats that keep the layers of several files, by the engine's id.
const LAYERED: &[&str] = &["GPKG"];

/// A file to convert, and what becomes of it.
struct Item {
    name: String,
    target: Target,
    /// The name of its directory, or of its layer.
    directory: String,
}

impl<S: Sink> Job<'_, S> {
    /// Converts all candidates, if that is asked for and there are several.
    pub(super) fn run_all(
        &mut self,
        input: &dyn Source,
        workspace: &Workspace,
    ) -> Result<Option<S::Output>, Failure> {
        let Some(plan) = input.plan().filter(|_| self.order.root.as_deref() == Some(ALL)) else {
            return Ok(None);
        };
        let (formats, targets) = self.targets()?;
        let items = self.items(plan, &formats, &targets)?;
        let [first, _, ..] = items.as_slice() else { return Ok(None) };
        let extension = first.target.extension.clone();
        let main_name = format!("{}.{extension}", fit(&self.sink.stem(stem_of(input.name()), &extension)));
        let roots = self.unpack_all(input, plan, &items, workspace)?;
        self.facts.root = Some(ALL.to_owned());
        self.facts.target = Some(first.target.clone());
        // Of the archive, and not of each conversion.
        let noticed = std::mem::take(&mut self.noticed);
        let is_layered = items.iter().all(|item| LAYERED.contains(&item.target.format_id.as_str()));
        let one_file = Some(main_name.as_str()).filter(|_| is_layered);
        self.convert_with_retry(workspace, &mut |job| {
            job.convert_all((&items, &roots), one_file, &noticed, workspace)
        })?;
        self.publish(&main_name, &extension, !is_layered, workspace).map(Some)
    }

    fn items(
        &mut self,
        plan: &Plan,
        formats: &[EngineFormats],
        targets: &[Target],
    ) -> Result<Vec<Item>, Failure> {
        let targeted: Vec<EngineFormats> =
            formats.iter().filter(|f| targets.iter().any(|t| t.engine == f.engine)).cloned().collect();
        let (strong, weak) = route::candidates(&plan.names(), &targeted);
        let (names, left_out) = if strong.is_empty() { (weak, Vec::new()) } else { (strong, weak) };
        if names.len() as u64 > MAX_WRITTEN_FILES {
            return Ok(Vec::new());
        }
        // With nothing to convert, the failure says why.
        if !names.is_empty() {
            self.note_left_out(plan, formats, &names, &left_out);
        }
        let mut directories = Names::default();
        let mut items = Vec::new();
        for name in names {
            let target = self.target_for(&name, formats, targets)?;
            self.check_options(&target)?;
            let stem = fit(stem_of(&name));
            let numbered = (2..=MAX_WRITTEN_FILES).map(|number| format!("{stem}-{number}"));
            // A name that differs in case only is taken, too; one of which no name can be made is
            // replaced.
            let directory = std::iter::once(stem.clone())
                .chain(numbered)
                .find(|directory| directories.take(directory).is_ok())
                .unwrap_or_else(|| format!("file-{}", items.len() + 1));
            items.push(Item { name, target, directory });
        }
        Ok(items)
    }

    /// Tells which files of the archive are data and are not converted: the result lacks them. `weak` are
    /// those that could be.
    fn note_left_out(
        &mut self,
        plan: &Plan,
        formats: &[EngineFormats],
        converted: &[String],
        weak: &[String],
    ) {
        let (of_any_engine, weak_of_any) = route::candidates(&plan.names(), formats);
        let is_left = |name: &&String| !converted.contains(name) && !weak.contains(name);
        let left = |names: &[String]| names.iter().filter(is_left).cloned().collect::<Vec<_>>();
        let to = &self.order.format;
        let no_route = match &self.order.engine {
            Some(engine) => format!("not converted: engine '{engine}' does not convert them to {to}"),
            None => format!("not converted: no engine converts them to {to}"),
        };
        let archives: Vec<String> = route::archives(&plan.names()).into_iter().map(str::to_owned).collect();
        for (what, names, more) in [
            (
                "not converted, as their formats mostly describe other files",
                weak,
                "; --root converts one of them",
            ),
            (no_route.as_str(), &left(&of_any_engine), ""),
            (
                "not converted, as they are archives in the archive",
                &archives,
                "; --root converts a file in one of them",
            ),
        ] {
            if !names.is_empty() {
                self.note_loss(format!("{what}: {}{more}", listed(names)));
            }
        }
        let rest = left(&weak_of_any);
        if !rest.is_empty() {
            self.note(format!("{no_route}: {}", listed(&rest)));
        }
    }

    fn unpack_all(
        &mut self,
        input: &dyn Source,
        plan: &Plan,
        items: &[Item],
        workspace: &Workspace,
    ) -> Result<Vec<Root>, Failure> {
        self.observer.stage(Stage::Unpack);
        let started = Instant::now();
        workspace.admit("the expanded input", plan.expanded_bytes())?;
        self.facts.unpacked_bytes = plan.expanded_bytes();
        self.facts.unpacked_files = plan.files();
        let folder = workspace.input_folder()?;
        input.expand(&folder, self.cancel, &mut |fraction| self.observer.progress(fraction))?;
        let mut roots = Vec::new();
        for item in items {
            let unpacked = on_disk(&item.name).into_owned();
            self.complete(&folder, &unpacked)?;
            let directory = folder.path().to_owned();
            roots.push(Root { path: directory.join(unpacked), directory, name: item.name.clone() });
        }
        self.facts.times.unpack += started.elapsed();
        Ok(roots)
    }

    fn convert_all(
        &mut self,
        (items, roots): (&[Item], &[Root]),
        one_file: Option<&str>,
        noticed: &[Notice],
        workspace: &Workspace,
    ) -> Result<(), Failure> {
        let output = workspace.output_folder()?;
        let mut warnings = Self::noticed(noticed);
        self.facts.warnings.clone_from(&warnings);
        // What is not converted at all differs, whatever becomes of the rest.
        if let Some(first) = items.first() {
            self.check_strict(&first.target.engine)?;
        }
        let mut counts: Option<Option<Counts>> = None;
        self.facts.parts.clear();
        for (item, root) in items.iter().zip(roots) {
            let directory = &item.directory;
            let folder = match one_file {
                Some(_) => None,
                None => Some(output.make_folder(directory)?),
            };
            let placed = match (one_file, item.target.extension.as_str()) {
                (Some(name), _) => name.to_owned(),
                (None, "") => format!("{directory}/{directory}"),
                (None, extension) => format!("{directory}/{directory}.{extension}"),
            };
            let layer = one_file.map(|_| directory.as_str());
            let times = self.facts.times;
            let converted = self.convert(root, &item.target, (&placed, layer), workspace);
            self.facts.times.load += times.load;
            self.facts.times.convert += times.convert;
            let of_this = std::mem::take(&mut self.facts.warnings);
            warnings.absorb(&of_this, |line| format!("{}: {line}", item.name));
            self.facts.warnings.clone_from(&warnings);
            let of_item = self.facts.counts;
            let sum = counts.map_or(of_item, |so_far| so_far.zip(of_item).and_then(|(a, b)| a.plus(b)));
            counts = Some(sum);
            self.facts.counts = sum;
            converted.map_err(|mut failure| {
                failure.message = format!("{}: {}", item.name, failure.message);
                failure
            })?;
            if output_files(folder.as_ref().unwrap_or(&output))?.is_empty() {
                let message = format!("{}: the engine reported success, but wrote no file", item.name);
                return Err(Failure::new(FailureCode::EngineNoAnswer, message));
            }
            self.facts.parts.push(Part {
                root: item.name.clone(),
                engine: item.target.engine.clone(),
                directory: item.directory.clone(),
                counts: of_item,
                engine_facts: std::mem::take(&mut self.facts.engine_facts),
                warnings: of_this.total,
            });
        }
        // What was noticed before counts, too.
        items.first().map_or(Ok(()), |item| self.check_strict(&item.target.engine))
    }
}

/// Names of files that a warning has room for.
fn listed(names: &[String]) -> String {
    const SHOWN: usize = 20;
    let shown = names.iter().take(SHOWN).map(|name| clean(name)).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
