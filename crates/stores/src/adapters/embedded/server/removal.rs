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
use tokio::sync::watch;

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
        let gone = names.into_iter().filter(|name| !left.contains(name)).collect();
        self.index.destroyed(gone).await?;
        Ok(left.len())
    }

    /// Tries all files again that must be destroyed. Returns the number of those that are left.
    ///
    /// # Errors
    /// As for [`Self::destroy`].
    pub(super) async fn round(&self) -> PortResult<usize> {
        let strays = self.blobs.strays();
        if !strays.is_empty()
            && let Err(error) = self.index.condemn(strays.clone()).await
        {
            self.blobs.put_back(strays);
            return Err(error);
        }
        let (mut after, mut left) = (0, 0);
        loop {
            let page = self.index.removals(after, PAGE).await?;
            let Some((last, _)) = page.last() else { return Ok(left) };
            after = *last;
            left += self.destroy(page.into_iter().map(|(_, name)| name).collect()).await?;
        }
    }

    /// Makes a round now and then, until it is stopped.
    pub(super) async fn run(self, mut stop: watch::Receiver<bool>) {
        let (mut before, mut failing) = (0, false);
        loop {
            tokio::select! {
                () = tokio::time::sleep(PAUSE) => {}
                () = self.blobs.strayed() => {}
                _ = stop.changed() => return,
            }
            let result = self.round().await;
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
            if failing {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}
