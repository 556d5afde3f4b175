//! Events: written to the outbox in the transaction that caused them, published to Redis right after commit by
//! the same process, and by a sweep if that process died.
//!
//! Every event has a topic and a position in it. A reader that has seen position `previous` has missed nothing;
//! any other jump it repairs from Postgres. So an event may come twice, late or never.

mod publisher;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

pub use publisher::{PublishError, Publisher, publish};

use crate::ids::{InvoiceId, TraceId, UserId};

/// What events are about. The text form is stored in the outbox by the settlement functions.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Topic {
    /// One invoice; positions are its versions.
    Invoice(InvoiceId),
    /// One user's balance; positions are its transfers' ids.
    Balance(UserId),
}

impl std::fmt::Display for Topic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Invoice(id) => write!(f, "invoice:{id}"),
            Self::Balance(user) => write!(f, "balance:{user}"),
        }
    }
}

/// The Redis channel of a topic given as text.
#[must_use]
pub fn channel(prefix: &str, topic: &str) -> String {
    format!("{prefix}:event:{topic}")
}

/// What subscribers of a topic receive.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Message {
    /// The event's name.
    pub kind: String,
    /// Its position in the topic.
    pub position: i64,
    /// The position before it.
    pub previous: i64,
    /// The request that caused it.
    pub trace_id: TraceId,
    /// The envelope that clients see.
    pub data: Box<RawValue>,
}

/// The committed events of one transaction, ready to publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// The outbox batch to mark once published.
    pub batch_id: i64,
    /// Topic and message, in order.
    pub events: Vec<(String, String)>,
}

impl Publication {
    /// Puts together what a settlement function returned; `None` when it caused no event.
    #[must_use]
    pub fn from_row(
        batch_id: Option<i64>,
        topics: Option<Vec<String>>,
        messages: Option<Vec<String>>,
    ) -> Option<Self> {
        let events = topics?.into_iter().zip(messages?).collect();
        Some(Self {
            batch_id: batch_id?,
            events,
        })
    }
}
