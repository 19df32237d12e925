//! The frame of a program: its configuration, its runtime, its health check, and how a failure ends it.
//!
//! What the programs have in common is here, so that one of them does not print, exit or answer otherwise
//! than the others. What they do is theirs.

use super::logging;
use super::stores::Stores;
use crate::config::{self, Config, Program};
use crate::healthcheck;
use crate::metrics::{Metrics, Shown, show};
use crate::readiness::Readiness;
use cadmill_core::domain::failure::{Failure, FailureCode};
use clap::ArgMatches;
use std::future::Future;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Builder;

/// Loads the configuration of a program and does its work with it, after the log was started. With
/// `--print-config` the configuration is printed instead. Returns the exit code: that of the failure, which is
/// printed with what to do, if there is one.
pub fn run(
    matches: &ArgMatches,
    program: Program,
    work: impl FnOnce(&Config) -> Result<ExitCode, Failure>,
) -> ExitCode {
    let (config, settings) = match config::load(matches, program) {
        Ok(loaded) => loaded,
        Err(problems) => {
            eprintln!("{problems}");
            return ExitCode::from(FailureCode::UsageInvalid.exit_code());
        }
    };
    if config::wants_print(matches) {
        print!("{}", settings.to_toml());
        return ExitCode::SUCCESS;
    }
    let started = logging::start(&config.log).map_err(|text| Failure::new(FailureCode::UsageInvalid, text));
    started.and_then(|()| work(&config)).unwrap_or_else(|failure| {
        eprintln!("error: {} [{}]\n{}", failure.message, failure.code, failure.code.hint());
        ExitCode::from(failure.code.exit_code())
    })
}

/// How long threads may go on that block when the work of a program is done. A worker leaves as much for its
/// exit.
const LAST: Duration = Duration::from_secs(1);

/// Does the work of a program on a new runtime with this number of threads, or one for each processor. What
/// blocks a thread when the work is done, such as a sink of ledgers that hangs, does not keep the program from
/// ending: it is left to the system after a second.
///
/// # Errors
/// `infra.io` if the runtime cannot be started, and those of the work.
pub fn block_on<T>(
    threads: Option<usize>,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let mut builder = Builder::new_multi_thread();
    if let Some(threads) = threads {
        builder.worker_threads(threads);
    }
    let runtime = builder.enable_all().build().map_err(|e| Failure::io("starting the runtime", &e))?;
    let done = runtime.block_on(work);
    runtime.shutdown_timeout(LAST);
    done
}

/// Runs the health check of a program that serves nothing but its metrics. `matches` are those with the
/// configuration.
pub fn check(check: &ArgMatches, matches: &ArgMatches, program: Program) -> ExitCode {
    healthcheck::run(check, || {
        let listen = config::load(matches, program)?.0.metrics.listen;
        Ok(listen.ok_or("metrics.listen is not set, so that the program listens nowhere")?)
    })
}

/// Whether the stores of a program answer that serves nothing but its metrics.
pub fn readiness(stores: &Stores) -> Readiness {
    Readiness::of_answers(Arc::clone(&stores.objects), stores.jobs.clone(), Arc::clone(&stores.queue))
}

/// Shows the metrics of a program, if its configuration asks for them.
///
/// # Errors
/// As for [`show`].
pub async fn shown(
    metrics: Option<Metrics>,
    config: &Config,
    readiness: Readiness,
) -> Result<Option<Shown>, Failure> {
    match metrics {
        Some(metrics) => show(&metrics, config, readiness).await.map(Some),
        None => Ok(None),
    }
}
