//! A message of the queue in a worker's hands, and what becomes of it.

use cadmill_core::ports::event_queue::Message;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What becomes of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Settlement {
    /// Its job has ended, and what it tells of is deleted; or it says nothing.
    Delete,
    /// It can never be served, or its job ended by our fault: for people to look at.
    DeadLetter,
    /// It comes again after this time.
    Retry(Duration),
    /// Another task of this worker has it.
    Leave,
}

/// The message that a job is worked on for, if there is one, as it was delivered
/// last: when it comes again, the older receipt is worth nothing.
#[derive(Debug, Clone)]
pub(super) enum Delivery {
    /// The notice did not come from the queue.
    None,
    /// From the queue.
    Message(Arc<Mutex<Message>>),
}

impl Delivery {
    pub(super) fn of(message: Message) -> Self {
        Self::Message(Arc::new(Mutex::new(message)))
    }

    /// The message.
    pub(super) fn message(&self) -> Option<Message> {
        match self {
            Self::None => None,
            Self::Message(message) => Some(message.lock().unwrap_or_else(PoisonError::into_inner).clone()),
        }
    }

    /// Takes the newer delivery, if it is one of the same message.
    pub(super) fn renew(&self, newer: &Message) -> bool {
        let Self::Message(message) = self else { return false };
        let mut message = message.lock().unwrap_or_else(PoisonError::into_inner);
        let same = message.id == newer.id;
        if same {
            message.clone_from(newer);
        }
        same
    }
}
