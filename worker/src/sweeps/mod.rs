//! What finds work without a hint. Every sweep is safe in any number of workers at once, and running one twice
//! changes nothing. The sweep for jobs of silent workers is part of reading a queue (`shared/src/queue/source.rs`).

mod audit;
mod expiry;
mod outbox;
mod queues;
mod retention;

use std::time::Duration;

use redis::aio::ConnectionManager;
use shared::config::Config;
use shared::events::{PublishError, Publisher};
use shared::ledger::LedgerError;
use shared::settlement::SettlementError;
use shared::telemetry::{Shutdown, log_failure};
use sqlx::PgPool;
use tokio::task::JoinSet;

/// Why one round of a sweep failed; the next one tries again.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// The database.
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
    /// Redis.
    #[error("Redis failed")]
    Redis(#[from] redis::RedisError),
    /// Ending invoices.
    #[error(transparent)]
    Settlement(#[from] SettlementError),
    /// Publishing events.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// Auditing.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// What sweeps work with.
#[derive(Clone)]
pub struct SweepContext {
    /// The process' pool.
    pub pool: PgPool,
    /// A Redis connection.
    pub redis: ConnectionManager,
    /// Publishes what a sweep causes.
    pub publisher: Publisher,
    /// Ends the sweeps.
    pub shutdown: Shutdown,
    /// Intervals and limits.
    pub config: Config,
}

/// Starts every sweep; the future ends once a stop has ended them all.
pub fn start(context: &SweepContext) -> impl Future<Output = ()> + use<> {
    let sweep = &context.config.sweep;
    let mut tasks = JoinSet::new();
    tasks.spawn(every(
        "expiry",
        sweep.sweep_expiry_interval_ms,
        context.clone(),
        async |c| expiry::sweep(c).await,
    ));
    tasks.spawn(every(
        "outbox",
        sweep.sweep_outbox_interval_ms,
        context.clone(),
        async |c| outbox::sweep(c).await,
    ));
    tasks.spawn(every(
        "queues",
        queues::INTERVAL_MS,
        context.clone(),
        async |c| queues::sweep(c).await,
    ));
    tasks.spawn(every(
        "retention",
        sweep.sweep_retention_interval_ms,
        context.clone(),
        async |c| retention::sweep(c).await,
    ));
    if sweep.sweep_audit_interval_ms > 0 {
        tasks.spawn(every(
            "audit",
            sweep.sweep_audit_interval_ms,
            context.clone(),
            async |c| audit::sweep(c).await,
        ));
    }
    async move { while tasks.join_next().await.is_some() {} }
}

/// Runs a sweep again and again until the process stops. A failed round is logged; the next one comes in time.
async fn every<F>(name: &'static str, interval_ms: u64, mut context: SweepContext, sweep: F)
where
    F: for<'a> AsyncFn(&'a mut SweepContext) -> Result<(), SweepError>,
{
    let mut ticks = tokio::time::interval(Duration::from_millis(interval_ms));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let shutdown = context.shutdown.clone();
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = shutdown.wait() => return,
        }
        if let Err(error) = sweep(&mut context).await {
            metrics::counter!("quittance_sweep_failures_total", "sweep" => name).increment(1);
            log_failure("a sweep failed", &error);
        }
    }
}
