//! One deletion of a job at a time: several at once would each count what is there, so that the evidence says
//! that more was deleted than there was. Of this process only; another one may do the same at the same moment.

use cadmill_core::domain::due::{Part, SHARDS, Work};
use cadmill_core::domain::ids::JobId;
use std::time::Duration;
use tokio::sync::{Mutex, MutexGuard};

const PATIENCE: Duration = Duration::from_secs(2);

/// Whose turn it is. Jobs of one shard share theirs, so that memory does not grow with the jobs.
pub(crate) struct Turns([Mutex<()>; SHARDS as usize]);

impl Default for Turns {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Mutex::default()))
    }
}

impl Turns {
    /// Waits for those before, but not for long: if the object store hangs, a count that is too high is better
    /// than a request that is not served.
    pub(crate) async fn turn(&self, id: JobId) -> Option<MutexGuard<'_, ()>> {
        let turn = self.0[usize::from(Part::with(Work::Delete, id).shard)].lock();
        tokio::time::timeout(PATIENCE, turn).await.ok()
    }
}
