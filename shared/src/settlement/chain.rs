//! Payments that were seen on chain: recorded at confirmed, settled at finalized, taken back when the chain forgets
//! them. Whatever cannot pay its invoice goes to the owner's balance.

use solana_pubkey::Pubkey;
use sqlx::PgExecutor;
use time::OffsetDateTime;
use uuid::Uuid;

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
    /// When it landed, in seconds since 1970, if a node said; else it is the time at which it was first seen.
    pub block_time: Option<i64>,
    /// How sure the chain is.
    pub commitment: Commitment,
    /// What it did.
    pub verdict: &'a Verdict,
    /// Who holds the signature, which moves on with this.
    pub watcher: Option<Uuid>,
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

/// Records a transaction and settles what it settles: final payments, and confirmed ones if the rules say so. Twice is
/// like once. An invoice that cannot be settled is set aside and listed; it fails nothing.
///
/// Amounts of ours beyond what the database counts in are refused like any other broken rule; the caller lists them for
/// an operator.
pub async fn record_chain_payment(
    executor: impl PgExecutor<'_>,
    payment: &ChainPayment<'_>,
    rules: &SettleRules,
    trace: &TraceId,
) -> Result<Recorded, SettlementError> {
    let verdict = payment.verdict;
    let (accounts, nets) = counted(verdict.gains.iter())?;
    let (out_accounts, out_units) = counted(verdict.outflows.iter())?;
    let mut credits = (Vec::new(), Vec::new(), Vec::new());
    for credit in &verdict.credits {
        credits.0.push(credit.account.to_string());
        credits.1.push(credit.invoice.as_str().to_owned());
        credits.2.push(count(credit.units)?);
    }
    let open = OpenColumns::of(verdict);
    let row = sqlx::query!(
        r#"select paid as "paid!", batch_id, topics, messages
           from record_chain_payment($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12::text[]::numeric[], $13, $14, $15,
                                     $16, $17, $18, $19, $20, $21, $22)"#,
        payment.signature,
        count(payment.slot)?,
        payment.block_time.and_then(moment),
        payment.commitment == Commitment::Finalized,
        rules.at_confirmed,
        &accounts,
        &nets,
        &credits.0,
        &credits.1,
        &credits.2,
        &open.accounts,
        &open.units,
        &open.reasons,
        &open.invoices as &[Option<String>],
        &open.rails as &[Option<String>],
        &out_accounts,
        &out_units,
        rules.sol_price_micro,
        rules.dust_below_micro,
        payment.watcher,
        payment.accounts_known,
        trace.as_str()
    )
    .fetch_one(executor)
    .await?;
    Ok(Recorded {
        paid: row.paid.into_iter().map(InvoiceId::from_row).collect(),
        publication: Publication::from_row(row.batch_id, row.topics, row.messages),
    })
}

/// What waits, column by column. Of what is not ours there may be more units than the database counts in elsewhere.
#[derive(Default)]
struct OpenColumns {
    accounts: Vec<String>,
    units: Vec<String>,
    reasons: Vec<String>,
    invoices: Vec<Option<String>>,
    rails: Vec<Option<String>>,
}

impl OpenColumns {
    fn of(verdict: &Verdict) -> Self {
        let mut columns = Self::default();
        for open in &verdict.open {
            let invoice = open.invoice.as_ref();
            columns.accounts.push(open.account.to_string());
            columns.units.push(open.units.to_string());
            columns.reasons.push(open.reason.name().to_owned());
            columns.invoices.push(invoice.map(ToString::to_string));
            columns
                .rails
                .push(open.rail.map(|rail| rail.id().to_owned()));
        }
        columns
    }
}

/// Accounts and their units.
fn counted<'a>(
    units: impl Iterator<Item = (&'a Pubkey, &'a u64)>,
) -> Result<(Vec<String>, Vec<i64>), SettlementError> {
    units
        .map(|(account, units)| Ok((account.to_string(), count(*units)?)))
        .collect()
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
