//! Connecting to Redis, with every wait bounded.

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, RedisResult};

use crate::config::RedisConfig;

/// A connection that comes back by itself after Redis was away; commands fail in the meantime.
pub async fn connect(config: &RedisConfig) -> RedisResult<ConnectionManager> {
    let settings = ConnectionManagerConfig::new()
        .set_response_timeout(Some(config.timeout()))
        .set_connection_timeout(Some(config.timeout()));
    ConnectionManager::new_with_config(Client::open(config.redis_url())?, settings).await
}
