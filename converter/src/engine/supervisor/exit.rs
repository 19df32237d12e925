//! How a dead process ended: a pure function of what was observed.

use super::observation::Seen;
use super::outcome::{Cap, Outcome};
use crate::engine::protocol::Answer;
use crate::linux::reap::Reaped;
use cadmill_core::domain::limits::Caps;

/// Linux signal and error numbers, the same on every architecture that cadmill is built for.
const SIGXFSZ: i32 = 25;
const SIGSYS: i32 = 31;
const SIGKILL: i32 = 9;
const ENOMEM: i32 = 12;

/// Ordered by certainty: what the supervisor did, what the kernel reports, what the process
/// reported.
pub(super) fn classify_exit(seen: &Seen, remains: &Reaped, caps: &Caps) -> Outcome {
    if let Some(outcome) = &seen.killed {
        return outcome.clone();
    }
    if let Some(signal) = remains.signal {
        // An answer before the crash does not count: the process continued after it and may have
        // changed its output.
        if signal == SIGXFSZ {
            return Outcome::Cap(Cap::Output { limit: caps.output_bytes, observed: caps.output_bytes });
        }
        if signal == SIGSYS {
            tracing::error!(
                syscall = seen.violation.map(crate::engine::sandbox::syscalls::name),
                "an engine made a forbidden system call and was killed"
            );
            return Outcome::Violation { syscall: seen.violation };
        }
        if signal == SIGKILL && seen.out_of_memory {
            return Outcome::OutOfMemory { observed: seen.peak_resident };
        }
        if let Some(cap) = beyond(seen, caps) {
            return Outcome::Cap(cap);
        }
        return match starved(seen, caps) {
            Some(observed) => Outcome::Cap(Cap::Memory { limit: caps.memory_bytes, observed }),
            None => Outcome::Crashed { signal },
        };
    }
    let exit = remains.exit.unwrap_or(-1);
    // Whatever the answer is: the cap was exceeded between two looks.
    if let Some(cap) = beyond(seen, caps).filter(|_| seen.answer.is_some()) {
        return Outcome::Cap(cap);
    }
    match &seen.answer {
        None => Outcome::NoAnswer { exit },
        Some(Answer::Cancelled) if seen.cancelled_at.is_some() => Outcome::Cancelled,
        // A waiting host stops by itself when no work is to come.
        Some(Answer::Cancelled) => Outcome::Misbehaved("it stopped without a request".to_owned()),
        Some(Answer::OutOfMemory(_)) => {
            let observed = starved(seen, caps).unwrap_or(seen.peak_resident.max(seen.peak_data));
            Outcome::Cap(Cap::Memory { limit: caps.memory_bytes, observed })
        }
        Some(answer) => Outcome::Answered(answer.clone()),
    }
}

/// The cap on memory, if the process is known to have exceeded it at any time: by the last look, by
/// the kernel's figure after its end, or by its own report.
fn beyond(seen: &Seen, caps: &Caps) -> Option<Cap> {
    let (limit, observed) = (caps.memory_bytes, seen.peak_resident);
    (observed > limit).then_some(Cap::Memory { limit, observed })
}

/// Whether a crash follows from a failed allocation; if so, the private data observed at that time,
/// in bytes.
fn starved(seen: &Seen, caps: &Caps) -> Option<u64> {
    let data = seen.dying.map_or(seen.peak_data, |d| d.data_bytes.max(seen.peak_data));
    let near = Caps::memory_is_near(caps.memory_bytes, data);
    // One large request can fail far below the cap; `errno` shows it.
    let refused = seen.dying.is_some_and(|d| d.errno == ENOMEM && d.signal != 0);
    (near || refused).then_some(data)
}

#[cfg(test)]
mod tests {
    use super::super::observation::Dying;
    use super::*;
    use std::time::{Duration, Instant};

    const MIB: u64 = 1 << 20;

    fn caps() -> Caps {
        Caps { memory_bytes: 256 * MIB, ..Caps::default() }
    }

    fn remains(exit: Option<i32>, signal: Option<i32>) -> Reaped {
        Reaped { exit, signal, peak_resident_bytes: 0, processor_time: Duration::ZERO }
    }

    #[test]
    fn an_answer_counts_when_the_process_exited() {
        let answer = Answer::Converted { warnings: 0, counts: None, facts: vec![] };
        let seen = Seen { answer: Some(answer.clone()), ..Seen::default() };
        assert_eq!(classify_exit(&seen, &remains(Some(0), None), &caps()), Outcome::Answered(answer));
        assert_eq!(classify_exit(&seen, &remains(None, Some(11)), &caps()), Outcome::Crashed { signal: 11 });
    }

    #[test]
    fn silence_is_told_apart_from_a_crash() {
        assert_eq!(
            classify_exit(&Seen::default(), &remains(Some(0), None), &caps()),
            Outcome::NoAnswer { exit: 0 }
        );
        assert_eq!(
            classify_exit(&Seen::default(), &remains(None, Some(6)), &caps()),
            Outcome::Crashed { signal: 6 }
        );
    }

