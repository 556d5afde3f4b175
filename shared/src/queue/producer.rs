//! Enqueueing, bounded.

use std::time::Duration;

use redis::Script;

use super::{Keys, Queue, RATE_KEPT_SECONDS, RedisLink, unix_seconds};

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

/// Length check and append in one step, so that the bound is exact; counts the job for the rates. A job that was sent
/// before is not sent again while its entry waits unread, or a worker took it only just now.
const ENQUEUE: &str = r"
if ARGV[4] ~= '' and #redis.call('XRANGE', KEYS[1], ARGV[4], ARGV[4]) > 0 then
  local held = redis.pcall('XPENDING', KEYS[1], 'workers', ARGV[4], ARGV[4], 1)
  if held.err or #held == 0 or held[1][3] < tonumber(ARGV[5]) then return ARGV[4] end
end
if redis.call('XLEN', KEYS[1]) >= tonumber(ARGV[1]) then return false end
local id = redis.call('XADD', KEYS[1], '*', 'p', ARGV[2])
if redis.call('HINCRBY', KEYS[2], 'enqueued', 1) == 1 then redis.call('EXPIRE', KEYS[2], ARGV[3]) end
return id
";

/// A job's entry, to send the job again only when that entry is lost or in dead hands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    entry_id: String,
}

/// Appends jobs to one queue. Cheap to clone.
#[derive(Clone)]
pub struct Producer {
    redis: RedisLink,
    keys: Keys,
    length_max: u64,
    script: std::sync::Arc<Script>,
}

impl Producer {
    /// A producer for `queue` that lets it hold at most `length_max` jobs.
    #[must_use]
    pub fn new(redis: RedisLink, prefix: &str, queue: Queue, length_max: u64) -> Self {
        let script = std::sync::Arc::new(Script::new(ENQUEUE));
        Self {
            redis,
            keys: Keys::new(prefix, queue),
            length_max,
            script,
        }
    }

    /// Appends a payload, or says that the queue is full.
    pub async fn enqueue(&self, payload: &str) -> Result<Sent, EnqueueError> {
        self.enqueue_again(payload, None, Duration::ZERO).await
    }

    /// Appends a payload unless the entry `sent` for the same job is still good: not read yet, or read less than
    /// `silence` ago.
    pub async fn enqueue_again(
        &self,
        payload: &str,
        sent: Option<&Sent>,
        silence: Duration,
    ) -> Result<Sent, EnqueueError> {
        let mut redis = self.redis.clone();
        let entry_id: Option<String> = self
            .script
            .key(&self.keys.stream)
            .key(self.keys.rate(unix_seconds()))
            .arg(self.length_max)
            .arg(payload)
            .arg(RATE_KEPT_SECONDS)
            .arg(sent.map_or("", |sent| sent.entry_id.as_str()))
            .arg(u64::try_from(silence.as_millis()).unwrap_or(u64::MAX))
            .invoke_async(&mut redis)
            .await?;
        entry_id
            .map(|entry_id| Sent { entry_id })
            .ok_or(EnqueueError::Full)
    }
}
