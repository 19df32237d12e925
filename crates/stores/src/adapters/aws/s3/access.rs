//! What this process may do with the bucket, as far as the answers of S3 show it.
//!
//! A permission that is missing is named in the error, because an operator can grant only what has
//! a name. Nothing else of the service's message is passed on.

use super::super::error::refused;
use cadmill_core::ports::PortError;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What the latest check found. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Known(Arc<Findings>);

#[derive(Debug, Default)]
struct Findings {
    lists: AtomicBool,
    said: AtomicBool,
}

impl Known {
    /// Whether the bucket may be listed, so that 404 is certain and 403 is a refusal.
    pub(super) fn lists(&self) -> bool {
        self.0.lists.load(Ordering::Relaxed)
    }

    pub(super) fn set_lists(&self, lists: bool) {
        self.0.lists.store(lists, Ordering::Relaxed);
    }

    /// Whether nobody has said yet that the bucket may not be listed.
    pub(super) fn first_to_say(&self) -> bool {
        !self.0.said.swap(true, Ordering::Relaxed)
    }
}

/// Names the permission in a refusal for want of permissions.
pub(super) fn needs(permission: &str, error: PortError) -> PortError {
    match error {
        PortError::Refused { operation, reason } if reason == "AccessDenied" || reason == "status 403" => {
            refused(operation, &without(permission))
        }
        other => other,
    }
}

/// The reason of a refusal for want of this permission.
pub(super) fn without(permission: &str) -> String {
    format!("AccessDenied: {permission} is not granted")
}
