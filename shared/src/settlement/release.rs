//! Money that waited: for the rest of a price until its invoice ended, for the price of a SOL, or set aside because it could
//! not be settled.

use sqlx::PgExecutor;

use super::SettlementError;
use crate::events::Publication;
use crate::ids::TraceId;

/// What became of money that waited.
#[derive(Debug)]
pub struct Released {
    /// How many invoices were looked at.
    pub count: i32,
    /// Whether there may be more, and the next call should come at once.
    pub has_more: bool,
    /// Their events.
    pub publication: Option<Publication>,
}

/// Settles what waited and is due, some at a time; what waits for the price of a SOL only when that is known. Safe in any
/// number of watchers at once.
pub async fn settle_ended_invoices(
    executor: impl PgExecutor<'_>,
    limit: i32,
    sol_price_micro: Option<i64>,
    trace: &TraceId,
) -> Result<Released, SettlementError> {
    let row = sqlx::query!(
        r#"select settled as "settled!", has_more as "has_more!", batch_id, topics, messages
           from settle_ended_invoices($1, $2, $3)"#,
        limit,
        sol_price_micro,
        trace.as_str()
    )
    .fetch_one(executor)
    .await?;
    Ok(Released {
        count: row.settled,
        has_more: row.has_more,
        publication: Publication::from_row(row.batch_id, row.topics, row.messages),
    })
}
