//! The one Redis subscription of this process: replies to waiting calls and events to open streams, routed in
//! process by channel. When Redis was away, every stream is told to catch up from Postgres.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use redis::aio::PubSubSink;
use redis::{Msg, RedisResult};
use serde_json::value::RawValue;
use shared::config::RedisConfig;
use shared::events::{Message, Topic, channel};
use shared::queue::{Reply, reply_channel};
use shared::telemetry::supervised;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

/// How long to wait before connecting again.
const RECONNECT: Duration = Duration::from_millis(100);
/// How often a silent connection is asked for a sign of life.
const PING_INTERVAL: Duration = Duration::from_secs(5);
/// Changes of subscriptions sent in one command at most.
const CHANGES: usize = 512;

/// What a stream gets to know.
#[derive(Debug, Clone)]
pub enum Signal {
    /// An event of its topic.
    Event(Arc<Message>),
    /// Events may have been missed: catch up.
    Resync,
}

enum Change {
    Subscribe(String, oneshot::Sender<()>),
    Unsubscribe(String),
}

#[derive(Default)]
struct Routes {
    waiters: HashMap<u64, oneshot::Sender<Box<RawValue>>>,
    topics: HashMap<String, HashMap<u64, mpsc::Sender<Signal>>>,
}

struct Inner {
    routes: Mutex<Routes>,
    ids: AtomicU64,
    changes: mpsc::UnboundedSender<Change>,
    prefix: String,
    reply_channel: String,
}

/// Routes messages. Cheap to clone.
#[derive(Clone)]
pub struct Hub(Arc<Inner>);

/// A call that waits for its reply. Dropping it forgets the wait.
pub struct Waiter {
    hub: Hub,
    /// The number that the reply carries.
    pub id: u64,
    /// Resolves to the outcome as the worker wrote it; whoever asked knows its kind.
    pub outcome: oneshot::Receiver<Box<RawValue>>,
}

/// A stream's subscription to a topic. Dropping it ends it.
pub struct Subscription {
    hub: Hub,
    id: u64,
    channel: String,
    /// What arrives. It closes when the reader lagged behind and was cut.
    pub signals: mpsc::Receiver<Signal>,
}

impl Hub {
    /// Connects in the background and stays connected for as long as the process lives.
    pub fn spawn(config: &RedisConfig) -> RedisResult<Self> {
        let client = shared::queue::client(config)?;
        let (changes, pending) = mpsc::unbounded_channel();
        let prefix = config.redis_prefix.clone();
        let reply_channel = reply_channel(&prefix, &Uuid::new_v4().to_string());
        let routes = Mutex::new(Routes::default());
        let hub = Self(Arc::new(Inner {
            routes,
            ids: AtomicU64::new(1),
            changes,
            prefix,
            reply_channel,
        }));
        supervised(
            "hub",
            stay_connected(hub.clone(), client, config.timeout(), pending),
        );
        Ok(hub)
    }

    /// Where replies to this process go.
    pub fn reply_channel(&self) -> &str {
        &self.0.reply_channel
    }

    /// Registers a wait, unless `waiters_max` calls are waiting already. Register before enqueueing.
    pub fn wait(&self, waiters_max: usize) -> Option<Waiter> {
        let id = self.0.ids.fetch_add(1, Ordering::Relaxed);
        let (sender, outcome) = oneshot::channel();
        let mut routes = self.routes();
        if routes.waiters.len() >= waiters_max {
            return None;
        }
        routes.waiters.insert(id, sender);
        drop(routes);
        Some(Waiter {
            hub: self.clone(),
            id,
            outcome,
        })
    }

    /// Subscribes a stream that may lag by `lag_max` events. Returns once Redis confirmed it, so that a snapshot
    /// taken afterwards misses nothing; while Redis is away it returns at once, because a resync will follow.
    pub async fn subscribe(&self, topic: &Topic, lag_max: usize) -> Subscription {
        let id = self.0.ids.fetch_add(1, Ordering::Relaxed);
        let channel = channel(&self.0.prefix, &topic.to_string());
        let (sender, signals) = mpsc::channel(lag_max);
        let (confirm, confirmed) = oneshot::channel();
        {
            let mut routes = self.routes();
            routes
                .topics
                .entry(channel.clone())
                .or_default()
                .insert(id, sender);
            // Sent under the lock: subscriptions and their ends reach the connection in the order of the routes.
            let _ = self
                .0
                .changes
                .send(Change::Subscribe(channel.clone(), confirm));
        }
        let subscription = Subscription {
            hub: self.clone(),
            id,
            channel,
            signals,
        };
        let _ = confirmed.await;
        subscription
    }

    fn routes(&self) -> std::sync::MutexGuard<'_, Routes> {
        self.0.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn dispatch(&self, message: &Msg) {
        let channel = message.get_channel_name();
        if channel == self.0.reply_channel {
            let replies = serde_json::Deserializer::from_slice(message.get_payload_bytes());
            for reply in replies.into_iter::<Reply<Box<RawValue>>>() {
                match reply {
                    Ok(reply) => {
                        let waiter = self.routes().waiters.remove(&reply.id);
                        if let Some(waiter) = waiter {
                            let _ = waiter.send(reply.outcome);
                        }
                    }
                    Err(error) => tracing::warn!(%error, "a reply cannot be read"),
                }
            }
            return;
        }
        match serde_json::from_slice::<Message>(message.get_payload_bytes()) {
            Ok(event) => self.tell(channel, &Signal::Event(Arc::new(event))),
            Err(error) => tracing::warn!(%error, channel, "an event cannot be read"),
        }
    }

