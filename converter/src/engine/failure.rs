//! Maps the outcome of an engine process to the failure that the job's owner sees.

use crate::engine::confinement;
use crate::engine::protocol::{Answer, Unavailable};
use crate::engine::sandbox::syscalls;
use crate::engine::supervisor::{Cap, Outcome, clean};
use cadmill_core::domain::failure::{Failure, FailureCode};
use cadmill_core::domain::limits::millis;
use cadmill_core::domain::limits::{Caps, MAX_WRITTEN_DEPTH, display_size};

/// The failure that an outcome stands for, if any.
pub(crate) fn failure_of(engine: &str, outcome: Outcome) -> Result<(), Failure> {
    let fail = |code, text: String| Err(Failure::new(code, text).with("engine", engine));
    match outcome {
        Outcome::Answered(
            Answer::Converted { .. }
            | Answer::Described { .. }
            | Answer::Inspected(_)
            | Answer::Examined(_)
            | Answer::Probed,
        ) => Ok(()),
        Outcome::Answered(Answer::Rejected(text)) => {
            fail(FailureCode::EngineRejected, format!("{engine} refused the input: {}", clean(&text)))
        }
        Outcome::Answered(Answer::Reaches(text)) => fail(
            FailureCode::InputExternalReference,
            format!("the input refers to data outside it: {}", clean(&text)),
        ),
        Outcome::Answered(Answer::Unfit(text)) => fail(
            FailureCode::EngineUnfit,
            format!("{engine} cannot convert this input as requested: {}", clean(&text)),
        ),
        Outcome::Answered(Answer::TextLost(text)) => {
            fail(FailureCode::EngineTextLost, format!("text would be lost: {}", clean(&text)))
        }
        Outcome::Answered(Answer::Failed(text)) => {
            fail(FailureCode::EngineMisbehaved, format!("{engine} failed: {}", clean(&text)))
        }
        Outcome::Answered(Answer::BadOption(text)) => {
            fail(FailureCode::UsageOption, format!("{engine}: {}", clean(&text)))
        }
        Outcome::Answered(Answer::Unavailable { reason, message }) => {
            let code = match reason {
                Unavailable::Missing => FailureCode::EngineLibraryMissing,
                Unavailable::Symbol => FailureCode::EngineSymbolMissing,
                Unavailable::Version => FailureCode::EngineVersion,
                Unavailable::Pin => FailureCode::EnginePin,
                Unavailable::NotBuilt => FailureCode::EngineNotBuilt,
                Unavailable::Description => FailureCode::EngineMisbehaved,
            };
            Err(Failure::new(code, clean(&message)).with("engine", engine).with("reason", reason.as_str()))
        }
        Outcome::Answered(Answer::Setup(text)) => {
            fail(FailureCode::EngineHost, format!("the engine host failed to initialize: {}", clean(&text)))
        }
        Outcome::Cancelled => Err(cancelled()),
        Outcome::Cap(cap) => {
            let failure = cap_failure(cap);
            Err(failure.with("engine", engine))
        }
        Outcome::Violation { syscall } => {
            let call = syscall.map_or_else(
                || {
                    "not known: made with SIGSYS blocked, as system() and posix_spawn() do, or of another architecture"
                        .to_owned()
                },
                syscalls::name,
            );
            let text = format!("{engine} made a forbidden system call ({call}) and was killed");
            Err(Failure::new(FailureCode::EngineViolation, text).with("engine", engine).with("syscall", call))
        }
        Outcome::OutOfMemory { observed } => {
            let shown = display_size(observed);
            let text =
                format!("the machine ran out of memory and the kernel killed {engine}, which used {shown}");
            Err(Failure::new(FailureCode::LimitMachineMemory, text)
                .with("engine", engine)
                .with("observed_bytes", observed))
        }
        Outcome::TooWeak { level, minimum } => Err(confinement::too_weak(level, minimum)),
        Outcome::Crashed { signal } => {
            let text = format!("{engine} crashed: {}", signal_text(signal));
            Err(Failure::new(FailureCode::EngineCrashed, text)
                .with("engine", engine)
                .with("signal", signal.unsigned_abs() as u64))
        }
        Outcome::NoAnswer { exit } => {
            let text = format!("{engine} exited with code {exit} without a reply");
            Err(Failure::new(FailureCode::EngineNoAnswer, text)
                .with("engine", engine)
                .with("process_exit", u64::from(exit.unsigned_abs())))
        }
        Outcome::Misbehaved(text) => {
            fail(FailureCode::EngineMisbehaved, format!("{engine} misbehaved: {}", clean(&text)))
        }
        Outcome::Unconfirmed { reason, message } => {
            let message = clean(&message);
            // A file shows nothing of what the code of its library answers.
            let text = if matches!(reason, Unavailable::Description | Unavailable::Version) {
                format!("{engine} misbehaved: {message}")
            } else {
                format!(
                    "{engine} misbehaved: it reported that its library cannot be used, but the library file does not confirm it: {message}"
                )
            };
            Err(Failure::new(FailureCode::EngineMisbehaved, text)
                .with("engine", engine)
                .with("reason", reason.as_str()))
        }
        Outcome::Protocol(text) => {
            fail(FailureCode::EngineHost, format!("the engine host broke the protocol: {text}"))
        }
        // `classify_exit` normally reports this answer as an exceeded memory cap.
        Outcome::Answered(Answer::OutOfMemory(text)) => {
            fail(FailureCode::LimitMemory, format!("{engine} ran out of memory: {}", clean(&text)))
        }
        Outcome::Answered(Answer::Cancelled) => Err(cancelled()),
    }
}

