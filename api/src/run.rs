//! Puts the process together: connections, routes, background tasks; and takes it apart in order.

use std::time::{Duration, Instant};

use axum::Router;
use axum::middleware::from_fn_with_state;
use metrics_exporter_prometheus::PrometheusHandle;
use shared::chain::{Commitment, Nodes, SlotClock};
use shared::config::{ChainConfig, Config};
use shared::db::{self, DatabaseError};
use shared::events::Publisher;
use shared::invoices::RailRegistry;
use shared::prices::{FeedClientError, Prices};
use shared::queue::{Producer, Queue, RedisLink};
use shared::schema::{self, SchemaError};
use shared::telemetry::{self, Readiness, Shutdown, TelemetryError, supervised};
use sqlx::PgPool;
use tokio::net::TcpListener;
use tower_http::catch_panic::CatchPanicLayer;

use crate::app::{App, AppParts, Building, Producers};
use crate::blockhashes::Blockhashes;
use crate::commands::pay_from_balance::PayFromBalance;
use crate::commands::relay::Relay;
use crate::deposits::Deposits;
use crate::followed::Followed;
use crate::http::rate::RateLimit;
use crate::http::{frame, server};
use crate::hub::Hub;
use crate::session::Sessions;
use crate::streams::Streams;
use crate::surfaces::{console, ops};
use crate::token_accounts::TokenAccounts;
use crate::turns::Turns;
use crate::wallet::DepositWallet;

/// How long a stopped server may take to publish its last events and close its connections.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// How often users that have been quiet leave the rate limiter.
const RATE_FORGET_INTERVAL: Duration = Duration::from_mins(1);

/// How often the chain's height is looked at, and how often at first.
const BLOCK_SAMPLES: Duration = Duration::from_secs(5);
const BLOCK_SAMPLES_QUICK: Duration = Duration::from_millis(500);
const BLOCK_SAMPLES_QUICK_COUNT: usize = 6;