    /// Tells every stream of a channel; one whose buffer is full is cut.
    fn tell(&self, channel: &str, signal: &Signal) {
        if let Some(streams) = self.routes().topics.get_mut(channel) {
            streams.retain(|_, stream| {
                let kept = stream.try_send(signal.clone()).is_ok();
                if !kept {
                    metrics::counter!("quittance_streams_cut_total").increment(1);
                }
                kept
            });
        }
    }

    fn tell_all(&self, signal: &Signal) {
        let channels: Vec<String> = self.routes().topics.keys().cloned().collect();
        for channel in channels {
            self.tell(&channel, signal);
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.hub.routes().waiters.remove(&self.id);
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut routes = self.hub.routes();
        if let Some(streams) = routes.topics.get_mut(&self.channel) {
            streams.remove(&self.id);
            if streams.is_empty() {
                routes.topics.remove(&self.channel);
                let _ = self
                    .hub
                    .0
                    .changes
                    .send(Change::Unsubscribe(self.channel.clone()));
            }
        }
    }
}

/// Connects, serves, connects again.
async fn stay_connected(
    hub: Hub,
    client: redis::Client,
    timeout: Duration,
    mut changes: mpsc::UnboundedReceiver<Change>,
) {
    loop {
        match tokio::time::timeout(timeout, connect(&hub, &client)).await {
            Ok(Ok(connection)) => {
                // Whoever subscribed while there was no connection took a snapshot that may lack an event.
                hub.tell_all(&Signal::Resync);
                tracing::info!("subscribed to Redis");
                let ended = serve(&hub, connection, &mut changes, timeout).await;
                tracing::warn!(reason = ended, "the Redis subscription ended");
            }
            Ok(Err(error)) => tracing::warn!(%error, "cannot subscribe to Redis"),
            Err(_) => tracing::warn!("subscribing to Redis took too long"),
        }
        // Whoever subscribes now is subscribed with all others on reconnection, and then told to catch up.
        while let Ok(change) = changes.try_recv() {
            drop(change);
        }
        tokio::time::sleep(RECONNECT).await;
    }
}

type Connection = (PubSubSink, redis::aio::PubSubStream);

async fn connect(hub: &Hub, client: &redis::Client) -> RedisResult<Connection> {
    let (mut sink, stream) = client.get_async_pubsub().await?.split();
    sink.subscribe(&hub.0.reply_channel).await?;
    let channels: Vec<String> = hub.routes().topics.keys().cloned().collect();
    for some in channels.chunks(CHANGES) {
        sink.subscribe(some).await?;
    }
    Ok((sink, stream))
}

/// Serves one connection until it fails; returns why.
async fn serve(
    hub: &Hub,
    (mut sink, mut messages): Connection,
    changes: &mut mpsc::UnboundedReceiver<Change>,
    timeout: Duration,
) -> &'static str {
    let mut pings = tokio::time::interval(PING_INTERVAL);
    let mut pending = Vec::with_capacity(CHANGES);
    loop {
        tokio::select! {
            message = messages.next() => match message {
                Some(message) => hub.dispatch(&message),
                None => return "closed",
            },
            _ = changes.recv_many(&mut pending, CHANGES) => {
                let applied = tokio::time::timeout(timeout, apply(&mut sink, &mut pending)).await;
                if !matches!(applied, Ok(Ok(()))) {
                    return "a subscription failed";
                }
            }
            _ = pings.tick() => {
                let pong = tokio::time::timeout(timeout, sink.ping::<redis::Value>()).await;
                if !matches!(pong, Ok(Ok(_))) {
                    return "no answer to a ping";
                }
            }
        }
    }
}

/// Applies changes in order, each run of the same kind in one command.
async fn apply(sink: &mut PubSubSink, pending: &mut Vec<Change>) -> RedisResult<()> {
    let (mut joined, mut left, mut confirms) = (Vec::new(), Vec::new(), Vec::new());
    for change in pending.drain(..) {
        match change {
            Change::Subscribe(channel, confirm) => {
                leave(sink, &mut left).await?;
                joined.push(channel);
                confirms.push(confirm);
            }
            Change::Unsubscribe(channel) => {
                join(sink, &mut joined, &mut confirms).await?;
                left.push(channel);
            }
        }
    }
    leave(sink, &mut left).await?;
    join(sink, &mut joined, &mut confirms).await
}

async fn leave(sink: &mut PubSubSink, channels: &mut Vec<String>) -> RedisResult<()> {
    if !channels.is_empty() {
        sink.unsubscribe(&*channels).await?;
    }
    channels.clear();
    Ok(())
}

async fn join(
    sink: &mut PubSubSink,
    channels: &mut Vec<String>,
    confirms: &mut Vec<oneshot::Sender<()>>,
) -> RedisResult<()> {
    if !channels.is_empty() {
        sink.subscribe(&*channels).await?;
    }
    channels.clear();
    for confirm in confirms.drain(..) {
        let _ = confirm.send(());
    }
    Ok(())
}
