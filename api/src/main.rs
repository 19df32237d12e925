//! `cadmill-api`: serves [`cadmill_api::router::router`] until it receives a signal to stop.

#![forbid(unsafe_code)]

use cadmill_api::{healthcheck, start, stop};
use cadmill_core::domain::failure::{Failure, FailureCode};
use cadmill_stores::bootstrap::logging;
use cadmill_stores::bootstrap::stores::Stores;
use cadmill_stores::config::{self, Config, Program};
use clap::{Arg, ArgAction, ArgMatches, Command};
use std::net::SocketAddr;
use std::process::ExitCode;

/// Memory that held plaintext, names or keys is zeroed when it is freed.
#[global_allocator]
static MEMORY: zeroizing_alloc::ZeroAlloc<std::alloc::System> =
    zeroizing_alloc::ZeroAlloc(std::alloc::System);

fn main() -> ExitCode {
    let command = Command::new("cadmill-api")
        .version(cadmill_core::BUILD)
        .about("Serves job states and presigned URLs; file contents never pass through it");
    let ready = Arg::new("ready")
        .long("ready")
        .action(ArgAction::SetTrue)
        .help("Ask whether it is ready: whether its stores respond and accept writes");
    let address = Arg::new("address")
        .long("address")
        .value_name("ADDRESS:PORT")
        .value_parser(clap::value_parser!(SocketAddr))
        .help("Address of the server, if it is not that of the configuration, which is not read then");
    let check = Command::new("healthcheck")
        .about("Ask the server whether it is alive; for HEALTHCHECK of a container. Exits with 0 or 1")
        .arg(address)
        .arg(ready);
    let matches = match config::augment(command, Program::Api).subcommand(check).try_get_matches() {
        Ok(matches) => matches,
        // Of the exit codes of a health check, Docker knows 0 and 1.
        Err(error) if error.use_stderr() && std::env::args_os().any(|word| word == "healthcheck") => {
            let _ = error.print();
            return ExitCode::FAILURE;
        }
        Err(error) => error.exit(),
    };
    if let Some((_, check)) = matches.subcommand() {
        return checked(&matches, check);
    }
    let (config, settings) = match config::load(&matches, Program::Api) {
        Ok(loaded) => loaded,
        Err(problems) => {
            eprintln!("{problems}");
            return ExitCode::from(FailureCode::UsageInvalid.exit_code());
        }
    };
    if config::wants_print(&matches) {
        print!("{}", settings.to_toml());
        return ExitCode::SUCCESS;
    }
    match run(&config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {} [{}]\n{}", failure.message, failure.code, failure.code.hint());
            ExitCode::from(failure.code.exit_code())
        }
    }
}

/// Of the exit codes of a health check, Docker knows 0 and 1.
fn checked(matches: &ArgMatches, check: &ArgMatches) -> ExitCode {
    let address = match check.get_one::<SocketAddr>("address") {
        Some(address) => *address,
        None => match config::load(matches, Program::Api) {
            Ok((config, _)) => config.api.listen,
            Err(problems) => {
                eprintln!("{problems}");
                return ExitCode::FAILURE;
            }
        },
    };
    match healthcheck::run(address, check.get_flag("ready")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {} [{}]", failure.message, failure.code);
            ExitCode::FAILURE
        }
    }
}

fn run(config: &Config) -> Result<(), Failure> {
    logging::start(&config.log).map_err(|text| Failure::new(FailureCode::UsageInvalid, text))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::io("starting the runtime", &e))?;
    runtime.block_on(async {
        let stores = Stores::open(config).await?;
        let listener = start::bind(config).await?;
        let bound = listener.local_addr().map_err(|e| Failure::io("reading the local address", &e))?;
        // For a caller that configured port 0.
        eprintln!("listening on http://{bound}");
        start::run(config, stores, Vec::new(), listener, stop::signalled()).await
    })
}
