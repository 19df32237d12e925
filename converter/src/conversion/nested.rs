//! An archive in the archive: portals and mail programs wrap what they are given once more.
//!
//! One level is opened, if there is nothing else to convert, or if the user names it. Its content
//! is unpacked into a directory of its own, under the limits that the outer archive leaves. Deeper
//! ones are not opened: a failure names them.

use super::{Job, Root, named_root};
use crate::intake::{Local, Source};
use crate::publish::Sink;
use crate::workspace::Workspace;
use cadmill_archive::Plan;
use cadmill_core::domain::failure::{Failure, FailureCode};
use cadmill_core::domain::format::EngineFormats;
use cadmill_core::domain::route::{self, Target};
use std::time::Instant;

/// An archive in the archive, by its name, and the file in it that the user named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Nested {
    archive: String,
    root: Option<String>,
}

impl Nested {
    /// The archive to open: the only one there is, or the one that `root` names or leads into.
    pub(super) fn of(names: &[&str], root: Option<&str>) -> Option<Self> {
        let archives = route::archives(names);
        let Some(root) = root else {
            let [only] = archives.as_slice() else { return None };
            return Some(Self { archive: (*only).to_owned(), root: None });
        };
        let inside = |archive: &str| root.strip_prefix(archive).and_then(|rest| rest.strip_prefix('/'));
        let named = archives.iter().find(|archive| **archive == root || inside(archive).is_some())?;
        Some(Self { archive: (*named).to_owned(), root: inside(named).map(str::to_owned) })
    }
}

impl<S: Sink> Job<'_, S> {
    /// Unpacks an archive, and the one in it.
    pub(super) fn unpack_nested(
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
        let inner = Local::open(&folder.path().join(archive), &plan.remaining(&self.order.archive))
            .map_err(|failure| within(failure, archive))?;
        let Some(inside) = inner.plan() else {
            let message = format!("'{archive}' in the archive is not a zip archive");
            return Err(Failure::new(FailureCode::RootNotFound, message));
        };
        let names = inside.names();
        let name = match &nested.root {
            Some(root) => named_root(root, &names),
            None => route::choose_root(&names, targets, formats),
        };
        let name = name.map_err(|failure| within(failure, archive))?;
        let target = self.target_for(&name, formats, targets)?;
        self.check_options(&target)?;
        workspace.admit("the expanded archive in the input", inside.expanded_bytes())?;
        self.facts.unpacked_bytes = plan.expanded_bytes().saturating_add(inside.expanded_bytes());
        self.facts.unpacked_files = plan.files() + inside.files();
        // No warm host: it takes over a workspace without input only.
        let directory = folder.make_folder(&unused(&plan.names()))?;
        inner
            .expand(&directory, self.cancel, &mut |fraction| self.observer.progress(fraction))
            .map_err(|failure| within(failure, archive))?;
        folder.destroy(archive).map_err(|e| Failure::io("destroying the archive in the input", &e))?;
        let directory = directory.path().to_owned();
        self.facts.times.unpack += started.elapsed();
        Ok((Root { path: directory.join(&name), directory, name: format!("{archive}/{name}") }, target))
    }
}

/// A failure of an archive in the archive says which.
fn within(mut failure: Failure, archive: &str) -> Failure {
    failure.message = format!("in '{archive}': {}", failure.message);
    failure
}

/// The name of a directory that the archive does not have, in whatever case.
fn unused(names: &[&str]) -> String {
    let is_used = |wanted: &str| {
        names
            .iter()
            .any(|name| name.split('/').next().is_some_and(|first| first.eq_ignore_ascii_case(wanted)))
    };
    (0..).map(|number| format!("content-{number}")).find(|name| !is_used(name)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_archive_to_open_is_the_only_one_or_is_named() {
        let nested = |archive: &str, root: Option<&str>| {
            Some(Nested { archive: archive.to_owned(), root: root.map(str::to_owned) })
        };
        let one = ["read.txt", "d/", "d/plan.ZIP", "__MACOSX/d/._plan.zip", ".hidden.zip"];
        assert_eq!(Nested::of(&one, None), nested("d/plan.ZIP", None));
        assert_eq!(Nested::of(&one, Some("d/plan.ZIP")), nested("d/plan.ZIP", None));
        assert_eq!(Nested::of(&one, Some("d/plan.ZIP/a/b.shp")), nested("d/plan.ZIP", Some("a/b.shp")));
        assert_eq!(Nested::of(&one, Some("read.txt")), None);
        let two = ["a.zip", "b.zip"];
        assert_eq!(Nested::of(&two, None), None);
        assert_eq!(Nested::of(&two, Some("b.zip")), nested("b.zip", None));
        assert_eq!(Nested::of(&["a.shp"], None), None);
    }

    #[test]
    fn the_directory_is_new() {
        assert_eq!(unused(&["a.zip"]), "content-0");
        assert_eq!(unused(&["Content-0/a", "content-1"]), "content-2");
    }
}
