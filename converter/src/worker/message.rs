//! A queue message in the worker's hands, and how it is settled.

use cadmill_core::ports::event_queue::Message;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How a message is settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Settlement {
    /// The job has ended and the object named by the message is deleted, or the message is
    /// meaningless.
    Delete,
    /// It can never be processed, or its job ended with an internal failure. An operator must
    /// inspect it.
    DeadLetter,
    /// It becomes visible again after this time.
    Retry(Duration),
    /// The same, because this worker has given back the job that it had claimed.
    Released(Duration),
    /// Another task of this worker owns it.
    Leave,
}

/// The message, if any, that a job is processed for, as last delivered. A redelivery invalidates
/// the older receipt.
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

    /// Adopts a newer delivery if it is of the same message.
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
