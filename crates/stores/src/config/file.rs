//! The TOML file as a source of settings.

use super::key::{Id, KEYS, Key};
use super::kind::{Kind, Value};
use super::problem::{Origin, Problem, nearest};
use std::path::Path;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The contents of a source: valid values, keys with bad values, and the problems found.
#[derive(Default)]
pub(super) struct Layer {
    pub(super) values: Vec<(Id, Value, Origin)>,
    pub(super) faulty: Vec<Id>,
    pub(super) problems: Vec<Problem>,
}

impl Layer {
    /// Records a value, or a problem if there is none.
    pub(super) fn note(&mut self, key: &Key, value: Option<Value>, origin: Origin, found: &str) {
        match value {
            Some(value) => self.values.push((key.id, value, origin)),
            None => {
                self.faulty.push(key.id);
                let text = format!("found {found}, expected {}", key.kind.expected());
                self.problems.push(Problem { key: key.path.to_owned(), origin, text });
            }
        }
    }
}

/// Reads the text of a file. Never panics, whatever the text.
pub(super) fn read(path: &Path, text: &str) -> Layer {
    let mut reader = Reader { path, text, said: Layer::default() };
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let origin = reader.origin(error.span().map_or(0, |span| span.start));
        // The message names what TOML expects, never the text that was found.
        let text = format!("not TOML: {}", error.message().lines().collect::<Vec<_>>().join(", "));
        reader.said.problems.push(Problem { key: String::new(), origin, text });
    }
    reader.table("", table.get_ref());
    reader.said
}

struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
    said: Layer,
}

impl Reader<'_> {
    fn origin(&self, byte: usize) -> Origin {
        let before = self.text.as_bytes().iter().take(byte);
        Origin::File { path: self.path.to_owned(), line: 1 + before.filter(|b| **b == b'\n').count() }
    }

    fn table(&mut self, group: &str, table: &DeTable<'_>) {
        for (name, value) in table {
            let path = match group {
                "" => name.get_ref().to_string(),
                group => format!("{group}.{}", name.get_ref()),
            };
            let origin = self.origin(name.span().start);
            // A quoted name that contains a dot is not the same key as a dotted path.
            let known =
                if name.get_ref().contains('.') { None } else { KEYS.iter().find(|key| key.path == path) };
            match known {
                Some(key) => self.value(key, value, origin),
                None => self.other(&path, value.get_ref(), origin),
            }
        }
    }

    fn value(&mut self, key: &Key, value: &Spanned<DeValue<'_>>, origin: Origin) {
        let (value, found) = convert(key.kind, value.get_ref());
        self.said.note(key, value, origin, &found);
    }

    /// Handles a name that is not a key: a group, or a mistake.
    fn other(&mut self, path: &str, value: &DeValue<'_>, origin: Origin) {
        let is_group = KEYS.iter().any(|key| key.path.starts_with(&format!("{path}.")));
        let text = match value {
            DeValue::Table(table) if is_group || table.iter().next().is_some() => {
                return self.table(path, table);
            }
            _ if is_group => "this is a group of keys, expected a table".to_owned(),
            _ => unknown(nearest(path, KEYS.iter().map(|key| key.path.to_owned()))),
        };
        self.said.problems.push(Problem { key: path.to_owned(), origin, text });
    }
}

/// The message for a name that is not a key.
pub(super) fn unknown(meant: Option<String>) -> String {
    match meant {
        Some(meant) => format!("no such key; did you mean {meant}?"),
        None => "no such key; docs/CONFIGURATION.md lists all".to_owned(),
    }
}

