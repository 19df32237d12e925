//! Problems of a configuration: all are reported at once, one line each.

use std::fmt;
use std::path::PathBuf;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// No source set it.
    Default,
    /// A configuration file.
    File {
        /// Its path, as given.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// This environment variable.
    Environment(String),
    /// This flag, with its hyphens.
    Flag(String),
}

impl fmt::Display for Origin {
    /// Always one line, whatever characters the path contains.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display().to_string().escape_debug()),
            Self::Environment(name) => write!(f, "env {}", name.escape_debug()),
            Self::Flag(name) => write!(f, "flag {}", name.escape_debug()),
        }
    }
}

/// One problem. Its text never contains a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The key, or the unknown name; empty if the problem is about a whole file.
    pub key: String,
    /// Where it came from.
    pub origin: Origin,
    /// What was found, and what is expected.
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.key.is_empty() {
            return write!(f, "{}: {}", self.origin, self.text);
        }
        write!(f, "{} ({}): {}", self.key.escape_debug(), self.origin, self.text)
    }
}

/// All problems found, at least one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, problem) in self.0.iter().enumerate() {
            let line_break = if place == 0 { "" } else { "\n" };
            write!(f, "{line_break}{problem}")?;
        }
        Ok(())
    }
}

/// Returns the name that was probably meant: one that ends the same way, or differs in a letter
/// or two.
pub(super) fn nearest(name: &str, names: impl Iterator<Item = String>) -> Option<String> {
    let names: Vec<String> = names.collect();
    let by_distance = names
        .iter()
        .map(|candidate| (distance(name, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= 3 && distance * 3 <= candidate.len())
        .min();
    if let Some((_, candidate)) = by_distance {
        return Some(candidate.clone());
    }
    let last = |text: &str| text.rsplit('.').next().unwrap_or_default().to_owned();
    let mut same_end = names.iter().filter(|candidate| last(candidate) == last(name));
    match (same_end.next(), same_end.next()) {
        (Some(only), None) => Some(only.clone()),
        _ => None,
    }
}

/// Number of letters to add, remove or change (Levenshtein distance); a large number if the
/// lengths alone show that it is more than a few.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(200).collect(), b.chars().collect());
    if a.len().abs_diff(b.len()) > 3 {
        return usize::MAX / 4;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let changed = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_misses_are_found_and_far_ones_are_not() {
        let names = || ["worker.name", "worker.memory", "job.lease"].map(str::to_owned).into_iter();
        assert_eq!(nearest("wroker.name", names()).as_deref(), Some("worker.name"));
        assert_eq!(nearest("lease", names()).as_deref(), Some("job.lease"));
        assert_eq!(nearest("api.listen", names()), None);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
    }

    #[test]
    fn a_problem_is_one_line() {
        let origin = Origin::File { path: "a\nb".into(), line: 3 };
        let problem = Problem { key: "x\ny".into(), origin, text: "found".into() };
        assert_eq!(problem.to_string(), "x\\ny (a\\nb:3): found");
    }
}
