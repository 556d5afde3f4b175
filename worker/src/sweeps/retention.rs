//! Deletes what nobody needs any more: old published events, what was submitted for invoices that ended long ago, dead
//! sessions. The ledger is kept for ever.

use time::{Duration, OffsetDateTime};

use super::{SweepContext, SweepError};

/// Rows deleted in one transaction at most.
const BATCH: i32 = 1000;

pub(super) async fn sweep(context: &mut SweepContext) -> Result<(), SweepError> {
    // First, since it cannot fail for the number of events.
    loop {
        let gone = sqlx::query!(
            "delete from sessions where token_hash in
             (select token_hash from sessions where expires_at < now() limit $1)",
            i64::from(BATCH)
        )
        .execute(&context.pool)
        .await?;
        if gone.rows_affected() < BATCH.unsigned_abs().into() || context.shutdown.is_stopping() {
            break;
        }
    }
    let days = i64::from(context.config.sweep.retention_events_days);
    let before = OffsetDateTime::now_utc() - Duration::days(days);
    loop {
        let gone = sqlx::query_scalar!(r#"select retire_events($1, $2) as "gone!""#, before, BATCH)
            .fetch_one(&context.pool)
            .await?;
        if gone < i64::from(BATCH) || context.shutdown.is_stopping() {
            break;
        }
    }
    loop {
        let gone = sqlx::query_scalar!(
            r#"select retire_submissions($1, $2) as "gone!""#,
            before,
            BATCH
        )
        .fetch_one(&context.pool)
        .await?;
        if gone < i64::from(BATCH) || context.shutdown.is_stopping() {
            break;
        }
    }
    Ok(())
}
