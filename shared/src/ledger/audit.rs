//! The invariants as code that also runs in production.

use std::time::Duration;

use serde::Serialize;
use sqlx::PgPool;

use super::LedgerError;

/// The audit joins large tables, of which the planner may still believe that they are small; a nested loop would then
/// take hours.
const PREPARATION: [&str; 2] = ["set local enable_nestloop = off", "set local jit = off"];

/// The longest an audit may take that nobody waits for.
pub const AUDIT_LIMIT: Duration = Duration::from_mins(10);

/// Whether the books are right, and in what not.
#[derive(Debug, Clone, Serialize)]
pub struct Audit {
    /// Every check passed.
    pub ok: bool,
    /// Each invariant.
    pub checks: Vec<Check>,
}

/// One invariant.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    /// Its name.
    pub name: String,
    /// Whether it holds.
    pub ok: bool,
    /// What was found.
    pub detail: String,
}

/// Checks every invariant on one snapshot, so it is exact under load. It reads the whole ledger and gives up after
/// `limit`.
pub async fn audit(pool: &PgPool, limit: Duration) -> Result<Audit, LedgerError> {
    let mut transaction = pool
        .begin_with("begin isolation level repeatable read read only")
        .await?;
    let limit_ms = limit.as_millis().to_string();
    sqlx::query("select set_config('statement_timeout', $1, true)")
        .bind(limit_ms)
        .execute(&mut *transaction)
        .await?;
    for statement in PREPARATION {
        sqlx::query(statement).execute(&mut *transaction).await?;
    }
    let rows = sqlx::query_file!("src/ledger/audit.sql")
        .fetch_all(&mut *transaction)
        .await?;
    transaction.rollback().await?;

    let checks: Vec<Check> = rows
        .into_iter()
        .map(|row| Check {
            ok: row.violations == 0,
            detail: match row.example {
                Some(example) => format!("{} violations, such as: {example}", row.violations),
                None => "holds".to_owned(),
            },
            name: row.name,
        })
        .collect();
    Ok(Audit {
        ok: checks.iter().all(|check| check.ok),
        checks,
    })
}
