//! Notifications, and what can go wrong with them.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use solana_pubkey::Pubkey;
use solana_signature::Signature;

use super::{LogsFilter, Subscription, Topic, TopicKind};

/// A message that a subscription is about to get.
#[derive(Debug, Clone)]
pub struct Notification {
    /// The subscription.
    pub subscription: Subscription,
    /// The transaction, if it is about one.
    pub signature: Option<Signature>,
    /// The whole message.
    pub message: Value,
}

impl Notification {
    pub(crate) fn new(
        subscription: Subscription,
        signature: Option<Signature>,
        result: &Value,
    ) -> Self {
        let message = json!({
            "jsonrpc": "2.0",
            "method": subscription.topic.kind().notification(),
            "params": { "result": result, "subscription": subscription.id },
        });
        Self {
            subscription,
            signature,
            message,
        }
    }

    /// Says that the transaction did well, whatever is true.
    fn without_error(mut self) -> Self {
        if let Some(err) = self.message.pointer_mut("/params/result/value/err") {
            *err = Value::Null;
        }
        self
    }

    /// The messages that are sent at once.
    pub(crate) fn delivered(self, delivery: &Delivery) -> Vec<Value> {
        match delivery {
            Delivery::Copies(copies) => vec![self.message; *copies],
            Delivery::WithoutError => vec![self.without_error().message],
            Delivery::Replace(message) => vec![message.clone()],
            Delivery::Pass => vec![self.message],
            Delivery::Omit | Delivery::Hold | Delivery::Late(_) => Vec::new(),
        }
    }
}

/// What becomes of a notification.
#[derive(Debug, Clone, PartialEq)]
pub enum Delivery {
    /// It is sent, unless a later fault says otherwise.
    Pass,
    /// It is lost.
    Omit,
    /// It is sent so often.
    Copies(usize),
    /// It is sent with `err: null`.
    WithoutError,
    /// It waits until the test releases it.
    Hold,
    /// It is sent so much later, behind those that follow.
    Late(Duration),
    /// Something else is sent.
    Replace(Value),
}

/// In which order held notifications go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeldOrder {
    /// As they would have gone.
    AsHeld,
    /// The last one first.
    Reversed,
}

type Condition = Arc<dyn Fn(&Notification) -> bool + Send + Sync>;

/// A fault of notifications: which it hits, and what becomes of them.
#[derive(Clone)]
pub struct NotificationFault {
    kind: Option<TopicKind>,
    condition: Option<Condition>,
    skip: u64,
    times: Option<u64>,
    delivery: Delivery,
    met: Arc<AtomicU64>,
}

impl NotificationFault {
    /// Hits every notification of a kind, until it is narrowed.
    #[must_use]
    pub fn on(kind: TopicKind) -> Self {
        Self::new(Some(kind))
    }

    /// Hits every notification.
    #[must_use]
    pub fn on_any() -> Self {
        Self::new(None)
    }

    fn new(kind: Option<TopicKind>) -> Self {
        Self {
            kind,
            condition: None,
            skip: 0,
            times: None,
            delivery: Delivery::Pass,
            met: Arc::default(),
        }
    }

    /// Only where this holds. It must not use the node or the chain, which are busy then.
    #[must_use]
    pub fn when(
        mut self,
        condition: impl Fn(&Notification) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.condition = Some(Arc::new(condition));
        self
    }

    /// Only about this transaction.
    #[must_use]
    pub fn about(self, signature: Signature) -> Self {
        self.when(move |notification| notification.signature == Some(signature))
    }

    /// Only to subscriptions for the logs of this key.
    #[must_use]
    pub fn mentioning(self, key: Pubkey) -> Self {
        self.when(move |notification| {
            matches!(
                notification.subscription.topic,
                Topic::Logs(LogsFilter::Mentions(mentioned), _) if mentioned == key
            )
        })
    }

    /// Lets this many pass first.
    #[must_use]
    pub const fn after(mut self, notifications: u64) -> Self {
        self.skip = notifications;
        self
    }

    /// Ends after so many hits.
    #[must_use]
    pub const fn first(mut self, notifications: u64) -> Self {
        self.times = Some(notifications);
        self
    }

    /// What becomes of them.
    #[must_use]
    pub fn deliver(mut self, delivery: Delivery) -> Self {
        self.delivery = delivery;
        self
    }

    pub(crate) fn apply(&self, notification: &Notification) -> Delivery {
        let kind = notification.subscription.topic.kind();
        let exempt = |condition: &Condition| !condition(notification);
        if self.kind.is_some_and(|only| only != kind) || self.condition.as_ref().is_some_and(exempt)
        {
            return Delivery::Pass;
        }
        let met = self.met.fetch_add(1, Ordering::Relaxed);
        let over = self.times.is_some_and(|times| met >= self.skip + times);
        if met < self.skip || over {
            return Delivery::Pass;
        }
        self.delivery.clone()
    }
}

impl fmt::Debug for NotificationFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("NotificationFault")
            .field("kind", &self.kind)
            .field("skip", &self.skip)
            .field("times", &self.times)
            .field("delivery", &self.delivery)
            .finish_non_exhaustive()
    }
}
