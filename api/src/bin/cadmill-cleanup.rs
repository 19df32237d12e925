//! `cadmill-cleanup`: deletes what is due, wakes jobs that make no progress, and finds objects without a
//! job, until it receives a signal to stop.

#![forbid(unsafe_code)]

use cadmill_api::stop;
use cadmill_core::cleanup::crew::Membership;
use cadmill_core::domain::failure::{Failure, FailureCode};
use cadmill_core::metrics::Source;
use cadmill_stores::bootstrap::logging;
use cadmill_stores::bootstrap::stores::Stores;
use cadmill_stores::config::{self, Config, Program};
use cadmill_stores::healthcheck;
use cadmill_stores::metrics::{Metrics, show};
use cadmill_stores::readiness::Readiness;
use clap::{Arg, ArgAction, Command};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// How often objects without a job are looked for: a request for a thousand jobs with objects, and one for
/// each of them.
const ORPHANS: Duration = Duration::from_secs(3600);

/// How often dead letters of jobs that ended are looked for: an alarm about them is seen before they go.
const DEAD_LETTERS: Duration = Duration::from_secs(3600);

/// Memory that held names or keys is zeroed when it is freed.
#[global_allocator]
static MEMORY: zeroizing_alloc::ZeroAlloc<std::alloc::System> =
    zeroizing_alloc::ZeroAlloc(std::alloc::System);

fn main() -> ExitCode {
    let command = Command::new("cadmill-cleanup")
        .version(cadmill_core::BUILD)
        .about("Deletes what belongs to ended jobs, and wakes jobs that make no progress");
    let once = Arg::new("once")
        .long("once")
        .action(ArgAction::SetTrue)
        .help("Make one pass over everything that is due, and exit: 1 if something failed");
    let command = config::augment(command, Program::Cleanup).arg(once).subcommand(healthcheck::command());
    let matches = match healthcheck::parsed(command.try_get_matches()) {
        Ok(matches) => matches,
        Err(code) => return code,
    };
    if let Some((_, check)) = matches.subcommand() {
        return healthcheck::run(check, || {
            let listen = config::load(&matches, Program::Cleanup)?.0.metrics.listen;
            Ok(listen.ok_or("metrics.listen is not set, so that the program listens nowhere")?)
        });
    }
    let (config, settings) = match config::load(&matches, Program::Cleanup) {
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
    match run(&config, matches.get_flag("once")) {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("error: {} [{}]\n{}", failure.message, failure.code, failure.code.hint());
            ExitCode::from(failure.code.exit_code())
        }
    }
}

fn run(config: &Config, once: bool) -> Result<ExitCode, Failure> {
    logging::start(&config.log).map_err(|text| Failure::new(FailureCode::UsageInvalid, text))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|e| Failure::io("starting the runtime", &e))?;
    runtime.block_on(async {
        let metrics = Metrics::install(config, Program::Cleanup, &[Source::Cleanup])?;
        let stores = Stores::open(config).await?;
        let shown = match metrics {
            Some(metrics) => {
                let (objects, queue) = (Arc::clone(&stores.objects), Arc::clone(&stores.queue));
                let readiness = Readiness::of_answers(objects, stores.jobs.clone(), queue);
                let shown = show(&metrics, config, readiness).await?;
                Some(shown.with_queue(Arc::clone(&stores.queue)))
            }
            None => None,
        };
        let cleanup = stores.cleanup(&config.cleanup.name).await?;
        let membership =
            Membership::new(stores.jobs.clone(), config.cleanup.name.clone(), config.cleanup.every);
        if once {
            let round = cleanup.round().await;
            eprintln!("{round}");
            return Ok(if round.is_whole() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        eprintln!("cleaning up every {:?} as {}", config.cleanup.every, config.cleanup.name);
        let objects = Arc::clone(&stores.objects);
        let list = move || {
            let objects = Arc::clone(&objects);
            async move { objects.stored().await }
        };
        let dead_letters = stores.dead_letters();
        tokio::select! {
            never = cleanup.run(&membership) => match never {},
            () = stores.orphans(config).run(ORPHANS, list) => {}
            never = dead_letters.run(DEAD_LETTERS) => match never {},
            () = stop::signalled() => {}
        }
        // Others take the work over at once.
        if let Err(error) = membership.leave().await {
            tracing::warn!(error = %error, "the lease of the cleanup ends by itself");
        }
        if let Some(shown) = shown {
            shown.end().await;
        }
        Ok(ExitCode::SUCCESS)
    })
}
