//! `cadmill serve`: the API, the stores and a worker in one process tree.
//!
//! This process owns the stores and serves clients; it never unpacks or converts. The worker is a
//! separate process, `cadmill-converter`, as in production: it may crash, and is restarted. It ends
//! when this process ends, however that happens: its standard input is a pipe from here.

use crate::args::ServeArgs;
use crate::{error, output};
use cadmill_api::start;
use cadmill_converter::conversion::context::ConversionContext;
use cadmill_converter::engine::posture;
use cadmill_converter::engine::registry::Engines;
use cadmill_converter::engine::warm_pool::WarmPool;
use cadmill_converter::workspace::WorkspaceRoot;
use cadmill_core::cleanup::crew::Membership;
use cadmill_core::domain::failure::{Failure, FailureCode};
use cadmill_core::domain::format::EngineFormats;
use cadmill_stores::adapters::embedded::server::Capacity;
use cadmill_stores::adapters::embedded::{Database, EmbeddedS3, Medium};
use cadmill_stores::bootstrap::stores::{MAX_DELIVERIES, Server, Stores};
use cadmill_stores::bootstrap::{ledger, logging, program};
use cadmill_stores::config::{self, Backend, Config, Program, Settings, SinkKind};
use cadmill_stores::connections::descriptors::Connections;
use cadmill_stores::connections::{Limits, Times};
use cadmill_stores::healthcheck;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{oneshot, watch};

/// The worker executable, in the same directory as this program.
const WORKER: &str = "cadmill-converter";

/// First and longest pause before a worker that died is restarted.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How often objects without a job are looked for. The index of the objects is in this process.
const ORPHANS: Duration = Duration::from_secs(60);

/// How often dead letters of jobs that ended are looked for.
const DEAD_LETTERS: Duration = Duration::from_secs(3600);

/// A worker that ran for this long did not fail at startup.
const HEALTHY: Duration = Duration::from_secs(60);

/// The next pause before a worker that died is restarted.
struct Pauses(Duration);

impl Pauses {
    /// The pause after a worker that ran for this long.
    fn after(&mut self, life: Duration) -> Duration {
        if life >= HEALTHY {
            self.0 = FIRST_PAUSE;
        }
        let pause = self.0;
        self.0 = (pause * 2).min(LONGEST_PAUSE);
        pause
    }
}

pub(crate) fn run(args: &ServeArgs) -> ExitCode {
    if let Some((_, check)) = args.matches.subcommand() {
        return healthcheck::run(check, || Ok(config::load(&args.matches, Program::Serve)?.0.api.listen));
    }
    let (config, settings) = match config::load(&args.matches, Program::Serve) {
        Ok(loaded) => loaded,
        Err(problems) => {
            output::note(&problems.to_string());
            return ExitCode::from(FailureCode::UsageInvalid.exit_code());
        }
    };
    if config::wants_print(&args.matches) {
        output::result(settings.to_toml().trim_end());
        return ExitCode::SUCCESS;
    }
    match serve(&config, &settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => error::report(&failure, None, false),
    }
}

fn serve(config: &Config, settings: &Settings) -> Result<(), Failure> {
    if config.backend != Backend::Embedded {
        let message = "`cadmill serve` is for one machine, with backend = \"embedded\"; on AWS run cadmill-api and cadmill-converter";
        return Err(Failure::new(FailureCode::UsageInvalid, message));
    }
    let worker = beside_us(WORKER)?;
    logging::start(&config.log).map_err(|text| Failure::new(FailureCode::UsageInvalid, text))?;
    // The worker reads the file itself, but a mistake in it is reported now.
    let engines = Engines::with(config.worker.engines_file.as_deref())?;
    WarmPool::check(config.worker.warm.as_deref().unwrap_or_default(), &engines)?;
    // Those that are chosen by the file, without being named.
    let formats = engines.formats().into_iter().filter(|engine| !engine.inputs.is_empty());
    let built_in = Engines::default();
    let added = formats.filter(|engine| built_in.get(&engine.engine).is_none()).collect();
    confinement(config, engines)?;
    program::block_on(Some(2), serve_until_stopped(config, settings, &worker, added))
}