pub(crate) fn cancelled() -> Failure {
    Failure::new(FailureCode::Cancelled, "the conversion was cancelled")
}

pub(crate) fn cap_failure(cap: Cap) -> Failure {
    let bytes = |code, what: &str, limit: u64, observed: u64| {
        let text =
            format!("{what}: the cap is {}, {} were seen", display_size(limit), display_size(observed));
        Failure::new(code, text).with("limit_bytes", limit).with("observed_bytes", observed)
    };
    match cap {
        // One large request can fail far below the cap.
        Cap::Memory { limit, observed } if !Caps::memory_is_near(limit, observed) => {
            let text = format!(
                "the engine asked for more memory than the cap of {} allows, {} being in use",
                display_size(limit),
                display_size(observed)
            );
            Failure::new(FailureCode::LimitMemory, text)
                .with("limit_bytes", limit)
                .with("observed_bytes", observed)
        }
        Cap::Memory { limit, observed } => {
            bytes(FailureCode::LimitMemory, "the engine hit the memory cap", limit, observed)
        }
        Cap::Output { limit, observed } => {
            bytes(FailureCode::LimitOutput, "the engine hit the output cap", limit, observed)
        }
        Cap::Files { limit, observed } => {
            let text = if observed > limit {
                format!("the engine wrote too many files: the cap is {limit}, {observed} were seen")
            } else {
                format!(
                    "the engine wrote files that are too deeply nested ({MAX_WRITTEN_DEPTH} directories at most), or whose paths are too long or cannot be read"
                )
            };
            Failure::new(FailureCode::LimitFiles, text)
                .with("limit_files", limit)
                .with("observed_files", observed)
        }
        Cap::Threads { limit, observed } => {
            let text =
                format!("the engine started too many threads: the cap is {limit}, {observed} were seen");
            Failure::new(FailureCode::LimitThreads, text)
                .with("limit_threads", limit)
                .with("observed_threads", observed)
        }
        Cap::Messages { limit, observed } => {
            bytes(FailureCode::LimitMessages, "the engine printed too much text", limit, observed)
        }
        Cap::Time { limit, observed } => {
            let text = format!(
                "the engine hit the time cap: it is {:.1} s, {:.1} s had passed",
                limit.as_secs_f64(),
                observed.as_secs_f64()
            );
            Failure::new(FailureCode::LimitTime, text)
                .with("limit_ms", millis(limit))
                .with("observed_ms", millis(observed))
        }
    }
}

fn signal_text(signal: i32) -> String {
    let name = match signal {
        4 => "SIGILL, an illegal instruction",
        6 => "SIGABRT, it aborted",
        7 => "SIGBUS, a bad memory access",
        8 => "SIGFPE, a bad arithmetic operation",
        9 => "SIGKILL from outside, perhaps because the machine ran out of memory",
        11 => "SIGSEGV, a bad memory access",
        _ => return format!("signal {signal}"),
    };
    name.to_owned()
}
