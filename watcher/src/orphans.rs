//! Makes due what dead watchers were examining, so that it does not wait until their time for it is over.

use std::time::Duration;

use shared::db::interval;
use tokio::sync::Notify;

use crate::context::Context;

const INTERVAL: Duration = Duration::from_secs(1);

/// Looks until the process stops.
pub async fn sweep(context: Context) {
    let round = async |context: &Context| round(context).await;
    context
        .every("orphans", INTERVAL, &Notify::new(), round)
        .await;
}

/// Looks once.
pub async fn round(context: &Context) -> Result<(), sqlx::Error> {
    let lease = Duration::from_millis(context.config.watcher.watch_lease_ms);
    let released = sqlx::query_scalar!(
        r#"select release_signatures($1) as "count!""#,
        interval(lease)
    )
    .fetch_one(&context.pool)
    .await?;
    if released > 0 {
        tracing::info!(signatures = released, "taken over from a dead watcher");
        context.found.notify_one();
    }
    Ok(())
}
