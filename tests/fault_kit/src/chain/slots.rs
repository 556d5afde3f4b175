//! Slots, block heights and blockhashes.

use std::collections::BTreeMap;

use solana_hash::Hash;

use super::Commitment;

/// How many blocks a blockhash lives.
pub const BLOCKHASH_LIFE: u64 = 150;
const FIRST_SLOT: u64 = 1_000;
/// Slots without a block before the first one, so that height and slot never look alike.
const FIRST_SKIPPED: u64 = 100;
const CONFIRMED_BEHIND: u64 = 1;
const FINALIZED_BEHIND: u64 = 31;

/// Where a commitment stands.
#[derive(Debug, Clone, Copy)]
enum Mark {
    Behind(u64),
    At(u64),
}

impl Mark {
    fn slot(self, tip: u64) -> u64 {
        match self {
            Self::Behind(distance) => tip.saturating_sub(distance),
            Self::At(slot) => slot.min(tip),
        }
    }
}

/// The progress of the chain.
#[derive(Debug)]
pub struct Slots {
    tip: u64,
    confirmed: Mark,
    finalized: Mark,
    /// From this slot on, so many slots had no block.
    skipped: BTreeMap<u64, u64>,
    seed: [u8; 24],
}

impl Slots {
    pub fn new(seed: [u8; 24]) -> Self {
        Self {
            tip: FIRST_SLOT,
            confirmed: Mark::Behind(CONFIRMED_BEHIND),
            finalized: Mark::Behind(FINALIZED_BEHIND),
            skipped: BTreeMap::from([(0, FIRST_SKIPPED)]),
            seed,
        }
    }

    pub const fn tip(&self) -> u64 {
        self.tip
    }

    pub fn set_tip(&mut self, slot: u64) {
        self.tip = slot;
    }

    pub fn next(&mut self) {
        self.tip += 1;
    }

    /// Goes one slot further without a block.
    pub fn skip(&mut self) {
        self.tip += 1;
        let skipped = self.skipped_at(self.tip) + 1;
        self.skipped.insert(self.tip, skipped);
    }

    pub fn set_behind(&mut self, commitment: Commitment, distance: u64) {
        self.set(commitment, Mark::Behind(distance));
    }

    pub fn set_at(&mut self, commitment: Commitment, slot: u64) {
        self.set(commitment, Mark::At(slot));
    }

    fn set(&mut self, commitment: Commitment, mark: Mark) {
        match commitment {
            Commitment::Processed => self.tip = mark.slot(self.tip),
            Commitment::Confirmed => self.confirmed = mark,
            Commitment::Finalized => self.finalized = mark,
        }
    }

    /// The newest slot at this commitment, for somebody who sees the chain up to `tip`.
    pub fn slot(&self, commitment: Commitment, tip: u64) -> u64 {
        match commitment {
            Commitment::Processed => tip,
            Commitment::Confirmed => self.confirmed.slot(tip),
            Commitment::Finalized => self.finalized.slot(tip),
        }
    }

    pub fn height(&self, slot: u64) -> u64 {
        slot.saturating_sub(self.skipped_at(slot))
    }

    /// Whether a slot had no block.
    pub fn is_skipped(&self, slot: u64) -> bool {
        slot.checked_sub(1)
            .is_some_and(|before| self.skipped_at(slot) > self.skipped_at(before))
    }

    fn skipped_at(&self, slot: u64) -> u64 {
        self.skipped
            .range(..=slot)
            .next_back()
            .map_or(0, |(_, skipped)| *skipped)
    }

    /// The blockhash of a slot: the slot itself, and what tells this chain from others.
    pub fn blockhash(&self, slot: u64) -> Hash {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&slot.to_be_bytes());
        bytes[8..].copy_from_slice(&self.seed);
        Hash::new_from_array(bytes)
    }

    /// The slot of one of this chain's blockhashes.
    pub fn slot_of(&self, blockhash: &Hash) -> Option<u64> {
        let (slot, seed) = blockhash.as_bytes().split_first_chunk::<8>()?;
        (seed == self.seed).then(|| u64::from_be_bytes(*slot))
    }

    /// The last height at which the blockhash of this slot is good.
    pub fn last_valid_height(&self, slot: u64) -> u64 {
        self.height(slot) + BLOCKHASH_LIFE
    }

    pub fn genesis_hash(&self) -> Hash {
        self.blockhash(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skipped_slots_do_not_count_for_the_height() {
        let mut slots = Slots::new([7; 24]);
        let height = slots.height(slots.tip());
        slots.next();
        slots.skip();
        slots.next();
        assert_eq!(slots.tip(), FIRST_SLOT + 3);
        assert_eq!(slots.height(slots.tip()), height + 2);
        assert_eq!(slots.height(FIRST_SLOT), height);
    }

    #[test]
    fn a_blockhash_belongs_to_its_chain() {
        let slots = Slots::new([7; 24]);
        assert_eq!(slots.slot_of(&slots.blockhash(5)), Some(5));
        assert_eq!(Slots::new([8; 24]).slot_of(&slots.blockhash(5)), None);
    }
}
