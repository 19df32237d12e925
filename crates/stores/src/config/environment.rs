//! The environment as a source of settings. An empty variable counts as unset, because container
//! files pass unset variables on as empty ones.

use super::file::{Layer, unknown};
use super::key::{KEYS, OTHER_VARIABLES};
use super::problem::{Origin, Problem, nearest};
use std::ffi::OsString;

const PREFIX: &str = "CADMILL_";

/// Reads the variables that begin with `CADMILL_`.
pub(super) fn read(variables: impl Iterator<Item = (OsString, OsString)>) -> Layer {
    let mut said = Layer::default();
    for (name, value) in variables {
        let name = name.to_string_lossy().into_owned();
        if !name.starts_with(PREFIX) || is_other(&name) {
            continue;
        }
        let origin = Origin::Environment(name.clone());
        let Some(key) = KEYS.iter().find(|key| key.variable() == name) else {
            let text = unknown(nearest(&name, KEYS.iter().map(|key| key.variable().to_owned())));
            said.problems.push(Problem { key: name, origin, text });
            continue;
        };
        match value.to_str() {
            Some("") => {}
            Some(text) => said.note(key, key.kind.parse(text), origin, &key.kind.shown(text)),
            None => said.note(key, None, origin, "bytes that are not UTF-8"),
        }
    }
    said
}

fn is_other(name: &str) -> bool {
    OTHER_VARIABLES.iter().any(|other| match other.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => *other == name,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStringExt;

    fn problems(name: &str, value: &[u8]) -> Vec<String> {
        let variables = [(OsString::from(name), OsString::from_vec(value.to_vec()))];
        read(variables.into_iter()).problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn only_our_variables_are_judged() {
        let others =
            ["FAILPOINTS", "TOKEN", "CONFIG", "JARS", "PLUGINS"].map(|name| format!("CADMILL_{name}"));
        for name in others.iter().map(String::as_str).chain(["PATH", "CADMILL"]) {
            assert!(problems(name, b"x").is_empty(), "{name}");
        }
        assert_eq!(
            problems("CADMILL_JOB_LEESE", b"3s"),
            ["CADMILL_JOB_LEESE (env CADMILL_JOB_LEESE): no such key; did you mean CADMILL_JOB_LEASE?"]
        );
        assert_eq!(problems("CADMILL_JOB_LEASE", b"3x").len(), 1);
        assert_eq!(problems("CADMILL_JOB_LEASE", b"\xff").len(), 1);
        assert!(problems("CADMILL_JOB_LEASE", b"").is_empty());
    }
}