/// A worker refuses to start where engines cannot be confined sufficiently. That is reported now,
/// before jobs are submitted that no worker would process.
fn confinement(config: &Config, engines: Engines) -> Result<(), Failure> {
    let place = WorkspaceRoot::new(config.worker.workspace.clone(), config.worker.allow_disk);
    let host = config.worker.engine_host.as_deref();
    let context = ConversionContext::new(engines, place, host, config.worker.min_posture.parse()?)?;
    posture::require(&context.supervisor, &context.place, None).map(drop)
}

async fn serve_until_stopped(
    config: &Config,
    settings: &Settings,
    worker: &Path,
    engines: Vec<EngineFormats>,
) -> Result<(), Failure> {
    let stopped = stop_on_signals()?;
    let metrics = start::metrics(config, Program::Serve)?;
    let database = Database::open(&config.database(), MAX_DELIVERIES)?;
    // Before the object server, which must know where the page is.
    let listener = start::bind(config).await?;
    let bound = listener.local_addr().map_err(|e| Failure::io("reading the local address", &e))?;
    let origins = &origins(config, bound);
    let queue = Arc::new(database.queue());
    let capacity = capacity(config)?;
    let server =
        EmbeddedS3::start_with(&config.data_dir, config.embedded_s3_listen, queue, origins, capacity).await?;
    if server.medium() == Medium::Disk {
        tracing::warn!(
            "the data directory is on a disk: deleted files are unlinked there and not overwritten, so that their \
             content may be found later; put it on an encrypted disk, or with --data on a tmpfs such as /dev/shm"
        );
    }
    let keys = server.credentials().clone();
    let stores = Stores::of_embedded(&database, server.endpoint(), keys, config, Server::Here).await;

    let mut environment = settings.to_environment(Program::Worker);
    environment.push(("CADMILL_S3_ENDPOINT", server.endpoint()));
    // Two processes cannot listen on one port.
    if let Some(next) = config.metrics.of_next() {
        environment.push(("CADMILL_METRICS_LISTEN", next.to_string()));
    }
    let keeper = WorkerProcess {
        program: worker.to_owned(),
        environment,
        prints: config.metrics.emf || config.audit.sinks.contains(&SinkKind::Stdout),
        stop_within: config.worker.stop_within,
        stopped: stopped.clone(),
    };
    let (refused, refusal) = oneshot::channel();
    let keeper = tokio::spawn(keeper.keep(refused));
    // Programs wait for this line; it contains the actual port when port 0 was configured.
    output::note(&format!("listening on http://{bound}"));
    let orphans = tokio::spawn(stores.orphans(config).run(ORPHANS, server.jobs()));
    let dead_letters = stores.dead_letters();
    let dead_letters = tokio::spawn(async move { dead_letters.run(DEAD_LETTERS).await });
    let ledgers = ledger::of_deletions(config, Program::Serve).await?;
    let cleanup = stores.cleanup(&config.cleanup.name).await?.with_ledgers(ledgers.clone());
    let membership = Membership::new(stores.jobs.clone(), config.cleanup.name.clone(), config.cleanup.every);
    let lease = membership.clone();
    let (stop_cleanup, stops) = oneshot::channel::<()>();
    let cleanup = async move { cleanup.run(&membership, async { drop(stops.await) }).await };
    let cleanup = tokio::spawn(cleanup);
    let ends = async {
        tokio::select! {
            () = told_to_stop(stopped) => {}
            // The sender is dropped when the keeper stops for another reason.
            Ok(()) = refusal => {}
        }
    };
    let served = start::run(config, stores, (metrics, ledgers), engines, listener, ends).await;
    orphans.abort();
    dead_letters.abort();
    drop(stop_cleanup);
    let _ = cleanup.await;
    if let Err(error) = lease.leave().await {
        tracing::warn!(error = %error, "the lease of the cleanup ends by itself");
    }
    // The worker releases its jobs through the stores, so the stores end last.
    let kept = keeper.await;
    server.stop().await;
    served.and(kept.unwrap_or(Ok(())))
}

/// Web origins that may use presigned requests: those of the configuration, and that of the page on this
/// machine. Behind a proxy the page has another one, which `api.cors_origins` must list.
fn origins(config: &Config, bound: SocketAddr) -> Vec<String> {
    let own = [format!("http://{bound}"), format!("http://localhost:{}", bound.port())];
    let own = own.into_iter().filter(|_| config.api.page);
    config.api.cors_origins.iter().cloned().chain(own).collect()
}

