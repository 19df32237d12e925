//! The context that a conversion runs in.

use super::description_cache::DescriptionCache;
use crate::engine::confinement::Level;
use crate::engine::registry::Engines;
use crate::engine::supervisor::{Supervisor, engine_host};
use crate::engine::warm_pool::WarmPool;
use crate::workspace::WorkspaceRoot;
use cadmill_core::domain::failure::Failure;
use std::path::Path;
use std::sync::Arc;

/// The context that a conversion runs in.
#[derive(Debug, Clone)]
pub struct ConversionContext {
    /// The engines.
    pub engines: Engines,
    /// Where workspaces are made.
    pub place: WorkspaceRoot,
    /// Starts engine hosts.
    pub supervisor: Supervisor,
    /// Hosts that are started before the input is complete; `None` when local files are converted
    /// in place.
    pub hosts: Option<Arc<WarmPool>>,
    /// Cached descriptions of engines.
    pub descriptions: DescriptionCache,
}

impl ConversionContext {
    /// Without a warm pool. `host` is the engine host binary; if `None`, the one beside the program.
    ///
    /// # Errors
    /// As [`engine_host`]: the binary is missing.
    pub fn new(
        engines: Engines,
        place: WorkspaceRoot,
        host: Option<&Path>,
        minimum: Level,
    ) -> Result<Self, Failure> {
        let supervisor = Supervisor::new(engine_host(host)?).requiring(minimum);
        Ok(Self { engines, place, supervisor, hosts: None, descriptions: DescriptionCache::default() })
    }
}
