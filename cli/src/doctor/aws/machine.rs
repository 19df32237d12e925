//! The container of a worker: confinement, workspace and memory. Only where a worker runs, in a task
//! or with `--program worker`: the machine of an operator is not that of the deployment.

use super::finding::Findings;
use crate::doctor::confinement;
use cadmill_converter::worker::admission;
use cadmill_converter::workspace::WorkspaceRoot;
use cadmill_core::domain::limits::display_size;
use cadmill_stores::config::Config;

const POSTURE: &str = "worker.posture";
const WORKSPACE: &str = "worker.workspace";
const MEMORY: &str = "worker.memory";

/// The workspace's share of the memory for jobs: files and their results are half of what a job may
/// take, and half of that suffices for one of two jobs.
const LEAST_SHARE: u64 = 4;

/// What was found before threads were started.
pub(super) struct Machine {
    /// Capacity of the workspace in bytes; `None` if it has no limit of its own.
    workspace: Option<u64>,
    /// Memory of the container in bytes, as it sees it.
    container: u64,
    /// Memory for jobs in bytes.
    budget: u64,
    /// Memory of one engine in bytes.
    engine: u64,
}

/// Looks at this machine, which must be done while the process has a single thread.
pub(super) fn check(findings: &mut Findings, config: &Config) -> Machine {
    let place = WorkspaceRoot::new(config.worker.workspace.clone(), config.worker.allow_disk);
    let size = place.size_bytes();
    let mut is_private = false;
    match confinement::look() {
        Ok(posture) => {
            is_private = posture.machine.workspace_private;
            let found = format!("level {}, the minimum is {}", posture.level, posture.minimum);
            if posture.level < posture.minimum {
                let hint = "The worker does not start: Fargate and the ECS AMIs have kernel 6.1, with Landlock ABI 2 and \
                            without user namespaces, so worker.min_posture can be files there. `cadmill doctor` says what is missing.";
                findings.fault(POSTURE, found, hint, "WorkerTask");
            } else {
                findings.ok(POSTURE, found);
            }
            let kind = posture.machine.workspace_kind;
            if !is_private && !["tmpfs", "ramfs"].contains(&kind.as_str()) && !config.worker.allow_disk {
                let hint = "Mount a tmpfs by LinuxParameters and name it in CADMILL_WORKSPACE.";
                findings.fault(WORKSPACE, format!("it is on {kind}, not in memory"), hint, "WorkerTask");
            }
        }
        Err(failure) => {
            let found = format!("{} [{}]", failure.message, failure.code);
            findings.fault(POSTURE, found, failure.code.hint(), "WorkerTask");
        }
    }
    // The share of the memory that admission takes as a default.
    let container = admission::available_bytes() / 4 * 5;
    let budget = config.worker.memory_bytes.unwrap_or_else(admission::available_bytes);
    let workspace = (!is_private && size != u64::MAX).then_some(size);
    Machine { workspace, container, budget, engine: config.caps.memory_bytes }
}

impl Machine {
    /// Compares workspace and memory; `task` is the limit of the task, which the container may not see.
    pub(super) fn compare(&self, findings: &mut Findings, task: Option<u64>) {
        let limit = task.map_or(self.container, |task| task.min(self.container));
        if let Some(size) = self.workspace {
            let found = format!("{} for {} of jobs", display_size(size), display_size(self.budget));
            if size < self.budget / LEAST_SHARE {
                let hint = "Jobs end with limit.admission or infra.workspace_full: /dev/shm has 64 MiB in a container and \
                            cannot be enlarged on Fargate, so mount a tmpfs by LinuxParameters, and name it in CADMILL_WORKSPACE.";
                findings.fault(WORKSPACE, found, hint, "WorkerTask");
            } else {
                findings.ok(WORKSPACE, found);
            }
        }
        let (files, engine) = (self.workspace.unwrap_or(0), self.engine);
        let needed = files.saturating_add(engine).max(self.budget);
        let [shown, limit_shown] = [needed, limit].map(display_size);
        if needed > limit {
            let found = format!(
                "workspace {}, engine {}, jobs {}: {shown} of {limit_shown}",
                display_size(files),
                display_size(engine),
                display_size(self.budget)
            );
            let hint = "Files in a tmpfs count as memory of the task, so that the kernel kills the worker when both are full: \
                        lower the tmpfs, worker.memory or limits.memory, or take a larger WorkerSize.";
            findings.fault(MEMORY, found, hint, "WorkerTask");
        } else {
            findings.ok(MEMORY, format!("workspace and engine take {shown} of {limit_shown} at most"));
        }
    }
}
