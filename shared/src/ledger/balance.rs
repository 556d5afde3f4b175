//! The balance snapshot (contract §2.4).

use serde::Serialize;
use sqlx::PgPool;

use super::LedgerError;
use crate::ids::UserId;

/// A user's balance now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BalanceSnapshot {
    /// Micro-USD.
    pub amount_micro: i64,
    /// Frozen by an operator.
    pub locked: bool,
    /// Unix seconds.
    pub updated_at: i64,
    /// Unix seconds; only while locked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locked_at: Option<i64>,
    /// Position of the balance stream: the newest transfer counted in.
    #[serde(skip)]
    pub position: i64,
}

/// Reads a user's balance; `None` for an unknown user.
pub async fn balance(pool: &PgPool, user: UserId) -> Result<Option<BalanceSnapshot>, LedgerError> {
    Ok(sqlx::query_as!(
        BalanceSnapshot,
        r#"select amount_micro, locked_at is not null as "locked!", unix_seconds(updated_at) as "updated_at!",
                  unix_seconds(locked_at) as locked_at, last_transfer_id as position
           from balances where user_id = $1"#,
        user.0
    )
    .fetch_optional(pool)
    .await?)
}
