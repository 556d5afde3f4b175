//! Payments that were seen on chain: recorded at confirmed, settled at finalized, taken back when the chain forgets
//! them. Whatever cannot pay its invoice goes to the owner's balance.

use sqlx::PgExecutor;

use super::SettlementError;
use crate::chain::{Commitment, Verdict};
use crate::events::Publication;
use crate::ids::{InvoiceId, TraceId};

/// A verified transaction to record.
#[derive(Debug)]
pub struct ChainPayment<'a> {
    /// Its signature.
    pub signature: &'a str,
    /// Where it landed.
    pub slot: u64,
    /// How sure the chain is.
    pub commitment: Commitment,
    /// What it did.
    pub verdict: &'a Verdict,
}

/// What recording led to.
#[derive(Debug)]
pub struct Recorded {
    /// Invoices that it paid.
    pub paid: Vec<InvoiceId>,
    /// Events of the transaction.
    pub publication: Option<Publication>,
}

/// Records a transaction and settles what it settles: final payments, and confirmed ones if `at_confirmed` says so.
/// Twice is like once.
///
/// Amounts beyond what the database counts in are refused like any other broken rule; the caller lists them for an
/// operator.
pub async fn record_chain_payment(
    executor: impl PgExecutor<'_>,
    payment: &ChainPayment<'_>,
    at_confirmed: bool,
    trace: &TraceId,
) -> Result<Recorded, SettlementError> {
    let verdict = payment.verdict;
    let (accounts, nets) = verdict
        .gains
        .iter()
        .map(|(account, units)| Ok((account.to_string(), count(*units)?)))
        .collect::<Result<(Vec<_>, Vec<_>), SettlementError>>()?;
    let mut credits = (Vec::new(), Vec::new(), Vec::new());
    for credit in &verdict.credits {
        credits.0.push(credit.account.to_string());
        credits.1.push(credit.invoice.as_str().to_owned());
        credits.2.push(count(credit.units)?);
    }
    let mut open = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for waiting in &verdict.open {
        open.0.push(waiting.account.to_string());
        open.1.push(count(waiting.units)?);
        open.2.push(waiting.reason.name().to_owned());
        open.3
            .push(waiting.invoice.as_ref().map(|id| id.as_str().to_owned()));
    }
    let row = sqlx::query!(
        r#"select paid as "paid!", batch_id, topics, messages
           from record_chain_payment($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)"#,
        payment.signature,
        count(payment.slot)?,
        payment.commitment == Commitment::Finalized,
        at_confirmed,
        &accounts,
        &nets,
        &credits.0,
        &credits.1,
        &credits.2,
        &open.0,
        &open.1,
        &open.2,
        &open.3 as &[Option<String>],
        trace.as_str()
    )
    .fetch_one(executor)
    .await?;
    Ok(Recorded {
        paid: row.paid.into_iter().map(InvoiceId::from_row).collect(),
        publication: Publication::from_row(row.batch_id, row.topics, row.messages),
    })
}

/// The database counts in signed integers.
fn count(units: u64) -> Result<i64, SettlementError> {
    i64::try_from(units).map_err(|_| SettlementError::TooLarge(units))
}

/// Takes back what was confirmed and is gone for good; `None` when there was nothing to take back.
pub async fn reverse_chain_payment(
    executor: impl PgExecutor<'_>,
    signature: &str,
    trace: &TraceId,
) -> Result<Option<Option<Publication>>, SettlementError> {
    let row = sqlx::query!(
        r#"select reversed as "reversed!", batch_id, topics, messages from reverse_chain_payment($1, $2)"#,
        signature,
        trace.as_str()
    )
    .fetch_one(executor)
    .await?;
    let publication = Publication::from_row(row.batch_id, row.topics, row.messages);
    Ok(row.reversed.then_some(publication))
}

/// What became of money whose invoices had ended.
#[derive(Debug)]
pub struct Released {
    /// How many invoices; as many as the limit means there may be more.
    pub count: i32,
    /// Their events.
    pub publication: Option<Publication>,
}

/// Credits owners with the money of invoices that ended while it waited. Safe in any number of watchers at once.
pub async fn settle_ended_invoices(
    executor: impl PgExecutor<'_>,
    limit: i32,
    trace: &TraceId,
) -> Result<Released, SettlementError> {
    let row = sqlx::query!(
        r#"select settled as "settled!", batch_id, topics, messages from settle_ended_invoices($1, $2)"#,
        limit,
        trace.as_str()
    )
    .fetch_one(executor)
    .await?;
    Ok(Released {
        count: row.settled,
        publication: Publication::from_row(row.batch_id, row.topics, row.messages),
    })
}
