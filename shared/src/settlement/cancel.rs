//! The owner gives an invoice up.

use sqlx::PgPool;

use super::SettlementError;
use crate::events::Publication;
use crate::ids::{InvoiceId, TraceId, UserId};

/// Cancels a pending, unexpired invoice of this user; `None` when there is none (contract §4.4: unknown, not
/// yours and already ended are one answer).
pub async fn cancel(
    pool: &PgPool,
    invoice: &InvoiceId,
    user: UserId,
    trace: &TraceId,
) -> Result<Option<Publication>, SettlementError> {
    let row = sqlx::query!(
        r#"select cancelled as "cancelled!", batch_id, topics, messages from cancel_invoice($1, $2, $3)"#,
        invoice.as_str(),
        user.0,
        trace.as_str()
    )
    .fetch_one(pool)
    .await?;
    Ok(if row.cancelled {
        Publication::from_row(row.batch_id, row.topics, row.messages)
    } else {
        None
    })
}
