//! `cadmill doctor --aws`: a deployment on AWS, with the configuration that its programs use.
//!
//! Settings that the programs may not read are read if the caller may; otherwise the probe object alone
//! decides ([`way`]), so that the same checks serve an operator and a task. Each fault has a stable name,
//! what to do, and the resource of docker/aws/cadmill.yaml that mends it.
//!
//! EventBridge itself is not asked: whether its rule is right follows from the bucket, which sends, from
//! the queue, which takes, and from the event, which arrives or not. So no further SDK is needed, and no
//! permission that a worker does not have.

mod bucket;
mod finding;
mod http;
mod ledgers;
mod machine;
mod queue;
mod queue_policy;
mod rights;
mod signing;
mod way;
mod who;

use crate::args::DoctorArgs;
use crate::{context, error, output};
use cadmill_core::domain::failure::{Failure, FailureCode};
use cadmill_stores::bootstrap::deployment::Deployment;
use cadmill_stores::config::{self, Backend, Config};
use finding::Findings;
use serde_json::json;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use way::Way;
use who::Who;

/// The check that makes a worker refuse to start for its confinement.
const POSTURE: &str = "worker.posture";

/// Checks of what deletes the probe object again.
const UNDOING: [&str; 2] = ["bucket.list", DELETE];
const DELETE: &str = "bucket.delete";

/// Set by the agent of ECS in every task.
const IN_TASK: &str = "ECS_CONTAINER_METADATA_URI_V4";

pub(super) fn run(args: &DoctorArgs) -> ExitCode {
    let who = Who::named(args.program.as_deref());
    let findings = match look(args, who) {
        Ok(findings) => findings,
        Err(failure) => return error::report(&failure, None, args.json),
    };
    let faults = findings.faults();
    if args.json {
        let report = json!({
            "good": faults.is_empty(),
            "checks": findings.all(),
            "cadmill": cadmill_core::BUILD,
        });
        output::result(&format!("{report:#}"));
    } else {
        output::result(findings.as_text().trim_end());
    }
    let code = match faults.as_slice() {
        [] => return ExitCode::SUCCESS,
        [POSTURE] => FailureCode::Confinement,
        _ => FailureCode::StoreRefused,
    };
    if !args.json {
        let message = format!("{} found a fault", faults.join(", "));
        return error::report(&Failure::new(code, message), None, false);
    }
    ExitCode::from(code.exit_code())
}

fn look(args: &DoctorArgs, who: Who) -> Result<Findings, Failure> {
    let config = load(args, who)?;
    if config.backend != Backend::Aws {
        let message = "backend is embedded, so there is nothing on AWS to check; expected backend = \"aws\"";
        return Err(Failure::new(FailureCode::UsageInvalid, message));
    }
    let stop = context::cancel_on_signals(&context::Second::Same)?;
    let mut findings = Findings::default();
    let works = who == Who::Worker || who == Who::Operator && std::env::var_os(IN_TASK).is_some();
    let machine = works.then(|| machine::check(&mut findings, &config));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::io("starting the runtime", &error))?;
    runtime.block_on(async {
        if let Some(machine) = machine {
            machine.compare(&mut findings, http::task_memory().await);
        } else {
            findings.unseen(
                "worker",
                "not a task of a worker: confinement, workspace and memory are not looked at",
            );
        }
        services(&mut findings, args, &config, who, &stop).await
    })?;
    if stop.load(Ordering::Relaxed) {
        let is_left = findings.faults().contains(&DELETE);
        let left = if is_left { "; the probe object could not be deleted" } else { "" };
        return Err(Failure::new(FailureCode::Cancelled, format!("interrupted{left}")));
    }
    Ok(findings)
}

async fn services(
    findings: &mut Findings,
    args: &DoctorArgs,
    config: &Config,
    who: Who,
    stop: &AtomicBool,
) -> Result<(), Failure> {
    let deployment = Deployment::of(config).await?;
    rights::check(findings, &deployment, who).await;
    signing::clock(findings, &deployment);
    if who.is_of(&[Who::Api]) {
        signing::lifetime(findings, &deployment, config).await;
    }
    bucket::lifecycle(findings, &deployment).await;
    ledgers::check(findings, &deployment, config, who).await;
    queue::check(findings, &deployment, config, who).await;
    if stop.load(Ordering::Relaxed) {
        return Ok(());
    }
    // The probe object is put only where it can be found and deleted again.
    let faults = findings.faults();
    if who != Who::Worker && UNDOING.iter().any(|name| faults.contains(name)) {
        findings.unseen("events", "no probe object was put, because it could not be deleted again");
        return Ok(());
    }
    // Messages of jobs are received on the way, and each delivery counts.
    if faults.contains(&queue::REDRIVE) {
        findings.unseen(
            "events",
            "no probe object was put, because messages become dead letters too early or never",
        );
        return Ok(());
    }
    let way = Way { deployment: &deployment, who, wait: args.wait, stop };
    let signed = way.check(findings).await;
    if let (Some(signed), true) = (signed, who.is_of(&[Who::Api])) {
        bucket::cors(findings, config, &signed).await;
    }
    Ok(())
}

/// The configuration as the program reads it: the file, and the environment before it.
fn load(args: &DoctorArgs, who: Who) -> Result<Config, Failure> {
    let invalid = |text: String| Failure::new(FailureCode::UsageInvalid, text);
    let mut words = vec!["doctor".into()];
    if let Some(path) = &args.config {
        words.extend(["--config".into(), path.clone().into_os_string()]);
    }
    let command = config::augment(clap::Command::new("doctor"), who.program());
    let matches = command.try_get_matches_from(words).map_err(|error| invalid(error.to_string()))?;
    let loaded = config::load_without_server(&matches, who.program());
    loaded.map(|(config, _)| config).map_err(|problems| invalid(problems.to_string()))
}
