//! Puts the process together and takes it apart in order: stop taking, finish what is held, publish, leave.

use std::time::Duration;

use axum::Router;
use shared::chain::Nodes;
use shared::config::Config;
use shared::db::{self, DatabaseError};
use shared::events::Publisher;
use shared::queue::{Finisher, Queue, RedisLink};
use shared::schema::{self, SchemaError};
use shared::telemetry::{self, Readiness, Shutdown, TelemetryError};
use sqlx::PgPool;
use tokio::net::TcpListener;

use crate::group_commit::GroupCommit;
use crate::jobs::pay::Pay;
use crate::jobs::relay::Relay;
use crate::pauses::{self, Pauses};
use crate::rails::solana::Broadcaster;
use crate::registry::{self, Handler, RegistryError};
use crate::sweeps::{self, SweepContext};

/// Why the worker could not start or stop as it should.
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
    #[error("cannot listen on QUITTANCE_WORKER_LISTEN")]
    Listen(#[from] std::io::Error),
    /// The runtime of a queue failed.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// What was held could not be finished in time.
    #[error(
        "not finished within QUITTANCE_SHUTDOWN_TIMEOUT_MS; unfinished jobs will be delivered again"
    )]
    ShutdownTimeout,
}

/// Works until a signal.
pub async fn run(config: Config) -> Result<(), RunError> {
    let metrics = telemetry::start(&config.process.log)?;
    let shutdown = telemetry::on_signal()?;
    let pool = db::pool(&config.database, "quittance-worker")?;
    schema::check(&pool).await?;
    let redis = RedisLink::connect(&config.redis).await?;

    let listener = TcpListener::bind(config.worker.worker_listen).await?;
    tracing::info!(address = %listener.local_addr()?, service = "worker", "listening");
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

    let prefix = config.redis.redis_prefix.clone();
    let (publisher, publishing) = Publisher::spawn(redis.clone(), prefix.clone(), pool.clone());
    let (pay_finisher, pay_finishing) = Finisher::spawn(redis.clone(), &prefix, Queue::Pay);
    let (relay_finisher, relay_finishing) = Finisher::spawn(redis.clone(), &prefix, Queue::Relay);
    let (group_commit, committing) = GroupCommit::spawn(&pool, &publisher, &config);
    let nodes = Nodes::new(&config.chain);
    let broadcaster = nodes
        .clone()
        .map(|nodes| Broadcaster::new(pool.clone(), nodes, &config));
    let pauses = pauses::follow(pool.clone(), &config, shutdown.clone());
    let sweeping = sweeps::start(&SweepContext {
        pool: pool.clone(),
        redis: redis.clone(),
        publisher: publisher.clone(),
        broadcaster: broadcaster.clone(),
        nodes,
        shutdown: shutdown.clone(),
        config: config.clone(),
    });

    let work = async {
        let floor = Floor {
            config: &config,
            pool: &pool,
            pauses: &pauses,
            shutdown: &shutdown,
        };
        tokio::try_join!(
            floor.work(Queue::Pay, Pay::new(group_commit, &config), pay_finisher),
            floor.relay(broadcaster, relay_finisher)
        )?;
        // The queue's clones are gone by now: each task below ends when its input does.
        drop(publisher);
        committing.await;
        sweeping.await;
        let _ = pay_finishing.await;
        let _ = relay_finishing.await;
        let _ = publishing.await;
        let _ = probes.await;
        pool.close().await;
        Ok::<(), RunError>(())
    };
    let bound = async {
        shutdown.wait().await;
        tokio::time::sleep(Duration::from_millis(config.process.shutdown_timeout_ms)).await;
    };
    tokio::select! {
        worked = work => worked?,
        () = bound => return Err(RunError::ShutdownTimeout),
    }
    tracing::info!("stopped");
    Ok(())
}

fn serve_probes(
    listener: TcpListener,
    router: Router,
    shutdown: Shutdown,
) -> tokio::task::JoinHandle<()> {
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

/// What every queue is worked with.
struct Floor<'a> {
    config: &'a Config,
    pool: &'a PgPool,
    pauses: &'a Pauses,
    shutdown: &'a Shutdown,
}

impl Floor<'_> {
    /// Works a queue until it is drained after a stop.
    async fn work<H: Handler>(
        &self,
        queue: Queue,
        handler: H,
        finisher: Finisher,
    ) -> Result<(), RunError> {
        let paused = self.pauses.of(queue);
        registry::run(
            self.config,
            self.pool,
            queue,
            handler,
            finisher,
            paused,
            self.shutdown,
        )
        .await?;
        Ok(())
    }

    /// Broadcasts, where there is a chain; elsewhere other workers may.
    async fn relay(
        &self,
        broadcaster: Option<Broadcaster>,
        finisher: Finisher,
    ) -> Result<(), RunError> {
        match broadcaster {
            Some(broadcaster) => {
                self.work(Queue::Relay, Relay::new(broadcaster), finisher)
                    .await
            }
            None => Ok(()),
        }
    }
}
