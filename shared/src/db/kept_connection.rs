//! A connection that one task keeps: Postgres plans each statement anew for each connection, and caches what it reads.

use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::{PgConnection, PgPool, Postgres};
use tokio::time::timeout;

use super::gone_silent;

/// A connection of a pool, kept as long as it works.
#[derive(Debug)]
pub struct KeptConnection {
    pool: PgPool,
    kept: Option<PoolConnection<Postgres>>,
    patience: Duration,
}

impl KeptConnection {
    /// Of this pool; a server that does not answer within `patience` is given up.
    #[must_use]
    pub fn new(pool: PgPool, patience: Duration) -> Self {
        Self {
            pool,
            kept: None,
            patience,
        }
    }

    /// Waits until there is one.
    pub async fn ready(&mut self) -> Result<(), sqlx::Error> {
        if self.kept.is_none() {
            self.kept = Some(self.pool.acquire().await?);
        }
        Ok(())
    }

    /// Works with it. After a failure the pool looks whether it is still good.
    pub async fn run<T, E: From<sqlx::Error>>(
        &mut self,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut connection = match self.kept.take() {
            Some(connection) => connection,
            None => self.pool.acquire().await?,
        };
        let Ok(done) = timeout(self.patience, work(&mut connection)).await else {
            return Err(gone_silent(connection).into());
        };
        let done = done?;
        self.kept = Some(connection);
        Ok(done)
    }
}