/// Limits of the object server for clients.
fn capacity(config: &Config) -> Result<Capacity, Failure> {
    let times = Capacity::default().times;
    let [_, Connections { total, per_client }] = start::connections(config)?;
    let proxies = config.api.trusted_proxies.clone();
    Ok(Capacity {
        limits: Limits { total, per_client, proxies },
        times: Times { bytes_per_second: config.embedded_s3_min_rate, ..times },
    })
}

async fn told_to_stop(mut stopped: watch::Receiver<bool>) {
    // The sender lives as long as the task that waits for the signals.
    let _ = stopped.wait_for(|&stop| stop).await;
}

/// Keeps one worker running.
struct WorkerProcess {
    program: PathBuf,
    environment: Vec<(&'static str, String)>,
    /// Whether it prints its metrics or its ledgers.
    prints: bool,
    stop_within: Duration,
    stopped: watch::Receiver<bool>,
}

impl WorkerProcess {
    /// Returns after a request to stop.
    ///
    /// # Errors
    /// `usage.invalid` if the worker refuses its configuration, which no other one would accept
    /// either. `refused` is sent then.
    async fn keep(self, refused: oneshot::Sender<()>) -> Result<(), Failure> {
        let mut pauses = Pauses(FIRST_PAUSE);
        loop {
            let started = Instant::now();
            match self.start() {
                Ok(mut worker) => {
                    // Taken out, because waiting for a child closes its standard input.
                    let input = worker.stdin.take();
                    tokio::select! {
                        () = told_to_stop(self.stopped.clone()) => {
                            // This tells the worker to stop.
                            drop(input);
                            self.end(worker).await;
                            return Ok(());
                        }
                        status = worker.wait() => {
                            let code = status.ok().and_then(|status| status.code());
                            if code == Some(i32::from(FailureCode::UsageInvalid.exit_code())) {
                                let _ = refused.send(());
                                let message = "the worker refuses this configuration; see its message";
                                return Err(Failure::new(FailureCode::UsageInvalid, message));
                            }
                            tracing::error!(code, "the worker exited; starting another");
                        }
                    }
                }
                Err(error) => tracing::error!(error = %error, "the worker cannot be started"),
            }
            let pause = pauses.after(started.elapsed());
            tokio::select! {
                () = told_to_stop(self.stopped.clone()) => return Ok(()),
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    fn start(&self) -> std::io::Result<Child> {
        Command::new(&self.program)
            .args(["worker", "--until-stdin-closes"])
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::piped())
            .stdout(if self.prints { Stdio::inherit() } else { Stdio::null() })
            .kill_on_drop(true)
            .spawn()
    }

    /// Kills the worker if it does not exit in time.
    async fn end(&self, mut worker: Child) {
        let within = self.stop_within + Duration::from_secs(2);
        if tokio::time::timeout(within, worker.wait()).await.is_err() {
            tracing::error!("the worker did not exit in time; killing it");
            let _ = worker.kill().await;
        }
    }
}

fn beside_us(name: &str) -> Result<PathBuf, Failure> {
    let own = std::env::current_exe().map_err(|e| Failure::io("finding the path of this program", &e))?;
    let path = own.with_file_name(name);
    if path.is_file() {
        return Ok(path);
    }
    let message = format!("{name} is not in the directory of {}", own.display());
    Err(Failure::new(FailureCode::EngineHost, message))
}

/// Becomes true at SIGTERM and SIGINT.
fn stop_on_signals() -> Result<watch::Receiver<bool>, Failure> {
    let fail = |e: std::io::Error| Failure::io("installing signal handlers", &e);
    let mut terminate = signal(SignalKind::terminate()).map_err(fail)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(fail)?;
    let (sender, receiver) = watch::channel(false);
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        let _ = sender.send(true);
        // Later callers still receive the value.
        sender.closed().await;
    });
    Ok(receiver)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_pause_is_short_and_the_others_grow() {
        let mut pauses = Pauses(FIRST_PAUSE);
        let mut after = |seconds| pauses.after(Duration::from_secs(seconds)).as_millis();
        assert_eq!([after(0), after(1), after(0), after(59)], [500, 1000, 2000, 4000]);
        // A worker that ran for a while starts again with the first pause.
        assert_eq!([after(60), after(0)], [500, 1000]);
        for _ in 0..8 {
            after(0);
        }
        assert_eq!(after(0), 30_000);
    }
}
