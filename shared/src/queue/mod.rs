//! Jobs between api and worker: Redis Streams with consumer groups.
//!
//! Guarantees: an accepted job is delivered at least once while Redis keeps it; an entry whose consumer died is
//! taken over after the visibility timeout; one delivered too often is parked in Postgres, never dropped.
//! Redis may lose everything at any time: what must survive is in Postgres, and callers ask again.
//!
//! Writers: the api enqueues ([`Producer`]); the worker acknowledges and replies ([`Finisher`]).
//! Deliberately absent: exactly-once. Handlers may run twice at once; Postgres makes effects single.

mod connection;
mod finisher;
mod jobs;
mod parking;
mod producer;
mod source;
mod statistics;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use connection::{RedisLink, client};
pub use finisher::{Ending, Finish, Finisher};
pub use jobs::{Envelope, EnvelopeError, PayJob, RelayJob, Reply, with_ttl};
pub use parking::{ParkedFilter, ParkedJob, ParkingError, park, parked, resolve, take_parked};
pub use producer::{EnqueueError, Producer, Sent};
pub use source::{Delivery, Source};
pub use statistics::{QueueStatistics, statistics};

/// Every queue there is.
pub const QUEUES: [Queue; 2] = [Queue::Pay, Queue::Relay];

/// A queue: one stream, one consumer group, one kind of job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Queue {
    /// Settlements from balance ([`PayJob`]).
    Pay,
    /// First broadcasts of signed transactions ([`RelayJob`]).
    Relay,
}

impl Queue {
    /// The queue of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        QUEUES.into_iter().find(|queue| queue.name() == name)
    }

    /// Its name in keys, metrics and the operator API.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pay => "pay",
            Self::Relay => "relay",
        }
    }
}

impl fmt::Display for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The one consumer group of each stream.
const GROUP: &str = "workers";
/// The field of a stream entry that holds the envelope.
const PAYLOAD: &str = "p";
/// Width of a bucket of the rate counters, and how long one is kept.
const RATE_BUCKET_SECONDS: u64 = 10;
const RATE_KEPT_SECONDS: u64 = 180;

/// Redis keys of one queue. The braces put all of them into one Cluster slot.
#[derive(Debug, Clone)]
struct Keys {
    stream: String,
    rate_prefix: String,
}

impl Keys {
    fn new(prefix: &str, queue: Queue) -> Self {
        let tag = format!("{{{prefix}:{queue}}}");
        Self {
            stream: format!("{tag}:jobs"),
            rate_prefix: format!("{tag}:rate:"),
        }
    }

    /// The counters of the bucket that `unix_seconds` falls into.
    fn rate(&self, unix_seconds: u64) -> String {
        format!("{}{}", self.rate_prefix, unix_seconds / RATE_BUCKET_SECONDS)
    }
}

/// The channel on which one api process awaits its replies.
#[must_use]
pub fn reply_channel(prefix: &str, process: &str) -> String {
    format!("{prefix}:reply:{process}")
}

fn unix_seconds() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
