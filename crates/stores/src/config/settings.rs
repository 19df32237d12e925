//! All values of one program, each with where it came from.

use super::file::Layer;
use super::key::{Id, KEYS, KeyDefault};
use super::kind::Value;
use super::problem::{Origin, Problem};
use super::program::Program;
use std::fmt;

/// What every key is, and where that came from.
#[derive(Clone)]
pub struct Settings {
    binary: Program,
    /// By [`Id`]; nothing where a key is not set and has no default.
    values: Vec<(Option<Value>, Origin)>,
    /// Keys with bad values, for which the default stands.
    faulty: Vec<Id>,
}

impl Settings {
    /// Merges sources; of each key the last one counts. A bad value of a key is
    /// told even where a better source has a good one.
    pub(super) fn merge(sources: [Layer; 3], binary: Program) -> (Self, Vec<Problem>) {
        let values = KEYS.iter().map(|key| {
            let text = match key.default {
                // `serve` shares the machine with whoever sits at it.
                _ if key.id == Id::WorkerNice && binary == Program::Serve => "10".to_owned(),
                KeyDefault::Value(text) => text.to_owned(),
                KeyDefault::Machine(_, ask) => ask(),
                KeyDefault::Unset(_) => return (None, Origin::Default),
            };
            (key.kind.parse(&text), Origin::Default)
        });
        let mut settings = Self { binary, values: values.collect(), faulty: Vec::new() };
        let mut problems = Vec::new();
        for said in sources {
            for (id, value, origin) in said.values {
                settings.values[id as usize] = (Some(value), origin);
            }
            settings.faulty.extend(said.faulty);
            problems.extend(said.problems);
        }
        (settings, problems)
    }

    /// The program that this was read for.
    pub fn binary(&self) -> Program {
        self.binary
    }

    pub(super) fn value(&self, id: Id) -> Option<&Value> {
        self.values[id as usize].0.as_ref()
    }

    pub(super) fn origin(&self, id: Id) -> &Origin {
        &self.values[id as usize].1
    }

    pub(super) fn is_faulty(&self, id: Id) -> bool {
        self.faulty.contains(&id)
    }

    /// Whether somebody set it.
    pub(super) fn is_set(&self, id: Id) -> bool {
        *self.origin(id) != Origin::Default
    }

    /// The keys of this program as TOML, each with where it came from; reads back to
    /// the same values. Secrets, and keys that are nothing, are comments.
    pub fn to_toml(&self) -> String {
        let mut text = format!("# Configuration of {}, as it takes effect.\n", self.binary.as_str());
        let mut group = "";
        for key in KEYS.iter().filter(|key| key.uses.contains(&self.binary)) {
            if key.group() != group {
                group = key.group();
                text.push('\n');
            }
            let (value, origin) = (self.value(key.id), self.origin(key.id));
            let line = match (value, key.default) {
                (Some(_), _) if key.kind.is_secret() => format!("# {} = \"(set)\"  # {origin}", key.path),
                (Some(value), _) => format!("{} = {}  # {origin}", key.path, value.toml(key.kind)),
                (None, KeyDefault::Unset(meaning)) => format!("# {} is not set: {meaning}", key.path),
                (None, _) => format!("# {} is not set", key.path),
            };
            text.push_str(&line);
            text.push('\n');
        }
        text
    }

    /// The same settings as variables, for a child process that runs another
    /// program of cadmill; secrets too, so it is for nothing else. Keys with their
    /// default are left out, and those that the child does not use.
    pub fn to_environment(&self, child: Program) -> Vec<(&'static str, String)> {
        let keys = KEYS.iter().filter(|key| key.uses.contains(&child));
        keys.filter(|key| self.is_set(key.id) || (key.id == Id::WorkerNice && self.binary == Program::Serve))
            .filter_map(|key| Some((key.variable(), self.value(key.id)?.text(key.kind))))
            .collect()
    }
}

impl fmt::Debug for Settings {
    /// Without values: some are secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("binary", &self.binary).finish_non_exhaustive()
    }
}
