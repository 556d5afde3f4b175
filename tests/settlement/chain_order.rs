//! What the model of payments on chain is about: invoices, effects of transactions, money for operators.

use std::collections::BTreeMap;

/// Deposit accounts of the model, one per rail: lamports, and two tokens of six decimals that are dollars.
pub const RAILS: usize = 3;
/// Why money waits that was settled at confirmed and is gone.
pub const REVERSED: &str = "reversed_after_settlement";
/// Why money waits that replaced such money.
pub const CHANGED: &str = "changed_after_settlement";

/// Why money waits that could not be given to its owner.
pub const NOT_CREDITABLE: &str = "not_creditable";
/// Why money waits that is worth nobody knows what.
pub const AWAITING_PRICE: &str = "awaiting_price";
/// The largest balance.
pub const BALANCE_MAX: i64 = 9_007_199_254_740_991;

/// How sure the chain is of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sureness {
    /// Seen; may go away.
    Confirmed,
    /// For ever.
    Final,
    /// Gone.
    Reversed,
}

/// Where an invoice stands, as its row says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Not settled, swept or given up.
    Pending,
    /// Settled.
    Paid,
    /// Swept.
    Expired,
    /// Given up.
    Cancelled,
}

/// An invoice of the model.
#[derive(Debug, Clone)]
pub struct Order {
    /// Index of its user.
    pub owner: usize,
    /// Micro-USD.
    pub amount_micro: i64,
    /// Whether it credits the balance.
    pub topup: bool,
    /// Index of its deposit account.
    pub rail: usize,
    /// Locked price of one whole token, micro-USD; dollars have none.
    pub rate_micro: Option<i64>,
    /// The step in which its time ran out.
    pub lapsed_at: Option<usize>,
    /// It does not wait any longer for what landed before.
    pub grace_over: bool,
    /// Its state.
    pub status: Status,
    /// Waits for a payment to become final.
    pub confirming: bool,
    /// What it shows as received.
    pub received_micro: i64,
    /// Position of its stream.
    pub version: i64,
    /// What came out of the treasury for it.
    pub treasury_micro: i64,
}

impl Order {
    /// What units are worth, rounded down.
    pub fn worth(&self, units: u64) -> i64 {
        self.worth_at(units, self.rate_micro.unwrap_or(1_000_000))
    }

    /// What units that pay nothing are worth at a price of a SOL, rounded down.
    pub fn rest_worth(&self, units: u64, price: Option<i64>) -> Option<i64> {
        let price = match self.rate_micro {
            Some(locked) => price?.min(locked),
            None => 1_000_000,
        };
        Some(self.worth_at(units, price))
    }

    fn worth_at(&self, units: u64, price: i64) -> i64 {
        let decimals = if self.rail == 0 { 9 } else { 6 };
        let price = u128::try_from(price).unwrap();
        i64::try_from(u128::from(units) * price / 10_u128.pow(decimals)).unwrap()
    }

    /// The fewest units that are worth the amount.
    pub fn due(&self) -> u64 {
        let decimals = if self.rail == 0 { 9 } else { 6 };
        let rate = u128::try_from(self.rate_micro.unwrap_or(1_000_000)).unwrap();
        let amount = u128::try_from(self.amount_micro).unwrap() * 10_u128.pow(decimals);
        u64::try_from(amount.div_ceil(rate)).unwrap()
    }

    /// What its row must show: status, confirming, received, version, and what left the treasury.
    pub fn shown(&self) -> (&'static str, bool, i64, i64, i64) {
        let status = match self.status {
            Status::Pending => "pending",
            Status::Paid => "paid",
            Status::Expired => "expired",
            Status::Cancelled => "cancelled",
        };
        let confirming = self.confirming && self.status == Status::Pending;
        (
            status,
            confirming,
            self.received_micro,
            self.version,
            self.treasury_micro,
        )
    }

    /// Whether it can still be paid.
    pub fn is_open(&self) -> bool {
        self.status == Status::Pending && (!self.grace_over || self.confirming)
    }
}

/// What a transaction does, seen from one fork of the chain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Effect {
    /// Units by invoice.
    pub credits: BTreeMap<usize, u64>,
    /// Units by deposit account that are for no invoice.
    pub rest: [u64; RAILS],
}

/// Something for an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deposit {
    /// The transaction.
    pub transaction: usize,
    /// The account.
    pub rail: usize,
    /// Base units.
    pub units: u64,
    /// Why it waits.
    pub reason: &'static str,
    /// The invoice it has to do with.
    pub invoice: Option<usize>,
    /// What became of it.
    pub resolution: Option<&'static str>,
}
