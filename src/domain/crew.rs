//! The cleanup programs that are alive, and the parts of the due work that each of them does.
//!
//! The record is one small document of the job store. Each program renews its own entry, and every
//! reader of the record computes the same shares from it. While two programs disagree for a moment, both
//! do the same work, which is harmless: every step of the cleanup can be repeated.

use super::due::{Part, SHARDS};
use super::job::Millis;
use super::stored::{self, Record, Unknown};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// Maximum number of programs, more than there are shards for.
pub const MAX_MEMBERS: usize = 64;

/// The cleanup programs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Crew {
    /// Until when each program counts as alive, by its name.
    pub members: BTreeMap<String, Millis>,
    /// When one of them last renewed its entry.
    pub renewed: Millis,
    /// How long the entry lasts that was renewed last, in milliseconds.
    pub lease: Millis,
    /// The generation of the records that each program knows, see [`stored::GENERATION`]. Absent for programs that
    /// predate it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub generations: BTreeMap<String, u32>,
    /// Number of changes: a store writes version n + 1 only over version n.
    pub version: u64,
    /// What the record has of another version.
    #[serde(skip)]
    pub unknown: Unknown,
}

impl Record for Crew {
    fn unknown(&self) -> &Unknown {
        &self.unknown
    }

    fn unknown_mut(&mut self) -> &mut Unknown {
        &mut self.unknown
    }
}

impl Crew {
    /// With the entry of this program renewed, and without those that have lapsed.
    #[must_use]
    pub fn with(&self, name: &str, now: Millis, until: Millis) -> Self {
        let mut members: BTreeMap<String, Millis> =
            self.members.iter().filter(|(_, at)| **at > now).map(|(name, at)| (name.clone(), *at)).collect();
        members.insert(name.to_owned(), until);
        let mut generations = self.generations.clone();
        generations.insert(name.to_owned(), stored::generation());
        while members.len() > MAX_MEMBERS {
            let first = members.iter().min_by_key(|(_, until)| **until).map(|(name, _)| name.clone());
            first.map(|name| members.remove(&name));
        }
        generations.retain(|name, _| members.contains_key(name));
        Self {
            members,
            generations,
            renewed: self.renewed.max(now),
            lease: until.saturating_sub(now),
            version: self.version + 1,
            unknown: self.unknown.clone(),
        }
    }

    /// Without this program, which ends.
    #[must_use]
    pub fn without(&self, name: &str) -> Self {
        let mut next = self.clone();
        next.members.remove(name);
        next.generations.remove(name);
        next.version += 1;
        next
    }

    /// Whether a program is alive.
    pub fn is_attended(&self, now: Millis) -> bool {
        self.members.values().any(|until| *until > now)
    }

    /// The parts of a program: of each shard, the one of the programs alive whose digest with the shard
    /// is the highest (rendezvous hashing), so that few parts move when one comes or goes. A program
    /// that is not in the record has none, nor has one of an earlier generation than another: that one knows
    /// every record, and the earlier one would have to leave some.
    pub fn parts_of(&self, name: &str, now: Millis) -> Vec<Part> {
        let generation = |name: &String| self.generations.get(name).copied().unwrap_or_default();
        let alive = || self.members.iter().filter(|(_, until)| **until > now).map(|(name, _)| name);
        let newest = alive().map(generation).max().unwrap_or_default();
        let alive: Vec<&String> = alive().filter(|name| generation(name) == newest).collect();
        let owner = |shard: u8| {
            alive
                .iter()
                .max_by_key(|member| Sha256::digest(format!("{shard}\n{member}")))
                .map(|name| name.as_str())
        };
        let own: Vec<u8> = (0..SHARDS).filter(|&shard| owner(shard) == Some(name)).collect();
        Part::all().filter(|part| own.contains(&part.shard)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_part_has_one_program_and_moves_only_from_one_that_is_gone() {
        let mut crew = Crew::default();
        for name in ["a", "b", "c"] {
            crew = crew.with(name, 10, 100);
        }
        let shares = ["a", "b", "c"].map(|name| crew.parts_of(name, 50));
        assert!(shares.iter().all(|parts| parts.len() > 20), "{shares:?}");
        let all: BTreeSet<Part> = shares.iter().flatten().copied().collect();
        assert_eq!((all.len(), shares.iter().map(Vec::len).sum::<usize>()), (128, 128));
        let two = crew.without("b");
        let kept = two.parts_of("a", 50);
        assert!(shares[0].iter().all(|part| kept.contains(part)));
        assert_eq!(kept.len() + two.parts_of("c", 50).len(), 128);
        assert!(two.parts_of("b", 50).is_empty());
    }

    #[test]
    fn the_programs_of_the_newest_generation_do_the_work() {
        let mut crew = Crew::default().with("a", 10, 100).with("b", 10, 100).with("c", 10, 60);
        crew.generations = [("b".to_owned(), 1), ("c".to_owned(), 2)].into();
        let shares = |now| ["a", "b", "c"].map(|name| crew.parts_of(name, now).len());
        assert_eq!(shares(50), [0, 0, 128]);
        assert_eq!(shares(70), [0, 128, 0], "it is gone");
        assert_eq!(crew.without("c").without("b").parts_of("a", 70).len(), 128);
        assert!(crew.is_attended(70) && crew.with("d", 70, 100).generations.len() == 2);
    }

    #[test]
    fn an_entry_lapses() {
        let crew = Crew::default().with("a", 10, 100);
        assert!(crew.is_attended(99) && !crew.is_attended(100));
        assert_eq!(crew.parts_of("a", 99).len(), 128);
        assert!(crew.parts_of("a", 100).is_empty());
        let next = crew.with("b", 100, 200);
        assert_eq!((next.members.len(), next.renewed, next.version), (1, 100, 2));
    }

    #[test]
    fn there_are_not_more_than_the_maximum() {
        let crew = (0..100u64).fold(Crew::default(), |crew, n| crew.with(&n.to_string(), 1, 100 + n));
        assert_eq!(crew.members.len(), MAX_MEMBERS);
        assert!(crew.members.contains_key("99") && !crew.members.contains_key("0"));
    }
}
