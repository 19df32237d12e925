//! The state shared by the routes: settings, ports and in-memory state.

use crate::auth::tickets::Tickets;
use crate::events::hub::Hub;
use crate::events::seats::Seats;
use crate::polling::pacing::Throughput;
use crate::polling::tracker::Pollers;
use crate::rate_limits::RateLimits;
use crate::settings::ApiSettings;
use crate::turns::Turns;
use cadmill_core::cleanup::attendance::Attendance;
use cadmill_core::cleanup::deletion::Deleter;
use cadmill_core::domain::state::Event;
use cadmill_core::jobs::Jobs;
use cadmill_core::metrics;
use cadmill_core::ports::{EventQueue, ObjectStore};
use cadmill_stores::config::Secret;
use cadmill_stores::connections::Door;
use cadmill_stores::readiness::Readiness;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long what is known of the cleanup programs is used.
const FRESH: Duration = Duration::from_secs(5);

/// State shared by the routes. Cheap to clone.
pub type ApiState = Arc<Server>;

/// The settings, the ports and the in-memory state.
pub struct Server {
    pub(crate) settings: ApiSettings,
    pub(crate) objects: Arc<dyn ObjectStore>,
    pub(crate) jobs: Jobs,
    pub(crate) rates: RateLimits,
    pub(crate) pollers: Pollers,
    pub(crate) throughput: Arc<Throughput>,
    pub(crate) tickets: Tickets,
    pub(crate) hub: Arc<Hub>,
    pub(crate) streams: Arc<Seats>,
    pub(crate) readiness: Readiness,
    pub(crate) attendance: Arc<Attendance>,
    pub(crate) deleter: Deleter,
    pub(crate) deletions: Turns,
    pub(crate) door: Door,
}

impl Server {
    /// Creates a server with these stores. The queue is used for readiness only.
    ///
    /// # Errors
    /// The settings error found by [`ApiSettings::check`], e.g. a server without authentication
    /// that would not listen on loopback.
    pub fn new(
        settings: ApiSettings,
        objects: Arc<dyn ObjectStore>,
        jobs: Jobs,
        queue: Arc<dyn EventQueue>,
    ) -> Result<ApiState, String> {
        settings.check()?;
        let tickets = Tickets::new(settings.config.ticket_key.as_ref().map(Secret::expose))?;
        let rates = RateLimits::new(settings.config.rate_per_second, settings.config.rate_burst);
        let jobs = jobs.with_quota(settings.config.quota);
        let readiness = Readiness::new(objects.clone(), jobs.clone(), queue);
        let attendance = Arc::new(Attendance::new(jobs.clone(), FRESH));
        let deleter = Deleter::new(jobs.clone(), objects.clone(), "api".to_owned());
        let deleter = deleter.with_ledgers(settings.ledgers.clone());
        let throughput = Arc::new(Throughput::default());
        let hub = Hub::new(jobs.clone(), Arc::clone(&throughput));
        let streams = Seats::new(settings.streams(), settings.config.streams_per_owner);
        let door = Door::new("api", settings.connections());
        Ok(Arc::new(Self {
            door,
            settings,
            objects,
            jobs,
            rates,
            pollers: Pollers::default(),
            throughput,
            tickets,
            hub,
            streams,
            readiness,
            attendance,
            deleter,
            deletions: Turns::default(),
        }))
    }

    /// Connection admission: the number of open connections, and whether descriptors ran out.
    pub fn door(&self) -> &Door {
        &self.door
    }

    /// The event streams that are open.
    pub fn streams(&self) -> &Seats {
        &self.streams
    }

    /// Finds clients that stopped polling: logs those that gave up, and adds all their polls to the
    /// records. Called by [`crate::listener::serve`] every few seconds.
    pub async fn sweep(&self, now: Instant) {
        for silent in self.pollers.sweep(now, |job| self.hub.is_watched(job)) {
            if silent.abandoned {
                metrics::client_gave_up();
                tracing::info!(job.id = %silent.job, poll.n = silent.polls, "client stopped polling");
            }
            if silent.count > 0
                && let Err(error) = self.jobs.send(silent.job, &Event::Polled { times: silent.count }).await
            {
                tracing::debug!(job.id = %silent.job, error = %error, "polls are not counted");
            }
        }
        if self.settings.config.require_cleanup
            && let Err(error) = self.attendance.is_given().await
        {
            tracing::debug!(error = %error, "the cleanup programs are not known");
        }
        self.rates.forget();
    }
}
