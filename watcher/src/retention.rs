//! Forgets signatures that were examined long ago. One that is found again is examined again, which changes nothing.

use std::time::Duration;

use tokio::sync::Notify;

use crate::context::Context;

const INTERVAL: Duration = Duration::from_mins(10);
/// Rows deleted in one transaction at most.
const BATCH: i64 = 5_000;

/// Deletes until the process stops.
pub async fn sweep(context: Context) {
    let round = async |context: &Context| round(context).await;
    context
        .every("retention", INTERVAL, &Notify::new(), round)
        .await;
}

async fn round(context: &Context) -> Result<(), sqlx::Error> {
    let days = i32::try_from(context.config.sweep.retention_events_days).unwrap_or(i32::MAX);
    loop {
        let deleted = sqlx::query!(
            "delete from chain_signatures where signature in (
                 select s.signature from chain_signatures s
                 where s.state in ('done', 'dropped') and s.found_at < now() - make_interval(days => $1)
                 limit $2 for update skip locked)",
            days,
            BATCH
        )
        .execute(&context.pool)
        .await?;
        if deleted.rows_affected() < BATCH.unsigned_abs() || context.shutdown.is_stopping() {
            return Ok(());
        }
    }
}
