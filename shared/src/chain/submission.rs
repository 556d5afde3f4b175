//! What wallets hand in for an invoice: signed transactions to broadcast, signatures of what they broadcast
//! themselves. Stored before anything is sent, under the invoice's lock.

use serde::{Deserialize, Serialize};
use sqlx::{PgExecutor, PgPool};

use super::{Admitted, Noted, note_signatures};
use crate::db::begin;
use crate::ids::InvoiceId;
use crate::invoices::InvoiceStatus;

/// What became of the first broadcast of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RelayOutcome {
    /// A node took it, or the chain has it.
    Accepted,
    /// It cannot land.
    Refused,
    /// No node said anything; it will be sent again.
    Unknown,
}

/// What became of storing a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// It waits to be broadcast for the first time, stored now or before.
    Waiting,
    /// It was stored before, and the broadcast has an outcome.
    Decided(RelayOutcome),
    /// The invoice stands so by now; nothing was stored.
    NotPending(InvoiceStatus),
    /// Another transaction of the invoice may land; nothing was stored.
    AnotherUnderWay,
    /// The chain has the whole amount, though not finally; nothing was stored.
    BeingConfirmed,
    /// It was stored for another invoice.
    OtherInvoice,
    /// The invoice has had as many submissions as it may; nothing was stored.
    TooMany,
}

/// What became of noting a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Submitted {
    /// It will be looked at, and may have been before.
    Noted,
    /// The invoice stands so by now; nothing was noted.
    NotPending(InvoiceStatus),
    /// The invoice has had as many submissions as it may; nothing was noted.
    TooMany,
}

/// Why a submission could not be stored.
#[derive(Debug, thiserror::Error)]
pub enum SubmissionError {
    /// The database failed.
    #[error("the submission cannot be stored")]
    Database(#[from] sqlx::Error),
    /// The function answered what this binary does not know: schema and binary do not match.
    #[error("storing a submission was answered {0:?}, which this version does not know")]
    UnknownAnswer(String),
}

impl SubmissionError {
    /// Whether trying again may help.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Database(error) => crate::db::is_transient(error),
            Self::UnknownAnswer(_) => false,
        }
    }
}

/// Stores a transaction to be broadcast, once, if its invoice still waits for money.
pub async fn store_submission(
    executor: impl PgExecutor<'_>,
    invoice: &InvoiceId,
    admitted: &Admitted,
    attempts_max: i64,
) -> Result<Stored, SubmissionError> {
    let answer = sqlx::query_scalar!(
        r#"select store_submission($1, $2, $3, $4) as "answer!""#,
        invoice.as_str(),
        admitted.signature.to_string(),
        admitted.wire,
        attempts_max
    )
    .fetch_one(executor)
    .await?;
    match answer.as_str() {
        "stored" | "waiting" => Ok(Stored::Waiting),
        "accepted" => Ok(Stored::Decided(RelayOutcome::Accepted)),
        "refused" => Ok(Stored::Decided(RelayOutcome::Refused)),
        "another_under_way" => Ok(Stored::AnotherUnderWay),
        "being_confirmed" => Ok(Stored::BeingConfirmed),
        "other_invoice" => Ok(Stored::OtherInvoice),
        "too_many" => Ok(Stored::TooMany),
        other => not_pending(other).map(Stored::NotPending),
    }
}

/// Notes a signature that a wallet says pays the invoice, for the watcher to look at soon. It proves nothing: what
/// the transaction pays, and for whom, is read from the chain.
pub async fn note_submission(
    pool: &PgPool,
    invoice: &InvoiceId,
    signature: &str,
    attempts_max: i64,
) -> Result<Submitted, SubmissionError> {
    let mut transaction = begin(pool).await?;
    let answer = sqlx::query_scalar!(
        r#"select note_submission($1, $2, $3) as "answer!""#,
        invoice.as_str(),
        signature,
        attempts_max
    )
    .fetch_one(&mut *transaction)
    .await?;
    let submitted = match answer.as_str() {
        "noted" => Submitted::Noted,
        "too_many" => Submitted::TooMany,
        other => Submitted::NotPending(not_pending(other)?),
    };
    if submitted == Submitted::Noted {
        let signatures = [(signature.to_owned(), None)];
        note_signatures(&mut *transaction, &signatures, Noted::Submission).await?;
    }
    transaction.commit().await?;
    Ok(submitted)
}

fn not_pending(answer: &str) -> Result<InvoiceStatus, SubmissionError> {
    InvoiceStatus::parse(answer)
        .filter(|status| status.is_terminal())
        .ok_or_else(|| SubmissionError::UnknownAnswer(answer.to_owned()))
}
