//! Compares the books with the chain, in one worker at a time.

use std::time::Duration;

use super::{SweepContext, SweepError};
use crate::reconcile::Reconciler;

/// Advisory lock that one comparing worker holds ("reconcil" in ASCII).
const RECONCILE_LOCK: i64 = 0x72_65_63_6f_6e_63_69_6c;
/// How long books that are behind are waited for; they may as well be ready in the next round.
const WAIT_MAX: Duration = Duration::from_secs(30);

pub(super) async fn sweep(
    context: &SweepContext,
    reconciler: &mut Reconciler,
) -> Result<(), SweepError> {
    let mut connection = context.pool.acquire().await?;
    let ours = sqlx::query_scalar!(
        r#"select pg_try_advisory_lock($1) as "ours!""#,
        RECONCILE_LOCK
    )
    .fetch_one(&mut *connection)
    .await?;
    if !ours {
        return Ok(());
    }
    let interval = Duration::from_millis(context.config.sweep.sweep_reconcile_interval_ms);
    let compared = async {
        reconciler.take().await?;
        let is_stopping = || context.shutdown.is_stopping();
        reconciler
            .compare(interval.min(WAIT_MAX), is_stopping)
            .await
    };
    let compared = compared.await;
    sqlx::query_scalar!("select pg_advisory_unlock($1)", RECONCILE_LOCK)
        .fetch_one(&mut *connection)
        .await?;
    Ok(compared?)
}
