//! The input becomes files in the workspace, and one of them the root: of an archive, of an archive
//! in it, or of a file that is none.
//!
//! What can be refused by the directory of an archive is refused before it is expanded.

use super::nested::Nested;
use super::report::Stage;
use super::root::{self, ALL, named_root};
use super::{Job, Root};
use crate::intake::Source;
use crate::intake::sidecars::on_disk;
use crate::publish::Sink;
use crate::workspace::{Folder, Workspace};
use cadmill_archive::Plan;
use cadmill_core::domain::failure::{Failure, FailureCode};
use cadmill_core::domain::format::EngineFormats;
use cadmill_core::domain::route::{self, Target};
use std::path::Path;
use std::time::Instant;

impl<S: Sink> Job<'_, S> {
    /// Determines root and route before expanding the archive.
    pub(super) fn unpack(
        &mut self,
        input: &dyn Source,
        plan: &Plan,
        workspace: &Workspace,
    ) -> Result<(Root, Target), Failure> {
        self.observer.stage(Stage::Unpack);
        let started = Instant::now();
        let names = plan.names();
        let (formats, targets) = self.targets()?;
        // An archive with one file that can be converted is converted as usual.
        let root = self.order.root.as_deref().filter(|root| *root != ALL);
        let name = match root {
            Some(root) => named_root(root, &names),
            None => route::choose_root(&names, &targets, &formats),
        };
        // A file that can be converted comes before an archive, unless that is named.
        let nested = Nested::of(&names, root).filter(|_| match &name {
            Ok(_) => root.is_some(),
            Err(failure) => [FailureCode::RootNotFound, FailureCode::RootMissing].contains(&failure.code),
        });
        if let Some(nested) = nested {
            return self.unpack_nested(input, plan, &nested, (&formats, &targets), workspace);
        }
        let name = name?;
        let target = self.target_for(&name, &formats, &targets)?;
        self.check_options(&target)?;
        workspace.admit("the expanded input", plan.expanded_bytes())?;
        self.facts.unpacked_bytes = plan.expanded_bytes();
        self.facts.unpacked_files = plan.files();
        self.start_ahead(&target, workspace)?;
        let folder = workspace.input_folder()?;
        input.expand(&folder, self.cancel, &mut |fraction| self.observer.progress(fraction))?;
        let unpacked = on_disk(&name).into_owned();
        self.complete(&folder, &unpacked)?;
        let directory = folder.path().to_owned();
        self.facts.times.unpack += started.elapsed();
        Ok((Root { path: directory.join(unpacked), directory, name }, target))
    }

    /// Unpacks an archive and the one in it: that into a new directory beside its own files, under
    /// the limits that the outer one leaves.
    fn unpack_nested(
        &mut self,
        input: &dyn Source,
        plan: &Plan,
        nested: &Nested,
        (formats, targets): (&[EngineFormats], &[Target]),
        workspace: &Workspace,
    ) -> Result<(Root, Target), Failure> {
        let started = Instant::now();
        let archive = &nested.archive;
        workspace.admit("the expanded input", plan.expanded_bytes())?;
        let folder = workspace.input_folder()?;
        input.expand(&folder, self.cancel, &mut |fraction| self.observer.progress(fraction))?;
        let inner = nested.open(&folder, plan, &self.order.archive)?;
        let inside = nested.plan_of(&inner)?;
        if let Some(line) = inside.guessed_names() {
            self.note(format!("in '{archive}': {line}"));
        }
        let found =
            nested.roots(inside, |names| route::choose_root(names, targets, formats).map(|name| vec![name]));
        let found = found.map_err(|mut failure| {
            if failure.code == FailureCode::RootAmbiguous && self.order.root.as_deref() == Some(ALL) {
                failure.message += "; --all does not convert the files of an archive in the archive";
            }
            failure
        })?;
        let name = found.into_iter().next().unwrap_or_default();
        let target = self.target_for(&name, formats, targets)?;
        self.check_options(&target)?;
        workspace.admit("the expanded archive in the input", inside.expanded_bytes())?;
        self.facts.unpacked_bytes = plan.expanded_bytes().saturating_add(inside.expanded_bytes());
        self.facts.unpacked_files = plan.files() + inside.files();
        // No warm host: it takes over a workspace without input only.
        let progress = &mut |fraction| self.observer.progress(fraction);
        let content = nested.expand(&inner, plan, &folder, self.cancel, progress)?;
        let unpacked = on_disk(&name).into_owned();
        self.complete(&content, &unpacked)?;
        folder.destroy(archive).map_err(|e| Failure::io("destroying the archive in the input", &e))?;
        self.facts.times.unpack += started.elapsed();
        let (path, directory) = (content.path().join(unpacked), folder.path().to_owned());
        Ok((Root { path, directory, name: format!("{archive}/{name}") }, target))
    }

    /// Brings in a file that is not an archive.
    pub(super) fn stage_plain_file(
        &mut self,
        input: &dyn Source,
        workspace: &Workspace,
    ) -> Result<(Root, Target), Failure> {
        if self.order.root.as_deref().is_some_and(|root| root != ALL) {
            let message = "--root names a file in an archive, but the input is not an archive";
            return Err(Failure::new(FailureCode::RootMissing, message));
        }
        let started = Instant::now();
        let name = input.name().to_owned();
        let (formats, targets) = self.targets()?;
        let target = self.target_for(&name, &formats, &targets)?;
        self.check_options(&target)?;
        workspace.admit("the input", input.needs_bytes())?;
        self.start_ahead(&target, workspace)?;
        let progress = &mut |fraction| self.observer.progress(fraction);
        let folder = workspace.input_folder()?;
        let path = input.place(&folder, self.cancel, progress)?;
        if path.starts_with(folder.path()) {
            self.complete(&folder, &name)?;
        }
        let directory = path.parent().unwrap_or(Path::new("/")).to_owned();
        self.facts.times.unpack += started.elapsed();
        Ok((Root { path, directory, name }, target))
    }

    /// Makes what the input lacks and what follows from the rest of it.
    pub(super) fn complete(&mut self, folder: &Folder, name: &str) -> Result<(), Failure> {
        if let Some(line) = root::complete(folder, name)? {
            self.note(line);
        }
        Ok(())
    }
}
