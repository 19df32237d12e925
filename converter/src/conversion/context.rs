//! What a conversion runs with.

use crate::engine::registry::Engines;
use crate::engine::supervisor::Supervisor;
use crate::engine::warm_pool::WarmPool;
use crate::workspace::WorkspaceRoot;
use std::sync::Arc;

/// What the conversion runs with.
#[derive(Debug, Clone)]
pub struct ConversionContext {
    /// The engines.
    pub engines: Engines,
    /// Where workspaces are made.
    pub place: WorkspaceRoot,
    /// Starts engine hosts.
    pub supervisor: Supervisor,
    /// Hosts that are started before the input is there; none for one who converts files
    /// of this machine where they lie.
    pub hosts: Option<Arc<WarmPool>>,
}