/// Why the api could not start or stop as it should.
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
    /// The HTTP client of the price feed.
    #[error(transparent)]
    Feed(#[from] FeedClientError),
    /// The address is taken or not ours.
    #[error("cannot listen on QUITTANCE_API_LISTEN")]
    Listen(#[from] std::io::Error),
}

/// Serves until a signal.
pub async fn run(config: Config) -> Result<(), RunError> {
    let metrics = telemetry::start(&config.process.log)?;
    let shutdown = telemetry::on_signal()?;
    let pool = db::pool(&config.database, "quittance-api")?;
    schema::check(&pool).await?;
    let redis = RedisLink::connect(&config.redis).await?;
    let (publisher, publishing) = Publisher::spawn(
        redis.clone(),
        config.redis.redis_prefix.clone(),
        pool.clone(),
    );

    let app = build(&config, &pool, &redis, publisher, &shutdown)?;
    supervised("rate limits", forget_quiet_users(app.clone()));
    supervised("block clock", measure_blocks(app.clone()));
    // Once before the first request, so that an api which starts again offers what it offered.
    if let Err(error) = app.followed.look().await {
        telemetry::log_failure("the watched accounts cannot be read", &error);
    }
    supervised("followed", {
        let app = app.clone();
        async move { app.followed.wait(&app.shutdown).await }
    });
    let ending = supervised("revocations", {
        let app = app.clone();
        async move { app.streams.clone().end_revoked(app).await }
    });
    let listener = TcpListener::bind(config.api.api_listen).await?;
    tracing::info!(address = %listener.local_addr()?, service = "api", "listening");
    let router = router(
        app,
        metrics,
        Readiness {
            pool: pool.clone(),
            redis,
            shutdown: shutdown.clone(),
        },
    );
    let finished = server::serve(listener, router, &config, shutdown).await;

    let rest = async {
        let _ = ending.await;
        // The application is gone with the last request; what it published is on its way.
        let _ = publishing.await;
        pool.close().await;
    };
    if !finished || tokio::time::timeout(LAST_WORDS, rest).await.is_err() {
        tracing::warn!("stopped with requests or connections still open");
    }
    tracing::info!("stopped");
    Ok(())
}

fn build(
    config: &Config,
    pool: &PgPool,
    redis: &RedisLink,
    publisher: Publisher,
    shutdown: &Shutdown,
) -> Result<App, RunError> {
    let hub = Hub::spawn(&config.redis)?;
    let producer = |queue| {
        let prefix = &config.redis.redis_prefix;
        Producer::spawn(redis.clone(), prefix, queue, config.queue.queue_length_max)
    };
    let producers = Producers {
        pay: producer(Queue::Pay),
        relay: producer(Queue::Relay),
    };
    let nodes = Nodes::new(&config.chain);
    let rails = RailRegistry::new(config);
    Ok(App::new(AppParts {
        pool: pool.clone(),
        redis: redis.clone(),
        publisher,
        followed: Followed::new(pool.clone(), &config.billing, &rails),
        rails,
        wallet: nodes
            .clone()
            .and_then(|nodes| DepositWallet::new(nodes, &config.billing.solana_deposit_address)),
        building: nodes.clone().map(|nodes| building(nodes, &config.chain)),
        nodes,
        prices: Prices::spawn(&config.billing, shutdown)?,
        sessions: Sessions::spawn(pool.clone(), config),
        rate: RateLimit::requests(&config.api),
        submission_rate: RateLimit::submissions(&config.chain),
        build_rate: RateLimit::builds(&config.chain),
        streams: Streams::new(hub.clone(), config.stream.clone()),
        pay: PayFromBalance::new(
            hub.clone(),
            producers.pay.clone(),
            pool.clone(),
            &config.api,
        ),
        relay: Relay::new(hub, producers.relay.clone(), config),
        producers,
        deposits: Deposits::new(pool.clone()),
        clock: SlotClock::default(),
        creations: Turns::of(1),
        submissions: Turns::of(1),
        audits: tokio::sync::Mutex::default(),
        shutdown: shutdown.clone(),
        config: config.clone(),
    }))
}

fn building(nodes: Nodes, config: &ChainConfig) -> Building {
    let ms = Duration::from_millis;
    Building {
        blockhashes: Blockhashes::new(nodes.clone(), ms(config.inapp_blockhash_cache_ms)),
        token_accounts: TokenAccounts::new(
            nodes,
            ms(config.inapp_account_cache_ms),
            ms(config.inapp_missing_account_cache_ms),
        ),
    }
}

fn router(app: App, metrics: PrometheusHandle, readiness: Readiness) -> Router {
    let framed = |routes: Router<App>| {
        routes
            .layer(CatchPanicLayer::custom(frame::panicked))
            .layer(from_fn_with_state(app.clone(), frame::frame))
    };
    // Outside the frame: a page must be able to read refusals, too. The operator API is for no page.
    let console = framed(console::routes(&app)).layer(console::cors(&app));
    let rest = framed(ops::routes(&app).fallback(frame::no_route));
    console
        .merge(rest)
        .with_state(app)
        .merge(telemetry::probes(metrics, readiness))
}

/// Looks at the chain's height now and then, quickly at first, so that the time of a block is known soon.
async fn measure_blocks(app: App) {
    let Some(nodes) = app
        .nodes
        .as_ref()
        .filter(|_| app.config.chain.inapp_enabled)
    else {
        return;
    };
    let quick = std::iter::repeat_n(BLOCK_SAMPLES_QUICK, BLOCK_SAMPLES_QUICK_COUNT);
    for pause in quick.chain(std::iter::repeat(BLOCK_SAMPLES)) {
        let sample = async {
            if let Ok(height) = nodes.block_height(Commitment::Confirmed).await {
                app.clock.observe(Instant::now(), height);
            }
            tokio::time::sleep(pause).await;
        };
        tokio::select! {
            () = sample => {}
            () = app.shutdown.wait() => return,
        }
    }
}

async fn forget_quiet_users(app: App) {
    let mut ticks = tokio::time::interval(RATE_FORGET_INTERVAL);
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                app.rate.forget_quiet();
                app.submission_rate.forget_quiet();
                app.build_rate.forget_quiet();
            }
            () = app.shutdown.wait() => return,
        }
    }
}
