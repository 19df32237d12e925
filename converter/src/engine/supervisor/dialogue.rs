//! The messages that an engine host may send, and when: a pure state machine.
//!
//! ```text
//!   Silent --Confined--> Confined --Loading--> Loading --Loaded--> Loaded --Began--> Began
//!                           |                     |                  |                 |
//!                           +--------- Done ------+------------------+-----------------+--> Answered
//! ```
//!
//! Before `Loading` every message is the host's own: no code of a library has run. After that, a
//! message may come from the library, which can find the descriptor of the pipe and write to it.
//! Failures that blame the operator are therefore accepted before `Loading` only: the host is not
//! ready; the library is missing, does not match its pin, has an unsupported version or was not
//! built. What the host found wrong by reading the files, without running them, is part of
//! `Loading` itself, and a linker error that confirms it is accepted.
//!
//! After `Loading`, only messages that belong to the work are accepted, each in its phase; all
//! others are misbehaviour of the engine. The library may forge `Converted`: the output is checked
//! after the process is dead, whichever code sent the message.
//!
//! Messages of signal handlers may come at any time. They have no effect unless the kernel confirms
//! them.

use super::outcome::Outcome;
use crate::engine::protocol::{Answer, Message, Task, Unavailable};

/// State of the conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// No message yet.
    Silent,
    /// The host has confined itself.
    Confined,
    /// Library code may be running.
    Loading,
    /// The library is loaded.
    Loaded,
    /// A waiting host has its work.
    Began,
    /// The host has answered.
    Answered,
}

/// The task that the host was started for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Duty {
    Probe,
    Describe,
    Await,
    Convert,
    Examine,
    Inspect,
}

/// What the supervisor has sent by the time of a message.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Told {
    /// It has sent the work to a waiting host.
    pub(super) work: bool,
    /// It has sent a request to stop.
    pub(super) stop: bool,
}

/// Why a message was rejected. A rejected message does not change the state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refused {
    /// No library code had run: the host binary is the wrong one.
    Host(String),
    /// The message may come from the library.
    Engine(String),
    /// The library cannot be used, it says, and its file does not confirm it.
    Unconfirmed {
        /// What it says.
        reason: Unavailable,
        /// In words.
        message: String,
    },
}

impl From<Refused> for Outcome {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Host(text) => Self::Protocol(text),
            Refused::Engine(text) => Self::Misbehaved(text),
            Refused::Unconfirmed { reason, message } => Self::Unconfirmed { reason, message },
        }
    }
}

/// One conversation.
#[derive(Debug)]
pub(super) struct Dialogue {
    duty: Duty,
    phase: Phase,
    /// Problems that the host found before library code ran.
    doubts: Vec<Unavailable>,
}

impl Dialogue {
    pub(super) fn new(task: &Task) -> Self {
        let duty = match task {
            Task::Probe { .. } => Duty::Probe,
            Task::Describe => Duty::Describe,
            Task::Await { .. } => Duty::Await,
            Task::Convert { .. } => Duty::Convert,
            Task::Examine { .. } => Duty::Examine,
            Task::Inspect { .. } => Duty::Inspect,
        };
        Self { duty, phase: Phase::Silent, doubts: Vec::new() }
    }

    /// Whether library code may have run.
    pub(super) fn is_tainted(&self) -> bool {
        !matches!(self.phase, Phase::Silent | Phase::Confined)
            // A probe loads no library; `Probed` is its last message.
            && self.duty != Duty::Probe
    }

    pub(super) fn duty(&self) -> Duty {
        self.duty
    }

    /// Processes a message.
    ///
    /// # Errors
    /// [`Refused`]: the caller must ignore the message and end the process.
    pub(super) fn hear(&mut self, message: &Message, told: Told) -> Result<(), Refused> {
        let next = match message {
            Message::Dying { .. } | Message::Violation { .. } | Message::Denied { .. } => return Ok(()),
            Message::Confined(_) => (self.phase == Phase::Silent).then_some(Phase::Confined),
            Message::Loading { .. } => {
                (self.phase == Phase::Confined && self.duty != Duty::Probe).then_some(Phase::Loading)
            }
            Message::Loaded { .. } => (self.phase == Phase::Loading).then_some(Phase::Loaded),
            Message::Began => {
                let waited = self.phase == Phase::Loaded && self.duty == Duty::Await;
                (waited && told.work).then_some(Phase::Began)
            }
            Message::Progress { .. } | Message::Log { .. } => self.converts().then_some(self.phase),
            Message::Done { answer, .. } => self.may_answer(answer, told).then_some(Phase::Answered),
        };
        let Some(next) = next else { return Err(self.refusal(message)) };
        if let Message::Loading { doubts } = message {
            self.doubts.clone_from(doubts);
        }
        self.phase = next;
        Ok(())
    }

