//! Destroys the files that the index has given up, and goes on until they are gone.
//!
//! A file that cannot be destroyed (no descriptor is left, the medium fails) keeps its row in the index:
//! requests to delete it fail, listings show it, and it is tried again, by this process and by the next.

use super::blobs::Blobs;
use super::index::Index;
use cadmill_core::ports::PortResult;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{oneshot, watch};

/// Pause between two rounds.
const PAUSE: Duration = Duration::from_secs(5);

/// Files of a round that are read from the index at once.
const PAGE: u32 = 256;

/// Clones are cheap.
#[derive(Clone)]
pub(super) struct Remover {
    index: Arc<Index>,
    blobs: Blobs,
}

impl Remover {
    pub(super) fn new(index: Arc<Index>, blobs: Blobs) -> Self {
        Self { index, blobs }
    }

    /// Destroys files that the index has as removals, and forgets those that are gone. Returns the number
    /// of those that are left.
    ///
    /// # Errors
    /// If the index cannot be written.
    pub(super) async fn destroy(&self, names: Vec<String>) -> PortResult<usize> {
        if names.is_empty() {
            return Ok(0);
        }
        let left: HashSet<String> = self.blobs.remove(names.clone()).await.into_iter().collect();
        if let Err(error) = self.blobs.sync().await {
            tracing::debug!(error.kind = %error.kind(), "The directory of objects could not be synced");
            return Ok(names.len());
        }
        let gone = names.into_iter().filter(|name| !left.contains(name)).collect();
        self.index.destroyed(gone).await?;
        Ok(left.len())
    }

    /// Tries all files again that must be destroyed. Returns the number of those that are left.
    ///
    /// # Errors
    /// As for [`Self::destroy`].
    pub(super) async fn round(&self) -> PortResult<usize> {
        self.note_strays().await?;
        let (mut after, mut left) = (0, 0);
        loop {
            let page = self.index.removals(after, PAGE).await?;
            let Some((last, _)) = page.last() else { return Ok(left) };
            after = *last;
            left += self.destroy(page.into_iter().map(|(_, name)| name).collect()).await?;
        }
    }

    /// Destroys the files that the index does not know of, and notes those that are left. That way around: an
    /// index on a full disk takes nothing before they are gone.
    async fn note_strays(&self) -> PortResult<()> {
        let strays = self.blobs.strays();
        if strays.is_empty() {
            return Ok(());
        }
        if self.blobs.is_in_doubt() {
            // Before the write: a doubt that comes meanwhile is of another stray.
            self.blobs.set_in_doubt(false);
            if let Err(error) = self.index.overwrite_unknown().await {
                self.blobs.set_in_doubt(true);
                return Err(error);
            }
        }
        let names: Vec<String> = strays.iter().map(|(_, name)| name.clone()).collect();
        let unused = self.index.unused(names).await?;
        let left: HashSet<String> = self.blobs.remove(unused).await.into_iter().collect();
        let left = strays.iter().filter(|(_, name)| left.contains(name)).cloned().collect();
        self.index.condemn(left).await?;
        self.blobs.forget(&strays);
        Ok(())
    }

    /// Makes a round at once and then now and then, until it is stopped. `first` is notified after the first.
    pub(super) async fn run(self, mut stop: watch::Receiver<bool>, first: oneshot::Sender<()>) {
        let (mut before, mut failing, mut first) = (0, false, Some(first));
        loop {
            let result = tokio::select! {
                result = self.round() => result,
                _ = stop.changed() => return,
            };
            // Whether it was waited for.
            let _ = first.take().map(|first| first.send(()));
            if let Ok(left) = result
                && left != before
            {
                before = left;
                match left {
                    0 => tracing::info!("All files of deleted objects are destroyed"),
                    files => {
                        tracing::error!(files, "Files of deleted objects cannot be destroyed; trying again")
                    }
                }
            }
            if let Err(error) = &result
                && !failing
            {
                tracing::warn!(error = %error, "Files of deleted objects cannot be looked for; trying again");
            }
            failing = result.is_err();
            tokio::select! {
                () = tokio::time::sleep(PAUSE) => {}
                () = self.blobs.strayed(), if !failing => {}
                _ = stop.changed() => return,
            }
        }
    }
}
