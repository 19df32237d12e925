//! All values of one program, each with its origin.

use super::file::Layer;
use super::key::{Id, KEYS, KeyDefault};
use super::kind::Value;
use super::problem::{Origin, Problem};
use super::program::Program;
use std::fmt;

/// The value of every key, with its origin.
#[derive(Clone)]
pub struct Settings {
    binary: Program,
    /// Indexed by [`Id`]; `None` if a key is not set and has no default.
    values: Vec<(Option<Value>, Origin)>,
    /// Keys that were given a bad value.
    faulty: Vec<Id>,
}

impl Settings {
    /// Merges sources; for each key, the last source that sets it wins. A bad value of a key is
    /// reported even if a source of higher precedence has a valid one.
    pub(super) fn merge(sources: [Layer; 3], binary: Program) -> (Self, Vec<Problem>) {
        let values = KEYS.iter().map(|key| {
            let text = match key.default {
                // `serve` shares the machine with its interactive users.
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

    /// The program that these settings were read for.
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

    /// Whether a source set the key.
    pub(super) fn is_set(&self, id: Id) -> bool {
        *self.origin(id) != Origin::Default
    }

    /// The keys of this program as TOML, each with its origin; reading it back gives the same
    /// values. Secrets, and keys without a value, are comments.
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

    /// The same settings as environment variables, for a child process that runs another program
    /// of cadmill. They include secrets, so they must not be used for anything else. Keys with
    /// their default, and keys that the child does not use, are left out.
    pub fn to_environment(&self, child: Program) -> Vec<(&'static str, String)> {
        let keys = KEYS.iter().filter(|key| key.uses.contains(&child));
        keys.filter(|key| self.is_set(key.id) || (key.id == Id::WorkerNice && self.binary == Program::Serve))
            .filter_map(|key| Some((key.variable(), self.value(key.id)?.text(key.kind))))
            .collect()
    }
}

impl fmt::Debug for Settings {
    /// Omits the values: some are secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("binary", &self.binary).finish_non_exhaustive()
    }
}
