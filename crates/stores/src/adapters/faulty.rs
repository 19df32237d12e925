//! Wrappers of the ports that inject faults by a script: the n-th call of an operation fails,
//! loses its reply, is delayed, is made twice, or reads short.
//!
//! A wrapper calls a real adapter, so that a test sees the state that a failure leaves.
//! Operations have the names of the ports' methods.

mod audit;
mod jobs;
mod objects;
mod queue;

pub use audit::FaultyAudit;
pub use jobs::FaultyJobs;
pub use objects::FaultyObjects;
pub use queue::FaultyQueue;

use cadmill_core::ports::{PortError, PortResult};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The fault of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The call fails without any effect: [`PortError::Unavailable`].
    Fail,
    /// The call takes effect and the reply is lost: [`PortError::Unknown`].
    DropReply,
    /// The call fails without any effect, because of another request: [`PortError::Conflict`].
    Conflict,
    /// The call takes effect, and [`PortError::Conflict`] is returned: the other request was the same
    /// call, made again.
    LateConflict,
    /// The call is delayed by this time.
    Delay(Duration),
    /// The call is made twice, and the second result is returned, as when a client retries after
    /// a lost reply.
    Twice,
    /// A read of an object returns at most this many bytes. No effect on other calls.
    Truncate(usize),
    /// The call takes effect, and the process dies: the call never returns, and [`Script::died`] does.
    /// No effect on calls that block.
    Die,
}

/// Decides when each call of a script is made, so that a test chooses the order of the calls of several
/// programs.
#[async_trait::async_trait]
pub trait Gate: Send + Sync {
    /// Returns when the call may be made. `program` is that of the script.
    async fn enter(&self, program: usize, operation: &'static str);

    /// The call has been made.
    fn leave(&self, program: usize);
}

/// Which calls get a fault. Clones share their counts.
#[derive(Clone, Default)]
pub struct Script {
    state: Arc<Mutex<State>>,
    died: Arc<tokio::sync::Notify>,
    gate: Option<(Arc<dyn Gate>, usize)>,
}

#[derive(Default)]
struct State {
    faults: HashMap<(&'static str, u32), Fault>,
    calls: HashMap<&'static str, u32>,
    /// The fault of the call with this number, counted from 1 over all operations.
    any: Option<(usize, Fault)>,
    made: Vec<&'static str>,
}

impl Script {
    /// A script without faults.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same script, with this fault at the `call`-th call of the operation, counted from 1.
    #[must_use]
    pub fn on(self, operation: &'static str, call: u32, fault: Fault) -> Self {
        self.with(|state| state.faults.insert((operation, call), fault));
        self
    }

    /// The same script, with this fault at the `call`-th of all calls, counted from 1.
    #[must_use]
    pub fn at(self, call: usize, fault: Fault) -> Self {
        self.with(|state| state.any = Some((call, fault)));
        self
    }

    /// The same script; its calls are made when the gate lets them, as those of this program.
    #[must_use]
    pub fn behind(self, gate: Arc<dyn Gate>, program: usize) -> Self {
        Self { gate: Some((gate, program)), ..self }
    }

    /// The operations that were called, in order.
    pub fn made(&self) -> Vec<&'static str> {
        self.with(|state| state.made.clone())
    }

    /// Returns when a call has died.
    pub async fn died(&self) {
        self.died.notified().await;
    }

    /// How often the operation was called.
    pub fn calls(&self, operation: &'static str) -> u32 {
        self.with(|state| state.calls.get(operation).copied().unwrap_or(0))
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Counts a call and returns its fault.
    fn next(&self, operation: &'static str) -> Option<Fault> {
        self.with(|state| {
            let calls = state.calls.entry(operation).or_default();
            *calls += 1;
            let fault = state.faults.get(&(operation, *calls)).copied();
            state.made.push(operation);
            fault.or(state.any.filter(|(call, _)| *call == state.made.len()).map(|(_, fault)| fault))
        })
    }

    /// The fault of the next call.
    fn peek(&self, operation: &'static str) -> Option<Fault> {
        self.with(|state| {
            let next = state.calls.get(operation).map_or(1, |calls| calls + 1);
            state.faults.get(&(operation, next)).copied()
        })
    }

    /// Makes a blocking call, or applies its fault.
    fn act<T>(&self, operation: &'static str, mut call: impl FnMut() -> PortResult<T>) -> PortResult<T> {
        let reason = || "by the script".to_owned();
        match self.next(operation) {
            None | Some(Fault::Truncate(_) | Fault::Die) => call(),
            Some(Fault::Fail) => Err(PortError::Unavailable { operation, reason: reason() }),
            Some(Fault::DropReply) => {
                let _ = call();
                Err(PortError::Unknown { operation, reason: reason() })
            }
            Some(Fault::Conflict) => Err(PortError::Conflict(operation)),
            Some(Fault::LateConflict) => {
                let _ = call();
                Err(PortError::Conflict(operation))
            }
            Some(Fault::Delay(time)) => {
                std::thread::sleep(time);
                call()
            }
            Some(Fault::Twice) => {
                let _ = call();
                call()
            }
        }
    }

    /// Makes the call, or applies its fault. A store that a test has in memory uses it for each request
    /// that a real one would make.
    ///
    /// # Errors
    /// Those of the call, and those of the fault.
    pub async fn play<T, F: Future<Output = PortResult<T>>>(
        &self,
        operation: &'static str,
        call: impl Fn() -> F,
    ) -> PortResult<T> {
        let Some((gate, program)) = &self.gate else {
            return self.apply(operation, self.next(operation), call).await;
        };
        gate.enter(*program, operation).await;
        let result = self.apply(operation, self.next(operation), call).await;
        gate.leave(*program);
        result
    }

    async fn apply<T, F: Future<Output = PortResult<T>>>(
        &self,
        operation: &'static str,
        fault: Option<Fault>,
        call: impl Fn() -> F,
    ) -> PortResult<T> {
        let reason = || "by the script".to_owned();
        match fault {
            None | Some(Fault::Truncate(_)) => call().await,
            Some(Fault::Fail) => Err(PortError::Unavailable { operation, reason: reason() }),
            Some(Fault::DropReply) => {
                let _ = call().await;
                Err(PortError::Unknown { operation, reason: reason() })
            }
            Some(Fault::Conflict) => Err(PortError::Conflict(operation)),
            Some(Fault::LateConflict) => {
                let _ = call().await;
                Err(PortError::Conflict(operation))
            }
            Some(Fault::Delay(time)) => {
                tokio::time::sleep(time).await;
                call().await
            }
            Some(Fault::Twice) => {
                let _ = call().await;
                call().await
            }
            Some(Fault::Die) => {
                let _ = call().await;
                self.died.notify_one();
                std::future::pending().await
            }
        }
    }
}

#[cfg(test)]
mod tests;
