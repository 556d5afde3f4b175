//! What an operator sees of a queue.

use redis::streams::StreamRangeReply;
use redis::{RedisError, Value};
use serde::Serialize;

use super::{GROUP, Keys, Queue, RATE_BUCKET_SECONDS, RedisLink};

/// Full rate buckets that the rates are taken over.
const RATE_BUCKETS: u64 = 6;

/// A queue at one moment. Rates are per second over the last full minute.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct QueueStatistics {
    /// Jobs waiting for a worker.
    pub depth: u64,
    /// Jobs some worker holds.
    pub in_flight: u64,
    /// Age of the oldest job, waiting or held; null when there is none.
    pub oldest_age_ms: Option<u64>,
    /// Jobs accepted.
    pub enqueued_per_second: f64,
    /// Jobs that ended as they should.
    pub succeeded_per_second: f64,
    /// Jobs that ended otherwise.
    pub failed_per_second: f64,
}

/// Reads a queue's statistics. Ages and rates use the Redis clock, the one that stamped the entries.
pub async fn statistics(
    redis: &mut RedisLink,
    prefix: &str,
    queue: Queue,
) -> Result<QueueStatistics, RedisError> {
    let keys = Keys::new(prefix, queue);
    let (length, first, (seconds, micros)): (u64, StreamRangeReply, (u64, u64)) = redis::pipe()
        .xlen(&keys.stream)
        .cmd("XRANGE")
        .arg(&keys.stream)
        .arg("-")
        .arg("+")
        .arg("COUNT")
        .arg(1)
        .cmd("TIME")
        .query_async(redis)
        .await?;
    let in_flight = in_flight(redis, &keys).await?;

    let mut pipeline = redis::pipe();
    for back in 1..=RATE_BUCKETS {
        let bucket = keys.rate(seconds.saturating_sub(back * RATE_BUCKET_SECONDS));
        pipeline
            .cmd("HMGET")
            .arg(bucket)
            .arg("enqueued")
            .arg("succeeded")
            .arg("failed");
    }
    let buckets: Vec<[Option<u32>; 3]> = pipeline.query_async(redis).await?;
    let per_second = |column: usize| {
        let total: u32 = buckets.iter().filter_map(|bucket| bucket[column]).sum();
        f64::from(total)
            / f64::from(u32::try_from(RATE_BUCKETS * RATE_BUCKET_SECONDS).unwrap_or(u32::MAX))
    };
    let now_ms = seconds * 1000 + micros / 1000;
    let oldest = first
        .ids
        .first()
        .and_then(|entry| entry.id.split('-').next()?.parse::<u64>().ok());
    Ok(QueueStatistics {
        depth: length.saturating_sub(in_flight),
        in_flight,
        oldest_age_ms: oldest.map(|at_ms| now_ms.saturating_sub(at_ms)),
        enqueued_per_second: per_second(0),
        succeeded_per_second: per_second(1),
        failed_per_second: per_second(2),
    })
}

/// Entries delivered but not acknowledged; none while the group does not exist yet.
async fn in_flight(redis: &mut RedisLink, keys: &Keys) -> Result<u64, RedisError> {
    let summary: Result<(u64, Value, Value, Value), RedisError> = redis::cmd("XPENDING")
        .arg(&keys.stream)
        .arg(GROUP)
        .query_async(redis)
        .await;
    match summary {
        Ok((count, ..)) => Ok(count),
        Err(error) if error.code() == Some("NOGROUP") => Ok(0),
        Err(error) => Err(error),
    }
}
