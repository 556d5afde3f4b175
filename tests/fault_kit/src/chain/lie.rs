//! What a node says that is not so.

use std::sync::Arc;

use super::{Commitment, Landed};
use crate::transaction::FakeTransaction;

/// What one node says about one transaction that landed: what is none, it says truly.
#[derive(Debug, Clone, Default)]
pub struct Lie {
    /// Another outcome: the error, the balances, whatever a transaction has.
    pub transaction: Option<FakeTransaction>,
    /// Another slot.
    pub slot: Option<u64>,
    /// Another commitment, whatever the slot.
    pub level: Option<Commitment>,
}

impl Lie {
    /// It did something else.
    #[must_use]
    pub fn effect(transaction: FakeTransaction) -> Self {
        Self {
            transaction: Some(transaction),
            ..Self::default()
        }
    }

    /// It landed in another slot.
    #[must_use]
    pub fn slot(slot: u64) -> Self {
        Self {
            slot: Some(slot),
            ..Self::default()
        }
    }

    /// It is settled so well, or so badly.
    #[must_use]
    pub fn level(level: Commitment) -> Self {
        Self {
            level: Some(level),
            ..Self::default()
        }
    }

    /// The transaction as the node tells of it.
    pub(crate) fn told(&self, landed: &Landed) -> Landed {
        let transaction = self.transaction.clone().map(Arc::new);
        Landed {
            transaction: transaction.unwrap_or_else(|| Arc::clone(&landed.transaction)),
            slot: self.slot.unwrap_or(landed.slot),
            index: landed.index,
            pinned: self.level.or(landed.pinned),
        }
    }
}
