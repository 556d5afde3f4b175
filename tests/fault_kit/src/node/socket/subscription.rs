//! Subscriptions.

use serde_json::Value;
use solana_pubkey::Pubkey;
use solana_signature::Signature;

use crate::chain::Commitment;
use crate::node::params::Params;
use crate::node::{RpcFailure, RpcMethod};

/// Whose logs are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LogsFilter {
    /// All transactions.
    All,
    /// Those that mention a key.
    Mentions(Pubkey),
}

/// What is listened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Topic {
    /// Slots.
    Slot,
    /// Logs of transactions that reach a commitment.
    Logs(LogsFilter, Commitment),
    /// One transaction that reaches a commitment.
    Signature(Signature, Commitment),
}

/// The kind of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TopicKind {
    /// `slotSubscribe`.
    Slot,
    /// `logsSubscribe`.
    Logs,
    /// `signatureSubscribe`.
    Signature,
}

impl TopicKind {
    /// The method of its notifications.
    #[must_use]
    pub const fn notification(self) -> &'static str {
        match self {
            Self::Slot => "slotNotification",
            Self::Logs => "logsNotification",
            Self::Signature => "signatureNotification",
        }
    }

    /// What a request subscribes to.
    pub(crate) const fn subscribed_by(method: RpcMethod) -> Option<Self> {
        match method {
            RpcMethod::SlotSubscribe => Some(Self::Slot),
            RpcMethod::LogsSubscribe => Some(Self::Logs),
            RpcMethod::SignatureSubscribe => Some(Self::Signature),
            _ => None,
        }
    }

    pub(crate) const fn unsubscribed_by(method: RpcMethod) -> Option<Self> {
        match method {
            RpcMethod::SlotUnsubscribe => Some(Self::Slot),
            RpcMethod::LogsUnsubscribe => Some(Self::Logs),
            RpcMethod::SignatureUnsubscribe => Some(Self::Signature),
            _ => None,
        }
    }
}

impl Topic {
    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> TopicKind {
        match self {
            Self::Slot => TopicKind::Slot,
            Self::Logs(..) => TopicKind::Logs,
            Self::Signature(..) => TopicKind::Signature,
        }
    }

    /// What the parameters of a subscription ask for.
    pub(crate) fn asked(kind: TopicKind, params: &Params<'_>) -> Result<Self, RpcFailure> {
        match kind {
            TopicKind::Slot => Ok(Self::Slot),
            TopicKind::Logs => {
                let filter = logs_filter(params.get(0).unwrap_or(&Value::Null))?;
                Ok(Self::Logs(filter, params.config(1).commitment()?))
            }
            TopicKind::Signature => {
                let signature = params.signature(0)?;
                Ok(Self::Signature(signature, params.config(1).commitment()?))
            }
        }
    }
}

fn logs_filter(filter: &Value) -> Result<LogsFilter, RpcFailure> {
    if matches!(filter.as_str(), Some("all" | "allWithVotes")) {
        return Ok(LogsFilter::All);
    }
    let keys = filter["mentions"]
        .as_array()
        .ok_or_else(|| RpcFailure::invalid_params("Invalid params: unknown logs filter."))?;
    let [key] = keys.as_slice() else {
        let message = "Invalid Request: Only 1 address supported";
        return Err(RpcFailure::invalid_params(message));
    };
    let key = key.as_str().and_then(|key| key.parse().ok());
    key.map(LogsFilter::Mentions)
        .ok_or_else(|| RpcFailure::invalid_params("Invalid Request: Invalid pubkey provided"))
}

/// A live subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subscription {
    /// The socket that has it.
    pub socket: u64,
    /// Its number.
    pub id: u64,
    /// What it is for.
    pub topic: Topic,
    /// The age of the node when it was made.
    pub(crate) made: u64,
}
