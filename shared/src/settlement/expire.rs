//! Time ends invoices.

use sqlx::PgPool;

use super::SettlementError;
use crate::events::Publication;
use crate::ids::TraceId;

/// What one call expired.
#[derive(Debug)]
pub struct Expired {
    /// How many invoices.
    pub count: i32,
    /// Whether there may be more, and the next call should come at once.
    pub has_more: bool,
    /// Their events.
    pub publication: Option<Publication>,
}

/// Expires up to `limit` overdue invoices. Safe in any number of workers at once.
pub async fn expire(
    pool: &PgPool,
    limit: i32,
    trace: &TraceId,
) -> Result<Expired, SettlementError> {
    let row = sqlx::query!(
        r#"select expired as "expired!", has_more as "has_more!", batch_id, topics, messages
           from expire_invoices($1, $2)"#,
        limit,
        trace.as_str()
    )
    .fetch_one(pool)
    .await?;
    let publication = Publication::from_row(row.batch_id, row.topics, row.messages);
    Ok(Expired {
        count: row.expired,
        has_more: row.has_more,
        publication,
    })
}
