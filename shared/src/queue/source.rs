//! The worker's end of a stream: new entries, and those of consumers that went silent.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use futures::Stream;
use redis::streams::StreamPendingCountReply;
use redis::{RedisError, RedisResult};
use tokio::sync::watch;
use uuid::Uuid;

use super::{GROUP, Keys, PAYLOAD, Queue, RedisLink};
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
    /// Its age when it was taken, by the clock of Redis.
    age_taken: Duration,
    taken_at: Instant,
}

impl Delivery {
    /// How long ago the entry was enqueued. Two machines' clocks need not agree for that.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.age_taken + self.taken_at.elapsed()
    }
}

/// Reads one queue as a new consumer. Its name is never used twice, so a restart cannot hide its own orphans.
pub struct Source {
    redis: RedisLink,
    keys: Keys,
    consumer: String,
    config: QueueConfig,
    reclaim_interval: Duration,
    reclaim_next: Instant,
    clock: RedisClock,
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
            redis: RedisLink::connect(redis).await?,
            keys: Keys::new(&redis.redis_prefix, queue),
            consumer: Uuid::new_v4().to_string(),
            config: config.clone(),
            reclaim_interval,
            reclaim_next: Instant::now(),
            clock: RedisClock::default(),
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
            self.clock = RedisClock::read(&mut self.redis).await?;
            self.reclaim().await?;
            self.reclaim_next = Instant::now() + self.reclaim_interval;
            if !self.buffer.is_empty() {
                return Ok(());
            }
        }
        let reply: Option<Vec<(String, Vec<RawEntry>)>> = redis::cmd("XREADGROUP")
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
        let clock = self.clock;
        let entries = reply.into_iter().flatten().flat_map(|(_, entries)| entries);
        self.buffer
            .extend(entries.map(|entry| delivery(entry, 1, clock)));
        Ok(())
    }

    /// Takes over entries that another consumer has held for longer than the visibility timeout.
    async fn reclaim(&mut self) -> RedisResult<()> {
        let (_, claimed, _): (String, Vec<RawEntry>, Vec<String>) = redis::cmd("XAUTOCLAIM")
            .arg(&self.keys.stream)
            .arg(GROUP)
            .arg(&self.consumer)
            .arg(self.config.queue_visibility_timeout_ms)
            .arg("0-0")
            .arg("COUNT")
            .arg(self.config.queue_read_batch)
            .query_async(&mut self.redis)
            .await?;
        if claimed.is_empty() {
            return Ok(());
        }
        metrics::counter!("quittance_jobs_reclaimed_total").increment(claimed.len() as u64);
        let mut pipeline = redis::pipe();
        for (id, _) in &claimed {
            pipeline
                .cmd("XPENDING")
                .arg(&self.keys.stream)
                .arg(GROUP)
                .arg(id)
                .arg(id)
                .arg(1);
        }
        let counts: Vec<StreamPendingCountReply> = pipeline.query_async(&mut self.redis).await?;
        let clock = self.clock;
        let claimed = claimed.into_iter().zip(counts).map(|(entry, count)| {
            let times = count
                .ids
                .first()
                .map_or(1, |pending| pending.times_delivered);
            delivery(entry, u64::try_from(times).unwrap_or(u64::MAX), clock)
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

/// An entry as Redis tells it: its id, and fields and values by turns. Bytes, because a stranger's need not be text.
type RawEntry = (String, Vec<Vec<u8>>);

/// The clock of Redis, which stamps the entries, read from ours.
#[derive(Debug, Clone, Copy)]
struct RedisClock {
    now_ms: u64,
    read_at: Instant,
}

impl Default for RedisClock {
    fn default() -> Self {
        Self {
            now_ms: 0,
            read_at: Instant::now(),
        }
    }
}

impl RedisClock {
    async fn read(redis: &mut RedisLink) -> RedisResult<Self> {
        let (seconds, micros): (u64, u64) = redis::cmd("TIME").query_async(redis).await?;
        Ok(Self {
            now_ms: seconds * 1000 + micros / 1000,
            read_at: Instant::now(),
        })
    }

    /// How old an entry is; its id begins with the time of its making.
    fn age(self, entry_id: &str) -> Duration {
        let made_ms = entry_id
            .split('-')
            .next()
            .and_then(|ms| ms.parse().ok())
            .unwrap_or(u64::MAX);
        let now_ms = Duration::from_millis(self.now_ms) + self.read_at.elapsed();
        now_ms.saturating_sub(Duration::from_millis(made_ms))
    }
}

/// An entry without our field has an empty payload, which then fails to decode and is parked.
fn delivery((entry_id, fields): RawEntry, deliveries: u64, clock: RedisClock) -> Delivery {
    let (pairs, _) = fields.as_chunks::<2>();
    let value = pairs
        .iter()
        .find(|[field, _]| field == PAYLOAD.as_bytes())
        .map(|[_, value]| value);
    let payload = value
        .map(|value| String::from_utf8_lossy(value).into_owned())
        .unwrap_or_default();
    let age_taken = clock.age(&entry_id);
    Delivery {
        entry_id,
        payload,
        deliveries,
        age_taken,
        taken_at: Instant::now(),
    }
}
