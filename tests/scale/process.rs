//! A program on its machine: it calls services, waits for their answers, and may be killed at any
//! moment.
//!
//! A killed program is one whose calls never return. Whether a call that is under way takes effect is
//! left to chance, as is whether a call fails.

use crate::bill::{Action, Program};
use crate::limits::{Call, SDK_PAUSE, SDK_TRIES};
use crate::table::Throttled;
use crate::world::World;
use cadmill_core::domain::job::Millis;
use cadmill_core::ports::clock::Clock;
use cadmill_core::ports::{PortError, PortResult};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A running program.
pub(crate) struct Process {
    pub(crate) world: Arc<World>,
    pub(crate) program: Program,
    /// How far its clock is ahead of the store's, in milliseconds; negative if it is behind.
    skew: i64,
    dead: AtomicBool,
}

/// What happens to a call.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It takes effect, and then the answer travels.
    Early,
    /// The request travels, and then it takes effect.
    Late,
    /// It fails without an effect.
    Fails,
    /// It takes effect, and the answer is lost.
    Lost,
}

impl Process {
    /// Starts a program.
    pub(crate) fn new(world: &Arc<World>, program: Program) -> Arc<Self> {
        let skew = world.random().between(0, 1000) as i64 - 500;
        Arc::new(Self { world: Arc::clone(world), program, skew, dead: AtomicBool::new(false) })
    }

    /// Kills it.
    pub(crate) fn kill(&self) {
        self.dead.store(true, Ordering::Relaxed);
    }

    /// Whether it was killed.
    pub(crate) fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Relaxed)
    }

    /// Returns at once if the program is alive, and never if it is not.
    pub(crate) async fn alive(&self) {
        if self.is_dead() {
            std::future::pending::<()>().await;
        }
    }

    /// Lets time pass, for as long as the program lives.
    pub(crate) async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time).await;
        self.alive().await;
    }

    /// Calls a service. `act` is what the service does.
    pub(crate) async fn call<T: Send>(
        &self,
        operation: &'static str,
        (call, action): (Call, Action),
        act: impl FnOnce(&World) -> PortResult<T> + Send,
    ) -> PortResult<T> {
        self.alive().await;
        self.world.bill.add(self.program, action, 1);
        let (fate, time) = self.fate(call);
        if fate == Fate::Early {
            let result = act(&self.world);
            self.sleep(time).await;
            return result;
        }
        self.sleep(time).await;
        match fate {
            Fate::Fails => {
                Err(PortError::Unavailable { operation, reason: "the service does not answer".to_owned() })
            }
            Fate::Lost => match act(&self.world) {
                Ok(_) => Err(PortError::Unknown { operation, reason: "the reply is lost".to_owned() }),
                failed => failed,
            },
            Fate::Early | Fate::Late => act(&self.world),
        }
    }

    /// Calls a service that may throttle the call; then it is repeated as the SDK repeats it.
    pub(crate) async fn write<T: Send>(
        &self,
        operation: &'static str,
        action: Action,
        act: impl Fn(&World) -> Result<T, Throttled> + Send + Sync,
    ) -> PortResult<T> {
        for tried in 1.. {
            let written = self.call(operation, (Call::Write, action), |world| Ok(act(world))).await?;
            let Err(throttled) = written else { return written.map_err(|_| unreachable!()) };
            self.world.witness().throttled(throttled, self.world.elapsed());
            if tried >= SDK_TRIES {
                break;
            }
            let most = SDK_PAUSE << (tried - 1);
            let pause = self.world.random().between(0, most);
            self.sleep(Duration::from_millis(pause)).await;
        }
        self.world.witness().refused_by_throttling();
        Err(PortError::Unavailable { operation, reason: "ThrottlingException".to_owned() })
    }

    fn fate(&self, call: Call) -> (Fate, Duration) {
        let mut random = self.world.random();
        let usual = call.millis();
        let mut millis = random.between(usual * 7 / 10, usual * 15 / 10 + 1);
        if random.chance(0.001) {
            millis *= 10;
        }
        let faults = self.world.services.faults;
        let fate = match random.fraction() {
            chance if chance < faults / 2.0 => Fate::Fails,
            chance if chance < faults => Fate::Lost,
            chance if chance < 0.5 => Fate::Early,
            _ => Fate::Late,
        };
        (fate, Duration::from_millis(millis))
    }
}

/// The clock of a program.
pub(crate) struct ProcessClock(pub(crate) Arc<Process>);

impl Clock for ProcessClock {
    fn now(&self) -> Millis {
        self.0.world.now().saturating_add_signed(self.0.skew)
    }
}
