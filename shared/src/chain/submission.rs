//! What wallets hand in for an invoice: signed transactions to broadcast, signatures of what they broadcast
//! themselves. Stored before anything is sent, under the invoice's lock.

use serde::{Deserialize, Serialize};
use sqlx::{PgExecutor, PgPool};

use super::{Admitted, Noted, RelayFailure, note_signatures};
use crate::db::begin;
use crate::ids::InvoiceId;
use crate::invoices::InvoiceStatus;

/// What became of the first broadcast of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", from = "String")]
pub enum RelayOutcome {
    /// A node took it, or the chain has it.
    Accepted,
    /// It cannot land, or did not.
    Refused(RelayFailure),
    /// No node said anything; it will be sent again.
    Unknown,
}

impl From<RelayOutcome> for String {
    fn from(outcome: RelayOutcome) -> Self {
        match outcome {
            RelayOutcome::Accepted => "accepted".to_owned(),
            RelayOutcome::Refused(failure) => format!("refused:{}", failure.name()),
            RelayOutcome::Unknown => "unknown".to_owned(),
        }
    }
}

impl From<String> for RelayOutcome {
    /// Words of another version leave the outcome open: what is stored tells it to whoever asks again.
    fn from(text: String) -> Self {
        match text.split_once(':').unwrap_or((&text, "")) {
            ("accepted", _) => Self::Accepted,
            ("refused", failure) => Self::Refused(RelayFailure::named(failure)),
            _ => Self::Unknown,
        }
    }
}

/// How much one invoice may have handed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SubmissionLimits {
    /// Transactions that a node took, ever.
    pub attempts_max: i64,
    /// Transactions that no node took, and signatures, within an hour.
    pub hourly_max: i64,
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
    /// Nodes took as many transactions of the invoice as they may, for good; nothing was stored.
    Exhausted,
    /// The invoice has had as many submissions within the hour as it may; nothing was stored.
    TooMany {
        /// When there is room again.
        wait_seconds: u32,
    },
}

/// What became of noting a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Submitted {
    /// It will be looked at, and may have been before.
    Noted,
    /// The invoice stands so by now; nothing was noted.
    NotPending(InvoiceStatus),
    /// The invoice has had as many submissions within the hour as it may; nothing was noted.
    TooMany {
        /// When there is room again.
        wait_seconds: u32,
    },
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
    limits: SubmissionLimits,
) -> Result<Stored, SubmissionError> {
    let stored = sqlx::query!(
        r#"select answer as "answer!", failure, wait_seconds from store_submission($1, $2, $3, $4, $5)"#,
        invoice.as_str(),
        admitted.signature.to_string(),
        admitted.wire,
        limits.attempts_max,
        limits.hourly_max
    )
    .fetch_one(executor)
    .await?;
    match stored.answer.as_str() {
        "stored" | "waiting" => Ok(Stored::Waiting),
        "accepted" => Ok(Stored::Decided(RelayOutcome::Accepted)),
        "refused" => {
            let failure = RelayFailure::named(stored.failure.as_deref().unwrap_or_default());
            Ok(Stored::Decided(RelayOutcome::Refused(failure)))
        }
        "another_under_way" => Ok(Stored::AnotherUnderWay),
        "being_confirmed" => Ok(Stored::BeingConfirmed),
        "other_invoice" => Ok(Stored::OtherInvoice),
        "exhausted" => Ok(Stored::Exhausted),
        "too_many" => Ok(Stored::TooMany {
            wait_seconds: seconds(stored.wait_seconds),
        }),
        other => not_pending(other).map(Stored::NotPending),
    }
}

/// Whether a transaction was stored for this invoice before, whatever became of it.
pub async fn is_submitted(
    executor: impl PgExecutor<'_>,
    invoice: &InvoiceId,
    signature: &str,
) -> Result<bool, SubmissionError> {
    Ok(sqlx::query_scalar!(
        r#"select exists (select from relay_transactions where signature = $1 and invoice_id = $2) as "is!""#,
        signature,
        invoice.as_str()
    )
    .fetch_one(executor)
    .await?)
}

/// Notes a signature that a wallet says pays the invoice, for the watcher to look at soon. It proves nothing: what
/// the transaction pays, and for whom, is read from the chain.
pub async fn note_submission(
    pool: &PgPool,
    invoice: &InvoiceId,
    signature: &str,
    limits: SubmissionLimits,
) -> Result<Submitted, SubmissionError> {
    let mut transaction = begin(pool).await?;
    let noted = sqlx::query!(
        r#"select answer as "answer!", wait_seconds from note_submission($1, $2, $3)"#,
        invoice.as_str(),
        signature,
        limits.hourly_max
    )
    .fetch_one(&mut *transaction)
    .await?;
    let submitted = match noted.answer.as_str() {
        "noted" => Submitted::Noted,
        "too_many" => Submitted::TooMany {
            wait_seconds: seconds(noted.wait_seconds),
        },
        other => Submitted::NotPending(not_pending(other)?),
    };
    if submitted == Submitted::Noted {
        let signatures = [(signature.to_owned(), None)];
        note_signatures(&mut *transaction, &signatures, Noted::Submission).await?;
    }
    transaction.commit().await?;
    Ok(submitted)
}

fn seconds(wait: Option<i32>) -> u32 {
    wait.map_or(1, i32::unsigned_abs).max(1)
}

fn not_pending(answer: &str) -> Result<InvoiceStatus, SubmissionError> {
    InvoiceStatus::parse(answer)
        .filter(|status| status.is_terminal())
        .ok_or_else(|| SubmissionError::UnknownAnswer(answer.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wire_format_of_outcomes_holds() {
        let outcomes = [
            (RelayOutcome::Accepted, r#""accepted""#),
            (RelayOutcome::Unknown, r#""unknown""#),
            (
                RelayOutcome::Refused(RelayFailure::InsufficientSol),
                r#""refused:insufficient_sol""#,
            ),
        ];
        for (outcome, text) in outcomes {
            assert_eq!(serde_json::to_string(&outcome).unwrap(), text);
            let read: RelayOutcome = serde_json::from_str(text).unwrap();
            assert_eq!(read, outcome);
        }
        let of_old_workers: RelayOutcome = serde_json::from_str(r#""refused""#).unwrap();
        assert_eq!(of_old_workers, RelayOutcome::Refused(RelayFailure::Other));
        let of_tomorrow: RelayOutcome = serde_json::from_str(r#""tomorrow""#).unwrap();
        assert_eq!(of_tomorrow, RelayOutcome::Unknown);
    }
}
