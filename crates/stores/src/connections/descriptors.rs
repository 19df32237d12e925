//! File descriptors: the limit, and the number of connections that fit below it.

use cadmill_core::domain::failure::{Failure, FailureCode};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fs::File;
use std::sync::{Mutex, PoisonError};

/// Descriptors reserved for other uses than connections: the runtime, databases, logs, the
/// reserve of each listener.
const OTHERS: u64 = 320;
/// Descriptors per connection: its socket, and the file or the connection to a store that serves
/// it.
const EACH: u64 = 2;
/// Minimum number of connections that makes a start worthwhile.
const FEWEST: u64 = 16;

/// Raises the soft limit on descriptors to the hard limit and returns it. Engine processes have
/// their own limit.
pub fn raise() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if limit.current != limit.maximum
        && let Err(error) = setrlimit(Resource::Nofile, raised)
    {
        tracing::warn!(error = %error, "the limit on file descriptors could not be raised");
    }
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// The connections of a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connections {
    /// All connections together.
    pub total: usize,
    /// The connections of one client.
    pub per_client: usize,
}

/// Returns how many of the `wanted` connections of each listener fit below a limit on
/// descriptors; if they do not fit, all listeners are reduced in the same proportion. A client
/// never gets the whole of a listener: see `share`.
///
/// # Errors
/// `usage.invalid` if so few fit that nothing could be served.
pub fn fit<const N: usize>(limit: u64, wanted: [Connections; N]) -> Result<[Connections; N], Failure> {
    let all: u64 = wanted.iter().map(|listener| listener.total as u64).sum();
    let room = limit.saturating_sub(OTHERS) / EACH;
    let with = |listener: Connections, total| Connections {
        total,
        per_client: share(listener.per_client, listener.total, total),
    };
    if all <= room {
        return Ok(wanted.map(|listener| with(listener, listener.total)));
    }
    if room < FEWEST * N as u64 {
        let message = format!(
            "the process may open {limit} file descriptors (RLIMIT_NOFILE), expected at least {}",
            OTHERS + EACH * FEWEST * N as u64
        );
        return Err(Failure::new(FailureCode::UsageInvalid, message));
    }
    let part = |n: usize| {
        let part = u128::from(room) * n as u128 / u128::from(all);
        usize::try_from(part).unwrap_or(n).max(1)
    };
    let fitting = wanted.map(|listener| with(listener, part(listener.total)));
    tracing::warn!(
        wanted = all,
        connections = fitting.iter().map(|listener| listener.total).sum::<usize>(),
        descriptors = limit,
        "fewer connections than configured fit below the limit on file descriptors (RLIMIT_NOFILE)"
    );
    Ok(fitting)
}

/// The limit per client when a listener's total is lowered from `wanted` to `fitting`: the
/// same proportion as configured, or a quarter of the total if that is more. Where the
/// configured limit is at least the configured total, it is a quarter of `fitting`. Never
/// less than 2, unless configured.
fn share(per_client: usize, wanted: usize, fitting: usize) -> usize {
    let part = if per_client < wanted {
        usize::try_from(per_client as u128 * fitting as u128 / wanted as u128).unwrap_or(per_client)
    } else {
        0
    };
    // A browser opens at least two connections for a page.
    per_client.min(part.max(fitting / 4).max(2))
}

/// Spare descriptors, released one by one when none is left for a connection.
pub(super) struct Spare(Mutex<Vec<File>>);

/// Number of spare descriptors.
const SPARE: usize = 8;

impl Spare {
    pub(super) fn new() -> Self {
        let spare = Self(Mutex::default());
        spare.refill();
        spare
    }

    /// Releases one; returns whether there was one.
    pub(super) fn give(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop().is_some()
    }

    /// Reopens the released descriptors; returns whether all are there.
    pub(super) fn refill(&self) -> bool {
        let mut files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while files.len() < SPARE {
            match File::open("/dev/null") {
                Ok(file) => files.push(file),
                Err(_) => return false,
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WANTED: [Connections; 2] =
        [Connections { total: 4096, per_client: 256 }, Connections { total: 1024, per_client: 256 }];

    #[test]
    fn connections_stay_below_the_limit() {
        assert_eq!(fit(1 << 20, WANTED).unwrap(), WANTED);
        for limit in [400, 1024, 4096, 10_000] {
            let [api, objects] = fit(limit, WANTED).unwrap().map(|listener| listener.total);
            assert!((api + objects) as u64 * EACH + OTHERS <= limit, "{limit}: {api} {objects}");
            assert!(api > 3 * objects && objects > 0, "{limit}: {api} {objects}");
        }
        let error = fit(350, WANTED).unwrap_err();
        assert!(error.message.contains("350") && error.message.contains("384"), "{}", error.message);
        let many = [Connections { total: 1 << 20, per_client: 256 }];
        assert_eq!(fit(u64::MAX, many).unwrap(), many);
    }

    #[test]
    fn no_client_may_have_all_that_is_left() {
        assert_eq!(share(256, 4096, 4096), 256);
        assert_eq!(share(900, 1000, 1000), 900, "as configured");
        assert_eq!(share(900, 1000, 100), 90);
        assert_eq!(share(256, 20, 20), 5, "of 20 at all");
        for limit in [384, 512, 1024, 1900, 10_000] {
            for Connections { total, per_client } in fit(limit, WANTED).unwrap() {
                assert!(per_client >= 2 && per_client * 3 <= total, "{limit}: {per_client} of {total}");
            }
        }
    }
}
