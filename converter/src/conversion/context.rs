//! What a conversion runs with.

use crate::engine::registry::Engines;
use crate::engine::supervisor::Supervisor;
use crate::engine::warm_pool::Hosts;
use crate::workspace::Place;
use std::sync::Arc;

/// What the conversion runs with.
#[derive(Debug, Clone)]
pub struct Setting {
    /// The engines.
    pub engines: Engines,
    /// Where workspaces are made.
    pub place: Place,
    /// Starts engine hosts.
    pub supervisor: Supervisor,
    /// Hosts that are started before the input is there; none for one who converts files
    /// of this machine where they lie.
    pub hosts: Option<Arc<Hosts>>,
}
