//! Ends jobs: replies first, then acknowledgement, many at a time in one round trip. Replies to one process go in one
//! message, one after the other.

use std::collections::HashMap;

use redis::RedisResult;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::{GROUP, Keys, PAYLOAD, Queue, RATE_KEPT_SECONDS, RedisLink, unix_seconds};
use crate::telemetry::supervised;

/// Jobs ended in one round trip at most.
const BATCH: usize = 512;

/// A job that is off a worker's hands.
#[derive(Debug)]
pub struct Finish {
    /// The stream entry to acknowledge.
    pub entry_id: String,
    /// What became of it.
    pub ending: Ending,
}

/// What becomes of a job.
#[derive(Debug)]
pub enum Ending {
    /// It has an outcome: tell whoever may wait.
    Replied {
        /// Where the caller listens.
        channel: String,
        /// The encoded reply.
        message: String,
    },
    /// Its moment was wrong: this payload is enqueued anew, as a job of no deliveries.
    Requeued(String),
    /// It was parked; whoever may wait is told.
    Parked {
        /// Channel and message of the reply.
        reply: Option<(String, String)>,
    },
    /// Its time was over: nobody waits, nothing was done.
    Stale,
}

/// Hands ended jobs to the task that tells Redis. Cheap to clone; the task ends with the last clone.
#[derive(Clone)]
pub struct Finisher {
    sender: mpsc::Sender<Finish>,
}

impl Finisher {
    /// Starts the task. Await the handle after dropping every clone: then everything is acknowledged.
    #[must_use]
    pub fn spawn(redis: RedisLink, prefix: &str, queue: Queue) -> (Self, JoinHandle<()>) {
        let (sender, receiver) = mpsc::channel(BATCH * 4);
        let task = supervised("finisher", run(redis, Keys::new(prefix, queue), receiver));
        (Self { sender }, task)
    }

    /// Ends one job. Waits while Redis is behind.
    pub async fn finish(&self, finish: Finish) {
        if self.sender.send(finish).await.is_err() {
            tracing::error!("the finisher is gone; the job will be delivered again");
        }
    }
}

async fn run(mut redis: RedisLink, keys: Keys, mut receiver: mpsc::Receiver<Finish>) {
    let mut batch = Vec::with_capacity(BATCH);
    while receiver.recv_many(&mut batch, BATCH).await > 0 {
        if let Err(error) = tell(&mut redis, &keys, &batch).await {
            // Nothing is lost: the callers ask again, the entries are delivered again.
            tracing::warn!(%error, jobs = batch.len(), "cannot acknowledge jobs");
        }
        batch.clear();
    }
}

async fn tell(redis: &mut RedisLink, keys: &Keys, batch: &[Finish]) -> RedisResult<()> {
    let rate = keys.rate(unix_seconds());
    let mut pipeline = redis::pipe();
    for (channel, messages) in replies(batch) {
        pipeline.publish(channel, messages).ignore();
    }
    for finish in batch {
        if let Ending::Requeued(payload) = &finish.ending {
            // A Redis without memory refuses the new entry, and must then keep the old one.
            pipeline
                .atomic()
                .cmd("XADD")
                .arg(&keys.stream)
                .arg("*")
                .arg(PAYLOAD)
                .arg(payload)
                .ignore();
        }
    }
    let entries: Vec<&str> = batch
        .iter()
        .map(|finish| finish.entry_id.as_str())
        .collect();
    pipeline
        .cmd("XACK")
        .arg(&keys.stream)
        .arg(GROUP)
        .arg(&entries)
        .ignore();
    pipeline
        .cmd("XDEL")
        .arg(&keys.stream)
        .arg(&entries)
        .ignore();
    let is_success = |finish: &&Finish| matches!(finish.ending, Ending::Replied { .. });
    let succeeded = batch.iter().filter(is_success).count();
    for (field, count) in [
        ("succeeded", succeeded),
        ("failed", batch.len() - succeeded),
    ] {
        if count > 0 {
            pipeline.hincr(&rate, field, count).ignore();
        }
    }
    pipeline
        .expire(&rate, i64::try_from(RATE_KEPT_SECONDS).unwrap_or(i64::MAX))
        .ignore();
    pipeline.query_async(redis).await
}

/// The replies by channel: JSON documents in a row, which a reader takes apart again.
fn replies(batch: &[Finish]) -> HashMap<&str, String> {
    let mut by_channel: HashMap<&str, String> = HashMap::new();
    for finish in batch {
        let (channel, message) = match &finish.ending {
            Ending::Replied { channel, message }
            | Ending::Parked {
                reply: Some((channel, message)),
            } => (channel, message),
            Ending::Parked { reply: None } | Ending::Requeued(_) | Ending::Stale => continue,
        };
        by_channel.entry(channel).or_default().push_str(message);
    }
    by_channel
}
