//! `cadmill-api`: serves [`cadmill_api::router::router`] until it receives a signal to stop.

#![forbid(unsafe_code)]

use cadmill_api::{start, stop};
use cadmill_core::domain::failure::Failure;
use cadmill_stores::bootstrap::ledger;
use cadmill_stores::bootstrap::program;
use cadmill_stores::bootstrap::stores::Stores;
use cadmill_stores::config::{self, Config, Program};
use cadmill_stores::healthcheck;
use clap::Command;
use std::pin::pin;
use std::process::ExitCode;

/// Memory that held plaintext, names or keys is zeroed when it is freed.
#[global_allocator]
static MEMORY: zeroizing_alloc::ZeroAlloc<std::alloc::System> =
    zeroizing_alloc::ZeroAlloc(std::alloc::System);

fn main() -> ExitCode {
    let command = Command::new("cadmill-api")
        .version(cadmill_core::BUILD)
        .about("Serves job states and presigned URLs; file contents never pass through it");
    let command = config::augment(command, Program::Api).subcommand(healthcheck::command());
    let matches = match healthcheck::parsed(command.try_get_matches()) {
        Ok(matches) => matches,
        Err(code) => return code,
    };
    if let Some((_, check)) = matches.subcommand() {
        return healthcheck::run(check, || Ok(config::load(&matches, Program::Api)?.0.api.listen));
    }
    program::run(&matches, Program::Api, |config| run(config).map(|()| ExitCode::SUCCESS))
}

fn run(config: &Config) -> Result<(), Failure> {
    program::block_on(None, async {
        let mut stopped = pin!(stop::signalled());
        let metrics = start::metrics(config, Program::Api)?;
        let opening = async {
            let stores = Stores::open(config).await?;
            let ledgers = ledger::of_deletions(config, Program::Api).await?;
            Ok::<_, Failure>((stores, ledgers, start::bind(config).await?))
        };
        let (stores, ledgers, listener) = tokio::select! {
            opened = opening => opened?,
            () = &mut stopped => return Ok(()),
        };
        let bound = listener.local_addr().map_err(|e| Failure::io("reading the local address", &e))?;
        // For a caller that configured port 0.
        eprintln!("listening on http://{bound}");
        start::run(config, stores, (metrics, ledgers), Vec::new(), listener, stopped).await
    })
}
