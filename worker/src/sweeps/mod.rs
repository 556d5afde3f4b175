//! What finds work without a hint. Every sweep is safe in any number of workers at once, and running one twice
//! changes nothing. The sweep for jobs of silent workers is part of reading a queue (`shared/src/queue/source.rs`).

mod audit;
mod expiry;
mod outbox;
mod queues;
mod reconcile;
mod relay;
mod retention;
mod waiting;

use std::collections::BTreeSet;
use std::time::Duration;

use shared::chain::Nodes;
use shared::config::Config;
use shared::events::{PublishError, Publisher};
use shared::ledger::LedgerError;
use shared::queue::RedisLink;
use shared::settlement::SettlementError;
use shared::telemetry::{Shutdown, log_failure, supervised};
use sqlx::PgPool;

use crate::rails::solana::{Broadcaster, RelayError};
use crate::reconcile::{ReconcileError, Reconciler};

/// The longest a round may take; an audit of a large ledger is the slowest.
const ROUND_MAX: Duration = Duration::from_mins(11);

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
    /// Broadcasting.
    #[error(transparent)]
    Relay(#[from] RelayError),
    /// No end in sight.
    #[error("the sweep took too long")]
    TookTooLong,
    /// Auditing.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Comparing with the chain.
    #[error(transparent)]
    Reconcile(#[from] ReconcileError),
}

/// What sweeps work with.
#[derive(Clone)]
pub struct SweepContext {
    /// The process' pool.
    pub pool: PgPool,
    /// A Redis connection.
    pub redis: RedisLink,
    /// Publishes what a sweep causes.
    pub publisher: Publisher,
    /// Broadcasts transactions, if there are nodes.
    pub broadcaster: Option<Broadcaster>,
    /// The nodes, if there are any.
    pub nodes: Option<Nodes>,
    /// Ends the sweeps.
    pub shutdown: Shutdown,
    /// Intervals and limits.
    pub config: Config,
}

/// Starts every sweep; the future ends once a stop has ended them all.
pub fn start(context: &SweepContext) -> impl Future<Output = ()> + use<> {
    let sweep = &context.config.sweep;
    let expiry = every(
        "expiry",
        sweep.sweep_expiry_interval_ms,
        context,
        async |c| expiry::sweep(c).await,
    );
    let outbox = every(
        "outbox",
        sweep.sweep_outbox_interval_ms,
        context,
        async |c| outbox::sweep(c).await,
    );
    let queues = every("queues", queues::INTERVAL_MS, context, async |c| {
        queues::sweep(c).await
    });
    let retention = every(
        "retention",
        sweep.sweep_retention_interval_ms,
        context,
        async |c| retention::sweep(c).await,
    );
    let mut seen = BTreeSet::new();
    let waiting = every("waiting", waiting::INTERVAL_MS, context, async move |c| {
        waiting::sweep(c, &mut seen).await
    });
    let mut tasks = vec![
        supervised("sweep", expiry),
        supervised("sweep", outbox),
        supervised("sweep", queues),
        supervised("sweep", retention),
        supervised("sweep", waiting),
    ];
    if context.broadcaster.is_some() {
        let interval_ms = context.config.chain.relay_resend_interval_ms;
        let relay = every("relay", interval_ms, context, async |c| {
            relay::sweep(c).await
        });
        tasks.push(supervised("sweep", relay));
    }
    if sweep.sweep_audit_interval_ms > 0 {
        let audit = every("audit", sweep.sweep_audit_interval_ms, context, async |c| {
            audit::sweep(c).await
        });
        tasks.push(supervised("sweep", audit));
    }
    if let Some(nodes) = context.nodes.clone()
        && sweep.sweep_reconcile_interval_ms > 0
    {
        let mut reconciler = Reconciler::new(context.pool.clone(), nodes);
        let interval_ms = sweep.sweep_reconcile_interval_ms;
        let reconcile = every("reconcile", interval_ms, context, async move |c| {
            reconcile::sweep(c, &mut reconciler).await
        });
        tasks.push(supervised("sweep", reconcile));
    }
    async {
        for task in tasks {
            let _ = task.await;
        }
    }
}

/// Runs a sweep again and again until the process stops. A failed round is logged; the next one comes in time.
fn every<F>(
    name: &'static str,
    interval_ms: u64,
    context: &SweepContext,
    mut sweep: F,
) -> impl Future<Output = ()> + use<F>
where
    F: for<'a> AsyncFnMut(&'a mut SweepContext) -> Result<(), SweepError>,
{
    let mut context = context.clone();
    async move {
        let mut ticks = tokio::time::interval(Duration::from_millis(interval_ms));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let shutdown = context.shutdown.clone();
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = shutdown.wait() => return,
            }
            // A server that has gone silent must not end the sweeping.
            let round = tokio::time::timeout(ROUND_MAX, sweep(&mut context)).await;
            if let Err(error) = round.unwrap_or(Err(SweepError::TookTooLong)) {
                metrics::counter!("quittance_sweep_failures_total", "sweep" => name).increment(1);
                log_failure("a sweep failed", &error);
            }
        }
    }
}
