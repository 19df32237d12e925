//! What the routes share: the settings, the ports, and what the server remembers.

use crate::polling::pacing::Throughput;
use crate::polling::tracker::Pollers;
use crate::rate_limits::RateLimits;
use crate::readiness::Readiness;
use crate::settings::ApiSettings;
use cadmill_core::domain::state::Event;
use cadmill_core::jobs::Jobs;
use cadmill_core::ports::{EventQueue, ObjectStore};
use cadmill_stores::connections::Door;
use std::sync::Arc;
use std::time::Instant;

/// What the routes share. Cheap to clone.
pub type ApiState = Arc<Server>;

/// The settings, the ports and what the server remembers.
pub struct Server {
    pub(crate) settings: ApiSettings,
    pub(crate) objects: Arc<dyn ObjectStore>,
    pub(crate) jobs: Jobs,
    pub(crate) queue: Arc<dyn EventQueue>,
    pub(crate) rates: RateLimits,
    pub(crate) pollers: Pollers,
    pub(crate) throughput: Throughput,
    pub(crate) readiness: Readiness,
    pub(crate) door: Door,
}

impl Server {
    /// A server of these stores. The queue is looked at for readiness only.
    ///
    /// # Errors
    /// What [`ApiSettings::check`] finds wrong with the settings, among it a server
    /// without authentication that would not listen on loopback.
    pub fn new(
        settings: ApiSettings,
        objects: Arc<dyn ObjectStore>,
        jobs: Jobs,
        queue: Arc<dyn EventQueue>,
    ) -> Result<ApiState, String> {
        settings.check()?;
        let rates = RateLimits::new(settings.config.rate_per_second, settings.config.rate_burst);
        let door = Door::new("api", settings.connections());
        Ok(Arc::new(Self {
            door,
            settings,
            objects,
            jobs,
            queue,
            rates,
            pollers: Pollers::default(),
            throughput: Throughput::default(),
            readiness: Readiness::default(),
        }))
    }

    /// The way in: how many connections are open, and whether descriptors ran out.
    pub fn door(&self) -> &Door {
        &self.door
    }

    /// Looks for clients that stopped asking: logs those that gave up, and adds the
    /// polls of all to the records. [`crate::listener::serve`] does it every few seconds.
    pub async fn sweep(&self, now: Instant) {
        for silent in self.pollers.sweep(now) {
            if silent.abandoned {
                tracing::info!(job.id = %silent.job, poll.n = silent.polls, "client stopped polling");
            }
            if silent.count > 0
                && let Err(error) = self.jobs.send(silent.job, &Event::Polled { times: silent.count }).await
            {
                tracing::debug!(job.id = %silent.job, error = %error, "polls are not counted");
            }
        }
        self.rates.forget();
    }
}
