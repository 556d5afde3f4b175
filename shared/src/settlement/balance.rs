//! Paying invoices from their owners' balances, many in one transaction.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use sqlx::PgExecutor;
use uuid::Uuid;

use super::SettlementError;
use crate::db::violated_constraint;
use crate::events::Publication;
use crate::ids::TraceId;
use crate::queue::PayJob;

/// The unique index that is the debit slot.
const DEBIT_SLOT: &str = "transfers_invoice_debit";

/// What became of one request to pay (contract §4.6). Checked in this order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PayOutcome {
    /// Settled, now or earlier; the balance is the payer's current one.
    Paid {
        /// Micro-USD left.
        new_balance_micro: i64,
    },
    /// No such invoice.
    InvoiceNotFound,
    /// The invoice is another user's.
    NotOwner,
    /// Expired or cancelled.
    InvoiceNotPending,
    /// Top-ups credit the balance; they cannot be paid from it.
    InvoiceIsTopup,
    /// An operator froze the balance.
    BalanceLocked,
    /// The balance is below the amount.
    InsufficientBalance,
    /// The debit slot is taken although the invoice is not paid.
    AlreadyDebited,
    /// The database refuses this settlement for good; the job is parked until an operator looks.
    Parked,
}

/// A settled batch: one outcome per request, in order, and what to publish.
#[derive(Debug)]
pub struct Settled {
    /// Outcomes in request order.
    pub outcomes: Vec<PayOutcome>,
    /// Events of the transaction, if it changed anything.
    pub publication: Option<Publication>,
}

/// Settles requests as if they came one by one in this order. The same request twice in one batch is settled
/// once and answered twice.
///
/// A request that breaks a database rule fails the whole batch: retry its requests one by one.
pub async fn settle_from_balance(
    executor: impl PgExecutor<'_>,
    requests: &[(PayJob, TraceId)],
) -> Result<Settled, SettlementError> {
    let mut places: HashMap<&PayJob, usize> = HashMap::with_capacity(requests.len());
    let mut place_of = Vec::with_capacity(requests.len());
    let (mut invoices, mut users, mut traces) = (Vec::new(), Vec::new(), Vec::new());
    for (job, trace) in requests {
        let place = *places.entry(job).or_insert_with(|| {
            invoices.push(job.invoice_id.as_str().to_owned());
            users.push(job.user_id.0);
            traces.push(trace.as_str().to_owned());
            invoices.len() - 1
        });
        place_of.push(place);
    }

    let (distinct, publication) = match (&*invoices, &*users, &*traces) {
        ([invoice], [user], [trace]) => settle_one(executor, invoice, *user, trace).await?,
        _ => settle_many(executor, &invoices, &users, &traces).await?,
    };
    let outcomes = place_of
        .iter()
        .map(|&place| {
            distinct
                .get(place)
                .cloned()
                .ok_or_else(|| SettlementError::UnknownAnswer("too short".into()))
        })
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Settled {
        outcomes,
        publication,
    })
}

type Answers = (Vec<PayOutcome>, Option<Publication>);

async fn settle_one(
    executor: impl PgExecutor<'_>,
    invoice: &str,
    user: Uuid,
    trace: &str,
) -> Result<Answers, SettlementError> {
    let row = sqlx::query!(
        r#"select outcome as "outcome!", balance_micro, batch_id, topics, messages
           from settle_one_from_balance($1, $2, $3)"#,
        invoice,
        user,
        trace
    )
    .fetch_one(executor)
    .await;
    let row = match row {
        Err(error) if violated_constraint(&error) == Some(DEBIT_SLOT) => {
            return Ok((vec![PayOutcome::AlreadyDebited], None));
        }
        other => other?,
    };
    let publication = Publication::from_row(row.batch_id, row.topics, row.messages);
    Ok((vec![outcome(&row.outcome, row.balance_micro)?], publication))
}

async fn settle_many(
    executor: impl PgExecutor<'_>,
    invoices: &[String],
    users: &[Uuid],
    traces: &[String],
) -> Result<Answers, SettlementError> {
    let row = sqlx::query!(
        r#"select outcomes as "outcomes!", balances_micro as "balances_micro!: Vec<Option<i64>>",
                  batch_id, topics, messages
           from settle_from_balance($1, $2, $3)"#,
        invoices,
        users,
        traces
    )
    .fetch_one(executor)
    .await?;
    let outcomes = row
        .outcomes
        .iter()
        .zip(row.balances_micro)
        .map(|(code, balance_micro)| outcome(code, balance_micro))
        .collect::<Result<Vec<_>, _>>()?;
    let publication = Publication::from_row(row.batch_id, row.topics, row.messages);
    Ok((outcomes, publication))
}

fn outcome(code: &str, balance_micro: Option<i64>) -> Result<PayOutcome, SettlementError> {
    Ok(match (code, balance_micro) {
        ("paid" | "already_paid", Some(new_balance_micro)) => {
            PayOutcome::Paid { new_balance_micro }
        }
        ("invoice_not_found", _) => PayOutcome::InvoiceNotFound,
        ("not_owner", _) => PayOutcome::NotOwner,
        ("invoice_not_pending", _) => PayOutcome::InvoiceNotPending,
        ("invoice_is_topup", _) => PayOutcome::InvoiceIsTopup,
        ("balance_locked", _) => PayOutcome::BalanceLocked,
        ("insufficient_balance", _) => PayOutcome::InsufficientBalance,
        (other, _) => return Err(SettlementError::UnknownAnswer(other.to_owned())),
    })
}
