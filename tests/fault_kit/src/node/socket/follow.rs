//! Follows the chain and tells subscribers what is new.

use std::collections::HashMap;

use serde_json::json;
use solana_signature::Signature;

use super::notification::Notification;
use super::registry::Sockets;
use super::subscription::{LogsFilter, Subscription, Topic};
use crate::chain::{Commitment, Landed, State, View};
use crate::node::methods::with_context;

/// Slots told at once at most.
const SLOTS_MAX: u64 = 100_000;

/// What is known of a transaction.
#[derive(Debug, Clone, Copy)]
struct Told {
    slot: u64,
    level: Commitment,
    /// The age of the node when it executed the transaction.
    executed: u64,
}

/// What has been told so far.
#[derive(Debug, Default)]
pub struct Followed {
    age: u64,
    slot: Option<u64>,
    /// Transactions that can still change by themselves.
    live: HashMap<Signature, Option<Told>>,
    settled: HashMap<Signature, Option<Told>>,
}

impl Followed {
    pub const fn age(&self) -> u64 {
        self.age
    }
}

/// A transaction that has reached a commitment.
struct Reached {
    signature: Signature,
    position: (u64, u32),
    level: Commitment,
    executed: u64,
}

impl Sockets {
    /// Looks at everything again at the next change.
    pub fn look_again(&mut self) {
        let settled = std::mem::take(&mut self.followed.settled);
        self.followed.live.extend(settled);
    }

    /// Tells what has changed on the chain.
    pub fn follow(&mut self, view: &View, state: &State, touched: &[Signature]) {
        self.followed.age += 1;
        for signature in touched {
            let told = self.followed.settled.remove(signature).flatten();
            self.followed.live.entry(*signature).or_insert(told);
        }
        self.follow_slots(view, state);
        let mut reached = self.followed.reach(view, state);
        reached.sort_by_key(|one| (one.position, one.level));
        for one in reached {
            if let Some(landed) = state.ledger.get(&one.signature) {
                self.tell(view, state, landed, &one);
            }
        }
    }

    fn follow_slots(&mut self, view: &View, state: &State) {
        let now = view.told_slot(state, Commitment::Processed);
        let before = self.followed.slot.replace(now).unwrap_or(now);
        // One that boasts has not seen what it skips.
        let before = before.max(now.saturating_sub(SLOTS_MAX));
        if self.to_slots().is_empty() {
            return;
        }
        let root = view.told_slot(state, Commitment::Finalized);
        for slot in before + 1..=now {
            let result = json!({ "slot": slot, "parent": slot - 1, "root": root });
            for subscription in self.to_slots() {
                self.notify(Notification::new(subscription, None, &result));
            }
        }
    }

    fn tell(&mut self, view: &View, state: &State, landed: &Landed, reached: &Reached) {
        let mut listeners = self.to_logs(LogsFilter::All);
        for key in landed.transaction.keys() {
            listeners.extend(self.to_logs(LogsFilter::Mentions(key)));
        }
        for subscription in listeners {
            // Logs are collected for those who listen when the transaction is executed.
            let listens = matches!(subscription.topic, Topic::Logs(_, level) if level == reached.level)
                && subscription.made < reached.executed;
            if listens {
                self.tell_logs(view, state, landed, subscription);
            }
        }
        for subscription in self.to_signature(reached.signature) {
            if matches!(subscription.topic, Topic::Signature(_, level) if level == reached.level) {
                self.tell_signature(view, state, landed, subscription);
            }
        }
    }

    fn tell_logs(&mut self, view: &View, state: &State, landed: &Landed, to: Subscription) {
        let Topic::Logs(_, commitment) = to.topic else {
            return;
        };
        let slot = view.slot(state, commitment).max(landed.slot);
        let transaction = &landed.transaction;
        let value = json!({
            "signature": transaction.signature.to_string(),
            "err": transaction.error_json(),
            "logs": transaction.logs,
        });
        let result = with_context(slot, &value);
        self.notify(Notification::new(to, Some(transaction.signature), &result));
    }

    /// Tells about one transaction; that ends the subscription.
    pub fn tell_signature(
        &mut self,
        view: &View,
        state: &State,
        landed: &Landed,
        to: Subscription,
    ) {
        let Topic::Signature(signature, commitment) = to.topic else {
            return;
        };
        let slot = view.slot(state, commitment).max(landed.slot);
        let value = json!({ "err": landed.transaction.error_json() });
        let result = with_context(slot, &value);
        self.notify(Notification::new(to, Some(signature), &result));
        self.unsubscribe(to.socket, to.id);
    }
}

impl Followed {
    fn reach(&mut self, view: &View, state: &State) -> Vec<Reached> {
        let mut reached = Vec::new();
        let mut settled = Vec::new();
        let mut gone = Vec::new();
        for (signature, told) in &mut self.live {
            let landed = state.ledger.get(signature);
            let Some(landed) = landed else {
                gone.push(*signature);
                continue;
            };
            let Some(level) = view.level(state, landed) else {
                *told = None;
                continue;
            };
            let before = told.filter(|told| told.slot == landed.slot);
            let executed = before.map_or(self.age, |told| told.executed);
            *told = Some(Told {
                slot: landed.slot,
                level,
                executed,
            });
            for new in LEVELS {
                if new <= level && before.is_none_or(|told| new > told.level) {
                    reached.push(Reached {
                        signature: *signature,
                        position: (landed.slot, landed.index),
                        level: new,
                        executed,
                    });
                }
            }
            if level == Commitment::Finalized {
                settled.push(*signature);
            }
        }
        for signature in gone {
            self.live.remove(&signature);
        }
        for signature in settled {
            if let Some(told) = self.live.remove(&signature) {
                self.settled.insert(signature, told);
            }
        }
        reached
    }
}

const LEVELS: [Commitment; 3] = [
    Commitment::Processed,
    Commitment::Confirmed,
    Commitment::Finalized,
];
