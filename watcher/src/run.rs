//! Puts the process together and takes it apart in order: stop finding, end what is examined, publish, leave.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use shared::chain::{DepositAccount, DepositError, Nodes};
use shared::config::Config;
use shared::db::{self, DatabaseError};
use shared::events::Publisher;
use shared::prices::{FeedClientError, Prices};
use shared::queue::RedisLink;
use shared::schema::{self, SchemaError};
use shared::telemetry::{self, Readiness, Shutdown, TelemetryError, supervised};
use sqlx::PgPool;
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::context::Context;
use crate::recorder::Recorder;
use crate::{
    backfill, finality, follow, lease, lost, observe, openings, orphans, recheck, references,
    register, release, retention,
};

/// Why the watcher could not start or stop as it should.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Logs or metrics.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// The database.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// Its schema.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// Redis was not there at start.
    #[error("cannot connect to Redis at REDIS_URL; is it running?")]
    Redis(#[from] redis::RedisError),
    /// The address is taken or not ours.
    #[error("cannot listen on QUITTANCE_WATCHER_LISTEN")]
    Listen(#[from] std::io::Error),
    /// The configuration does not fit the chain.
    #[error(transparent)]
    Deposit(#[from] DepositError),
    /// The HTTP client of the price feed.
    #[error(transparent)]
    Feed(#[from] FeedClientError),
    /// No node is configured.
    #[error("SOLANA_RPC_URL names no node")]
    NoNodes,
    /// What was held could not be finished in time.
    #[error(
        "not finished within QUITTANCE_SHUTDOWN_TIMEOUT_MS; the rest is examined again by the next watcher"
    )]
    ShutdownTimeout,
}

/// Watches until a signal.
pub async fn run(config: Config) -> Result<(), RunError> {
    let metrics = telemetry::start(&config.process.log)?;
    let shutdown = telemetry::on_signal()?;
    let nodes = Nodes::new(&config.chain).ok_or(RunError::NoNodes)?;
    let pool = db::pool(&config.database, "quittance-watcher")?;
    schema::check(&pool).await?;
    let redis = RedisLink::connect(&config.redis).await?;
    let listener = TcpListener::bind(config.watcher.watcher_listen).await?;
    tracing::info!(address = %listener.local_addr()?, service = "watcher", "listening");
    let readiness = Readiness {
        pool: pool.clone(),
        redis: redis.clone(),
        shutdown: shutdown.clone(),
    };
    let probes = serve_probes(
        listener,
        telemetry::probes(metrics, readiness),
        shutdown.clone(),
    );

    let prices = Prices::spawn(&config.billing, &shutdown)?;
    let registered = register::register(&config, &pool, &nodes, &shutdown).await?;
    let (publisher, publishing) =
        Publisher::spawn(redis, config.redis.redis_prefix.clone(), pool.clone());
    let work = async {
        if let Some(accounts) = registered {
            follow_chain(
                &config, &pool, nodes, prices, &publisher, &shutdown, accounts,
            )
            .await;
        }
        drop(publisher);
        let _ = publishing.await;
        let _ = probes.await;
        pool.close().await;
    };
    let bound = async {
        shutdown.wait().await;
        tokio::time::sleep(Duration::from_millis(config.process.shutdown_timeout_ms)).await;
    };
    tokio::select! {
        () = work => {}
        () = bound => return Err(RunError::ShutdownTimeout),
    }
    tracing::info!("stopped");
    Ok(())
}

/// Follows the chain until the process stops.
async fn follow_chain(
    config: &Config,
    pool: &PgPool,
    nodes: Nodes,
    prices: Prices,
    publisher: &Publisher,
    shutdown: &Shutdown,
    accounts: Arc<Vec<DepositAccount>>,
) {
    let id = Uuid::new_v4();
    let patience = config.database.patience();
    let (recorder, recording) = Recorder::spawn(id, pool.clone(), publisher.clone(), patience);
    let (share_keys, held) = watch::channel(BTreeSet::new());
    let (share_accounts, accounts) = watch::channel(accounts);
    let context = Context {
        id,
        config: Arc::new(config.clone()),
        pool: pool.clone(),
        nodes,
        prices,
        publisher: publisher.clone(),
        shutdown: shutdown.clone(),
        accounts,
        held,
        found: Arc::new(Notify::new()),
        backfill: Arc::new(Notify::new()),
        recorder,
        ripening: Arc::default(),
        ahead: Arc::default(),
        openings: Arc::default(),
    };
    for task in tasks(context.clone(), share_keys, share_accounts) {
        let _ = task.await;
    }
    lease::leave(&context).await;
    drop(context);
    let _ = recording.await;
}

/// Every part of the watching, started.
fn tasks(
    context: Context,
    share_keys: watch::Sender<BTreeSet<String>>,
    share_accounts: watch::Sender<Arc<Vec<DepositAccount>>>,
) -> [JoinHandle<()>; 12] {
    [
        supervised(
            "lease",
            lease::keep(context.clone(), share_keys, share_accounts),
        ),
        supervised("follow", follow::follow(context.clone())),
        supervised("backfill", backfill::poll(context.clone())),
        supervised("recheck", recheck::sweep(context.clone())),
        supervised("references", references::sweep(context.clone())),
        supervised("observe", observe::examine_found(context.clone())),
        supervised("finality", finality::track(context.clone())),
        supervised("lost", lost::sweep(context.clone())),
        supervised("openings", openings::sweep(context.clone())),
        supervised("orphans", orphans::sweep(context.clone())),
        supervised("release", release::sweep(context.clone())),
        supervised("retention", retention::sweep(context)),
    ]
}

fn serve_probes(listener: TcpListener, router: Router, shutdown: Shutdown) -> JoinHandle<()> {
    tokio::spawn(async move {
        let stop = async move { shutdown.wait().await };
        if let Err(error) = axum::serve(listener, router)
            .with_graceful_shutdown(stop)
            .await
        {
            telemetry::log_failure("the health server failed", &error);
        }
    })
}
