//! The test's hand on the chain.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use solana_hash::Hash;
use solana_pubkey::Pubkey;
use solana_signature::Signature;

use super::{Commitment, FakeAccount, Observer, State, Ticker, View};
use crate::transaction::FakeTransaction;

/// What the chain cannot do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// Neither landed nor prepared.
    #[error("the chain does not know {0}")]
    Unknown(Signature),
    /// It is in no block.
    #[error("{0} is in no block")]
    NotLanded(Signature),
}

/// A chain in memory; clones are the same chain.
#[derive(Clone)]
pub struct FakeChain {
    state: Arc<Mutex<State>>,
}

impl Default for FakeChain {
    fn default() -> Self {
        Self::new()
    }
}

impl FakeChain {
    /// A chain at slot 1,000 with height 900, confirmed one slot and finalized 31 slots behind.
    #[must_use]
    pub fn new() -> Self {
        Self {
            state: Arc::new(Mutex::new(State::new(rand::random()))),
        }
    }

    /// The same, with the same blockhashes each time.
    #[must_use]
    pub fn seeded(seed: [u8; 24]) -> Self {
        Self {
            state: Arc::new(Mutex::new(State::new(seed))),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn observe(&self, observer: Weak<dyn Observer>) {
        self.lock().observe(observer);
    }

    /// Produces slots, each with a block.
    pub fn advance(&self, slots: u64) {
        let mut state = self.lock();
        for _ in 0..slots {
            state.produce();
            state.announce(&[]);
        }
    }

    /// Produces slots without blocks: the height stays.
    pub fn skip(&self, slots: u64) {
        let mut state = self.lock();
        for _ in 0..slots {
            state.skip();
            state.announce(&[]);
        }
    }

    /// Jumps to a slot, also backwards, as a node does that restarts from an old snapshot.
    pub fn set_slot(&self, slot: u64) {
        let mut state = self.lock();
        state.jump(slot);
        state.announce(&[]);
    }

    /// Produces a slot at every beat while the ticker lives.
    pub fn tick_every(&self, beat: Duration) -> Ticker {
        Ticker::start(self.clone(), beat)
    }

    /// Keeps a commitment so many slots behind the tip.
    pub fn set_behind(&self, commitment: Commitment, slots: u64) {
        let mut state = self.lock();
        state.slots.set_behind(commitment, slots);
        state.announce(&[]);
    }

    /// Holds a commitment at a slot, as when the cluster stops voting.
    pub fn hold_at(&self, commitment: Commitment, slot: u64) {
        let mut state = self.lock();
        state.slots.set_at(commitment, slot);
        state.announce(&[]);
    }

    /// The newest slot.
    #[must_use]
    pub fn slot(&self) -> u64 {
        self.lock().slots.tip()
    }

    /// The newest slot at a commitment.
    #[must_use]
    pub fn slot_at(&self, commitment: Commitment) -> u64 {
        View::default().slot(&self.lock(), commitment)
    }

    /// The newest block height at a commitment.
    #[must_use]
    pub fn height_at(&self, commitment: Commitment) -> u64 {
        View::default().height(&self.lock(), commitment)
    }

    /// The blockhash of the newest slot.
    #[must_use]
    pub fn blockhash(&self) -> Hash {
        let state = self.lock();
        state.slots.blockhash(state.slots.tip())
    }

    /// The hash that names the chain.
    #[must_use]
    pub fn genesis_hash(&self) -> Hash {
        self.lock().slots.genesis_hash()
    }

    /// Puts a transaction into the block of the newest slot: processed now, and more as slots come.
    #[expect(
        clippy::must_use_candidate,
        reason = "a test that has built the transaction knows its signature"
    )]
    pub fn land(&self, transaction: FakeTransaction) -> Signature {
        let slot = self.slot();
        self.land_in(transaction, slot)
    }

