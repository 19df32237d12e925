//! Converts one file several times and observes the engine meanwhile, for `cadmill engines check`.
//!
//! Nothing is sent but the result: the messages of so many conversions would exceed the cap on them.

use crate::convert::convert;
use cadmill_converter::engine::examination::{Examination, Nature, Run};
use cadmill_converter::engine::protocol::{Answer, Task};
use cadmill_converter::linux::proc::Memory;
use cadmill_converter::linux::signal::{OF_A_CRASH, crash_handlers};
use cadmill_core::domain::format::EngineKind;
use cadmill_native_sys::{Engine, Events, Level, Stage};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What is done.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// Number of conversions.
    pub(crate) runs: u32,
    /// When the first one is asked to stop, from its beginning.
    pub(crate) stop_after: Option<Duration>,
}

pub(crate) fn run(
    kind: EngineKind,
    engine: &dyn Engine,
    conversion: &Task,
    plan: Plan,
    memory: &dyn Fn() -> Memory,
) -> Answer {
    let nature = engine.nature().map(|nature| Nature {
        deterministic: nature.deterministic(),
        threads: nature.threads(),
        asks_cancelled: nature.asks_cancelled(),
        one_conversion: nature.one_conversion(),
        several_files: nature.several_files,
        data: nature.data.into_iter().take(32).collect(),
        licence: nature.licence,
        larger: nature.larger,
        describe_micros: micros(nature.describe_time),
        has_cancel: nature.has_cancel,
        same: nature.same,
    });
    let mut examination = Examination { nature, data_bytes: memory().data, runs: Vec::new() };
    let runs = match &examination.nature {
        Some(nature) if nature.one_conversion => plan.runs.min(1),
        _ => plan.runs,
    };
    for number in 0..runs {
        let Some(task) = apart(conversion, number) else {
            return Answer::Rejected("the engine host was asked to examine no conversion".to_owned());
        };
        let stop_after = plan.stop_after.filter(|_| number == 0);
        let run = once(kind, engine, &task, stop_after, memory);
        let has_failed = run.failure.is_some();
        examination.runs.push(run);
        if has_failed {
            break;
        }
    }
    Answer::Examined(Box::new(examination))
}

/// The conversion with an output directory of its own; `None` if it is none, or the directory cannot be
/// made.
fn apart(conversion: &Task, number: u32) -> Option<Task> {
    let mut task = conversion.clone();
    let Task::Convert { output, output_dir, .. } = &mut task else { return None };
    let directory = output_dir.join(format!("run-{number}"));
    std::fs::create_dir(&directory).ok()?;
    *output = directory.join(output.file_name()?);
    Some(task)
}

fn once(
    kind: EngineKind,
    engine: &dyn Engine,
    task: &Task,
    stop_after: Option<Duration>,
    memory: &dyn Fn() -> Memory,
) -> Run {
    let handlers = crash_handlers();
    let observer = Arc::new(Observer::new(stop_after));
    let events: Arc<dyn Events> = Arc::clone(&observer) as Arc<dyn Events>;
    let answer = convert(kind, engine, task, &events);
    let took = observer.begun.elapsed();
    let failure = match &answer {
        Answer::Converted { .. } => None,
        Answer::Cancelled => Some("it stopped on request".to_owned()),
        Answer::Rejected(text)
        | Answer::Reaches(text)
        | Answer::Unfit(text)
        | Answer::TextLost(text)
        | Answer::Failed(text)
        | Answer::OutOfMemory(text)
        | Answer::BadOption(text) => Some(text.chars().take(400).collect()),
        _ => Some("it did not convert".to_owned()),
    };
    let changed = crash_handlers();
    let signals = OF_A_CRASH.into_iter().zip(handlers.into_iter().zip(changed));
    let now = memory();
    let progress = observer.progress.lock().unwrap_or_else(PoisonError::into_inner);
    Run {
        failure,
        cancelled: matches!(answer, Answer::Cancelled),
        micros: micros(took),
        stopped_micros: stop_after.and_then(|after| took.checked_sub(after)).map(micros),
        asked: observer.asked.load(Ordering::Relaxed),
        progress: progress.reports,
        backwards: progress.backwards,
        invalid: progress.invalid,
        data_bytes: now.data,
        threads: now.threads,
        signals: signals.filter(|(_, (before, after))| before != after).map(|(signal, _)| signal).collect(),
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Counts the events of one conversion, and asks it to stop when it is time.
struct Observer {
    begun: Instant,
    stop_after: Option<Duration>,
    asked: AtomicU64,
    progress: Mutex<Progress>,
}

#[derive(Default)]
struct Progress {
    last: f64,
    reports: u64,
    backwards: u64,
    invalid: u64,
}

impl Observer {
    fn new(stop_after: Option<Duration>) -> Self {
        Self { begun: Instant::now(), stop_after, asked: AtomicU64::new(0), progress: Mutex::default() }
    }
}

impl Events for Observer {
    fn progress(&self, _stage: Stage, _fraction: f64) {}

    fn reported(&self, fraction: f64) {
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        progress.reports += 1;
        if !(0.0..=1.0).contains(&fraction) {
            progress.invalid += 1;
        } else if fraction < progress.last {
            progress.backwards += 1;
        } else {
            progress.last = fraction;
        }
    }

    fn log(&self, _level: Level, _line: &str) {}

    fn asked(&self) {
        self.asked.fetch_add(1, Ordering::Relaxed);
    }

    fn cancelled(&self) -> bool {
        self.stop_after.is_some_and(|after| self.begun.elapsed() >= after)
    }
}
