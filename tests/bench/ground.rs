//! The servers that a part is measured on: a Postgres and a Redis of its own, which any number of deployments and what
//! they are compared with share.

use std::time::Duration;

use sqlx::{Connection as _, PgConnection};
use stack::deployment::Builder;
use stack::{Deployment, Postgres, Redis};

use crate::failure::BenchError;
use crate::processes::family_time;

const CONNECTIONS: u16 = 400;
/// For both sides alike: memory as on a small server, and no checkpoint in the middle of a round. What decides whether a
/// commit is safe (`fsync`, `synchronous_commit`, `full_page_writes`) is as Postgres ships it: on.
const SETTINGS: [&str; 4] = [
    "shared_buffers=2GB",
    "min_wal_size=4GB",
    "max_wal_size=16GB",
    "checkpoint_timeout=30min",
];
/// Segments of Postgres' log that lie ready, as they do on a server that has run for a while: one that has to be made first
/// holds up whoever needs it for as long as hundreds of commits take. Enough for a part that takes a minute.
pub const SEGMENTS: usize = 12;
const FILL_SEGMENT: &str =
    "select pg_switch_wal() from pg_logical_emit_message(false, 'bench', 'not empty')";
/// Live processes would be refused more than a user may ask for, and one user is to ask for as much as the machine does.
const NO_RATE_LIMIT: (&str, &str) = ("QUITTANCE_RATE_PER_USER_PER_SECOND", "0");

/// The servers. Dropping them ends them.
pub struct Ground {
    /// For the superuser.
    pub postgres: Postgres,
    /// Keeps nothing.
    pub redis: Redis,
}

impl Ground {
    /// Starts both, with so many segments of the log ready.
    pub async fn start(segments: usize) -> Result<Self, BenchError> {
        Self::start_with(segments, &[]).await
    }

    /// The same with further settings of Postgres.
    pub async fn start_with(segments: usize, further: &[&str]) -> Result<Self, BenchError> {
        let settings = [&SETTINGS, further].concat();
        let postgres = Postgres::temporary_with(CONNECTIONS, &settings).await?;
        let mut connection = PgConnection::connect(&postgres.url_superuser("postgres")).await?;
        for _ in 0..segments {
            sqlx::query(FILL_SEGMENT).execute(&mut connection).await?;
        }
        sqlx::query("checkpoint").execute(&mut connection).await?;
        connection.close().await?;
        let redis = Redis::temporary().await?;
        Ok(Self { postgres, redis })
    }

    /// A deployment with a database of its own on these servers.
    pub fn deployment(&self) -> Builder {
        let (name, value) = NO_RATE_LIMIT;
        Deployment::builder()
            .servers(&self.postgres, &self.redis)
            .env(name, value)
    }

    /// The processor time of Postgres so far.
    pub fn postgres_time(&self) -> Result<Duration, BenchError> {
        let process = self.postgres.process();
        process.map_or(Ok(Duration::ZERO), |process| family_time(process.pid()))
    }

    /// The processor time of Redis so far.
    pub fn redis_time(&self) -> Result<Duration, BenchError> {
        let process = self.redis.process();
        process.map_or(Ok(Duration::ZERO), |process| family_time(process.pid()))
    }
}