/// Returns the value, if it is valid, and a description of what was found, for the message.
fn convert(kind: Kind, value: &DeValue<'_>) -> (Option<Value>, String) {
    match value {
        DeValue::String(_) if kind.is_list() => (None, "a text".to_owned()),
        DeValue::String(_) if matches!(kind, Kind::Count { .. }) => (None, "a text".to_owned()),
        DeValue::String(_) if kind == Kind::Flag => (None, "a text".to_owned()),
        DeValue::String(text) => (kind.parse(text), kind.shown(text)),
        DeValue::Integer(number) => {
            let takes = matches!(
                kind,
                Kind::Count { .. } | Kind::Size { .. } | Kind::SizeOrAuto { .. } | Kind::AddressOrPort
            );
            let value = u64::from_str_radix(number.as_str(), number.radix()).ok();
            let value = value.filter(|_| takes).and_then(|value| kind.parse(&value.to_string()));
            (value, if kind.is_secret() { "a number".to_owned() } else { number.to_string() })
        }
        DeValue::Boolean(flag) => ((kind == Kind::Flag).then_some(Value::Flag(*flag)), flag.to_string()),
        DeValue::Array(items) if kind.is_list() => {
            let texts: Option<Vec<String>> =
                items.iter().map(|item| item.get_ref().as_str().map(str::to_owned)).collect();
            let bad = |texts: &[String]| {
                let place = texts.iter().position(|text| kind.list(vec![text.clone()]).is_none());
                place.map_or_else(String::new, |at| format!("{} as item {}", kind.shown(&texts[at]), at + 1))
            };
            match texts {
                Some(texts) => (kind.list(texts.clone()), bad(&texts)),
                None => (None, "a list with values that are not texts".to_owned()),
            }
        }
        DeValue::Array(_) => (None, "a list".to_owned()),
        DeValue::Float(_) => (None, "a number with a fraction".to_owned()),
        DeValue::Datetime(_) => (None, "a date or time".to_owned()),
        DeValue::Table(_) => (None, "a table".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn problems(text: &str) -> Vec<String> {
        read(Path::new("c.toml"), text).problems.iter().map(ToString::to_string).collect()
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in any::<String>()) {
            let _ = read(Path::new("x"), &text);
        }

        /// Texts that are nearly TOML and nearly a configuration.
        #[test]
        fn any_configuration_is_read_without_a_panic(
            lines in prop::collection::vec((prop::sample::select(KEYS), "[-\\[\\]{}\"0-9a-z=., ]{0,20}"), 0..8)
        ) {
            let text: String = lines.iter().map(|(key, value)| format!("{} = {value}\n", key.path)).collect();
            let _ = read(Path::new("x"), &text);
        }
    }

    #[test]
    fn mistakes_are_told_with_their_lines_and_a_suggestion() {
        let text =
            "backend = 'aws'\n\n[wroker]\nname = 'x'\n[job]\nleese = '3s'\n[other]\nfoo = 1\n[empty]\n";
        assert_eq!(
            problems(text),
            [
                "empty (c.toml:9): no such key; docs/CONFIGURATION.md lists all",
                "job.leese (c.toml:6): no such key; did you mean job.lease?",
                "other.foo (c.toml:8): no such key; docs/CONFIGURATION.md lists all",
                "wroker.name (c.toml:4): no such key; did you mean worker.name?",
            ]
        );
        assert_eq!(problems("api = 3"), ["api (c.toml:1): this is a group of keys, expected a table"]);
        assert_eq!(
            problems("\"job.lease\" = '3s'"),
            ["job.lease (c.toml:1): no such key; did you mean job.lease?"],
            "a quoted dot makes another key"
        );
    }

    #[test]
    fn a_text_that_is_no_toml_is_told_with_its_line() {
        let found = problems("backend = 'aws'\nlog = = 3\n[job]\nlease = 'soon'\n");
        assert!(found.iter().any(|p| p.starts_with("c.toml:2: not TOML: ")), "{found:?}");
        assert!(found.iter().any(|p| p.starts_with("job.lease (c.toml:4): found \"soon\"")), "{found:?}");
    }

    #[test]
    fn types_are_kept_apart() {
        for (text, found) in [
            ("job.max_attempts = '3'", "found a text, expected a whole number from 1 to 100"),
            ("job.max_attempts = 0", "found 0, "),
            ("job.lease = 30", "found 30, expected a duration"),
            ("s3.path_style = 'yes'", "found a text, expected true or false"),
            ("worker.memory = 1.5", "found a number with a fraction, "),
            ("api.tokens = ['me:secret']", "found a text of 9 characters, which is not shown as item 1, "),
            ("api.tokens = [3]", "found a list with values that are not texts, "),
            ("s3.secret_key = 12345", "found a number, "),
            ("backend = {}", "found a table, "),
        ] {
            let all = problems(text);
            assert!(all.len() == 1 && all[0].contains(found), "{text}: {all:?}");
        }
        assert!(
            problems("api.part_size = 8388608\nworker.memory = '1.5G'\njob.max_attempts = 0x5").is_empty()
        );
    }
}
