//! The description that an engine gives of itself, cleaned: it comes from a library, and becomes file
//! names and lines on a terminal.

use crate::engine::registry::Engine;
use crate::engine::supervisor::{Identity, clean};
use cadmill_core::domain::format::{EngineFormats, OutputFormat};
use cadmill_core::domain::option_spec::{OptionKind, OptionSpec};
use serde::{Deserialize, Serialize};

/// The description that an engine gives of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Description {
    /// The library.
    pub identity: Identity,
    /// Extensions that it reads.
    pub inputs: Vec<String>,
    /// Formats that it writes: id and extension.
    pub outputs: Vec<(String, String)>,
    /// Options, if the engine describes them.
    pub options: Vec<OptionSpec>,
}

impl Description {
    /// A description without the formats and options whose names are invalid.
    pub(super) fn cleaned(
        identity: Identity,
        inputs: Vec<String>,
        outputs: Vec<(String, String)>,
        options: Vec<OptionSpec>,
    ) -> Self {
        Self { identity, inputs: words(inputs), outputs: formats(outputs), options: specs(options) }
    }

    /// The formats of the table first, in its order of preference, then those that only the engine
    /// lists.
    pub(super) fn merged(self, engine: &Engine) -> EngineFormats {
        let mut formats = engine.formats();
        for input in self.inputs {
            if !formats.reads(&input) {
                formats.inputs.push(input);
            }
        }
        for (id, extension) in self.outputs {
            let output = OutputFormat { id, extension };
            if !formats.outputs.contains(&output) {
                formats.outputs.push(output);
            }
        }
        formats
    }
}

/// Keeps extensions that are plain words. They come from a library and become file names and lines
/// on a terminal.
fn words(extensions: Vec<String>) -> Vec<String> {
    extensions.into_iter().filter(|text| !text.is_empty() && is_word(text)).collect()
}

/// Keeps the formats with a valid id and extension. The extension may be empty.
fn formats(formats: Vec<(String, String)>) -> Vec<(String, String)> {
    let can_be_named = |id: &str| !id.is_empty() && id.len() <= 64 && clean(id) == id;
    formats.into_iter().filter(|(id, extension)| can_be_named(id) && is_word(extension)).collect()
}

/// Keeps the options that can be named, with texts for a terminal.
fn specs(options: Vec<OptionSpec>) -> Vec<OptionSpec> {
    let can_be_named = |option: &OptionSpec| !option.name.is_empty() && is_name(&option.name);
    let cleaned = |option: OptionSpec| OptionSpec {
        help: clean(&option.help),
        preset: option.preset.map(|preset| clean(&preset)),
        kind: match option.kind {
            OptionKind::Choice(choices) => OptionKind::Choice(choices.iter().map(|c| clean(c)).collect()),
            kind => kind,
        },
        ..option
    };
    options.into_iter().filter(can_be_named).map(cleaned).collect()
}

fn is_name(text: &str) -> bool {
    text.len() <= 64 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

fn is_word(text: &str) -> bool {
    text.len() <= 32
        && !text.starts_with('.')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '+'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_word_is_no_extension() {
        let inputs = ["obj", "shp.zip", "E00", "", "../x", "a/b", "a\\b", ".x", "a\x1b", "a b", "ä"];
        assert_eq!(words(inputs.map(str::to_owned).into()), ["obj", "shp.zip", "E00"]);
        let outputs =
            [("ESRI Shapefile", "shp"), ("dir", ""), ("", "x"), ("a\x1b[0m", "x"), ("evil", "../x")];
        let outputs = outputs.map(|(id, extension)| (id.to_owned(), extension.to_owned())).into();
        let names: Vec<String> = formats(outputs).into_iter().map(|(id, _)| id).collect();
        assert_eq!(names, ["ESRI Shapefile", "dir"]);
    }
}
