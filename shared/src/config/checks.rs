//! What settings must satisfy, alone and together.

mod chain;

use secrecy::ExposeSecret as _;

use super::{Config, ConfigError, variable_of};
use crate::money::AMOUNT_MAX;

/// The process that starts; it decides which settings are required.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Process {
    /// The HTTP process.
    Api,
    /// The job process.
    Worker,
    /// The process that follows the chain.
    Watcher,
    /// A command that only needs the database.
    Command,
}

/// Largest number of months one invoice buys (contract §2.2).
const MONTHS_MAX: i64 = 12;
const OPERATOR_TOKEN_LENGTH_MIN: usize = 32;
/// A hundred years.
const DAYS_MAX: u32 = 36_500;
const DB_CONNECTIONS_MIN: u32 = 4;
/// Invoices must end.
const EXPIRY_WAIT_MS_MAX: u64 = 604_800_000;
/// A revocation must take effect within a second on every process.
const SESSION_CACHE_MS_MAX: u64 = 1000;

pub(super) fn check(process: Process, config: &Config) -> Result<(), ConfigError> {
    check_required(process, config)?;
    check_positive(config)?;
    check_pairs(config)?;
    check_billing(config)?;
    chain::check(process, config)
}

fn rule(setting: &str, rule: impl Into<String>) -> ConfigError {
    ConfigError::Rule {
        variable: variable_of(setting),
        rule: rule.into(),
    }
}

fn require(holds: bool, setting: &str, words: impl Into<String>) -> Result<(), ConfigError> {
    if holds {
        Ok(())
    } else {
        Err(rule(setting, words))
    }
}

fn check_required(process: Process, config: &Config) -> Result<(), ConfigError> {
    require(
        !config.database.database_url().is_empty(),
        "database_url",
        "is required: set it to postgres://user:password@host:5432/database",
    )?;
    let database_url = config.database.database_url();
    require(
        database_url.starts_with("postgres://") || database_url.starts_with("postgresql://"),
        "database_url",
        "must look like postgres://user:password@host:5432/database",
    )?;
    require(
        config.redis.redis_url().starts_with("redis://")
            || config.redis.redis_url().starts_with("rediss://"),
        "redis_url",
        "must look like redis://host:6379",
    )?;
    require(
        process != Process::Api
            || config.api.operator_token.expose_secret().len() >= OPERATOR_TOKEN_LENGTH_MIN,
        "operator_token",
        format!(
            "is required, at least {OPERATOR_TOKEN_LENGTH_MIN} characters; `openssl rand -hex 32` makes one"
        ),
    )?;
    let prefix = &config.redis.redis_prefix;
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    require(
        !prefix.is_empty() && prefix.bytes().all(plain),
        "redis_prefix",
        "must be letters, digits, - and _",
    )
}

fn check_positive(config: &Config) -> Result<(), ConfigError> {
    let (api, queue, worker, stream, sweep) = (
        &config.api,
        &config.queue,
        &config.worker,
        &config.stream,
        &config.sweep,
    );
    let wide = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    let positive = [
        (
            "db_connections_max",
            u64::from(config.database.db_connections_max),
        ),
        (
            "db_acquire_timeout_ms",
            config.database.db_acquire_timeout_ms,
        ),
        (
            "db_statement_timeout_ms",
            config.database.db_statement_timeout_ms,
        ),
        ("db_lock_timeout_ms", config.database.db_lock_timeout_ms),
        ("redis_timeout_ms", config.redis.redis_timeout_ms),
        ("threads", wide(config.process.threads)),
        ("shutdown_timeout_ms", config.process.shutdown_timeout_ms),
        ("queue_length_max", queue.queue_length_max),
        ("queue_deliveries_max", queue.queue_deliveries_max),
        ("queue_read_batch", wide(queue.queue_read_batch)),
        ("queue_block_ms", wide(queue.queue_block_ms)),
        ("api_connections_max", wide(api.api_connections_max)),
        ("api_header_timeout_ms", api.api_header_timeout_ms),
        ("api_body_bytes_max", wide(api.api_body_bytes_max)),
        ("session_ttl_days", u64::from(api.session_ttl_days)),
        ("session_cache_entries_max", api.session_cache_entries_max),
        ("pay_resend_ms", api.pay_resend_ms),
        ("pay_waiters_max", wide(api.pay_waiters_max)),
        ("pay_per_user_max", wide(api.pay_per_user_max)),
        ("streams_max", wide(stream.streams_max)),
        ("streams_per_user_max", wide(stream.streams_per_user_max)),
        ("stream_keepalive_ms", stream.stream_keepalive_ms),
        ("stream_lag_max", wide(stream.stream_lag_max)),
        ("stream_write_timeout_ms", stream.stream_write_timeout_ms),
        ("pay_concurrency", wide(worker.pay_concurrency)),
        ("pay_shards", wide(worker.pay_shards)),
        ("pay_batch_max", wide(worker.pay_batch_max)),
        (
            "pay_batch_per_user_max",
            wide(worker.pay_batch_per_user_max),
        ),
        ("pay_handler_timeout_ms", worker.pay_handler_timeout_ms),
        ("pause_poll_ms", worker.pause_poll_ms),
        ("sweep_expiry_interval_ms", sweep.sweep_expiry_interval_ms),
        ("sweep_outbox_interval_ms", sweep.sweep_outbox_interval_ms),
        ("sweep_reclaim_interval_ms", sweep.sweep_reclaim_interval_ms),
        (
            "sweep_retention_interval_ms",
            sweep.sweep_retention_interval_ms,
        ),
        (
            "retention_events_days",
            u64::from(sweep.retention_events_days),
        ),
    ];
    positive
        .iter()
        .try_for_each(|(setting, value)| require(*value > 0, setting, "must be more than 0"))
}

