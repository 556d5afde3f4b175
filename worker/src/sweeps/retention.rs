//! Deletes what nobody needs any more: old published events, what was submitted for invoices that ended long ago, dead
//! sessions. The ledger is kept for ever.

use sqlx::PgPool;
use time::{Duration, OffsetDateTime};

use super::{SweepContext, SweepError};

/// Rows deleted in one transaction at most.
const BATCH: i32 = 1000;

pub(super) async fn sweep(context: &mut SweepContext) -> Result<(), SweepError> {
    let (context, pool) = (&*context, &context.pool);
    let goes_on = |gone: i64| gone >= i64::from(BATCH) && !context.shutdown.is_stopping();
    // First, since it cannot fail for the number of events.
    while goes_on(delete_sessions(pool).await?) {}
    let days = i64::from(context.config.sweep.retention_events_days);
    let before = OffsetDateTime::now_utc() - Duration::days(days);
    while goes_on(retire_events(pool, before).await?) {}
    while goes_on(retire_submissions(pool, before).await?) {}
    Ok(())
}

async fn delete_sessions(pool: &PgPool) -> Result<i64, sqlx::Error> {
    let gone = sqlx::query!(
        "delete from sessions where token_hash in
             (select token_hash from sessions where expires_at < now() limit $1)",
        i64::from(BATCH)
    )
    .execute(pool)
    .await?;
    Ok(i64::try_from(gone.rows_affected()).unwrap_or(i64::MAX))
}

async fn retire_events(pool: &PgPool, before: OffsetDateTime) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(r#"select retire_events($1, $2) as "gone!""#, before, BATCH)
        .fetch_one(pool)
        .await
}

async fn retire_submissions(pool: &PgPool, before: OffsetDateTime) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select retire_submissions($1, $2) as "gone!""#,
        before,
        BATCH
    )
    .fetch_one(pool)
    .await
}
