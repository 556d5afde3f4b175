//! Connecting to Redis, with every wait bounded.

use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, RedisResult};

use crate::config::RedisConfig;

/// The longest between two attempts to connect: what an outage costs beyond its own length.
const RECONNECT_MAX: Duration = Duration::from_millis(200);

/// A connection that comes back by itself after Redis was away; commands fail in the meantime.
pub async fn connect(config: &RedisConfig) -> RedisResult<ConnectionManager> {
    let settings = ConnectionManagerConfig::new()
        .set_max_delay(RECONNECT_MAX)
        .set_response_timeout(Some(config.timeout()))
        .set_connection_timeout(Some(config.timeout()));
    ConnectionManager::new_with_config(Client::open(config.redis_url())?, settings).await
}
