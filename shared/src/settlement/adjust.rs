//! An operator moves a balance by hand.

use sqlx::PgConnection;

use super::SettlementError;
use crate::events::Publication;
use crate::ids::{TraceId, UserId};

/// A posted adjustment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adjustment {
    /// The ledger entry.
    pub entry_id: i64,
    /// The balance right after that entry, micro-USD.
    pub new_balance_micro: i64,
    /// Its events; `None` for a replay.
    pub publication: Option<Publication>,
}

/// Why an adjustment was refused; nothing changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdjustmentRefusal {
    /// No such user.
    UserNotFound,
    /// The key was used for another adjustment of this user.
    IdempotencyConflict,
    /// The balance would fall below zero.
    InsufficientBalance,
    /// The balance would exceed what clients can read exactly.
    BalanceTooLarge,
}

/// Posts an adjustment once per user and key; a replay gets the first answer.
pub async fn adjust(
    connection: &mut PgConnection,
    user: UserId,
    delta_micro: i64,
    reason: &str,
    idempotency_key: &str,
    trace: &TraceId,
) -> Result<Result<Adjustment, AdjustmentRefusal>, SettlementError> {
    let row = sqlx::query!(
        r#"select outcome as "outcome!", entry_id, balance_micro, batch_id, topics, messages
           from adjust_balance($1, $2, $3, $4, $5)"#,
        user.0,
        delta_micro,
        reason,
        idempotency_key,
        trace.as_str()
    )
    .fetch_one(connection)
    .await?;
    Ok(
        match (row.outcome.as_str(), row.entry_id, row.balance_micro) {
            ("adjusted", Some(entry_id), Some(new_balance_micro)) => {
                let publication = Publication::from_row(row.batch_id, row.topics, row.messages);
                Ok(Adjustment {
                    entry_id,
                    new_balance_micro,
                    publication,
                })
            }
            ("user_not_found", ..) => Err(AdjustmentRefusal::UserNotFound),
            ("idempotency_conflict", ..) => Err(AdjustmentRefusal::IdempotencyConflict),
            ("insufficient_balance", ..) => Err(AdjustmentRefusal::InsufficientBalance),
            ("balance_too_large", ..) => Err(AdjustmentRefusal::BalanceTooLarge),
            _ => return Err(SettlementError::UnknownAnswer(row.outcome)),
        },
    )
}
