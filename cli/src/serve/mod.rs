//! `cadmill serve`: the API, the stores and the worker on one machine.
//!
//! Stores and API run in this process, the worker as a child of it: the plaintext of
//! conversions is in no memory that answers the network. What the worker must know goes
//! through its environment, because everybody could read its arguments.

mod worker;

use crate::say;
use cadmill_api::server::{self, Server};
use cadmill_api::settings::ApiSettings;
use cadmill_converter::engines::Engines;
use cadmill_core::adapters::aws::S3Store;
use cadmill_core::adapters::embedded::{Database, EmbeddedS3};
use cadmill_core::config::{self, Backend, Binary, Config, Settings};
use cadmill_core::domain::failure::{Failure, FailureCode};
use cadmill_core::jobs::Jobs;
use cadmill_core::ports::PortError;
use cadmill_core::ports::clock::SystemClock;
use clap::{ArgMatches, Command, FromArgMatches};
use std::process::ExitCode;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use worker::WorkerProcess;

/// Deliveries of a message before it is put aside. Attempts of jobs are counted by the
/// jobs; this is for messages that nobody can handle.
const MAX_DELIVERIES: u32 = 20;

/// The flags of the configuration.
#[derive(Debug)]
pub(crate) struct ServeArgs(ArgMatches);

impl FromArgMatches for ServeArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self(matches.clone()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.0 = matches.clone();
        Ok(())
    }
}

impl clap::Args for ServeArgs {
    fn augment_args(command: Command) -> Command {
        config::augment(command, Binary::Serve)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

pub(crate) fn run(args: &ServeArgs) -> ExitCode {
    let (config, settings) = match config::load(&args.0, Binary::Serve) {
        Ok(loaded) => loaded,
        Err(problems) => {
            problems.0.iter().for_each(|problem| say::note(&format!("error: {problem}")));
            return ExitCode::from(FailureCode::UsageInvalid.exit_code());
        }
    };
    if config::wants_print(&args.0) {
        say::result(settings.to_toml().trim_end());
        return ExitCode::SUCCESS;
    }
    start_log(&config);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return crate::fail::report(&Failure::io("starting threads", &error), None, false),
    };
    match runtime.block_on(serve(&config, &settings)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => crate::fail::report(&failure, None, false),
    }
}

async fn serve(config: &Config, settings: &Settings) -> Result<(), Failure> {
    if config.backend != Backend::Embedded {
        let message = "`cadmill serve` runs the embedded backend; with backend = \"aws\" start cadmill-api and cadmill-converter";
        return Err(Failure::new(FailureCode::UsageInvalid, message));
    }
    let program = WorkerProcess::program()?;
    let usage = |message: String| Failure::new(FailureCode::UsageInvalid, message);
    let engines = match &config.worker.engines_file {
        Some(path) => Engines::from_file(path)?,
        None => Engines::default(),
    };
    let api = ApiSettings::of(config, engines.formats()).map_err(usage)?;
    // Before anything is started: a signal in between must not leave a child behind.
    let mut stop = signals()?;

    let database = Database::open(&config.database(), MAX_DELIVERIES).map_err(|e| port(&e))?;
    let queue = Arc::new(database.queue());
    let origins = &config.api.cors_origins;
    let objects = EmbeddedS3::start(&config.data_dir, config.embedded_s3_listen, queue.clone(), origins)
        .await
        .map_err(|e| port(&e))?;
    let mut reach = objects.settings();
    reach.public_endpoint = config.s3.public_endpoint.clone();
    let store = Arc::new(S3Store::new(reach).await);
    let jobs = Jobs::new(Arc::new(database.jobs()), Arc::new(SystemClock), config.policy);
    let state = Server::new(api, store, jobs, queue).map_err(usage)?;
    let listener = TcpListener::bind(config.api.listen)
        .await
        .map_err(|e| Failure::io(format!("listening on {}", config.api.listen), &e))?;
    let address = listener.local_addr().map_err(|e| Failure::io("asking for the own address", &e))?;

    let mut environment = settings.to_environment(Binary::Worker);
    environment.push(("CADMILL_S3_ENDPOINT", objects.endpoint()));
    let worker = WorkerProcess { program, environment, stop_within: config.worker.stop_within };
    let worker = tokio::spawn(worker.keep_running(stop.clone()));
    say::result(&format!("listening on http://{address}"));

    let served = server::serve(listener, state, async move { worker::told(&mut stop).await }).await;
    // The worker gives its jobs back while the store still answers.
    let _ = worker.await;
    objects.stop().await;
    served.map_err(|e| Failure::io("serving", &e))
}

/// Becomes true at SIGTERM, SIGINT or SIGHUP.
fn signals() -> Result<watch::Receiver<bool>, Failure> {
    let listen = |kind| signal(kind).map_err(|e| Failure::io("taking over the signals", &e));
    let (mut terminate, mut interrupt, mut hang_up) =
        (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?, listen(SignalKind::hangup())?);
    let (sender, receiver) = watch::channel(false);
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = hang_up.recv() => {}
        }
        let _ = sender.send(true);
        // The channel stays open until everybody who listens is gone.
        sender.closed().await;
    });
    Ok(receiver)
}

fn port(error: &PortError) -> Failure {
    let code = match error {
        PortError::Unavailable { .. } => FailureCode::StoreUnavailable,
        _ => FailureCode::StoreRefused,
    };
    Failure::new(code, error.to_string())
}

/// Log lines on standard error, of our own crates only: those of others may tell URLs.
fn start_log(config: &Config) {
    use tracing_subscriber::filter::Targets;
    use tracing_subscriber::layer::SubscriberExt;
    use tracing_subscriber::util::SubscriberInitExt;
    use tracing_subscriber::{Layer, fmt, registry};
    let level = config.log.level.parse().unwrap_or(tracing_subscriber::filter::LevelFilter::INFO);
    let filter = Targets::new()
        .with_target("cadmill", level)
        .with_target("cadmill_api", level)
        .with_target("cadmill_core", level);
    let lines = fmt::layer().with_writer(std::io::stderr).with_ansi(false);
    let lines = if config.log.json { lines.json().boxed() } else { lines.boxed() };
    // Fails when there is a log already, which is as good.
    let _ = registry().with(lines.with_filter(filter)).try_init();
}
