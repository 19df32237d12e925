//! Programs that take turns: one call of one program at a time, in an order that a seed decides.
//!
//! Nothing else runs, so the same seed makes the same calls in the same order. A program is a future
//! that is polled here and by no runtime: each call of its ports waits until it is its turn, is then
//! made in memory, and the program goes on to its next call. A program may wait with several calls, of
//! jobs that it serves at once.

use async_trait::async_trait;
use cadmill_core::domain::job::Millis;
use cadmill_stores::adapters::faulty::{Gate, Script};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

/// Pseudo-random numbers (SplitMix64). Clones go on from the same place.
#[derive(Clone)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below this one.
    pub(super) fn below(&mut self, count: usize) -> usize {
        usize::try_from(self.next() % count as u64).unwrap()
    }

    /// True once in so many times.
    pub(super) fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }
}

/// A call that a program waits to make. A program that serves several jobs at once waits to make several.
struct Waiting {
    ticket: u64,
    operation: &'static str,
    /// Since when what it relies on has been read; not known of the first calls of a program.
    since: Option<Millis>,
    may_go: bool,
    waker: Waker,
}

/// The calls of each program, and the number of the last.
#[derive(Default)]
struct Turns(Mutex<(Vec<Vec<Waiting>>, u64)>);

impl Turns {
    fn with<T>(&self, program: usize, work: impl FnOnce(&mut Vec<Waiting>) -> T) -> T {
        work(&mut self.0.lock().unwrap().0[program])
    }
}

#[async_trait]
impl Gate for Turns {
    async fn enter(&self, program: usize, operation: &'static str) {
        let mut own = None;
        std::future::poll_fn(|context| {
            let (programs, last) = &mut *self.0.lock().unwrap();
            let waiting = &mut programs[program];
            let waker = context.waker().clone();
            let Some(ticket) = own else {
                *last += 1;
                own = Some(*last);
                waiting.push(Waiting { ticket: *last, operation, since: None, may_go: false, waker });
                return Poll::Pending;
            };
            let place = waiting.iter().position(|one| one.ticket == ticket).expect("it waits");
            if waiting[place].may_go {
                waiting.remove(place);
                return Poll::Ready(());
            }
            waiting[place].waker = waker;
            Poll::Pending
        })
        .await;
    }

    fn leave(&self, _program: usize) {}
}

type Life = Pin<Box<dyn Future<Output = ()>>>;

/// A program: how it is started, and its life since.
struct Program {
    start: Box<dyn Fn(Script) -> Life>,
    life: Life,
}

/// The programs.
#[derive(Default)]
pub(super) struct Programs {
    turns: Arc<Turns>,
    programs: Vec<Program>,
}

impl Programs {
    /// Starts a program, which makes its calls by the script that it gets.
    pub(super) fn add(&mut self, start: impl Fn(Script) -> Life + 'static) {
        self.turns.0.lock().unwrap().0.push(Vec::new());
        let life = start(self.script(self.programs.len()));
        self.programs.push(Program { start: Box::new(start), life });
        self.poll(self.programs.len() - 1);
    }

    fn script(&self, program: usize) -> Script {
        Script::new().behind(Arc::clone(&self.turns) as Arc<dyn Gate>, program)
    }

    /// The calls that the program waits to make, each with the time since which what it relies on has been
    /// read.
    pub(super) fn waiting(&self, program: usize) -> Vec<(&'static str, Option<Millis>)> {
        self.turns.with(program, |calls| calls.iter().map(|call| (call.operation, call.since)).collect())
    }

    pub(super) fn count(&self) -> usize {
        self.programs.len()
    }

    /// Lets the program make one of these calls, and go on from that to the next, which relies on what was
    /// read by it, if `since` is given, or before.
    pub(super) fn turn(&mut self, program: usize, call: usize, since: Option<Millis>) {
        let before = self.turns.with(program, |calls| {
            calls[call].may_go = true;
            calls[call].waker.wake_by_ref();
            calls[call].since
        });
        self.poll(program);
        self.turns.with(program, |calls| {
            for call in calls {
                call.since = call.since.or(since).or(before);
            }
        });
    }

    /// Kills the program before its next call, and starts it anew.
    pub(super) fn kill(&mut self, program: usize) {
        self.turns.with(program, Vec::clear);
        let script = self.script(program);
        let one = &mut self.programs[program];
        one.life = (one.start)(script);
        self.poll(program);
    }

    fn poll(&mut self, program: usize) {
        let mut context = Context::from_waker(Waker::noop());
        let life = self.programs[program].life.as_mut();
        assert!(life.poll(&mut context).is_pending(), "a program goes on for ever");
    }
}
