//! The arguments of `cadmill engines` and of its commands.

use super::value::parse_option;
use cadmill_core::domain::limits::{parse_duration, parse_size};
use clap::{Subcommand, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;

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
    /// Check whether a library keeps to what cadmill expects of an engine
    Check(CheckArgs),
    /// Check a library, and add it to the engines file if it passes
    Add(AddArgs),
    /// Write a plugin to begin with: its source, a build file and a README
    New(NewArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    pub(crate) library: LibraryArgs,

    /// File for the report as an HTML page
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,

    /// Print a JSON object on standard output
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct AddArgs {
    #[command(flatten)]
    pub(crate) library: LibraryArgs,

    /// Name of the engine: lower-case letters, digits and hyphens [default: from the file name]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,

    /// Use the engine for its formats without being named, unless an earlier engine serves them
    #[arg(long)]
    pub(crate) default: bool,

    /// Engines file to add it to; created if missing
    #[arg(long, value_name = "FILE", env = "CADMILL_ENGINES_FILE")]
    pub(crate) engines_file: PathBuf,

    /// Print a JSON object on standard output
    #[arg(long)]
    pub(crate) json: bool,
}

/// A library, and how it is checked.
#[derive(Debug, clap::Args)]
pub(crate) struct LibraryArgs {
    /// The plugin, a shared library; with --jar, a converter in Java
    #[arg(value_name = "PATH")]
    pub(crate) path: PathBuf,

    /// PATH is a jar
    #[arg(long)]
    pub(crate) jar: bool,

    /// File to convert; may be repeated, at best once for each input format
    #[arg(long = "sample", value_name = "FILE")]
    pub(crate) samples: Vec<PathBuf>,

    /// Format id to convert to; may be repeated [default: all that the library lists]
    #[arg(long = "to", value_name = "FORMAT")]
    pub(crate) formats: Vec<String>,

    /// Option for each conversion; may be repeated
    #[arg(long = "opt", value_name = "K=V", value_parser = parse_option)]
    pub(crate) options: Vec<(String, String)>,

    /// Directory that the library may read; may be repeated
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Vec<PathBuf>,

    /// Library that it needs and the dynamic loader does not find; with --jar, another jar of the
    /// class path; may be repeated
    #[arg(long, value_name = "FILE")]
    pub(crate) needs: Vec<PathBuf>,

    /// With --jar: directory of native libraries that the classes load
    #[arg(long, value_name = "DIR", requires = "jar")]
    pub(crate) natives: Option<PathBuf>,

    /// The input format has neither counts nor an end mark, so that a damaged file may be a valid
    /// smaller one: less output is then a warning
    #[arg(long)]
    pub(crate) without_counts: bool,

    /// Conversions in one process, to see whether it grows
    #[arg(long, value_name = "N", default_value = "20")]
    pub(crate) runs: u32,

    /// Truncated copies of each sample, and as many altered ones
    #[arg(long, value_name = "N", default_value = "10")]
    pub(crate) damaged: u32,

    /// Memory that one conversion may use
    #[arg(long, value_name = "SIZE", default_value = "4G", value_parser = parse_size)]
    pub(crate) memory: u64,

    /// Time that one conversion may take
    #[arg(long, value_name = "DUR", default_value = "5m", value_parser = parse_duration)]
    pub(crate) timeout: Duration,
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
