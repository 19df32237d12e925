//! Reference material generated from the definitions in `args`: shell completions, manual pages and
//! the tables of docs/CLI.md.

use crate::args::{Args, CompletionsArgs, ManualArgs};
use crate::error;
use cadmill_core::domain::failure::Failure;
use clap::CommandFactory;
use std::io::Write;
use std::process::ExitCode;

/// Writes the completions for a shell to standard output.
pub(crate) fn completions(args: &CompletionsArgs) -> ExitCode {
    // Into memory first: the generator panics if a write fails.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Args::command(), "cadmill", &mut script);
    done("writing the completions", std::io::stdout().write_all(&script))
}

/// Writes a manual page for each command into a directory, which is created if missing.
pub(crate) fn manual(args: &ManualArgs) -> ExitCode {
    let written = std::fs::create_dir_all(&args.directory)
        .and_then(|()| clap_mangen::generate_to(Args::command(), &args.directory));
    done("writing the manual pages", written)
}

fn done(what: &str, result: std::io::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error::report(&Failure::io(what, &error), None, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write as _;

    const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/CLI.md");
    const HEAD: &str = "| option | default | meaning |\n|---|---|---|\n";

    /// A table of the options of a command, such as `engines new`, that `among` accepts.
    fn table(command: &str, among: impl Fn(&str) -> bool) -> String {
        let mut root = Args::command();
        root.build();
        let command =
            command.split(' ').fold(&root, |command, word| command.find_subcommand(word).expect("a command"));
        let options =
            command.get_arguments().filter(|option| !option.is_positional() && !option.is_hide_set());
        let mut table = HEAD.to_owned();
        for option in options.filter(|option| among(option.get_id().as_str())) {
            let long = option.get_long().expect("an option has a long name");
            let short = option.get_short().map(|short| format!("`-{short}`, ")).unwrap_or_default();
            let takes = option.get_action().takes_values();
            let names = option.get_value_names().filter(|_| takes).unwrap_or_default();
            let value = names.first().map(|name| format!(" {name}")).unwrap_or_default();
            let default: Vec<_> = option.get_default_values().iter().map(|v| v.to_string_lossy()).collect();
            let default = if takes { default.join(" ") } else { String::new() };
            let help = option.get_help().map(ToString::to_string).unwrap_or_default().replace('|', "\\|");
            writeln!(table, "| {short}`--{long}{value}` | {default} | {help} |").unwrap();
        }
        table
    }

    /// A text with the content between two marks replaced.
    fn replaced(document: &str, name: &str, table: &str) -> String {
        let begin = format!("<!-- options of {name} -->\n");
        let (before, rest) = document.split_once(&begin).unwrap_or_else(|| panic!("no {begin:?}"));
        let (_, after) = rest.split_once("<!-- end -->").expect("an end of the table");
        format!("{before}{begin}{table}<!-- end -->{after}")
    }

    /// Options that `submit` shares with `convert` are not listed twice.
    #[test]
    fn the_tables_of_the_document_are_those_of_the_definitions() {
        let mut root = Args::command();
        root.build();
        let convert = root.find_subcommand("convert").expect("a command");
        let shared: Vec<String> = convert.get_arguments().map(|option| option.get_id().to_string()).collect();
        let document = std::fs::read_to_string(DOCUMENT).unwrap();
        let mut expected = replaced(&document, "convert", &table("convert", |id| id != "help"));
        let own = |id: &str| id != "help" && !shared.iter().any(|other| other == id);
        expected = replaced(&expected, "inspect", &table("inspect", |id| id != "help"));
        expected = replaced(&expected, "engines check", &table("engines check", |id| id != "help"));
        let of_check = root.find_subcommand("engines").and_then(|engines| engines.find_subcommand("check"));
        let of_check: Vec<String> =
            of_check.expect("a command").get_arguments().map(|o| o.get_id().to_string()).collect();
        let only_add = |id: &str| !of_check.iter().any(|other| other == id);
        expected = replaced(&expected, "engines add", &table("engines add", only_add));
        expected = replaced(&expected, "engines new", &table("engines new", |id| id != "help"));
        expected = replaced(&expected, "doctor", &table("doctor", |id| id != "help"));
        expected = replaced(&expected, "submit", &table("submit", own));
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(DOCUMENT, &expected).unwrap();
        }
        let is_current = document == expected || std::env::var_os("UPDATE_DOCS").is_some();
        assert!(is_current, "docs/CLI.md is out of date: UPDATE_DOCS=1 cargo test -p cadmill-cli --bins");
    }
}
