//! The settings as typed sections. Names and units are those of `default.toml`, which documents them.

#![expect(
    missing_docs,
    reason = "default.toml is the documentation of every field, once"
)]

use std::net::SocketAddr;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

#[derive(Debug, Clone, Deserialize)]
pub struct ProcessConfig {
    pub log: String,
    pub shutdown_timeout_ms: u64,
}

#[derive(Debug, Clone, Deserialize)]
pub struct DatabaseConfig {
    database_url: SecretString,
    pub db_connections_max: u32,
    pub db_acquire_timeout_ms: u64,
    pub db_statement_timeout_ms: u64,
    pub db_lock_timeout_ms: u64,
}

impl DatabaseConfig {
    /// The URL with its password: for connecting, never for a log.
    #[must_use]
    pub fn database_url(&self) -> &str {
        self.database_url.expose_secret()
    }

    /// When to give a statement up from this side: a little after the server should have.
    #[must_use]
    pub fn patience(&self) -> Duration {
        Duration::from_millis(self.db_statement_timeout_ms) + Duration::from_secs(1)
    }
}

#[derive(Debug, Clone, Deserialize)]
pub struct RedisConfig {
    redis_url: SecretString,
    pub redis_prefix: String,
    pub redis_timeout_ms: u64,
}

impl RedisConfig {
    /// The URL with its password: for connecting, never for a log.
    #[must_use]
    pub fn redis_url(&self) -> &str {
        self.redis_url.expose_secret()
    }

    #[must_use]
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.redis_timeout_ms)
    }
}

#[derive(Debug, Clone, Deserialize)]
pub struct QueueConfig {
    pub queue_length_max: u64,
    pub queue_visibility_timeout_ms: u64,
    pub queue_deliveries_max: u64,
    pub queue_read_batch: usize,
    pub queue_block_ms: usize,
}

#[derive(Debug, Clone, Deserialize)]
pub struct ApiConfig {
    pub api_listen: SocketAddr,
    pub api_connections_max: usize,
    pub api_header_timeout_ms: u64,
    pub api_header_bytes_max: usize,
    pub api_body_bytes_max: usize,
    pub api_request_timeout_ms: u64,
    pub api_drain_ms: u64,
    pub rate_per_user_per_second: u32,
    pub rate_per_user_burst: u32,
    pub operator_token: SecretString,
    allowed_origins: String,
    pub csrf_header_required: bool,
    pub session_cookie_secure: bool,
    pub session_ttl_days: u32,
    pub session_cache_ms: u64,
    pub session_cache_entries_max: u64,
    pub pay_wait_timeout_ms: u64,
    pub pay_resend_ms: u64,
    pub pay_waiters_max: usize,
}

impl ApiConfig {
    /// The origins, besides the api's own, whose pages may call with cookies.
    pub fn allowed_origins(&self) -> impl Iterator<Item = &str> {
        self.allowed_origins
            .split(',')
            .map(str::trim)
            .filter(|origin| !origin.is_empty())
    }
}

#[derive(Debug, Clone, Deserialize)]
pub struct StreamConfig {
    pub streams_max: usize,
    pub streams_per_user_max: usize,
    pub stream_keepalive_ms: u64,
    pub stream_lag_max: usize,
}

#[derive(Debug, Clone, Deserialize)]
pub struct WorkerConfig {
    pub worker_listen: SocketAddr,
    pub pay_concurrency: usize,
    pub pay_shards: usize,
    pub pay_batch_max: usize,
    pub pay_handler_timeout_ms: u64,
    pub pause_poll_ms: u64,
}

#[derive(Debug, Clone, Deserialize)]
pub struct SweepConfig {
    pub sweep_expiry_interval_ms: u64,
    pub sweep_outbox_interval_ms: u64,
    pub sweep_outbox_age_ms: u64,
    pub sweep_reclaim_interval_ms: u64,
    pub sweep_retention_interval_ms: u64,
    pub retention_events_days: u32,
    pub sweep_audit_interval_ms: u64,
}

#[derive(Debug, Clone, Deserialize)]
pub struct BillingConfig {
    pub plan_starter_micro: i64,
    pub plan_growth_micro: i64,
    pub plan_scale_micro: i64,
    pub topup_max_micro: i64,
    pub invoices_pending_max: i64,
    pub solana_deposit_address: String,
    pub usdc_mint: String,
    pub usdt_mint: String,
    pub sol_price_micro: i64,
}
