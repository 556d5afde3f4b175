//! What one node sees of the chain.

use std::collections::HashSet;

use solana_pubkey::Pubkey;
use solana_signature::Signature;

use super::ledger::{Landed, Position};
use super::{Commitment, FakeAccount, State};

/// How one node sees the chain: late, stuck, or with holes.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// It is so many slots behind.
    pub lag: u64,
    /// It sees nothing after this slot.
    pub stuck_at: Option<u64>,
    /// It does not know these transactions.
    pub hidden: HashSet<Signature>,
    /// It has forgotten what happened before this slot.
    pub history_from: u64,
}

impl View {
    /// The newest slot that it sees at a commitment.
    pub(crate) fn slot(&self, state: &State, commitment: Commitment) -> u64 {
        let behind = state.slots.tip().saturating_sub(self.lag);
        let tip = self.stuck_at.map_or(behind, |stuck| behind.min(stuck));
        state.slots.slot(commitment, tip)
    }

    pub(crate) fn height(&self, state: &State, commitment: Commitment) -> u64 {
        state.slots.height(self.slot(state, commitment))
    }

    /// How settled a transaction is here, if it is known at all.
    pub(crate) fn level(&self, state: &State, landed: &Landed) -> Option<Commitment> {
        let tip = self.slot(state, Commitment::Processed);
        let known = landed.slot <= tip
            && landed.slot >= self.history_from
            && !self.hidden.contains(&landed.transaction.signature);
        if !known {
            return None;
        }
        Some(landed.pinned.unwrap_or_else(|| {
            if landed.slot <= self.slot(state, Commitment::Finalized) {
                Commitment::Finalized
            } else if landed.slot <= self.slot(state, Commitment::Confirmed) {
                Commitment::Confirmed
            } else {
                Commitment::Processed
            }
        }))
    }

    /// The transaction, if it is known at least at this commitment.
    pub(crate) fn find<'a>(
        &self,
        state: &'a State,
        signature: &Signature,
        least: Commitment,
    ) -> Option<(&'a Landed, Commitment)> {
        let landed = state.ledger.get(signature)?;
        let level = self.level(state, landed)?;
        (level >= least).then_some((landed, level))
    }

    pub(crate) fn position(
        &self,
        state: &State,
        signature: &Signature,
        least: Commitment,
    ) -> Option<Position> {
        self.find(state, signature, least)
            .map(|(landed, _)| (landed.slot, landed.index))
    }

    /// The account with everything that is settled enough.
    pub(crate) fn account(
        &self,
        state: &State,
        key: &Pubkey,
        least: Commitment,
    ) -> Option<FakeAccount> {
        let base = state.accounts.get(key).cloned();
        state
            .changes
            .get(key)
            .into_iter()
            .flatten()
            .filter(|change| self.find(state, &change.by, least).is_some())
            .fold(base, FakeAccount::changed)
    }
}
