//! Publishing after commit, off the path of the answer.

use std::time::Duration;

use sqlx::PgPool;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::{Publication, channel};
use crate::queue::RedisLink;
use crate::telemetry::supervised;

/// Publications sent in one round trip at most, and waiting at most; beyond it the outbox sweep publishes.
const BATCH: usize = 256;
const WAITING_MAX: usize = 4096;
/// The longest a round may take: a server that has gone silent must not hold up all later events.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why events were not published; they stay unpublished and the sweep tries again.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// Redis did not take them.
    #[error("Redis did not take the events")]
    Redis(#[from] redis::RedisError),
    /// They were published but could not be marked.
    #[error("published events could not be marked")]
    Database(#[from] sqlx::Error),
}

/// Hands committed events to a task that publishes them. Cheap to clone; the task ends with the last clone.
#[derive(Clone)]
pub struct Publisher {
    sender: mpsc::Sender<Publication>,
}

impl Publisher {
    /// Starts the task. Await the handle after dropping every clone: then everything was tried once.
    #[must_use]
    pub fn spawn(redis: RedisLink, prefix: String, pool: PgPool) -> (Self, JoinHandle<()>) {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        (
            Self { sender },
            supervised("publisher", run(redis, prefix, pool, receiver)),
        )
    }

    /// Publishes soon. Never waits: what does not fit is left to the sweep.
    pub fn publish(&self, publication: Publication) {
        if self.sender.try_send(publication).is_err() {
            metrics::counter!("quittance_publications_deferred_total").increment(1);
        }
    }
}

async fn run(
    mut redis: RedisLink,
    prefix: String,
    pool: PgPool,
    mut receiver: mpsc::Receiver<Publication>,
) {
    let mut batch = Vec::with_capacity(BATCH);
    while receiver.recv_many(&mut batch, BATCH).await > 0 {
        let publishing = publish(&mut redis, &prefix, &pool, &batch);
        match tokio::time::timeout(PATIENCE, publishing).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                let cause = std::error::Error::source(&error);
                tracing::warn!(%error, ?cause, "events wait for the sweep");
            }
            Err(_) => tracing::warn!("publishing took too long; events wait for the sweep"),
        }
        batch.clear();
    }
}

/// Publishes events in one round trip, then marks their batches.
pub async fn publish(
    redis: &mut RedisLink,
    prefix: &str,
    pool: &PgPool,
    batch: &[Publication],
) -> Result<(), PublishError> {
    let mut pipeline = redis::pipe();
    for (topic, message) in batch.iter().flat_map(|publication| &publication.events) {
        pipeline.publish(channel(prefix, topic), message).ignore();
    }
    pipeline.query_async::<()>(redis).await?;
    let batches: Vec<i64> = batch
        .iter()
        .map(|publication| publication.batch_id)
        .collect();
    sqlx::query!("select mark_published($1)", &batches)
        .execute(pool)
        .await?;
    Ok(())
}
