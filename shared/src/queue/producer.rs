//! Enqueueing, bounded.

use redis::Script;
use redis::aio::ConnectionManager;

use super::{Keys, Queue, RATE_KEPT_SECONDS, unix_seconds};

/// Why a job was not enqueued.
#[derive(Debug, thiserror::Error)]
pub enum EnqueueError {
    /// The queue holds as many jobs as it may.
    #[error("the queue is full")]
    Full,
    /// Redis did not take it; it may be there all the same.
    #[error("Redis did not confirm the job")]
    Redis(#[from] redis::RedisError),
}

/// Length check and append in one step, so that the bound is exact; counts the job for the rates.
const ENQUEUE: &str = r"
if redis.call('XLEN', KEYS[1]) >= tonumber(ARGV[1]) then return 0 end
redis.call('XADD', KEYS[1], '*', 'p', ARGV[2])
if redis.call('HINCRBY', KEYS[2], 'enqueued', 1) == 1 then redis.call('EXPIRE', KEYS[2], ARGV[3]) end
return 1
";

/// Appends jobs to one queue. Cheap to clone.
#[derive(Clone)]
pub struct Producer {
    redis: ConnectionManager,
    keys: Keys,
    length_max: u64,
    script: std::sync::Arc<Script>,
}

impl Producer {
    /// A producer for `queue` that lets it hold at most `length_max` jobs.
    #[must_use]
    pub fn new(redis: ConnectionManager, prefix: &str, queue: Queue, length_max: u64) -> Self {
        let script = std::sync::Arc::new(Script::new(ENQUEUE));
        Self {
            redis,
            keys: Keys::new(prefix, queue),
            length_max,
            script,
        }
    }

    /// Appends a payload, or says that the queue is full.
    pub async fn enqueue(&self, payload: &str) -> Result<(), EnqueueError> {
        let mut redis = self.redis.clone();
        let accepted: u8 = self
            .script
            .key(&self.keys.stream)
            .key(self.keys.rate(unix_seconds()))
            .arg(self.length_max)
            .arg(payload)
            .arg(RATE_KEPT_SECONDS)
            .invoke_async(&mut redis)
            .await?;
        if accepted == 1 {
            Ok(())
        } else {
            Err(EnqueueError::Full)
        }
    }
}
