//! The command line as a source of settings.

use super::file::Layer;
use super::key::{Id, KEYS, KeyDefault};
use super::problem::Origin;
use super::program::Program;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};
use std::path::PathBuf;

const CONFIG: &str = "config";
const PRINT: &str = "print-config";

/// Adds `--config FILE`, `--print-config`, and a flag for each key that this program uses to a
/// command. Secrets have no flag. `-h` shows only the first two of these flags, `--help` shows
/// all.
#[must_use]
pub fn augment(command: Command, binary: Program) -> Command {
    let file = Arg::new(CONFIG)
        .long(CONFIG)
        .value_name("FILE")
        .env("CADMILL_CONFIG")
        .value_parser(clap::value_parser!(PathBuf))
        .help("TOML file with the configuration; docs/CONFIGURATION.md lists its keys");
    let print = Arg::new(PRINT)
        .long(PRINT)
        .action(ArgAction::SetTrue)
        .help("Print the effective configuration with the origin of each value, and exit");
    let mut command = command.arg(file).arg(print);
    for key in KEYS.iter().filter(|key| key.uses.contains(&binary)) {
        let Some(flag) = key.flag() else { continue };
        let default = match key.default {
            KeyDefault::Value("") => "none",
            KeyDefault::Value(text) | KeyDefault::Unset(text) | KeyDefault::Machine(text, _) => text,
        };
        let action = if key.kind.is_list() { ArgAction::Append } else { ArgAction::Set };
        let mut arg = Arg::new(key.path)
            .long(flag)
            .value_name(key.kind.placeholder())
            .action(action)
            .allow_hyphen_values(true)
            .value_parser(clap::value_parser!(String))
            .help(format!("{} [default: {default}] [env: {}]", key.help, key.variable()))
            .help_heading("Configuration")
            .hide_short_help(true);
        // Short aliases for the flags that users set when they start `cadmill serve` by hand.
        if binary == Program::Serve {
            arg = match key.id {
                Id::ApiListen => arg.visible_alias("listen").hide_short_help(false),
                Id::DataDir => arg.visible_alias("data").hide_short_help(false),
                _ => arg,
            };
        }
        command = command.arg(arg);
    }
    command
}

/// Returns the file that the command line or `CADMILL_CONFIG` names.
pub(super) fn file(matches: &ArgMatches) -> Option<PathBuf> {
    let path = matches.get_one::<PathBuf>(CONFIG)?;
    (!path.as_os_str().is_empty()).then(|| path.clone())
}

/// Whether the command line asks to print the configuration. The command must
/// come from [`augment`].
pub fn wants_print(matches: &ArgMatches) -> bool {
    matches.get_flag(PRINT)
}

/// Reads the flags.
pub(super) fn read(matches: &ArgMatches, binary: Program) -> Layer {
    let mut said = Layer::default();
    for key in KEYS.iter().filter(|key| key.uses.contains(&binary)) {
        let Some(flag) = key.flag() else { continue };
        if matches.value_source(key.path) != Some(ValueSource::CommandLine) {
            continue;
        }
        let Some(texts) = matches.get_many::<String>(key.path) else { continue };
        let text = texts.map(String::as_str).collect::<Vec<_>>().join(",");
        let origin = Origin::Flag(format!("--{flag}"));
        said.note(key, key.kind.parse(&text), origin, &key.kind.shown(&text));
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definitions_are_sound() {
        for binary in [Program::Api, Program::Worker, Program::Cleanup, Program::Serve] {
            augment(Command::new("x"), binary).debug_assert();
        }
    }

    #[test]
    fn secrets_have_no_flag_and_keys_of_other_programs_neither() {
        let known = |binary, flag: &str| {
            augment(Command::new("x"), binary).try_get_matches_from(["x", flag, "4"]).is_ok()
        };
        assert!(!known(Program::Api, "--s3-secret-key"));
        assert!(!known(Program::Api, "--worker-nice"));
        assert!(known(Program::Worker, "--worker-nice"));
        assert!(known(Program::Serve, "--listen"));
    }

    #[test]
    fn the_short_help_stays_short() {
        let mut command = augment(Command::new("x"), Program::Worker);
        let (short, long) = (command.render_help().to_string(), command.render_long_help().to_string());
        assert!(short.contains("--config") && !short.contains("--job-lease"), "{short}");
        assert!(long.contains("--job-lease") && long.contains("CADMILL_JOB_LEASE"), "{long}");
    }
}
