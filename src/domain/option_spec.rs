//! Options as an engine describes them, and the check of a value against its description.
//!
//! A value is checked before an engine is started. No option names a file: there is no kind for
//! paths.

use serde::{Deserialize, Serialize};

/// Longest value of [`OptionKind::Text`], in bytes.
pub const MAX_TEXT: usize = 4096;

/// An option of an engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptionSpec {
    /// Its name: 1 to 64 of `a-z 0-9 _ . -`.
    pub name: String,
    /// What it does, in one sentence.
    pub help: String,
    /// What values it takes.
    pub kind: OptionKind,
    /// The value that it has if it is not given; `None` if the engine chooses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<String>,
}

/// The values that an option takes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OptionKind {
    /// `yes` or `no`.
    YesNo,
    /// A decimal integer, from and to these values; both 0 for no limits.
    Integer {
        /// The least value.
        least: f64,
        /// The greatest value.
        most: f64,
    },
    /// A decimal number with a point, from and to these values; both 0 for no limits.
    Number {
        /// The least value.
        least: f64,
        /// The greatest value.
        most: f64,
    },
    /// One of these words.
    Choice(Vec<String>),
    /// Text of at most [`MAX_TEXT`] bytes, without control characters.
    Text,
}

impl OptionSpec {
    /// Checks a value.
    ///
    /// # Errors
    /// A sentence that names the option and its values, but not the given one.
    pub fn check(&self, value: &str) -> Result<(), String> {
        let within = |number: f64, least: f64, most: f64| {
            number.is_finite() && ((least == 0.0 && most == 0.0) || (least..=most).contains(&number))
        };
        let is_plain = |value: &str| {
            !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b))
        };
        let is_good = match &self.kind {
            OptionKind::YesNo => matches!(value, "yes" | "no"),
            OptionKind::Integer { least, most } => {
                // An integer of more than 53 bits is not exact here, and none has such limits.
                value.parse::<i64>().is_ok_and(|number| within(number as f64, *least, *most))
            }
            OptionKind::Number { least, most } => {
                is_plain(value) && value.parse().is_ok_and(|number| within(number, *least, *most))
            }
            OptionKind::Choice(choices) => choices.iter().any(|choice| choice == value),
            OptionKind::Text => value.len() <= MAX_TEXT && !value.chars().any(char::is_control),
        };
        if is_good { Ok(()) } else { Err(format!("option '{}' takes {}", self.name, self.values())) }
    }

    /// The values that it takes, in words.
    pub fn values(&self) -> String {
        let numbers = |what: &str, least: f64, most: f64| match (least, most) {
            (0.0, 0.0) => what.to_owned(),
            _ => format!("{what} from {least} to {most}"),
        };
        match &self.kind {
            OptionKind::YesNo => "yes or no".to_owned(),
            OptionKind::Integer { least, most } => numbers("an integer", *least, *most),
            OptionKind::Number { least, most } => numbers("a number", *least, *most),
            OptionKind::Choice(choices) => format!("one of {}", choices.join(", ")),
            OptionKind::Text => format!("text of at most {MAX_TEXT} bytes"),
        }
    }
}

/// Checks options against all that an engine has. Each may be given once.
///
/// # Errors
/// A sentence that names the option and what the engine takes.
pub fn check_all(known: &[OptionSpec], given: &[(String, String)]) -> Result<(), String> {
    for (index, (name, value)) in given.iter().enumerate() {
        let Some(spec) = known.iter().find(|spec| spec.name == *name) else {
            let names: Vec<&str> = known.iter().map(|spec| spec.name.as_str()).collect();
            let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            return Err(format!("there is no option '{name}'; known are: {names}"));
        };
        if given[..index].iter().any(|(earlier, _)| earlier == name) {
            return Err(format!("option '{name}' is given twice"));
        }
        spec.check(value)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(kind: OptionKind) -> OptionSpec {
        OptionSpec { name: "x".to_owned(), help: "Does x.".to_owned(), kind, preset: None }
    }

    #[test]
    fn values_are_of_their_kind() {
        let choices = || OptionKind::Choice(vec!["mm".to_owned(), "inch".to_owned()]);
        let limits = (0.5, 2.0);
        let (least, most) = limits;
        for (kind, good, bad) in [
            (OptionKind::YesNo, &["yes", "no"][..], &["", "YES", "true", "1"][..]),
            (OptionKind::Integer { least, most }, &["1", "2", "+1"], &["0", "3", "1.5", "", "1e0", " 1"]),
            (OptionKind::Integer { least: 0.0, most: 0.0 }, &["-7", "0"], &["x", "9223372036854775808"]),
            (
                OptionKind::Number { least, most },
                &["0.5", "2", "1e0", "+.7"],
                &["0.49", "nan", "inf", "1,5", ""],
            ),
            (OptionKind::Number { least: 0.0, most: 0.0 }, &["-1e9"], &["infinity", "1e999", "0x1"]),
            (choices(), &["mm", "inch"], &["", "MM", "mm inch"]),
            (OptionKind::Text, &["", "건물 a/b"], &["a\nb", "a\0b"]),
        ] {
            let spec = spec(kind);
            good.iter().for_each(|value| assert_eq!(spec.check(value), Ok(()), "{value}"));
            for value in bad {
                let error = spec.check(value).unwrap_err();
                assert!(error.starts_with("option 'x' takes "), "{value}: {error}");
            }
        }
        assert!(spec(OptionKind::Text).check(&"x".repeat(MAX_TEXT + 1)).is_err());
    }

    #[test]
    fn an_option_is_known_and_given_once() {
        let known = [spec(OptionKind::YesNo)];
        let given = |pairs: &[(&str, &str)]| {
            let pairs: Vec<_> = pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
            check_all(&known, &pairs)
        };
        assert_eq!(given(&[]), Ok(()));
        assert_eq!(given(&[("x", "yes")]), Ok(()));
        assert!(given(&[("y", "yes")]).unwrap_err().contains("known are: x"));
        assert!(given(&[("x", "yes"), ("x", "yes")]).unwrap_err().contains("twice"));
        assert!(check_all(&[], &[("y".to_owned(), String::new())]).unwrap_err().contains("none"));
    }
}
