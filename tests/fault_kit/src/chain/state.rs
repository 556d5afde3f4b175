//! The chain's data, and who is told about a change.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use solana_hash::Hash;
use solana_pubkey::Pubkey;
use solana_signature::Signature;

use super::accounts::{Change, FakeAccount, TokenChange};
use super::ledger::Ledger;
use super::slots::Slots;
use super::times::BlockTimes;
use crate::transaction::FakeTransaction;

const SLOT_MILLISECONDS: u64 = 400;
const LAMPORTS_PER_BYTE: u64 = 6_960;
/// What every account pays for beside its data.
const ACCOUNT_OVERHEAD: u64 = 128;

/// Somebody who follows the chain.
pub trait Observer: Send + Sync {
    /// Called after every step, with the transactions that were moved by hand.
    fn changed(&self, state: &State, touched: &[Signature]);
}

/// The whole model.
pub struct State {
    pub slots: Slots,
    pub times: BlockTimes,
    pub ledger: Ledger,
    pub accounts: HashMap<Pubkey, FakeAccount>,
    pub changes: HashMap<Pubkey, Vec<Change>>,
    pub slot_milliseconds: u64,
    pub lamports_per_byte: u64,
    pub prioritization_fee: u64,
    observers: Vec<Weak<dyn Observer>>,
}

impl State {
    pub fn new(seed: [u8; 24]) -> Self {
        let slots = Slots::new(seed);
        Self {
            times: BlockTimes::new(slots.tip()),
            slots,
            ledger: Ledger::default(),
            accounts: HashMap::new(),
            changes: HashMap::new(),
            slot_milliseconds: SLOT_MILLISECONDS,
            lamports_per_byte: LAMPORTS_PER_BYTE,
            prioritization_fee: 0,
            observers: Vec::new(),
        }
    }

    pub fn observe(&mut self, observer: Weak<dyn Observer>) {
        self.observers.push(observer);
    }

    /// Tells everybody who still listens.
    pub fn announce(&mut self, touched: &[Signature]) {
        self.observers.retain(|one| one.strong_count() > 0);
        let observers: Vec<Arc<dyn Observer>> =
            self.observers.iter().filter_map(Weak::upgrade).collect();
        for observer in observers {
            observer.changed(self, touched);
        }
    }

    /// Produces a slot with a block.
    pub fn produce(&mut self) {
        self.slots.next();
        self.times.produce(self.slots.tip());
    }

    /// Produces a slot without a block.
    pub fn skip(&mut self) {
        self.slots.skip();
        self.times.produce(self.slots.tip());
    }

    /// Is at a slot now, whatever came before.
    pub fn jump(&mut self, slot: u64) {
        self.slots.set_tip(slot);
        self.times.produce(slot);
    }

    pub fn land(&mut self, transaction: Arc<FakeTransaction>, slot: u64) {
        self.forget_changes(&transaction);
        for (key, change) in changes(&transaction) {
            self.changes.entry(key).or_default().push(change);
        }
        self.ledger.land(transaction, slot);
    }

    fn forget_changes(&mut self, transaction: &FakeTransaction) {
        for key in transaction.keys() {
            if let Some(changes) = self.changes.get_mut(&key) {
                changes.retain(|change| change.by != transaction.signature);
            }
        }
    }

    /// Whether a blockhash is good for a block after this slot.
    pub fn is_live(&self, blockhash: &Hash, slot: u64) -> bool {
        self.slots.slot_of(blockhash).is_some_and(|made| {
            made <= slot && self.slots.height(slot) <= self.slots.last_valid_height(made)
        })
    }

    pub const fn rent_exemption(&self, bytes: u64) -> u64 {
        (ACCOUNT_OVERHEAD + bytes) * self.lamports_per_byte
    }
}

fn changes(transaction: &FakeTransaction) -> Vec<(Pubkey, Change)> {
    let keys = transaction.keys();
    let before = transaction.pre_balances.iter();
    let lamports = before.zip(&transaction.post_balances);
    keys.zip(lamports)
        .enumerate()
        .filter_map(|(index, (key, (before, after)))| {
            let lamports = i128::from(*after) - i128::from(*before);
            let holding = transaction.tokens.iter().find(|row| row.index == index);
            let tokens = holding.map(TokenChange::of);
            let moved = tokens.as_ref().is_some_and(|tokens| tokens.delta != 0);
            (lamports != 0 || moved).then(|| {
                let by = transaction.signature;
                (
                    key,
                    Change {
                        by,
                        lamports,
                        tokens,
                    },
                )
            })
        })
        .collect()
}
