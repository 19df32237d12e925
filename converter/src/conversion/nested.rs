//! An archive in the archive: portals and mail programs wrap what they are given once more.
//!
//! One level is opened, if there is nothing else to convert, or if the user names it. Deeper ones
//! are not: a failure names them.

use cadmill_core::domain::failure::Failure;
use cadmill_core::domain::route;

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

    /// A failure of this archive says so.
    pub(super) fn blame(&self, mut failure: Failure) -> Failure {
        failure.message = format!("in '{}': {}", self.archive, failure.message);
        failure
    }
}

/// The name of a directory that the archive does not have, in whatever case.
pub(super) fn unused(names: &[&str]) -> String {
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
