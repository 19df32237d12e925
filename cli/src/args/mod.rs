//! The command line.

mod engines;
mod value;

pub(crate) use engines::{
    AddArgs, CheckArgs, EnginesArgs, EnginesCommand, EnginesFileArg, Language, LibraryArgs, NewArgs,
};

use cadmill_core::domain::job::Compress;
use cadmill_core::domain::limits::{parse_duration, parse_size};
use cadmill_stores::config::{self, Program};
use cadmill_stores::healthcheck;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::time::Duration;
use value::parse_option;

/// Converts design files with native libraries, each in a separate process.
#[derive(Debug, Parser)]
#[command(name = "cadmill", version = cadmill_core::BUILD, arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Convert one file, zipped or not
    Convert(ConvertArgs),
    /// Show what a file contains, without converting it
    Inspect(InspectArgs),
    /// List the engines, what they read and write, and which one serves a format; check and add others
    Engines(EnginesArgs),
    /// Show how engines are confined here, or what is wrong with a deployment on AWS, and what to do
    Doctor(DoctorArgs),
    /// Convert one file on a server, and download the result
    Submit(SubmitArgs),
    /// Serve the API and convert what is submitted, all on this machine
    Serve(ServeArgs),
    /// Check the ledgers of temporary files, show them, and report on them
    Audit(AuditArgs),
    /// Print the completions for a shell
    Completions(CompletionsArgs),
    /// Write manual pages
    Manual(ManualArgs),
}

/// The flags of the configuration: every key has one.
#[derive(Debug)]
pub(crate) struct ServeArgs {
    /// What the command line said, for the configuration to read.
    pub(crate) matches: clap::ArgMatches,
}