    /// The rejection of bytes that are not a message.
    pub(super) fn junk(&self, what: &str) -> Refused {
        if self.is_tainted() { Refused::Engine(what.to_owned()) } else { Refused::Host(what.to_owned()) }
    }

    fn converts(&self) -> bool {
        match self.duty {
            Duty::Convert | Duty::Examine | Duty::Inspect => self.phase == Phase::Loaded,
            Duty::Await => self.phase == Phase::Began,
            Duty::Probe | Duty::Describe => false,
        }
    }

    fn may_answer(&self, answer: &Answer, told: Told) -> bool {
        let loads = self.duty != Duty::Probe;
        match (self.phase, answer) {
            (Phase::Silent | Phase::Confined, Answer::Setup(_)) => true,
            (Phase::Confined, Answer::Probed) => !loads,
            (Phase::Confined, Answer::Unavailable { .. } | Answer::OutOfMemory(_)) => loads,
            (Phase::Confined, Answer::BadOption(_)) => {
                matches!(self.duty, Duty::Convert | Duty::Examine | Duty::Inspect)
            }
            (Phase::Loading, Answer::Unavailable { reason, .. }) => self.doubts.contains(reason),
            (Phase::Loading, Answer::OutOfMemory(_)) => true,
            (Phase::Loaded, Answer::Described { .. }) => self.duty == Duty::Describe,
            (Phase::Loaded, Answer::Inspected(_)) => self.duty == Duty::Inspect,
            (Phase::Loaded, Answer::Examined(_)) => self.duty == Duty::Examine,
            (_, Answer::Converted { .. }) if matches!(self.duty, Duty::Inspect | Duty::Examine) => false,
            // The host has stopped waiting.
            (Phase::Loaded, Answer::Cancelled) if self.duty == Duty::Await => true,
            (Phase::Loaded | Phase::Began, Answer::Cancelled) => self.converts() && told.stop,
            // The caller checks whether the host answers the same without the input.
            (
                Phase::Loaded | Phase::Began,
                Answer::Converted { .. }
                | Answer::Rejected(_)
                | Answer::Reaches(_)
                | Answer::Unfit(_)
                | Answer::TextLost(_)
                | Answer::Failed(_)
                | Answer::OutOfMemory(_)
                | Answer::BadOption(_),
            ) => self.converts(),
            _ => false,
        }
    }

    fn refusal(&self, message: &Message) -> Refused {
        let said = match message {
            Message::Done { answer: Answer::Unavailable { reason, message }, .. }
                if self.phase == Phase::Loading =>
            {
                return Refused::Unconfirmed { reason: *reason, message: message.clone() };
            }
            Message::Done { answer, .. } => {
                format!("it sent the reply '{}' out of sequence", name(answer))
            }
            _ => "it sent a message out of sequence".to_owned(),
        };
        self.junk(&said)
    }
}

