//! Group commit: everything that arrives while one transaction commits is settled in the next one. No timer: at
//! low load a batch is one request.
//!
//! Requests of one user always meet in the same shard of a process, so a hot balance has one writer here;
//! several processes are ordered by the row locks.

use std::hash::{BuildHasher as _, RandomState};

use shared::config::WorkerConfig;
use shared::events::Publisher;
use shared::ids::TraceId;
use shared::queue::PayJob;
use shared::settlement::{PayOutcome, SettlementError, settle_from_balance};
use shared::telemetry::log_failure;
use sqlx::PgPool;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// Why a request was not settled; it changed nothing that a later attempt would not find.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CommitError {
    /// The database was away or busy: try again.
    #[error("the database was away or busy")]
    Transient,
    /// The database refuses this request for good.
    #[error("the settlement was refused: {0}")]
    Refused(String),
    /// The process is stopping.
    #[error("stopping")]
    Stopped,
}

struct Request {
    job: PayJob,
    trace: TraceId,
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
        config: &WorkerConfig,
    ) -> (Self, impl Future<Output = ()> + use<>) {
        let mut shards = Vec::new();
        let mut tasks: Vec<JoinHandle<()>> = Vec::new();
        for _ in 0..config.pay_shards {
            let (sender, receiver) = mpsc::channel(config.pay_concurrency);
            let shard = Shard {
                pool: pool.clone(),
                publisher: publisher.clone(),
            };
            tasks.push(tokio::spawn(shard.run(receiver, config.pay_batch_max)));
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

    /// Settles one request together with whatever else is waiting.
    pub async fn settle(&self, job: PayJob, trace: TraceId) -> Result<PayOutcome, CommitError> {
        let hash = usize::try_from(self.hasher.hash_one(job.user_id) % 1024).unwrap_or(0);
        let shard = self
            .shards
            .get(hash % self.shards.len())
            .ok_or(CommitError::Stopped)?;
        let (answer, answered) = oneshot::channel();
        shard
            .send(Request { job, trace, answer })
            .await
            .map_err(|_| CommitError::Stopped)?;
        answered.await.map_err(|_| CommitError::Stopped)?
    }
}

struct Shard {
    pool: PgPool,
    publisher: Publisher,
}

impl Shard {
    async fn run(self, mut receiver: mpsc::Receiver<Request>, batch_max: usize) {
        let mut batch = Vec::with_capacity(batch_max);
        while receiver.recv_many(&mut batch, batch_max).await > 0 {
            metrics::histogram!("quittance_commit_batch_size")
                .record(f64::from(u32::try_from(batch.len()).unwrap_or(u32::MAX)));
            self.commit(&mut batch).await;
        }
    }

    /// Settles a batch; when the database refuses it, each request alone, so that only the guilty one fails.
    async fn commit(&self, batch: &mut Vec<Request>) {
        let requests: Vec<_> = batch
            .iter()
            .map(|request| (request.job.clone(), request.trace.clone()))
            .collect();
        match self.settle(&requests).await {
            Ok(outcomes) => {
                for (request, outcome) in batch.drain(..).zip(outcomes) {
                    let _ = request.answer.send(Ok(outcome));
                }
            }
            Err(error) if error.is_transient() => {
                tracing::warn!(%error, causes = ?std::error::Error::source(&error), jobs = batch.len(), "settlement delayed");
                for request in batch.drain(..) {
                    let _ = request.answer.send(Err(CommitError::Transient));
                }
            }
            Err(_) => self.commit_singly(batch).await,
        }
    }

    async fn commit_singly(&self, batch: &mut Vec<Request>) {
        for Request { job, trace, answer } in batch.drain(..) {
            let answered = match self.settle(&[(job, trace)]).await {
                Ok(outcomes) => outcomes.into_iter().next().ok_or(CommitError::Transient),
                Err(error) if error.is_transient() => Err(CommitError::Transient),
                Err(error) => {
                    log_failure("a settlement was refused", &error);
                    Err(CommitError::Refused(reason(&error)))
                }
            };
            let _ = answer.send(answered);
        }
    }

    /// One transaction. Its events go out before the answers do, and neither waits for the other.
    async fn settle(
        &self,
        requests: &[(PayJob, TraceId)],
    ) -> Result<Vec<PayOutcome>, SettlementError> {
        let started = std::time::Instant::now();
        let settled = settle_from_balance(&self.pool, requests).await?;
        metrics::histogram!("quittance_commit_duration_seconds").record(started.elapsed());
        if let Some(publication) = settled.publication {
            self.publisher.publish(publication);
        }
        Ok(settled.outcomes)
    }
}

/// What the database said, for the operator who finds the parked job.
fn reason(error: &SettlementError) -> String {
    match error {
        SettlementError::Database(sqlx::Error::Database(error)) => error.message().to_owned(),
        SettlementError::Database(error) => error.to_string(),
        SettlementError::UnknownAnswer(_) => error.to_string(),
    }
}
