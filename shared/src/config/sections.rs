//! The settings as typed sections. Names and units are those of `default.toml`, which documents them.

#![expect(
    missing_docs,
    reason = "default.toml is the documentation of every field, once"
)]

use std::net::SocketAddr;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use tokio::runtime::{self, Runtime};

#[derive(Debug, Clone, Deserialize)]
pub struct ProcessConfig {
    pub threads: usize,
    pub log: String,
    pub shutdown_timeout_ms: u64,
}

impl ProcessConfig {
    /// The runtime that a process works in. Fails when the system gives no threads.
    pub fn runtime(&self) -> std::io::Result<Runtime> {
        let mut builder = match self.threads {
            // Without a second thread nothing has to be handed over, and nobody woken for it.
            1 => runtime::Builder::new_current_thread(),
            threads => {
                let mut builder = runtime::Builder::new_multi_thread();
                builder.worker_threads(threads);
                builder
            }
        };
        builder.enable_all().build()
    }
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
    pub pay_per_user_max: usize,
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
    pub stream_write_timeout_ms: u64,
}

#[derive(Debug, Clone, Deserialize)]
pub struct WorkerConfig {
    pub worker_listen: SocketAddr,
    pub pay_concurrency: usize,
    pub pay_shards: usize,
    pub pay_batch_max: usize,
    pub pay_batch_per_user_max: usize,
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
    pub sweep_reconcile_interval_ms: u64,
}

#[derive(Debug, Clone, Deserialize)]
pub struct BillingConfig {
    pub plan_starter_micro: i64,
    pub plan_growth_micro: i64,
    pub plan_scale_micro: i64,
    pub topup_max_micro: i64,
    pub invoices_pending_max: i64,
    pub expiry_wait_ms: u64,
    pub dust_below_micro: i64,
    pub solana_deposit_address: String,
    pub usdc_mint: String,
    pub usdt_mint: String,
    pub sol_price_micro: i64,
    pub sol_price_feed_url: SecretString,
    pub sol_price_feed_pointer: String,
    pub sol_price_feed_interval_ms: u64,
    pub sol_price_feed_timeout_ms: u64,
    pub sol_price_age_max_ms: u64,
    pub sol_price_min_micro: i64,
    pub sol_price_max_micro: i64,
}

#[derive(Debug, Clone, Deserialize)]
pub struct ChainConfig {
    solana_rpc_url: SecretString,
    solana_ws_url: SecretString,
    pub solana_rpc_timeout_ms: u64,
    pub solana_node_cooldown_ms: u64,
    pub solana_agreement: usize,
    pub solana_node_absent_ms: u64,
    pub inapp_enabled: bool,
    pub solana_beacon_key: String,
    pub solana_settle_commitment: String,
    pub solana_unit_price_micro_lamports: u64,
    pub relay_concurrency: usize,
    pub relay_handler_timeout_ms: u64,
    pub relay_resend_interval_ms: u64,
    pub relay_attempts_max: i64,
    pub submissions_per_invoice_per_hour: i64,
    pub submissions_per_user_per_minute: u32,
    pub builds_per_user_per_minute: u32,
    pub inapp_blockhash_cache_ms: u64,
    pub inapp_account_cache_ms: u64,
    pub inapp_missing_account_cache_ms: u64,
}

impl ChainConfig {
    /// The nodes. Their URLs may hold access keys: for connecting, never for a log.
    pub fn rpc_urls(&self) -> impl Iterator<Item = &str> {
        self.solana_rpc_url
            .expose_secret()
            .split(',')
            .map(str::trim)
            .filter(|url| !url.is_empty())
    }

    /// Where to subscribe, if anywhere. It may hold an access key, too.
    #[must_use]
    pub fn ws_url(&self) -> Option<&str> {
        Some(self.solana_ws_url.expose_secret().trim()).filter(|url| !url.is_empty())
    }

    /// Whether confirmed payments settle, without waiting for finality.
    #[must_use]
    pub fn settles_at_confirmed(&self) -> bool {
        self.solana_settle_commitment == "confirmed"
    }
}

#[derive(Debug, Clone, Deserialize)]
pub struct WatcherConfig {
    pub watcher_listen: SocketAddr,
    pub watch_poll_interval_ms: u64,
    pub watch_silence_ms: u64,
    pub watch_lease_ms: u64,
    pub watch_concurrency: usize,
    pub watch_finality_interval_ms: u64,
    pub watch_gone_rounds: u32,
    pub watch_gone_after_ms: u64,
    pub watch_references_per_second: u32,
    pub watch_reference_days: u32,
}
