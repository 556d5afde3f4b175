//! Measures the queues for the metrics.

use shared::queue::{QUEUES, statistics};

use super::{SweepContext, SweepError};

/// How often.
pub(super) const INTERVAL_MS: u64 = 5000;

pub(super) async fn sweep(context: &mut SweepContext) -> Result<(), SweepError> {
    for queue in QUEUES {
        let prefix = context.config.redis.redis_prefix.clone();
        let seen = statistics(&mut context.redis, &prefix, queue).await?;
        let gauge = |name: &'static str, value: u64| {
            metrics::gauge!(name, "queue" => queue.name())
                .set(f64::from(u32::try_from(value).unwrap_or(u32::MAX)));
        };
        gauge("quittance_queue_depth", seen.depth);
        gauge("quittance_queue_in_flight", seen.in_flight);
        gauge(
            "quittance_queue_oldest_age_milliseconds",
            seen.oldest_age_ms.unwrap_or(0),
        );
    }
    Ok(())
}
