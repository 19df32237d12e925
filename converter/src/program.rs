//! The program `cadmill-converter`, which is the worker.
//!
//! `worker` consumes events from the queue until SIGTERM. `task` processes one upload and exits,
//! for deployments that start a task per upload.
//!
//! `cadmill` runs it too, if it is started under this name: in images they are one file.

use crate::conversion::context::ConversionContext;
use crate::engine::posture::{self, Posture};
use crate::engine::registry::Engines;
use crate::engine::warm_pool::WarmPool;
use crate::intake::DownloadConfig;
use crate::linux::privileges;
use crate::worker::task::{TaskInput, TaskMessage};
use crate::worker::{LedgerFactory, Worker, WorkerSettings, admission, posture_fields};
use crate::workspace::{Privacy, Private, WorkspaceRoot};
use cadmill_core::cleanup::attendance::Attendance;
use cadmill_core::domain::failure::{Failure, FailureCode};
use cadmill_core::domain::ids::JobId;
use cadmill_core::metrics::Source;
use cadmill_stores::adapters::aws::{TaskProtection, task_protection};
use cadmill_stores::bootstrap::ledger::Auditing;
use cadmill_stores::bootstrap::program;
use cadmill_stores::bootstrap::stores::Stores;
use cadmill_stores::config::{self, Config, Program};
use cadmill_stores::healthcheck;
use cadmill_stores::metrics::Metrics;
use clap::{Arg, ArgAction, ArgMatches, Command};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The name of the program.
pub const NAME: &str = "cadmill-converter";

/// Option of `worker`.
const UNTIL: &str = "until-stdin-closes";

/// Exit code of `task` when its job has not ended: another worker has it, or it will be retried.
const NOT_ENDED: u8 = 75;

/// How often a worker looks whether a cleanup program is alive: a read of one small record.
const ATTENDANCE: Duration = Duration::from_secs(15);

/// Runs the program with the arguments of this process, which must have a single thread.
pub fn main() -> ExitCode {
    let matches = match healthcheck::parsed(command().try_get_matches()) {
        Ok(matches) => matches,
        Err(code) => return code,
    };
    let Some((mode, matches)) = matches.subcommand() else { return ExitCode::from(2) };
    if mode == healthcheck::NAME {
        return program::check(matches, matches, Program::Worker);
    }
    program::run(matches, Program::Worker, |config| run(mode, matches, config))
}

fn command() -> Command {
    let job = Arg::new("job")
        .long("job")
        .value_name("UUID")
        .value_parser(|text: &str| text.parse::<JobId>())
        .help("The job whose upload is there; otherwise CADMILL_EVENT has the event, or CADMILL_KEY the object's key, or standard input the event");
    let until = Arg::new(UNTIL)
        .long(UNTIL)
        .action(ArgAction::SetTrue)
        .help("Stop when standard input is closed, for example because the parent process has died");
    let worker =
        Command::new("worker").about("Process events from the queue until SIGTERM or SIGINT").arg(until);
    let task = Command::new("task").about("Process one upload and exit").arg(job);
    Command::new(NAME)
        .version(cadmill_core::BUILD)
        .about("Converts uploaded files, each in a separate process")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(config::augment(worker, Program::Worker))
        .subcommand(config::augment(task, Program::Worker))
        .subcommand(config::augment(healthcheck::command(), Program::Worker))
}

fn run(mode: &str, matches: &ArgMatches, config: &Config) -> Result<ExitCode, Failure> {
    if mode != "task" {
        return work(matches, config, None);
    }
    let bucket = Stores::bucket(config).unwrap_or_default();
    let job = matches.get_one::<JobId>("job").copied();
    let input = TaskInput::choose(job, |name| std::env::var_os(name), &bucket)?;
    let message = input.read(&bucket, std::io::stdin())?;
    let done = work(matches, config, Some(&message));
    if done.is_err() {
        // The task could not even begin. Its message must not be lost with it.
        match send_again(config, &message) {
            Ok(Some(times)) => tracing::info!(times, "sent the event again; another task must process it"),
            Ok(None) => {}
            Err(failure) => {
                tracing::warn!(code = %failure.code, "could not send the event again; cleanup announces the job when it is due");
            }
        }
    }
    done
}

/// Sends the event of a task to the queue again, without the other stores.
fn send_again(config: &Config, message: &TaskMessage) -> Result<Option<u32>, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| Failure::io("starting the runtime", &e))?;
    runtime.block_on(async { Ok(message.send_again(&*Stores::queue(config).await?).await?) })
}

