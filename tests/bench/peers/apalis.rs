//! The crate apalis-postgres as it ships: jobs are rows, new ones are announced with NOTIFY, and whoever waits for a
//! job's end looks for it every 500 ms.

use std::sync::Arc;
use std::time::Duration;

use apalis::prelude::{
    BoxDynError, Data, ParallelizeExt as _, TaskBuilder, TaskId, TaskSink as _, WaitForCompletion,
    WorkerBuilder, WorkerBuilderExt as _,
};
use apalis_postgres::{Config, PostgresStorage};
use futures::StreamExt as _;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio::task::JoinSet;
use ulid::Ulid;

use super::{Job, Measured, Peer, WARM_UP, WARM_UP_ROUNDS};
use crate::debit::{DEBIT, PAID, TRACE};
use crate::failure::BenchError;
use crate::load::{Run, closed};

/// For the queue's own work, beside those of callers and jobs, of which more would only wait for each other.
const FURTHER_CONNECTIONS: usize = 8;
const CONNECTIONS_MAX: usize = 32;
/// A job takes part of a second; one that takes so long has been lost.
const JOB_LIMIT: Duration = Duration::from_secs(10);

type Storage = PostgresStorage<Job>;

/// Has a worker in this process debit, and so many callers wait for it.
pub async fn measure(
    database_url: &str,
    jobs: &[Job],
    callers: usize,
    time: Duration,
) -> Result<Measured, BenchError> {
    let connections = (2 * callers).min(CONNECTIONS_MAX) + FURTHER_CONNECTIONS;
    let pool = PgPoolOptions::new()
        .max_connections(u32::try_from(connections).unwrap_or(u32::MAX))
        .connect(database_url)
        .await?;
    PostgresStorage::setup(&pool).await.map_err(failed)?;
    let config = Config::default();
    let batch_size = config.batch_size.max(callers);
    let storage = Storage::new(&pool).with_config(config.queue("pay").batch_size(batch_size));
    let worker = WorkerBuilder::new(Ulid::generate().to_string())
        .backend(storage.clone().with_pubsub())
        .data(pool.clone())
        .concurrency(callers)
        .parallelize(tokio::spawn)
        .build(debit);
    let mut workers = JoinSet::new();
    workers.spawn(worker.run());
    let warm_up = jobs.get(..callers * WARM_UP_ROUNDS).unwrap_or(jobs);
    let measured = async {
        let warmed = call(&storage, warm_up, callers, WARM_UP).await?.paid;
        let rest = jobs.get(warmed..).unwrap_or_default();
        let run = call(&storage, rest, callers, time).await?;
        Ok(Measured { run, warmed })
    };
    tokio::select! {
        measured = measured => measured,
        ended = workers.join_next() => Err(failed(format!("the worker has ended: {ended:?}"))),
    }
}

fn failed(why: impl Into<BoxDynError>) -> BenchError {
    BenchError::Program(Peer::ApalisPostgres.name(), why.into().to_string())
}

async fn debit(job: Job, pool: Data<PgPool>) -> Result<(), BoxDynError> {
    let outcome: String = sqlx::query_scalar(DEBIT)
        .bind(job.invoice)
        .bind(job.user)
        .bind(TRACE)
        .fetch_one(&*pool)
        .await?;
    if outcome == PAID {
        Ok(())
    } else {
        Err(outcome.into())
    }
}

async fn call(
    storage: &Storage,
    jobs: &[Job],
    callers: usize,
    time: Duration,
) -> Result<Run, BenchError> {
    let jobs: Arc<[Job]> = jobs.into();
    let storages = vec![storage.clone(); callers];
    closed(storages, jobs.len(), time, move |mut storage, place| {
        let job = jobs.get(place).cloned();
        async move {
            if let Some(job) = job {
                tokio::time::timeout(JOB_LIMIT, pay(&mut storage, job))
                    .await
                    .map_err(|_| BenchError::Lost {
                        queue: Peer::ApalisPostgres.name(),
                        limit: JOB_LIMIT,
                    })??;
            }
            Ok(storage)
        }
    })
    .await
}

async fn pay(storage: &mut Storage, job: Job) -> Result<(), BenchError> {
    let id = TaskId::from_ulid(Ulid::generate());
    let task = TaskBuilder::new(job)
        .task_id(id.clone())
        .max_attempts(1)
        .build();
    storage.push_task(task).await.map_err(failed)?;
    let mut results = WaitForCompletion::<()>::wait_for_single(storage, id);
    let result = results.next().await;
    let result = result.ok_or_else(|| failed("a job's end cannot be read"))?;
    result.map_err(failed)?.take().map_err(failed)
}
