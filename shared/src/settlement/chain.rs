//! Payments that were seen on chain: recorded at confirmed, settled at finalized, taken back when the chain forgets
//! them. Whatever cannot pay its invoice goes to the owner's balance.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use serde_json::json;
use solana_pubkey::Pubkey;
use sqlx::PgExecutor;
use time::OffsetDateTime;
use uuid::Uuid;

use super::SettlementError;
use crate::chain::{Commitment, Verdict};
use crate::events::Publication;
use crate::ids::{InvoiceId, TraceId};
use crate::invoices::Rail;

/// A verified transaction to record.
#[derive(Debug)]
pub struct ChainPayment {
    /// Its signature.
    pub signature: String,
    /// Where it landed.
    pub slot: u64,
    /// When it landed, in seconds since 1970, if a node said; else it is the time at which it was first seen.
    pub block_time: Option<i64>,
    /// How sure the chain is.
    pub commitment: Commitment,
    /// What it did.
    pub verdict: Verdict,
    /// How many deposit accounts were known when it was judged.
    pub accounts_known: i32,
}

/// How to settle what is recorded.
#[derive(Debug, Clone, Copy, Default)]
pub struct SettleRules {
    /// Whether confirmed payments settle.
    pub at_confirmed: bool,
    /// The price of a SOL, micro-USD, if it is known now: what pays no invoice in time waits for it.
    pub sol_price_micro: Option<i64>,
    /// What is left open and worth less is counted instead of listed, micro-USD.
    pub dust_below_micro: i64,
}

/// What recording led to.
#[derive(Debug)]
pub struct Recorded {
    /// Invoices that it paid.
    pub paid: Vec<InvoiceId>,
    /// Events of the transaction.
    pub publication: Option<Publication>,
}

/// Records transactions and settles what they settle, all of it or nothing: final payments, and confirmed ones if the rules
/// say so. Twice is like once. An invoice that cannot be settled is set aside and listed; it fails nothing. With `wait_max`
/// nobody who holds a lock is waited for for longer, and the error is transient.
///
/// Amounts of ours beyond what the database counts in are refused like any other broken rule; the caller lists them for
/// an operator.
pub async fn record_chain_payments(
    executor: impl PgExecutor<'_>,
    payments: &[&ChainPayment],
    rules: &SettleRules,
    watcher: Option<Uuid>,
    wait_max: Option<Duration>,
    trace: &TraceId,
) -> Result<Recorded, SettlementError> {
    let looks = payments.iter().map(|payment| Look::of(payment));
    let looks: Vec<Look<'_>> = looks.collect::<Result<_, _>>()?;
    let row = sqlx::query!(
        r#"select paid as "paid!", batch_id, topics, messages from record_chain_looks($1, $2, $3, $4, $5, $6, $7)"#,
        json!(looks),
        rules.at_confirmed,
        rules.sol_price_micro,
        rules.dust_below_micro,
        watcher,
        wait_max.map(|wait| i32::try_from(wait.as_millis()).unwrap_or(i32::MAX)),
        trace.as_str()
    )
    .fetch_one(executor)
    .await?;
    Ok(Recorded {
        paid: row.paid.into_iter().map(InvoiceId::from_row).collect(),
        publication: Publication::from_row(row.batch_id, row.topics, row.messages),
    })
}

/// One look, column by column, as the database's `chain_look`.
#[derive(Serialize)]
struct Look<'a> {
    signature: &'a str,
    slot: i64,
    #[serde(with = "time::serde::rfc3339::option")]
    landed_at: Option<OffsetDateTime>,
    is_final: bool,
    accounts_known: i32,
    accounts: Vec<String>,
    nets: Vec<i64>,
    credit_accounts: Vec<String>,
    credit_invoices: Vec<&'a str>,
    credit_units: Vec<i64>,
    open_accounts: Vec<String>,
    /// Of what is not ours there may be more units than JSON's readers and the database count in elsewhere.
    open_units: Vec<String>,
    open_reasons: Vec<&'static str>,
    open_invoices: Vec<Option<&'a str>>,
    open_rails: Vec<Option<&'static str>>,
    out_accounts: Vec<String>,
    out_units: Vec<i64>,
}

impl<'a> Look<'a> {
    fn of(payment: &'a ChainPayment) -> Result<Self, SettlementError> {
        let Verdict {
            gains,
            credits,
            open,
            outflows,
        } = &payment.verdict;
        let (accounts, nets) = counted(gains)?;
        let (out_accounts, out_units) = counted(outflows)?;
        let credit_units = credits.iter().map(|credit| count(credit.units));
        Ok(Self {
            signature: &payment.signature,
            slot: count(payment.slot)?,
            landed_at: payment.block_time.and_then(moment),
            is_final: payment.commitment == Commitment::Finalized,
            accounts_known: payment.accounts_known,
            accounts,
            nets,
            credit_accounts: credits.iter().map(|one| one.account.to_string()).collect(),
            credit_invoices: credits.iter().map(|one| one.invoice.as_str()).collect(),
            credit_units: credit_units.collect::<Result<_, _>>()?,
            open_accounts: open.iter().map(|one| one.account.to_string()).collect(),
            open_units: open.iter().map(|one| one.units.to_string()).collect(),
            open_reasons: open.iter().map(|one| one.reason.name()).collect(),
            open_invoices: open
                .iter()
                .map(|one| one.invoice.as_ref().map(InvoiceId::as_str))
                .collect(),
            open_rails: open.iter().map(|one| one.rail.map(Rail::id)).collect(),
            out_accounts,
            out_units,
        })
    }
}

/// Accounts and their units.
fn counted(units: &BTreeMap<Pubkey, u64>) -> Result<(Vec<String>, Vec<i64>), SettlementError> {
    let count = |(account, units): (&Pubkey, &u64)| Ok((account.to_string(), count(*units)?));
    units.iter().map(count).collect()
}

/// The chain's time, unless it is nonsense.
fn moment(seconds: i64) -> Option<OffsetDateTime> {
    let at = OffsetDateTime::from_unix_timestamp(seconds).ok();
    at.filter(|_| seconds > 0)
}

/// The database counts in signed integers.
fn count(units: u64) -> Result<i64, SettlementError> {
    i64::try_from(units).map_err(|_| SettlementError::TooLarge(units))
}

/// Takes back what was confirmed and is gone for good; `None` when there was nothing to take back.
pub async fn reverse_chain_payment(
    executor: impl PgExecutor<'_>,
    signature: &str,
    sol_price_micro: Option<i64>,
    trace: &TraceId,
) -> Result<Option<Option<Publication>>, SettlementError> {
    let row = sqlx::query!(
        r#"select reversed as "reversed!", batch_id, topics, messages from reverse_chain_payment($1, $2, $3)"#,
        signature,
        sol_price_micro,
        trace.as_str()
    )
    .fetch_one(executor)
    .await?;
    let publication = Publication::from_row(row.batch_id, row.topics, row.messages);
    Ok(row.reversed.then_some(publication))
}
