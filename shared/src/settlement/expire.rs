//! Time ends invoices.

use sqlx::PgPool;

use super::SettlementError;
use crate::events::Publication;
use crate::ids::TraceId;

/// What one call expired.
#[derive(Debug)]
pub struct Expired {
    /// How many invoices; as many as the limit means there may be more.
    pub count: i32,
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
        r#"select expired as "expired!", batch_id, topics, messages from expire_invoices($1, $2)"#,
        limit,
        trace.as_str()
    )
    .fetch_one(pool)
    .await?;
    let publication = Publication::from_row(row.batch_id, row.topics, row.messages);
    Ok(Expired {
        count: row.expired,
        publication,
    })
}
