//! `cadmill-cleanup`: deletes what is due, wakes jobs that make no progress, and finds objects without a
//! job, until it receives a signal to stop.

#![forbid(unsafe_code)]

use cadmill_api::stop;
use cadmill_core::cleanup::crew::Membership;
use cadmill_core::cleanup::{Cleanup, STOP_WITHIN};
use cadmill_core::domain::failure::Failure;
use cadmill_core::metrics::Source;
use cadmill_stores::bootstrap::ledger;
use cadmill_stores::bootstrap::program;
use cadmill_stores::bootstrap::stores::Stores;
use cadmill_stores::config::{self, Config, Program};
use cadmill_stores::healthcheck;
use cadmill_stores::metrics::Metrics;
use clap::{Arg, ArgAction, Command};
use std::pin::pin;
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
        .help(
            "Make one pass over everything that is due, the dead letters and the objects without a job, and exit: 1 \
             if something failed",
        );
    let command = config::augment(command, Program::Cleanup).arg(once).subcommand(healthcheck::command());
    let matches = match healthcheck::parsed(command.try_get_matches()) {
        Ok(matches) => matches,
        Err(code) => return code,
    };
    if let Some((_, check)) = matches.subcommand() {
        return program::check(check, &matches, Program::Cleanup);
    }
    program::run(&matches, Program::Cleanup, |config| run(config, matches.get_flag("once")))
}

fn run(config: &Config, once: bool) -> Result<ExitCode, Failure> {
    program::block_on(Some(2), async {
        let mut stopped = pin!(stop::signalled());
        let metrics = Metrics::install(config, Program::Cleanup, &[Source::Cleanup])?;
        let opening = async {
            let stores = Stores::open(config).await?;
            let shown = program::shown(metrics, config, program::readiness(&stores)).await?;
            let shown = shown.map(|shown| shown.with_queue(Arc::clone(&stores.queue)));
            let ledgers = ledger::of_deletions(config, Program::Cleanup).await?;
            let cleanup = stores.cleanup(&config.cleanup.name).await?.with_ledgers(ledgers);
            Ok::<_, Failure>((stores, shown, cleanup))
        };
        let (stores, shown, cleanup) = tokio::select! {
            opened = opening => opened?,
            () = &mut stopped => return Ok(if once { ExitCode::FAILURE } else { ExitCode::SUCCESS }),
        };
        if once {
            let mut passing = pin!(pass(config, &stores, &cleanup));
            let is_whole = tokio::select! {
                is_whole = &mut passing => is_whole,
                () = stopped => {
                    cleanup.stop();
                    // What does not end by then is found again by the next pass.
                    let _ = tokio::time::timeout(STOP_WITHIN, passing).await;
                    false
                }
            };
            return Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        let membership =
            Membership::new(stores.jobs.clone(), config.cleanup.name.clone(), config.cleanup.every);
        eprintln!("cleaning up every {:?} as {}", config.cleanup.every, config.cleanup.name);
        let objects = Arc::clone(&stores.objects);
        let list = move || {
            let objects = Arc::clone(&objects);
            async move { objects.stored().await }
        };
        let dead_letters = stores.dead_letters();
        tokio::select! {
            () = cleanup.run(&membership, stopped) => {}
            () = stores.orphans(config).run(ORPHANS, list) => {}
            never = dead_letters.run(DEAD_LETTERS) => match never {},
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

/// One pass over everything that is due, the dead letters, and the objects without a job; whether nothing
/// failed. Objects without a job are only reported: a program that goes on deletes them when it has seen them
/// for long enough.
async fn pass(config: &Config, stores: &Stores, cleanup: &Cleanup) -> bool {
    let round = cleanup.round().await;
    eprintln!("{round}");
    let sifted = stores.dead_letters().sift().await;
    let listed = stores.objects.stored().await;
    let looked = stores.orphans(config).look(listed).await;
    round.is_whole() && sifted && looked
}
