//! Audits the ledger for the metrics, in one worker at a time.

use shared::ledger::{AUDIT_LIMIT, audit};

use super::{SweepContext, SweepError};

/// Advisory lock that one auditing worker holds ("audit" in ASCII).
const AUDIT_LOCK: i64 = 0x61_75_64_69_74;

pub(super) async fn sweep(context: &mut SweepContext) -> Result<(), SweepError> {
    let mut connection = context.pool.acquire().await?;
    let ours = sqlx::query_scalar!(r#"select pg_try_advisory_lock($1) as "ours!""#, AUDIT_LOCK)
        .fetch_one(&mut *connection)
        .await?;
    if !ours {
        return Ok(());
    }
    let audited = audit(&context.pool, AUDIT_LIMIT).await;
    sqlx::query_scalar!("select pg_advisory_unlock($1)", AUDIT_LOCK)
        .fetch_one(&mut *connection)
        .await?;
    let audited = audited?;
    metrics::gauge!("quittance_audit_ok").set(if audited.ok { 1.0 } else { 0.0 });
    for check in audited.checks.iter().filter(|check| !check.ok) {
        tracing::error!(
            check = check.name,
            detail = check.detail,
            "the audit found a violation"
        );
    }
    Ok(())
}
