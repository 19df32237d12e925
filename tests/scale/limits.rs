//! AWS's limits as numbers: what is documented, and for durations what is usual within a region.

use cadmill_core::domain::job::Millis;

/// Write units that a partition takes in a second (Amazon DynamoDB Developer Guide, "Best practices for
/// designing and using partition keys effectively").
pub(crate) const PARTITION_UNITS: f64 = 1000.0;

/// Tries of a client of the SDK, and the longest pause before the second (AWS SDKs and Tools Reference
/// Guide, "Retry behavior", standard mode); it doubles.
pub(crate) const SDK_TRIES: u32 = 3;
/// See [`SDK_TRIES`], in milliseconds.
pub(crate) const SDK_PAUSE: Millis = 1000;

/// A kind of request: how long it usually takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    /// Reading an item, or a page of an index.
    Read,
    /// Writing an item.
    Write,
    /// Listing objects, versions or uploads.
    List,
    /// Reading an object or its metadata.
    Get,
    /// Writing an object, or a step of an upload in parts.
    Put,
    /// Deleting an object or aborting an upload.
    Delete,
    /// A request to the queue.
    Queue,
}

impl Call {
    /// The usual time in milliseconds. One call in a thousand takes ten times as long.
    pub(crate) fn millis(self) -> Millis {
        match self {
            Self::Read => 5,
            Self::Write | Self::Queue => 10,
            Self::Get | Self::Delete => 15,
            Self::List => 25,
            Self::Put => 30,
        }
    }
}

/// How much later an index shows a write, in milliseconds at most.
pub(crate) const INDEX_LAG: Millis = 2000;

/// How long after its upload the event of an object arrives, in seconds: from, to. Amazon S3 User Guide,
/// "Amazon S3 Event Notifications": "typically ... in seconds but can sometimes take a minute or longer".
pub(crate) const EVENT_DELAY: (f64, f64) = (5.0, 120.0);

/// Of the events, those that arrive twice: delivery is at least once.
pub(crate) const EVENT_TWICE: f64 = 0.01;

/// Of the events, those that never arrive. AWS promises none; the cleanup has to find their uploads.
pub(crate) const EVENT_LOST: f64 = 0.001;

/// Deliveries after which SQS moves a message to the dead-letter queue: that of docs/AWS.md.
pub(crate) const MAX_DELIVERIES: u32 = 1000;

/// How long a presigned URL of an upload is good, in milliseconds: the default of
/// `api.upload_url_lifetime`.
pub(crate) const URL_LIFETIME: Millis = 15 * 60 * 1000;

/// A budget of write units that refills by the second.
#[derive(Debug, Clone)]
pub(crate) struct TokenBucket {
    rate: f64,
    left: f64,
    at: Millis,
    /// The second that is counted, the units in it, and the most of a second so far.
    second: Millis,
    used: f64,
    most: f64,
}

impl TokenBucket {
    /// A full one, which takes as much at once as in one second.
    pub(crate) fn new(rate: f64) -> Self {
        Self { rate, left: rate, at: 0, second: 0, used: 0.0, most: 0.0 }
    }

    /// Changes the rate.
    pub(crate) fn set_rate(&mut self, rate: f64) {
        self.rate = rate;
        self.left = self.left.min(rate);
    }

    /// Whether these units are left now. Takes nothing.
    pub(crate) fn has(&mut self, units: f64, now: Millis) -> bool {
        self.left = (self.left + self.rate * now.saturating_sub(self.at) as f64 / 1000.0).min(self.rate);
        self.at = self.at.max(now);
        self.left >= units
    }

    /// Takes units that are left.
    pub(crate) fn take(&mut self, units: f64) {
        self.left -= units;
        if self.second != self.at / 1000 {
            (self.second, self.used) = (self.at / 1000, 0.0);
        }
        self.used += units;
        self.most = self.most.max(self.used);
    }

    /// Most units that were taken in one second.
    pub(crate) fn most(&self) -> f64 {
        self.most
    }
}
