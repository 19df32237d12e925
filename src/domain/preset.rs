//! Presets: options under a name.
//!
//! A preset is TOML. Some come with the program; `cadmill` reads others from files:
//!
//! ```toml
//! to = "dxf"                    # optional: the output format
//!
//! [options]
//! "where" = "code = 3"
//! "dxf.version" = "R2004"       # or `version` in a table [options.dxf]
//! ```
//!
//! A preset is no more than the options in it: they are checked as if they had been given one by one.

use super::failure::{Failure, FailureCode};
use serde::Deserialize;
use std::collections::BTreeMap;
use toml::{Table, Value};

/// The presets that come with the program.
const SHIPPED: &[(&str, &str)] =
    &[("korea", include_str!("preset/korea.toml")), ("plain", include_str!("preset/plain.toml"))];

/// Options, and the output format that they are for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Preset {
    /// The output format, if the preset names one.
    pub to: Option<String>,
    /// The options.
    pub options: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    to: Option<String>,
    #[serde(default)]
    options: Table,
}

impl Preset {
    /// Names of the presets that come with the program.
    pub fn names() -> impl Iterator<Item = &'static str> {
        SHIPPED.iter().map(|(name, _)| *name)
    }

    /// A preset that comes with the program.
    ///
    /// # Errors
    /// `usage.option`, with the names that there are.
    pub fn named(name: &str) -> Result<Self, Failure> {
        let fail = |text: String| Failure::new(FailureCode::UsageOption, text);
        let (_, text) = SHIPPED.iter().find(|(known, _)| *known == name).ok_or_else(|| {
            let names: Vec<_> = Self::names().collect();
            fail(format!("there is no preset '{name}'; there are: {}", names.join(", ")))
        })?;
        Self::parse(text).map_err(|error| fail(format!("preset '{name}': {error}")))
    }

    /// Reads the text of a preset.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn parse(text: &str) -> Result<Self, String> {
        let file: File = toml::from_str(text).map_err(|error| {
            let message = error.message().lines().collect::<Vec<_>>().join(", ");
            match error.span() {
                Some(span) => format!("line {}: {message}", line_of(text, span.start)),
                None => message,
            }
        })?;
        let mut preset = Self { to: file.to, options: BTreeMap::new() };
        preset.take("", file.options)?;
        Ok(preset)
    }

    /// Takes the options of a table, whose names begin with `prefix`.
    fn take(&mut self, prefix: &str, table: Table) -> Result<(), String> {
        for (key, value) in table {
            let name = format!("{prefix}{key}");
            let value = match value {
                Value::Table(inner) => {
                    self.take(&format!("{name}."), inner)?;
                    continue;
                }
                Value::String(text) => text,
                Value::Integer(number) => number.to_string(),
                Value::Float(number) if number.is_finite() => number.to_string(),
                Value::Boolean(flag) => if flag { "yes" } else { "no" }.to_owned(),
                Value::Float(_) | Value::Array(_) | Value::Datetime(_) => {
                    return Err(format!("option '{name}': write a text, a number, true or false"));
                }
            };
            if key.is_empty() || self.options.keys().any(|other| other.eq_ignore_ascii_case(&name)) {
                return Err(format!("option '{name}': it has no name, or is given twice"));
            }
            self.options.insert(name, value);
        }
        Ok(())
    }

    /// The options of the preset that are not `given`, and then those. Case does not count.
    pub fn with(&self, given: impl IntoIterator<Item = (String, String)>) -> Vec<(String, String)> {
        let given: Vec<_> = given.into_iter().collect();
        let is_given = |name: &str| given.iter().any(|(other, _)| other.eq_ignore_ascii_case(name));
        let own = self.options.iter().filter(|(name, _)| !is_given(name));
        own.map(|(name, value)| (name.clone(), value.clone())).chain(given.iter().cloned()).collect()
    }
}

/// The line of a byte, from 1.
fn line_of(text: &str, byte: usize) -> usize {
    1 + text.bytes().take(byte).filter(|b| *b == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn those_that_come_with_the_program_are_drawings() {
        for name in Preset::names() {
            let preset = Preset::named(name).unwrap();
            assert_eq!(preset.to.as_deref(), Some("dxf"), "{name}");
            assert!(preset.options.keys().all(|option| option.starts_with("dxf.")), "{name}");
        }
        let korea = Preset::named("korea").unwrap().options;
        assert_eq!((korea["dxf.version"].as_str(), korea["dxf.codepage"].as_str()), ("R2004", "949"));
        let unknown = Preset::named("Korea").unwrap_err();
        assert_eq!(unknown.code, FailureCode::UsageOption);
        assert!(unknown.message.contains("korea, plain"), "{unknown}");
    }

    #[test]
    fn tables_and_dots_mean_the_same() {
        let text = "[options]\n\"dxf.version\" = 'R2010'\nlimit = 3\n[options.dxf]\nheight = 2.5\ngeodata = true\n[options.dxf.deeper]\nx = -1\n";
        let preset = Preset::parse(text).unwrap();
        let expected = pairs(&[
            ("dxf.deeper.x", "-1"),
            ("dxf.geodata", "yes"),
            ("dxf.height", "2.5"),
            ("dxf.version", "R2010"),
            ("limit", "3"),
        ]);
        assert_eq!((preset.to, preset.options.into_iter().collect::<Vec<_>>()), (None, expected));
        assert_eq!(Preset::parse("").unwrap(), Preset::default());
    }

    #[test]
    fn mistakes_are_named() {
        for (text, says) in [
            ("to = 'dxf'\noption = 3", "line 2: unknown field `option`"),
            ("to = 3", "line 1: "),
            ("options = 3", "line 1: "),
            ("[options]\nx = = 3", "line 2: "),
            ("[options]\nx = [1]", "option 'x': write a text"),
            ("[options]\nx = nan", "option 'x': write a text"),
            ("[options]\nx = 1979-05-27", "option 'x': write a text"),
            ("[options]\n'' = 1", "option ''"),
            ("[options]\n'dxf.color' = 1\n[options.dxf]\nColor = 2", "is given twice"),
        ] {
            let error = Preset::parse(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn what_is_given_wins() {
        let preset = Preset::named("korea").unwrap();
        let options = preset.with(pairs(&[("layer", "a"), ("layer", "b"), ("DXF.Version", "R2018")]));
        assert_eq!(
            options[options.len() - 3..],
            pairs(&[("layer", "a"), ("layer", "b"), ("DXF.Version", "R2018")])
        );
        assert!(options.iter().any(|(name, value)| name == "dxf.codepage" && value == "949"));
        assert!(!options.iter().any(|(name, _)| name == "dxf.version"));
    }
}
