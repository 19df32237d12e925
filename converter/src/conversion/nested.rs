//! An archive in the archive: portals and mail programs wrap what they are given once more.
//!
//! One level is opened, if there is nothing else to convert, or if the user names it. Deeper ones
//! are not: a failure names them.

use super::root::named_root;
use crate::engine::supervisor::clean;
use crate::intake::{Local, Source};
use crate::workspace::Folder;
use cadmill_archive::Plan;
use cadmill_core::domain::failure::{Failure, FailureCode};
use cadmill_core::domain::limits::ArchiveLimits;
use cadmill_core::domain::route;
use std::sync::atomic::AtomicBool;

/// An archive in the archive, by its name, and the file in it that the user named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Nested {
    pub(super) archive: String,
    pub(super) root: Option<String>,
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

    /// Opens it in the folder that the outer archive was unpacked to. `plan` is that of the outer one,
    /// whose limits the inner one shares.
    pub(super) fn open(
        &self,
        folder: &Folder,
        plan: &Plan,
        limits: &ArchiveLimits,
    ) -> Result<Local, Failure> {
        Local::open(&folder.path().join(&self.archive), &plan.remaining(limits))
            .map_err(|failure| self.blame(failure))
    }

    /// The directory of the opened archive.
    pub(super) fn plan_of<'a>(&self, inner: &'a Local) -> Result<&'a Plan, Failure> {
        inner.plan().ok_or_else(|| {
            let message = format!("'{}' in the archive is not a zip archive", self.archive);
            Failure::new(FailureCode::RootNotFound, message)
        })
    }

    /// The file in it that the user named, or else what `choose` takes of its names.
    pub(super) fn roots(
        &self,
        inside: &Plan,
        choose: impl FnOnce(&[&str]) -> Result<Vec<String>, Failure>,
    ) -> Result<Vec<String>, Failure> {
        let names = inside.names();
        if let Some(deeper) = self.root.as_deref().and_then(|root| Self::of(&names, Some(root))) {
            let (outer, inner) = (&self.archive, clean(&deeper.archive));
            let message = format!(
                "'{inner}' is an archive in '{outer}', which is in an archive itself: archives are opened one level deep; unpack the input, and convert '{outer}'"
            );
            return Err(Failure::new(FailureCode::RootNotFound, message));
        }
        match &self.root {
            Some(root) => named_root(root, &names).map(|name| vec![name]),
            None => choose(&names),
        }
        .map_err(|failure| self.blame(failure))
    }

    /// Unpacks it into a new directory beside the other files of the outer archive.
    pub(super) fn expand(
        &self,
        inner: &Local,
        outer: &Plan,
        folder: &Folder,
        cancel: &AtomicBool,
        progress: &mut dyn FnMut(f64),
    ) -> Result<Folder, Failure> {
        let content = folder.make_folder(&unused(&outer.names()))?;
        inner.expand(&content, cancel, progress).map_err(|failure| self.blame(failure))?;
        Ok(content)
    }

    /// A failure of this archive says so.
    fn blame(&self, mut failure: Failure) -> Failure {
        failure.message = format!("in '{}': {}", self.archive, failure.message);
        failure
    }
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
