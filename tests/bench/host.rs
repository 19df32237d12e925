//! From the request to the end of the engine process: the time that a worker waits. See
//! tests/bench/jvm.py for how it is called.
//!
//! ```text
//! host ENGINES-FILE ENGINE DIRECTORY FILE FORMAT RUNS [ahead]
//! ```
//!
//! Converts a file, with the other files in its directory, this many times. With `ahead` the
//! process is started a second before the request. Prints per run, on one line, the milliseconds
//! until the library is loaded and until the end, and the largest resident set in bytes.

use cadmill_converter::engine::protocol::{Answer, EngineRequest, Task};
use cadmill_converter::engine::registry::Engines;
use cadmill_converter::engine::supervisor::{Outcome, ProcessReport, Supervisor, engine_host};
use cadmill_converter::workspace::{Workspace, WorkspaceRoot};
use cadmill_core::domain::limits::Caps;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

/// Long enough for a JVM to start and for its threads to become idle.
const AHEAD: Duration = Duration::from_secs(1);

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [engines, engine, directory, file, format, runs, ahead @ ..] = arguments.as_slice() else {
        return Err("it is called by tests/bench/jvm.py".into());
    };
    let engines = Engines::from_file(Path::new(engines))?;
    let library = engines.get(engine).ok_or("no such engine")?.library().clone();
    let host = std::env::var_os("CADMILL_ENGINE_HOST").map(PathBuf::from);
    let supervisor = Supervisor::new(engine_host(host.as_deref())?);
    for _ in 0..runs.parse::<u32>()? {
        let workspace = WorkspaceRoot::from_environment().create()?;
        for entry in std::fs::read_dir(directory)? {
            let entry = entry?;
            std::fs::copy(entry.path(), workspace.input().join(entry.file_name()))?;
        }
        let request = |task| EngineRequest::new(library.clone(), task, &Caps::default());
        let (time, report) = run(&supervisor, &request, &workspace, file, format, !ahead.is_empty())?;
        match report.outcome {
            Outcome::Answered(Answer::Converted { .. }) => {}
            other => return Err(format!("{engine} did not convert {file}: {other:?}").into()),
        }
        let load = report.load_time.unwrap_or_default();
        let [load, time] = [load, time].map(|time| time.as_secs_f64() * 1000.0);
        println!("{load:.3} {time:.3} {}", report.peak_memory_bytes);
        workspace.remove()?;
    }
    Ok(())
}

fn run(
    supervisor: &Supervisor,
    request: &dyn Fn(Task) -> EngineRequest,
    workspace: &Workspace,
    file: &str,
    format: &str,
    ahead: bool,
) -> Result<(Duration, ProcessReport), Box<dyn Error>> {
    let (input_dir, output_dir, scratch) = (workspace.input(), workspace.output(), workspace.scratch());
    let (caps, cancel) = (Caps::default(), AtomicBool::new(false));
    let task = Task::Convert {
        input: input_dir.join(file),
        input_dir: input_dir.clone(),
        output: output_dir.join("out.bin"),
        output_dir: output_dir.clone(),
        format_id: format.to_owned(),
        layer: None,
        options: Vec::new(),
        strict: false,
    };
    if !ahead {
        let started = Instant::now();
        let report = supervisor.run(&request(task), &caps, &scratch, &output_dir, &cancel, &mut |_| {})?;
        return Ok((started.elapsed(), report));
    }
    let waits = request(Task::Await { input_dir, output_dir: output_dir.clone() });
    let host = supervisor.start_ahead(waits, &caps, &scratch, &output_dir)?;
    std::thread::sleep(AHEAD);
    let started = Instant::now();
    let report = host.convert(&task, &cancel, &mut |_| {})?;
    Ok((started.elapsed(), report))
}