    /// Puts a transaction into the block of a slot.
    #[expect(
        clippy::must_use_candidate,
        reason = "a test that has built the transaction knows its signature"
    )]
    pub fn land_in(&self, transaction: FakeTransaction, slot: u64) -> Signature {
        let signature = transaction.signature;
        let mut state = self.lock();
        state.land(Arc::new(transaction), slot);
        state.announce(&[signature]);
        signature
    }

    /// Puts many transactions into the block of the newest slot.
    pub fn land_all(&self, transactions: impl IntoIterator<Item = FakeTransaction>) {
        // They may be built with the chain's help, one by one.
        let transactions: Vec<_> = transactions.into_iter().collect();
        let touched: Vec<_> = transactions.iter().map(|one| one.signature).collect();
        let mut state = self.lock();
        let slot = state.slots.tip();
        for transaction in transactions {
            state.land(Arc::new(transaction), slot);
        }
        state.announce(&touched);
    }

    /// Makes a transaction known that lands when a node is asked to send it, or by [`Self::reland`].
    #[expect(
        clippy::must_use_candidate,
        reason = "a test that has built the transaction knows its signature"
    )]
    pub fn prepare(&self, transaction: FakeTransaction) -> Signature {
        let signature = transaction.signature;
        self.lock().ledger.prepare(Arc::new(transaction));
        signature
    }

    /// Fixes a transaction at processed.
    pub fn process(&self, signature: &Signature) -> Result<(), ChainError> {
        self.pin(signature, Some(Commitment::Processed))
    }

    /// Fixes a transaction at confirmed, whatever its slot.
    pub fn confirm(&self, signature: &Signature) -> Result<(), ChainError> {
        self.pin(signature, Some(Commitment::Confirmed))
    }

    /// Fixes a transaction at finalized, whatever its slot.
    pub fn finalize(&self, signature: &Signature) -> Result<(), ChainError> {
        self.pin(signature, Some(Commitment::Finalized))
    }

    /// Lets the slot of a transaction tell again how settled it is.
    pub fn unpin(&self, signature: &Signature) -> Result<(), ChainError> {
        self.pin(signature, None)
    }

    fn pin(&self, signature: &Signature, level: Option<Commitment>) -> Result<(), ChainError> {
        let mut state = self.lock();
        if !state.ledger.pin(signature, level) {
            return Err(ChainError::NotLanded(*signature));
        }
        state.announce(&[*signature]);
        Ok(())
    }

    /// Produces as many slots as a transaction needs to reach a commitment by itself.
    pub fn advance_until(
        &self,
        signature: &Signature,
        commitment: Commitment,
    ) -> Result<(), ChainError> {
        let mut state = self.lock();
        let landed = state.ledger.get(signature);
        let slot = landed.ok_or(ChainError::NotLanded(*signature))?.slot;
        let view = View::default();
        let start = state.slots.tip();
        while view.slot(&state, commitment) < slot && state.slots.tip() < start + MOST_SLOTS {
            state.produce();
            state.announce(&[]);
        }
        Ok(())
    }

    /// Takes a transaction out of its block: its fork died.
    pub fn fork_out(&self, signature: &Signature) -> Result<(), ChainError> {
        let mut state = self.lock();
        if !state.ledger.fork_out(signature) {
            return Err(ChainError::NotLanded(*signature));
        }
        state.announce(&[*signature]);
        Ok(())
    }

    /// Puts a transaction that is known into another slot.
    pub fn reland(&self, signature: &Signature, slot: u64) -> Result<(), ChainError> {
        let mut state = self.lock();
        let landed = state.ledger.get(signature);
        let transaction = landed
            .map(|landed| Arc::clone(&landed.transaction))
            .or_else(|| state.ledger.prepared(signature))
            .ok_or(ChainError::Unknown(*signature))?;
        state.land(transaction, slot);
        state.announce(&[*signature]);
        Ok(())
    }

    /// How settled a transaction is for a node that sees everything; none when it is in no block.
    #[must_use]
    pub fn status(&self, signature: &Signature) -> Option<Commitment> {
        let state = self.lock();
        let view = View::default();
        let found = view.find(&state, signature, Commitment::Processed);
        found.map(|(_, level)| level)
    }

    /// The slot of a transaction.
    #[must_use]
    pub fn slot_of(&self, signature: &Signature) -> Option<u64> {
        self.lock().ledger.get(signature).map(|landed| landed.slot)
    }

    /// Gives an account its state before all transactions.
    pub fn set_account(&self, key: Pubkey, account: FakeAccount) {
        self.lock().accounts.insert(key, account);
    }

    /// Takes away what [`Self::set_account`] gave.
    pub fn remove_account(&self, key: &Pubkey) {
        self.lock().accounts.remove(key);
    }

    /// The account with all its transactions.
    #[must_use]
    pub fn account(&self, key: &Pubkey) -> Option<FakeAccount> {
        View::default().account(&self.lock(), key, Commitment::Processed)
    }

    /// Sets the clock that blocks are dated by, unix seconds; none lets it follow the wall's again.
    pub fn set_clock(&self, seconds: Option<i64>) {
        self.lock().times.set_clock(seconds);
    }

    /// What time it is on this chain, unix seconds.
    #[must_use]
    pub fn now(&self) -> i64 {
        self.lock().times.now()
    }

    /// What nodes say of a slot's time; none when they do not know it.
    pub fn set_block_time(&self, slot: u64, seconds: Option<i64>) {
        self.lock().times.tell(slot, seconds);
    }

    /// When a slot was produced.
    #[must_use]
    pub fn block_time(&self, slot: u64) -> Option<i64> {
        self.lock().times.of(slot)
    }

    /// How long a slot takes, for performance samples.
    pub fn set_slot_milliseconds(&self, milliseconds: u64) {
        self.lock().slot_milliseconds = milliseconds;
    }

    /// What a byte of rent exemption costs.
    pub fn set_lamports_per_byte(&self, lamports: u64) {
        self.lock().lamports_per_byte = lamports;
    }

    /// What nodes say that others have paid lately.
    pub fn set_prioritization_fee(&self, micro_lamports: u64) {
        self.lock().prioritization_fee = micro_lamports;
    }
}

/// More slots than this are no way to a commitment that is held back.
const MOST_SLOTS: u64 = 10_000;
