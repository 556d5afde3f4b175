//! All sockets of a node and their subscriptions.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value;
use solana_signature::Signature;
use tokio::runtime::Handle;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::watch;

use super::follow::Followed;
use super::notification::{Delivery, HeldOrder, Notification, NotificationFault};
use super::subscription::{LogsFilter, Subscription, Topic};

/// How a socket is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// It works.
    Live,
    /// It is open, and neither reads nor writes.
    Frozen,
    /// It says goodbye and closes.
    Closing,
    /// It is dropped without a word.
    Dropped,
}

/// The node's end of a socket.
struct Socket {
    outgoing: UnboundedSender<Value>,
    condition: watch::Sender<Condition>,
}

/// What a subscription listens on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Channel {
    Slots,
    Logs(LogsFilter),
    Signature(Signature),
}

impl Channel {
    const fn of(topic: &Topic) -> Self {
        match topic {
            Topic::Slot => Self::Slots,
            Topic::Logs(filter, _) => Self::Logs(*filter),
            Topic::Signature(signature, _) => Self::Signature(*signature),
        }
    }
}

/// The sockets, and what has been told to them.
#[derive(Default)]
pub struct Sockets {
    open: BTreeMap<u64, Socket>,
    subscriptions: BTreeMap<(u64, u64), Subscription>,
    channels: HashMap<Channel, BTreeSet<(u64, u64)>>,
    faults: Vec<NotificationFault>,
    held: Vec<Notification>,
    runtime: Option<Handle>,
    next_socket: u64,
    next_subscription: u64,
    opened: u64,
    pub(super) followed: Followed,
}

impl Sockets {
    /// Where late notifications wait.
    pub fn wait_on(&mut self, runtime: Handle) {
        self.runtime = Some(runtime);
    }

    pub fn enter(&mut self, outgoing: UnboundedSender<Value>) -> (u64, watch::Receiver<Condition>) {
        let id = self.next_socket;
        self.next_socket += 1;
        self.opened += 1;
        let (condition, changes) = watch::channel(Condition::Live);
        let socket = Socket {
            outgoing,
            condition,
        };
        self.open.insert(id, socket);
        (id, changes)
    }

    pub fn leave(&mut self, socket: u64) {
        self.open.remove(&socket);
        let gone: Vec<_> = self.of(socket).map(|one| (socket, one.id)).collect();
        for place in gone {
            self.remove(place);
        }
    }

    /// How many are open, and how many there ever were.
    pub fn count(&self) -> (usize, u64) {
        (self.open.len(), self.opened)
    }

    pub fn all(&self) -> Vec<Subscription> {
        self.subscriptions.values().copied().collect()
    }

    fn of(&self, socket: u64) -> impl Iterator<Item = &Subscription> {
        self.subscriptions
            .range((socket, 0)..=(socket, u64::MAX))
            .map(|(_, subscription)| subscription)
    }

    /// Brings sockets into a condition: all, or one.
    pub fn set(&self, only: Option<u64>, condition: Condition) {
        for (id, socket) in &self.open {
            if only.is_none_or(|only| only == *id) {
                socket.condition.send_replace(condition);
            }
        }
    }

    /// The subscription to a topic, the same one when a socket asks again.
    pub fn subscribe(&mut self, socket: u64, topic: Topic) -> Subscription {
        if let Some(same) = self.of(socket).find(|one| one.topic == topic) {
            return *same;
        }
        let id = self.next_subscription;
        self.next_subscription += 1;
        let subscription = Subscription {
            socket,
            id,
            topic,
            made: self.followed.age(),
        };
        self.subscriptions.insert((socket, id), subscription);
        let channel = self.channels.entry(Channel::of(&topic)).or_default();
        channel.insert((socket, id));
        subscription
    }

    pub fn unsubscribe(&mut self, socket: u64, id: u64) -> bool {
        self.remove((socket, id))
    }

    fn remove(&mut self, place: (u64, u64)) -> bool {
        let Some(subscription) = self.subscriptions.remove(&place) else {
            return false;
        };
        let channel = Channel::of(&subscription.topic);
        if let Some(places) = self.channels.get_mut(&channel) {
            places.remove(&place);
            if places.is_empty() {
                self.channels.remove(&channel);
            }
        }
        true
    }

    pub(super) fn to_slots(&self) -> Vec<Subscription> {
        self.on(Channel::Slots)
    }

    pub(super) fn to_logs(&self, filter: LogsFilter) -> Vec<Subscription> {
        self.on(Channel::Logs(filter))
    }

    pub(super) fn to_signature(&self, signature: Signature) -> Vec<Subscription> {
        self.on(Channel::Signature(signature))
    }

    fn on(&self, channel: Channel) -> Vec<Subscription> {
        let places = self.channels.get(&channel).into_iter().flatten();
        places
            .filter_map(|place| self.subscriptions.get(place).copied())
            .collect()
    }

    pub fn send(&self, socket: u64, message: Value) {
        if let Some(socket) = self.open.get(&socket) {
            // A socket that has just gone does not read any more.
            let _ = socket.outgoing.send(message);
        }
    }

    /// Sends a notification, as far as the faults let it.
    pub fn notify(&mut self, notification: Notification) {
        let decide = |fault: &NotificationFault| {
            Some(fault.apply(&notification)).filter(|delivery| *delivery != Delivery::Pass)
        };
        let delivery = self.faults.iter().find_map(decide);
        let delivery = delivery.unwrap_or(Delivery::Pass);
        let socket = notification.subscription.socket;
        match delivery {
            Delivery::Hold => self.held.push(notification),
            Delivery::Late(delay) => self.send_late(notification, delay),
            delivery => {
                for message in notification.delivered(&delivery) {
                    self.send(socket, message);
                }
            }
        }
    }

    fn send_late(&self, notification: Notification, delay: std::time::Duration) {
        let socket = self.open.get(&notification.subscription.socket);
        let (Some(socket), Some(runtime)) = (socket, &self.runtime) else {
            return;
        };
        let outgoing = socket.outgoing.clone();
        runtime.spawn(async move {
            tokio::time::sleep(delay).await;
            // The socket may be gone by now.
            let _ = outgoing.send(notification.message);
        });
    }

    pub fn add_fault(&mut self, fault: NotificationFault) {
        self.faults.push(fault);
    }

    pub fn clear_faults(&mut self) {
        self.faults.clear();
    }

    pub fn held(&self) -> usize {
        self.held.len()
    }

    pub fn release_held(&mut self, order: HeldOrder) {
        let mut held = std::mem::take(&mut self.held);
        if order == HeldOrder::Reversed {
            held.reverse();
        }
        for notification in held {
            self.send(notification.subscription.socket, notification.message);
        }
    }
}
