//! The queues of others, from their own packages, doing the same job: take a call, enqueue the payment, have a worker
//! debit it, answer with the outcome. Those from npm are called over HTTP by the same callers as Quittance, though
//! without sessions, logs or processes of their own for the work; apalis-postgres is called in this process.

mod apalis;
mod node;

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use self::node::Program;
use crate::failure::BenchError;
use crate::ground::Ground;
use crate::load::{Requests, Run, pay_closed};
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

    /// The fastest on either server, for a look.
    pub const QUICK: [Self; 2] = [Self::GraphileWorker, Self::BullMq];

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

/// For connections, prepared statements and compiled code: rounds of calls before the clock is started, and how long at
/// most.
const WARM_UP_ROUNDS: usize = 20;
const WARM_UP: Duration = Duration::from_secs(1);

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
            let program = Program::start(peer, &database_url, &redis_url, callers).await?;
            let measured = over_http(program.address, &jobs, callers, time).await?;
            program.stop().await?;
            measured
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

async fn over_http(
    address: SocketAddr,
    jobs: &[Job],
    callers: usize,
    time: Duration,
) -> Result<Measured, BenchError> {
    let request = |Job { invoice, user }: &Job| {
        format!(
            "POST /pay/{invoice}/{user} HTTP/1.1\r\nhost: {address}\r\ncontent-length: 0\r\n\r\n"
        )
        .into_bytes()
    };
    let requests = |jobs: &[Job]| Requests {
        address,
        texts: jobs.iter().map(request).collect(),
    };
    let warm_up = jobs.get(..callers * WARM_UP_ROUNDS).unwrap_or(jobs);
    let warmed = pay_closed(requests(warm_up), callers, WARM_UP).await?.paid;
    let rest = jobs.get(warmed..).unwrap_or_default();
    let run = pay_closed(requests(rest), callers, time).await?;
    Ok(Measured { run, warmed })
}

async fn debits(connection: &mut PgConnection) -> Result<i64, BenchError> {
    let debits = "select count(*) from transfers where kind = 'invoice_debit'";
    Ok(sqlx::query_scalar(debits).fetch_one(connection).await?)
}
