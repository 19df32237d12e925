//! `cadmill-api`: serves [`cadmill_api::router::router`] until it receives a signal to stop.

#![forbid(unsafe_code)]

use cadmill_api::{healthcheck, start};
use cadmill_core::domain::failure::{Failure, FailureCode};
use cadmill_stores::bootstrap::logging;
use cadmill_stores::bootstrap::stores::Stores;
use cadmill_stores::config::{self, Config, Program};
use clap::{Arg, ArgAction, Command};
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

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
    let check = Command::new("healthcheck")
        .about("Ask the server at the configured address whether it is alive; for HEALTHCHECK of a container")
        .arg(ready);
    let matches = config::augment(command, Program::Api).subcommand(check).get_matches();
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
    let done = match matches.subcommand() {
        Some((_, check)) => healthcheck::run(config.api.listen, check.get_flag("ready")),
        None => run(&config),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {} [{}]\n{}", failure.message, failure.code, failure.code.hint());
            ExitCode::from(failure.code.exit_code())
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
        start::run(config, stores, listener, stopped()).await
    })
}

/// Completes at SIGTERM, which ECS sends, and at SIGINT.
async fn stopped() {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
