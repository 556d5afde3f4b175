//! The queues of others, from their own packages, doing the same job: enqueue a payment, have a worker debit it, wait
//! for the outcome.

mod apalis;
mod node;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use crate::failure::BenchError;
use crate::ground::Ground;
use crate::load::Run;
use crate::stock::{Due, Payer};

/// A queue of somebody else's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// npm: graphile-worker, on Postgres.
    GraphileWorker,
    /// npm: pg-boss, on Postgres.
    PgBoss,
    /// npm: `BullMQ`, on Redis.
    BullMq,
    /// crates.io: apalis-postgres as it ships.
    ApalisPostgres,
}

impl Peer {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::GraphileWorker,
        Self::PgBoss,
        Self::BullMq,
        Self::ApalisPostgres,
    ];

    /// The package's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::GraphileWorker => "graphile-worker",
            Self::PgBoss => "pg-boss",
            Self::BullMq => "bullmq",
            Self::ApalisPostgres => "apalis-postgres",
        }
    }
}

/// One payment, as it is enqueued.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Job {
    invoice: String,
    user: Uuid,
}

/// What the callers of a peer have done.
struct Measured {
    run: Run,
    /// Payments before the clock was started.
    warmed: usize,
}

/// Has so many callers pay through the peer until the time is over or everything is paid, whichever comes first. The
/// first few of the dues only warm up. The database needs Quittance's schema; the peer adds its own.
pub async fn measure(
    peer: Peer,
    ground: &Ground,
    database: &str,
    payers: &[Payer],
    dues: &[Due],
    callers: usize,
    time: Duration,
) -> Result<Run, BenchError> {
    let database_url = ground.postgres.url_superuser(database);
    let job = |due: &Due| {
        let user = payers.get(due.payer)?.user_id;
        let invoice = due.invoice_id();
        Some(Job { invoice, user })
    };
    let jobs: Vec<Job> = dues.iter().filter_map(job).collect();
    let mut connection = PgConnection::connect(&database_url).await?;
    let before = debits(&mut connection).await?;
    let Measured { run, warmed } = match peer {
        Peer::ApalisPostgres => apalis::measure(&database_url, &jobs, callers, time).await?,
        Peer::GraphileWorker | Peer::PgBoss | Peer::BullMq => {
            let redis_url = ground.redis.url();
            node::measure(peer, &database_url, &redis_url, &jobs, callers, time).await?
        }
    };
    let posted = debits(&mut connection).await? - before;
    connection.close().await?;
    let answered = run.paid + warmed;
    if i64::try_from(answered).ok() != Some(posted) {
        return Err(BenchError::Ledger { answered, posted });
    }
    Ok(run)
}

async fn debits(connection: &mut PgConnection) -> Result<i64, BenchError> {
    let debits = "select count(*) from transfers where kind = 'invoice_debit'";
    Ok(sqlx::query_scalar(debits).fetch_one(connection).await?)
}