    #[test]
    fn a_crash_for_want_of_memory_is_the_memory_cap() {
        let dying = |errno, data_bytes| Seen {
            dying: Some(Dying { signal: 11, errno, data_bytes }),
            ..Seen::default()
        };
        let memory = |observed| Outcome::Cap(Cap::Memory { limit: 256 * MIB, observed });
        let crashed = remains(None, Some(11));
        assert_eq!(classify_exit(&dying(0, 250 * MIB), &crashed, &caps()), memory(250 * MIB));
        assert_eq!(classify_exit(&dying(ENOMEM, 20 * MIB), &crashed, &caps()), memory(20 * MIB));
        assert_eq!(classify_exit(&dying(2, 20 * MIB), &crashed, &caps()), Outcome::Crashed { signal: 11 });
        let sampled = Seen { peak_data: 255 * MIB, ..Seen::default() };
        assert_eq!(classify_exit(&sampled, &crashed, &caps()), memory(255 * MIB));
    }

    #[test]
    fn nothing_that_held_more_than_the_cap_has_converted() {
        let seen = |peak_resident| Seen {
            answer: Some(Answer::Converted { warnings: 0, counts: None, facts: vec![] }),
            peak_resident,
            ..Seen::default()
        };
        let (exited, crashed) = (remains(Some(0), None), remains(None, Some(11)));
        let beyond = Outcome::Cap(Cap::Memory { limit: 256 * MIB, observed: 256 * MIB + 1 });
        assert!(matches!(classify_exit(&seen(256 * MIB), &exited, &caps()), Outcome::Answered(_)));
        assert_eq!(classify_exit(&seen(256 * MIB + 1), &exited, &caps()), beyond);
        assert_eq!(classify_exit(&seen(256 * MIB), &crashed, &caps()), Outcome::Crashed { signal: 11 });
        assert_eq!(classify_exit(&seen(256 * MIB + 1), &crashed, &caps()), beyond);
        // A forbidden system call takes precedence.
        let violation = remains(None, Some(SIGSYS));
        assert_eq!(
            classify_exit(&seen(512 * MIB), &violation, &caps()),
            Outcome::Violation { syscall: None }
        );
    }

    #[test]
    fn what_we_did_ourselves_comes_first() {
        let cap = Outcome::Cap(Cap::Time { limit: Duration::from_secs(1), observed: Duration::from_secs(2) });
        let seen = Seen {
            killed: Some(cap.clone()),
            answer: Some(Answer::Converted { warnings: 0, counts: None, facts: vec![] }),
            ..Seen::default()
        };
        assert_eq!(classify_exit(&seen, &remains(None, Some(9)), &caps()), cap);
    }

    #[test]
    fn a_file_beyond_its_limit_is_the_output_cap() {
        let outcome = classify_exit(&Seen::default(), &remains(None, Some(SIGXFSZ)), &caps());
        assert!(matches!(outcome, Outcome::Cap(Cap::Output { .. })));
    }

    #[test]
    fn a_forbidden_call_is_told_apart_from_a_crash() {
        let seen = Seen { violation: Some(41), answer: Some(Answer::Probed), ..Seen::default() };
        let killed = remains(None, Some(SIGSYS));
        assert_eq!(classify_exit(&seen, &killed, &caps()), Outcome::Violation { syscall: Some(41) });
        assert_eq!(classify_exit(&Seen::default(), &killed, &caps()), Outcome::Violation { syscall: None });
        // The report alone has no effect: a library can write it.
        assert_eq!(classify_exit(&seen, &remains(Some(0), None), &caps()), Outcome::Answered(Answer::Probed));
    }

    #[test]
    fn the_kernels_want_of_memory_is_told_apart_from_a_crash() {
        let seen = Seen { out_of_memory: true, peak_resident: MIB, ..Seen::default() };
        let killed = remains(None, Some(SIGKILL));
        assert_eq!(classify_exit(&seen, &killed, &caps()), Outcome::OutOfMemory { observed: MIB });
        assert_eq!(classify_exit(&Seen::default(), &killed, &caps()), Outcome::Crashed { signal: SIGKILL });
        assert_eq!(classify_exit(&seen, &remains(None, Some(11)), &caps()), Outcome::Crashed { signal: 11 });
    }

    #[test]
    fn only_the_cancelled_are_cancelled() {
        let seen = Seen { answer: Some(Answer::Cancelled), ..Seen::default() };
        assert!(matches!(classify_exit(&seen, &remains(Some(0), None), &caps()), Outcome::Misbehaved(_)));
        let seen = Seen { cancelled_at: Some(Instant::now()), ..seen };
        assert_eq!(classify_exit(&seen, &remains(Some(0), None), &caps()), Outcome::Cancelled);
    }
}
