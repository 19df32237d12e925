//! The context that a conversion runs in.

use crate::engine::registry::Engines;
use crate::engine::supervisor::Supervisor;
use crate::engine::warm_pool::WarmPool;
use crate::workspace::WorkspaceRoot;
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
}
