//! Converts one file several times and observes the engine meanwhile, for `cadmill engines check`.
//!
//! Nothing is sent but the result: the messages of so many conversions would exceed the cap on them.

use crate::convert::convert;
use cadmill_converter::engine::examination::{Examination, Nature, Run};
use cadmill_converter::engine::protocol::{Answer, Task};
use cadmill_converter::linux::proc::{Memory, open_descriptors};
use cadmill_converter::linux::signal::CrashHandlers;
use cadmill_core::domain::format::EngineKind;
use cadmill_native_sys::{Engine, EngineError, Events, Level, Stage};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long threads are waited for that have been joined: the kernel may count one for a while.
const LEAVING: Duration = Duration::from_millis(50);

/// What is done.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// Number of conversions.
    pub(crate) runs: u32,
    /// When the first one is asked to stop, from its beginning.
    pub(crate) stop_after: Option<Duration>,
}

/// Prepares the engine; what it did that the interface does not know, in words.
pub(crate) fn prepare(engine: &dyn Engine) -> Result<Vec<String>, EngineError> {
    let observer = Arc::new(Observer::new(None));
    let events: Arc<dyn Events> = Arc::clone(&observer) as Arc<dyn Events>;
    engine.prepare(&events)?;
    let mut misused = observer.misused();
    if observer.progress.lock().unwrap_or_else(PoisonError::into_inner).invalid > 0 {
        misused.push("progress that is not from 0 to 1".to_owned());
    }
    Ok(misused)
}

/// `examination` has what was observed before.
pub(crate) fn run(
    kind: EngineKind,
    engine: &dyn Engine,
    conversion: &Task,
    plan: Plan,
    mut examination: Examination,
    memory: &dyn Fn() -> Memory,
) -> Answer {
    examination.nature = engine.nature().map(|nature| Nature {
        deterministic: nature.deterministic(),
        threads: nature.threads(),
        asks_cancelled: nature.asks_cancelled(),
        one_conversion: nature.one_conversion(),
        several_files: nature.several_files,
        data: nature.data.into_iter().take(32).collect(),
        licence: nature.licence,
        wrong: nature.wrong.into_iter().take(32).collect(),
        unknown: nature.unknown.into_iter().take(32).collect(),
        larger: nature.larger,
        describe_micros: micros(nature.describe_time),
        has_cancel: nature.has_cancel,
        same: nature.same,
    });
    let runs = match &examination.nature {
        Some(nature) if nature.one_conversion => plan.runs.min(1),
        _ => plan.runs,
    };
    let mut first_facts = None;
    for number in 0..runs {
        let Some(task) = apart(conversion, number) else {
            return Answer::Rejected("the engine host was asked to examine no conversion".to_owned());
        };
        let stop_after = plan.stop_after.filter(|_| number == 0);
        let (mut run, facts) = once(kind, engine, &task, stop_after, memory);
        run.same_facts = *first_facts.get_or_insert_with(|| facts.clone()) == facts;
        let has_failed = run.failure.is_some();
        examination.runs.push(run);
        if has_failed {
            break;
        }
    }
    // A description that conversions change would differ from the stanza.
    examination.changes = engine.nature().is_some_and(|nature| !nature.same);
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
) -> (Run, Vec<(String, String)>) {
    let handlers = CrashHandlers::now();
    let late = engine.late_calls();
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
    let ended = Instant::now();
    let mut now = memory();
    while now.threads > 1 && ended.elapsed() < LEAVING {
        std::thread::sleep(Duration::from_millis(5));
        now = memory();
    }
    let facts = match answer {
        Answer::Converted { ref facts, .. } => facts.clone(),
        _ => Vec::new(),
    };
    let progress = observer.progress.lock().unwrap_or_else(PoisonError::into_inner);
    let mut misused = observer.misused();
    if engine.late_calls() > late {
        misused.push("a call after the function that was given the host has returned".to_owned());
    }
    let run = Run {
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
        signals: handlers.changed(),
        stop_called: observer.stop_called.load(Ordering::Relaxed),
        same_facts: true,
        misused,
        descriptors: open_descriptors(),
    };
    (run, facts)
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Counts the events of one conversion, and asks it to stop when it is time.
struct Observer {
    begun: Instant,
    stop_after: Option<Duration>,
    asked: AtomicU64,
    stop_called: AtomicBool,
    progress: Mutex<Progress>,
    misused: Mutex<BTreeSet<&'static str>>,
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
        Self {
            begun: Instant::now(),
            stop_after,
            asked: AtomicU64::new(0),
            stop_called: AtomicBool::new(false),
            progress: Mutex::default(),
            misused: Mutex::default(),
        }
    }
}

impl Observer {
    fn misused(&self) -> Vec<String> {
        let misused = self.misused.lock().unwrap_or_else(PoisonError::into_inner);
        misused.iter().map(|&what| what.to_owned()).collect()
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

    fn stops(&self) {
        self.stop_called.store(true, Ordering::Relaxed);
    }

    fn misused(&self, what: &'static str) {
        self.misused.lock().unwrap_or_else(PoisonError::into_inner).insert(what);
    }

    fn cancelled(&self) -> bool {
        self.stop_after.is_some_and(|after| self.begun.elapsed() >= after)
    }
}
