//! One configuration for all programs: `cadmill-api`, `cadmill-converter` and `cadmill serve`.
//!
//! A value comes from a flag, else from the environment, else from a TOML file, else from the
//! default. One table ([`key`]) names every key; paths, variables, flags and
//! docs/CONFIGURATION.md come from it. Unknown keys are refused, and all problems are reported at
//! once: a typing error must not become a default in production, and operators should not have to
//! start a service ten times to find ten of them.
//!
//! Secrets come from a file or the environment, never from a flag, and are never shown: not by
//! `--print-config`, not in an error, not by `Debug`.

mod build;
mod check;
mod environment;
mod file;
mod flags;
mod key;
mod kind;
mod machine;
mod problem;
mod program;
mod settings;
#[cfg(test)]
mod tests;
mod token;
mod values;
mod weak;

pub use flags::{augment, wants_print};
pub use key::DISK_WORDS;
pub use problem::{Origin, Problem, Problems};
pub use settings::Settings;

use clap::ArgMatches;
use file::Layer;
pub use program::Program;
use std::ffi::OsString;
use std::path::Path;
pub use token::Token;
pub use values::{
    Api, Audit, Auth, Aws, Backend, Config, DATABASE, Log, Metrics, Oidc, S3, Secret, SignWith, SinkKind,
    Sqs, Worker,
};

/// Reads the configuration of this process: its flags, its environment, and the file that one of
/// them names. `matches` are those of a command from [`augment`].
///
/// # Errors
/// All problems that were found.
pub fn load(matches: &ArgMatches, binary: Program) -> Result<(Config, Settings), Problems> {
    load_from(matches, std::env::vars_os(), binary)
}

/// The same, for a program that reads the data directory of the embedded store itself, and so needs
/// no endpoint of its server.
///
/// # Errors
/// All problems that were found.
pub fn load_without_server(matches: &ArgMatches, binary: Program) -> Result<(Config, Settings), Problems> {
    resolve(layers(matches, std::env::vars_os(), binary), binary, false)
}

/// The same, with the environment as a parameter.
///
/// # Errors
/// All problems that were found.
pub fn load_from(
    matches: &ArgMatches,
    environment: impl Iterator<Item = (OsString, OsString)>,
    binary: Program,
) -> Result<(Config, Settings), Problems> {
    resolve(layers(matches, environment, binary), binary, true)
}

fn layers(
    matches: &ArgMatches,
    environment: impl Iterator<Item = (OsString, OsString)>,
    binary: Program,
) -> [Layer; 3] {
    let file = match flags::file(matches) {
        None => Layer::default(),
        Some(path) => match std::fs::read_to_string(&path) {
            Ok(text) => file::read(&path, &text),
            Err(error) => {
                let problem = Problem {
                    key: format!("--config {}", path.display()),
                    origin: Origin::Flag("--config, or env CADMILL_CONFIG".to_owned()),
                    text: format!("cannot read the file: {error}"),
                };
                Layer { problems: vec![problem], ..Layer::default() }
            }
        },
    };
    [file, environment::read(environment), flags::read(matches, binary)]
}

/// Reads the configuration from a TOML text only; flags and variables are ignored.
///
/// # Errors
/// All problems that were found.
pub fn parse(text: &str, binary: Program) -> Result<(Config, Settings), Problems> {
    let file = file::read(Path::new("the text"), text);
    resolve([file, Layer::default(), Layer::default()], binary, true)
}

/// `asks_server`: whether the embedded store is reached through its server.
fn resolve(said: [Layer; 3], binary: Program, asks_server: bool) -> Result<(Config, Settings), Problems> {
    let (settings, mut problems) = Settings::merge(said, binary);
    let config = build::build(&settings);
    problems.extend(check::contradictions(&config, &settings, asks_server));
    if problems.is_empty() { Ok((config, settings)) } else { Err(Problems(problems)) }
}
