//! Measures what waits for operators, and how old the last comparisons with the chain are.

use std::collections::BTreeSet;

use shared::ledger::reconciliation;
use shared::queue::QUEUES;

use super::{SweepContext, SweepError};

/// How often.
pub(super) const INTERVAL_MS: u64 = 5000;
/// What waits is not counted further than this.
const COUNT_MAX: i64 = 100_000;

/// `seen` are the reasons that were there before: one that has none any more goes back to 0.
pub(super) async fn sweep(
    context: &SweepContext,
    seen: &mut BTreeSet<String>,
) -> Result<(), SweepError> {
    measure_unattributed(context, seen).await?;
    measure_parked(context).await?;
    if context.config.sweep.sweep_reconcile_interval_ms > 0 {
        measure_reconciliation(context).await?;
    }
    Ok(())
}

async fn measure_unattributed(
    context: &SweepContext,
    seen: &mut BTreeSet<String>,
) -> Result<(), sqlx::Error> {
    // From one reason to the next by the index, not over all rows.
    let rows = sqlx::query!(
        r#"with recursive reasons as (
               select (select min(u.reason) from unattributed_deposits u where u.resolved_at is null) as reason
               union all
               select (select min(u.reason) from unattributed_deposits u
                       where u.resolved_at is null and u.reason > r.reason)
               from reasons r where r.reason is not null
           )
           select r.reason as "reason!", (
               select count(*) from (select from unattributed_deposits u
                                     where u.resolved_at is null and u.reason = r.reason limit $1) as counted
           ) as "open!"
           from reasons r where r.reason is not null"#,
        COUNT_MAX
    )
    .fetch_all(&context.pool)
    .await?;
    let open: Vec<(String, i64)> = rows.into_iter().map(|row| (row.reason, row.open)).collect();
    for gone in seen
        .iter()
        .filter(|reason| !open.iter().any(|(known, _)| known == *reason))
    {
        set("quittance_unattributed_open", "reason", gone, 0);
    }
    for (reason, count) in open {
        set("quittance_unattributed_open", "reason", &reason, count);
        seen.insert(reason);
    }
    Ok(())
}

async fn measure_parked(context: &SweepContext) -> Result<(), sqlx::Error> {
    for queue in QUEUES {
        let open = sqlx::query_scalar!(
            r#"select count(*) as "open!" from (
                   select from parked_jobs where queue = $1 and resolved_at is null limit $2) as counted"#,
            queue.name(),
            COUNT_MAX
        )
        .fetch_one(&context.pool)
        .await?;
        set("quittance_parked_open", "queue", queue.name(), open);
    }
    Ok(())
}

/// By every worker, whichever compared: each tells the same.
async fn measure_reconciliation(context: &SweepContext) -> Result<(), SweepError> {
    for books in reconciliation(&context.pool).await?.accounts {
        let (account, age) = (&books.account, books.age_seconds);
        if let Some(ok) = books.ok {
            set(
                "quittance_reconciliation_ok",
                "account",
                account,
                i64::from(ok),
            );
        }
        set(
            "quittance_reconciliation_age_seconds",
            "account",
            account,
            age,
        );
    }
    Ok(())
}

fn set(name: &'static str, label: &'static str, value: &str, to: i64) {
    let to = u32::try_from(to.max(0)).unwrap_or(u32::MAX);
    metrics::gauge!(name, label => value.to_owned()).set(f64::from(to));
}
