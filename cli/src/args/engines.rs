//! The arguments of `cadmill engines` and of its commands.

use clap::{Subcommand, ValueEnum};
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct EnginesArgs {
    #[command(subcommand)]
    pub(crate) command: Option<EnginesCommand>,

    #[command(flatten)]
    pub(crate) engines: EnginesFileArg,

    /// Print a JSON object on standard output
    #[arg(long)]
    pub(crate) json: bool,
}

/// Without one of these, the engines are listed.
#[derive(Debug, Subcommand)]
pub(crate) enum EnginesCommand {
    /// Write a plugin to begin with: its source, a build file and a README
    New(NewArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct NewArgs {
    /// Name of the engine: lower-case letters, digits and hyphens; also the directory that is made
    pub(crate) name: String,

    /// Language of the plugin
    #[arg(long, value_name = "LANGUAGE")]
    pub(crate) lang: Language,

    /// Existing directory in which the new one is made [default: the current directory]
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,

    /// Print a JSON object on standard output, for failures too
    #[arg(long)]
    pub(crate) json: bool,
}

/// What a plugin can be begun in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Language {
    /// C99, with a Makefile
    C,
    /// C++17, with CMake
    Cpp,
    /// Rust, with cargo
    Rust,
}

#[derive(Debug, clap::Args)]
pub(crate) struct EnginesFileArg {
    /// TOML file that declares engines
    #[arg(long, value_name = "FILE", env = "CADMILL_ENGINES_FILE")]
    pub(crate) engines_file: Option<PathBuf>,
}
