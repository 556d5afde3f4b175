//! A connection that one task keeps: Postgres plans each statement anew for each connection, and caches what it reads.

use std::time::{Duration, Instant};

use sqlx::pool::PoolConnection;
use sqlx::{PgConnection, PgPool, Postgres};
use tokio::time::timeout;

use super::SettlementError;
use crate::db::{TRUSTED, gone_silent};

/// One transaction. Carried out twice it is as if it were once.
pub trait Repeatable: Sync {
    /// What it leads to.
    type Done: Send;

    /// Carries it out.
    fn carry_out(
        &self,
        connection: &mut PgConnection,
    ) -> impl Future<Output = Result<Self::Done, SettlementError>> + Send;
}

/// A connection of a pool, kept as long as it works.
#[derive(Debug)]
pub struct KeptConnection {
    pool: PgPool,
    kept: Option<(PoolConnection<Postgres>, Instant)>,
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
            self.kept = Some((self.pool.acquire().await?, Instant::now()));
        }
        Ok(())
    }

    /// Carries it out; what fails because the connection ended while nobody used it is carried out again with another one.
    /// After any other failure the pool looks whether it is still good.
    pub async fn carry_out<R: Repeatable>(&mut self, work: &R) -> Result<R::Done, SettlementError> {
        let used_at = self.kept.as_ref().map(|(_, used_at)| *used_at);
        let was_idle = used_at.is_some_and(|used_at| used_at.elapsed() >= TRUSTED);
        match self.try_once(work).await {
            Err(error) if was_idle && error.is_disconnection() => self.try_once(work).await,
            done => done,
        }
    }

    async fn try_once<R: Repeatable>(&mut self, work: &R) -> Result<R::Done, SettlementError> {
        let mut connection = match self.kept.take() {
            Some((connection, _)) => connection,
            None => self.pool.acquire().await?,
        };
        let Ok(done) = timeout(self.patience, work.carry_out(&mut connection)).await else {
            return Err(gone_silent(connection).into());
        };
        let done = done?;
        self.kept = Some((connection, Instant::now()));
        Ok(done)
    }
}
