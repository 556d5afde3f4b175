//! The transactions of the chain, by signature and by key.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use solana_pubkey::Pubkey;
use solana_signature::Signature;

use super::Commitment;
use crate::transaction::FakeTransaction;

/// A transaction in a block.
#[derive(Debug, Clone)]
pub struct Landed {
    pub transaction: Arc<FakeTransaction>,
    pub slot: u64,
    /// Its place in the block.
    pub index: u32,
    /// What the test has fixed it at; else its slot tells.
    pub pinned: Option<Commitment>,
}

/// Where a transaction stands in the order of the chain.
pub type Position = (u64, u32);

#[derive(Debug, Default)]
pub struct Ledger {
    landed: HashMap<Signature, Landed>,
    prepared: HashMap<Signature, Arc<FakeTransaction>>,
    by_key: HashMap<Pubkey, BTreeMap<Position, Signature>>,
    next_index: HashMap<u64, u32>,
}

impl Ledger {
    /// Keeps a transaction that is in no block.
    pub fn prepare(&mut self, transaction: Arc<FakeTransaction>) {
        self.prepared.insert(transaction.signature, transaction);
    }

    pub fn prepared(&self, signature: &Signature) -> Option<Arc<FakeTransaction>> {
        self.prepared.get(signature).cloned()
    }

    pub fn land(&mut self, transaction: Arc<FakeTransaction>, slot: u64) {
        let signature = transaction.signature;
        self.remove(&signature);
        self.prepared.remove(&signature);
        let index = self.next_index.entry(slot).or_default();
        let landed = Landed {
            transaction,
            slot,
            index: *index,
            pinned: None,
        };
        *index += 1;
        for key in landed.transaction.keys() {
            let rows = self.by_key.entry(key).or_default();
            rows.insert((slot, landed.index), signature);
        }
        self.landed.insert(signature, landed);
    }

    /// Takes a transaction out of its block; it can land again.
    pub fn fork_out(&mut self, signature: &Signature) -> bool {
        let Some(landed) = self.remove(signature) else {
            return false;
        };
        self.prepare(landed.transaction);
        true
    }

    fn remove(&mut self, signature: &Signature) -> Option<Landed> {
        let landed = self.landed.remove(signature)?;
        for key in landed.transaction.keys() {
            if let Some(rows) = self.by_key.get_mut(&key) {
                rows.remove(&(landed.slot, landed.index));
            }
        }
        Some(landed)
    }

    pub fn pin(&mut self, signature: &Signature, commitment: Option<Commitment>) -> bool {
        self.landed
            .get_mut(signature)
            .map(|landed| landed.pinned = commitment)
            .is_some()
    }

    pub fn get(&self, signature: &Signature) -> Option<&Landed> {
        self.landed.get(signature)
    }

    /// The transactions that mention a key, newest first.
    pub fn mentioning(&self, key: &Pubkey) -> impl Iterator<Item = &Landed> {
        self.by_key
            .get(key)
            .into_iter()
            .flat_map(|rows| rows.values().rev())
            .filter_map(|signature| self.landed.get(signature))
    }

    pub fn signatures(&self) -> impl Iterator<Item = &Signature> {
        self.landed.keys()
    }

    pub fn count(&self) -> usize {
        self.landed.len()
    }
}