fn check_pairs(config: &Config) -> Result<(), ConfigError> {
    let (api, database) = (&config.api, &config.database);
    let below = [
        (
            "db_lock_timeout_ms",
            database.db_lock_timeout_ms,
            "db_statement_timeout_ms",
            database.db_statement_timeout_ms + 1,
        ),
        (
            "pay_handler_timeout_ms",
            config.worker.pay_handler_timeout_ms,
            "queue_visibility_timeout_ms",
            config.queue.queue_visibility_timeout_ms,
        ),
        (
            "pay_wait_timeout_ms",
            api.pay_wait_timeout_ms,
            "api_request_timeout_ms",
            api.api_request_timeout_ms,
        ),
        (
            "pay_resend_ms",
            api.pay_resend_ms,
            "pay_wait_timeout_ms",
            api.pay_wait_timeout_ms,
        ),
        (
            "pay_handler_timeout_ms",
            config.worker.pay_handler_timeout_ms,
            "shutdown_timeout_ms",
            config.process.shutdown_timeout_ms,
        ),
        (
            "pay_wait_timeout_ms",
            api.pay_wait_timeout_ms,
            "shutdown_timeout_ms",
            config.process.shutdown_timeout_ms,
        ),
    ];
    for (small, value, large, limit) in below {
        require(
            value < limit,
            small,
            format!("must be less than {}", variable_of(large)),
        )?;
    }
    check_bounds(config)
}

fn check_bounds(config: &Config) -> Result<(), ConfigError> {
    let api = &config.api;
    require(
        u64::try_from(config.queue.queue_block_ms)
            .is_ok_and(|block| block < config.redis.redis_timeout_ms),
        "queue_block_ms",
        format!("must be less than {}", variable_of("redis_timeout_ms")),
    )?;
    require(
        api.session_cache_ms <= SESSION_CACHE_MS_MAX,
        "session_cache_ms",
        format!(
            "must be at most {SESSION_CACHE_MS_MAX}, so that a revocation is felt within a second"
        ),
    )?;
    require(
        api.rate_per_user_per_second == 0
            || api.rate_per_user_burst >= api.rate_per_user_per_second,
        "rate_per_user_burst",
        format!(
            "must be at least {}",
            variable_of("rate_per_user_per_second")
        ),
    )?;
    let days = [
        ("session_ttl_days", api.session_ttl_days),
        ("retention_events_days", config.sweep.retention_events_days),
    ];
    for (setting, value) in days {
        require(
            value <= DAYS_MAX,
            setting,
            format!("must be at most {DAYS_MAX}"),
        )?;
    }
    require(
        config.database.db_connections_max >= DB_CONNECTIONS_MIN,
        "db_connections_max",
        format!("must be at least {DB_CONNECTIONS_MIN}: some work needs two connections at once"),
    )?;
    require(
        api.api_header_bytes_max >= 8192,
        "api_header_bytes_max",
        "must be at least 8192, the smallest read buffer of the HTTP server",
    )?;
    api.allowed_origins().try_for_each(|origin| {
        require(
            (origin.starts_with("https://") || origin.starts_with("http://")) && !origin.ends_with('/'),
            "allowed_origins",
            "must list origins such as https://console.example.com, without a path, separated by commas",
        )
    })
}

fn check_billing(config: &Config) -> Result<(), ConfigError> {
    let billing = &config.billing;
    for (setting, price) in [
        ("plan_starter_micro", billing.plan_starter_micro),
        ("plan_growth_micro", billing.plan_growth_micro),
        ("plan_scale_micro", billing.plan_scale_micro),
    ] {
        require(
            (1..=AMOUNT_MAX / MONTHS_MAX).contains(&price),
            setting,
            format!("must be between 1 and {}", AMOUNT_MAX / MONTHS_MAX),
        )?;
    }
    require(
        (1..=AMOUNT_MAX).contains(&billing.topup_max_micro),
        "topup_max_micro",
        format!("must be between 1 and {AMOUNT_MAX}"),
    )?;
    require(
        billing.invoices_pending_max > 0,
        "invoices_pending_max",
        "must be more than 0",
    )?;
    require(
        billing.expiry_wait_ms <= EXPIRY_WAIT_MS_MAX,
        "expiry_wait_ms",
        format!("must be at most {EXPIRY_WAIT_MS_MAX}, which is a week"),
    )?;
    require(
        (0..=AMOUNT_MAX).contains(&billing.dust_below_micro),
        "dust_below_micro",
        format!("must be between 0 and {AMOUNT_MAX}"),
    )?;
    require(
        billing.solana_deposit_address.is_empty() || is_key(&billing.solana_deposit_address),
        "solana_deposit_address",
        "must be a Solana address (base58 of 32 bytes), or empty",
    )?;
    for (setting, mint) in [
        ("usdc_mint", &billing.usdc_mint),
        ("usdt_mint", &billing.usdt_mint),
    ] {
        require(
            is_key(mint),
            setting,
            "must be a mint's address (base58 of 32 bytes)",
        )?;
    }
    Ok(())
}

/// Whether this is a public key as text.
fn is_key(text: &str) -> bool {
    bs58::decode(text)
        .into_vec()
        .is_ok_and(|bytes| bytes.len() == 32)
}
