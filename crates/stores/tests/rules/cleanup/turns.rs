//! Programs that take turns: one call of one program at a time, in an order that a seed decides.
//!
//! Nothing else runs, so the same seed makes the same calls in the same order. A program is a future
//! that is polled here and by no runtime: each call of its ports waits until it is its turn, is then
//! made in memory, and the program goes on to its next call.

use async_trait::async_trait;
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

/// The call that each program waits to make.
#[derive(Default)]
struct Waiting {
    operation: Option<&'static str>,
    may_go: bool,
    waker: Option<Waker>,
}

#[derive(Default)]
struct Turns(Mutex<Vec<Waiting>>);

#[async_trait]
impl Gate for Turns {
    async fn enter(&self, program: usize, operation: &'static str) {
        std::future::poll_fn(|context| {
            let one = &mut self.0.lock().unwrap()[program];
            if std::mem::take(&mut one.may_go) {
                one.operation = None;
                return Poll::Ready(());
            }
            assert!(
                one.operation.is_none_or(|other| other == operation),
                "a program makes one call at a time"
            );
            one.operation = Some(operation);
            one.waker = Some(context.waker().clone());
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
        self.turns.0.lock().unwrap().push(Waiting::default());
        let life = start(self.script(self.programs.len()));
        self.programs.push(Program { start: Box::new(start), life });
        self.poll(self.programs.len() - 1);
    }

    fn script(&self, program: usize) -> Script {
        Script::new().behind(Arc::clone(&self.turns) as Arc<dyn Gate>, program)
    }

    /// The call that the program waits to make.
    pub(super) fn next(&self, program: usize) -> &'static str {
        self.turns.0.lock().unwrap()[program].operation.expect("it waits for its turn")
    }

    pub(super) fn count(&self) -> usize {
        self.programs.len()
    }

    /// Lets the program make its call, and go on to the next.
    pub(super) fn turn(&mut self, program: usize) {
        {
            let one = &mut self.turns.0.lock().unwrap()[program];
            one.may_go = true;
            if let Some(waker) = one.waker.take() {
                waker.wake();
            }
        }
        self.poll(program);
    }

    /// Kills the program before its next call, and starts it anew.
    pub(super) fn kill(&mut self, program: usize) {
        self.turns.0.lock().unwrap()[program] = Waiting::default();
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
