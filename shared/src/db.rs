//! Postgres: pools with bounded waits, and which errors pass by themselves.

use std::io::ErrorKind;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::types::PgInterval;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{Connection as _, Postgres, Transaction};

use crate::config::DatabaseConfig;

/// A connection that was used so short a time ago is used again without asking whether it still works: the question
/// takes as long as a small statement, and no server restarts that fast.
pub(crate) const TRUSTED: Duration = Duration::from_millis(100);

/// Why there is no database.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The URL is not one.
    #[error(
        "DATABASE_URL is not a Postgres URL; it should look like postgres://user:password@host:5432/database"
    )]
    Url(#[source] sqlx::Error),
    /// No connection could be made.
    #[error("cannot connect to Postgres; is it running, and may this role log in?")]
    Connect(#[source] sqlx::Error),
}

pub(crate) fn options(url: &str, application: &str) -> Result<PgConnectOptions, DatabaseError> {
    Ok(url
        .parse::<PgConnectOptions>()
        .map_err(DatabaseError::Url)?
        .application_name(application))
}

/// A pool whose every wait is bounded: for a connection, for a lock, for a statement. Connects lazily.
pub fn pool(config: &DatabaseConfig, application: &str) -> Result<PgPool, DatabaseError> {
    let options = options(config.database_url(), application)?.options([
        (
            "statement_timeout",
            config.db_statement_timeout_ms.to_string(),
        ),
        ("lock_timeout", config.db_lock_timeout_ms.to_string()),
        // Where reading a whole table is made dear, to keep plans from it, plans look as if compiling them were worth it;
        // that takes half a second.
        ("jit", "off".to_owned()),
        (
            "idle_in_transaction_session_timeout",
            config.db_statement_timeout_ms.to_string(),
        ),
    ]);
    Ok(PgPoolOptions::new()
        .max_connections(config.db_connections_max)
        .acquire_timeout(Duration::from_millis(config.db_acquire_timeout_ms))
        .test_before_acquire(false)
        .before_acquire(|connection, metadata| {
            Box::pin(async move {
                if metadata.idle_for >= TRUSTED {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
        .connect_lazy_with(options))
}

/// Begins a transaction. A caller who leaves meanwhile, as those of requests do, leaves a connection behind that knows
/// nothing of the transaction it is in, so that others would write into it: hence a task of its own, which ends with a
/// whole transaction or none.
pub async fn begin(pool: &PgPool) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    let pool = pool.clone();
    tokio::spawn(async move { pool.begin().await })
        .await
        .map_err(|_| sqlx::Error::WorkerCrashed)?
}

/// A length of time as Postgres takes it, to the microsecond.
#[must_use]
pub fn interval(duration: Duration) -> PgInterval {
    PgInterval {
        months: 0,
        days: 0,
        microseconds: i64::try_from(duration.as_micros()).unwrap_or(i64::MAX),
    }
}

/// Throws away a connection whose server has gone silent, so that its place in the pool is free at once; such a
/// server cannot enforce its own timeouts. Returns the error to report, a transient one.
#[must_use]
pub fn gone_silent(connection: PoolConnection<Postgres>) -> sqlx::Error {
    drop(connection.detach());
    sqlx::Error::Io(std::io::Error::new(
        ErrorKind::TimedOut,
        "Postgres has gone silent",
    ))
}

/// Whether the same statement may succeed a moment later: the connection, the server or a lock was at fault,
/// not the statement.
#[must_use]
pub fn is_transient(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(error) => error.code().is_some_and(|code| is_transient_code(&code)),
        _ => false,
    }
}

/// SQLSTATE classes: 08 connection, 40 rollback, 53 resources, 57 operator intervention; 55P03 lock timeout,
/// 25006 read-only (a failover in progress), 58030 I/O.
fn is_transient_code(code: &str) -> bool {
    matches!(code.get(..2), Some("08" | "40" | "53" | "57"))
        || matches!(code, "55P03" | "25006" | "58030")
}

/// The constraint a statement violated, if that is why it failed.
#[must_use]
pub fn violated_constraint(error: &sqlx::Error) -> Option<&str> {
    match error {
        sqlx::Error::Database(error) => error.constraint(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sqlstates_are_sorted_by_whose_fault_they_are() {
        for passing in [
            "40001", "40P01", "55P03", "57P01", "57014", "08006", "53300", "25006",
        ] {
            assert!(is_transient_code(passing), "{passing}");
        }
        for ours in ["23505", "22003", "42P01", "23514", "2", ""] {
            assert!(!is_transient_code(ours), "{ours}");
        }
    }
}
