//! What one node sees of the chain, and what it says about it.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use solana_pubkey::Pubkey;
use solana_signature::Signature;

use super::ledger::{Landed, Position};
use super::{Commitment, FakeAccount, Lie, State};

/// How one node sees the chain: late, stuck, with holes, or not as it is.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// It is so many slots behind.
    pub lag: u64,
    /// It sees nothing after this slot.
    pub stuck_at: Option<u64>,
    /// It says that it is so many slots further than it is.
    pub boast: u64,
    /// It does not know these transactions.
    pub hidden: HashSet<Signature>,
    /// It has forgotten what happened before this slot.
    pub history_from: u64,
    /// What it says wrongly of transactions.
    pub lies: HashMap<Signature, Lie>,
    /// It does not know when blocks were produced.
    pub is_timeless: bool,
    /// Transactions that are on no chain but its own.
    pub(crate) invented: HashMap<Signature, Landed>,
}

/// A transaction as a node tells of it, and how settled it is there.
pub type Seen<'a> = (Cow<'a, Landed>, Commitment);

impl View {
    /// The newest slot that it sees at a commitment.
    pub(crate) fn slot(&self, state: &State, commitment: Commitment) -> u64 {
        let behind = state.slots.tip().saturating_sub(self.lag);
        let tip = self.stuck_at.map_or(behind, |stuck| behind.min(stuck));
        state.slots.slot(commitment, tip)
    }

    /// The newest slot at a commitment as it tells it.
    pub(crate) fn told_slot(&self, state: &State, commitment: Commitment) -> u64 {
        self.slot(state, commitment).saturating_add(self.boast)
    }

    pub(crate) fn height(&self, state: &State, commitment: Commitment) -> u64 {
        state.slots.height(self.slot(state, commitment))
    }

    /// The time of a slot, if it is known here.
    pub(crate) fn time(&self, state: &State, slot: u64) -> Option<i64> {
        state.times.of(slot).filter(|_| !self.is_timeless)
    }

    /// How settled a transaction is here, if it is known at all.
    pub(crate) fn level(&self, state: &State, landed: &Landed) -> Option<Commitment> {
        self.see(state, landed).map(|(_, level)| level)
    }

    /// A transaction as it is told here, if it is known at all.
    fn see<'a>(&self, state: &State, landed: &'a Landed) -> Option<Seen<'a>> {
        let signature = &landed.transaction.signature;
        let told = match self.lies.get(signature) {
            Some(lie) => Cow::Owned(lie.told(landed)),
            None => Cow::Borrowed(landed),
        };
        let is_known = told.slot <= self.slot(state, Commitment::Processed)
            && told.slot >= self.history_from
            && !self.hidden.contains(signature);
        if !is_known {
            return None;
        }
        let level = self.level_of(state, &told);
        Some((told, level))
    }

    /// How settled what landed so is for whoever has come so far.
    fn level_of(&self, state: &State, landed: &Landed) -> Commitment {
        landed.pinned.unwrap_or_else(|| {
            if landed.slot <= self.slot(state, Commitment::Finalized) {
                Commitment::Finalized
            } else if landed.slot <= self.slot(state, Commitment::Confirmed) {
                Commitment::Confirmed
            } else {
                Commitment::Processed
            }
        })
    }

    /// The transaction, if it is known at least at this commitment.
    pub(crate) fn find<'a>(
        &'a self,
        state: &'a State,
        signature: &Signature,
        least: Commitment,
    ) -> Option<Seen<'a>> {
        let invented = self.invented.get(signature);
        let landed = invented.or_else(|| state.ledger.get(signature))?;
        self.see(state, landed).filter(|(_, level)| *level >= least)
    }

    /// The transactions that mention a key and are known at least at this commitment, newest first.
    pub(crate) fn mentioning<'a>(
        &'a self,
        state: &'a State,
        key: &'a Pubkey,
        least: Commitment,
    ) -> Box<dyn Iterator<Item = Seen<'a>> + 'a> {
        let is_shadowed = |landed: &&Landed| {
            let signature = &landed.transaction.signature;
            !self.invented.contains_key(signature)
        };
        let landed = state.ledger.mentioning(key).filter(is_shadowed);
        let seen = move |landed| self.see(state, landed).filter(|(_, level)| *level >= least);
        if self.lies.is_empty() && self.invented.is_empty() {
            return Box::new(landed.filter_map(seen));
        }
        let invented = self.invented.values();
        let invented = invented.filter(|landed| landed.transaction.mentions(key));
        let mut all: Vec<Seen<'a>> = landed.chain(invented).filter_map(seen).collect();
        all.sort_by_key(|(landed, _)| Reverse((landed.slot, landed.index)));
        Box::new(all.into_iter())
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

    /// The account with everything that is settled enough: whatever a node says of transactions, or has forgotten of them,
    /// its accounts are the chain's.
    pub(crate) fn account(
        &self,
        state: &State,
        key: &Pubkey,
        least: Commitment,
    ) -> Option<FakeAccount> {
        let tip = self.slot(state, Commitment::Processed);
        let is_settled = |by: &Signature| {
            let landed = state.ledger.get(by).filter(|landed| landed.slot <= tip);
            landed.is_some_and(|landed| self.level_of(state, landed) >= least)
        };
        let base = state.accounts.get(key).cloned();
        state
            .changes
            .get(key)
            .into_iter()
            .flatten()
            .filter(|change| is_settled(&change.by))
            .fold(base, FakeAccount::changed)
    }
}
