//! Publishing after commit, off the path of the answer; and marking what was published, some at a time, since only the
//! sweep looks for the mark.

use std::time::Duration;

use redis::RedisResult;
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
/// How long marks are collected: far less than the sweep lets events be unpublished.
const MARK_INTERVAL: Duration = Duration::from_millis(100);

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
        let (published, to_mark) = mpsc::unbounded_channel();
        let publishing = supervised("publisher", run(redis, prefix, receiver, published));
        let ended = supervised("marker", async move {
            mark_all(pool, to_mark).await;
            let _ = publishing.await;
        });
        (Self { sender }, ended)
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
    mut receiver: mpsc::Receiver<Publication>,
    published: mpsc::UnboundedSender<i64>,
) {
    let mut batch = Vec::with_capacity(BATCH);
    while receiver.recv_many(&mut batch, BATCH).await > 0 {
        // A moment for the replies that somebody waits for: they take the same connection, and one write for both is less.
        tokio::task::yield_now().await;
        let sending = send(&mut redis, &prefix, &batch);
        match tokio::time::timeout(PATIENCE, sending).await {
            Ok(Ok(())) => {
                for publication in &batch {
                    // The marker ends after this task.
                    let _ = published.send(publication.batch_id);
                }
            }
            Ok(Err(error)) => tracing::warn!(%error, "events wait for the sweep"),
            Err(_) => tracing::warn!("publishing took too long; events wait for the sweep"),
        }
        batch.clear();
    }
}

async fn mark_all(pool: PgPool, mut published: mpsc::UnboundedReceiver<i64>) {
    let mut batches = Vec::new();
    while published.recv_many(&mut batches, WAITING_MAX).await > 0 {
        // Ended early by the end of the channel: nothing more will come.
        let more = async {
            while let Some(batch) = published.recv().await {
                batches.push(batch);
            }
        };
        let _ = tokio::time::timeout(MARK_INTERVAL, more).await;
        match tokio::time::timeout(PATIENCE, mark(&pool, &batches)).await {
            Ok(Ok(())) => {}
            // Published twice is published: readers drop what they have seen.
            Ok(Err(error)) => tracing::warn!(%error, "published events are not marked"),
            Err(_) => tracing::warn!("marking published events took too long"),
        }
        batches.clear();
    }
}

/// Publishes events in one round trip, then marks their batches.
pub async fn publish(
    redis: &mut RedisLink,
    prefix: &str,
    pool: &PgPool,
    batch: &[Publication],
) -> Result<(), PublishError> {
    send(redis, prefix, batch).await?;
    let batches: Vec<i64> = batch
        .iter()
        .map(|publication| publication.batch_id)
        .collect();
    Ok(mark(pool, &batches).await?)
}

async fn send(redis: &mut RedisLink, prefix: &str, batch: &[Publication]) -> RedisResult<()> {
    let mut pipeline = redis::pipe();
    for (topic, message) in batch.iter().flat_map(|publication| &publication.events) {
        pipeline.publish(channel(prefix, topic), message).ignore();
    }
    pipeline.query_async(redis).await
}

async fn mark(pool: &PgPool, batches: &[i64]) -> Result<(), sqlx::Error> {
    sqlx::query!("select mark_published($1)", batches)
        .execute(pool)
        .await?;
    Ok(())
}
