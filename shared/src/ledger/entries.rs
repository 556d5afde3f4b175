//! A user's ledger entries (contract §2.5): transfers seen from that user's side.

use serde::Serialize;
use sqlx::PgPool;

use super::LedgerError;
use crate::ids::{TraceId, UserId};

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Rises with time; also the cursor.
    pub id: i64,
    /// Micro-USD; credits are positive, debits negative.
    pub delta_micro: i64,
    /// `payment_credit`, `invoice_debit`, `refund` or `adjust`.
    pub kind: String,
    /// The invoice it is about, if any.
    pub ref_invoice_id: Option<String>,
    /// Unix seconds.
    pub at: i64,
}

/// Entries, newest first, and where to go on.
#[derive(Debug, Serialize)]
pub struct EntryPage {
    /// The entries.
    pub entries: Vec<Entry>,
    /// Pass as `after_id` for older ones; null at the end.
    pub next_cursor: Option<i64>,
}

/// Reads up to `limit` entries older than `after_id`.
pub async fn entries(
    pool: &PgPool,
    user: UserId,
    after_id: Option<i64>,
    limit: u16,
) -> Result<EntryPage, LedgerError> {
    let mut entries = sqlx::query_as!(
        Entry,
        r#"select id, user_delta_micro(t) as "delta_micro!", kind, ref_invoice_id, unix_seconds(at) as "at!"
           from transfers t where user_id = $1 and id < $2 order by id desc limit $3"#,
        user.0,
        after_id.unwrap_or(i64::MAX),
        i64::from(limit) + 1
    )
    .fetch_all(pool)
    .await?;
    let more = entries.len() > usize::from(limit);
    entries.truncate(usize::from(limit));
    let next_cursor = entries.last().filter(|_| more).map(|entry| entry.id);
    Ok(EntryPage {
        entries,
        next_cursor,
    })
}

/// The balance events between two positions, both excluded, as their publishing would have sent them.
pub async fn missed_events(
    pool: &PgPool,
    user: UserId,
    after: i64,
    before: i64,
    limit: i64,
    trace: &TraceId,
) -> Result<Vec<String>, LedgerError> {
    Ok(sqlx::query_scalar!(
        r#"select balance_message(t, lag(t.id, 1, $2) over (order by t.id), $5)::text as "message!"
           from transfers t where user_id = $1 and id > $2 and id < $3 order by id limit $4"#,
        user.0,
        after,
        before,
        limit,
        trace.as_str()
    )
    .fetch_all(pool)
    .await?)
}