impl clap::Args for ServeArgs {
    fn augment_args(command: clap::Command) -> clap::Command {
        config::augment(command, Program::Serve).subcommand(healthcheck::command())
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl clap::FromArgMatches for ServeArgs {
    fn from_arg_matches(matches: &clap::ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self { matches: matches.clone() })
    }

    fn update_from_arg_matches(&mut self, matches: &clap::ArgMatches) -> Result<(), clap::Error> {
        self.matches = matches.clone();
        Ok(())
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct ConvertArgs {
    /// File to convert: a zip archive, or a file that an engine reads
    pub(crate) input: PathBuf,

    /// Format to convert to: a file extension (dxf, stp, glb) or an engine's own
    /// format id (stlb, glb2, "ESRI Shapefile") [default: that of the preset]
    #[arg(long, value_name = "FORMAT", required_unless_present = "preset")]
    pub(crate) to: Option<String>,

    /// Output file, or an existing directory; several output files become one zip
    /// archive [default: the converted file's name in the current directory]
    #[arg(short, long, value_name = "OUT")]
    pub(crate) output: Option<PathBuf>,

    /// Use this engine only
    #[arg(long, value_name = "NAME")]
    pub(crate) engine: Option<String>,

    /// File to convert, by its path inside the archive
    #[arg(long, value_name = "PATH")]
    pub(crate) root: Option<String>,

    /// Convert every file of the archive that can be converted; the result is an archive
    /// with a directory for each, or one GeoPackage with a layer for each
    #[arg(long, conflicts_with = "root")]
    pub(crate) all: bool,

    /// Option for the engine; may be repeated. See docs/ENGINES.md
    #[arg(long = "opt", value_name = "K=V", value_parser = parse_option)]
    pub(crate) options: Vec<(String, String)>,

    /// Options under a name, korea or plain, or from a TOML file; --opt wins. See docs/ENGINES.md
    #[arg(long, value_name = "NAME")]
    pub(crate) preset: Option<String>,

    /// Fail, with engine.incomplete, if the result differs from the input in what no option asked
    /// for; fields that the format cannot carry do not count
    #[arg(long)]
    pub(crate) strict: bool,

    /// Zip the output: never, always, or auto for one large file of text; several files
    /// are always zipped
    #[arg(long, value_name = "WHEN", default_value = "never", value_parser = parse_compress(), hide_possible_values = true)]
    pub(crate) compress: Compress,

    /// Memory that the engine may use
    #[arg(long, value_name = "SIZE", default_value = "4G", value_parser = parse_size)]
    pub(crate) memory: u64,

    /// Time that the engine may take
    #[arg(long, value_name = "DUR", default_value = "30m", value_parser = parse_duration)]
    pub(crate) timeout: Duration,

    /// Bytes that the engine may write
    #[arg(long, value_name = "SIZE", default_value = "16G", value_parser = parse_size)]
    pub(crate) max_output: u64,

    /// Entries that the archive may have
    #[arg(long, value_name = "N", default_value = "10000")]
    pub(crate) max_entries: u64,

    /// Bytes that the archive may expand to
    #[arg(long, value_name = "SIZE", default_value = "16G", value_parser = parse_size)]
    pub(crate) max_expanded: u64,

    /// Times that one entry of more than 64 MiB may expand
    #[arg(long, value_name = "N", default_value = "250")]
    pub(crate) max_ratio: u64,

    /// Directory for ledgers of temporary files, one for each conversion; see docs/AUDIT.md
    #[arg(long, value_name = "DIR")]
    pub(crate) audit: Option<PathBuf>,

    /// Ed25519 key that signs the ledgers: PKCS#8 in PEM, as `openssl genpkey` writes it
    #[arg(long, value_name = "PEM", requires = "audit")]
    pub(crate) audit_key: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) engines: EnginesFileArg,

    /// Print a JSON object on standard output, for failures too
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct InspectArgs {
    /// File to inspect: a zip archive, or a file that an engine reads
    pub(crate) input: PathBuf,

    /// Read the archive's directory only, and no byte of the files in it
    #[arg(long)]
    pub(crate) archive_only: bool,

    /// File to read, by its path inside the archive [default: each that could be converted]
    #[arg(long, value_name = "PATH")]
    pub(crate) root: Option<String>,

    /// Use this engine only
    #[arg(long, value_name = "NAME")]
    pub(crate) engine: Option<String>,

    /// Option for the engine, such as encoding=NAME; may be repeated
    #[arg(long = "opt", value_name = "K=V", value_parser = parse_option)]
    pub(crate) options: Vec<(String, String)>,

    /// Memory that the engine may use for one file
    #[arg(long, value_name = "SIZE", default_value = "4G", value_parser = parse_size)]
    pub(crate) memory: u64,

    /// Time that the engine may take for one file
    #[arg(long, value_name = "DUR", default_value = "30m", value_parser = parse_duration)]
    pub(crate) timeout: Duration,

    /// Entries that the archive may have
    #[arg(long, value_name = "N", default_value = "10000")]
    pub(crate) max_entries: u64,

    /// Bytes that the archive may expand to
    #[arg(long, value_name = "SIZE", default_value = "16G", value_parser = parse_size)]
    pub(crate) max_expanded: u64,

    #[command(flatten)]
    pub(crate) engines: EnginesFileArg,

    /// Print a JSON object on standard output, for failures too
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct DoctorArgs {
    /// Check the deployment on AWS that the configuration names, with a probe object that goes the way of
    /// an upload, and name the resource of docker/aws/cadmill.yaml that mends what is wrong
    #[arg(long)]
    pub(crate) aws: bool,

    /// Check as this program, with its permissions: api, worker or cleanup; in a task, the one that runs
    /// there [default: all of them, for an operator]
    #[arg(long, value_name = "NAME", value_parser = ["api", "worker", "cleanup"], hide_possible_values = true, requires = "aws")]
    pub(crate) program: Option<String>,

    /// How long to wait for the event of the probe object
    #[arg(long, value_name = "DUR", default_value = "2m", value_parser = parse_duration)]
    pub(crate) wait: Duration,

    /// TOML file with the configuration; the environment comes first, as for the programs
    #[arg(long, value_name = "FILE", requires = "aws")]
    pub(crate) config: Option<PathBuf>,

    /// Print a JSON object on standard output
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "The token comes from CADMILL_TOKEN or --token-file. There is no flag for the token itself: \
    every user of a machine can read the arguments of its processes."
)]
pub(crate) struct SubmitArgs {
    /// File to convert: a zip archive, or a file that an engine reads
    #[arg(value_name = "FILE")]
    pub(crate) input: PathBuf,

    /// Format to convert to: a file extension or an engine's own format id [default: that of the preset]
    #[arg(long, value_name = "FORMAT", required_unless_present = "preset")]
    pub(crate) to: Option<String>,

    /// The server
    #[arg(long, value_name = "URL", env = "CADMILL_SERVER", default_value = "http://127.0.0.1:8080")]
    pub(crate) server: String,

    /// File with the token, instead of CADMILL_TOKEN
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,

    /// Output file, or an existing directory [default: the name that the server gives, in the current directory]
    #[arg(short, long, value_name = "OUT")]
    pub(crate) output: Option<PathBuf>,

    /// File to convert, by its path inside the archive
    #[arg(long, value_name = "PATH")]
    pub(crate) root: Option<String>,

    /// Convert every file of the archive that can be converted; the result is an archive
    /// with a directory for each, or one GeoPackage with a layer for each
    #[arg(long, conflicts_with = "root")]
    pub(crate) all: bool,

    /// Option for the engine; may be repeated. See docs/ENGINES.md
    #[arg(long = "opt", value_name = "K=V", value_parser = parse_option)]
    pub(crate) options: Vec<(String, String)>,

    /// Options under a name, korea or plain, or from a TOML file; --opt wins. See docs/ENGINES.md
    #[arg(long, value_name = "NAME")]
    pub(crate) preset: Option<String>,

    /// Fail, with engine.incomplete, if the result differs from the input in what no option asked
    /// for; fields that the format cannot carry do not count
    #[arg(long)]
    pub(crate) strict: bool,

    /// Zip the result: never, always, or auto for one large file of text; several files
    /// are always zipped
    #[arg(long, value_name = "WHEN", default_value = "never", value_parser = parse_compress(), hide_possible_values = true)]
    pub(crate) compress: Compress,

    /// Fetch the result as it is; without this, large text travels as gzip and is decoded here
    #[arg(long)]
    pub(crate) no_gzip: bool,

    /// Id of the job; with the id of an earlier run and the same file and options, that run is resumed
    #[arg(long, value_name = "UUID")]
    pub(crate) job_id: Option<String>,

    /// Parts that are uploaded at the same time
    #[arg(long, value_name = "N", default_value = "4", value_parser = clap::value_parser!(u32).range(1..=16))]
    pub(crate) parallel: u32,

    /// Do not send the SHA-256 of the file: saves reading it once
    #[arg(long, conflicts_with = "job_id")]
    pub(crate) no_checksum: bool,

    /// Leave the result on the server for as long as it keeps results
    #[arg(long)]
    pub(crate) keep: bool,

    /// How long the server keeps the result if its download is not confirmed, such as 10m: at least
    /// 60s, and not longer than it keeps results [default: as long as it keeps results]
    #[arg(long, value_name = "DUR", value_parser = parse_duration)]
    pub(crate) result_ttl: Option<Duration>,

    /// Print a JSON object on standard output, for failures too
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct AuditArgs {
    #[command(subcommand)]
    pub(crate) command: AuditCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Verify that ledgers are unchanged, and that everything was destroyed
    #[command(
        after_help = "Exit codes: 0 valid, 30 tampered with, 38 of an unknown format, 31 incomplete, 32 unsigned, \
        33 not everything was destroyed; with several ledgers, the first of these that applies."
    )]
    Verify(VerifyArgs),
    /// Show each file of a ledger, from creation to destruction, or each deletion from the object store
    Show(ShowArgs),
    /// Write a report on ledgers as one HTML page
    Report(ReportArgs),
    /// List what is in the object store without a reason, by the records of the jobs
    #[command(
        after_help = "It is configured as cadmill-cleanup, and deletes nothing. Exit codes: 0 nothing, 36 something, \
        37 nothing, but not everything could be looked at."
    )]
    Residue(ResidueArgs),
}

