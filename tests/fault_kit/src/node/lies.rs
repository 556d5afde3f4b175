//! The test's hand on what a node says that is not so, and on what it has lost.

use std::sync::Arc;

use solana_signature::Signature;

use super::FakeNode;
use crate::chain::{Commitment, Landed, Lie};
use crate::transaction::FakeTransaction;

/// Behind every other transaction of its slot.
const LAST_INDEX: u32 = u32::MAX;

impl FakeNode {
    /// Says this of a transaction that landed.
    pub fn lie(&self, signature: &Signature, lie: Lie) {
        self.look(|view| {
            view.lies.insert(*signature, lie);
        });
    }

    /// Tells of a transaction that is on no chain, or no longer.
    pub fn invent(&self, transaction: FakeTransaction, slot: u64, level: Commitment) {
        let landed = Landed {
            transaction: Arc::new(transaction),
            slot,
            index: LAST_INDEX,
            pinned: Some(level),
        };
        self.look(|view| {
            view.invented.insert(landed.transaction.signature, landed);
        });
    }

    /// Says that it is so many slots further than it is.
    pub fn boast(&self, slots: u64) {
        self.look(|view| view.boast = slots);
    }

    /// Tells the truth about everything, as far as it sees it.
    pub fn be_honest(&self) {
        self.look(|view| {
            view.lies.clear();
            view.invented.clear();
            view.boast = 0;
            view.is_timeless = false;
        });
    }

    /// Knows nothing of what is in blocks so far.
    pub fn forget(&self) {
        let next = self.chain().slot() + 1;
        self.look(|view| view.history_from = next);
    }

    /// Knows everything again.
    pub fn recall(&self) {
        self.look(|view| view.history_from = 0);
    }

    /// Starts anew: its sockets are gone, and it has forgotten everything so far.
    pub fn restart(&self) {
        self.drop_sockets();
        self.forget();
    }

    /// What it says now of a transaction: its slot, how settled it is, and what it did.
    #[must_use]
    pub fn says(&self, signature: &Signature) -> Option<(u64, Commitment, FakeTransaction)> {
        let state = self.core.chain.lock();
        let inner = self.core.lock();
        let (told, level) = inner.view.find(&state, signature, Commitment::Processed)?;
        Some((told.slot, level, FakeTransaction::clone(&told.transaction)))
    }
}
