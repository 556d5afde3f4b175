//! The worker's end of a stream: new entries, and those of consumers that went silent.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use futures::Stream;
use redis::aio::ConnectionManager;
use redis::streams::{StreamAutoClaimReply, StreamId, StreamPendingCountReply, StreamReadReply};
use redis::{RedisError, RedisResult};
use tokio::sync::watch;
use uuid::Uuid;

use super::{GROUP, Keys, PAYLOAD, Queue, connect};
use crate::config::{QueueConfig, RedisConfig};

/// How long to wait before asking Redis again after it failed.
const RETRY: Duration = Duration::from_millis(100);

/// One delivery of one entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The entry, to acknowledge or park it.
    pub entry_id: String,
    /// The envelope, undecoded.
    pub payload: String,
    /// How often the entry was delivered, this time included.
    pub deliveries: u64,
}

/// Reads one queue as a new consumer. Its name is never used twice, so a restart cannot hide its own orphans.
pub struct Source {
    redis: ConnectionManager,
    keys: Keys,
    consumer: String,
    config: QueueConfig,
    reclaim_interval: Duration,
    reclaim_next: Instant,
    buffer: VecDeque<Delivery>,
    paused: watch::Receiver<bool>,
    stopping: watch::Receiver<bool>,
}

impl Source {
    /// Connects a new consumer. While `paused` holds it takes nothing; once `stopping` holds it hands out
    /// what it has taken, then ends.
    pub async fn connect(
        redis: &RedisConfig,
        queue: Queue,
        config: &QueueConfig,
        reclaim_interval: Duration,
        paused: watch::Receiver<bool>,
        stopping: watch::Receiver<bool>,
    ) -> RedisResult<Self> {
        Ok(Self {
            // A connection of its own: XREADGROUP blocks it. Its timeout exceeds the block (checked at start).
            redis: connect(redis).await?,
            keys: Keys::new(&redis.redis_prefix, queue),
            consumer: Uuid::new_v4().to_string(),
            config: config.clone(),
            reclaim_interval,
            reclaim_next: Instant::now(),
            buffer: VecDeque::new(),
            paused,
            stopping,
        })
    }

    /// The deliveries, until the source is told to stop.
    pub fn deliveries(self) -> impl Stream<Item = Delivery> + Send {
        futures::stream::unfold(self, |mut source| async move {
            let delivery = source.next().await?;
            Some((delivery, source))
        })
    }

    async fn next(&mut self) -> Option<Delivery> {
        loop {
            if let Some(delivery) = self.buffer.pop_front() {
                return Some(delivery);
            }
            if *self.stopping.borrow() {
                self.leave().await;
                return None;
            }
            if *self.paused.borrow() {
                tokio::select! {
                    _ = self.paused.changed() => {}
                    _ = self.stopping.changed() => {}
                }
                continue;
            }
            if let Err(error) = self.fill().await {
                self.recover(&error).await;
            }
        }
    }

    /// Takes orphans when it is time to look, else new entries.
    async fn fill(&mut self) -> RedisResult<()> {
        if Instant::now() >= self.reclaim_next {
            self.reclaim_next = Instant::now() + self.reclaim_interval;
            self.reclaim().await?;
            if !self.buffer.is_empty() {
                return Ok(());
            }
        }
        let reply: Option<StreamReadReply> = redis::cmd("XREADGROUP")
            .arg("GROUP")
            .arg(GROUP)
            .arg(&self.consumer)
            .arg("COUNT")
            .arg(self.config.queue_read_batch)
            .arg("BLOCK")
            .arg(self.config.queue_block_ms)
            .arg("STREAMS")
            .arg(&self.keys.stream)
            .arg(">")
            .query_async(&mut self.redis)
            .await?;
        let entries = reply
            .into_iter()
            .flat_map(|reply| reply.keys)
            .flat_map(|key| key.ids);
        self.buffer.extend(entries.map(|entry| delivery(&entry, 1)));
        Ok(())
    }

    /// Takes over entries that another consumer has held for longer than the visibility timeout.
    async fn reclaim(&mut self) -> RedisResult<()> {
        let reply: StreamAutoClaimReply = redis::cmd("XAUTOCLAIM")
            .arg(&self.keys.stream)
            .arg(GROUP)
            .arg(&self.consumer)
            .arg(self.config.queue_visibility_timeout_ms)
            .arg("0-0")
            .arg("COUNT")
            .arg(self.config.queue_read_batch)
            .query_async(&mut self.redis)
            .await?;
        if reply.claimed.is_empty() {
            return Ok(());
        }
        metrics::counter!("quittance_jobs_reclaimed_total").increment(reply.claimed.len() as u64);
        let mut pipeline = redis::pipe();
        for entry in &reply.claimed {
            pipeline
                .cmd("XPENDING")
                .arg(&self.keys.stream)
                .arg(GROUP)
                .arg(&entry.id)
                .arg(&entry.id)
                .arg(1);
        }
        let counts: Vec<StreamPendingCountReply> = pipeline.query_async(&mut self.redis).await?;
        let claimed = reply.claimed.iter().zip(counts).map(|(entry, count)| {
            let times = count
                .ids
                .first()
                .map_or(1, |pending| pending.times_delivered);
            delivery(entry, u64::try_from(times).unwrap_or(u64::MAX))
        });
        self.buffer.extend(claimed);
        Ok(())
    }

    /// After a flush or on first use the group is missing; anything else is waited out.
    async fn recover(&mut self, error: &RedisError) {
        if error.code() == Some("NOGROUP") {
            let created: RedisResult<()> = redis::cmd("XGROUP")
                .arg("CREATE")
                .arg(&self.keys.stream)
                .arg(GROUP)
                .arg("0")
                .arg("MKSTREAM")
                .query_async(&mut self.redis)
                .await;
            match created {
                Ok(()) => return,
                Err(error) if error.code() == Some("BUSYGROUP") => return,
                Err(error) => tracing::warn!(%error, "cannot create the consumer group"),
            }
        } else {
            tracing::warn!(%error, stream = self.keys.stream, "cannot read the queue");
        }
        tokio::time::sleep(RETRY).await;
    }

    /// Forgets this consumer if it holds nothing; one that does must stay for its entries to be reclaimed.
    async fn leave(&mut self) {
        let pending: RedisResult<StreamPendingCountReply> = redis::cmd("XPENDING")
            .arg(&self.keys.stream)
            .arg(GROUP)
            .arg("-")
            .arg("+")
            .arg(1)
            .arg(&self.consumer)
            .query_async(&mut self.redis)
            .await;
        if pending.is_ok_and(|pending| pending.ids.is_empty()) {
            let gone: RedisResult<u64> = redis::cmd("XGROUP")
                .arg("DELCONSUMER")
                .arg(&self.keys.stream)
                .arg(GROUP)
                .arg(&self.consumer)
                .query_async(&mut self.redis)
                .await;
            if let Err(error) = gone {
                tracing::debug!(%error, "the consumer's name stays behind");
            }
        }
    }
}

/// An entry without our field has an empty payload, which then fails to decode and is parked.
fn delivery(entry: &StreamId, deliveries: u64) -> Delivery {
    let payload = entry.get::<String>(PAYLOAD).unwrap_or_default();
    Delivery {
        entry_id: entry.id.clone(),
        payload,
        deliveries,
    }
}
