//! What a run costs: processor time by process, and commits.

use std::time::Duration;

use stack::{Deployment, Service};

use crate::failure::BenchError;
use crate::ground::Ground;
use crate::measure::number;
use crate::processes::{self, memory_kib, own_time};

/// What was used since the start, or between two looks.
#[derive(Debug, Clone, Copy, Default)]
pub struct Meter {
    /// The api processes' processor time.
    pub api: Duration,
    /// The workers'.
    pub worker: Duration,
    /// That of Postgres, all its processes together.
    pub postgres: Duration,
    /// That of Redis.
    pub redis: Duration,
    /// Our own: the callers'.
    pub load: Duration,
    /// Transactions that wrote something, those of sweeps and of publishing included.
    pub commits: i64,
    /// The newest transfer.
    last_transfer_id: i64,
    /// Debits in the ledger since the earlier look.
    pub debits: i64,
}

impl Meter {
    /// Reads it.
    pub async fn read(ground: &Ground, deployment: &Deployment) -> Result<Self, BenchError> {
        let sum = |services: &[Service]| -> Result<Duration, BenchError> {
            services.iter().map(|service| own_time(service.pid())).sum()
        };
        let (commits, last_transfer_id) = sqlx::query_as(
            "select pg_snapshot_xmax(pg_current_snapshot())::text::bigint,
                    (select coalesce(max(id), 0) from transfers)",
        )
        .fetch_one(deployment.pool())
        .await?;
        Ok(Self {
            api: sum(deployment.apis())?,
            worker: sum(deployment.workers())?,
            postgres: ground.postgres_time()?,
            redis: ground.redis_time()?,
            load: own_time(std::process::id())?,
            commits,
            last_transfer_id,
            debits: 0,
        })
    }

    /// What was used since this look. The ledger must have what callers were told.
    pub async fn until_now(
        self,
        ground: &Ground,
        deployment: &Deployment,
        answered: usize,
    ) -> Result<Self, BenchError> {
        let now = Self::read(ground, deployment).await?;
        let debits: i64 = sqlx::query_scalar(
            "select count(*) from transfers where id > $1 and kind = 'invoice_debit'",
        )
        .bind(self.last_transfer_id)
        .fetch_one(deployment.pool())
        .await?;
        if i64::try_from(answered).ok() != Some(debits) {
            return Err(BenchError::Ledger {
                answered,
                posted: debits,
            });
        }
        Ok(Self {
            api: now.api.saturating_sub(self.api),
            worker: now.worker.saturating_sub(self.worker),
            postgres: now.postgres.saturating_sub(self.postgres),
            redis: now.redis.saturating_sub(self.redis),
            load: now.load.saturating_sub(self.load),
            commits: now.commits - self.commits,
            debits,
            ..now
        })
    }
}

/// The costs of some runs together, for one payment.
#[derive(Debug, Clone, Copy)]
pub struct Costs {
    /// Microseconds of processor time: api, worker, Postgres, Redis, load.
    pub processor_us: [f64; 5],
    /// Commits.
    pub commits: f64,
}

impl Costs {
    /// Divides what was used by what was paid.
    pub fn of(used: &[Meter]) -> Self {
        let debits: i64 = used.iter().map(|meter| meter.debits).sum();
        let debits = usize::try_from(debits).unwrap_or(0).max(1);
        let commits: i64 = used.iter().map(|meter| meter.commits).sum();
        let each = |part: fn(&Meter) -> Duration| {
            let time: Duration = used.iter().map(part).sum();
            time.as_secs_f64() * 1e6 / number(debits)
        };
        Self {
            processor_us: [
                each(|meter| meter.api),
                each(|meter| meter.worker),
                each(|meter| meter.postgres),
                each(|meter| meter.redis),
                each(|meter| meter.load),
            ],
            commits: number(usize::try_from(commits).unwrap_or(0)) / number(debits),
        }
    }
}

/// What processes hold in memory, KiB.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    /// The api processes.
    pub api: u64,
    /// The workers.
    pub worker: u64,
    /// Redis.
    pub redis: u64,
}

impl Memory {
    /// Reads it. That of Postgres says nothing: each of its processes counts what all share.
    pub fn read(ground: &Ground, deployment: &Deployment) -> Result<Self, BenchError> {
        let sum = |services: &[Service]| -> Result<u64, BenchError> {
            let memory = services.iter().map(|service| memory_kib(service.pid()));
            memory.sum()
        };
        let redis = ground.redis.process();
        Ok(Self {
            api: sum(deployment.apis())?,
            worker: sum(deployment.workers())?,
            redis: redis.map_or(Ok(0), |process| {
                memory_kib(processes::number(process.pid()))
            })?,
        })
    }
}
