//! Group commit: everything that arrives while one transaction commits is settled in the next one. No timer: at
//! low load a batch is one request.
//!
//! Requests of one user always meet in the same shard of a process, so a hot balance has one writer here;
//! several processes are ordered by the row locks. Users take turns, so one who floods does not keep the others waiting.

mod fair_queue;

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use shared::config::Config;
use shared::events::Publisher;
use shared::ids::TraceId;
use shared::queue::PayJob;
use shared::settlement::{
    KeptConnection, PayOutcome, Repeatable, Settled, SettlementError, settle_from_balance,
};
use shared::telemetry::{log_failure, supervised};
use sqlx::{PgConnection, PgPool};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use self::fair_queue::FairQueue;

/// Why a request was not settled; it changed nothing that a later attempt would not find.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CommitError {
    /// The database was away or busy: try again.
    #[error("the database was away or busy")]
    Transient,
    /// The database refuses this request for good.
    #[error("the settlement was refused: {0}")]
    Refused(String),
    /// Its caller's time was over before its turn came.
    #[error("too late")]
    Late,
    /// The process is stopping.
    #[error("stopping")]
    Stopped,
}

struct Request {
    job: PayJob,
    trace: TraceId,
    until: Option<Instant>,
    /// Whether the database has been asked.
    asked: Arc<AtomicBool>,
    answer: oneshot::Sender<Result<PayOutcome, CommitError>>,
}

/// Hands requests to the shards. Cheap to clone; the shards end with the last clone.
#[derive(Clone)]
pub struct GroupCommit {
    shards: Vec<mpsc::Sender<Request>>,
    hasher: RandomState,
}

impl GroupCommit {
    /// Starts the shards; the future ends once they have settled everything after the last clone is gone.
    pub fn spawn(
        pool: &PgPool,
        publisher: &Publisher,
        config: &Config,
    ) -> (Self, impl Future<Output = ()> + use<>) {
        let mut shards = Vec::new();
        let mut tasks: Vec<JoinHandle<()>> = Vec::new();
        let worker = &config.worker;
        for _ in 0..worker.pay_shards {
            let (sender, receiver) = mpsc::channel(worker.pay_concurrency);
            let shard = Shard {
                connection: KeptConnection::new(pool.clone(), config.database.patience()),
                publisher: publisher.clone(),
                batch_max: worker.pay_batch_max,
                batch_per_user_max: worker.pay_batch_per_user_max,
            };
            tasks.push(supervised("group commit", shard.run(receiver)));
            shards.push(sender);
        }
        let ended = async {
            for task in tasks {
                if let Err(error) = task.await {
                    log_failure("a group commit shard failed", &error);
                }
            }
        };
        (
            Self {
                shards,
                hasher: RandomState::new(),
            },
            ended,
        )
    }

    /// Settles one request together with whatever else is waiting, unless `until` passes before its turn comes; when
    /// `give_up` does, it is as if the database were away. Once the database has been asked its answer is waited for.
    pub async fn settle(
        &self,
        job: PayJob,
        trace: TraceId,
        until: Option<Instant>,
        give_up: Instant,
    ) -> Result<PayOutcome, CommitError> {
        let hash = usize::try_from(self.hasher.hash_one(job.user_id) % 1024).unwrap_or(0);
        let shard = self
            .shards
            .get(hash % self.shards.len())
            .ok_or(CommitError::Stopped)?;
        let (answer, mut answered) = oneshot::channel();
        let asked = Arc::new(AtomicBool::new(false));
        shard
            .send(Request {
                job,
                trace,
                until,
                asked: Arc::clone(&asked),
                answer,
            })
            .await
            .map_err(|_| CommitError::Stopped)?;
        let limit = until.map_or(give_up, |until| until.min(give_up));
        let answered = match tokio::time::timeout_at(limit.into(), &mut answered).await {
            Ok(answered) => answered,
            Err(_) if asked.load(Ordering::Relaxed) => answered.await,
            Err(_) if until.is_some_and(|until| until <= Instant::now()) => {
                return Err(CommitError::Late);
            }
            Err(_) => return Err(CommitError::Transient),
        };
        answered.map_err(|_| CommitError::Stopped)?
    }
}

struct Shard {
    connection: KeptConnection,
    publisher: Publisher,
    batch_max: usize,
    batch_per_user_max: usize,
}

