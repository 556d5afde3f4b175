//! Queues and their handlers: the one place that knows apalis. It supplies typed handlers, concurrency and the
//! run loop; decoding, timeout, panic capture and the outcome are ours, inside the handler.

use std::any::Any;
use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use apalis::prelude::{Data, WorkerBuilder, WorkerBuilderExt as _};
use apalis_core::error::WorkerError;
use futures::{FutureExt as _, StreamExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use shared::config::Config;
use shared::ids::TraceId;
use shared::queue::{
    Delivery, Ending, Envelope, Finish, Finisher, Queue, Reply, Source, park, with_ttl,
};
use shared::telemetry::{Shutdown, log_failure};
use sqlx::PgPool;
use tokio::sync::{oneshot, watch};
use tracing::Instrument as _;

/// Why a queue stopped being worked.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// Redis was not there at start.
    #[error("cannot connect to Redis at REDIS_URL; is it running?")]
    Redis(#[from] redis::RedisError),
    /// apalis ended with an error.
    #[error("the worker runtime failed")]
    Runtime(#[from] WorkerError),
}

/// How a job ended.
#[derive(Debug)]
pub enum Outcome<R> {
    /// It did what it was for, or found that out of the question: the caller gets this reply.
    Done(R),
    /// The moment was wrong (a dependency is down): enqueue it anew. Such a round counts as no delivery, so that
    /// an outage parks nothing.
    Again,
    /// Its time was over before it could be done: nothing was done, nobody is told.
    Stale,
    /// It can never succeed: keep it for an operator, and tell the caller.
    Park {
        /// Why, for the operator.
        reason: String,
        /// What the caller gets.
        reply: R,
    },
}

/// The work of one queue. Handlers may run twice, also at once: their effects must be single by themselves.
pub trait Handler: Clone + Send + Sync + 'static {
    /// What arrives.
    type Job: Clone + Serialize + DeserializeOwned + Send + Sync;
    /// What the caller gets.
    type Reply: Serialize + Send + Sync;

    /// Does the job, before its time is over or not at all.
    fn handle(
        &self,
        job: Self::Job,
        trace: TraceId,
        until: Option<Instant>,
    ) -> impl Future<Output = Outcome<Self::Reply>> + Send;

    /// Logs what came of a job, once its reply is on its way.
    fn log(_: &Self::Job, _: &Self::Reply) {}

    /// The longest it may take.
    fn timeout(config: &Config) -> Duration;

    /// How many at once.
    fn concurrency(config: &Config) -> usize;
}

#[derive(Clone)]
struct Context<H> {
    queue: Queue,
    handler: H,
    finisher: Finisher,
    pool: PgPool,
    deliveries_max: u64,
    visibility_timeout: Duration,
    timeout: Duration,
}

/// Works a queue until a stop, then until everything taken from it is finished.
pub async fn run<H: Handler>(
    config: &Config,
    pool: &PgPool,
    queue: Queue,
    handler: H,
    finisher: Finisher,
    paused: watch::Receiver<bool>,
    shutdown: &Shutdown,
) -> Result<(), RegistryError> {
    let reclaim = Duration::from_millis(config.sweep.sweep_reclaim_interval_ms);
    let source = Source::connect(
        &config.redis,
        queue,
        &config.queue,
        reclaim,
        paused,
        shutdown.watch(),
    )
    .await?;
    let context = Context {
        queue,
        handler,
        finisher,
        pool: pool.clone(),
        deliveries_max: config.queue.queue_deliveries_max,
        visibility_timeout: Duration::from_millis(config.queue.queue_visibility_timeout_ms),
        timeout: H::timeout(config),
    };
    // apalis drops what it has fetched when told to stop, so it is told only after the source has run dry.
    let (drained, is_drained) = oneshot::channel::<()>();
    let dry = futures::stream::once(async move {
        let _ = drained.send(());
        None
    });
    let deliveries = source
        .deliveries()
        .map(Some)
        .chain(dry)
        .filter_map(async |delivery| delivery.map(Ok::<_, Infallible>))
        .boxed();
    let mut is_drained = Some(is_drained);
    WorkerBuilder::new(queue.name())
        .backend(deliveries)
        .data(context)
        .concurrency(H::concurrency(config))
        .build(deliver::<H>)
        .run_with_ctx(move |worker| {
            let is_drained = is_drained.take();
            async move {
                if let Some(is_drained) = is_drained {
                    let _ = is_drained.await;
                }
                worker.stop()
            }
        })
        .await?;
    Ok(())
}

/// Handles one delivery from decoding to acknowledgement.
async fn deliver<H: Handler>(delivery: Delivery, context: Data<Context<H>>) {
    if delivery.deliveries > context.deliveries_max {
        let times = context.deliveries_max;
        let reason = format!("delivered more than {times} times without an outcome");
        return park_and_finish(&context, &delivery, &reason, None).await;
    }
    let envelope = match Envelope::<H::Job>::decode(&delivery.payload) {
        Ok(envelope) => envelope,
        Err(error) => {
            return park_and_finish(&context, &delivery, &error.to_string(), None).await;
        }
    };
    if time_left(&delivery, envelope.ttl_ms) == Some(Duration::ZERO) {
        return drop_stale(&context, delivery).await;
    }
    let span =
        tracing::info_span!("job", queue = context.queue.name(), trace_id = %envelope.trace_id);
    work(&context, delivery, envelope).instrument(span).await;
}

/// How long the job may still be done; `None` for ever.
fn time_left(delivery: &Delivery, ttl_ms: Option<u64>) -> Option<Duration> {
    ttl_ms.map(|ttl_ms| Duration::from_millis(ttl_ms).saturating_sub(delivery.age()))
}

/// Its caller was told to ask again, or was answered by another copy of the job: doing it now would surprise everybody.
async fn drop_stale<H: Handler>(context: &Context<H>, delivery: Delivery) {
    metrics::counter!("quittance_jobs_stale_total", "queue" => context.queue.name()).increment(1);
    let finish = Finish {
        entry_id: delivery.entry_id,
        ending: Ending::Stale,
    };
    context.finisher.finish(finish).await;
}

async fn work<H: Handler>(context: &Context<H>, delivery: Delivery, envelope: Envelope<H::Job>) {
    let started = Instant::now();
    let Envelope {
        id,
        reply_to,
        trace_id,
        ttl_ms,
        job,
        ..
    } = envelope;
    let until = time_left(&delivery, ttl_ms).map(|left| started + left);
    let handling = context.handler.handle(job.clone(), trace_id, until);
    let handling = AssertUnwindSafe(handling).catch_unwind();
    let label = match tokio::time::timeout(context.timeout, handling).await {
        Ok(Ok(outcome)) => end(context, delivery, ttl_ms, (&job, outcome), (id, reply_to)).await,
        Ok(Err(panic)) => {
            let reason = format!("the job panicked: {}", panic_text(&*panic));
            leave_or_park(context, &delivery, ttl_ms, &reason).await;
            "panicked"
        }
        Err(_) => {
            leave_or_park(context, &delivery, ttl_ms, "the job took too long").await;
            "timed_out"
        }
    };
    let queue = context.queue.name();
    metrics::counter!("quittance_jobs_total", "queue" => queue, "outcome" => label).increment(1);
    metrics::histogram!("quittance_job_duration_seconds", "queue" => queue)
        .record(started.elapsed());
}

/// A job that misbehaved is left to be delivered again, and parked when that happens too often. Its next delivery may
/// come too late to count, though; then it is parked now, for it must not vanish.
async fn leave_or_park<H: Handler>(
    context: &Context<H>,
    delivery: &Delivery,
    ttl_ms: Option<u64>,
    reason: &str,
) {
    tracing::error!(
        reason,
        deliveries = delivery.deliveries,
        "the job misbehaved"
    );
    if time_left(delivery, ttl_ms).is_some_and(|left| left < context.visibility_timeout) {
        park_and_finish(context, delivery, reason, None).await;
    }
}

/// Acts on an outcome; returns its name in the metrics.
async fn end<H: Handler>(
    context: &Context<H>,
    delivery: Delivery,
    ttl_ms: Option<u64>,
    (job, outcome): (&H::Job, Outcome<H::Reply>),
    (id, channel): (u64, String),
) -> &'static str {
    let encode = |outcome: &H::Reply| serde_json::to_string(&Reply { id, outcome });
    let (label, ending, replied) = match outcome {
        Outcome::Done(reply) => match encode(&reply) {
            Ok(message) => ("done", Ending::Replied { channel, message }, Some(reply)),
            Err(error) => {
                let reason = format!("the reply cannot be encoded: {error}");
                park_and_finish(context, &delivery, &reason, None).await;
                return "parked";
            }
        },
        Outcome::Again => {
            let ttl_ms = time_left(&delivery, ttl_ms).map(|left| left.as_millis());
            let ttl_ms = ttl_ms.map(|left| u64::try_from(left).unwrap_or(u64::MAX));
            (
                "again",
                Ending::Requeued(with_ttl(&delivery.payload, ttl_ms)),
                None,
            )
        }
        Outcome::Stale => ("stale", Ending::Stale, None),
        Outcome::Park { reason, reply } => {
            let reply = encode(&reply).ok().map(|message| (channel, message));
            park_and_finish(context, &delivery, &reason, reply).await;
            return "parked";
        }
    };
    let finish = Finish {
        entry_id: delivery.entry_id,
        ending,
    };
    context.finisher.finish(finish).await;
    if let Some(reply) = replied {
        // It goes out meanwhile.
        tokio::task::yield_now().await;
        H::log(job, &reply);
    }
    label
}

/// Parks, and only then acknowledges; if Postgres is away the entry stays and is parked next time.
async fn park_and_finish<H: Handler>(
    context: &Context<H>,
    delivery: &Delivery,
    reason: &str,
    reply: Option<(String, String)>,
) {
    match park(&context.pool, context.queue, delivery, reason).await {
        Ok(()) => {
            tracing::error!(
                queue = context.queue.name(),
                entry_id = delivery.entry_id,
                reason,
                "job parked"
            );
            metrics::counter!("quittance_jobs_parked_total", "queue" => context.queue.name())
                .increment(1);
            let entry_id = delivery.entry_id.clone();
            context
                .finisher
                .finish(Finish {
                    entry_id,
                    ending: Ending::Parked { reply },
                })
                .await;
        }
        Err(error) => log_failure("a job cannot be parked", &error),
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no text")
}