fn name(answer: &Answer) -> &'static str {
    match answer {
        Answer::Probed => "probed",
        Answer::Described { .. } => "described",
        Answer::Converted { .. } => "converted",
        Answer::Inspected(_) => "inspected",
        Answer::Examined(_) => "examined",
        Answer::Rejected(_) => "rejected",
        Answer::Reaches(_) => "reaches for other files",
        Answer::Unfit(_) => "does not fit",
        Answer::TextLost(_) => "text lost",
        Answer::Failed(_) => "failed",
        Answer::OutOfMemory(_) => "out of memory",
        Answer::BadOption(_) => "bad option",
        Answer::Unavailable { .. } => "unavailable",
        Answer::Setup(_) => "not ready",
        Answer::Cancelled => "cancelled",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cadmill_core::domain::failure::Fault;
    use proptest::prelude::*;

    const REASONS: [Unavailable; 6] = [
        Unavailable::Missing,
        Unavailable::Symbol,
        Unavailable::Version,
        Unavailable::Description,
        Unavailable::Pin,
        Unavailable::NotBuilt,
    ];

    fn answer() -> impl Strategy<Value = Answer> {
        prop_oneof![
            Just(Answer::Probed),
            Just(Answer::Described { inputs: vec![], outputs: vec![], options: vec![] }),
            Just(Answer::Converted { warnings: 0, counts: None, facts: vec![] }),
            Just(Answer::Inspected(Box::default())),
            Just(Answer::Examined(Box::default())),
            Just(Answer::Rejected("no".to_owned())),
            Just(Answer::Reaches("beside".to_owned())),
            Just(Answer::Unfit("so".to_owned())),
            Just(Answer::TextLost("that".to_owned())),
            Just(Answer::OutOfMemory("much".to_owned())),
            Just(Answer::BadOption("that".to_owned())),
            prop::sample::select(&REASONS[..])
                .prop_map(|reason| Answer::Unavailable { reason, message: "gone".to_owned() }),
            Just(Answer::Setup("limits".to_owned())),
            Just(Answer::Cancelled),
        ]
    }

    fn message() -> impl Strategy<Value = Message> {
        prop_oneof![
            Just(Message::Confined(Box::default())),
            prop::collection::vec(prop::sample::select(&REASONS[..]), 0..2)
                .prop_map(|doubts| Message::Loading { doubts }),
            Just(Message::Loaded { library: "x".into(), version: "1".into(), path: "/x".into() }),
            Just(Message::Began),
            Just(Message::Progress { fraction: 0.5 }),
            Just(Message::Log { loss: true, line: "line".to_owned() }),
            Just(Message::Dying { signal: 11, errno: 0, data_bytes: 0 }),
            Just(Message::Violation { syscall: 41 }),
            Just(Message::Denied { syscall: 257, writes: true, path: "2f78".to_owned() }),
            answer().prop_map(|answer| Message::Done { answer, peak_memory_bytes: 0 }),
        ]
    }

    fn duty() -> impl Strategy<Value = Duty> {
        prop::sample::select(vec![
            Duty::Probe,
            Duty::Describe,
            Duty::Await,
            Duty::Convert,
            Duty::Examine,
            Duty::Inspect,
        ])
    }

    fn told() -> impl Strategy<Value = Told> {
        (any::<bool>(), any::<bool>()).prop_map(|(work, stop)| Told { work, stop })
    }

    fn dialogue(duty: Duty) -> Dialogue {
        Dialogue { duty, phase: Phase::Silent, doubts: vec![] }
    }

    fn done(answer: Answer) -> Message {
        Message::Done { answer, peak_memory_bytes: 0 }
    }

    /// The party at fault for a failed answer, as reported to the owner of the job.
    fn fault(answer: &Answer) -> Option<Fault> {
        let outcome = Outcome::Answered(answer.clone());
        crate::engine::failure::failure_of("x", outcome).err().map(|failure| failure.code.fault())
    }

    proptest! {
        /// Whatever was sent before: once library code may have run, no accepted answer blames the
        /// system unless the host had reported the problem in `Loading`, and none blames the
        /// options except during a conversion.
        #[test]
        fn a_library_blames_no_operator(duty in duty(), said in prop::collection::vec((message(), told()), 0..12)) {
            let mut dialogue = dialogue(duty);
            for (message, told) in said {
                let (tainted, converts) = (dialogue.is_tainted(), dialogue.converts());
                let doubts = dialogue.doubts.clone();
                let heard = dialogue.hear(&message, told);
                let Message::Done { answer, .. } = message else { continue };
                if !tainted || heard.is_err() {
                    continue;
                }
                let foretold = matches!(&answer, Answer::Unavailable { reason, .. } if doubts.contains(reason));
                let judged = fault(&answer);
                prop_assert!(judged != Some(Fault::System) || foretold, "{answer:?}");
                prop_assert!(judged != Some(Fault::Usage) || converts, "{answer:?}");
                prop_assert!(judged != Some(Fault::Nobody) || told.stop || duty == Duty::Await, "{answer:?}");
            }
        }

        /// Once library code may have run, a rejected message is attributed to the engine, and does
        /// not change the state.
        #[test]
        fn refusals_blame_who_may_have_spoken(duty in duty(), said in prop::collection::vec((message(), told()), 0..12)) {
            let mut dialogue = dialogue(duty);
            for (message, told) in said {
                let (tainted, phase) = (dialogue.is_tainted(), dialogue.phase);
                match dialogue.hear(&message, told) {
                    Err(Refused::Engine(_) | Refused::Unconfirmed { .. }) => prop_assert!(tainted && dialogue.phase == phase),
                    Err(Refused::Host(_)) => prop_assert!(!tainted && dialogue.phase == phase),
                    Ok(()) => {}
                }
            }
        }

        /// There is one answer, and only messages of signal handlers are accepted after it.
        #[test]
        fn the_answer_is_the_last_word(duty in duty(), said in prop::collection::vec((message(), told()), 0..20)) {
            let mut dialogue = dialogue(duty);
            let mut answered = false;
            for (message, told) in said {
                let note = matches!(
                    message,
                    Message::Dying { .. } | Message::Violation { .. } | Message::Denied { .. }
                );
                let accepted = dialogue.hear(&message, told).is_ok();
                prop_assert!(!answered || note || !accepted, "{message:?}");
                answered |= accepted && matches!(message, Message::Done { .. });
            }
        }
    }

    /// Processes all messages, and returns the first rejection with its index.
    fn heard(duty: Duty, told: Told, said: &[Message]) -> Result<(), (usize, Refused)> {
        let mut dialogue = dialogue(duty);
        for (place, message) in said.iter().enumerate() {
            dialogue.hear(message, told).map_err(|refused| (place, refused))?;
        }
        Ok(())
    }

    #[test]
    fn what_hosts_say_is_accepted() {
        let confined = Message::Confined(Box::default());
        let loading = Message::Loading { doubts: vec![Unavailable::Missing] };
        let loaded = Message::Loaded { library: "x".into(), version: "1".into(), path: "/x".into() };
        let progress = Message::Progress { fraction: 1.0 };
        let missing = done(Answer::Unavailable { reason: Unavailable::Missing, message: String::new() });
        let pin = done(Answer::Unavailable { reason: Unavailable::Pin, message: String::new() });
        let good: &[(Duty, Vec<Message>)] = &[
            (Duty::Convert, vec![done(Answer::Setup("limits".into()))]),
            (Duty::Convert, vec![confined.clone(), done(Answer::Setup("weak".into()))]),
            (Duty::Convert, vec![confined.clone(), pin.clone()]),
            (Duty::Await, vec![confined.clone(), pin.clone()]),
            (Duty::Describe, vec![confined.clone(), loading.clone(), missing.clone()]),
            (Duty::Convert, vec![confined.clone(), done(Answer::BadOption("no".into()))]),
            (Duty::Probe, vec![confined.clone(), done(Answer::Probed)]),
            (
                Duty::Describe,
                vec![
                    confined.clone(),
                    loading.clone(),
                    loaded.clone(),
                    done(Answer::Described { inputs: vec![], outputs: vec![], options: vec![] }),
                ],
            ),
            (
                Duty::Convert,
                vec![
                    confined.clone(),
                    loading.clone(),
                    loaded.clone(),
                    progress.clone(),
                    done(Answer::Converted { warnings: 0, counts: None, facts: vec![] }),
                ],
            ),
            (
                Duty::Await,
                vec![
                    confined.clone(),
                    loading.clone(),
                    loaded.clone(),
                    Message::Began,
                    progress,
                    done(Answer::Rejected("no".into())),
                ],
            ),
            (Duty::Await, vec![confined, loading, loaded, done(Answer::Cancelled)]),
        ];
        for (duty, said) in good {
            assert_eq!(heard(*duty, Told { work: true, stop: false }, said), Ok(()), "{duty:?}: {said:?}");
        }
    }

    #[test]
    fn what_a_constructor_or_a_waiting_library_forges_is_misbehaviour() {
        let start = [Message::Confined(Box::default()), Message::Loading { doubts: vec![] }];
        let loaded = Message::Loaded { library: "x".into(), version: "1".into(), path: "/x".into() };
        let unavailable = REASONS.map(|reason| Answer::Unavailable { reason, message: "forged".into() });
        let others = [Answer::Setup("forged".into()), Answer::Probed, Answer::BadOption("forged".into())];
        let described = Answer::Described { inputs: vec![], outputs: vec![], options: vec![] };
        for answer in unavailable.into_iter().chain(others).chain([described]) {
            let forged = done(answer);
            for duty in [Duty::Convert, Duty::Await] {
                let early = [&start[..], std::slice::from_ref(&forged)].concat();
                let refused = heard(duty, Told::default(), &early);
                assert!(
                    matches!(refused, Err((2, Refused::Engine(_) | Refused::Unconfirmed { .. }))),
                    "{forged:?}"
                );
            }
            let waiting = [&start[..], &[loaded.clone(), forged.clone()]].concat();
            assert!(matches!(heard(Duty::Await, Told::default(), &waiting), Err((3, Refused::Engine(_)))));
        }
        // The host cannot accept a job that it was not given, nor confine itself twice.
        let began = [&start[..], &[loaded, Message::Began]].concat();
        assert!(matches!(heard(Duty::Await, Told::default(), &began), Err((3, Refused::Engine(_)))));
        let again = [&start[..], &[Message::Confined(Box::default())]].concat();
        assert!(matches!(heard(Duty::Convert, Told::default(), &again), Err((2, Refused::Engine(_)))));
    }

    #[test]
    fn junk_of_a_host_that_loaded_nothing_is_the_hosts() {
        let mut dialogue = dialogue(Duty::Convert);
        assert!(matches!(dialogue.junk("x"), Refused::Host(_)));
        dialogue.hear(&Message::Confined(Box::default()), Told::default()).unwrap();
        dialogue.hear(&Message::Loading { doubts: vec![] }, Told::default()).unwrap();
        assert!(matches!(dialogue.junk("x"), Refused::Engine(_)));
    }
}