impl Shard {
    async fn run(mut self, mut receiver: mpsc::Receiver<Request>) {
        let mut waiting = FairQueue::new();
        let mut batch = Vec::with_capacity(self.batch_max);
        loop {
            while let Ok(request) = receiver.try_recv() {
                waiting.push(request.job.user_id, request);
            }
            if waiting.is_empty() {
                match receiver.recv().await {
                    Some(request) => waiting.push(request.job.user_id, request),
                    None => return,
                }
                continue;
            }
            waiting.take(self.batch_max, self.batch_per_user_max, &mut batch);
            metrics::histogram!("quittance_commit_batch_size")
                .record(f64::from(u32::try_from(batch.len()).unwrap_or(u32::MAX)));
            self.commit(&mut batch).await;
        }
    }

    /// Settles a batch. When that fails each user's part is settled alone, so that one whose row is locked holds
    /// nobody else up; and when the database refuses a part, each of its requests, so that only the guilty one fails.
    async fn commit(&mut self, batch: &mut Vec<Request>) {
        let Err(error) = self.settle_all(batch).await else {
            return;
        };
        if error.is_transient() && !error.is_contention() {
            return fail(batch, &error);
        }
        batch.sort_by_key(|request| request.job.user_id);
        while let Some(user_id) = batch.first().map(|request| request.job.user_id) {
            let count = batch.partition_point(|request| request.job.user_id == user_id);
            let mut part: Vec<Request> = batch.drain(..count).collect();
            match self.settle_all(&mut part).await {
                Ok(()) => {}
                Err(error) if error.is_transient() => fail(&mut part, &error),
                Err(_) => self.commit_singly(&mut part).await,
            }
        }
    }

    async fn commit_singly(&mut self, batch: &mut Vec<Request>) {
        for request in batch.drain(..) {
            let mut alone = vec![request];
            match self.settle_all(&mut alone).await {
                Ok(()) => {}
                Err(error) if error.is_transient() => fail(&mut alone, &error),
                Err(error) => {
                    log_failure("a settlement was refused", &error);
                    answer(&mut alone, &CommitError::Refused(reason(&error)));
                }
            }
        }
    }

    /// Settles requests in one transaction and answers them; on failure they are left. Those whose time ended before the
    /// database could be asked are dropped.
    async fn settle_all(&mut self, batch: &mut Vec<Request>) -> Result<(), SettlementError> {
        self.connection.ready().await?;
        drop_late(batch);
        if batch.is_empty() {
            return Ok(());
        }
        let requests: Vec<_> = batch
            .iter()
            .map(|request| (request.job.clone(), request.trace.clone()))
            .collect();
        mark_asked(batch, true);
        let settled = match self.settle(&requests).await {
            Ok(settled) => settled,
            Err(error) => {
                mark_asked(batch, false);
                return Err(error);
            }
        };
        for (request, outcome) in batch.drain(..).zip(settled.outcomes) {
            let _ = request.answer.send(Ok(outcome));
        }
        if let Some(publication) = settled.publication {
            self.publisher.publish(publication);
        }
        Ok(())
    }

    /// One transaction.
    async fn settle(&mut self, requests: &[(PayJob, TraceId)]) -> Result<Settled, SettlementError> {
        let started = Instant::now();
        let settled = self.connection.carry_out(&Batch(requests)).await?;
        metrics::histogram!("quittance_commit_duration_seconds").record(started.elapsed());
        Ok(settled)
    }
}

/// What one transaction settles.
struct Batch<'a>(&'a [(PayJob, TraceId)]);

impl Repeatable for Batch<'_> {
    type Done = Settled;

    async fn carry_out(&self, connection: &mut PgConnection) -> Result<Settled, SettlementError> {
        settle_from_balance(connection, self.0).await
    }
}

fn mark_asked(batch: &[Request], is_asked: bool) {
    for request in batch {
        request.asked.store(is_asked, Ordering::Relaxed);
    }
}

/// Looked at again here: the process may have been frozen since the request came in, or the database away.
fn drop_late(batch: &mut Vec<Request>) {
    let now = Instant::now();
    for late in batch.extract_if(.., |request| {
        request.until.is_some_and(|until| until <= now)
    }) {
        let _ = late.answer.send(Err(CommitError::Late));
    }
}

fn fail(batch: &mut Vec<Request>, error: &SettlementError) {
    let cause = std::error::Error::source(error);
    tracing::warn!(%error, ?cause, jobs = batch.len(), "settlement delayed");
    answer(batch, &CommitError::Transient);
}

fn answer(batch: &mut Vec<Request>, error: &CommitError) {
    for request in batch.drain(..) {
        let _ = request.answer.send(Err(error.clone()));
    }
}

/// What the database said, for the operator who finds the parked job.
fn reason(error: &SettlementError) -> String {
    match error {
        SettlementError::Database(sqlx::Error::Database(error)) => error.message().to_owned(),
        SettlementError::Database(error) => error.to_string(),
        SettlementError::UnknownAnswer(_) | SettlementError::TooLarge(_) => error.to_string(),
    }
}