/// The flags of the configuration of the cleanup, which knows the store and the records.
#[derive(Debug)]
pub(crate) struct ResidueArgs {
    /// What the command line said, for the configuration to read.
    pub(crate) matches: clap::ArgMatches,
    /// Whether an object in JSON is printed.
    pub(crate) json: bool,
}

impl clap::Args for ResidueArgs {
    fn augment_args(command: clap::Command) -> clap::Command {
        let json = clap::Arg::new("json")
            .long("json")
            .action(clap::ArgAction::SetTrue)
            .help("Print a JSON object on standard output, for failures too");
        config::augment(command, Program::Cleanup)
            .arg(json)
            .mut_arg("data_dir", |arg| arg.visible_alias("data").hide_short_help(false))
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl clap::FromArgMatches for ResidueArgs {
    fn from_arg_matches(matches: &clap::ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self { matches: matches.clone(), json: matches.get_flag("json") })
    }

    fn update_from_arg_matches(&mut self, matches: &clap::ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct VerifyArgs {
    /// Ledgers, or directories of ledgers
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,

    #[command(flatten)]
    pub(crate) proof: ProofArgs,

    /// Print a JSON object on standard output
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ShowArgs {
    /// Ledger
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    #[command(flatten)]
    pub(crate) proof: ProofArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ReportArgs {
    /// Ledgers, or directories of ledgers
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,

    /// HTML file to write
    #[arg(short, long, value_name = "HTML")]
    pub(crate) output: PathBuf,

    #[command(flatten)]
    pub(crate) proof: ProofArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ProofArgs {
    /// Public key of the workers, or of `cadmill convert --audit-key`: PEM, as `openssl pkey -pubout` writes it
    #[arg(long, value_name = "PEM")]
    pub(crate) key: Option<PathBuf>,

    /// Signed heads: a head file, or the response of /api/jobs/JOB/audit [default: the head file beside each ledger]
    #[arg(long, value_name = "JSON")]
    pub(crate) head: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct CompletionsArgs {
    /// Shell
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ManualArgs {
    /// Directory for the pages, such as /usr/local/share/man/man1
    #[arg(value_name = "DIR")]
    pub(crate) directory: PathBuf,
}

/// One of a few words; the error lists them.
fn parse_compress() -> impl TypedValueParser<Value = Compress> {
    PossibleValuesParser::new(Compress::NAMES).map(|name| name.parse().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound() {
        Args::command().debug_assert();
    }

    /// The defaults that the help shows are the defaults of the limits.
    #[test]
    fn defaults_are_those_of_the_domain() {
        use cadmill_core::domain::limits::{ArchiveLimits, Caps};
        let args = Args::try_parse_from(["cadmill", "convert", "x", "--to", "dxf"]).unwrap();
        let Command::Convert(args) = args.command else { panic!("another command") };
        assert_eq!(args.memory, Caps::default().memory_bytes);
        assert_eq!(args.timeout, Caps::default().time);
        assert_eq!(args.max_output, Caps::default().output_bytes);
        assert_eq!(args.max_entries, ArchiveLimits::default().entries);
        assert_eq!(args.max_expanded, ArchiveLimits::default().expanded_bytes);
        assert_eq!(args.max_ratio, ArchiveLimits::default().ratio);
    }
}
