//! Connections to Redis that come back by themselves, with every wait bounded.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use redis::aio::{ConnectionLike, ConnectionManager, ConnectionManagerConfig};
use redis::io::tcp::TcpSettings;
use redis::{Client, Cmd, IntoConnectionInfo as _, Pipeline, RedisFuture, RedisResult, Value};

use crate::config::RedisConfig;

/// The longest between two attempts to connect: what an outage costs beyond its own length.
const RECONNECT_MAX: Duration = Duration::from_millis(200);

/// A client for the configured Redis. Its connections send at once: several small messages are often under way, and the
/// system would hold each back until the one before is acknowledged, for up to 40 ms.
pub fn client(config: &RedisConfig) -> RedisResult<Client> {
    let info = config.redis_url().into_connection_info()?;
    Client::open(info.set_tcp_settings(TcpSettings::default().set_nodelay(true)))
}

/// A connection that is replaced when it breaks, and also when it goes silent: a command that times out shows
/// nothing else, and its connection would stay dead for ever. Commands fail in the meantime. Cheap to clone.
#[derive(Clone)]
pub struct RedisLink(Arc<Shared>);

struct Shared {
    client: Client,
    settings: ConnectionManagerConfig,
    timeout: Duration,
    current: RwLock<Current>,
}

#[derive(Clone)]
struct Current {
    manager: ConnectionManager,
    since: Instant,
}

impl RedisLink {
    /// Connects, or says that there is no Redis.
    pub async fn connect(config: &RedisConfig) -> RedisResult<Self> {
        let client = client(config)?;
        let timeout = config.timeout();
        let settings = ConnectionManagerConfig::new()
            .set_max_delay(RECONNECT_MAX)
            .set_response_timeout(Some(timeout))
            .set_connection_timeout(Some(timeout));
        let manager = ConnectionManager::new_with_config(client.clone(), settings.clone()).await?;
        let current = RwLock::new(Current {
            manager,
            since: Instant::now(),
        });
        Ok(Self(Arc::new(Shared {
            client,
            settings,
            timeout,
            current,
        })))
    }

    /// How long a command waits for its answer.
    pub(super) fn timeout(&self) -> Duration {
        self.0.timeout
    }

    fn current(&self) -> Current {
        self.0
            .current
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Replaces the connection that `used` was, unless somebody has already.
    fn judge<T>(&self, used: &Current, result: &RedisResult<T>) {
        let silent = result.as_ref().is_err_and(redis::RedisError::is_timeout);
        if !silent || used.since.elapsed() < self.0.timeout {
            return;
        }
        let fresh =
            ConnectionManager::new_lazy_with_config(self.0.client.clone(), self.0.settings.clone());
        let mut current = self
            .0
            .current
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if let Ok(manager) = fresh
            && current.since == used.since
        {
            tracing::warn!("Redis has gone silent; connecting anew");
            *current = Current {
                manager,
                since: Instant::now(),
            };
        }
    }
}

impl ConnectionLike for RedisLink {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async move {
            let mut used = self.current();
            let result = used.manager.req_packed_command(cmd).await;
            self.judge(&used, &result);
            result
        })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(async move {
            let mut used = self.current();
            let result = used
                .manager
                .req_packed_commands(pipeline, offset, count)
                .await;
            self.judge(&used, &result);
            result
        })
    }

    fn get_db(&self) -> i64 {
        self.current().manager.get_db()
    }
}
