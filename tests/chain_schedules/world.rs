//! The chain, its nodes, whoever pays and what for: all that a schedule moves outside of the watcher.

use std::collections::BTreeMap;

use fault_kit::transaction::TokenTransfer;
use fault_kit::{Commitment, FakeChain, FakeNode, FakeTransaction};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use shared::ids::{InvoiceId, UserId};
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signature::Signature;
use solana_signer::Signer;

use crate::ground::{Account, DECIMALS, Ground};
use crate::moods::Hand;
use crate::transactions::{Effect, effects};

/// How far the chain's clock is behind the wall's, so that it may run ahead.
const BEHIND_SECONDS: i64 = 3_000;
const SLOT_MS: i64 = 400;
const NODES_MAX: usize = 3;
/// A blockhash lives so many slots.
const LIFE_SLOTS: u64 = 150;

/// An invoice.
#[derive(Debug, Clone)]
pub struct Bill {
    /// Its id.
    pub id: InvoiceId,
    /// Its place among the accounts.
    pub account: usize,
    /// The key that names it.
    pub reference: Pubkey,
    /// What pays it, base units.
    pub units: u64,
    /// Whose it is.
    pub user: UserId,
    /// Its time is over on the chain's clock.
    pub is_over: bool,
}

/// Whose a part of a gain is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// This invoice's, by its place.
    Bills(usize),
    /// An operator's to decide.
    Operators,
}

/// A part of what an account gains by a transaction.
#[derive(Debug, Clone, Copy)]
pub struct Share {
    /// The account's place.
    pub account: usize,
    /// Whose it is.
    pub whose: Whose,
    /// Base units.
    pub units: u64,
}

/// One way in which a transaction may have come out.
#[derive(Debug, Clone)]
pub struct Version {
    /// The transaction.
    pub transaction: FakeTransaction,
    /// Whose its gains are.
    pub shares: Vec<Share>,
}

/// A transaction, in a block or not.
#[derive(Debug, Clone)]
pub struct Payment {
    /// The kind.
    pub what: &'static str,
    /// Its name.
    pub signature: Signature,
    /// How it came out first, and after forks.
    pub versions: Vec<Version>,
    /// Which of them is on the chain.
    pub landed: Option<usize>,
    /// It cannot land after this slot.
    pub last_slot: u64,
}

/// All of it.
pub struct World {
    /// What decides.
    pub rng: StdRng,
    /// The chain.
    pub chain: FakeChain,
    /// The nodes that watchers ask.
    pub hands: Vec<Hand>,
    /// A node that nobody asks: it sees everything and lies about nothing.
    pub truth: FakeNode,
    /// Whoever pays.
    pub payer: Keypair,
    /// The wallet that is paid.
    pub treasury: Keypair,
    /// The accounts that are paid.
    pub accounts: [Account; 3],
    /// Names all payments.
    pub beacon: Pubkey,
    /// Transfers from the payer, by account.
    pub transfers: [Option<TokenTransfer>; 3],
    /// Of a token that is worth nothing.
    pub junk: TokenTransfer,
    /// The users.
    pub users: Vec<UserId>,
    /// The invoices.
    pub bills: Vec<Bill>,
    /// The transactions.
    pub payments: Vec<Payment>,
    /// What happened.
    pub trace: Vec<String>,
    /// Nodes of no use are left out at once, and so none may lie.
    pub is_hasty: bool,
    /// The chain's clock, unix milliseconds.
    now_ms: i64,
}

impl World {
    /// A chain of some nodes on which nothing has been paid.
    pub fn new(ground: &Ground, seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let chain = ground.chain();
        let now_ms = (chain.now() - BEHIND_SECONDS) * 1_000;
        chain.set_clock(Some(now_ms / 1_000));
        chain.advance(1);
        let count = rng.random_range(1..=NODES_MAX);
        let is_hasty = rng.random_bool(0.2);
        let hands = (0..count).map(|_| Hand::on(&chain, rng.random()));
        let payer = Keypair::new_from_array([7; 32]);
        let between = |mint| {
            TokenTransfer::between(payer.pubkey(), ground.treasury.pubkey(), mint, DECIMALS, 0)
        };
        Self {
            hands: hands.collect(),
            truth: FakeNode::unserved(&chain),
            transfers: ground.accounts.map(|account| account.mint.map(between)),
            junk: between(Pubkey::new_from_array([9; 32])),
            accounts: ground.accounts,
            treasury: ground.treasury.insecure_clone(),
            beacon: ground.beacon,
            payer,
            chain,
            users: Vec::new(),
            bills: Vec::new(),
            payments: Vec::new(),
            trace: vec![format!("{count} nodes, hasty: {is_hasty}")],
            is_hasty,
            now_ms,
            rng,
        }
    }

    /// Writes down what happens.
    pub fn tell(&mut self, what: impl Into<String>) {
        self.trace.push(what.into());
    }

    /// One of these.
    pub fn pick<T: Clone>(&mut self, from: &[T]) -> Option<T> {
        from.choose(&mut self.rng).cloned()
    }

    /// Produces slots.
    pub fn produce(&mut self, slots: u64) {
        for _ in 0..slots {
            self.now_ms += SLOT_MS;
            self.chain.set_clock(Some(self.now_ms / 1_000));
            self.chain.advance(1);
        }
    }

    /// The chain's clock, unix seconds.
    pub fn now(&self) -> i64 {
        self.now_ms / 1_000
    }

    /// Lands a new transaction; returns its place.
    pub fn land(&mut self, what: &'static str, version: Version) -> usize {
        let signature = self.chain.land(version.transaction.clone());
        self.tell(format!(
            "{what} lands at {}: {}",
            self.chain.slot(),
            short(&signature)
        ));
        self.payments.push(Payment {
            what,
            signature,
            versions: vec![version],
            landed: Some(0),
            last_slot: self.chain.slot() + LIFE_SLOTS,
        });
        self.payments.len() - 1
    }

    /// Transactions that the chain may still forget.
    pub fn open_payments(&self) -> Vec<usize> {
        let is_open = |at: &usize| {
            let payment = &self.payments[*at];
            let status = self.chain.status(&payment.signature);
            payment.landed.is_some() && status != Some(Commitment::Finalized)
        };
        (0..self.payments.len()).filter(is_open).collect()
    }

    /// Transactions that the chain has forgotten and that may land again.
    pub fn vanished_payments(&self) -> Vec<usize> {
        let may_land = |at: &usize| {
            let payment = &self.payments[*at];
            payment.landed.is_none() && self.chain.slot() <= payment.last_slot
        };
        (0..self.payments.len()).filter(may_land).collect()
    }

    /// What is final on the chain did this, by signature.
    pub fn settled(&self) -> BTreeMap<String, (usize, [Effect; 3])> {
        let of = |(at, payment): (usize, &Payment)| {
            let (_, level, transaction) = self.truth.says(&payment.signature)?;
            let is_final = level == Commitment::Finalized;
            let done = effects(&transaction, &self.accounts);
            is_final.then(|| (payment.signature.to_string(), (at, done)))
        };
        self.payments.iter().enumerate().filter_map(of).collect()
    }
}

/// Enough of a signature to tell it from others.
pub fn short(signature: &impl ToString) -> String {
    signature.to_string().chars().take(6).collect()
}
