//! `--preset`: options from one that comes with the program, or from a file.

use cadmill_core::domain::failure::{Failure, FailureCode};
use cadmill_core::domain::preset::Preset;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Most bytes of a file.
const MAX_BYTES: u64 = 1 << 20;

/// The output format and the options that a preset and the command line ask for together. What the
/// command line says wins.
pub(crate) fn resolve(
    preset: Option<&str>,
    to: Option<&str>,
    options: &[(String, String)],
) -> Result<(String, Vec<(String, String)>), Failure> {
    let named = preset.unwrap_or_default();
    let preset = preset.map(load).transpose()?.unwrap_or_default();
    let to = to.map(str::to_owned).or_else(|| preset.to.clone()).ok_or_else(|| {
        let message = format!("preset '{named}' names no output format; give one with --to");
        Failure::new(FailureCode::UsageInvalid, message)
    })?;
    Ok((to, preset.with(options.iter().cloned())))
}

fn load(preset: &str) -> Result<Preset, Failure> {
    if !preset.contains('/') && !preset.ends_with(".toml") {
        return Preset::named(preset).map_err(|mut failure| {
            failure.message += "; the name of a file has a '/' or ends in .toml";
            failure
        });
    }
    let fail = |text: String| Failure::new(FailureCode::UsageOption, format!("preset {preset}: {text}"));
    let text = read(Path::new(preset)).map_err(|error| fail(error.to_string()))?;
    Preset::parse(&text).map_err(fail)
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(MAX_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it has more than 1 MiB"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_wins() {
        let options = [("dxf.version".to_owned(), "R2018".to_owned())];
        let (to, options) = resolve(Some("korea"), Some("dwg"), &options).unwrap();
        let value = |name: &str| options.iter().find(|(other, _)| other == name).map(|(_, v)| v.as_str());
        assert_eq!((to.as_str(), value("dxf.version")), ("dwg", Some("R2018")));
        assert_eq!((value("dxf.codepage"), options.len()), (Some("949"), 4));
        assert_eq!(resolve(None, Some("dxf"), &[]).unwrap(), ("dxf".to_owned(), Vec::new()));
    }

    #[test]
    fn files_are_told_from_names() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("own.toml");
        let file = path.to_str().unwrap();
        let message = |to: Option<&str>| resolve(Some(file), to, &[]).unwrap_err().message;
        assert!(message(None).contains("own.toml: No such file"), "{}", message(None));
        std::fs::write(&path, "[options]\nlimit = 3\n").unwrap();
        assert_eq!(resolve(Some(file), Some("gpkg"), &[]).unwrap().1.len(), 1);
        assert!(message(None).contains("--to"), "{}", message(None));
        std::fs::write(&path, "[option]\n").unwrap();
        assert!(message(None).contains("own.toml: line 1: unknown field"), "{}", message(None));
        std::fs::write(&path, "#".repeat((1 << 20) + 1)).unwrap();
        assert!(message(None).contains("1 MiB"), "{}", message(None));
        let unknown = resolve(Some("own"), None, &[]).unwrap_err();
        assert!(unknown.message.contains("korea, plain"), "{unknown}");
    }
}
