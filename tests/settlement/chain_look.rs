//! What watchers and operators do about transactions: looks at them, reversals, sweeps, decisions.

use shared::chain::Commitment;
use shared::ids::{InvoiceId, TraceId, UserId};
use shared::settlement::{
    AttributionRefusal, ChainPayment, CreditRefusal, DepositCredit, Recorded, SettleRules,
    SettlementError, attribute_deposit, credit_deposit, record_chain_payments,
    reverse_chain_payment, settle_ended_invoices,
};
use sqlx::PgPool;

use crate::chain_world::Effects;

/// A price of a SOL that is above every locked one.
pub const HIGH_PRICE: Option<i64> = Some(1_000_000_000_000);

/// How a transaction is looked at.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// How sure the chain is.
    pub commitment: Commitment,
    /// When it landed, by the chain.
    pub block_time: Option<i64>,
    /// How to settle.
    pub rules: SettleRules,
}

impl Look {
    /// A look at a commitment, when final payments settle and a SOL is worth more than any locked rate.
    pub fn at(commitment: Commitment) -> Self {
        Self {
            commitment,
            block_time: None,
            rules: SettleRules {
                sol_price_micro: HIGH_PRICE,
                ..SettleRules::default()
            },
        }
    }

    /// When a SOL is worth so much.
    pub fn priced(mut self, sol_price_micro: Option<i64>) -> Self {
        self.rules.sol_price_micro = sol_price_micro;
        self
    }

    /// At what landed so many seconds ago.
    pub fn landed(mut self, seconds_ago: i64) -> Self {
        let now = time::OffsetDateTime::now_utc().unix_timestamp();
        self.block_time = Some(now - seconds_ago);
        self
    }

    /// A transaction as it is seen so.
    pub fn payment(&self, signature: &str, effects: &Effects) -> ChainPayment {
        ChainPayment {
            signature: signature.to_owned(),
            slot: 1,
            block_time: self.block_time,
            commitment: self.commitment,
            verdict: effects.0.clone(),
            accounts_known: 0,
        }
    }

    /// Records what it shows.
    pub async fn record(
        &self,
        pool: &PgPool,
        signature: &str,
        effects: &Effects,
    ) -> Result<Recorded, SettlementError> {
        record_together(pool, &[self.payment(signature, effects)], &self.rules).await
    }
}

/// Records looks in one transaction.
pub async fn record_together(
    pool: &PgPool,
    payments: &[ChainPayment],
    rules: &SettleRules,
) -> Result<Recorded, SettlementError> {
    let payments: Vec<&ChainPayment> = payments.iter().collect();
    record_chain_payments(pool, &payments, rules, None, None, &TraceId::generate()).await
}

/// Records a look at a transaction; money settles when it is final.
pub async fn record(
    pool: &PgPool,
    signature: &str,
    commitment: Commitment,
    effects: &Effects,
) -> Recorded {
    let recorded = Look::at(commitment).record(pool, signature, effects).await;
    recorded.unwrap()
}

/// The same, and whether confirmed money settles is the caller's to say. It may be refused.
pub async fn try_record(
    pool: &PgPool,
    signature: &str,
    commitment: Commitment,
    effects: &Effects,
    at_confirmed: bool,
) -> Result<Recorded, SettlementError> {
    let mut look = Look::at(commitment);
    look.rules.at_confirmed = at_confirmed;
    look.record(pool, signature, effects).await
}

/// The chain has forgotten a transaction; whether there was something to take back.
pub async fn reverse(pool: &PgPool, signature: &str) -> bool {
    let reversed = reverse_chain_payment(pool, signature, HIGH_PRICE, &TraceId::generate()).await;
    reversed.unwrap().is_some()
}

/// Settles money that waits; how many invoices there were.
pub async fn release(pool: &PgPool) -> i32 {
    release_at(pool, HIGH_PRICE).await
}

/// The same, when a SOL is worth so much.
pub async fn release_at(pool: &PgPool, sol_price_micro: Option<i64>) -> i32 {
    let mut total = 0;
    loop {
        let trace = TraceId::generate();
        let released = settle_ended_invoices(pool, 100, sol_price_micro, &trace).await;
        let released = released.unwrap();
        total += released.count;
        if !released.has_more {
            return total;
        }
    }
}

/// What was set aside is to be tried again now.
pub async fn hurry(pool: &PgPool) {
    sqlx::query("update chain_credits set retry_at = now() where waits_for = 'not_creditable'")
        .execute(pool)
        .await
        .unwrap();
}

/// An operator gives a deposit to an invoice.
pub async fn attribute(
    pool: &PgPool,
    deposit: i64,
    invoice: &InvoiceId,
) -> Result<(), AttributionRefusal> {
    attribute_at(pool, deposit, invoice, HIGH_PRICE).await
}

/// The same, when a SOL is worth so much.
pub async fn attribute_at(
    pool: &PgPool,
    deposit: i64,
    invoice: &InvoiceId,
    price: Option<i64>,
) -> Result<(), AttributionRefusal> {
    let mut connection = pool.acquire().await.unwrap();
    let trace = TraceId::generate();
    let outcome = attribute_deposit(&mut connection, deposit, invoice, "as told", price, &trace);
    outcome.await.unwrap().map(drop)
}

/// An operator gives a deposit to a user, when a SOL is worth so much.
pub async fn give(
    pool: &PgPool,
    deposit: i64,
    user: UserId,
    price: Option<i64>,
) -> Result<DepositCredit, CreditRefusal> {
    let mut connection = pool.acquire().await.unwrap();
    let trace = TraceId::generate();
    let outcome = credit_deposit(&mut connection, deposit, user, "as told", price, &trace).await;
    outcome.unwrap()
}