/// Processes events until it is stopped, or the one message of a task.
fn work(matches: &ArgMatches, config: &Config, message: Option<&TaskMessage>) -> Result<ExitCode, Failure> {
    let mut setting = setting(config)?;
    // Requires a process with a single thread. The mount is dropped after everything else has
    // ended.
    let privacy: Privacy = config.worker.private_workspace.parse()?;
    let mut private = setting.place.make_private(privacy, memory_bytes(config))?;
    let outsider = private.as_mut().and_then(Private::take_outsider);
    // After `make_private`: the hosts use the location as it is now.
    setting.hosts = Some(Arc::new(hosts(config, &setting)?));
    // This process holds plaintext in its buffers, which must not end up in a core file.
    privileges::no_core_dump().map_err(|e| Failure::io("turning core dumps off", &e))?;
    privileges::be_nice(config.worker.nice).map_err(|e| Failure::io("lowering the priority", &e))?;
    program::block_on(Some(2), async {
        let stop = stop_on_signals()?;
        if message.is_none() && matches.get_flag(UNTIL) {
            stop_at_end_of_stdin(stop.clone())?;
        }
        // An unusable workspace location or insufficient confinement is reported at startup and not
        // by each job.
        let posture = posture::require(&setting.supervisor, &setting.place, outsider)?;
        privacy.require(&posture)?;
        let Some(auditing) = Auditing::open_unless(config, stop.cancelled()).await? else {
            return match message {
                None => Ok(ExitCode::SUCCESS),
                // Its event must not be lost with it.
                Some(_) => Err(Failure::new(FailureCode::Audit, "stopped before the audit sinks answered")),
            };
        };
        warn_of_weaknesses(&posture, &auditing);
        let metrics = Metrics::install(config, Program::Worker, &[Source::Worker])?;
        let stores = Stores::open(config).await?;
        // A task ends before it could say anything.
        let attendance = (config.api.require_cleanup && message.is_none())
            .then(|| Arc::new(Attendance::new(stores.jobs.clone(), ATTENDANCE)));
        let readiness = program::readiness(&stores);
        let readiness = match &attendance {
            Some(attendance) => readiness.with_attendance(Arc::clone(attendance)),
            None => readiness,
        };
        let shown = program::shown(metrics, config, readiness).await?;
        let settings =
            WorkerSettings { protection: protection(message.is_none())?, ..settings(config, &stores) };
        tracing::info!(
            worker = settings.name,
            concurrency = settings.concurrency,
            memory_bytes = settings.memory_bytes,
            build = cadmill_core::BUILD,
            confinement = posture.level.as_str(),
            landlock = posture.engine.landlock.abi,
            seccomp = posture.engine.seccomp,
            own_uid = posture.engine.own_uid.is_some(),
            private_workspace = posture.machine.workspace_private,
            "ready"
        );
        let recording =
            LedgerFactory { auditing, worker: settings.name.clone(), posture: posture_fields(&posture) };
        let Stores { objects, jobs, queue, .. } = stores;
        // The worker goes on in any case: what is in the store waits for it.
        let watch = attendance.map(|attendance| tokio::spawn(async move { attendance.watch().await }));
        let worker = Worker::new(settings, setting, recording, jobs, objects, queue, stop);
        let done = match message {
            Some(message) => worker.run_once(message).await,
            None => worker.run().await,
        };
        if let Some(watch) = watch {
            watch.abort();
        }
        if let Some(shown) = shown {
            shown.end().await;
        }
        Ok(if done { ExitCode::SUCCESS } else { ExitCode::from(NOT_ENDED) })
    })
}

fn setting(config: &Config) -> Result<ConversionContext, Failure> {
    let engines = Engines::with(config.worker.engines_file.as_deref())?;
    let place = WorkspaceRoot::new(config.worker.workspace.clone(), config.worker.allow_disk);
    let host = config.worker.engine_host.as_deref();
    ConversionContext::new(engines, place, host, config.worker.min_posture.parse()?)
}

fn hosts(config: &Config, setting: &ConversionContext) -> Result<WarmPool, Failure> {
    let ConversionContext { engines, place, supervisor, .. } = setting;
    let names = config.worker.warm.as_deref().unwrap_or_default();
    WarmPool::new(names, engines, place.clone(), supervisor.clone(), config.caps)
}

fn settings(config: &Config, stores: &Stores) -> WorkerSettings {
    WorkerSettings {
        name: config.worker.name.clone(),
        bucket: stores.bucket.clone(),
        concurrency: u32::try_from(config.worker.concurrency).unwrap_or(u32::MAX),
        memory_bytes: memory_bytes(config),
        stop_within: config.worker.stop_within,
        caps: config.caps,
        archive: config.archive,
        flow: DownloadConfig::with_buffer(config.worker.fetch_buffer_bytes),
        protection: None,
    }
}

/// Protection from scale-in where ECS offers it. A task for one upload belongs to no service.
fn protection(is_service: bool) -> Result<Option<TaskProtection>, Failure> {
    match std::env::var(task_protection::VARIABLE) {
        Ok(agent) if is_service && !agent.is_empty() => Ok(Some(TaskProtection::new(&agent)?)),
        _ => Ok(None),
    }
}

/// Warns of settings that are allowed but weak.
fn warn_of_weaknesses(posture: &Posture, auditing: &Auditing) {
    let machine = &posture.machine;
    if machine.may_swap() {
        tracing::warn!(
            swap_bytes = machine.swap_bytes,
            "swap is on or its state is unknown: plaintext may reach a disk"
        );
    }
    if let Some(ways) = machine.workspace_entered.as_ref().filter(|ways| !ways.is_empty()) {
        tracing::warn!(
            ways = ways.join(", "),
            "the workspaces are not private: an outside process entered them"
        );
    }
    if auditing.signer.is_none() {
        tracing::warn!("audit.sign_with is nothing: the heads of ledgers are unsigned and prove nothing");
    }
}

/// Memory that the jobs may use together.
fn memory_bytes(config: &Config) -> u64 {
    config.worker.memory_bytes.unwrap_or_else(admission::available_bytes)
}

/// A token that is cancelled by SIGTERM, which ECS sends, or by SIGINT.
fn stop_on_signals() -> Result<CancellationToken, Failure> {
    let stop = CancellationToken::new();
    let fail = |e: std::io::Error| Failure::io("installing signal handlers", &e);
    let mut terminate = signal(SignalKind::terminate()).map_err(fail)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(fail)?;
    let token = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        token.cancel();
    });
    Ok(stop)
}

/// On a separate thread that the process does not join: a blocking read cannot be cancelled.
fn stop_at_end_of_stdin(stop: CancellationToken) -> Result<(), Failure> {
    let read = move || {
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        stop.cancel();
    };
    let started = std::thread::Builder::new().name("stdin".to_owned()).spawn(read);
    started.map(drop).map_err(|e| Failure::io("starting a thread", &e))
}
